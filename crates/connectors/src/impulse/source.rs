//! Rows that are due, and never more.
//!
//! Row n of a split is due n / rate after the split was opened, by tokio's
//! clock, so that waiting never adds up to a drift. Its event time is the
//! split's start plus n intervals, and the start is part of the position: a
//! restored split gives the very same rows.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampNanosecondArray, UInt64Array};
use arrow::datatypes::{Schema, SchemaRef};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Code, Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;
use tokio::time::Instant;

use crate::plain_spec;
use crate::splits;
use crate::turns::{Due, Held, Turn, Turns, later};

const KIND: &str = "impulse";

pub(crate) fn register(registry: &mut Registry) {
    registry.add_source(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<ImpulseSpec>(bytes)?)));
}

/// How many rows, how fast, and how far apart in event time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pace {
    /// Rows per second, over all splits.
    pub(super) rate: f64,
    /// Event time from row to row; none: as the rate says.
    pub(super) interval: Option<Duration>,
    /// Rows of each split; none: without end.
    pub(super) count: Option<u64>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Column {
    Counter,
    SubtaskIndex,
    Timestamp,
}

/// The source as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ImpulseSpec {
    pub(super) schema: Schema,
    /// What each column of the schema holds.
    pub(super) columns: Vec<Column>,
    pub(super) pace: Pace,
}

impl Spec for ImpulseSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    fn label(&self) -> String {
        format!("{} rows/s", self.pace.rate)
    }
}

impl SourceSpec for ImpulseSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let schema = self.output_schema();
        Ok(Box::new(ImpulseSource { spec: self.clone(), schema, cx, splits: Turns::new() }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::new(self.schema.clone())
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        Ok(splits::numbered(parallelism))
    }

    fn parallelism_max(&self) -> Option<u32> {
        None
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        self.pace.count.is_none()
    }
}

/// The next row of a split, and the event time of its row 0.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Place {
    next: u64,
    start_nanos: i64,
}

/// A split while it is held.
struct Counting {
    split: SplitId,
    index: u64,
    place: Place,
    /// Rows per second of this split.
    rate: f64,
    /// Event time from row to row.
    interval_nanos: f64,
    /// When row `opened_at` was due.
    opened: Instant,
    opened_at: u64,
}

impl Counting {
    /// Its rows from now on, at most `rows_max`, of those that come before row `count`.
    fn due(&self, count: Option<u64>, rows_max: usize, now: Instant) -> Due {
        let left = count.map_or(u64::MAX, |count| count.saturating_sub(self.place.next));
        if left == 0 {
            return Due::Never;
        }
        let seconds = (self.place.next - self.opened_at) as f64 / self.rate;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let next = later(self.opened, wait);
        if now < next {
            return Due::At(next);
        }
        let passed = (now - self.opened).as_secs_f64() * self.rate;
        let due = (self.opened_at + passed as u64).saturating_add(1).saturating_sub(self.place.next);
        Due::Rows(due.max(1).min(rows_max as u64).min(left) as usize)
    }

    fn event_time(&self, row: u64) -> Option<i64> {
        let passed = row as f64 * self.interval_nanos;
        let exact = self.interval_nanos.fract() == 0.0;
        let passed = match exact {
            true => i64::try_from(row).ok()?.checked_mul(self.interval_nanos as i64)?,
            false if passed < i64::MAX as f64 => passed as i64,
            false => return None,
        };
        self.place.start_nanos.checked_add(passed)
    }
}

struct ImpulseSource {
    spec: ImpulseSpec,
    schema: SchemaRef,
    cx: PieceContext,
    splits: Turns<Counting>,
}

impl ImpulseSource {
    fn begin(&mut self, assignments: Vec<Assignment>) -> Result<()> {
        let held = assignments.into_iter().map(|assignment| self.held(assignment)).collect::<Result<_>>()?;
        self.splits.hold(held);
        Ok(())
    }

    fn held(&self, Assignment { split, position }: Assignment) -> Result<Counting> {
        let place = match position {
            Some(Position(bytes)) => plain_spec::decode(&bytes)?,
            None => Place { next: 0, start_nanos: (self.cx.clock)().0 },
        };
        let (index, of) = splits::index_of(&split, KIND)?;
        let rate = self.spec.pace.rate / f64::from(of);
        let interval_nanos = match self.spec.pace.interval {
            Some(interval) => interval.as_nanos() as f64,
            None => 1e9 / rate,
        };
        let (opened, opened_at) = (Instant::now(), place.next);
        Ok(Counting { split, index: index.into(), place, rate, interval_nanos, opened, opened_at })
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        let (count, rows_max) = (self.spec.pace.count, self.cx.rows_max.get());
        match self.splits.next(|held, now| held.due(count, rows_max, now)).await {
            Turn::Rows(counting, rows) => give(counting, rows, &self.spec, &self.schema, &self.cx),
            Turn::SplitEnd(split) => Ok(SourceEvent::SplitEnd { split }),
            Turn::End => Ok(SourceEvent::End),
        }
    }
}

/// Gives out the next `rows` rows of a split.
fn give(
    counting: &mut Counting,
    rows: usize,
    spec: &ImpulseSpec,
    schema: &SchemaRef,
    cx: &PieceContext,
) -> Result<SourceEvent> {
    let range = counting.place.next..counting.place.next + rows as u64;
    let column = |column: &Column| -> Result<ArrayRef> {
        Ok(match column {
            Column::Counter => Arc::new(UInt64Array::from_iter_values(range.clone())),
            Column::SubtaskIndex => Arc::new(UInt64Array::from_value(counting.index, rows)),
            Column::Timestamp => {
                let times: Option<Vec<i64>> = range.clone().map(|row| counting.event_time(row)).collect();
                let times = times.ok_or_else(|| {
                    Error::new(Code::TimeOutOfRange, "'impulse' has counted beyond the year 2262")
                        .with_help("use a shorter event_time_interval or a message_count")
                })?;
                Arc::new(TimestampNanosecondArray::from(times))
            }
        })
    };
    let columns = spec.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let records = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::internal("columns of 'impulse' do not fit").because(e))?;
    counting.place.next += rows as u64;
    cx.counters.records_read.add(records.num_rows());
    cx.counters.cells_decoded.add(records.num_rows() * records.num_columns());
    Ok(SourceEvent::Rows { split: counting.split.clone(), records })
}

impl Held for Counting {
    fn split(&self) -> &SplitId {
        &self.split
    }

    fn assignment(&self) -> Assignment {
        let position = plain_spec::encode(&self.place).expect("two numbers are JSON");
        Assignment { split: self.split.clone(), position: Some(Position(position)) }
    }
}

impl Source for ImpulseSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        ready(self.begin(splits)).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        self.event().boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        self.splits.positions()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        ready(self.begin(splits)).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        ready(Ok(self.splits.revoke(splits))).boxed()
    }
}
