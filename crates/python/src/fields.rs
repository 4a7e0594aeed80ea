//! States as columns: one for each field, where a class says what is in them.
//!
//! ```text
//!  @dataclass                    state: STRUCT<
//!  class Account:                    balance BIGINT,
//!      balance: int                  names   TEXT[],
//!      names: list[str]              pickle  BYTEA >
//! ```
//!
//! What a class declares need not be what an object holds. A state must come back as it was, so an object that
//! holds anything but the very types that are declared is pickled as a whole, in a column beside the others. Of a
//! class that says nothing there is that column alone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields as ArrowFields, TimeUnit};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use thalweg_app::{Columnar, Write};
use thalweg_dataflow::{Code, Error, Result};

use crate::attached::attached;
use crate::function::shown;
use crate::object::{Object, pickled, unpickled};
use crate::rows::{Values, append, classes, objects, values};

/// The column of states that are pickled.
const PICKLE: &str = "pickle";

/// The years whose instants are numbers of nanoseconds since 1970, as the engine counts.
const YEARS: std::ops::Range<i32> = 1700..2200;

/// What is declared of a value.
enum Shape {
    Flag,
    Whole,
    Number,
    Text,
    Bytes,
    Date,
    Time,
    Instant,
    List(Arc<Shape>),
    Fields(Fields),
}

/// A dataclass, or a `dict` with these items in this order.
struct Fields {
    /// None for a `dict`.
    class: Option<Py<PyAny>>,
    fields: Vec<(Py<PyString>, Shape)>,
}

impl Shape {
    /// A shape as `thalweg.shapes` writes it: a word, or a tuple that begins with one.
    fn of(declared: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(parts) = declared.cast::<PyTuple>() {
            return match parts.get_item(0)?.extract::<String>()?.as_str() {
                "list" => Ok(Shape::List(Arc::new(Self::of(&parts.get_item(1)?)?))),
                _ => Fields::of(declared).map(Shape::Fields),
            };
        }
        Ok(match declared.extract::<String>()?.as_str() {
            "bool" => Shape::Flag,
            "int" => Shape::Whole,
            "float" => Shape::Number,
            "str" => Shape::Text,
            "bytes" => Shape::Bytes,
            "date" => Shape::Date,
            "time" => Shape::Time,
            "datetime" => Shape::Instant,
            other => return Err(PyTypeError::new_err(format!("there is no shape '{other}'"))),
        })
    }

    fn data_type(&self) -> DataType {
        match self {
            Shape::Flag => DataType::Boolean,
            Shape::Whole => DataType::Int64,
            Shape::Number => DataType::Float64,
            Shape::Text => DataType::Utf8,
            Shape::Bytes => DataType::Binary,
            Shape::Date => DataType::Date32,
            Shape::Time => DataType::Time64(TimeUnit::Nanosecond),
            Shape::Instant => DataType::Timestamp(TimeUnit::Microsecond, None),
            Shape::List(item) => DataType::List(Arc::new(Field::new("item", item.data_type(), true))),
            Shape::Fields(fields) => DataType::Struct(fields.columns().into()),
        }
    }

    /// Whether a value would come back from its column as it is.
    fn fits(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let is = |class: &Py<PyAny>| value.get_type().is(class);
        Ok(match self {
            _ if value.is_none() => true,
            Shape::Flag => value.is_exact_instance_of::<PyBool>(),
            Shape::Whole => value.is_exact_instance_of::<PyInt>() && value.extract::<i64>().is_ok(),
            Shape::Number => value.is_exact_instance_of::<PyFloat>(),
            Shape::Text => value.cast_exact::<PyString>().is_ok_and(|text| text.to_str().is_ok()),
            Shape::Bytes => value.is_exact_instance_of::<PyBytes>(),
            Shape::Date => is(&classes(py)?.date),
            Shape::Time => is(&classes(py)?.time) && value.getattr("tzinfo")?.is_none(),
            Shape::Instant => {
                is(&classes(py)?.datetime)
                    && value.getattr("tzinfo")?.is(&classes(py)?.utc)
                    && YEARS.contains(&value.getattr("year")?.extract()?)
            }
            Shape::List(item) => match value.cast_exact::<PyList>() {
                Ok(items) => all(items.iter(), |value| item.fits(&value))?,
                Err(_) => false,
            },
            Shape::Fields(fields) => fields.fits(value)?,
        })
    }

