//! These bytes and that schema: a `RecordBatch`, and back.
//!
//! Nothing here does IO, knows a clock or a connector. A source pushes bytes
//! into a [`framing::LineFramer`] (or cuts them in place with a [`framing::Cutter`]), hands the [`FrameBlock`]s that come out to a
//! [`Decoder`], and gets columns; a sink hands columns to an [`Encoder`] and
//! gets bytes. [`Format`] is the plain data that makes both.
//!
//! ```text
//! bytes ─► LineFramer ─► FrameBlock ─► Decoder ─► RecordBatch + bad records
//! RecordBatch ─► Encoder ─► bytes
//! ```
//!
//! The law of decoding: a bad record is given back with its reason, and never
//! changes what becomes of its neighbours.

mod debezium_json;
mod decode;
mod encode;
mod format;
pub mod framing;
mod json;
mod raw_bytes;
mod raw_string;

pub use debezium_json::DIFF_COLUMN;
pub use decode::{BadRecord, DecodeError, Decoded, Decoder, Rows};
pub use encode::{EncodeError, Encoder};
pub use format::{Format, FormatError};
pub use framing::{Frame, FrameBlock};
pub use json::{DecimalEncoding, JsonOptions, TimestampFormat, TimestampUnit};
