//! Count windows: for each key, so many rows in the order in which they come.
//!
//! A window is given out with the row that makes it full; its event time is the
//! greatest of its rows' times. No row is late. Where a key's rows come over
//! several channels, which of them come first is not promised, so neither is
//! which window a row falls into.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Age, Batch, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot};

use super::super::{Incomplete, times, timestamp_field, timestamp_index};
use super::counted::{Counted, State, Window};
use super::log::{Log, Part};
use super::runs::Cutter;
use crate::aggregate::{Grouping, Inputs, schema_of};
use crate::fingerprint::Fingerprint;
use crate::row_policy::{Computed, RowPolicy};
use crate::spec;

/// How many windows one call looks at for those that left.
const SWEPT_MAX: usize = 1024;

/// An aggregate over count windows, behind its shuffle, as plain data.
///
/// Its output, once per window: the keys, the results, and `_timestamp`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CountAggregate {
    rows: u64,
    incomplete: Incomplete,
    grouping: Grouping,
    policy: RowPolicy,
    input: SchemaRef,
    output: SchemaRef,
}

impl CountAggregate {
    /// The name in the registry.
    pub const KIND: &'static str = "count-aggregate";

    /// Aggregates windows of `rows` rows of `input`. The keys must be whole
    /// columns of it, for they are also the key of the shuffle.
    pub fn new(
        rows: u64,
        incomplete: Incomplete,
        grouping: Grouping,
        input: SchemaRef,
        policy: RowPolicy,
    ) -> Result<Self> {
        grouping.key_columns()?;
        let output = schema_of([grouping.key_fields(), grouping.value_fields(), vec![timestamp_field()]]);
        Ok(Self { rows, incomplete, grouping, policy, input, output })
    }

    /// The input columns to shuffle by: the keys. None: all rows go to one subtask.
    pub fn shuffle_key(&self) -> Result<Option<Vec<usize>>> {
        Ok(Some(self.grouping.key_columns()?).filter(|keys| !keys.is_empty()))
    }
}

impl Spec for CountAggregate {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        self.grouping.fingerprint(Fingerprint::new(Self::KIND).part("rows", self.rows))
    }

    fn label(&self) -> String {
        format!("count({}) {}", self.rows, self.grouping.label())
    }
}

impl OperatorSpec for CountAggregate {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let timestamp = timestamp_index(&self.input)?;
        let inputs = Inputs::new(&self.grouping, &self.input, timestamp, functions)?;
        Ok(Box::new(CountOperator {
            log: Log::new(&self.grouping, &inputs, functions)?,
            inputs,
            timestamp,
            cutter: Cutter::new(&self.grouping)?,
            windows: Counted::new(self.rows, &self.grouping)?,
            full: VecDeque::new(),
            spec: self.clone(),
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    fn stateful(&self) -> bool {
        true
    }
}

struct CountOperator {
    spec: CountAggregate,
    inputs: Inputs,
    timestamp: usize,
    cutter: Cutter,
    log: Log,
    windows: Counted,
    /// Windows that are to be given out; none between two messages.
    full: VecDeque<Window>,
}

impl CountOperator {
    fn add(&mut self, columns: &[ArrayRef], times: &[i64]) -> Result<()> {
        let windows = &self.windows;
        let room = |key: &[u8], first| if first { windows.room(key) } else { windows.size() };
        let runs = self.cutter.cut(&columns[..self.inputs.keys()], times, |_, _| true, room)?;
        let parts = self.log.aggregate(runs.keys()?, columns, &runs.of_row, runs.spans())?;
        for (run, part) in runs.runs.iter().zip(parts) {
            self.full.extend(self.windows.add(runs.key_of(run), run, part));
        }
        if self.log.is_long(self.windows.len() + self.full.len()) {
            let full = self.full.iter_mut().map(|window| &mut window.parts);
            self.log.compact(self.windows.parts().chain(full))?;
        }
        Ok(())
    }

    /// Gives the next piece of the windows that are full, in the order in which they became so.
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let piece: Vec<Window> = self.full.drain(..self.full.len().min(cx.batch_rows_max())).collect();
        if !piece.is_empty() {
            cx.emit(Port::MAIN, self.results(&piece)?);
            piece.iter().for_each(|window| self.log.release(&window.parts));
        }
        cx.counters.open_windows.set(self.windows.len() as i64);
        Ok(if self.full.is_empty() { Step::Done } else { Step::More })
    }

    fn state(&mut self) -> (&mut Counted, State<'_>) {
        let Self { windows, log, cutter, .. } = self;
        (windows, State { log, encoder: cutter.encoder() })
    }

    fn results(&mut self, windows: &[Window]) -> Result<RecordBatch> {
        let parts: Vec<&[Part]> = windows.iter().map(|window| &window.parts[..]).collect();
        let mut columns = self.log.results(&parts)?;
        let lasts: Vec<i64> = windows.iter().map(|window| window.last).collect();
        columns.push(Arc::new(TimestampNanosecondArray::from(lasts)));
        RecordBatch::try_new(Arc::clone(&self.spec.output), columns)
            .map_err(|e| Error::internal("the results of count windows do not fit").because(e))
    }
}

impl Operator for CountOperator {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        let (windows, mut state) = self.state();
        windows.open(restored, &mut state, cx.settings())
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let Computed { records, columns, refused } =
            self.inputs.compute(batch.records, self.spec.policy, cx.now())?;
        cx.counters.refused.add(refused);
        cx.counters.taken.add(records.num_rows());
        let times = times(&records, self.timestamp)?;
        if !times.is_empty() {
            self.add(&columns, times)?;
        }
        self.give(cx)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        if watermark == Watermark::END {
            let (windows, mut state) = self.state();
            let rest = windows.take_all(&mut state)?;
            match self.spec.incomplete {
                Incomplete::Drop => rest.iter().for_each(|window| self.log.release(&window.parts)),
                Incomplete::Emit => self.full.extend(rest),
            }
        }
        cx.counters.state_bytes.set(self.log.bytes() as i64);
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }

    fn flush(&mut self, _: &mut Context<'_>) -> Result<Step> {
        let (windows, mut state) = self.state();
        windows.sweep(SWEPT_MAX, &mut state)?;
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, epoch: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        let (windows, mut state) = self.state();
        windows.freeze(epoch, &mut state)
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.windows.settle(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        let (windows, mut state) = self.state();
        windows.put(groups, &given, age, &mut state)
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.windows.forget(groups);
        Ok(())
    }
}
