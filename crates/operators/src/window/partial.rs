//! Panes, aggregated before the shuffle.
//!
//! Holds one table per pane and gives out states, not results: when the input
//! is empty, before a watermark that closes the pane, and when there are too
//! many groups. It flushes before every barrier, so it has nothing to save.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Batch, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark,
};

use super::assigner::Pane;
use super::lateness::Lateness;
use super::pieces::{Content, Pieces};
use super::reduction::Reduction;
use super::split::by_pane;
use super::{Assigner, WindowAggregate, times, timestamp_field, timestamp_index};
use crate::aggregate::{Columns, Grouping, Inputs, schema_of};
use crate::expression::Expression;
use crate::group_table::GroupTable;
use crate::row_policy::{Computed, RowPolicy};
use crate::spec;

/// The most groups, over all panes, that are held before the shuffle.
const GROUPS_MAX: usize = 64 * 1024;
/// The most emptied tables that are kept for later panes.
const TABLES_KEPT_MAX: usize = 2;

/// The part of a split window aggregate before the shuffle, as plain data.
///
/// Its output: the keys, the states of the calls, and `_timestamp`, the last instant of the pane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowPartial {
    assigner: Assigner,
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
    pub fn new(assigner: Assigner, grouping: Grouping, input: SchemaRef, policy: RowPolicy) -> Result<Self> {
        if !grouping.splits() {
            return Err(Error::internal(format!("'{}' cannot be aggregated in parts", grouping.label())));
        }
        let output = schema_of([grouping.key_fields(), grouping.state_fields()?, vec![timestamp_field()]]);
        Ok(Self { assigner, grouping, policy, input, output })
    }

    /// The other part, for behind the shuffle. Windows come out as a struct column of this name.
    pub fn merged(&self, window: &str) -> Result<WindowAggregate> {
        let key = |(index, (_, name)): (usize, &(Expression, String))| {
            (Expression::column(&self.output, index), name.clone())
        };
        let keys = self.grouping.keys().iter().enumerate().map(key).collect();
        let grouping = Grouping::new(keys, self.grouping.calls().to_vec());
        WindowAggregate::of_states(self.assigner, grouping, Arc::clone(&self.output), window)
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
        format!("{} {}", self.assigner.label(), self.grouping.label())
    }
}

impl OperatorSpec for WindowPartial {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        let timestamp = timestamp_index(&self.input)?;
        Ok(Box::new(PartialOperator {
            lateness: Lateness::new(self.assigner, &self.input)?,
            inputs: Inputs::new(&self.grouping, &self.input, timestamp),
            timestamp,
            spec: self.clone(),
            panes: BTreeMap::new(),
            groups: 0,
            kept: Vec::new(),
            reduction: Reduction::default(),
            giving: None,
            until: Watermark::START,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }
}

/// One pane's table, and how many rows went into it.
struct Held {
    table: GroupTable,
    rows: usize,
}

struct PartialOperator {
    spec: WindowPartial,
    lateness: Lateness,
    inputs: Inputs,
    timestamp: usize,
    panes: BTreeMap<Pane, Held>,
    /// Groups in all panes.
    groups: usize,
    /// Emptied tables.
    kept: Vec<GroupTable>,
    reduction: Reduction,
    giving: Option<Pieces>,
    /// Panes that this watermark closes are to be given out.
    until: Watermark,
}

impl PartialOperator {
    fn hold(&mut self, pane: Pane, columns: &[ArrayRef], rows: usize) -> Result<()> {
        if !self.panes.contains_key(&pane) {
            let table = match self.kept.pop() {
                Some(table) => table,
                None => GroupTable::new(&self.spec.grouping, &self.inputs)?,
            };
            self.panes.insert(pane, Held { table, rows: 0 });
        }
        let held = self.panes.get_mut(&pane).expect("it was put there if it was not");
        let before = held.table.len();
        held.table.update(columns, rows)?;
        held.rows += rows;
        self.groups += held.table.len() - before;
        Ok(())
    }

    /// Gives rows out as states of one row each.
    fn pass(&mut self, times: &[i64], columns: &[ArrayRef], cx: &mut Context<'_>) -> Result<()> {
        if self.kept.is_empty() {
            self.kept.push(GroupTable::new(&self.spec.grouping, &self.inputs)?);
        }
        let assigner = self.spec.assigner;
        let lasts: Vec<i64> = times.iter().map(|&time| assigner.last_of(assigner.pane_of(time))).collect();
        let mut states = self.kept[0].convert(columns)?;
        states.push(Arc::new(TimestampNanosecondArray::from(lasts)));
        let output = RecordBatch::try_new(Arc::clone(&self.spec.output), states)
            .map_err(|e| Error::internal("states do not fit their schema").because(e))?;
        cx.emit(Port::MAIN, output);
        Ok(())
    }

    /// Gives the next piece of the panes that `until` closes, in the order of panes.
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        if self.giving.is_none() {
            self.giving = self.next_pane(cx.batch_rows_max())?;
        }
        let Some(pieces) = &mut self.giving else { return Ok(Step::Done) };
        cx.emit(Port::MAIN, pieces.next_piece()?);
        if pieces.is_empty() {
            self.giving = None;
        }
        let more = self.giving.is_some() || self.first_closed().is_some();
        Ok(if more { Step::More } else { Step::Done })
    }

    fn first_closed(&self) -> Option<Pane> {
        self.panes.keys().next().copied().filter(|&pane| self.spec.assigner.is_closed(pane, self.until))
    }

    fn next_pane(&mut self, piece_rows_max: usize) -> Result<Option<Pieces>> {
        let Some(pane) = self.first_closed() else { return Ok(None) };
        let Held { mut table, rows } = self.panes.remove(&pane).expect("it was just seen");
        let groups = table.len();
        self.groups -= groups;
        self.reduction.measured(rows, groups);
        let columns: Columns = table.take_state()?;
        if self.kept.len() < TABLES_KEPT_MAX {
            self.kept.push(table);
        }
        let last = self.spec.assigner.last_of(pane);
        let schema = Arc::clone(&self.spec.output);
        Ok(Some(Pieces::new(schema, groups, piece_rows_max, |piece_rows| {
            let lasts = Arc::new(TimestampNanosecondArray::from_value(last, piece_rows));
            columns.into_iter().map(Content::Rows).chain([Content::Constant(lasts)]).collect()
        })))
    }
}

impl Operator for PartialOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let (records, late) = self.lateness.judge(batch.records)?;
        cx.counters.late.add(late);
        let Computed { records, columns, refused } =
            self.inputs.compute(records, self.spec.policy, cx.now())?;
        cx.counters.refused.add(refused);
        let rows = records.num_rows();
        cx.counters.taken.add(rows);
        let times = times(&records, self.timestamp)?;
        if rows > 0 && self.reduction.passes(rows) {
            self.pass(times, &columns, cx)?;
            return Ok(Step::Done);
        }
        for part in by_pane(self.spec.assigner, times, columns)? {
            self.hold(part.pane, &part.columns, part.rows)?;
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
        cx.counters.state_bytes.set(self.panes.values().map(|held| held.table.bytes() as i64).sum());
        Ok(step)
    }
}
