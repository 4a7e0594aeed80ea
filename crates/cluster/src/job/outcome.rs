//! What is said of a job while it runs and when it is over.

use thalweg_dataflow::counters::{Counter, OperatorCounters};
use thalweg_dataflow::{EventTime, Watermark};
use thalweg_runtime::{OperatorReading, Role};
use thalweg_state::Epoch;

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

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows that sources gave out.
    pub rows_read: u64,
    /// Rows that sinks took.
    pub rows_written: u64,
    /// The lowest watermark of all sinks.
    pub watermark: Watermark,
    /// Epochs that were settled as complete, in this life of the job.
    pub epochs_complete: u64,
    /// The newest complete epoch; none before the first.
    pub newest: Option<Epoch>,
    /// How many epochs in a row were aborted, or are long in coming.
    pub failing: u64,
}

impl Progress {
    pub(super) fn of(readings: &[OperatorReading], epochs: Epochs) -> Self {
        let of = |role: Role| readings.iter().filter(move |r| r.role == role).map(|r| &r.counters);
        let watermark = of(Role::Sink).map(|c| c.watermark.get()).min();
        Self {
            rows_read: of(Role::Source).map(|c| c.rows_out.get()).sum(),
            rows_written: of(Role::Sink).map(|c| c.rows_in.get()).sum(),
            watermark: watermark.map_or(Watermark::START, |nanos| Watermark(EventTime(nanos))),
            epochs_complete: epochs.complete,
            newest: epochs.newest,
            failing: epochs.failing,
        }
    }
}

/// What became of epochs so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Epochs {
    pub(super) complete: u64,
    pub(super) newest: Option<Epoch>,
    pub(super) failing: u64,
}
