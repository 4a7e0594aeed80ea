//! Columns that come in: from capsules to arrays that are sound from end to end, or to an exception.

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_array, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow::ffi_stream::FFI_ArrowArrayStream;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use super::{ARRAY, SCHEMA, pyarrow, unfit};

const STREAM: &CStr = c"arrow_array_stream";

/// A stream that one function gives has no more pieces than this.
const PIECES_MAX: usize = 1 << 20;

/// A batch of anything that has columns: what speaks the interface, the pieces of a stream as one, or a
/// `dict` of columns.
pub(crate) fn import_batch(given: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    if let Ok(columns) = given.cast::<PyDict>() {
        return of_columns(columns);
    }
    let (_, column) = import_field(given)?;
    let Some(rows) = column.as_struct_opt() else {
        let what = format!("a batch has columns by name, and this is one column of '{}'", column.data_type());
        return Err(PyTypeError::new_err(what));
    };
    if rows.null_count() > 0 {
        return Err(PyValueError::new_err("a row of the batch is null as a whole"));
    }
    Ok(RecordBatch::from(rows))
}

/// One column of what speaks the interface, the pieces of a stream as one. With pyarrow also of what pyarrow
/// makes an array of: lists, arrays of numpy.
pub(crate) fn import_array(given: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    import_field(given).map(|(_, column)| column)
}

fn of_columns(columns: &Bound<'_, PyDict>) -> PyResult<RecordBatch> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (name, column) in columns {
        let name: String = name.extract()?;
        let (_, array) = import_field(&column).map_err(|raised| {
            let what = format!("the column '{name}' is none: {}", raised.value(column.py()));
            PyTypeError::new_err(what)
        })?;
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(unfit)
}

fn import_field(given: &Bound<'_, PyAny>) -> PyResult<(FieldRef, ArrayRef)> {
    if let Some(method) = given.getattr_opt("__arrow_c_array__")? {
        return import_single(&method.call0()?);
    }
    if let Some(method) = given.getattr_opt("__arrow_c_stream__")? {
        return import_stream(&method.call0()?);
    }
    let made = match pyarrow(given.py())? {
        Some(pyarrow) => pyarrow.call_method1("array", (given,)).ok(),
        None => None,
    };
    match made.map(|made| made.getattr("__arrow_c_array__")?.call0()) {
        Some(capsules) => import_single(&capsules?),
        None => {
            let class = given.get_type().qualname()?;
            let what = format!(
                "'{class}' has no columns: it has neither '__arrow_c_array__' nor '__arrow_c_stream__'"
            );
            Err(PyTypeError::new_err(what))
        }
    }
}

fn import_single(capsules: &Bound<'_, PyAny>) -> PyResult<(FieldRef, ArrayRef)> {
    let (schema, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) = capsules
        .extract()
        .map_err(|_| PyTypeError::new_err("'__arrow_c_array__' gave no pair of capsules"))?;
    let schema = contents::<FFI_ArrowSchema>(&schema, SCHEMA)?;
    let array = contents::<FFI_ArrowArray>(&array, ARRAY)?;
    // SAFETY: capsules of these names hold such structures, by the interface, and the capsules are alive.
    // A structure that is taken out is marked as released where it was, so that its capsule leaves it alone.
    #[allow(unsafe_code)]
    let (schema, array) = unsafe { (schema.as_ref(), FFI_ArrowArray::from_raw(array.as_ptr())) };
    let field = field(schema)?;
    let column = column(array, &field)?;
    Ok((field, column))
}

/// All that a stream gives, as one.
fn import_stream(capsule: &Bound<'_, PyAny>) -> PyResult<(FieldRef, ArrayRef)> {
    let stream = contents::<FFI_ArrowArrayStream>(capsule, STREAM)?;
    // SAFETY: as with arrays.
    #[allow(unsafe_code)]
    let mut stream = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) };
    if stream.release.is_none() {
        return Err(taken("stream"));
    }
    let mut schema = FFI_ArrowSchema::empty();
    ask(&mut stream, |stream| stream.get_schema, &raw mut schema)?;
    let field = field(&schema)?;
    let mut pieces: Vec<ArrayRef> = Vec::new();
    while pieces.len() < PIECES_MAX {
        let mut array = FFI_ArrowArray::empty();
        ask(&mut stream, |stream| stream.get_next, &raw mut array)?;
        if array.is_released() {
            return Ok((Arc::clone(&field), joined(&field, &pieces)?));
        }
        pieces.push(column(array, &field)?);
    }
    Err(PyValueError::new_err(format!("a stream gave more than {PIECES_MAX} pieces")))
}

