//! Panes, aggregated before the shuffle.
//!
//! Holds one table per slot and gives out states, not results: when the input
//! is empty, before a watermark that closes a window which reads it, and when
//! there are too many groups. It flushes before every barrier, so it has nothing to save.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Batch, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark,
};

use super::lateness::{Judged, Lateness};
use super::panes::{Panes, Slot};
use super::pieces::{Content, Pieces};
use super::reduction::Reduction;
use super::split::{Times, by_slot};
use super::tables::Tables;
use super::{Assigner, WindowAggregate, timestamp_field, timestamp_index};
use crate::aggregate::{Columns, Grouping, Inputs, schema_of};
use crate::expression::Expression;
use crate::group_table::GroupTable;
use crate::row_policy::{Computed, RowPolicy};
use crate::spec;

/// The most groups, over all panes, that are held before the shuffle.
const GROUPS_MAX: usize = 64 * 1024;

/// The part of a split window aggregate before the shuffle, as plain data.
///
/// Its output: the keys, the states of the calls, and `_timestamp`, the slot:
/// the last instant of the pane, less a nanosecond for each window that closed before the rows came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowPartial {
    panes: Panes,
    grouping: Grouping,
    policy: RowPolicy,
    input: SchemaRef,
    output: SchemaRef,
}

impl WindowPartial {
    /// The name in the registry.
    pub const KIND: &'static str = "window-partial";

    /// Aggregates rows of `input`, which has `_timestamp` and, where rows can
    /// be late, `_watermark`. The grouping must [split](Grouping::splits).
    pub fn new(panes: Panes, grouping: Grouping, input: SchemaRef, policy: RowPolicy) -> Result<Self> {
        if !grouping.splits() {
            return Err(Error::internal(format!("'{}' cannot be aggregated in parts", grouping.label())));
        }
        let output = schema_of([grouping.key_fields(), grouping.state_fields()?, vec![timestamp_field()]]);
        Ok(Self { panes, grouping, policy, input, output })
    }

    /// The other part, for behind the shuffle. Windows come out as a struct
    /// column of this name, or not at all.
    pub fn merged(&self, window: Option<&str>) -> Result<WindowAggregate> {
        let key = |(index, (_, name)): (usize, &(Expression, String))| {
            (Expression::column(&self.output, index), name.clone())
        };
        let keys = self.grouping.keys().iter().enumerate().map(key).collect();
        let grouping = Grouping::new(keys, self.grouping.calls().to_vec());
        WindowAggregate::of_states(self.panes, grouping, Arc::clone(&self.output), window)
    }
}

impl Spec for WindowPartial {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn label(&self) -> String {
        format!("{} {}", self.panes.label(), self.grouping.label())
    }
}

impl OperatorSpec for WindowPartial {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let timestamp = timestamp_index(&self.input)?;
        Ok(Box::new(PartialOperator {
            lateness: Lateness::new(Assigner::Aligned(self.panes), &self.input)?,
            tables: Tables::new(
                &self.grouping,
                Inputs::new(&self.grouping, &self.input, timestamp, functions)?,
                functions,
            )?,
            spec: self.clone(),
            slots: BTreeMap::new(),
            groups: 0,
            reduction: Reduction::default(),
            giving: None,
            until: Watermark::START,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }
}

/// One slot's table, and how many rows went into it.
struct Held {
    table: GroupTable,
    rows: usize,
}

struct PartialOperator {
    spec: WindowPartial,
    lateness: Lateness,
    tables: Tables,
    slots: BTreeMap<Slot, Held>,
    /// Groups in all slots.
    groups: usize,
    reduction: Reduction,
    giving: Option<Pieces>,
    /// Slots that are read by a window that this watermark closes are to be given out.
    until: Watermark,
}

impl PartialOperator {
    fn hold(&mut self, slot: Slot, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if !self.slots.contains_key(&slot) {
            let table = self.tables.table()?;
            self.slots.insert(slot, Held { table, rows: 0 });
        }
        let held = self.slots.get_mut(&slot).expect("it was put there if it was not");
        let before = held.table.len();
        held.table.update(columns, rows)?;
        held.rows += rows;
        self.groups += held.table.len() - before;
        Ok(())
    }

    /// Gives rows out as states of one row each.
    fn pass(&mut self, slots: Vec<i64>, columns: &[ArrayRef], cx: &mut Context<'_>) -> Result<()> {
        let table = self.tables.table()?;
        let mut states = table.convert(columns)?;
        self.tables.keep(table);
        states.push(Arc::new(TimestampNanosecondArray::from(slots)));
        let output = RecordBatch::try_new(Arc::clone(&self.spec.output), states)
            .map_err(|e| Error::internal("states do not fit their schema").because(e))?;
        cx.emit(Port::MAIN, output);
        Ok(())
    }

    /// Gives the next piece of the slots that `until` asks for, in the order of slots.
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        if self.giving.is_none() {
            self.giving = self.next_slot(cx.batch_rows_max())?;
        }
        let Some(pieces) = &mut self.giving else { return Ok(Step::Done) };
        cx.emit(Port::MAIN, pieces.next_piece()?);
        if pieces.is_empty() {
            self.giving = None;
        }
        let more = self.giving.is_some() || self.first_wanted().is_some();
        Ok(if more { Step::More } else { Step::Done })
    }

    fn first_wanted(&self) -> Option<Slot> {
        let first = self.slots.keys().next().copied();
        first.filter(|slot| self.spec.panes.is_closed(slot.from, self.until))
    }

    fn next_slot(&mut self, piece_rows_max: usize) -> Result<Option<Pieces>> {
        let Some(slot) = self.first_wanted() else { return Ok(None) };
        let Held { mut table, rows } = self.slots.remove(&slot).expect("it was just seen");
        let groups = table.len();
        self.groups -= groups;
        self.reduction.measured(rows, groups);
        let columns: Columns = table.take_state()?;
        self.tables.keep(table);
        let time = self.spec.panes.time_of(slot);
        let schema = Arc::clone(&self.spec.output);
        Ok(Some(Pieces::new(schema, groups, piece_rows_max, |piece_rows| {
            let times = Arc::new(TimestampNanosecondArray::from_value(time, piece_rows));
            columns.into_iter().map(Content::Rows).chain([Content::Constant(times)]).collect()
        })))
    }
}

impl Operator for PartialOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let Judged { records, late, between, on_time } = self.lateness.judge(batch.records)?;
        cx.counters.late.add(late);
        cx.counters.filtered.add(between);
        let Computed { records, columns, refused } =
            self.tables.inputs().compute(records, self.spec.policy, cx.now())?;
        cx.counters.refused.add(refused);
        let rows = records.num_rows();
        cx.counters.taken.add(rows);
        let times: Times<'_> = self.lateness.slots(self.spec.panes, &records, on_time)?;
        if rows > 0 && self.reduction.passes(rows) {
            self.pass(times.of_slots(self.spec.panes), &columns, cx)?;
            return Ok(Step::Done);
        }
        for part in by_slot(self.spec.panes, &times, columns)? {
            self.hold(part.slot, &part.columns, part.rows)?;
        }
        if self.groups > GROUPS_MAX { self.flush(cx) } else { Ok(Step::Done) }
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.until = watermark;
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.until = Watermark::END;
        let step = self.give(cx)?;
        cx.counters.state_bytes.set(self.slots.values().map(|held| held.table.bytes() as i64).sum());
        Ok(step)
    }
}
