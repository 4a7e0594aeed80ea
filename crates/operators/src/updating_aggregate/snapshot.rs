//! Groups as durable tables, and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{filter_record_batch, take_arrays};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt16Type, UInt32Type};
use thalweg_dataflow::operator::{Age, Settings};
use thalweg_dataflow::{Error, Result};
use thalweg_state::{Epoch, FrozenTable, KeyGroups, Restored, Snapshot, Table};

use super::distinct::Seen;
use super::groups::{GROUPS, Groups, store};
use crate::aggregate::{Columns, failed, schema_of};
use crate::durable::{key_group_field, key_groups};

const DISTINCT: &str = "distinct";

/// Names that cannot clash: states and results are numbered behind the keys.
pub(super) fn numbered(schema: SchemaRef, keys: usize) -> SchemaRef {
    let last = schema.fields().len() - 1;
    let named = schema.fields().iter().enumerate().map(|(index, field)| {
        if index < keys || index == last {
            return Arc::clone(field);
        }
        Arc::new(Field::new(format!("_state_{}", index - keys), field.data_type().clone(), true))
    });
    Arc::new(Schema::new(named.collect::<Vec<_>>()))
}

impl Groups {
    pub(super) fn open(&mut self, mut restored: Restored, settings: &Settings) -> Result<()> {
        self.key_space = settings.key_space;
        self.owned = settings.key_space.share(settings.subtask.0, settings.parallelism);
        self.load(Age::Durable, restored.take(GROUPS), &restored.take(DISTINCT))
    }

    /// Freezes what changed since the last complete epoch. Nothing of it is copied yet.
    pub(super) fn freeze(&mut self, epoch: Epoch) -> Snapshot {
        self.table.freeze(epoch, &self.gone);
        let seen = self.kernels.iter_mut().filter_map(|kernel| kernel.seen.as_mut());
        seen.for_each(|seen| seen.table.freeze(epoch, &self.gone));
        let groups = FrozenTable::upsert(GROUPS, self.key_columns, Vec::new());
        Snapshot { tables: vec![groups, self.distinct_table(Vec::new())] }
    }

