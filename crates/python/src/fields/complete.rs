//! The fields that classes have got since a state was pickled.
//!
//! A pickle gives an object the attributes that it had. Which fields its class had then, the columns beside the
//! pickle say, though they are null: what is not among them is new.

use arrow::datatypes::{DataType, Fields as ArrowFields};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::{DeclaredField, Fields, Shape, attributes, set};

impl Fields {
    /// Gives an object that was pickled the fields that its class has got since: those not among the `kept`.
    pub(super) fn complete(&self, object: &Bound<'_, PyAny>, kept: &ArrowFields) -> PyResult<()> {
        let kept_as =
            |field: &DeclaredField| kept.find(&field.name.to_string()).map(|(_, kept)| kept.data_type());
        let Some(class) = &self.class else {
            let Ok(items) = object.cast::<PyDict>() else { return Ok(()) };
            return self.fields.iter().try_for_each(|field| {
                match (items.get_item(&field.name)?, kept_as(field)) {
                    (Some(value), Some(kept)) => field.shape.complete(&value, kept),
                    _ => Ok(()),
                }
            });
        };
        if !object.get_type().is(class) {
            return Ok(());
        }
        if self.is_pickled_by_place(object)? && !self.begins_with(kept) {
            return Err(PyTypeError::new_err(
                "a dataclass that is frozen and has slots is pickled by the places of its fields: \
                 others can only come behind them",
            ));
        }
        let attributes = attributes(object)?;
        self.fields.iter().try_for_each(|field| {
            match (field.held(object, attributes.as_ref())?, kept_as(field)) {
                (Some(value), Some(kept)) => field.shape.complete(&value, kept),
                (None, None) => match field.missing.value(object.py())? {
                    Some(value) => set(object, &field.name, &value),
                    None => Ok(()),
                },
                (Some(_), None) | (None, Some(_)) => Ok(()),
            }
        })
    }

    /// Whether an object's pickle holds the fields without their names, as `dataclasses` writes some.
    fn is_pickled_by_place(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(set) = object.getattr_opt("__setstate__")? else { return Ok(false) };
        let name = set.getattr_opt("__name__")?;
        name.map_or(Ok(false), |name| name.eq("_dataclass_setstate"))
    }

    /// Whether the first fields are those that were kept, in their order.
    fn begins_with(&self, kept: &ArrowFields) -> bool {
        let mut pairs = kept.iter().zip(&self.fields);
        kept.len() <= self.fields.len() && pairs.all(|(kept, field)| *kept.name() == field.name.to_string())
    }
}

impl Shape {
    /// Gives what was pickled, and what is within it, the fields that classes have got since columns had the
    /// type that is kept.
    fn complete(&self, value: &Bound<'_, PyAny>, kept: &DataType) -> PyResult<()> {
        match (self, kept) {
            (Shape::Fields(fields), DataType::Struct(kept)) => fields.complete(value, kept),
            (Shape::List(item), DataType::List(kept)) => {
                // What did not fit its column may be a tuple.
                if !value.is_instance_of::<PyList>() && !value.is_instance_of::<PyTuple>() {
                    return Ok(());
                }
                value.try_iter()?.try_for_each(|value| item.complete(&value?, kept.data_type()))
            }
            (
                Shape::Fields(_)
                | Shape::List(_)
                | Shape::Flag
                | Shape::Whole
                | Shape::Number
                | Shape::Text
                | Shape::Bytes
                | Shape::Date
                | Shape::Time
                | Shape::Instant
                | Shape::Other(_),
                _,
            ) => Ok(()),
        }
    }
}
