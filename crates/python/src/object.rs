//! Python objects on their way through columns.
//!
//! An object is written down where it crosses to another subtask, is kept as
//! state, or branches. What is common has a form of its own, one byte that says
//! what it is and then its value; all else is pickled.
//!
//! ```text
//!  None  False  True  int of 64 bits  float  str  bytes  tuple of such  │  dead letter  anything else
//!  N     f      t     i + 8 bytes     d + 8  s    b      ( + count      │  l            p + pickle
//! ```
//!
//! Keys are found again by their bytes, so equal keys must have equal bytes:
//! `1`, `1.0` and `True` are one key, as in a `dict`, and what is pickled is no key.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, BinaryArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use pyo3::exceptions::{PyException, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};
use serde::de::Visitor;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thalweg_app::{Columnar, Values, Write};
use thalweg_dataflow::{Error, Result};

use crate::attached::attached;
use crate::function::{Function, shown};
use crate::supervise::Step;

/// Tuples within tuples beyond this are pickled, or are no key.
const DEPTH_MAX: usize = 32;
/// A key is written beside each record and kept for ever.
const KEY_BYTES_MAX: usize = 1 << 16;

/// Any Python object.
pub(crate) struct Object(pub(crate) Py<PyAny>);

/// Appends an object.
pub(crate) fn write(object: &Bound<'_, PyAny>, to: &mut Vec<u8>) -> PyResult<()> {
    write_within(object, to, 0)
}

/// Appends an object that is the record of a letter, which is that of a letter, so many times.
fn write_within(object: &Bound<'_, PyAny>, to: &mut Vec<u8>, letters: usize) -> PyResult<()> {
    let start = to.len();
    if write_plain(object, to, 0)? {
        return Ok(());
    }
    to.truncate(start);
    if object.get_type().is(dead_letter(object.py())?) && write_letter(object, to, letters)? {
        return Ok(());
    }
    to.truncate(start);
    to.push(b'p');
    to.extend_from_slice(pickled(object)?.as_bytes());
    Ok(())
}

/// An object as a pickle.
pub(crate) fn pickled<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    if REFUSED.load(Relaxed) {
        return Err(PyTypeError::new_err(format!(
            "a '{}' can only be pickled, which --no-pickle refuses",
            object.get_type().qualname()?
        )));
    }
    static MARK: OnceLock<Step> = OnceLock::new();
    let dumps = pickle(py)?.dumps.bind(py);
    // A class says what is run here, which need not return.
    let mark = MARK.get_or_init(|| Step::new("the pickling of an object"));
    Ok(mark.call(object, || dumps.call1((object, 5)))?.cast_into()?)
}

/// The object of a pickle.
pub(crate) fn unpickled<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if REFUSED.load(Relaxed) {
        return Err(PyTypeError::new_err("here is a pickle, which --no-pickle refuses to open"));
    }
    static MARK: OnceLock<Step> = OnceLock::new();
    let (loads, bytes) = (pickle(py)?.loads.bind(py), PyBytes::new(py, bytes).into_any());
    let mark = MARK.get_or_init(|| Step::new("the unpickling of an object"));
    mark.call(&bytes, || loads.call1((&bytes,)))
}

/// Whether pickles are refused: nothing that is kept or sent may then run code where it is read.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Refuses pickles from here on, or takes them again.
#[pyfunction]
pub(crate) fn refuse_pickles(refused: bool) {
    REFUSED.store(refused, Relaxed);
}

