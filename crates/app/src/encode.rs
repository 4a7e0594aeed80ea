//! From a record to the frame that a sink writes.
//!
//! An encoder is a function that appends the bytes of one record. These are the
//! common ones; what a frame ends with (a newline, a length) is the sink's own.
//!
//! ```
//! let mut frame = Vec::new();
//! thalweg_app::encode::display(&"pool".to_owned(), &mut frame);
//! assert_eq!(frame, b"pool");
//! ```

use std::fmt::Display;
use std::io::Write;

use serde::Serialize;
use thalweg_dataflow::{Code, Error, Result};

/// Why a record cannot be encoded, in the encoder's words.
pub type EncodeError = Box<dyn std::error::Error + Send + Sync>;

/// The record's bytes as they are.
pub fn bytes<T: AsRef<[u8]>>(record: &T, frame: &mut Vec<u8>) {
    frame.extend_from_slice(record.as_ref());
}

/// The record as people read it.
pub fn display<T: Display>(record: &T, frame: &mut Vec<u8>) {
    write!(frame, "{record}").expect("a vector takes all bytes");
}

/// The record as one JSON value.
///
/// # Errors
/// If the record has no form in JSON, as a map whose keys are lists has none.
pub fn json<T: Serialize>(record: &T, frame: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    serde_json::to_writer(frame, record)
}

/// An encoder as a segment calls it.
pub(crate) trait Encode<T>: Send + Sync + 'static {
    fn encode(&self, record: &T, frame: &mut Vec<u8>) -> Result<()>;
}

/// An encoder that takes every record.
pub(crate) struct Always<F>(pub(crate) F);

impl<T, F: Fn(&T, &mut Vec<u8>) + Send + Sync + 'static> Encode<T> for Always<F> {
    fn encode(&self, record: &T, frame: &mut Vec<u8>) -> Result<()> {
        (self.0)(record, frame);
        Ok(())
    }
}

/// An encoder that may refuse a record, for the sink of this name.
pub(crate) struct Fallible<F>(pub(crate) String, pub(crate) F);

impl<T, E, F> Encode<T> for Fallible<F>
where
    E: Into<EncodeError>,
    F: Fn(&T, &mut Vec<u8>) -> Result<(), E> + Send + Sync + 'static,
{
    fn encode(&self, record: &T, frame: &mut Vec<u8>) -> Result<()> {
        (self.1)(record, frame).map_err(|why| {
            let what = format!("a record cannot be encoded for sink '{}'", self.0);
            Error::new(Code::BadRecord, what).because(why.into())
        })
    }
}

/// A frame, with those before it in its batch, is more than a column of bytes can hold.
pub(crate) fn too_long(bytes: usize) -> Error {
    Error::new(Code::RecordTooLong, format!("a frame of {bytes} bytes is too long for one batch"))
}
