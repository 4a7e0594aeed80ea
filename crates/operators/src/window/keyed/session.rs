//! Sessions: for each key, rows less than a gap apart.
//!
//! A session begins with its first row and ends a gap behind its last; its end
//! is no longer within. It is given out when the watermark reaches its end.
//!
//! *The law of lateness*: a row is late when its time is before the watermark
//! of its own split just before it, be there a session that it would prolong
//! or not. So whatever comes on time finds every session open that it belongs
//! to, and which session that is depends on no order of splits. (Were rows let
//! in until their own gap has passed, the session that one of them joins might
//! have been given out or not, as the other splits happen to be ahead or behind.)

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StructArray, TimestampNanosecondArray};
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{
    Age, Batch, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, Watermark,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot};

use super::super::aggregate::{bounds, window_field};
use super::super::panes::duration;
use super::super::{times, timestamp_field, timestamp_index};
use super::log::{Log, Part, Span};
use super::runs::Cutter;
use super::sessions::{Session, Sessions};
use super::snapshot::{Durable, State};
use crate::aggregate::{Columns, Grouping, Inputs, failed, schema_of};
use crate::fingerprint::Fingerprint;
use crate::row_policy::{Computed, RowPolicy};
use crate::spec;

/// A session aggregate behind its shuffle, as plain data.
///
/// Its input is the output of a [`WindowAssign`](crate::window::WindowAssign).
/// Its output, once per session: the keys, the window as a struct of `start`
/// and `end`, the results, and `_timestamp`, the session's last instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionAggregate {
    gap_nanos: i64,
    grouping: Grouping,
    policy: RowPolicy,
    input: SchemaRef,
    output: SchemaRef,
}

impl SessionAggregate {
    /// The name in the registry.
    pub const KIND: &'static str = "session-aggregate";

    /// Aggregates rows of `input`. The keys must be whole columns of it, for
    /// they are also the key of the shuffle. Windows come out as a struct column of the name `window`.
    pub fn new(
        gap_nanos: i64,
        grouping: Grouping,
        input: SchemaRef,
        window: &str,
        policy: RowPolicy,
    ) -> Result<Self> {
        grouping.key_columns()?;
        let output = schema_of([
            grouping.key_fields(),
            vec![window_field(window)],
            grouping.value_fields(),
            vec![timestamp_field()],
        ]);
        Ok(Self { gap_nanos, grouping, policy, input, output })
    }

    /// The input columns to shuffle by: the keys. None: all rows go to one subtask.
    pub fn shuffle_key(&self) -> Result<Option<Vec<usize>>> {
        Ok(Some(self.grouping.key_columns()?).filter(|keys| !keys.is_empty()))
    }
}

impl Spec for SessionAggregate {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        let of = Fingerprint::new(Self::KIND).part("gap", format_args!("{} ns", self.gap_nanos));
        self.grouping.fingerprint(of)
    }

    fn label(&self) -> String {
        format!("session({}) {}", duration(self.gap_nanos), self.grouping.label())
    }
}

