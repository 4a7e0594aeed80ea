//! Counts rows by key: an operator with the least state that can be lost, doubled or left behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use thalweg_dataflow::{
    Age, Batch, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot, Table, hash_keys};

/// The column of the key.
const KEY: usize = 2;
/// The name of the state's table.
const COUNTS: &str = "counts";

/// What comes in, and how many rows of the key there are by now.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) input: SchemaRef,
}

impl Spec for Tally {
    fn kind(&self) -> &'static str {
        "tally"
    }
    fn encode(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn label(&self) -> String {
        String::new()
    }
}

impl OperatorSpec for Tally {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        let columns = ["k", "n"].map(|name| Field::new(name, DataType::Int64, false));
        let schema = Arc::new(Schema::new(columns.to_vec()));
        let table = Table::new(COUNTS, 1, schema).map_err(broken)?;
        Ok(Box::new(Tallying {
            output: self.output_schema(),
            table,
            counts: BTreeMap::new(),
            gone: KeyGroups::default(),
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        let count = Arc::new(Field::new("n", DataType::Int64, false));
        Arc::new(Schema::new(self.input.fields().iter().cloned().chain([count]).collect::<Vec<_>>()))
    }

    fn stateful(&self) -> bool {
        true
    }
}

struct Tallying {
    output: SchemaRef,
    table: Table,
    /// For each key its row of the table, and its count.
    counts: BTreeMap<i64, (u32, i64)>,
    /// Key groups that left: what is here of their keys means nothing.
    gone: KeyGroups,
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::internal("a tally is broken").because(error)
}

fn numbers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

impl Tallying {
    /// Takes counts over; gives their rows.
    fn load(&mut self, batches: &[RecordBatch]) -> Result<Vec<u32>> {
        let mut rows = Vec::new();
        for batch in batches {
            let groups = batch.column(0).as_primitive::<arrow::datatypes::UInt16Type>();
            let (keys, counts) =
                (batch.column(1).as_primitive::<Int64Type>(), batch.column(2).as_primitive::<Int64Type>());
            for i in 0..batch.num_rows() {
                let (key, count) = (keys.value(i), counts.value(i));
                let known = self.counts.get(&key).map(|(row, _)| *row);
                let row = match known {
                    Some(row) => {
                        self.table.scatter(&[row], 1, &numbers([count])).map_err(broken)?;
                        row
                    }
                    None => self.add(thalweg_state::KeyGroup(groups.value(i)), key, count)?,
                };
                self.counts.insert(key, (row, count));
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn add(&mut self, group: thalweg_state::KeyGroup, key: i64, count: i64) -> Result<u32> {
        self.table.push(&[group], &[numbers([key]), numbers([count])]).map_err(broken)?;
        Ok(self.table.len() as u32 - 1)
    }
}

impl Operator for Tallying {
    fn open(&mut self, mut restored: Restored, _: &mut Context<'_>) -> Result<()> {
        let rows = self.load(&restored.take(COUNTS))?;
        self.table.mark_durable(&rows);
        Ok(())
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let key = Arc::clone(batch.records.column(KEY));
        let mut hashes = Vec::new();
        hash_keys(std::slice::from_ref(&key), &mut hashes).map_err(broken)?;
        let mut counted = Vec::new();
        for (&key, hash) in key.as_primitive::<Int64Type>().values().iter().zip(hashes) {
            let group = cx.settings().key_space.group_of(hash);
            let (row, count) = match self.counts.get(&key) {
                Some((row, _)) if self.gone.contains(group) => (*row, 1),
                Some((row, count)) => (*row, count + 1),
                None => (self.add(group, key, 0)?, 1),
            };
            self.counts.insert(key, (row, count));
            self.table.scatter(&[row], 1, &numbers([count])).map_err(broken)?;
            counted.push(count);
        }
        cx.counters.taken.add(batch.rows());
        let columns = batch.records.columns().iter().cloned().chain([numbers(counted)]).collect();
        let records = RecordBatch::try_new(Arc::clone(&self.output), columns).map_err(broken)?;
        cx.emit(Port::MAIN, records);
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, epoch: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        self.table.freeze(epoch, &self.gone);
        Ok(Snapshot::empty())
    }

    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        let more = self.table.copy_frozen(rows_max).map_err(broken)?;
        Ok(more.map(|counts| Snapshot { tables: vec![counts] }))
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.table.on_settled(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.gone = self.gone.without(groups);
        let batches: Vec<RecordBatch> = given.batches_of(COUNTS).cloned().collect();
        let rows = self.load(&batches)?;
        match age {
            Age::Durable => self.table.mark_durable(&rows),
            Age::Unsettled(epoch) => self.table.mark_unsettled(epoch, &rows),
        }
        Ok(())
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.gone = self.gone.union(groups);
        Ok(())
    }
}
