//! What is counted from the first row on.
//!
//! Counters are shared between the subtask that counts and whoever reads.
//! They are added to once per batch, never per row. Two laws tie them
//! together, and tests check both:
//!
//! * operator: `rows in = taken + filtered + late + refused`
//! * source: `records read = rows out + dropped + failed`

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug)]
pub struct Gauge(AtomicI64);

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicI64::new(0))
    }
}

impl Gauge {
    /// Sets the value.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// The value last set.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// What one operator, source or sink of one subtask counts.
///
/// The runtime counts rows in and out and time; the piece itself counts the rest.
#[derive(Debug, Default)]
pub struct OperatorCounters {
    /// Rows handed to the operator. By the runtime.
    pub rows_in: Counter,
    /// Rows that the operator gave out. By the runtime.
    pub rows_out: Counter,
    /// Rows that went into the operator's result or state.
    pub taken: Counter,
    /// Rows that a condition kept out.
    pub filtered: Counter,
    /// Rows behind the watermark of their own split.
    pub late: Counter,
    /// Rows that could not be computed, dropped by policy.
    pub refused: Counter,
    /// Rows of live sources too far ahead of the wall clock to move the watermark. Also taken.
    pub ahead: Counter,
    /// Records that a source read, good or bad.
    pub records_read: Counter,
    /// Records that a source could not decode and dropped by policy.
    pub dropped: Counter,
    /// Records that a source could not decode and failed on.
    pub failed: Counter,
    /// Cells that a source decoded: rows times columns that somebody reads.
    pub cells_decoded: Counter,
    /// Nanoseconds spent computing. By the runtime.
    pub busy_nanos: Counter,
    /// Nanoseconds spent waiting for room downstream. By the runtime.
    pub backpressured_nanos: Counter,
    /// The newest watermark, nanoseconds since 1970. By the runtime.
    pub watermark: Gauge,
    /// Bytes of state in memory, as far as the operator knows.
    pub state_bytes: Gauge,
    /// Windows that are open, over all keys counted once.
    pub open_windows: Gauge,
    /// Rows that are worked off in about the time of one: calls that wait together, or a call of many. Fewer
    /// at once would save nothing. 0 where each row takes its own time.
    pub at_once: Gauge,
}
