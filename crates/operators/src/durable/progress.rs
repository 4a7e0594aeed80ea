//! How far windows have come, for each key group.
//!
//! ```text
//! progress      key group │ _watermark                      where windows are closed (upsert)
//! ```
//!
//! Key groups that came from another owner, or from a checkpoint, were closed
//! where they were closed there. All subtasks have the same watermark at a
//! barrier, so that is nearly always where the others are; but a split that was
//! idle may have let one subtask pass another. Until the next watermark is
//! here, such differences are known and written; that watermark then holds for
//! all, and the owner of the rows first brings them in line with [`Came`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Error, EventTime, Result, Watermark, columns};
use thalweg_state::{Epoch, FrozenTable, KeyGroup, KeyGroups, KeySpace, Restored, Snapshot};

use super::{key_group_column, key_group_field, key_groups, key_groups_of};
use crate::aggregate::schema_of;
use crate::window::{TIME, times};

/// Which key groups are ours, and where their windows are closed.
pub(crate) struct Progress {
    /// The name of the table; an operator with two of them gives two names.
    table: &'static str,
    schema: SchemaRef,
    key_space: KeySpace,
    /// The key groups whose progress is ours to write.
    owned: KeyGroups,
    /// No row for a window that this closes is taken any more.
    closed: Watermark,
    /// The windows that this closes were given out, for all key groups but those that came since.
    given: Watermark,
    /// The key groups that came since, and where their windows are closed, so far as that is known.
    came: KeyGroups,
    came_closed: BTreeMap<u16, Watermark>,
    /// Whether any came, though they may have left again.
    moved: bool,
    /// Whether there is something new since the last epoch.
    changed: bool,
    unsettled: Vec<Epoch>,
}

/// Where windows of the key groups of one owner are closed.
pub(crate) struct Came {
    of_groups: BTreeMap<u16, Watermark>,
    /// That of all other key groups; none: there are no others.
    others: Option<Watermark>,
}

impl Came {
    /// Where windows of this key group are closed.
    pub(crate) fn of(&self, group: u16) -> Watermark {
        self.of_groups.get(&group).copied().or(self.others).unwrap_or(Watermark::START)
    }

    /// The least of all.
    pub(crate) fn least(&self) -> Watermark {
        self.all().min().unwrap_or(Watermark::START)
    }

    /// Where all of them are closed, if that is the same for all.
    pub(crate) fn alike(&self) -> Option<Watermark> {
        let least = self.least();
        self.all().all(|closed| closed == least).then_some(least)
    }

    fn all(&self) -> impl Iterator<Item = Watermark> {
        self.of_groups.values().copied().chain(self.others)
    }
}

impl Progress {
    pub(crate) fn new(table: &'static str) -> Self {
        let watermark: FieldRef = Arc::new(Field::new(columns::ROW_WATERMARK, TIME, false));
        Self {
            table,
            schema: schema_of([vec![key_group_field()], vec![watermark]]),
            key_space: KeySpace::default(),
            owned: KeyGroups::default(),
            closed: Watermark::START,
            given: Watermark::START,
            came: KeyGroups::default(),
            came_closed: BTreeMap::new(),
            moved: false,
            changed: true,
            unsettled: Vec::new(),
        }
    }

    /// Begins with the subtask's share of the key groups, each where the past has closed its windows.
    /// One of which the past knows nothing has no rows there either.
    pub(crate) fn open(&mut self, restored: &mut Restored, settings: &Settings) -> Result<()> {
        self.key_space = settings.key_space;
        self.owned = settings.key_space.share(settings.subtask.0, settings.parallelism);
        self.came = self.owned.clone();
        self.moved = true;
        let past = restored.take(self.table);
        self.learn(&past)
    }

    /// Windows that end at or before this are closed: what comes for them is late.
    pub(crate) fn closed(&self) -> Watermark {
        self.closed
    }

    /// Where windows of a key group were closed when it came here; none: it did not, or nobody said so far.
    pub(crate) fn came_closed(&self, group: u16) -> Option<Watermark> {
        self.came_closed.get(&group).copied()
    }

    /// All windows that this watermark closes will be given out before anything else happens.
    /// Answers where they were closed before, if key groups came since the last one.
    pub(crate) fn close_until(&mut self, watermark: Watermark) -> Option<Came> {
        let came = std::mem::take(&mut self.moved).then(|| {
            let of_groups = std::mem::take(&mut self.came_closed);
            let others = of_groups.is_empty() || !self.owned.without(&self.came).is_empty();
            Came { of_groups, others: others.then_some(self.given) }
        });
        self.came = KeyGroups::default();
        self.changed |= came.is_some() || watermark > self.closed;
        self.closed = self.closed.max(watermark);
        self.given = self.closed;
        came
    }

    /// The windows that this closes were given out for every key group.
    pub(crate) fn given_out(&self) -> Watermark {
        let others = (!self.owned.without(&self.came).is_empty()).then_some(self.given);
        self.came_closed.values().copied().chain(others).min().unwrap_or(Watermark::START)
    }

    /// How far windows have come, if that is news, as part of a snapshot.
    pub(crate) fn freeze(&mut self, epoch: Epoch) -> Result<FrozenTable> {
        if !self.changed && self.unsettled.is_empty() {
            return Ok(FrozenTable::upsert(self.table, 0, Vec::new()));
        }
        self.changed = false;
        self.unsettled.push(epoch);
        let owned: Vec<KeyGroup> = self.owned.iter().collect();
        let watermarks = owned.iter().map(|group| self.came_closed(group.0).unwrap_or(self.given).nanos());
        let watermarks = TimestampNanosecondArray::from_iter_values(watermarks);
        let columns: Vec<ArrayRef> = vec![key_group_column(&owned), Arc::new(watermarks)];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| Error::internal("the progress of windows does not fit its table").because(e))?;
        Ok(FrozenTable::upsert(self.table, 0, vec![batch]))
    }

    /// Learns how an epoch was settled.
    pub(crate) fn settle(&mut self, epoch: Epoch, complete: bool) {
        if complete {
            self.unsettled.retain(|unsettled| *unsettled > epoch);
        } else {
            self.changed |= self.unsettled.extract_if(.., |unsettled| *unsettled == epoch).count() > 0;
        }
    }

    /// These key groups are ours from now on, each closed where what is given says so.
    pub(crate) fn put(&mut self, groups: &KeyGroups, given: &Snapshot) -> Result<()> {
        self.owned = self.owned.union(groups);
        self.came = self.came.union(groups);
        self.moved = true;
        self.changed = true;
        self.learn(given.batches_of(self.table))
    }

    /// These key groups are ours no longer.
    pub(crate) fn forget(&mut self, groups: &KeyGroups) {
        self.owned = self.owned.without(groups);
        self.came = self.came.without(groups);
        self.came_closed.retain(|&group, _| !groups.contains(KeyGroup(group)));
    }

    /// Where rows with these keys live.
    pub(crate) fn key_groups_of(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<KeyGroup>> {
        key_groups_of(self.key_space, keys, rows)
    }

    fn learn<'a>(&mut self, batches: impl IntoIterator<Item = &'a RecordBatch>) -> Result<()> {
        for batch in batches {
            for (&group, &time) in key_groups(batch)?.iter().zip(times(batch, 1)?) {
                let watermark = Watermark(EventTime(time));
                self.closed = self.closed.max(watermark);
                if self.came.contains(KeyGroup(group)) {
                    let known = self.came_closed.entry(group).or_insert(watermark);
                    *known = (*known).max(watermark);
                }
            }
        }
        Ok(())
    }
}
