//! Windows of event time: gathered by slot, given out when the watermark reaches their end.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StructArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Age, Batch, Context, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot};

use super::held::{Half, States};
use super::open::Windows;
use super::panes::Panes;
use super::pieces::{Content, Pieces};
use super::snapshot::Durable;
use super::split::{Part, Times, by_slot};
use super::{TIME, times, timestamp_field, timestamp_index};
use crate::aggregate::{Columns, Grouping, Inputs, schema_of};
use crate::fingerprint::Fingerprint;
use crate::row_policy::{Computed, RowPolicy};
use crate::spec;

/// The most groups that were part of a snapshot and that one call puts back where they belong.
const ABSORBED_MAX: usize = 8192;

/// What comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Rows, of which calls are computed.
    Rows,
    /// The output of a [`WindowPartial`](super::WindowPartial).
    States,
}

/// A window aggregate behind its shuffle, as plain data.
///
/// Its output, once per key and window: the keys, the window (if it is wanted)
/// as a struct of `start` and `end`, the results, and `_timestamp`, the window's last instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowAggregate {
    panes: Panes,
    grouping: Grouping,
    stage: Stage,
    policy: RowPolicy,
    input: SchemaRef,
    has_window: bool,
    output: SchemaRef,
}

impl WindowAggregate {
    /// The name in the registry.
    pub const KIND: &'static str = "window-aggregate";

    /// Aggregates the output of a [`WindowAssign`](super::WindowAssign).
    ///
    /// The keys must be whole columns of `input`, for they are also the key of
    /// the shuffle. Windows come out as a struct column of the name `window`, or not at all.
    pub fn of_rows(
        panes: Panes,
        grouping: Grouping,
        input: SchemaRef,
        window: Option<&str>,
        policy: RowPolicy,
    ) -> Result<Self> {
        Self::new(panes, grouping, Stage::Rows, input, window, policy)
    }

    /// Merges the output of a [`WindowPartial`](super::WindowPartial), which knows how to make this.
    pub(super) fn of_states(
        panes: Panes,
        grouping: Grouping,
        input: SchemaRef,
        window: Option<&str>,
    ) -> Result<Self> {
        Self::new(panes, grouping, Stage::States, input, window, RowPolicy::Fail)
    }

    fn new(
        panes: Panes,
        grouping: Grouping,
        stage: Stage,
        input: SchemaRef,
        window: Option<&str>,
        policy: RowPolicy,
    ) -> Result<Self> {
        grouping.key_columns()?;
        let output = schema_of([
            grouping.key_fields(),
            window.map(window_field).into_iter().collect(),
            grouping.value_fields(),
            vec![timestamp_field()],
        ]);
        Ok(Self { panes, grouping, stage, policy, input, has_window: window.is_some(), output })
    }

    /// The input columns to shuffle by: the keys or, where there is none and
    /// windows do not overlap, `_timestamp`. None: all rows go to one subtask.
    pub fn shuffle_key(&self) -> Result<Option<Vec<usize>>> {
        let keys = self.grouping.key_columns()?;
        match keys.is_empty() {
            false => Ok(Some(keys)),
            true if self.panes.overlap() => Ok(None),
            true => Ok(Some(vec![timestamp_index(&self.input)?])),
        }
    }
}

/// The column of windows.
pub(super) fn window_field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Struct(bounds()), false))
}

/// The fields of a window.
pub(super) fn bounds() -> Fields {
    Fields::from(vec![Field::new("start", TIME, false), Field::new("end", TIME, false)])
}

impl Spec for WindowAggregate {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        let keyed_by_window = self.grouping.keys().is_empty() && !self.panes.overlap();
        let of = Fingerprint::new(Self::KIND).part("panes", self.panes.canonical());
        self.grouping.fingerprint(of.part("keyed by window", keyed_by_window))
    }

    fn label(&self) -> String {
        format!("{} {}", self.panes.label(), self.grouping.label())
    }
}