    /// The value of what a column has given: where that is a `dict`, an object of the class perhaps.
    fn restore<'py>(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            _ if value.is_none() => Ok(value),
            Shape::Fields(fields) => fields.restore(value),
            Shape::List(item) => {
                let items: PyResult<Vec<_>> = value.try_iter()?.map(|value| item.restore(value?)).collect();
                Ok(PyList::new(value.py(), items?)?.into_any())
            }
            Shape::Flag
            | Shape::Whole
            | Shape::Number
            | Shape::Text
            | Shape::Bytes
            | Shape::Date
            | Shape::Time
            | Shape::Instant => Ok(value),
        }
    }
}

impl Fields {
    fn of(declared: &Bound<'_, PyAny>) -> PyResult<Self> {
        type Field<'py> = (String, Bound<'py, PyAny>);
        let (kind, class, fields): (String, Bound<'_, PyAny>, Vec<Field<'_>>) = declared.extract()?;
        let field = |(name, shape): &Field<'_>| {
            Ok((PyString::intern(declared.py(), name).unbind(), Shape::of(shape)?))
        };
        let class = (kind == "dataclass").then(|| class.unbind());
        Ok(Self { class, fields: fields.iter().map(field).collect::<PyResult<_>>()? })
    }

    fn columns(&self) -> Vec<FieldRef> {
        let column = |(name, shape): &(Py<PyString>, Shape)| {
            Arc::new(Field::new(name.to_string(), shape.data_type(), true))
        };
        self.fields.iter().map(column).collect()
    }

    fn fits(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        match &self.class {
            Some(class) if value.get_type().is(class) => {
                // Attributes beyond the fields would be lost.
                if let Some(attributes) = value.getattr_opt(intern!(py, "__dict__"))?
                    && attributes.len()? != self.fields.len()
                {
                    return Ok(false);
                }
                all(self.fields.iter(), |(name, shape)| match value.getattr_opt(name)? {
                    Some(value) => shape.fits(&value),
                    None => Ok(false),
                })
            }
            Some(_) => Ok(false),
            None => {
                let Ok(items) = value.cast_exact::<PyDict>() else { return Ok(false) };
                // Their order is what whoever iterates sees.
                let mut there = items.iter().zip(&self.fields);
                Ok(items.len() == self.fields.len()
                    && all(&mut there, |((key, value), (name, shape))| {
                        Ok(key.is_exact_instance_of::<PyString>() && key.eq(name)? && shape.fits(&value)?)
                    })?)
            }
        }
    }

    /// An object of `items`, past its constructor: it is not new.
    fn restore<'py>(&self, items: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = items.py();
        let Some(class) = &self.class else {
            for (name, shape) in &self.fields {
                items.set_item(name, shape.restore(items.get_item(name)?)?)?;
            }
            return Ok(items);
        };
        let base = py.import(intern!(py, "builtins"))?.getattr(intern!(py, "object"))?;
        let object = base.call_method1(intern!(py, "__new__"), (class,))?;
        for (name, shape) in &self.fields {
            let value = shape.restore(items.get_item(name)?)?;
            // A frozen class refuses to be set in any other way.
            base.call_method1(intern!(py, "__setattr__"), (&object, name, value))?;
        }
        Ok(object)
    }
}

