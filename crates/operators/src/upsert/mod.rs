//! A changelog as one row per primary key: what a table with a primary key is told.
//!
//! For each key the operator knows the multiset of rows that were asserted and
//! not retracted. The row shown is the live one that was asserted last. After
//! each batch a key whose shown row changed gives one row with the row before,
//! the row after, and what happened: `c` created, `u` updated, `d` deleted.
//! Asserts and retracts may come in any order; a retract that comes first is
//! borne until its assert comes. Over input that only appends, each row
//! replaces the one before it.

mod multiset;
mod rows;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Int8Type, Schema, SchemaRef, TimestampNanosecondType};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Age, Batch, Code, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, columns,
};
use thalweg_state::{Epoch, KeyGroups, KeySpace, Restored, Snapshot, hash_keys};

use crate::fingerprint::Fingerprint;
use crate::spec;
use multiset::{Change, KeyRows, Keys};
use rows::RowCodec;

/// The output column of the row before the change; null where there was none.
pub const BEFORE: &str = "before";
/// The output column of the row after the change; null where there is none.
pub const AFTER: &str = "after";
/// The output column of what happened: `c`, `u` or `d`.
pub const OP: &str = "op";

/// An upsert as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upsert {
    input: SchemaRef,
    key: Vec<usize>,
    output: SchemaRef,
}

impl Upsert {
    /// The name in the registry.
    pub const KIND: &'static str = "upsert";

    /// One row per change of the row that has these key columns.
    ///
    /// `input` is a changelog if it has `_diff`. The output has [`BEFORE`],
    /// [`AFTER`] (structs of the columns that are not the engine's own),
    /// [`OP`], and `_timestamp` if the input has it: that of the row after,
    /// or of the row before where it was deleted.
    pub fn new(input: SchemaRef, key: Vec<usize>) -> Result<Self> {
        if key.is_empty() {
            return Err(Error::internal("an upsert has no key"));
        }
        let data: Vec<_> = data_columns(&input).into_iter().map(|i| Arc::clone(&input.fields()[i])).collect();
        let row = DataType::Struct(data.into());
        let mut fields = vec![
            Field::new(BEFORE, row.clone(), true),
            Field::new(AFTER, row, true),
            Field::new(OP, DataType::Utf8, false),
        ];
        fields.extend(input.field_with_name(columns::TIMESTAMP).ok().cloned());
        let spec = Self { key, output: Arc::new(Schema::new(fields)), input };
        RowCodec::new(&spec.input, &spec.key)?;
        Ok(spec)
    }
}

/// The columns that are not the engine's own.
fn data_columns(input: &Schema) -> Vec<usize> {
    let own = [columns::TIMESTAMP, columns::ROW_WATERMARK, columns::DIFF];
    (0..input.fields().len()).filter(|&i| !own.contains(&input.field(i).name().as_str())).collect()
}

impl Spec for Upsert {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        let key = self.key.iter().map(|&index| self.input.field(index).name());
        let columns = data_columns(&self.input).into_iter().map(|index| &self.input.fields()[index]);
        let changelog = self.input.index_of(columns::DIFF).is_ok();
        let of = Fingerprint::new(Self::KIND).parts("key", key).part("changelog", changelog);
        of.columns("rows", columns).finish()
    }

    fn label(&self) -> String {
        let names: Vec<_> = self.key.iter().map(|&index| self.input.field(index).name().as_str()).collect();
        format!("by {}", names.join(", "))
    }
}

