//! Windows: a table per pane, given out when the watermark reaches its end.
//!
//! Each pane has two tables, what is durable (or on its way to be) and what came since the last
//! barrier. At a barrier the second is the increment of the snapshot and goes
//! into the first, so nothing is ever read that must be kept. While there are
//! no barriers only the second exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StructArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Batch, Context, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot};

use super::assigner::Pane;
use super::pieces::{Content, Pieces};
use super::snapshot::Durable;
use super::split::{Part, by_pane};
use super::{Assigner, TIME, times, timestamp_field, timestamp_index};
use crate::aggregate::{Columns, Grouping, Inputs, schema_of};
use crate::group_table::GroupTable;
use crate::row_policy::{Computed, RowPolicy};
use crate::spec;

/// The most emptied tables that are kept for later panes.
const TABLES_KEPT_MAX: usize = 2;

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
/// Its output, once per key and window: the keys, the window as a struct of
/// `start` and `end`, the results, and `_timestamp`, the window's last instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowAggregate {
    assigner: Assigner,
    grouping: Grouping,
    stage: Stage,
    policy: RowPolicy,
    input: SchemaRef,
    output: SchemaRef,
}

impl WindowAggregate {
    /// The name in the registry.
    pub const KIND: &'static str = "window-aggregate";

    /// Aggregates the output of a [`WindowAssign`](super::WindowAssign).
    ///
    /// The keys must be whole columns of `input`, for they are also the key of
    /// the shuffle. Windows come out as a struct column named `window`.
    pub fn of_rows(
        assigner: Assigner,
        grouping: Grouping,
        input: SchemaRef,
        window: &str,
        policy: RowPolicy,
    ) -> Result<Self> {
        Self::new(assigner, grouping, Stage::Rows, input, window, policy)
    }

    /// Merges the output of a [`WindowPartial`](super::WindowPartial), which knows how to make this.
    pub(super) fn of_states(
        assigner: Assigner,
        grouping: Grouping,
        input: SchemaRef,
        window: &str,
    ) -> Result<Self> {
        Self::new(assigner, grouping, Stage::States, input, window, RowPolicy::Fail)
    }

    fn new(
        assigner: Assigner,
        grouping: Grouping,
        stage: Stage,
        input: SchemaRef,
        window: &str,
        policy: RowPolicy,
    ) -> Result<Self> {
        grouping.key_columns()?;
        let window: FieldRef = Arc::new(Field::new(window, DataType::Struct(bounds()), false));
        let output = schema_of([
            grouping.key_fields(),
            vec![window],
            grouping.value_fields(),
            vec![timestamp_field()],
        ]);
        Ok(Self { assigner, grouping, stage, policy, input, output })
    }

    /// The input columns to shuffle by: the keys or, where there is none, `_timestamp`.
    pub fn shuffle_key(&self) -> Result<Vec<usize>> {
        let keys = self.grouping.key_columns()?;
        if keys.is_empty() { Ok(vec![timestamp_index(&self.input)?]) } else { Ok(keys) }
    }
}

/// The fields of a window.
fn bounds() -> Fields {
    Fields::from(vec![Field::new("start", TIME, false), Field::new("end", TIME, false)])
}

