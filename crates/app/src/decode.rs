//! From a frame to records.
//!
//! A source of frames gives bytes; a decoder makes zero, one or many records of
//! each frame, or an error. An empty frame is a frame like any other.
//!
//! ```
//! use thalweg_app::decode::{self, Decoder};
//!
//! let numbers = decode::many(|frame: &[u8]| -> Result<Vec<u8>, String> { Ok(frame.to_vec()) });
//! let mut records = Default::default();
//! numbers.decode(&[1, 2], &mut records)?;
//! assert_eq!(records, [1, 2]);
//! # Ok::<(), decode::DecodeError>(())
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

/// Why a frame cannot be decoded, in the decoder's words.
pub type DecodeError = Box<dyn std::error::Error + Send + Sync>;

/// Makes records of frames.
pub trait Decoder<T>: Send + Sync + 'static {
    /// Appends the records of one frame, in order. What was appended before an error does not count.
    fn decode(&self, frame: &[u8], records: &mut VecDeque<T>) -> Result<(), DecodeError>;
}

/// One record for each frame.
pub fn one<T, E, F>(decode: F) -> One<F>
where
    E: Into<DecodeError>,
    F: Fn(&[u8]) -> Result<T, E> + Send + Sync + 'static,
{
    One(decode)
}

/// Any number of records for each frame: a list, an option, an iterator.
pub fn many<I, E, F>(decode: F) -> Many<F>
where
    I: IntoIterator,
    E: Into<DecodeError>,
    F: Fn(&[u8]) -> Result<I, E> + Send + Sync + 'static,
{
    Many(decode)
}

/// Each frame is a text.
pub fn utf8() -> Utf8 {
    Utf8
}

/// Each frame is one JSON value.
pub fn json<T: DeserializeOwned>() -> Json<T> {
    Json(PhantomData)
}

/// See [`one`].
pub struct One<F>(F);

impl<T, E, F> Decoder<T> for One<F>
where
    E: Into<DecodeError>,
    F: Fn(&[u8]) -> Result<T, E> + Send + Sync + 'static,
{
    fn decode(&self, frame: &[u8], records: &mut VecDeque<T>) -> Result<(), DecodeError> {
        records.push_back((self.0)(frame).map_err(E::into)?);
        Ok(())
    }
}

/// See [`many`].
pub struct Many<F>(F);

impl<T, I, E, F> Decoder<T> for Many<F>
where
    I: IntoIterator<Item = T>,
    E: Into<DecodeError>,
    F: Fn(&[u8]) -> Result<I, E> + Send + Sync + 'static,
{
    fn decode(&self, frame: &[u8], records: &mut VecDeque<T>) -> Result<(), DecodeError> {
        records.extend((self.0)(frame).map_err(E::into)?);
        Ok(())
    }
}

/// See [`utf8`].
#[derive(Clone, Copy, Debug)]
pub struct Utf8;

impl Decoder<String> for Utf8 {
    fn decode(&self, frame: &[u8], records: &mut VecDeque<String>) -> Result<(), DecodeError> {
        records.push_back(std::str::from_utf8(frame)?.to_owned());
        Ok(())
    }
}

/// See [`json`].
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T: DeserializeOwned + 'static> Decoder<T> for Json<T> {
    fn decode(&self, frame: &[u8], records: &mut VecDeque<T>) -> Result<(), DecodeError> {
        records.push_back(serde_json::from_slice(frame)?);
        Ok(())
    }
}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}
