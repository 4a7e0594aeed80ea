//! Columns to Python and back, without a copy, by the Arrow PyCapsule interface.
//!
//! Any library that speaks it can be on the other side: pyarrow, polars, pandas, nanoarrow. pyarrow is
//! used where it is installed, and not needed.
//!
//! ```text
//!  RecordBatch, ArrayRef ─► export ─► pyarrow.RecordBatch, pyarrow.Array;  without pyarrow: Columns
//!  __arrow_c_array__, __arrow_c_stream__, dict of columns ─► import_batch, import_array
//! ```
//!
//! *The law*: what comes in is checked in full, once. The interface hands over bare addresses, so what they
//! point at must be there; whatever it holds leads to columns or to an exception.

mod import;

pub(crate) use import::{import_array, import_batch};

use std::ffi::CStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, RecordBatch, StructArray};
use arrow::datatypes::{Field, FieldRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use pyo3::exceptions::{PyImportError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCapsule;

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// Columns of the engine for whoever speaks the interface: a batch, or one column.
#[pyclass(frozen, name = "Columns", module = "thalweg._engine")]
pub(crate) struct Columns {
    field: FieldRef,
    data: ArrayData,
}

#[pymethods]
impl Columns {
    /// The capsules of the schema and of the array. What somebody would rather have is not heeded, as
    /// the interface allows.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        drop(requested_schema);
        let array = PyCapsule::new_with_value(py, FFI_ArrowArray::new(&self.data), ARRAY)?;
        Ok((self.__arrow_c_schema__(py)?, array))
    }

    /// The capsule of the schema.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(&*self.field).map_err(unfit)?;
        PyCapsule::new_with_value(py, schema, SCHEMA)
    }

    fn __len__(&self) -> usize {
        self.data.len()
    }

    fn __repr__(&self) -> String {
        format!("<Columns of {} rows: {}>", self.data.len(), self.field.data_type())
    }
}

/// A batch as a `pyarrow.RecordBatch`, or as [`Columns`] where there is no pyarrow.
pub(crate) fn export<'py>(py: Python<'py>, batch: &RecordBatch) -> PyResult<Bound<'py, PyAny>> {
    let data = StructArray::from(batch.clone()).into_data();
    let field = Field::new("", data.data_type().clone(), false);
    handed(py, Columns { field: Arc::new(field), data }, "record_batch")
}

/// A column as a `pyarrow.Array`, or as [`Columns`] where there is no pyarrow.
pub(crate) fn export_array<'py>(py: Python<'py>, column: &ArrayRef) -> PyResult<Bound<'py, PyAny>> {
    let field = Field::new("", column.data_type().clone(), true);
    handed(py, Columns { field: Arc::new(field), data: column.to_data() }, "array")
}

fn handed<'py>(py: Python<'py>, columns: Columns, maker: &str) -> PyResult<Bound<'py, PyAny>> {
    let columns = Bound::new(py, columns)?.into_any();
    match pyarrow(py)? {
        Some(pyarrow) => pyarrow.call_method1(maker, (columns,)),
        None => Ok(columns),
    }
}

/// The module pyarrow, where it is installed.
fn pyarrow(py: Python<'_>) -> PyResult<Option<&Bound<'_, PyAny>>> {
    static PYARROW: PyOnceLock<Option<Py<PyAny>>> = PyOnceLock::new();
    let found = PYARROW.get_or_try_init(py, || match py.import("pyarrow") {
        Ok(module) => Ok(Some(module.into_any().unbind())),
        Err(raised) if raised.is_instance_of::<PyImportError>(py) => Ok(None),
        Err(raised) => Err(raised),
    })?;
    Ok(found.as_ref().map(|module| module.bind(py)))
}

fn unfit(why: ArrowError) -> PyErr {
    PyValueError::new_err(why.to_string())
}