impl Spec for WindowAggregate {
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

impl OperatorSpec for WindowAggregate {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        let timestamp = timestamp_index(&self.input)?;
        Ok(Box::new(AggregateOperator {
            windows: Windows::new(self, timestamp)?,
            timestamp,
            spec: self.clone(),
            durable: Durable::new(self.assigner, &self.grouping)?,
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

/// What is known of one pane.
#[derive(Default)]
pub(super) struct Window {
    /// What barriers have already taken note of.
    pub(super) frozen: Option<GroupTable>,
    /// What came since.
    pub(super) fresh: Option<GroupTable>,
}

/// All open windows.
pub(super) struct Windows {
    grouping: Grouping,
    pub(super) inputs: Inputs,
    pub(super) open: BTreeMap<Pane, Window>,
    /// Emptied tables.
    kept: Vec<GroupTable>,
}

impl Windows {
    fn new(spec: &WindowAggregate, timestamp: usize) -> Result<Self> {
        Ok(Self {
            inputs: Inputs::new(&spec.grouping, &spec.input, timestamp),
            grouping: spec.grouping.clone(),
            open: BTreeMap::new(),
            kept: Vec::new(),
        })
    }

    /// An empty table, used or new.
    pub(super) fn table(&mut self) -> Result<GroupTable> {
        match self.kept.pop() {
            Some(table) => Ok(table),
            None => GroupTable::new(&self.grouping, &self.inputs),
        }
    }

    /// Takes back a table that was emptied.
    pub(super) fn keep(&mut self, table: GroupTable) {
        if self.kept.len() < TABLES_KEPT_MAX {
            self.kept.push(table);
        }
    }

    fn add(&mut self, part: &Part, stage: Stage) -> Result<()> {
        let mut window = self.open.remove(&part.pane).unwrap_or_default();
        let mut table = match window.fresh.take() {
            Some(table) => table,
            None => self.table()?,
        };
        match stage {
            Stage::Rows => table.update(&part.columns, part.rows)?,
            Stage::States => table.merge(&part.columns, part.rows)?,
        }
        window.fresh = Some(table);
        self.open.insert(part.pane, window);
        Ok(())
    }

    /// Keys and results of a window that closes.
    fn close(&mut self, window: Window) -> Result<(Columns, usize)> {
        let mut table = match window {
            Window { frozen: None, fresh: Some(table) } | Window { frozen: Some(table), fresh: None } => {
                table
            }
            Window { frozen: Some(mut frozen), fresh: Some(mut fresh) } => {
                let rows = fresh.len();
                frozen.merge(&fresh.take_state()?, rows)?;
                self.keep(fresh);
                frozen
            }
            Window { frozen: None, fresh: None } => return Ok((Vec::new(), 0)),
        };
        let groups = table.len();
        let columns = table.take_values()?;
        self.keep(table);
        Ok((columns, groups))
    }

    fn bytes(&self) -> usize {
        let tables = self.open.values().flat_map(|w| [&w.frozen, &w.fresh]).flatten();
        tables.chain(&self.kept).map(GroupTable::bytes).sum()
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
            Stage::Rows => self.windows.inputs.compute(records, self.spec.policy, cx.now()),
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

    fn first_closed(&self) -> Option<Pane> {
        let first = self.windows.open.keys().next().copied();
        first.filter(|&pane| self.spec.assigner.is_closed(pane, self.durable.closed()))
    }

    fn next_window(&mut self, piece_rows_max: usize) -> Result<Option<Pieces>> {
        while let Some(pane) = self.first_closed() {
            let window = self.windows.open.remove(&pane).expect("it was just seen");
            let (mut columns, groups) = self.windows.close(window)?;
            if groups > 0 {
                let values = columns.split_off(self.spec.grouping.keys().len());
                return Ok(Some(self.pieces(pane, columns, values, groups, piece_rows_max)));
            }
        }
        Ok(None)
    }

    fn pieces(
        &self,
        pane: Pane,
        keys: Columns,
        values: Columns,
        groups: usize,
        piece_rows_max: usize,
    ) -> Pieces {
        let assigner = self.spec.assigner;
        Pieces::new(Arc::clone(&self.spec.output), groups, piece_rows_max, |piece_rows| {
            let constant =
                |time| Arc::new(TimestampNanosecondArray::from_value(time, piece_rows)) as ArrayRef;
            let window = StructArray::new(
                bounds(),
                vec![constant(assigner.start_of(pane)), constant(assigner.end_of(pane))],
                None,
            );
            keys.into_iter()
                .map(Content::Rows)
                .chain([Content::Constant(Arc::new(window))])
                .chain(values.into_iter().map(Content::Rows))
                .chain([Content::Constant(constant(assigner.last_of(pane)))])
                .collect()
        })
    }

    fn report(&self, cx: &Context<'_>) {
        cx.counters.open_windows.set(self.windows.open.len() as i64);
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
        for part in by_pane(self.spec.assigner, times(&records, self.timestamp)?, columns)? {
            if self.spec.assigner.is_closed(part.pane, self.durable.closed()) {
                cx.counters.late.add(part.rows);
            } else {
                cx.counters.taken.add(part.rows);
                self.windows.add(&part, self.spec.stage)?;
            }
        }
        cx.counters.open_windows.set(self.windows.open.len() as i64);
        Ok(Step::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.durable.close_until(watermark);
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        let snapshot = self.durable.freeze(epoch, &mut self.windows)?;
        self.report(cx);
        Ok(snapshot)
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.durable.settle(epoch, complete);
    }

    fn take(&mut self, groups: &KeyGroups) -> Result<Snapshot> {
        self.durable.take(groups, &mut self.windows)
    }

    fn put(&mut self, groups: Snapshot) -> Result<()> {
        self.durable.put(groups, &mut self.windows)
    }
}
