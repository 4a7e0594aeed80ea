//! Events that are due, and never more; or all of them, as fast as they are read.
//!
//! A split is a share of the rounds, and its position is how many of its own
//! events were given out: the rest is computed from the event's number.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Code, Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::maker::Maker;
use super::rounds::{Kind, Share};
use crate::plain_spec;

const KIND: &str = "nexmark";

/// The longest sleep at once; a slower rate sleeps several times.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// The most events at once, so that no column's texts go beyond 32-bit offsets.
const ROWS_MAX: usize = 1 << 20;

pub(crate) fn register(registry: &mut Registry) {
    registry.add_source(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<NexmarkSpec>(bytes)?)));
}

/// When events are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pace {
    /// As the wall clock advances like their own.
    Real,
    /// As fast as they are taken.
    Max,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Column {
    /// The events of one kind, with these of their fields; the others are null.
    Events { kind: Kind, fields: Vec<usize> },
    /// When the event happens.
    Timestamp,
}

/// The source as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NexmarkSpec {
    pub(super) schema: Schema,
    /// What each column of the schema holds.
    pub(super) columns: Vec<Column>,
    pub(super) clock: Clock,
    pub(super) pace: Pace,
    /// Events of all splits together; none: without end.
    pub(super) count: Option<u64>,
    pub(super) seed: u64,
}

impl Spec for NexmarkSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    fn label(&self) -> String {
        let fields = |column: &Column| match column {
            Column::Events { kind, fields } => {
                let named =
                    fields.iter().map(|&field| format!("{}.{}", kind.name(), kind.fields()[field].name));
                named.collect()
            }
            Column::Timestamp => Vec::new(),
        };
        let made: Vec<String> = self.columns.iter().flat_map(fields).collect();
        format!("{} events/s [{}]", self.clock.rate(), made.join(", "))
    }
}

impl SourceSpec for NexmarkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(NexmarkSource {
            clock: self.clock,
            pace: self.pace,
            limit: self.count.unwrap_or(u64::MAX),
            maker: Maker::new(self),
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

    /// Events have a time of their own, which the wall clock does not know.
    fn live(&self) -> bool {
        false
    }
}

/// A split while it is held.
struct Held {
    split: SplitId,
    share: Share,
    /// How many of its events were given out.
    given: u64,
    /// When the event with number `opened_at` was due.
    opened: Instant,
    opened_at: u64,
    ended: bool,
}

impl Held {
    fn new(Assignment { split, position }: Assignment) -> Result<Self> {
        let foreign = || Error::internal(format!("'{split}' is not a split of 'nexmark'"));
        let (index, of) = split.as_str().split_once('/').ok_or_else(foreign)?;
        let number = |text: &str| text.parse::<u32>().map(u64::from).map_err(|_| foreign());
        let share = Share { index: number(index)?, of: number(of)? };
        if share.index >= share.of {
            return Err(foreign());
        }
        let given = match position {
            Some(Position(bytes)) => plain_spec::decode(&bytes)?,
            None => 0,
        };
        // A restored split does not make up for what was given out before.
        let opened_at = if given == 0 { 0 } else { share.number(given) };
        Ok(Self { split, share, given, opened: Instant::now(), opened_at, ended: false })
    }

    /// When its next event is due.
    fn due(&self, clock: &Clock) -> Instant {
        let wait = clock.between(self.opened_at, self.share.number(self.given));
        self.opened.checked_add(wait).unwrap_or_else(|| Instant::now() + SLEEP_MAX)
    }

    /// How many of its events are due.
    fn events_due(&self, clock: &Clock, now: Instant) -> u64 {
        if now < self.due(clock) {
            return 0;
        }
        let newest = self.opened_at.saturating_add(clock.events_in(now - self.opened));
        self.share.before(newest.saturating_add(1)).saturating_sub(self.given).max(1)
    }

    fn assignment(&self) -> Assignment {
        let position = plain_spec::encode(&self.given).expect("a number is JSON");
        Assignment { split: self.split.clone(), position: Some(Position(position)) }
    }
}

struct NexmarkSource {
    clock: Clock,
    pace: Pace,
    /// The number of the first event that is not given out.
    limit: u64,
    maker: Maker,
    cx: PieceContext,
    splits: Vec<Held>,
    /// The split that is asked first, so that none starves.
    turn: usize,
    /// Splits went to another subtask, so having none is no end.
    revoked: bool,
}

impl NexmarkSource {
    fn begin(&mut self, assignments: Vec<Assignment>) -> Result<()> {
        for assignment in assignments {
            self.splits.push(Held::new(assignment)?);
        }
        self.revoked = false;
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        loop {
            if let Some(event) = self.event_now()? {
                return Ok(event);
            }
            let waiting = self.splits.iter().filter(|held| !held.ended);
            match waiting.map(|held| held.due(&self.clock)).min() {
                Some(due) => sleep_until(due.min(Instant::now() + SLEEP_MAX)).await,
                None if self.revoked => std::future::pending().await,
                None => return Ok(SourceEvent::End),
            }
        }
    }

    /// What is due now, if anything is.
    fn event_now(&mut self) -> Result<Option<SourceEvent>> {
        let now = Instant::now();
        for step in 0..self.splits.len() {
            let which = (self.turn + step) % self.splits.len();
            let held = &mut self.splits[which];
            if held.ended {
                continue;
            }
            let left = held.share.before(self.limit).saturating_sub(held.given);
            if left == 0 {
                held.ended = true;
                return Ok(Some(SourceEvent::SplitEnd { split: held.split.clone() }));
            }
            let due = match self.pace {
                Pace::Real => held.events_due(&self.clock, now),
                Pace::Max => u64::MAX,
            };
            let rows_max = self.cx.settings.batch_rows_max.min(ROWS_MAX);
            let rows = due.min(left).min(rows_max as u64);
            if rows > 0 {
                self.turn = which + 1;
                return self.rows(which, rows as usize).map(Some);
            }
        }
        Ok(None)
    }

    /// Gives out the next `rows` events of a split.
    fn rows(&mut self, which: usize, rows: usize) -> Result<SourceEvent> {
        let held = &mut self.splits[which];
        let records = self.maker.batch(held.share, held.given, rows)?.ok_or_else(|| {
            Error::new(Code::TimeOutOfRange, "the events of 'nexmark' have gone beyond the year 2262")
                .with_help("use a higher event_rate, an earlier start, or a message_count")
        })?;
        held.given += rows as u64;
        self.cx.counters.records_read.add(rows);
        self.cx.counters.cells_decoded.add(rows * self.maker.cells_per_row());
        Ok(SourceEvent::Rows { split: held.split.clone(), records })
    }
}

impl Source for NexmarkSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        ready(self.begin(splits)).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        self.event().boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        self.splits.iter().map(Held::assignment).collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        ready(self.begin(splits)).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let (given, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.splits).into_iter().partition(|held| splits.contains(&held.split));
        self.splits = kept;
        self.revoked |= !given.is_empty();
        ready(Ok(given.iter().map(Held::assignment).collect())).boxed()
    }
}
