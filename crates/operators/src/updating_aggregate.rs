//! `GROUP BY` without a window, over rows that only come: the first changelog.
//!
//! Every group has one row of result, live from its first input row on. A batch
//! that changes it retracts the old row and asserts the new one; a batch that
//! does not change it says nothing.
//!
//! ```text
//! batch ─► keys ─► ids of touched groups ─► gather their states ─┐
//!   └────► arguments ───────────────────────────────────────────►├─► kernels ─► states ─► scatter
//!                                                                └─► old and new result ─► −1, +1
//! ```
//!
//! States lie in a [`Table`](thalweg_state::Table) of our own, by group id;
//! DataFusion's accumulators are kernels on the groups that a batch touches, and
//! hold nothing between batches. What was asserted is remembered, not computed
//! again, so a retract equals its assert in every column.

mod changes;
mod distinct;
mod groups;
mod index;
mod snapshot;
mod touched;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Age, Batch, Context, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark, columns,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot};

use crate::aggregate::{Grouping, Inputs, schema_of};
use crate::fingerprint::Fingerprint;
use crate::row_policy::{Computed, RowPolicy};
use crate::spec;
use crate::window::{times, timestamp_field, timestamp_index};
use groups::Groups;

/// An aggregate whose results change, as plain data.
///
/// Its output: the keys, the results, `_timestamp`, the greatest event time
/// among the rows that last changed the result, and `_diff`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpdatingAggregate {
    grouping: Grouping,
    policy: RowPolicy,
    input: SchemaRef,
    output: SchemaRef,
}

impl UpdatingAggregate {
    /// The name in the registry.
    pub const KIND: &'static str = "updating-aggregate";

    /// Aggregates rows of `input`, which has `_timestamp`.
    ///
    /// Without keys there is one group; it must be given one subtask, and if
    /// no row ever comes its result over nothing is asserted at the end.
    pub fn new(grouping: Grouping, input: SchemaRef, policy: RowPolicy) -> Result<Self> {
        let diff = Arc::new(Field::new(columns::DIFF, DataType::Int8, false));
        let output =
            schema_of([grouping.key_fields(), grouping.value_fields(), vec![timestamp_field(), diff]]);
        Ok(Self { grouping, policy, input, output })
    }

    /// The input columns to shuffle by: the keys. Empty if there are none.
    /// Fails if a key is not a whole column of the input.
    pub fn shuffle_key(&self) -> Result<Vec<usize>> {
        self.grouping.key_columns()
    }
}

impl Spec for UpdatingAggregate {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        let of = Fingerprint::new(Self::KIND).columns("results", &self.grouping.value_fields());
        self.grouping.fingerprint(of)
    }

    fn label(&self) -> String {
        self.grouping.label()
    }
}

impl OperatorSpec for UpdatingAggregate {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let timestamp = timestamp_index(&self.input)?;
        Ok(Box::new(UpdatingOperator {
            inputs: Inputs::new(&self.grouping, &self.input, timestamp, functions)?,
            groups: Groups::new(&self.grouping, &self.output, functions)?,
            timestamp,
            policy: self.policy,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    fn emits(&self, _: RowKind) -> RowKind {
        RowKind::Changelog
    }

    fn stateful(&self) -> bool {
        true
    }
}

struct UpdatingOperator {
    inputs: Inputs,
    groups: Groups,
    timestamp: usize,
    policy: RowPolicy,
}

impl UpdatingOperator {
    fn report(&self, cx: &Context<'_>) {
        cx.counters.state_bytes.set(self.groups.bytes() as i64);
    }
}

impl Operator for UpdatingOperator {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.groups.open(restored, cx.settings())?;
        self.report(cx);
        Ok(())
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let Computed { records, columns, refused } =
            self.inputs.compute(batch.records, self.policy, cx.now())?;
        cx.counters.refused.add(refused);
        cx.counters.taken.add(records.num_rows());
        let times = times(&records, self.timestamp)?;
        if times.is_empty() {
            return Ok(Step::Done);
        }
        let (keys, _): (&[ArrayRef], _) = columns.split_at(self.inputs.keys());
        let changes = self.groups.update(keys, &columns, self.inputs.calls(), times)?;
        changes.into_iter().for_each(|change| cx.emit(Port::MAIN, change));
        Ok(Step::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        if watermark == Watermark::END
            && let Some(row) = self.groups.result_over_nothing()?
        {
            cx.emit(Port::MAIN, row);
        }
        self.report(cx);
        Ok(Step::Done)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.report(cx);
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, epoch: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        Ok(self.groups.freeze(epoch))
    }

    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        self.groups.copy_frozen(rows_max)
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.groups.on_settled(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.groups.put(groups, &given, age)
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.groups.forget(groups);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
