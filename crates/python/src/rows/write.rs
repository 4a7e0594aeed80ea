//! Python's records as the columns that a program has declared.

mod nested;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder,
};
use arrow::compute::concat;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyString};
use thalweg_app::WriteRows;
use thalweg_dataflow::{Code, Error, EventTime, Result};

use super::{EPOCH_ORDINAL, classes};
use crate::attached::attached;
use crate::function::shown;
use crate::object::Object;
use nested::{Lists, Maps, Structs};

/// No text and no bytes of a column are longer.
const VALUE_BYTES_MAX: usize = 1 << 30;

/// So many rows are tried before they are thrown away, and larger ones at once: 4 MiB are held at most.
const TRIED_MAX: usize = 1024;
const TRIED_BYTES_MAX: usize = 4096;

/// Writes records as rows: the items of a `dict`, or the attributes of any other object.
pub(crate) struct Rows {
    /// The step, for people.
    step: Arc<str>,
    columns: Vec<Column>,
    /// How many rows all columns have.
    rows: usize,
    /// The columns of the rows before each that could not be written.
    before: Vec<Vec<ArrayRef>>,
}

struct Column {
    field: FieldRef,
    name: Py<PyString>,
    /// The type, as the program wrote it.
    declared: Arc<str>,
    values: Box<dyn Values>,
}

impl Rows {
    /// Writes columns, each with its type as the program wrote it.
    pub(crate) fn new(step: Arc<str>, columns: &[(FieldRef, Arc<str>)]) -> Result<Self> {
        let column = |(field, declared): &(FieldRef, Arc<str>)| {
            let name = attached(|py| PyString::intern(py, field.name()).unbind());
            let values = values(field.data_type())?;
            Ok(Column { field: Arc::clone(field), name, declared: Arc::clone(declared), values })
        };
        let columns = columns.iter().map(column).collect::<Result<_>>()?;
        Ok(Self { step, columns, rows: 0, before: Vec::new() })
    }

    /// What keeps a record from being a row, if anything does. Nothing of it is kept.
    pub(crate) fn misfit(&mut self, record: &Bound<'_, PyAny>) -> Option<String> {
        let fits = self.columns.iter_mut().map(|column| column.push(record));
        let fits = fits.sum::<std::result::Result<usize, _>>();
        match fits {
            Ok(bytes) if self.rows < TRIED_MAX && bytes <= TRIED_BYTES_MAX => self.rows += 1,
            Ok(_) | Err(_) => drop(self.whole()),
        }
        fits.err()
    }

    /// The columns of the rows since `before`, without what was written of one that could not be.
    fn whole(&mut self) -> Vec<ArrayRef> {
        let rows = std::mem::take(&mut self.rows);
        self.columns.iter_mut().map(|column| column.values.finish().slice(0, rows)).collect()
    }
}

impl WriteRows<Object> for Rows {
    fn push(&mut self, record: &Object) -> Result<usize> {
        let Self { step, columns, .. } = self;
        let pushed = attached(|py| {
            let record = record.0.bind(py);
            let pushed =
                columns.iter_mut().map(|column| column.push(record)).sum::<std::result::Result<_, _>>();
            pushed.map_err(|what: String| {
                let what = format!("{step}: {what}");
                Error::new(Code::BadRecord, what).because(format!("the record was {}", shown(record)))
            })
        });
        match pushed {
            Ok(_) => self.rows += 1,
            Err(_) => {
                let whole = self.whole();
                self.before.push(whole);
            }
        }
        pushed
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let last = self.whole();
        if self.before.is_empty() {
            return Ok(last);
        }
        let mut pieces = std::mem::take(&mut self.before);
        pieces.push(last);
        let column = |index: usize| {
            let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece[index].as_ref()).collect();
            concat(&pieces)
                .map_err(|why| Error::internal("pieces of a column do not fit together").because(why))
        };
        (0..self.columns.len()).map(column).collect()
    }
}

