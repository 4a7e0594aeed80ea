//! Rows of open windows as durable tables.
//!
//! Rows of windows that closed later are not deleted: a restore drops the rows
//! that the progress of their key group has passed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt16Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt16Type};
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Error, EventTime, Result, Watermark, columns};
use thalweg_state::{
    Change, Epoch, FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, KeySpace, Restored, Snapshot,
    hash_keys,
};

use super::{Tables, is_closed};
use crate::window::{TIME, times, timestamp_index};

/// What makes the rows outlive the process. Knows their columns and key groups, not the rows.
pub(super) struct Durable {
    tables: Tables,
    rows: SchemaRef,
    /// The table of rows: the key group, then the columns.
    table: SchemaRef,
    progress: SchemaRef,
    key: Vec<usize>,
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
    pub(super) fn new(tables: Tables, rows: &SchemaRef, key: Vec<usize>) -> Self {
        let group: FieldRef = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        let watermark: FieldRef = Arc::new(Field::new(columns::ROW_WATERMARK, TIME, false));
        let table: Vec<FieldRef> =
            std::iter::once(Arc::clone(&group)).chain(rows.fields().iter().cloned()).collect();
        Self {
            tables,
            rows: Arc::clone(rows),
            table: Arc::new(Schema::new(table)),
            progress: Arc::new(Schema::new(vec![group, watermark])),
            key,
            key_space: KeySpace::default(),
            owned: Vec::new(),
            closed: Watermark::START,
            unsettled: Vec::new(),
            aborted: Vec::new(),
        }
    }

    /// What lies before this is closed.
    pub(super) fn closed(&self) -> Watermark {
        self.closed
    }

    pub(super) fn close_until(&mut self, watermark: Watermark) {
        self.closed = self.closed.max(watermark);
    }

    /// The restored rows of open windows.
    pub(super) fn open(&mut self, restored: &mut Restored, settings: &Settings) -> Result<Vec<RecordBatch>> {
        self.key_space = settings.key_space;
        let progress = restored.take(self.tables.progress);
        if progress.is_empty() {
            self.owned = settings.key_space.share(settings.subtask.0, settings.parallelism).iter().collect();
            return Ok(Vec::new());
        }
        let progress = self.adopt_progress(&progress)?;
        let rows = restored.take(self.tables.rows);
        rows.iter().map(|batch| self.still_open(batch, &progress)).collect()
    }

