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
//! class that says nothing, or declares what no column holds, there is that column alone.
//!
//! An object of which its fields are not all there is, a list with fields say, is pickled too.
//!
//! An earlier version of the class may have had other fields. They are found by name: what is gone is passed
//! over, and what is new is its default. What was pickled has its attributes, and gets those that are new.

mod columns;
mod complete;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use thalweg_app::{Readable, ReadableField, ReadableFields};

use crate::function::shown;
use crate::rows::classes;

pub(crate) use columns::Columns;

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
    /// What no column holds, in words for people.
    Other(String),
}

/// A dataclass, or a `dict` with these items in this order.
struct Fields {
    /// None for a `dict`.
    class: Option<Py<PyAny>>,
    fields: Vec<DeclaredField>,
    /// Whether objects of the class are more than their fields, so that only a pickle keeps them.
    is_pickled: bool,
    /// How many fields lie in the `__dict__` of an object.
    attributes: usize,
}

struct DeclaredField {
    name: Py<PyString>,
    shape: Shape,
    missing: Missing,
    /// Whether it lies in a slot, and not in the `__dict__` of an object.
    is_slot: bool,
}

/// What a field is where an earlier version of the class did not have it.
enum Missing {
    /// Nobody knows.
    Unknown,
    /// Not there, as items of a `dict` need not be.
    Absent,
    Value(Py<PyAny>),
    /// What this makes.
    Made(Py<PyAny>),
}

impl Shape {
    /// A shape as `thalweg.shapes` writes it: a word, or a tuple that begins with one.
    fn of(declared: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(parts) = declared.cast::<PyTuple>() {
            return match parts.get_item(0)?.extract::<String>()?.as_str() {
                "list" => Ok(Shape::List(Arc::new(Self::of(&parts.get_item(1)?)?))),
                "other" => Ok(Shape::Other(parts.get_item(1)?.extract()?)),
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
            Shape::Other(_) => DataType::Null,
        }
    }

    /// Whether columns hold all of it.
    fn is_columns(&self) -> bool {
        match self {
            Shape::List(item) => item.is_columns(),
            Shape::Fields(fields) => fields.is_columns(),
            Shape::Other(_) => false,
            Shape::Flag
            | Shape::Whole
            | Shape::Number
            | Shape::Text
            | Shape::Bytes
            | Shape::Date
            | Shape::Time
            | Shape::Instant => true,
        }
    }

    /// Of which columns it can be restored.
    fn readable(&self) -> Readable {
        match self {
            Shape::Number => Readable::Column(vec![DataType::Float64, DataType::Int64]),
            Shape::List(item) => Readable::List(Box::new(item.readable())),
            Shape::Fields(fields) => Readable::Fields(fields.readable(None)),
            Shape::Other(words) => Readable::Nothing(words.clone()),
            Shape::Flag
            | Shape::Whole
            | Shape::Text
            | Shape::Bytes
            | Shape::Date
            | Shape::Time
            | Shape::Instant => Readable::Column(vec![self.data_type()]),
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
            Shape::Time => is(&classes(py)?.time) && value.getattr("tzinfo")?.is_none() && !is_second(value)?,
            Shape::Instant => {
                is(&classes(py)?.datetime)
                    && value.getattr("tzinfo")?.is(&classes(py)?.utc)
                    && !is_second(value)?
                    && YEARS.contains(&value.getattr("year")?.extract()?)
            }
            Shape::List(item) => match value.cast_exact::<PyList>() {
                Ok(items) => all(items.iter(), |value| item.fits(&value))?,
                Err(_) => false,
            },
            Shape::Fields(fields) => fields.fits(value)?,
            Shape::Other(_) => false,
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
            Shape::Number if value.is_exact_instance_of::<PyInt>() => as_float(value),
            Shape::Flag
            | Shape::Whole
            | Shape::Number
            | Shape::Other(_)
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
        type Field<'py> = (String, Bound<'py, PyAny>, Bound<'py, PyAny>);
        let (kind, class, fields): (String, Bound<'_, PyAny>, Vec<Field<'_>>) = declared.extract()?;
        let is_object = kind != "dict";
        let field = |(name, shape, missing): &Field<'_>| {
            let (shape, missing) = (Shape::of(shape)?, Missing::of(missing)?);
            let is_slot = is_object && is_slot(&class, name)?;
            Ok(DeclaredField { name: PyString::intern(class.py(), name).unbind(), shape, missing, is_slot })
        };
        let fields = fields.iter().map(field).collect::<PyResult<Vec<_>>>()?;
        let attributes = fields.iter().filter(|field| !field.is_slot).count();
        let class = is_object.then(|| class.unbind());
        Ok(Self { class, fields, is_pickled: kind == "pickled", attributes })
    }

    fn columns(&self) -> Vec<FieldRef> {
        let column = |field: &DeclaredField| {
            Arc::new(Field::new(field.name.to_string(), field.shape.data_type(), true))
        };
        self.fields.iter().map(column).collect()
    }

    fn is_columns(&self) -> bool {
        !self.is_pickled && self.fields.iter().all(|field| field.shape.is_columns())
    }

    fn readable(&self, whole: Option<String>) -> ReadableFields {
        let field = |field: &DeclaredField| ReadableField {
            name: field.name.to_string(),
            readable: field.shape.readable(),
            optional: !matches!(field.missing, Missing::Unknown),
        };
        ReadableFields { fields: self.fields.iter().map(field).collect(), whole }
    }

    fn fits(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        match &self.class {
            Some(class) if value.get_type().is(class) => {
                let attributes = attributes(value)?;
                // Attributes beyond the fields would be lost.
                if attributes.as_ref().map_or(0, PyDictMethods::len) != self.attributes {
                    return Ok(false);
                }
                all(self.fields.iter(), |field| match field.held(value, attributes.as_ref())? {
                    Some(value) => field.shape.fits(&value),
                    None => Ok(false),
                })
            }
            Some(_) => Ok(false),
            None => {
                let Ok(items) = value.cast_exact::<PyDict>() else { return Ok(false) };
                // Their order is what whoever iterates sees.
                let mut there = items.iter().zip(&self.fields);
                Ok(items.len() == self.fields.len()
                    && all(&mut there, |((key, value), field)| {
                        let is_own = key.is_exact_instance_of::<PyString>() && key.eq(&field.name)?;
                        Ok(is_own && field.shape.fits(&value)?)
                    })?)
            }
        }
    }

    /// An object of `items`, past its constructor: it is not new.
    fn restore<'py>(&self, items: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, items) = (items.py(), items.cast::<PyDict>()?);
        let value = |field: &DeclaredField| match items.get_item(&field.name)? {
            Some(value) => field.shape.restore(value).map(Some),
            None => field.missing.value(py),
        };
        let Some(class) = &self.class else {
            let made = PyDict::new(py);
            for field in &self.fields {
                if let Some(value) = value(field)? {
                    made.set_item(&field.name, value)?;
                }
            }
            return Ok(made.into_any());
        };
        let object = base(py)?.call_method1(intern!(py, "__new__"), (class,))?;
        for field in &self.fields {
            if let Some(value) = value(field)? {
                set(&object, &field.name, &value)?;
            }
        }
        Ok(object)
    }
}