/// Appends an object if it has a form of its own; what was appended if not means nothing.
fn write_plain(object: &Bound<'_, PyAny>, to: &mut Vec<u8>, depth: usize) -> PyResult<bool> {
    if let Ok(text) = object.cast_exact::<PyString>() {
        // A lone surrogate has no bytes in UTF-8, and is pickled.
        let Ok(text) = text.to_str() else { return Ok(false) };
        sized(b's', text.as_bytes(), to);
    } else if let Ok(number) = object.cast_exact::<PyInt>() {
        let Ok(number) = number.extract::<i64>() else { return Ok(false) };
        fixed(b'i', &number.to_le_bytes(), to);
    } else if object.is_none() {
        to.push(b'N');
    } else if let Ok(flag) = object.cast_exact::<PyBool>() {
        to.push(if flag.is_true() { b't' } else { b'f' });
    } else if let Ok(number) = object.cast_exact::<PyFloat>() {
        fixed(b'd', &number.value().to_le_bytes(), to);
    } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        sized(b'b', bytes.as_bytes(), to);
    } else if let Ok(items) = object.cast_exact::<PyTuple>() {
        if depth == DEPTH_MAX {
            return Ok(false);
        }
        fixed(b'(', &length(items.len())?, to);
        for item in items.iter_borrowed() {
            if !write_plain(&item, to, depth + 1)? {
                return Ok(false);
            }
        }
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Appends a key.
///
/// # Errors
/// If it is of a type that is no key, or too long.
pub(crate) fn write_key(key: &Bound<'_, PyAny>, to: &mut Vec<u8>) -> PyResult<()> {
    let start = to.len();
    write_part(key, to, 0)?;
    match to.len() - start {
        ..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(PyValueError::new_err(format!("a key of {bytes} bytes is longer than {KEY_BYTES_MAX}"))),
    }
}

fn write_part(key: &Bound<'_, PyAny>, to: &mut Vec<u8>, depth: usize) -> PyResult<()> {
    if let Ok(flag) = key.cast_exact::<PyBool>() {
        fixed(b'i', &i64::from(flag.is_true()).to_le_bytes(), to);
    } else if let Ok(number) = key.cast_exact::<PyFloat>() {
        let value = number.value();
        if value.is_nan() {
            return Err(PyValueError::new_err("NaN is not equal to itself, so it is no key"));
        }
        // A whole one has an integer that is equal.
        if value.is_finite() && value.trunc() == value {
            return write_part(&number.call_method0("__int__")?, to, depth);
        }
        fixed(b'd', &value.to_le_bytes(), to);
    } else if let Ok(items) = key.cast_exact::<PyTuple>() {
        if depth == DEPTH_MAX {
            return Err(PyValueError::new_err(format!(
                "a key has tuples within tuples, more than {DEPTH_MAX}"
            )));
        }
        fixed(b'(', &length(items.len())?, to);
        for item in items.iter_borrowed() {
            write_part(&item, to, depth + 1)?;
        }
    } else if key.cast_exact::<PyInt>().is_ok() && key.extract::<i64>().is_err() {
        sized(b'I', key.str()?.to_str()?.as_bytes(), to);
    } else if !write_plain(key, to, depth)? {
        return Err(PyTypeError::new_err(format!(
            "a '{}' is no key: keys are str, bytes, int, float, bool, None, and tuples of these",
            key.get_type().qualname()?
        )));
    }
    Ok(())
}

/// Reads an object that [`write`] or [`write_key`] wrote.
pub(crate) fn read<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    read_within(py, bytes, 0)
}

fn read_within<'py>(py: Python<'py>, bytes: &[u8], letters: usize) -> PyResult<Bound<'py, PyAny>> {
    if let Some((b'l', rest)) = bytes.split_first() {
        return read_letter(py, rest, letters);
    }
    let mut rest = bytes;
    let object = read_one(py, &mut rest, 0)?;
    if rest.is_empty() { Ok(object) } else { Err(damaged()) }
}