    pub(super) fn freeze(&mut self, epoch: Epoch, fresh: Vec<RecordBatch>) -> Result<Vec<FrozenTable>> {
        let mut batches = std::mem::take(&mut self.aborted);
        for batch in &fresh {
            batches.push(self.with_groups(batch)?);
        }
        self.unsettled.push((epoch, batches.clone()));
        let rows = FrozenTable { name: self.tables.rows, change: Change::Merge, batches };
        Ok(vec![rows, self.progress_of(&self.owned)?])
    }

    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        let settled = self.unsettled.extract_if(.., |(unsettled, _)| *unsettled == epoch);
        let batches = settled.flat_map(|(_, batches)| batches);
        if complete {
            batches.for_each(drop);
        } else {
            self.aborted.extend(batches);
        }
    }

    /// Rows of these key groups as rows of the table, and all others as they were.
    pub(super) fn divide(
        &self,
        batch: &RecordBatch,
        groups: &KeyGroups,
    ) -> Result<(RecordBatch, RecordBatch)> {
        let all = self.with_groups(batch)?;
        let leaves = |leaves: bool| -> Result<BooleanArray> {
            let group = key_groups(&all)?.iter();
            Ok(group.map(|&group| Some(groups.contains(KeyGroup(group)) == leaves)).collect())
        };
        Ok((chosen(&all, &leaves(true)?)?, chosen(batch, &leaves(false)?)?))
    }

    /// The tables of what leaves with these key groups.
    pub(super) fn give(
        &mut self,
        groups: &KeyGroups,
        frozen: Vec<RecordBatch>,
        fresh: Vec<RecordBatch>,
    ) -> Result<Vec<FrozenTable>> {
        let (leaving, staying): (Vec<_>, Vec<_>) =
            self.owned.iter().partition(|&&group| groups.contains(group));
        self.owned = staying;
        let frozen = FrozenTable { name: self.tables.rows, change: Change::Merge, batches: frozen };
        let fresh = FrozenTable { name: self.tables.fresh, change: Change::Merge, batches: fresh };
        Ok(vec![frozen, fresh, self.progress_of(&leaving)?])
    }

    /// Rows that were given away: those of an epoch, and those of none yet.
    pub(super) fn receive(&mut self, given: &Snapshot) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>)> {
        let batches = |name: &'static str| {
            let tables = given.tables.iter().filter(move |table| table.name == name);
            tables.flat_map(|table| table.batches.iter().cloned()).collect::<Vec<_>>()
        };
        let progress = self.adopt_progress(&batches(self.tables.progress))?;
        let open = |batch: &RecordBatch| self.still_open(batch, &progress);
        let frozen = batches(self.tables.rows).iter().map(open).collect::<Result<_>>()?;
        let fresh = batches(self.tables.fresh).iter().map(open).collect::<Result<_>>()?;
        Ok((frozen, fresh))
    }

    /// Rows of a table, without key groups, whose window their key group has not closed.
    fn still_open(&self, batch: &RecordBatch, progress: &BTreeMap<u16, Watermark>) -> Result<RecordBatch> {
        let open = |(group, &time): (&u16, &i64)| {
            let closed = progress.get(group).copied().unwrap_or(Watermark::START);
            Some(!is_closed(EventTime(time), closed))
        };
        let times = times(batch, 1 + timestamp_index(&self.rows)?)?;
        let open: BooleanArray = key_groups(batch)?.iter().zip(times).map(open).collect();
        let open = chosen(batch, &open)?;
        RecordBatch::try_new(Arc::clone(&self.rows), open.columns()[1..].to_vec())
            .map_err(|e| Error::internal("the rows of a table are not those of its windows").because(e))
    }

    fn with_groups(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let key: Vec<ArrayRef> = self.key.iter().map(|&index| Arc::clone(batch.column(index))).collect();
        let mut hashes = Vec::new();
        hash_keys(&key, &mut hashes).map_err(|e| Error::internal("a key has no hash").because(e))?;
        let groups: UInt16Array = hashes.iter().map(|&hash| self.key_space.group_of(hash).0).collect();
        let groups: ArrayRef = Arc::new(groups);
        let columns = std::iter::once(groups).chain(batch.columns().iter().cloned()).collect();
        RecordBatch::try_new(Arc::clone(&self.table), columns)
            .map_err(|e| Error::internal("the rows of windows do not fit their table").because(e))
    }

    fn progress_of(&self, groups: &[KeyGroup]) -> Result<FrozenTable> {
        let watermarks = TimestampNanosecondArray::from_value(self.closed.nanos(), groups.len());
        let groups: UInt16Array = groups.iter().map(|group| group.0).collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&self.progress), vec![Arc::new(groups), Arc::new(watermarks)])
                .map_err(|e| Error::internal("the progress of windows does not fit its table").because(e))?;
        Ok(FrozenTable { name: self.tables.progress, change: Change::Upsert, batches: vec![batch] })
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

fn key_groups(batch: &RecordBatch) -> Result<&[u16]> {
    match batch.column(0).as_primitive_opt::<UInt16Type>() {
        Some(groups) if groups.null_count() == 0 => Ok(groups.values()),
        Some(_) | None => Err(Error::internal("the first column of a table is not its key group")),
    }
}

fn chosen(batch: &RecordBatch, keep: &BooleanArray) -> Result<RecordBatch> {
    if keep.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    filter_record_batch(batch, keep)
        .map_err(|e| Error::internal("rows of a table cannot be chosen").because(e))
}