fn all<T>(things: impl Iterator<Item = T>, mut is: impl FnMut(T) -> PyResult<bool>) -> PyResult<bool> {
    for thing in things {
        if !is(thing)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// States of one class.
#[derive(Clone)]
pub(crate) struct Columns {
    /// The step, for people.
    step: Arc<str>,
    shape: Option<Arc<Fields>>,
}

impl Columns {
    /// The columns that `thalweg.shapes` describes, or `None`.
    pub(crate) fn new(step: &str, declared: &Bound<'_, PyAny>) -> PyResult<Self> {
        let shape = (!declared.is_none()).then(|| Fields::of(declared)).transpose()?;
        Ok(Self { step: step.into(), shape: shape.map(Arc::new) })
    }

    fn of_fields(&self) -> Vec<FieldRef> {
        self.shape.as_ref().map_or_else(Vec::new, |shape| shape.columns())
    }

    fn columns(&self) -> ArrowFields {
        let pickle = Arc::new(Field::new(PICKLE, DataType::Binary, true));
        self.of_fields().into_iter().chain([pickle]).collect()
    }

    fn restore<'py>(&self, items: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let shape = self.shape.as_ref();
        let shape = shape.ok_or_else(|| PyTypeError::new_err("a state is neither null nor pickled"))?;
        items.del_item(PICKLE)?;
        shape.restore(items)
    }

    fn failed(&self, what: &str, why: impl std::fmt::Display) -> Error {
        Error::new(Code::FunctionFailed, format!("a state of '{}' cannot be {what}", self.step)).because(why)
    }
}

impl Columnar<Option<Object>> for Columns {
    fn data_type(&self) -> DataType {
        DataType::Struct(self.columns())
    }

    fn is_nullable(&self) -> bool {
        true
    }

    fn writer(&self) -> Result<Box<dyn Write<Option<Object>>>> {
        Ok(Box::new(Writer {
            columns: self.clone(),
            values: self.of_fields().iter().map(|f| values(f.data_type())).collect::<Result<_>>()?,
            pickles: BinaryBuilder::new(),
            there: Vec::new(),
        }))
    }

    fn read(&self, column: &ArrayRef) -> Result<thalweg_app::Values<Option<Object>>> {
        let damaged = || Error::internal("states have other columns");
        let structs = column.as_struct_opt().ok_or_else(damaged)?;
        let pickles = structs.column_by_name(PICKLE).and_then(|column| column.as_binary_opt::<i32>());
        let pickles = pickles.ok_or_else(damaged)?;
        let states = attached(|py| -> PyResult<Vec<_>> {
            let plain = objects(py, column)?;
            let state = |(row, plain): (usize, Bound<'_, PyAny>)| -> PyResult<Option<Object>> {
                if plain.is_none() {
                    return Ok(None);
                }
                let state = match pickles.is_null(row) {
                    false => unpickled(py, pickles.value(row))?,
                    true => self.restore(plain)?,
                };
                Ok(Some(Object(state.unbind())))
            };
            plain.into_iter().enumerate().map(state).collect()
        });
        Ok(Box::new(states.map_err(|raised| self.failed("read", raised))?.into_iter()))
    }
}

/// States on their way into their columns.
struct Writer {
    columns: Columns,
    values: Vec<Box<dyn Values>>,
    pickles: BinaryBuilder,
    there: Vec<bool>,
}

impl Writer {
    fn push(&mut self, state: &Bound<'_, PyAny>) -> PyResult<usize> {
        let shape = self.columns.shape.clone();
        let fits = shape.as_ref().map_or(Ok(false), |shape| shape.fits(state))?;
        let Some(shape) = shape.filter(|_| fits) else {
            let pickle = pickled(state)?;
            self.values.iter_mut().for_each(|values| values.append_null());
            self.pickles.append_value(pickle.as_bytes());
            return Ok(pickle.as_bytes().len());
        };
        let mut bytes = 0;
        for ((name, _), values) in shape.fields.iter().zip(&mut self.values) {
            let value = match &shape.class {
                Some(_) => state.getattr(name)?,
                None => state.get_item(name)?,
            };
            bytes += append(&mut **values, &value)?.ok_or_else(|| {
                PyTypeError::new_err(format!("{} has no place in its column", shown(&value)))
            })?;
        }
        self.pickles.append_null();
        Ok(bytes)
    }
}

impl Write<Option<Object>> for Writer {
    fn push(&mut self, state: &Option<Object>) -> Result<usize> {
        self.there.push(state.is_some());
        match state {
            None => {
                self.values.iter_mut().for_each(|values| values.append_null());
                self.pickles.append_null();
                Ok(1)
            }
            Some(state) => attached(|py| {
                let state = state.0.bind(py);
                Writer::push(self, state).map_err(|raised| {
                    let why = format!("{raised}\nthe state was {}", shown(state));
                    self.columns.failed("written", why)
                })
            }),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let mut columns: Vec<ArrayRef> = self.values.iter_mut().map(|values| values.finish()).collect();
        columns.push(Arc::new(self.pickles.finish()));
        let there = NullBuffer::from(std::mem::take(&mut self.there));
        let length = there.len();
        let made = StructArray::try_new_with_length(self.columns.columns(), columns, Some(there), length);
        Ok(Arc::new(made.map_err(|why| Error::internal("states have lost a column").because(why))?))
    }
}
