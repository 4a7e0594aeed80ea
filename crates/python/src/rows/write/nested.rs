//! Values that hold values: lists, maps and structs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use thalweg_dataflow::{Error, Result};

use super::{Values, append, check_length, part, values};

/// Where each value begins and ends among those that it holds.
struct Parts {
    ends: Vec<i32>,
    there: Vec<bool>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { ends: vec![0], there: Vec::new() }
    }
}

impl Parts {
    fn push(&mut self, held: i32) {
        self.ends.push(self.ends.last().copied().unwrap_or_default() + held);
        self.there.push(true);
    }

    fn push_null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or_default());
        self.there.push(false);
    }

    /// The ends, and which values there are; from then on there are none.
    fn finish(&mut self) -> (OffsetBuffer<i32>, NullBuffer) {
        let Self { ends, there } = std::mem::take(self);
        (OffsetBuffer::new(ScalarBuffer::from(ends)), NullBuffer::from(there))
    }
}

/// Lists and tuples.
pub(super) struct Lists {
    item: FieldRef,
    parts: Parts,
    items: Box<dyn Values>,
}

impl Lists {
    pub(super) fn new(item: &FieldRef) -> Result<Self> {
        Ok(Self { item: Arc::clone(item), parts: Parts::default(), items: values(item.data_type())? })
    }
}

impl Values for Lists {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        if !value.is_instance_of::<PyList>() && !value.is_instance_of::<PyTuple>() {
            return Ok(None);
        }
        let (mut items, mut bytes) = (0, size_of::<i32>());
        for item in value.try_iter()? {
            let Some(more) = append(&mut *self.items, &item?)? else { return Ok(None) };
            bytes += more;
            check_length(bytes)?;
            items += 1;
        }
        self.parts.push(items);
        Ok(Some(bytes))
    }

    fn append_null(&mut self) {
        self.parts.push_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let (ends, there) = self.parts.finish();
        Arc::new(ListArray::new(Arc::clone(&self.item), ends, self.items.finish(), Some(there)))
    }
}

/// `dict`s, each item an entry.
pub(super) struct Maps {
    entries: FieldRef,
    /// The key and the value of an entry.
    fields: Fields,
    parts: Parts,
    keys: Box<dyn Values>,
    items: Box<dyn Values>,
}

impl Maps {
    pub(super) fn new(entries: &FieldRef) -> Result<Self> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(Error::internal("a map has entries of a key and a value"));
        };
        let [key, item] = fields.as_ref() else {
            return Err(Error::internal("an entry of a map is a key and a value"));
        };
        let (keys, items) = (values(key.data_type())?, values(item.data_type())?);
        let (entries, fields) = (Arc::clone(entries), fields.clone());
        Ok(Self { entries, fields, parts: Parts::default(), keys, items })
    }
}

impl Values for Maps {
    fn append(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        let Ok(map) = value.cast::<PyDict>() else { return Ok(None) };
        let (mut entries, mut bytes) = (0, size_of::<i32>());
        // Whoever writes a value may call Python, which may change the map.
        for entry in map.items() {
            let (key, item): (Bound<'_, PyAny>, Bound<'_, PyAny>) = entry.extract()?;
            if key.is_none() {
                return Err(PyValueError::new_err("a key is None"));
            }
            for (column, value) in [(&mut self.keys, &key), (&mut self.items, &item)] {
                let Some(more) = append(&mut **column, value)? else { return Ok(None) };
                bytes += more;
            }
            check_length(bytes)?;
            entries += 1;
        }
        self.parts.push(entries);
        Ok(Some(bytes))
    }

    fn append_null(&mut self) {
        self.parts.push_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let (ends, there) = self.parts.finish();
        let entries = ends.last().copied().unwrap_or_default() as usize;
        let columns = [self.keys.finish(), self.items.finish()].map(|column| column.slice(0, entries));
        let entries = StructArray::new(self.fields.clone(), columns.to_vec(), None);
        Arc::new(MapArray::new(Arc::clone(&self.entries), ends, entries, Some(there), false))
    }
}

/// `dict`s, and objects with attributes.
pub(super) struct Structs {
    fields: Fields,
    there: Vec<bool>,
    columns: Vec<Box<dyn Values>>,
}

impl Structs {
    pub(super) fn new(fields: &Fields) -> Result<Self> {
        let columns = fields.iter().map(|field| values(field.data_type())).collect::<Result<_>>()?;
        Ok(Self { fields: fields.clone(), there: Vec::new(), columns })
    }
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
        let there = NullBuffer::from(std::mem::take(&mut self.there));
        let length = there.len();
        let columns = self.columns.iter_mut().map(|column| column.finish().slice(0, length)).collect();
        let made = StructArray::try_new_with_length(self.fields.clone(), columns, Some(there), length);
        Arc::new(made.expect("a value was appended to each of the columns"))
    }
}
