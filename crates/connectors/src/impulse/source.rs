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
use tokio::time::{Instant, sleep_until};

use crate::plain_spec;

const KIND: &str = "impulse";

/// The longest sleep at once; a slower rate sleeps several times.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

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
        Ok(Box::new(ImpulseSource {
            spec: self.clone(),
            schema,
            cx,
            splits: Vec::new(),
            turn: 0,
            revoked: false,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::new(self.schema.clone())
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let assignment = |index| {
            let split = SplitId::new(format!("{index}/{parallelism}"));
            vec![Assignment { split, position: None }]
        };
        Ok((0..parallelism).map(assignment).collect())
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
    ended: bool,
}

impl Counting {
    /// When row `next` is due.
    fn due(&self) -> Instant {
        let seconds = (self.place.next - self.opened_at) as f64 / self.rate;
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        self.opened.checked_add(wait).unwrap_or_else(|| Instant::now() + SLEEP_MAX)
    }

    /// How many rows are due, at most `rows_max`.
    fn rows_due(&self, now: Instant, rows_max: usize, count: Option<u64>) -> u64 {
        if now < self.due() {
            return 0;
        }
        let passed = (now - self.opened).as_secs_f64() * self.rate;
        let due = (self.opened_at + passed as u64).saturating_add(1).saturating_sub(self.place.next);
        let left = count.map_or(u64::MAX, |count| count.saturating_sub(self.place.next));
        due.max(1).min(rows_max as u64).min(left)
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
    splits: Vec<Counting>,
    /// The split that is asked first, so that none starves.
    turn: usize,
    /// Splits went to another subtask, so having none is no end.
    revoked: bool,
}

impl ImpulseSource {
    fn begin(&mut self, assignments: Vec<Assignment>) -> Result<()> {
        for Assignment { split, position } in assignments {
            let place = match position {
                Some(Position(bytes)) => plain_spec::decode(&bytes)?,
                None => Place { next: 0, start_nanos: (self.cx.clock)().0 },
            };
            let foreign = || Error::internal(format!("'{split}' is not a split of 'impulse'"));
            let (index, splits) = split.as_str().split_once('/').ok_or_else(foreign)?;
            let index = index.parse().map_err(|_| foreign())?;
            let splits: u32 = splits.parse().map_err(|_| foreign())?;
            let rate = self.spec.pace.rate / f64::from(splits);
            let interval_nanos = match self.spec.pace.interval {
                Some(interval) => interval.as_nanos() as f64,
                None => 1e9 / rate,
            };
            let (opened, opened_at) = (Instant::now(), place.next);
            let counting =
                Counting { split, index, place, rate, interval_nanos, opened, opened_at, ended: false };
            self.splits.push(counting);
        }
        self.revoked = false;
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        loop {
            if let Some(event) = self.event_now()? {
                return Ok(event);
            }
            let waiting = self.splits.iter().filter(|counting| !counting.ended);
            match waiting.map(Counting::due).min() {
                Some(due) => sleep_until(due.min(Instant::now() + SLEEP_MAX)).await,
                None if self.revoked => std::future::pending().await,
                None => return Ok(SourceEvent::End),
            }
        }
    }

    /// What is due now, if anything is.
    fn event_now(&mut self) -> Result<Option<SourceEvent>> {
        let (now, count) = (Instant::now(), self.spec.pace.count);
        for step in 0..self.splits.len() {
            let which = (self.turn + step) % self.splits.len();
            let counting = &mut self.splits[which];
            if counting.ended {
                continue;
            }
            if count.is_some_and(|count| counting.place.next >= count) {
                counting.ended = true;
                return Ok(Some(SourceEvent::SplitEnd { split: counting.split.clone() }));
            }
            let rows = counting.rows_due(now, self.cx.settings.batch_rows_max, count);
            if rows > 0 {
                self.turn = which + 1;
                return self.rows(which, rows).map(Some);
            }
        }
        Ok(None)
    }

    /// Gives out the next `rows` rows of a split.
    fn rows(&mut self, which: usize, rows: u64) -> Result<SourceEvent> {
        let counting = &mut self.splits[which];
        let range = counting.place.next..counting.place.next + rows;
        let column = |column: &Column| -> Result<ArrayRef> {
            Ok(match column {
                Column::Counter => Arc::new(UInt64Array::from_iter_values(range.clone())),
                Column::SubtaskIndex => Arc::new(UInt64Array::from_value(counting.index, rows as usize)),
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
        let columns = self.spec.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::internal("columns of 'impulse' do not fit").because(e))?;
        counting.place.next += rows;
        self.cx.counters.records_read.add(records.num_rows());
        self.cx.counters.cells_decoded.add(records.num_rows() * records.num_columns());
        Ok(SourceEvent::Rows { split: counting.split.clone(), records })
    }
}

impl Counting {
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
        self.splits.iter().map(Counting::assignment).collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        ready(self.begin(splits)).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let (given, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.splits)
            .into_iter()
            .partition(|counting| splits.contains(&counting.split));
        self.splits = kept;
        self.revoked |= !given.is_empty();
        ready(Ok(given.iter().map(Counting::assignment).collect())).boxed()
    }
}
