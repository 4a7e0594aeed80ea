//! Lines of a file to rows.
//!
//! There is one split, the path. Its position is the byte offset and number of
//! the next line, so reading goes on exactly behind the last row given out; and
//! whether it has ended, for what has ended stays so.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_formats::framing::LinePosition;
use thalweg_state::SplitId;

use super::file_error;
use super::place::{Head, Place};
use super::read_ahead::ReadAhead;
use crate::lines::{LineDecoder, LineReading, Lines};
use crate::{plain_spec, splits};

const KIND: &str = "single_file_source";

pub(super) fn register(registry: &mut Registry) {
    registry.add_source(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<FileSourceSpec>(bytes)?)));
}

/// The source as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FileSourceSpec {
    pub(super) path: String,
    pub(super) lines: LineReading,
}

impl FileSourceSpec {
    fn split(&self) -> SplitId {
        SplitId::new(self.path.as_str())
    }
}

impl Spec for FileSourceSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    /// A position is within a file.
    fn fingerprint(&self) -> String {
        format!("{KIND} '{}'", self.path)
    }

    fn label(&self) -> String {
        format!("'{}' {}", self.path, self.lines.reading.format.name())
    }
}

impl SourceSpec for FileSourceSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let decoder = self.lines.decoder(&cx)?;
        Ok(Box::new(FileSource { spec: self.clone(), decoder, file: None, revoked: false }))
    }

    fn output_schema(&self) -> SchemaRef {
        self.lines.output_schema()
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        Ok(splits::single(self.split(), parallelism))
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        false
    }
}

struct FileSource {
    spec: FileSourceSpec,
    decoder: LineDecoder,
    file: Option<OpenFile>,
    /// The split went to another subtask, so nothing ends here.
    revoked: bool,
}

/// The split while it is held.
struct OpenFile {
    lines: Lines,
    head: Option<Head>,
    /// Known from a position, or said.
    ended: bool,
    progress: Progress,
}

enum Progress {
    Reading(ReadAhead),
    /// All bytes are in the framer.
    AllRead,
    /// And its end was said.
    Ended,
}

impl FileSource {
    async fn begin(&mut self, splits: Vec<Assignment>) -> Result<()> {
        for Assignment { split, position } in splits {
            if split != self.spec.split() {
                return Err(Error::internal(format!("'{split}' is not the file '{}'", self.spec.path)));
            }
            let place = position.as_ref().map(Place::read).transpose()?;
            let lines = self.decoder.begin(place.map_or(LinePosition::START, |place| place.line()));
            self.file = Some(match place {
                Some(Place { ended: true, head, .. }) => {
                    OpenFile { lines, head, ended: true, progress: Progress::AllRead }
                }
                Some(_) | None => {
                    let (input, head) = ReadAhead::open(self.spec.path.clone(), place).await?;
                    OpenFile { lines, head, ended: false, progress: Progress::Reading(input) }
                }
            });
            self.revoked = false;
        }
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        loop {
            if let Some(records) = self.decode_waiting()? {
                return Ok(SourceEvent::Rows { split: self.spec.split(), records });
            }
            let Some(file) = &mut self.file else { return nothing_held(self.revoked).await };
            match &mut file.progress {
                Progress::Ended => return Ok(SourceEvent::End),
                Progress::AllRead => {
                    file.ended = true;
                    file.progress = Progress::Ended;
                    return Ok(SourceEvent::SplitEnd { split: self.spec.split() });
                }
                Progress::Reading(input) => {
                    let more = input.next(&mut file.lines.framer).await;
                    if !more.map_err(|e| file_error("read", &self.spec.path, &e))? {
                        file.lines.framer.finish();
                        file.progress = Progress::AllRead;
                    }
                }
            }
        }
    }

    /// Decodes what the framer holds, until there are rows.
    fn decode_waiting(&mut self) -> Result<Option<RecordBatch>> {
        match &mut self.file {
            Some(file) => self.decoder.next(&mut file.lines, &self.spec.path),
            None => Ok(None),
        }
    }
}

/// Without a split: the end, or silence until one is assigned again.
async fn nothing_held(revoked: bool) -> Result<SourceEvent> {
    if revoked { std::future::pending().await } else { Ok(SourceEvent::End) }
}

impl Source for FileSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.begin(splits).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        self.event().boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        let split = self.spec.split();
        let held = self.file.iter();
        held.map(|file| {
            let LinePosition { offset, line } = file.lines.position;
            let place = Place { offset, line, ended: file.ended, head: file.head };
            Assignment { split: split.clone(), position: Some(place.write()) }
        })
        .collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.begin(splits).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let mut given = Vec::new();
        if splits.contains(&self.spec.split()) {
            given = self.positions();
            self.revoked |= self.file.take().is_some();
        }
        ready(Ok(given)).boxed()
    }
}