impl DeclaredField {
    /// What an object holds in the field, which is not what its class has under the name.
    fn held<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        attributes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match (self.is_slot, attributes) {
            (true, _) => object.getattr_opt(&self.name),
            (false, Some(attributes)) => attributes.get_item(&self.name),
            (false, None) => Ok(None),
        }
    }
}

impl Missing {
    fn of(declared: &Bound<'_, PyAny>) -> PyResult<Self> {
        if declared.is_none() {
            return Ok(Missing::Unknown);
        }
        let (kind, what): (String, Bound<'_, PyAny>) = declared.extract()?;
        match kind.as_str() {
            "absent" => Ok(Missing::Absent),
            "value" => Ok(Missing::Value(what.unbind())),
            "factory" => Ok(Missing::Made(what.unbind())),
            other => Err(PyTypeError::new_err(format!("there is no default '{other}'"))),
        }
    }

    /// None, if the field is not there.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Missing::Unknown => Err(PyTypeError::new_err("a field has no default")),
            Missing::Absent => Ok(None),
            Missing::Value(value) => Ok(Some(value.bind(py).clone())),
            Missing::Made(make) => make.bind(py).call0().map(Some),
        }
    }
}

/// A whole number as a float, if there is one that is equal.
fn as_float(number: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let float = number.py().get_type::<PyFloat>().call1((&number,))?;
    match float.eq(&number)? {
        true => Ok(float),
        false => Err(PyValueError::new_err(format!("no float is {}", shown(&number)))),
    }
}

/// Whether a time is the second of two that a clock shows when it is put back, which no column says.
fn is_second(time: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(time.getattr(intern!(time.py(), "fold"))?.extract::<u8>()? != 0)
}

/// Whether objects of a class have a slot of this name.
fn is_slot(class: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
    let slots = class.py().import("types")?.getattr("MemberDescriptorType")?;
    class.getattr_opt(name)?.map_or(Ok(false), |found| found.is_instance(&slots))
}

/// The attributes of an object that lie in no slots.
fn attributes<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let attributes = object.getattr_opt(intern!(object.py(), "__dict__"))?;
    Ok(attributes.and_then(|attributes| attributes.cast_into_exact().ok()))
}

fn base(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "builtins"))?.getattr(intern!(py, "object"))
}

/// Sets an attribute; a frozen class refuses any other way.
fn set(object: &Bound<'_, PyAny>, name: &Py<PyString>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    base(py)?.call_method1(intern!(py, "__setattr__"), (object, name, value)).map(drop)
}

fn all<T>(things: impl Iterator<Item = T>, mut is: impl FnMut(T) -> PyResult<bool>) -> PyResult<bool> {
    for thing in things {
        if !is(thing)? {
            return Ok(false);
        }
    }
    Ok(true)
}
