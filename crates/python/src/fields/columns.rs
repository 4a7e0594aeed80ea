//! The column of a state: a struct of its fields, and the pickle beside them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields as ArrowFields};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use thalweg_app::{Columnar, Readable, Write};
use thalweg_dataflow::{Code, Error, Result};

use super::{DeclaredField, Fields};
use crate::attached::attached;
use crate::function::shown;
use crate::object::{Object, pickled, unpickled};
use crate::rows::{Values, append, objects, values};

/// The column of states that are pickled.
pub(super) const PICKLE: &str = "pickle";

/// States of one class.
#[derive(Clone)]
pub(crate) struct Columns {
    /// The step, for people.
    step: Arc<str>,
    /// What the class declares.
    shape: Option<Arc<Fields>>,
    /// The same, if columns hold all of it.
    columns: Option<Arc<Fields>>,
}

impl Columns {
    /// The columns that `thalweg.shapes` describes, or `None`.
    pub(crate) fn new(step: &str, declared: &Bound<'_, PyAny>) -> PyResult<Self> {
        let shape = (!declared.is_none()).then(|| Fields::of(declared)).transpose()?.map(Arc::new);
        let columns = shape.clone().filter(|shape| shape.is_columns());
        Ok(Self { step: step.into(), shape, columns })
    }

    fn of_fields(&self) -> Vec<FieldRef> {
        self.columns.as_ref().map_or_else(Vec::new, |shape| shape.columns())
    }

    fn columns(&self) -> ArrowFields {
        let pickle = Arc::new(Field::new(PICKLE, DataType::Binary, true));
        self.of_fields().into_iter().chain([pickle]).collect()
    }

    fn restore<'py>(&self, items: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let shape = self.shape.as_ref();
        let shape = shape.ok_or_else(|| PyTypeError::new_err("a state is neither null nor pickled"))?;
        // A field of this name has no column.
        items.del_item(PICKLE)?;
        shape.restore(items)
    }

    fn unpickle<'py>(
        &self,
        py: Python<'py>,
        pickle: &[u8],
        changed: Option<&ArrowFields>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let state = unpickled(py, pickle)?;
        if let (Some(shape), Some(kept)) = (&self.shape, changed) {
            shape.complete(&state, kept)?;
        }
        Ok(state)
    }

    /// The columns that an earlier version of the class had, if they were others than today.
    fn changed(&self, kept: &ArrowFields) -> Option<ArrowFields> {
        let kept: ArrowFields = kept.iter().filter(|column| column.name() != PICKLE).cloned().collect();
        // Where all states are pickles nobody knows which fields there were.
        Some(kept).filter(|kept| !kept.is_empty() && kept[..] != self.of_fields())
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
            layout: self.clone(),
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
        let changed = self.changed(structs.fields());
        let states = attached(|py| -> PyResult<Vec<_>> {
            let plain = objects(py, column)?;
            let state = |(row, plain): (usize, Bound<'_, PyAny>)| -> PyResult<Option<Object>> {
                if plain.is_none() {
                    return Ok(None);
                }
                let state = match pickles.is_null(row) {
                    false => self.unpickle(py, pickles.value(row), changed.as_ref())?,
                    true => self.restore(plain)?,
                };
                Ok(Some(Object(state.unbind())))
            };
            plain.into_iter().enumerate().map(state).collect()
        });
        Ok(Box::new(states.map_err(|raised| self.failed("read", raised))?.into_iter()))
    }

    fn readable(&self) -> Readable {
        match &self.shape {
            Some(shape) => Readable::Fields(shape.readable(Some(PICKLE.to_owned()))),
            None => Readable::Nothing("of a class that declares no fields".to_owned()),
        }
    }
}

/// States on their way into their columns.
struct Writer {
    layout: Columns,
    values: Vec<Box<dyn Values>>,
    pickles: BinaryBuilder,
    there: Vec<bool>,
}

impl Writer {
    fn push(&mut self, state: &Bound<'_, PyAny>) -> PyResult<usize> {
        let shape = self.layout.columns.clone();
        let fits = shape.as_ref().map_or(Ok(false), |shape| shape.fits(state))?;
        let Some(shape) = shape.filter(|_| fits) else {
            let pickle = pickled(state)?;
            self.values.iter_mut().for_each(|values| values.append_null());
            self.pickles.append_value(pickle.as_bytes());
            return Ok(pickle.as_bytes().len());
        };
        let mut bytes = 0;
        for (DeclaredField { name, .. }, values) in shape.fields.iter().zip(&mut self.values) {
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
                    self.layout.failed("written", why)
                })
            }),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let mut columns: Vec<ArrayRef> = self.values.iter_mut().map(|values| values.finish()).collect();
        columns.push(Arc::new(self.pickles.finish()));
        let there = NullBuffer::from(std::mem::take(&mut self.there));
        let length = there.len();
        let made = StructArray::try_new_with_length(self.layout.columns(), columns, Some(there), length);
        Ok(Arc::new(made.map_err(|why| Error::internal("states have lost a column").because(why))?))
    }
}
