//! Files as they appear, each once.
//!
//! Files belong to one of [`LANES`] lanes by a hash of their name, and a lane is
//! a split. That is the whole rule by which subtasks share files, and it knows
//! no parallelism: a lane is held by one subtask, it travels with its position,
//! and so does all that is known of its files. Whoever holds it lists the place
//! and takes what is new.
//!
//! ```text
//! name ── hash ──► lane ── assigned, revoked ──► subtask
//!                   └ position: the file in progress, the hashes of finished ones
//! ```
//!
//! A finished file takes eight bytes in its lane, until it is no longer there:
//! a name that went and comes back is a new file.

use std::collections::{BTreeMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;
use tokio::time::{Instant, sleep_until};

use super::rows::{FileDecoder, FileReading, OpenFile, Place};
use super::store::{Found, Selection, Store};
use crate::name_hash::hash;
use crate::{plain_spec, splits};

const KIND: &str = "filesystem_watch";

/// How many lanes there are, and so the most subtasks that can read.
pub(super) const LANES: u32 = 16;

pub(super) fn register(registry: &mut Registry) {
    registry.add_source(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<WatchSpec>(bytes)?)));
}

/// The source as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WatchSpec {
    pub(super) selection: Selection,
    pub(super) reading: FileReading,
    /// From one look to the next.
    pub(super) poll_interval: Duration,
}

impl Spec for WatchSpec {
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
        format!("'{}' {} watched", self.selection.location, self.reading.format_name())
    }
}

impl SourceSpec for WatchSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(WatchSource {
            store: Arc::new(self.selection.open()?),
            start: self.reading.start(),
            decoder: self.reading.decoder(&cx)?,
            poll_interval: self.poll_interval,
            lanes: Vec::new(),
            reading: None,
            look_at: Instant::now(),
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        self.reading.output_schema()
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        self.distribute(splits::numbered(LANES).into_iter().flatten().collect(), parallelism)
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(LANES)
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        true
    }
}

/// Where a lane stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct LanePosition {
    current: Option<Current>,
    /// The hashes of finished files, sixteen digits each.
    finished: String,
}

/// The file in progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Current {
    file: Found,
    place: Place,
}

struct Lane {
    split: SplitId,
    index: u32,
    of: u32,
    current: Option<Current>,
    finished: HashSet<u64>,
    /// What was there at the last look and is not begun, by name.
    waiting: BTreeMap<String, Found>,
}

impl Lane {
    fn new(Assignment { split, position }: Assignment) -> Result<Self> {
        let (index, of) = splits::index_of(&split, "filesystem")?;
        let position = match position {
            Some(Position(bytes)) => plain_spec::decode(&bytes)?,
            None => LanePosition::default(),
        };
        let finished = read_hashes(&position.finished)?;
        Ok(Self { split, index, of, current: position.current, finished, waiting: BTreeMap::new() })
    }

    fn assignment(&self) -> Assignment {
        let finished = write_hashes(&self.finished);
        let position = LanePosition { current: self.current.clone(), finished };
        let bytes = plain_spec::encode(&position).expect("texts and numbers are JSON");
        Assignment { split: self.split.clone(), position: Some(Position(bytes)) }
    }

    /// Takes what belongs here and is new, and forgets finished files that are gone.
    fn look(&mut self, found: &[Found]) {
        let mut there = HashSet::new();
        self.waiting.clear();
        for file in found {
            let hash = hash(file.name.as_bytes());
            if hash % u64::from(self.of) != u64::from(self.index) {
                continue;
            }
            there.insert(hash);
            let begun = self.current.as_ref().is_some_and(|current| current.file.name == file.name);
            if !begun && !self.finished.contains(&hash) {
                self.waiting.insert(file.name.clone(), file.clone());
            }
        }
        self.finished.retain(|hash| there.contains(hash));
    }
}

fn write_hashes(hashes: &HashSet<u64>) -> String {
    let mut sorted: Vec<_> = hashes.iter().collect();
    sorted.sort_unstable();
    sorted.into_iter().map(|hash| format!("{hash:016x}")).collect()
}