impl OperatorSpec for Upsert {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(UpsertOperator {
            codec: RowCodec::new(&self.input, &self.key)?,
            diff: self.input.index_of(columns::DIFF).ok(),
            timestamp: self.input.index_of(columns::TIMESTAMP).ok(),
            spec: self.clone(),
            keys: Keys::default(),
            key_space: KeySpace::default(),
            hashes: Vec::new(),
            pending: None,
            frozen: Vec::new().into_iter(),
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    fn accepts(&self, input: RowKind) -> bool {
        match input {
            RowKind::Append | RowKind::Changelog => true,
        }
    }

    fn emits(&self, _: RowKind) -> RowKind {
        RowKind::Append
    }

    fn stateful(&self) -> bool {
        true
    }
}

struct UpsertOperator {
    spec: Upsert,
    codec: RowCodec,
    diff: Option<usize>,
    timestamp: Option<usize>,
    keys: Keys,
    key_space: KeySpace,
    hashes: Vec<u64>,
    /// Changes not yet given out, and how many of them were.
    pending: Option<(RecordBatch, usize)>,
    /// What the last barrier froze and is still to be written as columns.
    frozen: std::vec::IntoIter<KeyRows>,
}

impl UpsertOperator {
    fn take_rows(&mut self, records: &RecordBatch) -> Result<()> {
        let keys = self.codec.keys(records)?;
        let rows = self.codec.rows(records)?;
        let key_columns: Vec<_> = self.spec.key.iter().map(|&i| Arc::clone(records.column(i))).collect();
        hash_keys(&key_columns, &mut self.hashes)
            .map_err(|e| Error::new(Code::OperatorFailed, "a primary key has no hash").because(e))?;
        let diffs = self.diff.map(|i| records.column(i).as_primitive::<Int8Type>().values());
        let timestamps =
            self.timestamp.map(|i| records.column(i).as_primitive::<TimestampNanosecondType>().values());
        for row in 0..records.num_rows() {
            let key = self.keys.touch(keys.row(row).data(), self.key_space.group_of(self.hashes[row]));
            let timestamp = timestamps.map_or(0, |times| times[row]);
            match diffs {
                Some(diffs) => key.change(rows.row(row).data(), timestamp, i64::from(diffs[row])),
                None => key.replace(rows.row(row).data(), timestamp),
            }
        }
        Ok(())
    }

    fn output(&self, changes: &[Change]) -> Result<RecordBatch> {
        let before = self.codec.decode(changes.iter().map(|c| c.before.as_ref().map(|row| &*row.data)))?;
        let after = self.codec.decode(changes.iter().map(|c| c.after.as_ref().map(|row| &*row.data)))?;
        let op: StringArray = changes.iter().map(|c| Some(c.op())).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(before), Arc::new(after), Arc::new(op)];
        if self.timestamp.is_some() {
            let times = changes.iter().map(Change::timestamp);
            columns.push(Arc::new(TimestampNanosecondArray::from_iter_values(times)));
        }
        RecordBatch::try_new(Arc::clone(&self.spec.output), columns)
            .map_err(|e| Error::internal("changes cannot be written").because(e))
    }
}

impl Operator for UpsertOperator {
    fn open(&mut self, mut restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.key_space = cx.settings().key_space;
        restored.take(rows::TABLE).iter().try_for_each(|batch| {
            rows::thaw(batch, &self.codec, &mut self.keys)?;
            Ok(())
        })
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        self.take_rows(&batch.records)?;
        cx.counters.taken.add(batch.rows());
        let changes = self.keys.changes();
        self.pending = Some((self.output(&changes)?, 0));
        self.resume(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let Some((changes, given)) = self.pending.take() else { return Ok(Step::Done) };
        let rows = cx.batch_rows_max().min(changes.num_rows() - given);
        cx.emit(Port::MAIN, changes.slice(given, rows));
        if given + rows == changes.num_rows() {
            return Ok(Step::Done);
        }
        self.pending = Some((changes, given + rows));
        Ok(Step::More)
    }

    fn flush(&mut self, _: &mut Context<'_>) -> Result<Step> {
        self.keys.clear();
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        cx.counters.state_bytes.set(self.keys.bytes() as i64);
        self.frozen = self.keys.freeze(epoch).into_iter();
        Ok(Snapshot { tables: vec![rows::table(&[], &self.codec)?] })
    }

    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        let keys: Vec<KeyRows> = self.frozen.by_ref().take(rows_max).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        Ok(Some(Snapshot { tables: vec![rows::table(&keys, &self.codec)?] }))
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.keys.settle(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.keys.put(groups);
        for batch in given.batches_of(rows::TABLE) {
            let names = rows::thaw(batch, &self.codec, &mut self.keys)?;
            self.keys.mark(age, names);
        }
        Ok(())
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.keys.forget(groups);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
