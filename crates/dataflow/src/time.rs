//! Two kinds of time, and the statement that links a stream to one of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// When something happened: nanoseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventTime(pub i64);

/// When we see it: nanoseconds since 1970-01-01T00:00:00 UTC, by the world's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessingTime(pub i64);

/// "No more rows before this event time" on the channel that carries it.
///
/// A row whose event time equals the watermark is on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Watermark(pub EventTime);

impl Watermark {
    /// Says nothing: any row may still come.
    pub const START: Watermark = Watermark(EventTime(i64::MIN));
    /// Says all: the input has been read to its end. It is the only watermark
    /// that may close everything, and it precedes `Message::End`.
    pub const END: Watermark = Watermark(EventTime(i64::MAX));

    /// The watermark in nanoseconds since 1970.
    pub fn nanos(self) -> i64 {
        self.0.0
    }

    /// Whether an interval that ends (exclusively) at `end` is closed.
    pub fn closes(self, end: EventTime) -> bool {
        end <= self.0
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Watermark::START => f.write_str("start"),
            Watermark::END => f.write_str("end"),
            Watermark(EventTime(nanos)) => write!(f, "{nanos}"),
        }
    }
}