impl OperatorSpec for SessionAggregate {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let timestamp = timestamp_index(&self.input)?;
        let inputs = Inputs::new(&self.grouping, &self.input, timestamp, functions)?;
        Ok(Box::new(SessionOperator {
            log: Log::new(&self.grouping, &inputs, functions)?,
            inputs,
            timestamp,
            cutter: Cutter::new(&self.grouping)?,
            sessions: Sessions::new(self.gap_nanos),
            durable: Durable::new(&self.grouping)?,
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

struct SessionOperator {
    spec: SessionAggregate,
    inputs: Inputs,
    timestamp: usize,
    cutter: Cutter,
    log: Log,
    sessions: Sessions,
    durable: Durable,
}

impl SessionOperator {
    /// Aggregates rows on time as runs, and puts the runs into sessions.
    fn add(&mut self, columns: &[ArrayRef], times: &[i64]) -> Result<()> {
        let sessions = &self.sessions;
        let joins = |span: Span, time| sessions.joins(span, Span { first: time, last: time });
        let keys = &columns[..self.inputs.keys()];
        let runs = self.cutter.cut(keys, times, |run, time| joins(run.span, time), |_, _| u64::MAX)?;
        let parts = self.log.aggregate(runs.keys()?, columns, &runs.of_row, runs.spans())?;
        for (run, part) in runs.runs.iter().zip(parts) {
            self.sessions.add(runs.key_of(run), run.span, part);
        }
        if self.log.is_long(self.sessions.len()) {
            self.log.compact(self.sessions.parts())?;
        }
        Ok(())
    }

    /// Gives the next piece of the sessions that are closed, in the order of their ends.
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let closed = self.durable.progress.closed();
        let next = || self.sessions.close_one(closed);
        let sessions: Vec<Session> = std::iter::from_fn(next).take(cx.batch_rows_max()).collect();
        let (durable, mut state) = self.state();
        let sessions = durable.staying(sessions, &mut state)?;
        if !sessions.is_empty() {
            cx.emit(Port::MAIN, self.results(&sessions)?);
            sessions.iter().for_each(|session| self.log.release(&session.parts));
        }
        let more = self.sessions.may_close(closed);
        if !more {
            self.report(cx);
        }
        Ok(if more { Step::More } else { Step::Done })
    }

    fn results(&mut self, sessions: &[Session]) -> Result<RecordBatch> {
        let parts: Vec<&[Part]> = sessions.iter().map(|session| &session.parts[..]).collect();
        let mut columns = self.log.results(&parts)?;
        let values = columns.split_off(self.inputs.keys());
        let of = |time: &dyn Fn(&Session) -> i64| {
            let times: Vec<i64> = sessions.iter().map(time).collect();
            Arc::new(TimestampNanosecondArray::from(times)) as ArrayRef
        };
        let end = |session: &Session| self.sessions.end_of(session.span);
        let window = StructArray::new(bounds(), vec![of(&|session| session.span.first), of(&end)], None);
        columns.push(Arc::new(window));
        columns.extend(values);
        columns.push(of(&|session| end(session) - 1));
        RecordBatch::try_new(Arc::clone(&self.spec.output), columns)
            .map_err(|e| Error::internal("the results of sessions do not fit").because(e))
    }

    fn state(&mut self) -> (&mut Durable, State<'_>) {
        let Self { durable, log, sessions, cutter, .. } = self;
        (durable, State { log, sessions, encoder: cutter.encoder() })
    }

    fn report(&self, cx: &Context<'_>) {
        cx.counters.open_windows.set(self.sessions.len() as i64);
        cx.counters.state_bytes.set((self.log.bytes() + self.sessions.bytes()) as i64);
    }
}

impl Operator for SessionOperator {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        let (durable, mut state) = self.state();
        durable.open(restored, &mut state, cx.settings())?;
        self.report(cx);
        Ok(())
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let Computed { records, columns, refused } =
            self.inputs.compute(batch.records, self.spec.policy, cx.now())?;
        cx.counters.refused.add(refused);
        let times = times(&records, self.timestamp)?;
        let (columns, times) = on_time(columns, times, self.durable.progress.closed())?;
        cx.counters.late.add(records.num_rows() - times.len());
        cx.counters.taken.add(times.len());
        if !times.is_empty() {
            self.add(&columns, &times)?;
        }
        cx.counters.open_windows.set(self.sessions.len() as i64);
        Ok(Step::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        let (durable, mut state) = self.state();
        durable.close_until(watermark, &mut state)?;
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        let (durable, mut state) = self.state();
        let snapshot = durable.freeze(epoch, &mut state)?;
        self.report(cx);
        Ok(snapshot)
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.durable.settle(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        let (durable, mut state) = self.state();
        durable.put(groups, &given, age, &mut state)
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.durable.forget(groups, &self.sessions);
        Ok(())
    }
}

/// The rows that are not before the watermark. Others come only when an idle split comes back.
fn on_time(columns: Columns, times: &[i64], closed: Watermark) -> Result<(Columns, Vec<i64>)> {
    let is_on_time = |time: &&i64| **time >= closed.nanos();
    let kept: Vec<i64> = times.iter().filter(is_on_time).copied().collect();
    if kept.len() == times.len() {
        return Ok((columns, kept));
    }
    let mask: BooleanArray = times.iter().map(|time| Some(is_on_time(&time))).collect();
    let columns = columns.iter().map(|column| filter(column, &mask)).collect::<Result<_, _>>();
    Ok((columns.map_err(|e| failed(e.into()))?, kept))
}