fn joined(field: &Field, pieces: &[ArrayRef]) -> PyResult<ArrayRef> {
    match pieces {
        [] => Ok(new_empty_array(field.data_type())),
        [one] => Ok(Arc::clone(one)),
        many => {
            let many: Vec<&dyn Array> = many.iter().map(|piece| &**piece).collect();
            concat(&many).map_err(unfit)
        }
    }
}

type Question<T> = Option<unsafe extern "C" fn(*mut FFI_ArrowArrayStream, *mut T) -> i32>;

/// Asks a stream for its schema or its next piece.
fn ask<T>(
    stream: &mut FFI_ArrowArrayStream,
    question: impl Fn(&FFI_ArrowArrayStream) -> Question<T>,
    answer: *mut T,
) -> PyResult<()> {
    let Some(call) = question(stream) else { return Err(damaged("a stream cannot be asked")) };
    // SAFETY: the stream is not released, and `answer` points to an empty structure of its type.
    #[allow(unsafe_code)]
    let code = unsafe { call(stream, answer) };
    if code == 0 {
        return Ok(());
    }
    let last = stream.get_last_error.and_then(|last| {
        // SAFETY: what it answers is a text that lives until the next call, or nothing.
        #[allow(unsafe_code)]
        unsafe {
            let text = last(stream);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    });
    let why = last.unwrap_or_else(|| format!("error {code}"));
    Err(PyValueError::new_err(format!("a stream failed: {why}")))
}

/// Where a capsule of this name has its structure.
fn contents<T>(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<NonNull<T>> {
    let of_name =
        capsule.cast::<PyCapsule>().ok().and_then(|capsule| capsule.pointer_checked(Some(name)).ok());
    match of_name {
        Some(pointer) => Ok(NonNull::<c_void>::cast(pointer)),
        None => {
            let name = name.to_string_lossy();
            Err(PyTypeError::new_err(format!("there is no capsule '{name}' where the interface wants one")))
        }
    }
}

/// The name and type that a schema tells.
fn field(schema: &FFI_ArrowSchema) -> PyResult<FieldRef> {
    if schema.release.is_none() {
        return Err(taken("schema"));
    }
    guarded(|| Field::try_from(schema)).map(Arc::new)
}

/// The column that an array holds, if it is one of this type from end to end.
fn column(array: FFI_ArrowArray, field: &Field) -> PyResult<ArrayRef> {
    if array.is_released() {
        return Err(taken("array"));
    }
    guarded(|| {
        check_counts(&array, field.data_type())?;
        // SAFETY: the structure is not released. That its addresses lead to what it says is for its maker to keep;
        // all that can be checked is checked next, before anything reads the values.
        #[allow(unsafe_code)]
        let data = unsafe { from_ffi_and_data_type(array, field.data_type().clone()) }?;
        data.validate_full()?;
        Ok(make_array(data))
    })
}

/// Fails if the numbers that sizes are computed from are none, or an array has not the parts of its type.
fn check_counts(array: &FFI_ArrowArray, data_type: &DataType) -> Result<(), ArrowError> {
    const MAX: usize = isize::MAX as usize / 64;
    let end = array.len().checked_add(array.offset());
    let parts = parts(data_type);
    if end.is_none_or(|end| end > MAX) || array.num_buffers() > MAX || array.num_children() != parts.len() {
        let what = format!("an array has counts that none of type '{data_type}' has");
        return Err(ArrowError::CDataInterface(what));
    }
    if let (DataType::Dictionary(_, values), Some(dictionary)) = (data_type, array.dictionary()) {
        check_counts(dictionary, values)?;
    }
    parts.into_iter().enumerate().try_for_each(|(index, part)| check_counts(array.child(index), part))
}

/// The types of the arrays within an array.
fn parts(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}

/// What arrow makes of a structure. Of one that is damaged it may panic, and then knows nothing of it.
fn guarded<T>(work: impl FnOnce() -> Result<T, ArrowError>) -> PyResult<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(unfit),
        Err(_) => Err(damaged("its parts do not fit each other")),
    }
}

fn damaged(how: &str) -> PyErr {
    PyValueError::new_err(format!("what came through the Arrow interface is damaged: {how}"))
}

fn taken(what: &str) -> PyErr {
    PyValueError::new_err(format!("the {what} was taken by somebody else before"))
}