fn read_one<'py>(py: Python<'py>, rest: &mut &[u8], depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let tag = take(rest, 1)?[0];
    Ok(match tag {
        b'N' => py.None().into_bound(py),
        b'f' | b't' => PyBool::new(py, tag == b't').to_owned().into_any(),
        b'i' => i64::from_le_bytes(eight(rest)?).into_pyobject(py)?.into_any(),
        b'I' => {
            let digits = std::str::from_utf8(take_sized(rest)?).map_err(|_| damaged())?;
            py.get_type::<PyInt>().call1((digits,))?
        }
        b'd' => PyFloat::new(py, f64::from_le_bytes(eight(rest)?)).into_any(),
        b's' => {
            let text = std::str::from_utf8(take_sized(rest)?).map_err(|_| damaged())?;
            PyString::new(py, text).into_any()
        }
        b'b' => PyBytes::new(py, take_sized(rest)?).into_any(),
        b'(' if depth < DEPTH_MAX => {
            let count = take_length(rest)?;
            // Each item takes a byte at least.
            if count > rest.len() {
                return Err(damaged());
            }
            let items: PyResult<Vec<_>> = (0..count).map(|_| read_one(py, rest, depth + 1)).collect();
            PyTuple::new(py, items?)?.into_any()
        }
        b'p' if depth == 0 => unpickled(py, std::mem::take(rest))?,
        _ => return Err(damaged()),
    })
}

fn fixed(tag: u8, value: &[u8], to: &mut Vec<u8>) {
    to.push(tag);
    to.extend_from_slice(value);
}

fn sized(tag: u8, value: &[u8], to: &mut Vec<u8>) {
    to.push(tag);
    // Longer ones than a column can hold are refused there.
    to.extend_from_slice(&(value.len() as u64).to_le_bytes());
    to.extend_from_slice(value);
}

pub(crate) fn length(items: usize) -> PyResult<[u8; 8]> {
    let items = u64::try_from(items).map_err(|_| PyOverflowError::new_err("too many items"))?;
    Ok(items.to_le_bytes())
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> PyResult<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(bytes).ok_or_else(damaged)?;
    *rest = behind;
    Ok(taken)
}

fn eight(rest: &mut &[u8]) -> PyResult<[u8; 8]> {
    take(rest, 8)?.try_into().map_err(|_| damaged())
}

pub(crate) fn take_length(rest: &mut &[u8]) -> PyResult<usize> {
    usize::try_from(u64::from_le_bytes(eight(rest)?)).map_err(|_| damaged())
}

pub(crate) fn take_sized<'a>(rest: &mut &'a [u8]) -> PyResult<&'a [u8]> {
    let bytes = take_length(rest)?;
    take(rest, bytes)
}

fn damaged() -> PyErr {
    PyValueError::new_err("the bytes of an object are damaged")
}

struct Pickle {
    dumps: Py<PyAny>,
    loads: Py<PyAny>,
}

fn pickle(py: Python<'_>) -> PyResult<&Pickle> {
    static PICKLE: PyOnceLock<Pickle> = PyOnceLock::new();
    PICKLE.get_or_try_init(py, || {
        let module = py.import("pickle")?;
        Ok(Pickle { dumps: module.getattr("dumps")?.unbind(), loads: module.getattr("loads")?.unbind() })
    })
}

/// The words of a dead letter, before its record.
const LETTER_WORDS: usize = 3;

/// Appends a dead letter: its words, its record as people read it, and the record itself, if it can be written. So
/// any letter arrives, also one whose record cannot be read again. Answers false for what is no letter but in name.
fn write_letter(letter: &Bound<'_, PyAny>, to: &mut Vec<u8>, letters: usize) -> PyResult<bool> {
    let items = letter.cast::<PyTuple>()?;
    to.push(b'l');
    for word in items.iter_borrowed().take(LETTER_WORDS) {
        let Ok(word) = word.cast_exact::<PyString>() else { return Ok(false) };
        sized(b's', word.to_string_lossy().as_bytes(), to);
    }
    let record = items.get_item(LETTER_WORDS)?;
    sized(b's', shown(&record).as_bytes(), to);
    let start = to.len();
    if letters == DEPTH_MAX || write_within(&record, to, letters + 1).is_err() {
        to.truncate(start);
    }
    Ok(true)
}

