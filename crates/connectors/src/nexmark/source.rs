//! Events that are due, and never more; or all of them, as fast as they are read.
//!
//! A split is a share of the rounds, and its position is how many of its own
//! events were given out: the rest is computed from the event's number.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Code, Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::SplitId;
use tokio::time::Instant;

use super::clock::Clock;
use super::maker::Maker;
use super::rounds::{Kind, Share};
use crate::plain_spec;
use crate::splits;
use crate::turns::{Due, Held, Turn, Turns, later};

const KIND: &str = "nexmark";

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
            splits: Turns::new(),
        }))
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

    /// Events have a time of their own, which the wall clock does not know.
    fn live(&self) -> bool {
        false
    }
}

/// A split while it is held.
struct Making {
    split: SplitId,
    share: Share,
    /// How many of its events were given out.
    given: u64,
    /// When the event with number `opened_at` was due.
    opened: Instant,
    opened_at: u64,
}

impl Making {
    fn new(Assignment { split, position }: Assignment) -> Result<Self> {
        let (index, of) = splits::index_of(&split, KIND)?;
        let share = Share { index: index.into(), of: of.into() };
        let given = match position {
            Some(Position(bytes)) => plain_spec::decode(&bytes)?,
            None => 0,
        };
        // A restored split does not make up for what was given out before.
        let opened_at = if given == 0 { 0 } else { share.number(given) };
        Ok(Self { split, share, given, opened: Instant::now(), opened_at })
    }

    /// Its events from now on, at most `rows_max`, of those that come before number `limit`.
    fn due(&self, clock: &Clock, pace: Pace, limit: u64, rows_max: usize, now: Instant) -> Due {
        let left = self.share.before(limit).saturating_sub(self.given);
        if left == 0 {
            return Due::Never;
        }
        let due = match pace {
            Pace::Max => u64::MAX,
            Pace::Real => {
                let next = clock.between(self.opened_at, self.share.number(self.given));
                let next = later(self.opened, next);
                if now < next {
                    return Due::At(next);
                }
                let newest = self.opened_at.saturating_add(clock.events_in(now - self.opened));
                self.share.before(newest.saturating_add(1)).saturating_sub(self.given).max(1)
            }
        };
        Due::Rows(due.min(left).min(rows_max as u64) as usize)
    }
}

impl Held for Making {
    fn split(&self) -> &SplitId {
        &self.split
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
    splits: Turns<Making>,
}

impl NexmarkSource {
    fn begin(&mut self, assignments: Vec<Assignment>) -> Result<()> {
        let held = assignments.into_iter().map(Making::new).collect::<Result<_>>()?;
        self.splits.hold(held);
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        let (clock, pace, limit) = (self.clock, self.pace, self.limit);
        let rows_max = self.cx.rows_max.get().min(ROWS_MAX);
        match self.splits.next(|held, now| held.due(&clock, pace, limit, rows_max, now)).await {
            Turn::Rows(held, rows) => give(held, rows, &mut self.maker, &self.cx),
            Turn::SplitEnd(split) => Ok(SourceEvent::SplitEnd { split }),
            Turn::End => Ok(SourceEvent::End),
        }
    }
}

/// Gives out the next `rows` events of a split.
fn give(held: &mut Making, rows: usize, maker: &mut Maker, cx: &PieceContext) -> Result<SourceEvent> {
    let records = maker.batch(held.share, held.given, rows)?.ok_or_else(|| {
        Error::new(Code::TimeOutOfRange, "the events of 'nexmark' have gone beyond the year 2262")
            .with_help("use a higher event_rate, an earlier start, or a message_count")
    })?;
    held.given += rows as u64;
    cx.counters.records_read.add(rows);
    cx.counters.cells_decoded.add(rows * maker.cells_per_row());
    Ok(SourceEvent::Rows { split: held.split.clone(), records })
}

impl Source for NexmarkSource {
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