fn read_hashes(text: &str) -> Result<HashSet<u64>> {
    let read = |digits: &[u8]| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let hashes: Option<_> = text.as_bytes().chunks(16).map(read).collect();
    hashes.ok_or_else(|| Error::internal("the finished files of a position cannot be read"))
}

struct WatchSource {
    store: Arc<Store>,
    start: Place,
    decoder: FileDecoder,
    poll_interval: Duration,
    lanes: Vec<Lane>,
    /// The file that is open, and the lane that it belongs to.
    reading: Option<(SplitId, OpenFile)>,
    /// When to look again.
    look_at: Instant,
}

impl WatchSource {
    fn take(&mut self, splits: Vec<Assignment>) -> Result<()> {
        for assignment in splits {
            self.lanes.push(Lane::new(assignment)?);
        }
        self.look_at = Instant::now();
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        loop {
            if let Some(event) = self.read_on().await? {
                return Ok(event);
            }
            if !self.begin().await? {
                self.look().await?;
            }
        }
    }

    /// Rows of the file that is open. Closes it at its end.
    async fn read_on(&mut self) -> Result<Option<SourceEvent>> {
        let Some((split, file)) = &mut self.reading else { return Ok(None) };
        let records = self.decoder.next(file).await?;
        let lane = self.lanes.iter_mut().find(|lane| lane.split == *split);
        let lane = lane.ok_or_else(|| Error::internal(format!("'{split}' is read and not held")))?;
        match (records, &mut lane.current) {
            (Some(records), Some(current)) => {
                current.place = file.place();
                Ok(Some(SourceEvent::Rows { split: split.clone(), records }))
            }
            (None, Some(current)) => {
                lane.finished.insert(hash(current.file.name.as_bytes()));
                lane.current = None;
                self.reading = None;
                Ok(None)
            }
            (_, None) => Err(Error::internal(format!("a file of '{split}' is read and not known"))),
        }
    }

    /// Opens a file that was begun elsewhere, or else the first by name of those that wait. Gives false if there is none.
    async fn begin(&mut self) -> Result<bool> {
        let begun = self.lanes.iter().position(|lane| lane.current.is_some());
        let first = |lane: &usize| self.lanes[*lane].waiting.first_key_value().map(|(name, _)| name.clone());
        let index = begun.or_else(|| {
            let waiting = (0..self.lanes.len()).filter(|lane| !self.lanes[*lane].waiting.is_empty());
            waiting.min_by_key(first)
        });
        let Some(index) = index else { return Ok(false) };
        let lane = &mut self.lanes[index];
        if lane.current.is_none() {
            let Some(waiting) = lane.waiting.first_entry() else { return Ok(false) };
            // As it is now: it may have changed or gone while it waited.
            let now = self.store.stat(waiting.key()).await?;
            waiting.remove();
            let Some(file) = now else { return Ok(true) };
            lane.current = Some(Current { file, place: self.start });
        }
        if let Some(current) = &lane.current {
            let file = self.decoder.open(&self.store, current.file.clone(), current.place).await?;
            self.reading = Some((lane.split.clone(), file));
        }
        Ok(true)
    }

    /// Waits until it is time, and looks what is there.
    async fn look(&mut self) -> Result<()> {
        if self.lanes.is_empty() {
            return pending().await;
        }
        sleep_until(self.look_at).await;
        let found = self.store.list().await?;
        self.lanes.iter_mut().for_each(|lane| lane.look(&found));
        self.look_at = crate::turns::later(Instant::now(), self.poll_interval);
        Ok(())
    }
}

impl Source for WatchSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        ready(self.take(splits)).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        self.event().boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        self.lanes.iter().map(Lane::assignment).collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        ready(self.take(splits)).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        if self.reading.as_ref().is_some_and(|(reading, _)| splits.contains(reading)) {
            self.reading = None;
        }
        let gone = self.lanes.extract_if(.., |lane| splits.contains(&lane.split));
        ready(Ok(gone.map(|lane| lane.assignment()).collect())).boxed()
    }
}
