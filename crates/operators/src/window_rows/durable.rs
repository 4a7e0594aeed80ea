//! Rows of open windows as durable tables.
//!
//! Rows of windows that closed later are not deleted: a restore drops the rows
//! that the progress of their key group has passed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Error, EventTime, Result, Watermark};
use thalweg_state::{Epoch, FrozenTable, KeyGroups, Restored, Snapshot};

use super::{Tables, is_closed};
use crate::aggregate::schema_of;
use crate::durable::{self, Increments, Progress, chosen, key_group_field, key_groups};
use crate::window::{times, timestamp_index};

/// What makes the rows outlive the process. Knows their columns, not the rows.
pub(super) struct Durable {
    tables: Tables,
    rows: SchemaRef,
    /// The table of rows: the key group, then the columns.
    table: SchemaRef,
    key: Vec<usize>,
    pub(super) progress: Progress,
    pub(super) increments: Increments,
}

impl Durable {
    pub(super) fn new(tables: Tables, rows: &SchemaRef, key: Vec<usize>) -> Self {
        Self {
            tables,
            rows: Arc::clone(rows),
            table: schema_of([vec![key_group_field()], rows.fields().to_vec()]),
            key,
            progress: Progress::new(tables.progress),
            increments: Increments::default(),
        }
    }

    /// The restored rows of open windows.
    pub(super) fn open(&mut self, restored: &mut Restored, settings: &Settings) -> Result<Vec<RecordBatch>> {
        let progress = self.progress.open(restored, settings)?;
        let rows = restored.take(self.tables.rows);
        rows.iter().map(|batch| self.still_open(batch, &progress)).collect()
    }

    pub(super) fn freeze(&mut self, epoch: Epoch, fresh: &[RecordBatch]) -> Result<Vec<FrozenTable>> {
        let batches = fresh.iter().map(|batch| self.with_groups(batch)).collect::<Result<_>>()?;
        let rows = FrozenTable::merge(self.tables.rows, batches);
        let mut tables = self.increments.add(epoch, vec![rows]);
        tables.push(self.progress.freeze()?);
        Ok(tables)
    }

    /// Rows of these key groups as rows of the table, and all others as they were.
    pub(super) fn divide(
        &self,
        batch: &RecordBatch,
        groups: &KeyGroups,
    ) -> Result<(RecordBatch, RecordBatch)> {
        let (leaving, staying) = durable::divide(&self.with_groups(batch)?, groups)?;
        Ok((leaving, self.without_groups(&staying)?))
    }

    /// The tables of what leaves with these key groups.
    pub(super) fn take(
        &mut self,
        groups: &KeyGroups,
        frozen: Vec<RecordBatch>,
        fresh: Vec<RecordBatch>,
    ) -> Result<Vec<FrozenTable>> {
        let frozen = FrozenTable::merge(self.tables.rows, frozen);
        let fresh = FrozenTable::merge(self.tables.fresh, fresh);
        Ok(vec![frozen, fresh, self.progress.take(groups)?])
    }

    /// Rows that were given away: those of an epoch, and those of none yet.
    pub(super) fn put(&mut self, given: &Snapshot) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>)> {
        let progress = self.progress.put(given)?;
        let open = |batch: &RecordBatch| self.still_open(batch, &progress);
        let frozen = given.batches_of(self.tables.rows).map(open).collect::<Result<_>>()?;
        let fresh = given.batches_of(self.tables.fresh).map(open).collect::<Result<_>>()?;
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
        self.without_groups(&chosen(batch, &open)?)
    }

    fn with_groups(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let key: Vec<ArrayRef> = self.key.iter().map(|&index| Arc::clone(batch.column(index))).collect();
        let groups = self.progress.key_groups_of(&key, batch.num_rows())?;
        let columns = std::iter::once(groups).chain(batch.columns().iter().cloned()).collect();
        RecordBatch::try_new(Arc::clone(&self.table), columns)
            .map_err(|e| Error::internal("the rows of windows do not fit their table").because(e))
    }

    fn without_groups(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::clone(&self.rows), batch.columns()[1..].to_vec())
            .map_err(|e| Error::internal("the rows of a table are not those of its windows").because(e))
    }
}