impl Column {
    /// Appends the value of a record, or says what is wrong with it.
    fn push(&mut self, record: &Bound<'_, PyAny>) -> std::result::Result<usize, String> {
        let (name, declared) = (self.field.name(), &self.declared);
        let value = part(record, self.name.bind(record.py()), self.field.is_nullable());
        let value = match value.map_err(|raised| format!("the column '{name}' cannot be read: {raised}"))? {
            Some(value) => value,
            None => return Err(format!("the record has no '{name}', which is a column of type {declared}")),
        };
        if value.is_none() && !self.field.is_nullable() {
            return Err(format!("the column '{name}' is {declared}, and the record has None"));
        }
        let wrong = || {
            let class = value.get_type().qualname().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            format!(
                "the column '{name}' is {declared}, and the record has {} of type '{class}'",
                shown(&value)
            )
        };
        match append(&mut *self.values, &value) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(wrong()),
            Err(raised) => Err(format!("{}: {raised}", wrong())),
        }
    }
}

/// An instant: seconds since 1970, or a `datetime` that knows its time zone.
pub(crate) fn nanos(time: &Bound<'_, PyAny>) -> Option<EventTime> {
    const PER_SECOND: i64 = 1_000_000_000;
    if let Ok(seconds) = time.extract::<i64>() {
        return seconds.checked_mul(PER_SECOND).map(EventTime);
    }
    let micros = match time.extract::<f64>() {
        // Doubles hold seconds of our years to about a microsecond, so that is what is kept.
        Ok(seconds) => Some((seconds * 1e6).round()).filter(|micros| micros.abs() < 9.2e15)? as i64,
        Err(_) if time.getattr("tzinfo").is_ok_and(|zone| !zone.is_none()) => {
            micros(&time.sub(classes(time.py()).ok()?.epoch.bind(time.py())).ok()?).ok()?
        }
        Err(_) => return None,
    };
    micros.checked_mul(1_000).map(EventTime)
}

/// The length of a `timedelta`, exactly.
fn micros(delta: &Bound<'_, PyAny>) -> PyResult<i64> {
    let part = |name: &str| delta.getattr(name)?.extract::<i64>();
    // Two instants are at most four million days apart; what only looks like one may answer anything.
    let seconds = part("days")?.saturating_mul(86_400).saturating_add(part("seconds")?);
    Ok(seconds.saturating_mul(1_000_000).saturating_add(part("microseconds")?))
}

/// What a record has under a name. What a `dict` lacks is `None` where that can be.
fn part<'py>(
    record: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    nullable: bool,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match record.cast::<PyDict>() {
        Ok(items) => match items.get_item(name)? {
            None if nullable => Ok(Some(record.py().None().into_bound(record.py()))),
            found => Ok(found),
        },
        Err(_) => record.getattr_opt(name),
    }
}

/// Values on their way into a column.
pub(crate) trait Values: Send {
    /// Appends a value, and answers how many bytes it takes; `None` if it is of another type. What cannot
    /// be appended may leave more behind those that were, and then nothing more is appended before `finish`.
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>>;
    fn append_null(&mut self);
    /// The column of all values, and behind them what the last left that could not be appended.
    fn finish(&mut self) -> ArrayRef;
}

pub(crate) fn append(values: &mut dyn Values, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    if value.is_none() {
        values.append_null();
        return Ok(Some(1));
    }
    values.append(value)
}

