//! What is said of a job while it runs and when it is over.

use std::fmt;
use std::sync::Arc;

use thalweg_dataflow::counters::{Counter, OperatorCounters};
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::{NodeId, Watermark};
use thalweg_state::{OperatorId, Subtask};

/// How a job came to its end without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// All input was read to its end, and all windows have closed.
    Ended,
    /// It was stopped.
    Stopped {
        /// Windows that have not closed.
        open_windows: i64,
    },
}

/// What is left to say of a job that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOutcome {
    /// How it ended.
    pub how: How,
    /// Rows behind the watermark of their split.
    pub late: u64,
    /// Rows that could not be computed and were dropped by policy.
    pub refused: u64,
    /// Records that could not be decoded and were dropped by policy.
    pub dropped: u64,
    /// Rows too far ahead of the wall clock to move the watermark.
    pub ahead: u64,
}

impl JobOutcome {
    pub(super) fn of(readings: &[OperatorReading], stopped: bool) -> Self {
        let sum =
            |pick: fn(&OperatorCounters) -> &Counter| readings.iter().map(|r| pick(&r.counters).get()).sum();
        let open_windows = readings.iter().map(|r| r.counters.open_windows.get()).sum();
        Self {
            how: if stopped { How::Stopped { open_windows } } else { How::Ended },
            late: sum(|c| &c.late),
            refused: sum(|c| &c.refused),
            dropped: sum(|c| &c.dropped),
            ahead: sum(|c| &c.ahead),
        }
    }
}

/// What kind of piece counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rows come in from outside.
    Source,
    /// Rows are turned into rows.
    Operator,
    /// Rows go outside.
    Sink,
}

impl Role {
    pub(super) fn of(piece: &Piece) -> Self {
        match piece {
            Piece::Source(_) => Role::Source,
            Piece::Operator(_) => Role::Operator,
            Piece::Sink(_) => Role::Sink,
        }
    }
}

/// The counters of one operator, source or sink of one subtask.
#[derive(Clone)]
pub struct OperatorReading {
    /// The node in the graph.
    pub node: NodeId,
    /// Its name.
    pub operator: OperatorId,
    /// What kind of piece it is.
    pub role: Role,
    /// Which parallel instance.
    pub subtask: Subtask,
    /// What it counts; live.
    pub counters: Arc<OperatorCounters>,
}

impl fmt::Debug for OperatorReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}' {}: {:?}", self.node.0, self.operator, self.subtask, self.counters)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows that sources gave out.
    pub rows_read: u64,
    /// Rows that sinks took.
    pub rows_written: u64,
    /// The lowest watermark of all sinks.
    pub watermark: Watermark,
    /// Epochs that were settled as complete.
    pub epochs_complete: u64,
}

impl Progress {
    pub(super) fn of(readings: &[OperatorReading], epochs_complete: u64) -> Self {
        let of = |role: Role| readings.iter().filter(move |r| r.role == role).map(|r| &r.counters);
        let watermark = of(Role::Sink).map(|c| c.watermark.get()).min();
        Self {
            rows_read: of(Role::Source).map(|c| c.rows_out.get()).sum(),
            rows_written: of(Role::Sink).map(|c| c.rows_in.get()).sum(),
            watermark: watermark
                .map_or(Watermark::START, |nanos| Watermark(thalweg_dataflow::EventTime(nanos))),
            epochs_complete,
        }
    }
}