impl OperatorSpec for WindowAggregate {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let timestamp = timestamp_index(&self.input)?;
        let inputs = Inputs::new(&self.grouping, &self.input, timestamp, functions)?;
        Ok(Box::new(AggregateOperator {
            windows: Windows::new(self.panes, &self.grouping, inputs, functions)?,
            timestamp,
            spec: self.clone(),
            durable: Durable::new(self.panes, &self.grouping)?,
            giving: None,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    fn stateful(&self) -> bool {
        true
    }
}

struct AggregateOperator {
    spec: WindowAggregate,
    timestamp: usize,
    windows: Windows,
    durable: Durable,
    giving: Option<Pieces>,
}

impl AggregateOperator {
    fn columns_of(&self, records: RecordBatch, cx: &mut Context<'_>) -> Result<Computed> {
        match self.spec.stage {
            Stage::Rows => self.windows.tables.inputs().compute(records, self.spec.policy, cx.now()),
            Stage::States => {
                let columns = records.columns()[..self.timestamp].to_vec();
                Ok(Computed { records, columns, refused: 0 })
            }
        }
    }

    /// Gives the next piece of the windows that are closed, in the order of time.
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        if self.giving.is_none() {
            self.giving = self.next_window(cx.batch_rows_max())?;
        }
        if let Some(pieces) = &mut self.giving {
            cx.emit(Port::MAIN, pieces.next_piece()?);
            if pieces.is_empty() {
                self.giving = None;
            }
        }
        let more = self.giving.is_some() || self.first_closed().is_some();
        if !more {
            self.report(cx);
        }
        Ok(if more { Step::More } else { Step::Done })
    }

    fn first_closed(&self) -> Option<i64> {
        self.windows.first_closed(self.durable.progress.closed())
    }

    fn next_window(&mut self, piece_rows_max: usize) -> Result<Option<Pieces>> {
        while let Some(window) = self.first_closed() {
            let (columns, groups) = self.windows.close(window)?;
            let (mut columns, groups) = self.durable.staying(window, columns, groups)?;
            self.durable.given_out(&self.windows);
            if groups > 0 {
                let values = columns.split_off(self.spec.grouping.keys().len());
                return Ok(Some(self.pieces(window, columns, values, groups, piece_rows_max)));
            }
        }
        Ok(None)
    }

    fn pieces(
        &self,
        window: i64,
        keys: Columns,
        values: Columns,
        groups: usize,
        piece_rows_max: usize,
    ) -> Pieces {
        let panes = self.spec.panes;
        Pieces::new(Arc::clone(&self.spec.output), groups, piece_rows_max, |piece_rows| {
            let constant =
                |time| Arc::new(TimestampNanosecondArray::from_value(time, piece_rows)) as ArrayRef;
            let bounds_of = || {
                let columns = vec![constant(panes.start_of(window)), constant(panes.end_of(window))];
                Content::Constant(Arc::new(StructArray::new(bounds(), columns, None)))
            };
            keys.into_iter()
                .map(Content::Rows)
                .chain(self.spec.has_window.then(bounds_of))
                .chain(values.into_iter().map(Content::Rows))
                .chain([Content::Constant(constant(panes.last_of(window)))])
                .collect()
        })
    }

    fn report(&self, cx: &Context<'_>) {
        cx.counters.open_windows.set(self.windows.slots.len() as i64);
        cx.counters.state_bytes.set(self.windows.bytes() as i64);
    }
}

impl Operator for AggregateOperator {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.durable.open(restored, &mut self.windows, cx.settings())?;
        self.report(cx);
        Ok(())
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let Computed { records, columns, refused } = self.columns_of(batch.records, cx)?;
        cx.counters.refused.add(refused);
        let slots = Times::OfSlots(times(&records, self.timestamp)?.into());
        for part in by_slot(self.spec.panes, &slots, columns)? {
            let Some(slot) = self.spec.panes.raised(part.slot, self.durable.progress.closed()) else {
                cx.counters.late.add(part.rows);
                continue;
            };
            cx.counters.taken.add(part.rows);
            let Part { columns, rows, .. } = part;
            match self.spec.stage {
                Stage::Rows => self.windows.add(slot, Half::Fresh, |table| table.update(&columns, rows))?,
                Stage::States if self.spec.panes.overlap() => {
                    self.windows.gather(slot, States { columns, rows })?;
                }
                Stage::States => self.windows.add(slot, Half::Fresh, |table| table.merge(&columns, rows))?,
            }
        }
        self.windows.absorb(ABSORBED_MAX)?;
        cx.counters.open_windows.set(self.windows.slots.len() as i64);
        Ok(Step::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.durable.close_until(watermark, &mut self.windows)?;
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }

    fn flush(&mut self, _: &mut Context<'_>) -> Result<Step> {
        self.windows.absorb(ABSORBED_MAX)?;
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        let snapshot = self.durable.freeze(epoch, &mut self.windows)?;
        self.report(cx);
        Ok(snapshot)
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.durable.settle(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.durable.put(groups, &given, age, &mut self.windows)
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.durable.forget(groups, &self.windows);
        Ok(())
    }
}