    /// The next piece of what is frozen.
    pub(super) fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        if let Some(groups) = self.table.copy_frozen(rows_max).map_err(store)? {
            return Ok(Some(Snapshot { tables: vec![groups] }));
        }
        for call in 0..self.kernels.len() {
            let Some(seen) = &mut self.kernels[call].seen else { continue };
            if let Some(pairs) = seen.table.copy_frozen(rows_max).map_err(store)? {
                let pairs = pairs.batches.iter().map(|pairs| self.distinct_pairs(call, pairs));
                let table = self.distinct_table(pairs.collect::<Result<_>>()?);
                return Ok(Some(Snapshot { tables: vec![table] }));
            }
        }
        Ok(None)
    }

    pub(super) fn put(&mut self, groups: &KeyGroups, given: &Snapshot, age: Age) -> Result<()> {
        self.owned = self.owned.union(groups);
        self.gone = self.gone.without(groups);
        let batches = |name| -> Vec<RecordBatch> { given.batches_of(name).cloned().collect() };
        self.load(age, batches(GROUPS), &batches(DISTINCT))
    }

    /// Groups of these key groups stay where they are: no row will touch them, and no snapshot writes
    /// them. No group ever ends, so should they come back, each of them is replaced.
    pub(super) fn forget(&mut self, groups: &KeyGroups) {
        self.owned = self.owned.without(groups);
        self.gone = self.gone.union(groups);
    }

    fn load(&mut self, age: Age, groups: Vec<RecordBatch>, distinct: &[RecordBatch]) -> Result<()> {
        self.keys.reserve(groups.iter().map(RecordBatch::num_rows).sum());
        groups.into_iter().try_for_each(|batch| self.load_groups(batch, age))?;
        distinct.iter().try_for_each(|batch| self.load_distinct(batch, age))
    }

    /// Adds or replaces groups.
    fn load_groups(&mut self, batch: RecordBatch, age: Age) -> Result<()> {
        let before = self.table.len();
        let groups = key_groups(&batch)?.to_vec();
        let (_, mut columns, rows) = batch.into_parts();
        self.keys.intern(&columns[1..=self.key_columns], rows, &mut self.ids)?;
        if !self.ids.iter().copied().eq(before..before + rows) {
            return self.replace_groups(&columns, rows, age);
        }
        // All of them are new, and come as the table holds them.
        columns.remove(0);
        self.table.push_durable(&groups, columns).map_err(store)?;
        if let Age::Unsettled(epoch) = age {
            let new: Vec<u32> = (before as u32..self.table.len() as u32).collect();
            self.table.mark_unsettled(epoch, &new);
        }
        Ok(())
    }

    /// Adds or replaces groups, whose ids are known.
    fn replace_groups(&mut self, columns: &[ArrayRef], rows: usize, age: Age) -> Result<()> {
        let before = self.table.len();
        let touched = self.toucher.touch(&self.ids, before, self.keys.len());
        if touched.len() != rows {
            return Err(Error::internal("a key stands twice in one batch of a table"));
        }
        let rows = UInt32Array::from(touched.first_rows.clone());
        let columns = take_arrays(columns, &rows, None).map_err(|e| failed(e.into()))?;
        let old = touched.old.len();
        for (column, values) in columns[1..].iter().enumerate().skip(self.key_columns) {
            self.table.scatter(&touched.old, column, &values.slice(0, old)).map_err(store)?;
        }
        let new: Columns = columns[1..].iter().map(|c| c.slice(old, touched.len() - old)).collect();
        let groups = columns[0].as_primitive::<UInt16Type>().values();
        self.table.push_durable(&groups[old..], new).map_err(store)?;
        let new = before as u32..self.table.len() as u32;
        mark(&mut self.table, age, &touched.old.into_iter().chain(new).collect::<Vec<u32>>());
        Ok(())
    }

    /// Adds pairs.
    fn load_distinct(&mut self, batch: &RecordBatch, age: Age) -> Result<()> {
        let call_column = 1 + self.key_columns;
        let calls = batch.column(call_column).as_primitive_opt::<UInt32Type>().cloned();
        let calls = calls.ok_or_else(|| Error::internal("a table of distinct values does not say whose"))?;
        let mut start = call_column + 1;
        for index in 0..self.kernels.len() {
            if self.kernels[index].seen.is_none() {
                continue;
            }
            let arguments = start..start + self.kernels[index].call.arguments().len();
            start = arguments.end;
            let own: BooleanArray = calls.values().iter().map(|&call| Some(call as usize == index)).collect();
            let rows = filter_record_batch(batch, &own).map_err(|e| failed(e.into()))?;
            if rows.num_rows() > 0 {
                let (keys, arguments) = (&rows.columns()[1..call_column], &rows.columns()[arguments]);
                self.load_pairs(index, keys, arguments, rows.num_rows(), age)?;
            }
        }
        Ok(())
    }

    fn load_pairs(
        &mut self,
        call: usize,
        keys: &[ArrayRef],
        arguments: &[ArrayRef],
        rows: usize,
        age: Age,
    ) -> Result<()> {
        self.keys.intern(keys, rows, &mut self.ids)?;
        self.await_groups(keys)?;
        let groups: ArrayRef = Arc::new(self.ids.iter().map(|&id| id as u32).collect::<UInt32Array>());
        let columns: Columns = [groups].into_iter().chain(arguments.iter().cloned()).collect();
        let Self { kernels, table, .. } = self;
        if let Some(seen) = &mut kernels[call].seen {
            let before = seen.table.len() as u32;
            seen.add(&columns, |group| table.group(group as u32))?;
            let new: Vec<u32> = (before..seen.table.len() as u32).collect();
            mark(&mut seen.table, age, &new);
        }
        Ok(())
    }

    /// Holds the place of groups whose pairs are here, and that are themselves in a piece that is still to come.
    fn await_groups(&mut self, keys: &[ArrayRef]) -> Result<()> {
        let before = self.table.len();
        if self.keys.len() == before {
            return Ok(());
        }
        let touched = self.toucher.touch(&self.ids, before, self.keys.len());
        let first_rows = UInt32Array::from(touched.first_rows[touched.old.len()..].to_vec());
        let mut columns = take_arrays(keys, &first_rows, None).map_err(|e| failed(e.into()))?;
        let groups = self.key_groups(&columns, first_rows.len())?;
        let rest = &self.table.schema().fields()[self.key_columns..];
        columns.extend(rest.iter().map(|field| new_null_array(field.data_type(), first_rows.len())));
        let groups: Vec<u16> = groups.into_iter().map(|group| group.0).collect();
        self.table.push_durable(&groups, columns).map_err(store)
    }

    fn distinct_table(&self, batches: Vec<RecordBatch>) -> FrozenTable {
        FrozenTable::upsert(DISTINCT, self.distinct_schema().fields().len() - 1, batches)
    }

    /// Pairs that a call has seen, with the keys of their groups. Neither ever changes.
    fn distinct_pairs(&self, call: usize, pairs: &RecordBatch) -> Result<RecordBatch> {
        let groups = pairs.column(1).as_primitive::<UInt32Type>().values();
        let mut columns: Columns = vec![Arc::clone(pairs.column(0))];
        for column in 0..self.key_columns {
            columns.push(self.table.gather(groups, column).map_err(store)?);
        }
        columns.push(Arc::new(UInt32Array::from_value(call as u32, pairs.num_rows())));
        for (other, kernel) in self.kernels.iter().enumerate().filter(|(_, kernel)| kernel.seen.is_some()) {
            if other == call {
                columns.extend_from_slice(&pairs.columns()[2..]);
            } else {
                let arguments = kernel.call.arguments().iter();
                columns.extend(arguments.map(|e| new_null_array(e.data_type(), pairs.num_rows())));
            }
        }
        RecordBatch::try_new(self.distinct_schema(), columns)
            .map_err(|e| Error::internal("distinct values do not fit their table").because(e))
    }

    fn distinct_schema(&self) -> SchemaRef {
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, false)) as FieldRef;
        let keys = self.table.schema().fields()[..self.key_columns].to_vec();
        let calls = self.kernels.iter().enumerate().filter(|(_, kernel)| kernel.seen.is_some());
        let arguments =
            calls.flat_map(|(number, kernel)| Seen::argument_fields(&kernel.call, number)).collect();
        schema_of([vec![key_group_field()], keys, vec![field("_call", DataType::UInt32)], arguments])
    }
}

/// Rows that came from an epoch need not be written, or not for long.
fn mark(table: &mut Table, age: Age, rows: &[u32]) {
    match age {
        Age::Durable => table.mark_durable(rows),
        Age::Unsettled(epoch) => table.mark_unsettled(epoch, rows),
    }
}
