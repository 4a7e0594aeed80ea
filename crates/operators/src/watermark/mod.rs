//! Gives rows their event time, and a stream its watermark.
//!
//! The operator stands in the source's own chain and works per split, row by
//! row: the watermark of a split just before a row depends on the rows of that
//! split before it and on nothing else, so neither the size of batches nor the
//! interleaving of splits changes which rows are late. The split's tag ends
//! here.
//!
//! ```text
//!  rows of split a ─► event time ─► generator ─► running max ─► watermark of a ┐
//!  rows of split b ─► event time ─► generator ─► running max ─► watermark of b ┼─► min over those not idle ─► out
//!  rows of split c ─► …                                                        ┘
//! ```
//!
//! What the source itself knows of a split counts like what its rows tell: the
//! greater of both.

mod clock;
mod lateness;
mod snapshot;
mod spec;
mod split;
mod splits;

pub use clock::SplitClock;
pub use spec::{EventTimeFrom, Generator, Watermark};

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{filter, filter_record_batch, is_not_null};
use arrow::datatypes::TimestampNanosecondType;
use thalweg_dataflow::source::SplitEvent;
use thalweg_dataflow::{
    Age, Batch, Code, Context, Error, Functions, Operator, Port, ProcessingTime, Result, Step,
};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot, SplitId};

use crate::expression::{Expression, append_now, without_now};
use crate::row_policy::{Computed, RowPolicy, compute};
use split::Advance;

struct WatermarkOperator {
    spec: Watermark,
    expressions: Vec<Expression>,
    clock: SplitClock,
}

/// Rows that have an event time, with what a generator needs.
struct Timed {
    records: RecordBatch,
    /// No nulls.
    event_times: TimestampNanosecondArray,
    /// What the generator's expression gave; null moves nothing.
    generated: Option<TimestampNanosecondArray>,
    refused: usize,
}

impl WatermarkOperator {
    fn new(spec: Watermark, functions: &Functions) -> Result<Self> {
        let expressions = spec.expressions().map(|one| one.bound(functions)).collect::<Result<_>>()?;
        Ok(Self { spec, expressions, clock: SplitClock::default() })
    }

    /// Finds the event time of each row; rows without one are refused.
    fn timed(&self, records: RecordBatch, now: ProcessingTime) -> Result<Timed> {
        let columns = records.num_columns();
        let needs_now = self.expressions.iter().any(Expression::needs_now);
        let input = if needs_now { append_now(&records, now)? } else { records };
        let Computed { records, columns: computed, refused } =
            compute(&self.expressions, input, self.spec.policy)?;
        let records = without_now(records, columns)?;
        let mut computed = computed.into_iter();
        let event_times = match &self.spec.event_time {
            EventTimeFrom::Column(index) => Arc::clone(records.column(*index)),
            EventTimeFrom::Expression(_) => computed.next().expect("one column per expression"),
            EventTimeFrom::ProcessingTime => {
                Arc::new(TimestampNanosecondArray::from_value(now.0, records.num_rows()))
            }
        };
        self.refuse_nulls(records, event_times, computed.next(), refused)
    }

    fn refuse_nulls(
        &self,
        records: RecordBatch,
        event_times: ArrayRef,
        generated: Option<ArrayRef>,
        refused: usize,
    ) -> Result<Timed> {
        let nulls = event_times.null_count();
        if nulls == 0 {
            return Ok(Timed {
                records,
                event_times: timestamps(&event_times)?,
                generated: generated.as_ref().map(timestamps).transpose()?,
                refused,
            });
        }
        if self.spec.policy == RowPolicy::Fail {
            return Err(Error::new(Code::RowFailed, "a row has no event time: it is null")
                .with_help("declare the column NOT NULL, or let such rows be dropped"));
        }
        let broken = |e| Error::internal("rows without event time cannot be filtered").because(e);
        let keep = is_not_null(&event_times).map_err(broken)?;
        let records = filter_record_batch(&records, &keep).map_err(broken)?;
        let event_times = filter(&event_times, &keep).map_err(broken)?;
        let generated = generated.map(|values| filter(&values, &keep)).transpose().map_err(broken)?;
        self.refuse_nulls(records, event_times, generated, refused + nulls)
    }

