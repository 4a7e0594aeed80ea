//! The contract of where rows come from.
//!
//! A source reads *splits*. Each split has a position from which reading can
//! go on exactly; the position of a checkpoint is the next thing to read.
//! Sources are asynchronous, and every future here may be dropped half-way
//! without losing a row (the runtime waits for rows and for barriers at once).

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::RecordBatch;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thalweg_state::{Epoch, SplitId};

use crate::error::Result;
use crate::time::EventTime;

/// Where reading goes on within a split: bytes that only the source reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(pub Vec<u8>);

/// A split with the place to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The split.
    pub split: SplitId,
    /// The next thing to read; none: from where the table's options say.
    pub position: Option<Position>,
}

/// How many rows a source is to give at once: a batch, and fewer where rows are handled slowly. What asks the source
/// to stop, or to say where it is, waits behind the rows that it gave before.
#[derive(Clone, Debug)]
pub struct RowsMax(Arc<AtomicUsize>);

impl RowsMax {
    /// So many, for now.
    pub fn new(rows: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(rows)))
    }

    /// How many rows to give next, at least one.
    pub fn get(&self) -> usize {
        self.0.load(Relaxed).max(1)
    }

    /// Changes what the source is asked for.
    pub fn set(&self, rows: usize) {
        self.0.store(rows, Relaxed);
    }
}

/// What a source can promise after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceGuarantee {
    /// What was read and not yet in a checkpoint is gone.
    AtMostOnce,
    /// Every row after a position is read again.
    Replays,
}

/// What a source has to say next.
#[derive(Debug)]
pub enum SourceEvent {
    /// Rows of one split, at most as many as [asked for](RowsMax).
    Rows {
        /// Where they come from.
        split: SplitId,
        /// The rows, with the columns that the spec was asked for.
        records: RecordBatch,
    },
    /// The source itself knows that this split has no more rows before this time.
    Watermark {
        /// The split that it speaks of.
        split: SplitId,
        /// No row before this.
        time: EventTime,
    },
    /// All that is there has been read; more may come. Rows on their way are not held back.
    Idle {
        /// The split that it speaks of.
        split: SplitId,
    },
    /// This split has been read to its end.
    SplitEnd {
        /// The split that it speaks of.
        split: SplitId,
    },
    /// All splits were read to their end, and no new ones will come.
    End,
}

/// What operators in the chain of a source learn of one split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitEvent {
    /// The split will be read here. Comes before its first row.
    Assigned,
    /// The source itself knows that the split has no more rows before this time.
    Watermark(EventTime),
    /// The split gave nothing for as long as the idle timeout, by the runtime's judgement: it
    /// counts for nothing until its next row or watermark.
    Idle,
    /// The split has been read to its end.
    End,
}

/// One parallel instance of a source.
pub trait Source: Send {
    /// Called once, before all else.
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>>;

    /// The next event. The future may be dropped at any await without loss.
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>>;

    /// The position behind the last row given out, for every split held.
    fn positions(&mut self) -> Vec<Assignment>;

    /// Takes on more splits.
    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>>;

    /// Gives splits away, each with the position behind the last row given out.
    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>>;

    /// An epoch was settled; what came before a complete one need never be read again.
    fn on_settled(&mut self, epoch: Epoch, complete: bool) -> BoxFuture<'_, Result<()>> {
        let _ = (epoch, complete);
        Box::pin(async { Ok(()) })
    }
}
