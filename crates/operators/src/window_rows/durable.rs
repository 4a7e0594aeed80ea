//! Rows of open windows as durable tables.
//!
//! Rows of windows that closed later are not deleted: a snapshot says until
//! which instant they are over, and a restore drops the rows that the progress
//! of their key group has passed.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::operator::{Age, Settings};
use thalweg_dataflow::{Error, EventTime, Result, Watermark};
use thalweg_state::{Epoch, Expiry, FrozenTable, KeyGroup, KeyGroups, Restored, Snapshot};

use super::{Tables, is_closed};
use crate::aggregate::schema_of;
use crate::durable::{
    Came, Gone, Increments, Progress, chosen, key_group_column, key_group_field, key_groups,
};
use crate::window::{times, timestamp_index};

/// What makes the rows outlive the process. Knows their columns, not the rows.
pub(super) struct Durable {
    tables: Tables,
    rows: SchemaRef,
    timestamp: usize,
    /// The table of rows: the key group, then the columns.
    table: SchemaRef,
    key: Vec<usize>,
    pub(super) progress: Progress,
    increments: Increments,
    pub(super) gone: Gone<EventTime>,
}

impl Durable {
    pub(super) fn new(tables: Tables, rows: &SchemaRef, key: Vec<usize>) -> Result<Self> {
        Ok(Self {
            tables,
            rows: Arc::clone(rows),
            timestamp: timestamp_index(rows)?,
            table: schema_of([vec![key_group_field()], rows.fields().to_vec()]),
            key,
            progress: Progress::new(tables.progress),
            increments: Increments::default(),
            gone: Gone::default(),
        })
    }

    /// The restored rows of open windows.
    pub(super) fn open(&mut self, restored: &mut Restored, settings: &Settings) -> Result<Vec<RecordBatch>> {
        self.progress.open(restored, settings)?;
        restored.take(self.tables.rows).iter().map(|batch| self.still_open(batch)).collect()
    }

    pub(super) fn freeze(&mut self, epoch: Epoch, fresh: &[RecordBatch]) -> Result<Vec<FrozenTable>> {
        let batch = |batch| self.gone.without(self.with_groups(batch)?);
        let mut batches = fresh.iter().map(batch).collect::<Result<Vec<_>>>()?;
        batches.retain(|batch| batch.num_rows() > 0);
        let rows = FrozenTable::merge(self.tables.rows, batches);
        let mut tables = self.increments.add(epoch, vec![rows]);
        let given_out = self.progress.given_out();
        if given_out > Watermark::START {
            let through = if given_out == Watermark::END { i64::MAX } else { given_out.nanos() - 1 };
            let expiry = Expiry { column: 1 + self.timestamp, through };
            tables = tables.into_iter().map(|table| table.expiring(expiry)).collect();
        }
        tables.push(self.progress.freeze(epoch)?);
        Ok(tables)
    }

    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.increments.settle(epoch, complete);
        self.progress.settle(epoch, complete);
    }

    /// Rows of another owner.
    pub(super) fn put(&mut self, groups: &KeyGroups, given: &Snapshot, age: Age) -> Result<Vec<RecordBatch>> {
        self.progress.put(groups, given)?;
        let rows: Vec<RecordBatch> = given.batches_of(self.tables.rows).cloned().collect();
        let open = rows.iter().map(|batch| self.still_open(batch)).collect();
        self.increments.put(age, vec![FrozenTable::merge(self.tables.rows, rows)]);
        open
    }

    /// These key groups leave; `last` is the last instant that has rows.
    pub(super) fn forget(&mut self, groups: &KeyGroups, last: Option<EventTime>) {
        self.progress.forget(groups);
        self.increments.forget(groups);
        self.gone.add(groups, last);
    }

    /// The rows that did not leave with their key groups.
    pub(super) fn without_gone(&self, batch: RecordBatch) -> Result<RecordBatch> {
        match self.gone.is_empty() {
            true => Ok(batch),
            false => self.kept(batch, |group, _| !self.gone.contains(group)),
        }
    }

    /// The rows whose window was not given out where they come from, and that did not leave since.
    pub(super) fn without_given(&self, batch: RecordBatch, came: &Came) -> Result<RecordBatch> {
        self.kept(batch, |group, time| !self.gone.contains(group) && !is_closed(time, came.of(group.0)))
    }

    fn kept(&self, batch: RecordBatch, keep: impl Fn(KeyGroup, EventTime) -> bool) -> Result<RecordBatch> {
        let groups = self.key_groups_of(&batch)?;
        let times = times(&batch, self.timestamp)?;
        let kept: BooleanArray =
            groups.iter().zip(times).map(|(&group, &time)| Some(keep(group, EventTime(time)))).collect();
        if kept.true_count() == batch.num_rows() {
            return Ok(batch);
        }
        filter_record_batch(&batch, &kept)
            .map_err(|e| Error::internal("rows of a window cannot be chosen").because(e))
    }

    /// Rows of a table, without key groups, whose window is not known to be closed for their key group.
    fn still_open(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let open = |(&group, &time): (&u16, &i64)| {
            let closed = self.progress.came_closed(group).unwrap_or(Watermark::START);
            Some(!is_closed(EventTime(time), closed))
        };
        let times = times(batch, 1 + self.timestamp)?;
        let open: BooleanArray = key_groups(batch)?.iter().zip(times).map(open).collect();
        let rows = if open.true_count() == batch.num_rows() { batch.clone() } else { chosen(batch, &open)? };
        RecordBatch::try_new(Arc::clone(&self.rows), rows.columns()[1..].to_vec())
            .map_err(|e| Error::internal("the rows of a table are not those of its windows").because(e))
    }

    fn key_groups_of(&self, batch: &RecordBatch) -> Result<Vec<KeyGroup>> {
        let key: Vec<ArrayRef> = self.key.iter().map(|&index| Arc::clone(batch.column(index))).collect();
        self.progress.key_groups_of(&key, batch.num_rows())
    }

    fn with_groups(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let groups = key_group_column(&self.key_groups_of(batch)?);
        let columns = std::iter::once(groups).chain(batch.columns().iter().cloned()).collect();
        RecordBatch::try_new(Arc::clone(&self.table), columns)
            .map_err(|e| Error::internal("the rows of windows do not fit their table").because(e))
    }
}
