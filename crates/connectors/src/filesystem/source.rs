//! All files that are there when a job begins, each to its end.
//!
//! A file is a split. Which there are is found once, at a fresh start, and is in
//! the positions from then on, with the stamp that each had: a file that comes
//! later is not read, and one that changes is refused. A subtask reads its files
//! one after the other by name; those that wait hold the watermark back, so
//! that no row is late only because its file came second.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;

use super::rows::{FileDecoder, FileReading, OpenFile, Place};
use super::store::{Found, Selection, Stamp, Store, changed};
use crate::plain_spec;

const KIND: &str = "filesystem_source";

pub(super) fn register(registry: &mut Registry) {
    registry.add_source(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<FilesSpec>(bytes)?)));
}

/// The source as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FilesSpec {
    pub(super) selection: Selection,
    pub(super) reading: FileReading,
}

/// Where a split stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct FilePosition {
    stamp: Stamp,
    place: Place,
    ended: bool,
}

impl FilePosition {
    fn write(&self) -> Position {
        Position(plain_spec::encode(self).expect("texts and numbers are JSON"))
    }
}

impl Spec for FilesSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    /// Positions are within the files of one place.
    fn fingerprint(&self) -> String {
        format!("{KIND} '{}' {}", self.selection.location, self.reading.format_name())
    }

    fn label(&self) -> String {
        format!("'{}' {}", self.selection.location, self.reading.format_name())
    }
}

impl SourceSpec for FilesSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(FilesSource {
            store: Arc::new(self.selection.open()?),
            start: self.reading.start(),
            decoder: self.reading.decoder(&cx)?,
            files: BTreeMap::new(),
            ended: BTreeMap::new(),
            reading: None,
            revoked: false,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        self.reading.output_schema()
    }

    /// Lists the files, and waits until that is done.
    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let assignment = |file: Found| {
            let position = FilePosition { stamp: file.stamp, place: self.reading.start(), ended: false };
            Assignment { split: SplitId::new(file.name), position: Some(position.write()) }
        };
        let found = list_now(self.selection.open()?)?;
        self.distribute(found.into_iter().map(assignment).collect(), parallelism)
    }

    fn parallelism_max(&self) -> Option<u32> {
        None
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        false
    }

    fn in_turn(&self) -> bool {
        true
    }
}

/// Lists on a thread of its own, for whoever plans a job cannot wait.
fn list_now(store: Store) -> Result<Vec<Found>> {
    let list = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::internal("files cannot be listed").because(e))?;
        runtime.block_on(store.list())
    };
    let listed = std::thread::spawn(list).join();
    listed.map_err(|_| Error::internal("listing files panicked"))?
}

struct FilesSource {
    store: Arc<Store>,
    start: Place,
    decoder: FileDecoder,
    /// Those that are held and whose end was not said, in the order in which they are read.
    files: BTreeMap<SplitId, FilePosition>,
    /// Those whose end was said.
    ended: BTreeMap<SplitId, FilePosition>,
    reading: Option<(SplitId, OpenFile)>,
    /// Splits went to another subtask, so having none is no end.
    revoked: bool,
}

impl FilesSource {
    async fn take(&mut self, splits: Vec<Assignment>) -> Result<()> {
        for Assignment { split, position } in splits {
            let position = match position {
                Some(position) => plain_spec::decode(&position.0)?,
                None => unread(&self.store, split.as_str(), self.start).await?,
            };
            self.files.insert(split, position);
            self.revoked = false;
        }
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        loop {
            if let Some((split, file)) = &mut self.reading {
                let position = self.files.get_mut(split).ok_or_else(|| not_held(split))?;
                if let Some(records) = self.decoder.next(file).await? {
                    position.place = file.place();
                    return Ok(SourceEvent::Rows { split: split.clone(), records });
                }
                position.ended = true;
                self.reading = None;
            }
            match self.files.first_entry() {
                Some(next) if next.get().ended => {
                    let (split, position) = next.remove_entry();
                    self.ended.insert(split.clone(), position);
                    return Ok(SourceEvent::SplitEnd { split });
                }
                Some(next) => {
                    let found = Found { name: next.key().to_string(), stamp: next.get().stamp.clone() };
                    let file = self.decoder.open(&self.store, found, next.get().place).await?;
                    self.reading = Some((next.key().clone(), file));
                }
                None if self.revoked && self.ended.is_empty() => pending().await,
                None => return Ok(SourceEvent::End),
            }
        }
    }

    fn held(&self) -> Vec<Assignment> {
        self.ended.iter().chain(&self.files).map(|(split, position)| assignment(split, position)).collect()
    }
}

/// The position of a file that nobody looked at yet.
async fn unread(store: &Store, name: &str, start: Place) -> Result<FilePosition> {
    let found = store.stat(name).await?.ok_or_else(|| changed(name, "it is gone"))?;
    Ok(FilePosition { stamp: found.stamp, place: start, ended: false })
}

fn assignment(split: &SplitId, position: &FilePosition) -> Assignment {
    Assignment { split: split.clone(), position: Some(position.write()) }
}

fn not_held(split: &SplitId) -> Error {
    Error::internal(format!("'{split}' is read and not held"))
}

impl Source for FilesSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.take(splits).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        self.event().boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        self.held()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.take(splits).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let mut given = Vec::new();
        for split in splits {
            let held = self.files.remove(split).or_else(|| self.ended.remove(split));
            given.extend(held.map(|position| assignment(split, &position)));
            if self.reading.as_ref().is_some_and(|(reading, _)| reading == split) {
                self.reading = None;
            }
        }
        self.revoked |= !given.is_empty();
        ready(Ok(given)).boxed()
    }
}
