//! One operator of the product, called as a chain calls it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::operator::{Output, Settings};
use thalweg_dataflow::{Batch, Context, Functions, Operator, Port, ProcessingTime, Step};
use thalweg_state::{Epoch, KeySpace, OperatorId, Restored, Snapshot, Subtask};

use super::START_NANOS;
use super::kept::Planned;

/// An operator without a chain around it. What it gives out is dropped.
pub(super) struct Driven {
    pub(super) id: OperatorId,
    operator: Box<dyn Operator>,
    /// Of the rows that it takes.
    input: SchemaRef,
    counters: OperatorCounters,
    settings: Settings,
}

impl Driven {
    /// The operator of this kind of a plan, as the only subtask.
    pub(super) fn new(planned: &Planned, kind: &str) -> Result<Self> {
        let graph = &planned.graph;
        let is_it = |piece: &Piece| piece.spec().kind() == kind;
        let (index, node) =
            graph.nodes().find(|(_, node)| is_it(&node.piece)).with_context(|| kind.to_owned())?;
        let above = graph.inputs(index).next().context("an operator has an input")?;
        let input = match &graph.node(above.from.0).piece {
            Piece::Source(spec) => spec.output_schema(),
            Piece::Operator(spec) => spec.output_schema(),
            Piece::Sink(_) => unreachable!("nothing comes out of a sink"),
        };
        let Piece::Operator(spec) = &node.piece else { unreachable!("the kind is one of an operator") };
        Ok(Self {
            id: node.id.clone(),
            operator: spec.build(&Functions::default())?,
            input,
            counters: OperatorCounters::default(),
            settings: Settings {
                subtask: Subtask(0),
                parallelism: 1,
                batch_rows_max: 8_192,
                key_space: KeySpace::default(),
            },
        })
    }

    pub(super) fn open(&mut self, restored: Restored) -> Result<()> {
        self.call(|operator, cx| operator.open(restored, cx))
    }

    /// Gives it rows with these keys in its first column, and ones in the others.
    pub(super) fn take(&mut self, keys: &[i64]) -> Result<()> {
        let columns = self.input.fields().iter().enumerate().map(|(index, field)| -> ArrayRef {
            match (index, field.data_type()) {
                (0, _) => Arc::new(Int64Array::from(keys.to_vec())),
                (_, DataType::Timestamp(..)) => {
                    Arc::new(TimestampNanosecondArray::from_value(START_NANOS, keys.len()))
                }
                (_, _) => Arc::new(Int64Array::from_value(1, keys.len())),
            }
        });
        let batch = Batch::new(RecordBatch::try_new(Arc::clone(&self.input), columns.collect())?);
        self.finish(|operator, cx| operator.on_batch(Port::MAIN, batch, cx))
    }

    /// Its input is empty.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.finish(|operator, cx| operator.flush(cx))
    }

    /// A barrier passes, behind a [flush](Self::flush). Some of what it froze may still have to be [copied](Self::copy).
    pub(super) fn freeze(&mut self, epoch: Epoch) -> Result<Snapshot> {
        self.call(|operator, cx| operator.on_barrier(epoch, cx))
    }

    /// Copies a piece of what was frozen; false, if there was none.
    pub(super) fn copy(&mut self, snapshot: &mut Snapshot) -> Result<bool> {
        let more = self.operator.copy_frozen(self.settings.batch_rows_max)?;
        let any = more.is_some();
        snapshot.extend(more.unwrap_or_default());
        Ok(any)
    }

    pub(super) fn complete(&mut self, epoch: Epoch) {
        self.operator.on_settled(epoch, true);
    }

    /// The bytes that it says it holds in memory.
    pub(super) fn state_bytes(&self) -> i64 {
        self.counters.state_bytes.get()
    }

    fn finish(
        &mut self,
        first: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> thalweg::Result<Step>,
    ) -> Result<()> {
        let mut step = self.call(first)?;
        while step == Step::More {
            step = self.call(|operator, cx| operator.resume(cx))?;
        }
        Ok(())
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> thalweg::Result<T>,
    ) -> Result<T> {
        let (mut output, mut timers): (Vec<Output>, Vec<ProcessingTime>) = (Vec::new(), Vec::new());
        let mut cx =
            Context::new(&self.counters, &mut output, &mut timers, &self.settings, ProcessingTime(0));
        Ok(call(&mut *self.operator, &mut cx)?)
    }
}