/// An empty column of this type.
pub(crate) fn values(data_type: &DataType) -> Result<Box<dyn Values>> {
    macro_rules! whole {
        ($type:ty) => {
            numbers::<$type>(data_type, |value| Ok(if is_flag(value) { None } else { value.extract().ok() }))
        };
    }
    macro_rules! instants {
        ($type:ty, $nanos:expr) => {
            numbers::<$type>(data_type, |value| {
                Ok(if is_flag(value) { None } else { nanos(value).map(|time| time.0.div_euclid($nanos)) })
            })
        };
    }
    Ok(match data_type {
        DataType::Boolean => Box::new(BooleanBuilder::new()),
        DataType::Int8 => whole!(Int8Type),
        DataType::Int16 => whole!(Int16Type),
        DataType::Int32 => whole!(Int32Type),
        DataType::Int64 => whole!(Int64Type),
        DataType::UInt8 => whole!(UInt8Type),
        DataType::UInt16 => whole!(UInt16Type),
        DataType::UInt32 => whole!(UInt32Type),
        DataType::UInt64 => whole!(UInt64Type),
        DataType::Float32 => numbers::<Float32Type>(data_type, |value| match float(value)? {
            Some(number) if number.is_finite() && (number as f32).is_infinite() => {
                Err(PyValueError::new_err("it is too large"))
            }
            number => Ok(number.map(|number| number as f32)),
        }),
        DataType::Float64 => numbers::<Float64Type>(data_type, float),
        DataType::Utf8 => Box::new(StringBuilder::new()),
        DataType::Binary => Box::new(BinaryBuilder::new()),
        &DataType::Decimal128(precision, scale) => {
            numbers::<Decimal128Type>(data_type, move |value| decimal(value, precision, scale))
        }
        DataType::Date32 => numbers::<Date32Type>(data_type, date),
        DataType::Time64(TimeUnit::Nanosecond) => numbers::<Time64NanosecondType>(data_type, time),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            numbers::<IntervalMonthDayNanoType>(data_type, interval)
        }
        DataType::Timestamp(TimeUnit::Second, None) => instants!(TimestampSecondType, 1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, None) => instants!(TimestampMillisecondType, 1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, None) => instants!(TimestampMicrosecondType, 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => instants!(TimestampNanosecondType, 1),
        DataType::List(item) => Box::new(Lists::new(item)?),
        DataType::Map(entries, _) => Box::new(Maps::new(entries)?),
        DataType::Struct(fields) => Box::new(Structs::new(fields)?),
        other => {
            let what = format!("records of Python have no columns of type '{other}'");
            return Err(Error::new(Code::NotSupported, what));
        }
    })
}

/// `True` is no number here, though Python counts it as one.
fn is_flag(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyBool>()
}

/// A number as a float. A whole one must be equal to it.
fn float(value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if is_flag(value) {
        return Ok(None);
    }
    let Ok(number) = value.extract::<f64>() else { return Ok(None) };
    if value.is_instance_of::<PyInt>() && !value.eq(number)? {
        return Err(PyValueError::new_err("no float is equal to it"));
    }
    Ok(Some(number))
}

/// An exact decimal as its digits, if it fits.
fn decimal(value: &Bound<'_, PyAny>, precision: u8, scale: i8) -> PyResult<Option<i128>> {
    let py = value.py();
    let class = classes(py)?.decimal.bind(py);
    let number = match value.is_instance(class)? {
        true => value.clone(),
        false if value.is_instance_of::<PyInt>() && !is_flag(value) => class.call1((value,))?,
        false => return Ok(None),
    };
    if !number.call_method0("is_finite")?.is_truthy()? {
        return Ok(None);
    }
    // Before it is written out: an exponent of a million has a million digits.
    if number.call_method0("adjusted")?.extract::<i64>()?.abs() > 2 * i64::from(u8::MAX) {
        return Err(PyValueError::new_err("it has too many digits"));
    }
    let text: String = number.call_method1("__format__", ("f",))?.extract()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (fraction, digits) = (fraction.trim_end_matches('0'), usize::from(scale.unsigned_abs()));
    if fraction.len() > digits {
        return Err(PyValueError::new_err(format!("it has more than {scale} digits behind the point")));
    }
    let number = format!("{whole}{fraction:0<digits$}").parse::<i128>().ok();
    let bound = 10_u128.pow(u32::from(precision));
    match number.filter(|number| number.unsigned_abs() < bound) {
        Some(number) => Ok(Some(number)),
        None => Err(PyValueError::new_err(format!("it has more than {precision} digits"))),
    }
}