/// Reads a letter that [`write_letter`] wrote.
fn read_letter<'py>(py: Python<'py>, mut rest: &[u8], letters: usize) -> PyResult<Bound<'py, PyAny>> {
    if letters > DEPTH_MAX {
        return Err(damaged());
    }
    let words: PyResult<Vec<_>> = (0..=LETTER_WORDS).map(|_| read_one(py, &mut rest, 1)).collect();
    let mut items = words?;
    if !rest.is_empty() {
        match read_within(py, rest, letters + 1) {
            Ok(record) => items[LETTER_WORDS] = record,
            Err(raised) if raised.is_instance_of::<PyException>(py) => {}
            Err(raised) => return Err(raised),
        }
    }
    dead_letter(py)?.call1(PyTuple::new(py, items)?)
}

/// The class of dead letters.
fn dead_letter(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = || Ok::<_, PyErr>(py.import("thalweg.policies")?.getattr("DeadLetter")?.unbind());
    Ok(CLASS.get_or_try_init(py, class)?.bind(py))
}

/// Records between two subtasks, as bytes.
pub(crate) struct Column {
    /// The step that sends them.
    pub(crate) step: Arc<Function>,
}

impl Columnar<Object> for Column {
    fn data_type(&self) -> DataType {
        DataType::Binary
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn writer(&self) -> Result<Box<dyn Write<Object>>> {
        Ok(Box::new(Writer { step: Arc::clone(&self.step), bytes: Vec::new(), ends: vec![0] }))
    }

    fn read(&self, column: &ArrayRef) -> Result<Values<Object>> {
        let column = column.as_binary_opt::<i32>();
        let column = column.ok_or_else(|| Error::internal("records do not lie in bytes"))?;
        let records = attached(|py| {
            let record = |bytes| {
                read(py, bytes)
                    .map(|record| Object(record.unbind()))
                    .map_err(|raised| self.step.unread(py, &raised))
            };
            column.iter().flatten().map(record).collect::<Result<Vec<_>>>()
        })?;
        Ok(Box::new(records.into_iter()))
    }
}

/// Records on their way into their column.
struct Writer {
    step: Arc<Function>,
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl Write<Object> for Writer {
    fn push(&mut self, record: &Object) -> Result<usize> {
        attached(|py| {
            let (record, start) = (record.0.bind(py), self.bytes.len());
            let written = write(record, &mut self.bytes).and_then(|()| {
                i32::try_from(self.bytes.len()).map_err(|_| PyOverflowError::new_err("a record is too large"))
            });
            match written {
                Ok(end) => self.ends.push(end),
                Err(raised) => {
                    self.bytes.truncate(start);
                    return Err(self.step.failed(py, &raised, record));
                }
            }
            Ok(self.bytes.len() - start)
        })
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        let bytes = Buffer::from_vec(std::mem::take(&mut self.bytes));
        let column = BinaryArray::try_new(ends, bytes, None);
        Ok(Arc::new(column.map_err(|why| Error::internal("records do not fit their column").because(why))?))
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        attached(|py| {
            let object = self.0.bind(py);
            let written = write(object, &mut bytes);
            written.map_err(|raised| S::Error::custom(format!("{raised}; it was {}", shown(object))))
        })?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesOf(|py, bytes| match bytes {
            // What stands where the form of a type is asked for.
            [] => Ok(Object(py.None())),
            bytes => read(py, bytes).map(|object| Object(object.unbind())),
        }))
    }
}

/// What is read from bytes, for serde.
pub(crate) struct BytesOf<T>(pub(crate) fn(Python<'_>, &[u8]) -> PyResult<T>);

impl<T> Visitor<'_> for BytesOf<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the bytes of an object")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> std::result::Result<T, E> {
        attached(|py| (self.0)(py, bytes)).map_err(E::custom)
    }
}
