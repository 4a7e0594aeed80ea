//! Open windows as durable tables.
//!
//! ```text
//! panes         key group │ keys… │ _timestamp │ states…    what an epoch adds (merge)
//! panes-fresh   the same columns                            given away, not yet part of any epoch
//! progress      key group │ _watermark                      where windows are closed (upsert)
//! ```
//!
//! Increments of windows that closed later are not deleted: a restore drops
//! rows that the progress of their key group has passed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt16Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, UInt16Type};
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Error, EventTime, Result, Watermark, columns};
use thalweg_state::{
    Change, Epoch, FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, KeySpace, Restored, Snapshot,
    hash_keys,
};

use super::aggregate::{Window, Windows};
use super::assigner::Pane;
use super::split::by_pane;
use super::{Assigner, TIME, times, timestamp_field};
use crate::aggregate::{Columns, Grouping, schema_of};
use crate::group_table::GroupTable;

const PANES: &str = "panes";
const FRESH: &str = "panes-fresh";
const PROGRESS: &str = "progress";

/// What makes open windows outlive the process.
pub(super) struct Durable {
    assigner: Assigner,
    /// The number of key columns.
    keys: usize,
    panes: SchemaRef,
    progress: SchemaRef,
    key_space: KeySpace,
    /// The key groups whose progress is ours to write.
    owned: Vec<KeyGroup>,
    closed: Watermark,
    /// What each unsettled epoch added.
    unsettled: Vec<(Epoch, Vec<RecordBatch>)>,
    /// What aborted epochs had added: part of the next.
    aborted: Vec<RecordBatch>,
}

impl Durable {
    pub(super) fn new(assigner: Assigner, grouping: &Grouping) -> Result<Self> {
        let group: FieldRef = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        let watermark: FieldRef = Arc::new(Field::new(columns::ROW_WATERMARK, TIME, false));
        Ok(Self {
            assigner,
            keys: grouping.keys().len(),
            panes: schema_of([
                vec![Arc::clone(&group)],
                grouping.key_fields(),
                vec![timestamp_field()],
                grouping.state_fields()?,
            ]),
            progress: schema_of([vec![group, watermark]]),
            key_space: KeySpace::default(),
            owned: Vec::new(),
            closed: Watermark::START,
            unsettled: Vec::new(),
            aborted: Vec::new(),
        })
    }

    /// Windows that end at or before this are closed.
    pub(super) fn closed(&self) -> Watermark {
        self.closed
    }

    pub(super) fn close_until(&mut self, watermark: Watermark) {
        self.closed = self.closed.max(watermark);
    }

