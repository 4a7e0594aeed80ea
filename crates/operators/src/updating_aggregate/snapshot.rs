//! Groups as durable tables, and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt16Array, UInt32Array, new_null_array,
};
use arrow::compute::{filter_record_batch, take_arrays};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt32Type};
use thalweg_dataflow::{Error, Result};
use thalweg_state::{Epoch, FrozenTable, KeyGroups, KeySpace, Restored, Snapshot, Table};

use super::distinct::Seen;
use super::groups::{GROUPS, Groups, store};
use crate::aggregate::{Columns, failed, schema_of};
use crate::durable::key_group_field;

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
    pub(super) fn open(&mut self, mut restored: Restored, key_space: KeySpace) -> Result<()> {
        self.key_space = key_space;
        self.load_groups(&restored.take(GROUPS))?;
        self.load_distinct(&restored.take(DISTINCT))?;
        self.table.mark_durable();
        self.seen().for_each(|(_, seen)| seen.table.mark_durable());
        Ok(())
    }

    /// What changed since the last complete epoch.
    pub(super) fn freeze(&mut self, epoch: Epoch) -> Result<Snapshot> {
        let groups = self.table.freeze(epoch).map_err(store)?;
        let rows: Vec<Vec<u32>> = self.seen().map(|(_, seen)| seen.table.freeze_rows(epoch)).collect();
        Ok(Snapshot { tables: vec![groups, self.distinct_table(&rows)?] })
    }

    pub(super) fn take(&mut self, groups: &KeyGroups) -> Result<Snapshot> {
        let leaving = |table: &Table| {
            (0..table.len() as u32).filter(|&row| groups.contains(table.group(row))).collect()
        };
        let rows: Vec<Vec<u32>> = self.seen().map(|(_, seen)| leaving(&seen.table)).collect();
        let distinct = self.distinct_table(&rows)?;
        let (given, moved) = self.table.take(groups).map_err(store)?;
        self.seen().try_for_each(|(_, seen)| seen.renumber(&moved))?;
        self.index_keys()?;
        Ok(Snapshot { tables: vec![given, distinct] })
    }

    pub(super) fn put(&mut self, given: &Snapshot) -> Result<()> {
        let batches = |name| -> Vec<RecordBatch> { given.batches_of(name).cloned().collect() };
        self.load_groups(&batches(GROUPS))?;
        self.load_distinct(&batches(DISTINCT))
    }

    /// The calls that count distinct values, by number.
    fn seen(&mut self) -> impl Iterator<Item = (usize, &mut Seen)> {
        self.kernels.iter_mut().enumerate().filter_map(|(i, kernel)| Some((i, kernel.seen.as_mut()?)))
    }

    /// Group ids are the rows of the table again: each key gets the id of its row.
    fn index_keys(&mut self) -> Result<()> {
        self.keys.clear()?;
        self.toucher.clear();
        let rows: Vec<u32> = (0..self.table.len() as u32).collect();
        let keys = gather(&self.table, &rows, 0..self.key_columns)?;
        self.keys.intern(&keys, rows.len(), &mut self.ids)?;
        if self.ids.iter().enumerate().all(|(row, &id)| row == id) {
            return Ok(());
        }
        // Ids of keys whose hashes collide may come in another order: the rows follow.
        let moved: Vec<Option<u32>> = self.ids.iter().map(|&id| Some(id as u32)).collect();
        let mut order = vec![0; rows.len()];
        rows.iter().for_each(|&row| order[self.ids[row as usize]] = row);
        let groups: Vec<_> = order.iter().map(|&row| self.table.group(row)).collect();
        let columns = gather(&self.table, &order, 0..self.table.schema().fields().len())?;
        let mut ordered = Table::new(GROUPS, self.key_columns, Arc::clone(self.table.schema())).map_err(store)?;
        ordered.push(&groups, &columns).map_err(store)?;
        self.table = ordered;
        self.seen().try_for_each(|(_, seen)| seen.renumber(&moved))
    }

    /// Adds or replaces groups.
    fn load_groups(&mut self, batches: &[RecordBatch]) -> Result<()> {
        for batch in batches {
            let columns = &batch.columns()[1..];
            let before = self.table.len();
            self.keys.intern(&columns[..self.key_columns], batch.num_rows(), &mut self.ids)?;
            let touched = self.toucher.touch(&self.ids, before, self.keys.len());
            if touched.len() != batch.num_rows() {
                return Err(Error::internal("a key stands twice in one batch of a table"));
            }
            let rows = UInt32Array::from(touched.first_rows.clone());
            let columns = take_arrays(columns, &rows, None).map_err(|e| failed(e.into()))?;
            let old = touched.old.len();
            for (column, values) in columns.iter().enumerate().skip(self.key_columns) {
                self.table.scatter(&touched.old, column, &values.slice(0, old)).map_err(store)?;
            }
            let new: Columns = columns.iter().map(|c| c.slice(old, touched.len() - old)).collect();
            let groups = self.key_groups(&new[..self.key_columns], touched.len() - old)?;
            self.table.push(&groups, &new).map_err(store)?;
        }
        Ok(())
    }

    /// Adds pairs of groups that are there.
    fn load_distinct(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let call_column = 1 + self.key_columns;
        for batch in batches {
            let calls = batch.column(call_column).as_primitive_opt::<UInt32Type>().cloned();
            let calls =
                calls.ok_or_else(|| Error::internal("a table of distinct values does not say whose"))?;
            let mut start = call_column + 1;
            for index in 0..self.kernels.len() {
                if self.kernels[index].seen.is_none() {
                    continue;
                }
                let arguments = start..start + self.kernels[index].call.arguments().len();
                start = arguments.end;
                let own: BooleanArray =
                    calls.values().iter().map(|&call| Some(call as usize == index)).collect();
                let rows = filter_record_batch(batch, &own).map_err(|e| failed(e.into()))?;
                self.load_pairs(
                    index,
                    &rows.columns()[1..call_column],
                    &rows.columns()[arguments],
                    rows.num_rows(),
                )?;
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
    ) -> Result<()> {
        self.keys.intern(keys, rows, &mut self.ids)?;
        if self.keys.len() != self.table.len() {
            return Err(Error::internal("there are distinct values of a group that is not there"));
        }
        let groups: ArrayRef = Arc::new(self.ids.iter().map(|&id| id as u32).collect::<UInt32Array>());
        let columns: Columns = [groups].into_iter().chain(arguments.iter().cloned()).collect();
        let Self { kernels, table, .. } = self;
        if let Some(seen) = &mut kernels[call].seen {
            seen.add(&columns, |group| table.group(group as u32))?;
        }
        Ok(())
    }

    /// Rows of what each call has seen, with the keys of their groups: one batch per call.
    fn distinct_table(&self, rows: &[Vec<u32>]) -> Result<FrozenTable> {
        let schema = self.distinct_schema();
        let seen = self.kernels.iter().enumerate().filter_map(|(i, kernel)| Some((i, kernel.seen.as_ref()?)));
        let mut batches = Vec::new();
        for ((call, seen), rows) in seen.zip(rows) {
            if rows.is_empty() {
                continue;
            }
            let groups = seen.table.gather(rows, 0).map_err(store)?;
            let groups = groups.as_primitive::<UInt32Type>().values();
            let key_groups: UInt16Array = groups.iter().map(|&group| self.table.group(group).0).collect();
            let mut columns: Columns = vec![Arc::new(key_groups)];
            columns.extend(gather(&self.table, groups, 0..self.key_columns)?);
            columns.push(Arc::new(UInt32Array::from_value(call as u32, rows.len())));
            for (other, kernel) in self.kernels.iter().enumerate().filter(|(_, kernel)| kernel.seen.is_some())
            {
                if other == call {
                    columns.extend(gather(&seen.table, rows, 1..seen.table.schema().fields().len())?);
                } else {
                    let arguments = kernel.call.arguments().iter();
                    columns.extend(arguments.map(|e| new_null_array(e.data_type(), rows.len())));
                }
            }
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
                .map_err(|e| Error::internal("distinct values do not fit their table").because(e))?;
            batches.push(batch);
        }
        Ok(FrozenTable::upsert(DISTINCT, self.distinct_schema().fields().len() - 1, batches))
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

fn gather(table: &Table, rows: &[u32], columns: std::ops::Range<usize>) -> Result<Columns> {
    columns.map(|column| table.gather(rows, column).map_err(store)).collect()
}