fn date(value: &Bound<'_, PyAny>) -> PyResult<Option<i32>> {
    let classes = classes(value.py())?;
    // A `datetime` is a `date` too, and its time would be lost.
    if !value.is_instance(classes.date.bind(value.py()))?
        || value.is_instance(classes.datetime.bind(value.py()))?
    {
        return Ok(None);
    }
    Ok(Some(value.call_method0("toordinal")?.extract::<i32>()? - EPOCH_ORDINAL))
}

fn time(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if !value.is_instance(classes(value.py())?.time.bind(value.py()))? || !value.getattr("tzinfo")?.is_none()
    {
        return Ok(None);
    }
    let part = |name: &str| value.getattr(name)?.extract::<i64>();
    let seconds = (part("hour")? * 60 + part("minute")?) * 60 + part("second")?;
    Ok(Some((seconds * 1_000_000 + part("microsecond")?) * 1_000))
}

/// A length of time as days and what is left, both of one sign.
fn interval(value: &Bound<'_, PyAny>) -> PyResult<Option<IntervalMonthDayNano>> {
    const DAY_MICROS: i128 = 86_400_000_000;
    if !value.is_instance(classes(value.py())?.delta.bind(value.py()))? {
        return Ok(None);
    }
    let part = |name: &str| value.getattr(name)?.extract::<i128>();
    // At most 10^9 days, by Python's own limit.
    let micros = part("days")? * DAY_MICROS + part("seconds")? * 1_000_000 + part("microseconds")?;
    let (days, rest) = (micros / DAY_MICROS, micros % DAY_MICROS);
    Ok(Some(IntervalMonthDayNano::new(0, days as i32, rest as i64 * 1000)))
}

/// Numbers, each found in a value by a function.
struct Numbers<A: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<A>,
    find: F,
}

fn numbers<A: ArrowPrimitiveType>(
    data_type: &DataType,
    find: impl Fn(&Bound<'_, PyAny>) -> PyResult<Option<A::Native>> + Send + 'static,
) -> Box<dyn Values> {
    Box::new(Numbers { builder: PrimitiveBuilder::<A>::new().with_data_type(data_type.clone()), find })
}

impl<A, F> Values for Numbers<A, F>
where
    A: ArrowPrimitiveType,
    F: Fn(&Bound<'_, PyAny>) -> PyResult<Option<A::Native>> + Send,
{
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let Some(number) = (self.find)(value)? else { return Ok(None) };
        self.builder.append_value(number);
        Ok(Some(size_of::<A::Native>()))
    }

    fn append_null(&mut self) {
        self.builder.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

impl Values for BooleanBuilder {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let Ok(flag) = value.cast::<PyBool>() else { return Ok(None) };
        self.append_value(flag.is_true());
        Ok(Some(1))
    }

    fn append_null(&mut self) {
        BooleanBuilder::append_null(self);
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(BooleanBuilder::finish(self))
    }
}

impl Values for StringBuilder {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let Ok(text) = value.cast::<PyString>() else { return Ok(None) };
        let text = text.to_str()?;
        check_length(text.len())?;
        self.append_value(text);
        Ok(Some(text.len()))
    }

    fn append_null(&mut self) {
        StringBuilder::append_null(self);
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(StringBuilder::finish(self))
    }
}

impl Values for BinaryBuilder {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let Ok(bytes) = value.cast::<PyBytes>() else { return Ok(None) };
        check_length(bytes.as_bytes().len())?;
        self.append_value(bytes.as_bytes());
        Ok(Some(bytes.as_bytes().len()))
    }

    fn append_null(&mut self) {
        BinaryBuilder::append_null(self);
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(BinaryBuilder::finish(self))
    }
}

fn check_length(bytes: usize) -> PyResult<()> {
    match bytes {
        ..=VALUE_BYTES_MAX => Ok(()),
        _ => Err(PyValueError::new_err(format!("{bytes} bytes are more than {VALUE_BYTES_MAX}"))),
    }
}
