//! Python's records as the columns that a program has declared.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, ListArray, PrimitiveBuilder, StringBuilder,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use thalweg_app::WriteRows;
use thalweg_dataflow::{Code, Error, Result};

use super::{EPOCH_ORDINAL, classes};
use crate::attached::attached;
use crate::describe::nanos;
use crate::function::shown;
use crate::object::Object;

/// No text and no bytes of a column are longer.
const VALUE_BYTES_MAX: usize = 1 << 30;

/// Writes records as rows: the items of a `dict`, or the attributes of any other object.
pub(crate) struct Rows {
    /// The step, for people.
    step: Arc<str>,
    columns: Vec<Column>,
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
        Ok(Self { step, columns: columns.iter().map(column).collect::<Result<_>>()? })
    }
}

impl WriteRows<Object> for Rows {
    fn push(&mut self, record: &Object) -> Result<usize> {
        let Self { step, columns } = self;
        attached(|py| {
            let record = record.0.bind(py);
            let mut bytes = 0;
            for column in columns {
                bytes += column.push(record).map_err(|what| {
                    let what = format!("{step}: {what}");
                    Error::new(Code::BadRecord, what).because(format!("the record was {}", shown(record)))
                })?;
            }
            Ok(bytes)
        })
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(self.columns.iter_mut().map(|column| column.values.finish()).collect())
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
    /// Appends a value, and answers how many bytes it takes; `None` if it is of another type.
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>>;
    fn append_null(&mut self);
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
        DataType::Float32 => {
            numbers::<Float32Type>(data_type, |value| Ok(float(value).map(|number| number as f32)))
        }
        DataType::Float64 => numbers::<Float64Type>(data_type, |value| Ok(float(value))),
        DataType::Utf8 => Box::new(StringBuilder::new()),
        DataType::Binary => Box::new(BinaryBuilder::new()),
        &DataType::Decimal128(precision, scale) => {
            numbers::<Decimal128Type>(data_type, move |value| decimal(value, precision, scale))
        }
        DataType::Date32 => numbers::<Date32Type>(data_type, date),
        DataType::Time64(TimeUnit::Nanosecond) => numbers::<Time64NanosecondType>(data_type, time),
        DataType::Timestamp(TimeUnit::Second, None) => instants!(TimestampSecondType, 1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, None) => instants!(TimestampMillisecondType, 1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, None) => instants!(TimestampMicrosecondType, 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => instants!(TimestampNanosecondType, 1),
        DataType::List(item) => Box::new(Lists {
            item: Arc::clone(item),
            ends: vec![0],
            there: Vec::new(),
            items: values(item.data_type())?,
        }),
        DataType::Struct(fields) => Box::new(Structs {
            fields: fields.clone(),
            there: Vec::new(),
            columns: fields.iter().map(|field| values(field.data_type())).collect::<Result<_>>()?,
        }),
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

fn float(value: &Bound<'_, PyAny>) -> Option<f64> {
    if is_flag(value) { None } else { value.extract().ok() }
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

/// Lists and tuples.
struct Lists {
    item: FieldRef,
    ends: Vec<i32>,
    there: Vec<bool>,
    items: Box<dyn Values>,
}

impl Values for Lists {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        if !value.is_instance_of::<PyList>() && !value.is_instance_of::<PyTuple>() {
            return Ok(None);
        }
        let (mut end, mut bytes) = (self.ends.last().copied().unwrap_or_default(), size_of::<i32>());
        for item in value.try_iter()? {
            let Some(more) = append(&mut *self.items, &item?)? else { return Ok(None) };
            bytes += more;
            check_length(bytes)?;
            end += 1;
        }
        self.ends.push(end);
        self.there.push(true);
        Ok(Some(bytes))
    }

    fn append_null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or_default());
        self.there.push(false);
    }

    fn finish(&mut self) -> ArrayRef {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        let there = NullBuffer::from(std::mem::take(&mut self.there));
        Arc::new(ListArray::new(Arc::clone(&self.item), ends, self.items.finish(), Some(there)))
    }
}

/// `dict`s, and objects with attributes.
struct Structs {
    fields: Fields,
    there: Vec<bool>,
    columns: Vec<Box<dyn Values>>,
}

impl Values for Structs {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let mut bytes = 1;
        for (field, column) in self.fields.iter().zip(&mut self.columns) {
            let name = PyString::intern(value.py(), field.name());
            let Some(part) = part(value, &name, field.is_nullable())? else { return Ok(None) };
            let Some(more) = append(&mut **column, &part)? else { return Ok(None) };
            bytes += more;
        }
        self.there.push(true);
        Ok(Some(bytes))
    }

    fn append_null(&mut self) {
        self.columns.iter_mut().for_each(|column| column.append_null());
        self.there.push(false);
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(|column| column.finish()).collect();
        let there = NullBuffer::from(std::mem::take(&mut self.there));
        let length = there.len();
        let made = StructArray::try_new_with_length(self.fields.clone(), columns, Some(there), length);
        Arc::new(made.expect("a value was appended to each of the columns"))
    }
}
