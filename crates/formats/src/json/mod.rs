//! One JSON object a record, by RFC 8259, read straight into columns.
//!
//! There is no tree and no tape in between: the cursor walks a line once, and
//! each column takes its own value from it. A record that fails half-way is cut
//! off from all columns again, so its neighbours never notice.
//!
//! Most lines are like the one before, so an object is read by the layout of an
//! earlier one as far as it goes, and token by token from there:
//!
//! ```text
//!            ┌──────── as before: compare bytes ────────┐
//! object ─► Layouts ── differs: what comes next ─► Keys ┴─► Column::read, Cursor::skip
//!            ▲                                      │
//!            └── learn, at most one object in 32 ───┘
//! ```
//!
//! Both ways call the same readers of values in the same order, so that a layout
//! changes how long a line takes and nothing else.
//!
//! What is read as what:
//!
//! * A column that is missing or `null` is null, or a bad record where it is `NOT NULL`.
//! * Of duplicate keys the last wins; each value must be right.
//! * Numbers are also read from text (`"12"`). A whole number may be written `1.0` or `1e3`; a fraction is an error.
//!   Decimals round half away from zero. `DOUBLE` and `FLOAT` also read `"NaN"`, `"Infinity"`, `"-Infinity"`.
//! * Timestamps are RFC 3339 with or without zone (then UTC), or a number since 1970 in a unit set by option.
//!   Digits finer than the column are cut off.
//! * Dates are `"2013-01-31"` or days since 1970; times of day `"06:00:00.5"`.
//! * Binary is text in hexadecimal, both ways.
//! * No text is read from anything but text, and no boolean from anything but `true` and `false`.

mod column;
mod cursor;
mod decoder;
mod encoder;
mod layout;
mod nested;
mod number;
mod scan;
mod time;
mod writer;

use serde::{Deserialize, Serialize};

pub(crate) use decoder::JsonDecoder;
pub(crate) use encoder::{JsonEncoder, check_same, check_writable};
pub(crate) use writer::{struct_writers, write_object};

/// What a JSON reader and writer can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonOptions {
    /// Reading: the unit of timestamps that are numbers.
    pub timestamp_unit: TimestampUnit,
    /// Writing: the form of timestamps.
    pub timestamp_format: TimestampFormat,
    /// Writing: the form of decimals.
    pub decimal_encoding: DecimalEncoding,
}

/// The unit of a number that is a time since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimestampUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    #[default]
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl TimestampUnit {
    /// How many decimal digits finer than a second.
    pub(crate) fn digits(self) -> i8 {
        match self {
            TimestampUnit::Seconds => 0,
            TimestampUnit::Millis => 3,
            TimestampUnit::Micros => 6,
            TimestampUnit::Nanos => 9,
        }
    }
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimestampFormat {
    /// `"2023-09-18T14:23:10"`, with 3, 6 or 9 digits more where there is a fraction.
    #[default]
    Rfc3339,
    /// Milliseconds since 1970, a number.
    UnixMillis,
}

/// How a decimal is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecimalEncoding {
    /// A number: `1.50`.
    #[default]
    Number,
    /// A text: `"1.50"`.
    String,
}