    pub(super) fn open(
        &mut self,
        mut restored: Restored,
        windows: &mut Windows,
        settings: &Settings,
    ) -> Result<()> {
        self.key_space = settings.key_space;
        if restored.is_empty() {
            self.owned = settings.key_space.share(settings.subtask.0, settings.parallelism).iter().collect();
            return Ok(());
        }
        let progress = self.adopt_progress(&restored.take(PROGRESS))?;
        for batch in restored.take(PANES) {
            self.merge(&batch, Part::Frozen, &progress, windows)?;
        }
        Ok(())
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, epoch: Epoch, windows: &mut Windows) -> Result<Snapshot> {
        let mut batches = std::mem::take(&mut self.aborted);
        for pane in windows.open.keys().copied().collect::<Vec<_>>() {
            let Window { frozen, fresh } = windows.open.remove(&pane).expect("it is one of the keys");
            let Some(mut fresh) = fresh else {
                windows.open.insert(pane, Window { frozen, fresh });
                continue;
            };
            let rows = fresh.len();
            let states = fresh.take_state()?;
            batches.push(self.batch(pane, &states, rows)?);
            let mut all = match frozen {
                Some(frozen) => {
                    windows.keep(fresh);
                    frozen
                }
                None => fresh,
            };
            all.merge(&states, rows)?;
            windows.open.insert(pane, Window { frozen: Some(all), fresh: None });
        }
        self.unsettled.push((epoch, batches.clone()));
        let panes = FrozenTable { name: PANES, change: Change::Merge, batches };
        Ok(Snapshot { tables: vec![panes, self.progress_of(&self.owned)?] })
    }

    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        let (settled, unsettled) =
            std::mem::take(&mut self.unsettled).into_iter().partition(|(e, _)| *e == epoch);
        self.unsettled = unsettled;
        if !complete {
            let settled: Vec<(Epoch, Vec<RecordBatch>)> = settled;
            self.aborted.extend(settled.into_iter().flat_map(|(_, batches)| batches));
        }
    }

    pub(super) fn take(&mut self, groups: &KeyGroups, windows: &mut Windows) -> Result<Snapshot> {
        let (mut frozen, mut fresh) = (Vec::new(), Vec::new());
        for (&pane, window) in &mut windows.open {
            for (table, given) in [(&mut window.frozen, &mut frozen), (&mut window.fresh, &mut fresh)] {
                let Some(table) = table else { continue };
                given.push(self.take_of(pane, table, groups)?);
            }
        }
        windows.open.retain(|_, window| {
            let empty = |table: &Option<GroupTable>| table.as_ref().is_none_or(GroupTable::is_empty);
            window.frozen.take_if(|table| table.is_empty());
            window.fresh.take_if(|table| table.is_empty());
            !(empty(&window.frozen) && empty(&window.fresh))
        });
        let (leaving, staying): (Vec<_>, Vec<_>) =
            self.owned.iter().partition(|&&group| groups.contains(group));
        self.owned = staying;
        let panes = FrozenTable { name: PANES, change: Change::Merge, batches: frozen };
        let fresh = FrozenTable { name: FRESH, change: Change::Merge, batches: fresh };
        Ok(Snapshot { tables: vec![panes, fresh, self.progress_of(&leaving)?] })
    }

    pub(super) fn put(&mut self, given: Snapshot, windows: &mut Windows) -> Result<()> {
        let batches =
            |name| given.tables.iter().filter(move |t| t.name == name).flat_map(|t| t.batches.iter());
        let progress = self.adopt_progress(&batches(PROGRESS).cloned().collect::<Vec<_>>())?;
        for (name, part) in [(PANES, Part::Frozen), (FRESH, Part::Fresh)] {
            batches(name).try_for_each(|batch| self.merge(batch, part, &progress, windows))?;
        }
        Ok(())
    }

    /// Gives away the rows of these key groups; the others stay in the table.
    fn take_of(&self, pane: Pane, table: &mut GroupTable, groups: &KeyGroups) -> Result<RecordBatch> {
        let rows = table.len();
        let all = self.batch(pane, &table.take_state()?, rows)?;
        let leaves = |leaves: bool| {
            let mask =
                key_groups(&all)?.iter().map(|&g| Some(groups.contains(KeyGroup(g)) == leaves)).collect();
            filtered(&all, &mask)
        };
        let staying = leaves(false)?;
        if staying.num_rows() > 0 {
            table.merge(&self.states_of(staying.columns()), staying.num_rows())?;
        }
        leaves(true)
    }

    /// Adds rows of a durable table to the windows that are not closed for their key group.
    fn merge(
        &self,
        batch: &RecordBatch,
        into: Part,
        progress: &BTreeMap<u16, Watermark>,
        windows: &mut Windows,
    ) -> Result<()> {
        let times = times(batch, 1 + self.keys)?;
        let closed = |group: &u16| progress.get(group).copied().unwrap_or(Watermark::START);
        let is_open = |(group, &time)| !self.assigner.is_closed(self.assigner.pane_of(time), closed(group));
        let open =
            filtered(batch, &key_groups(batch)?.iter().zip(times).map(|row| Some(is_open(row))).collect())?;
        let times = self::times(&open, 1 + self.keys)?;
        for part in by_pane(self.assigner, times, open.columns().to_vec())? {
            let mut window = windows.open.remove(&part.pane).unwrap_or_default();
            let table = match into {
                Part::Frozen => &mut window.frozen,
                Part::Fresh => &mut window.fresh,
            };
            if table.is_none() {
                *table = Some(windows.table()?);
            }
            let table = table.as_mut().expect("it was put there if it was not");
            table.merge(&self.states_of(&part.columns), part.rows)?;
            windows.open.insert(part.pane, window);
        }
        Ok(())
    }

    /// Keys and states among the columns of a durable table.
    fn states_of(&self, columns: &[ArrayRef]) -> Columns {
        let (keys, states) = (&columns[1..=self.keys], &columns[self.keys + 2..]);
        keys.iter().chain(states).cloned().collect()
    }

    fn batch(&self, pane: Pane, states: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let last: ArrayRef =
            Arc::new(TimestampNanosecondArray::from_value(self.assigner.last_of(pane), rows));
        let (keys, states) = states.split_at(self.keys);
        let mut hashes = Vec::new();
        let hashed = if keys.is_empty() { std::slice::from_ref(&last) } else { keys };
        hash_keys(hashed, &mut hashes).map_err(|e| Error::internal("a key has no hash").because(e))?;
        let groups: UInt16Array = hashes.iter().map(|&hash| self.key_space.group_of(hash).0).collect();
        let groups: ArrayRef = Arc::new(groups);
        let all =
            [groups].into_iter().chain(keys.iter().cloned()).chain([last]).chain(states.iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.panes), all.collect())
            .map_err(|e| Error::internal("the states of windows do not fit their table").because(e))
    }

    fn progress_of(&self, groups: &[KeyGroup]) -> Result<FrozenTable> {
        let watermarks = TimestampNanosecondArray::from_value(self.closed.nanos(), groups.len());
        let groups: UInt16Array = groups.iter().map(|group| group.0).collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&self.progress), vec![Arc::new(groups), Arc::new(watermarks)])
                .map_err(|e| Error::internal("the progress of windows does not fit its table").because(e))?;
        Ok(FrozenTable { name: PROGRESS, change: Change::Upsert, batches: vec![batch] })
    }

    /// Makes the key groups of these rows our own. Answers where each has closed windows.
    fn adopt_progress(&mut self, batches: &[RecordBatch]) -> Result<BTreeMap<u16, Watermark>> {
        let mut progress = BTreeMap::new();
        for batch in batches {
            let watermarks = times(batch, 1)?.iter().map(|&time| Watermark(EventTime(time)));
            progress.extend(key_groups(batch)?.iter().copied().zip(watermarks));
        }
        self.owned.extend(progress.keys().map(|&group| KeyGroup(group)));
        self.closed = progress.values().copied().fold(self.closed, Watermark::max);
        Ok(progress)
    }
}

/// Which table of a window.
#[derive(Clone, Copy)]
enum Part {
    Frozen,
    Fresh,
}

fn key_groups(batch: &RecordBatch) -> Result<&[u16]> {
    match batch.column(0).as_primitive_opt::<UInt16Type>() {
        Some(groups) if groups.null_count() == 0 => Ok(groups.values()),
        Some(_) | None => Err(Error::internal("the first column of a table is not its key group")),
    }
}

fn filtered(batch: &RecordBatch, keep: &BooleanArray) -> Result<RecordBatch> {
    if keep.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    filter_record_batch(batch, keep)
        .map_err(|e| Error::internal("rows of a table cannot be chosen").because(e))
}