    /// The latest time that may move a watermark.
    fn bound(&self, now: ProcessingTime) -> i64 {
        match self.spec.max_future_skew {
            Some(skew) => now.0.saturating_add(nanos(skew)),
            None => i64::MAX,
        }
    }

    /// Moves the watermark of a split on, and gives the number of rows that are ahead.
    fn advance(&mut self, id: &SplitId, timed: &Timed, mut advance: Advance<'_>) -> usize {
        let split = self.clock.active(id);
        let event_times = timed.event_times.values();
        match &self.spec.generator {
            Generator::Delay(delay) => {
                let delay = nanos(*delay);
                split.advance(event_times.iter().map(|t| t.saturating_sub(delay)), &mut advance);
            }
            Generator::Expression(_) => {
                let generated = timed.generated.as_ref().expect("the generator has an expression");
                split.advance(generated.iter().map(|t| t.unwrap_or(i64::MIN)), &mut advance);
            }
            Generator::Given => split.advance(event_times.iter().map(|_| i64::MIN), &mut advance),
            Generator::Completeness(share) => split.advance_by_lateness(event_times, *share, &mut advance),
        }
        advance.ahead
    }

    fn output(&self, timed: Timed, row_watermarks: Option<Vec<i64>>) -> Result<RecordBatch> {
        let mut columns = timed.records.columns().to_vec();
        columns.push(Arc::new(timed.event_times.with_timezone_opt(None::<Arc<str>>)));
        if let Some(values) = row_watermarks {
            columns.push(Arc::new(TimestampNanosecondArray::new(ScalarBuffer::from(values), None)));
        }
        RecordBatch::try_new(Arc::clone(&self.spec.output), columns)
            .map_err(|e| Error::internal("the event time cannot be appended to a batch").because(e))
    }
}

impl Operator for WatermarkOperator {
    fn open(&mut self, mut restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.clock.open(&mut restored, cx.settings().key_space)
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let id = batch.split.unwrap_or_else(|| SplitId::new(""));
        let timed = self.timed(batch.records, cx.now())?;
        let rows = timed.records.num_rows();
        cx.counters.refused.add(timed.refused);
        if rows == 0 {
            return Ok(Step::Done);
        }
        let mut row_watermarks = self.spec.row_watermark.then(|| Vec::with_capacity(rows));
        let bound = self.bound(cx.now());
        let ahead =
            self.advance(&id, &timed, Advance { bound, row_watermarks: row_watermarks.as_mut(), ahead: 0 });
        cx.counters.ahead.add(ahead);
        cx.counters.taken.add(rows);
        cx.emit(Port::MAIN, self.output(timed, row_watermarks)?);
        self.clock.say(cx);
        Ok(Step::Done)
    }

    fn on_split(&mut self, id: &SplitId, event: SplitEvent, cx: &mut Context<'_>) -> Result<Step> {
        self.clock.on_split(id, event);
        self.clock.say(cx);
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, _: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        cx.counters.state_bytes.set(self.clock.bytes() as i64);
        self.clock.freeze()
    }

    // What is known of a split goes where the split goes: it ends here when it leaves.
    fn put(&mut self, _: &KeyGroups, given: Snapshot, _: Age) -> Result<()> {
        self.clock.put(&given)
    }
}

fn timestamps(column: &ArrayRef) -> Result<TimestampNanosecondArray> {
    column
        .as_primitive_opt::<TimestampNanosecondType>()
        .cloned()
        .ok_or_else(|| Error::internal(format!("an event time is {}, not nanoseconds", column.data_type())))
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
