//! Rows on time, before the shuffle of a window aggregate that is not split.
//!
//! Also before that of sessions and count windows, which are never split.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Batch, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, columns,
};

use super::lateness::{Judged, Lateness};
use super::{Assigner, timestamp_field, timestamp_index};
use crate::spec;

/// The assignment of rows to panes as plain data.
///
/// Drops late rows and counts them. What goes on are all columns but
/// `_watermark`. Where windows are the same for all keys, `_timestamp` is now
/// the row's slot: the last instant of its pane, if it is late for no window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowAssign {
    assigner: Assigner,
    input: SchemaRef,
}

impl WindowAssign {
    /// The name in the registry.
    pub const KIND: &'static str = "window-assign";

    /// Assigns rows of `input`, which has `_timestamp` and, where rows can be late, `_watermark`.
    pub fn new(assigner: Assigner, input: SchemaRef) -> Self {
        Self { assigner, input }
    }

    /// The input columns that go on.
    fn kept(&self) -> Vec<usize> {
        let fields = self.input.fields().iter().enumerate();
        fields.filter(|(_, field)| field.name() != columns::ROW_WATERMARK).map(|(index, _)| index).collect()
    }
}

impl Spec for WindowAssign {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn label(&self) -> String {
        self.assigner.label()
    }
}

impl OperatorSpec for WindowAssign {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(AssignOperator {
            lateness: Lateness::new(self.assigner, &self.input)?,
            assigner: self.assigner,
            kept: self.kept(),
            timestamp: timestamp_index(&self.input)?,
            output: self.output_schema(),
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        let field = |index: usize| {
            let field = &self.input.fields()[index];
            if field.name() == columns::TIMESTAMP { timestamp_field() } else { Arc::clone(field) }
        };
        Arc::new(Schema::new(self.kept().into_iter().map(field).collect::<Vec<_>>()))
    }
}

struct AssignOperator {
    lateness: Lateness,
    assigner: Assigner,
    kept: Vec<usize>,
    timestamp: usize,
    output: SchemaRef,
}

impl Operator for AssignOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let Judged { records, late, between, on_time } = self.lateness.judge(batch.records)?;
        cx.counters.late.add(late);
        cx.counters.filtered.add(between);
        cx.counters.taken.add(records.num_rows());
        let timestamps: ArrayRef = match self.assigner {
            Assigner::Aligned(panes) => {
                let slots = self.lateness.slots(panes, &records, on_time)?.of_slots(panes);
                Arc::new(TimestampNanosecondArray::from(slots))
            }
            Assigner::Session { .. } | Assigner::Count { .. } => Arc::clone(records.column(self.timestamp)),
        };
        let kept = self.kept.iter().map(|&index| {
            if index == self.timestamp { Arc::clone(&timestamps) } else { Arc::clone(records.column(index)) }
        });
        let output = RecordBatch::try_new(Arc::clone(&self.output), kept.collect())
            .map_err(|e| Error::internal("assigned rows do not fit their schema").because(e))?;
        cx.emit(Port::MAIN, output);
        Ok(Step::Done)
    }
}
