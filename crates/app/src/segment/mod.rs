//! Steps of a program that run as one: no row between two of them is ever a column.
//!
//! A segment is one node of the graph. Its head makes Rust values out of
//! columns, its steps are closures that call each other directly, its tail
//! makes columns again:
//!
//! ```text
//!           ┌ head ──────────────────┐   ┌ steps ───────────┐   ┌ tail ───────────────┐
//!  batch ─► │ frames and a decoder   │ ─►│ map ─► flat_map ─►│─► │ key, record, times  │ ─► batch
//!           │ records of a segment   │   │  (function calls) │   │ frames of a sink    │
//!           │ records, key and state │   └──────────────────┘   │ columns of a table  │
//!           └────────────────────────┘                          └─────────────────────┘
//! ```
//!
//! A step may divide: of two kinds of records it passes on one, and the other leaves by a tail of its own, as
//! a side output of the node.
//!
//! *The law*: a segment holds at most one batch of output, over all exits. When it is full the
//! head and every step that gives several records for one stop where they are,
//! and go on when the batch has left. A closure is never asked twice about one record.

pub(crate) mod divide;
mod entered;
pub(crate) mod head;
mod operator;
mod spec;
pub(crate) mod steps;
pub(crate) mod tail;
pub(crate) mod together;

pub(crate) use entered::Enter;
pub(crate) use operator::{Remembered, SegmentOperator, SkewMax, SourceTime};
pub(crate) use spec::{OperatorFactory, SegmentSpec};

use std::sync::Arc;

use arrow::array::RecordBatch;
use thalweg_dataflow::{Result, Step};

/// A batch of output is full at this many bytes, however few its rows.
const OUTPUT_BYTES_MAX: usize = 4 << 20;

/// What goes along with the records of a segment: the times of the record at hand, and the room that is left.
#[derive(Debug)]
pub(crate) struct Flow {
    /// The event time of the record at hand.
    pub(crate) time: i64,
    /// The watermark of its split just before it.
    pub(crate) watermark: i64,
    /// The watermark of the split that is read, as its records have moved it.
    pub(crate) reached: i64,
    /// The latest watermark that records may lead to.
    pub(crate) bound: i64,
    /// Records beyond it.
    pub(crate) ahead: usize,
    /// Input rows that could not be decoded, and were dropped.
    pub(crate) refused: usize,
    /// Records that a step works off together.
    pub(crate) at_once: usize,
    /// When the batch at hand was taken.
    pub(crate) now: i64,
    rows: usize,
    bytes: usize,
    rows_max: usize,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            time: i64::MIN,
            watermark: i64::MIN,
            reached: i64::MIN,
            bound: i64::MAX,
            ahead: 0,
            refused: 0,
            at_once: 0,
            now: 0,
            rows: 0,
            bytes: 0,
            rows_max: 0,
        }
    }

    /// Whether no more records may be pushed.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= self.rows_max || self.bytes >= OUTPUT_BYTES_MAX
    }

    /// A record of this many bytes went into the output.
    #[inline]
    pub(crate) fn gave(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
    }

    /// Event time of the record at hand, and what it says of those behind it in its split.
    #[inline]
    pub(crate) fn at(&mut self, time: i64, none_before: i64) {
        self.time = time;
        self.watermark = self.reached;
        if none_before > self.bound {
            self.ahead += 1;
        } else {
            self.reached = self.reached.max(none_before);
        }
    }

    fn begin_output(&mut self, rows_max: usize) {
        (self.rows, self.bytes, self.rows_max) = (0, 0, rows_max);
    }
}

/// Where a batch leaves a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// At the end of all steps.
    Main,
    /// Where a step divides: the side output of this number.
    Side(u16),
}

/// Takes what comes out of a segment.
pub(crate) type Give<'a> = &'a mut dyn FnMut(Exit, RecordBatch);

/// All that comes behind a record.
pub(crate) trait Next<T>: Send {
    /// Takes a record. Never called when the output is full, so a step that
    /// gives several records for one looks before each.
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()>;

    /// Goes on where a full output stopped a step, the last step first.
    fn resume(&mut self, flow: &mut Flow) -> Result<()>;

    /// No more records come with this batch: gives what was held back to be done together, the first step
    /// first. `More` if the output is full before all is given; then comes a `resume`, and this again.
    fn settle(&mut self, flow: &mut Flow) -> Result<Step>;

    /// Gives the output so far: a batch for each exit by which rows have left.
    fn take(&mut self, give: Give<'_>) -> Result<()>;
}

/// Makes what comes behind a record, once for each subtask.
pub(crate) type Behind<T> = Arc<dyn Fn() -> Result<Box<dyn Next<T>>> + Send + Sync>;

/// From the columns of one input port to those of the output ports that belong to it.
pub(crate) trait Lane<S>: Send {
    /// Takes a batch. Called only when all of the one before is done.
    fn start(&mut self, batch: RecordBatch, flow: &mut Flow) -> Result<()>;

    /// Works until the batch is done or the output is full.
    fn work(&mut self, state: &mut S, flow: &mut Flow) -> Result<Step>;

    /// Gives the output so far: a batch for each exit by which rows have left.
    fn take(&mut self, give: Give<'_>) -> Result<()>;
}

/// Makes a lane, once for each subtask.
pub(crate) type LaneFactory<S> = Arc<dyn Fn() -> Result<Box<dyn Lane<S>>> + Send + Sync>;
