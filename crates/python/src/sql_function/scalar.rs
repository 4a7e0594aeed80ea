//! A value for each row: by one call for each, or by one call over the columns of a batch.

use arrow::array::{Array, ArrayRef};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use thalweg::engine::{FunctionSignature, ProgramFunction, sql_type};
use thalweg_dataflow::column_type::fitted;
use thalweg_dataflow::{Error, Result};

use crate::attached::within;
use crate::capsule::{export_array, import_array};
use crate::function::{Failure, Function};
use crate::rows::{Values, append, objects, values};

/// A function that is called with the values of one row.
pub(super) fn of_rows(signature: &FunctionSignature, function: &Bound<'_, PyAny>) -> ProgramFunction {
    let (function, signature) = (named(signature, function), signature.clone());
    ProgramFunction::new(move |columns, rows| {
        within(|py| {
            let columns = arguments(py, &function, columns)?;
            let mut results = values(&signature.result)?;
            for row in 0..rows {
                let arguments = tuple(py, columns.iter().map(|column| &column[row]))?;
                let result = function.call_many(arguments.clone(), arguments.as_any())?;
                push(&mut *results, &function, &signature, &result, arguments.as_any())?;
            }
            Ok(results.finish())
        })
    })
}

/// A function that is called with columns, and gives one.
pub(super) fn of_batches(signature: &FunctionSignature, function: &Bound<'_, PyAny>) -> ProgramFunction {
    let (function, signature) = (named(signature, function), signature.clone());
    ProgramFunction::new(move |columns, _| {
        within(|py| {
            let columns = columns.iter().map(|column| export_array(py, column)).collect::<PyResult<Vec<_>>>();
            let columns = columns.map_err(|raised| unfit(&raised))?;
            let arguments = tuple(py, columns.iter())?;
            let given = function.call_many(arguments.clone(), arguments.as_any())?;
            let wrong = |what: String| function.wrong(&what, arguments.as_any());
            let results = import_array(&given)
                .map_err(|raised| wrong(format!("gave no column: {}", raised.value(py))))?;
            let results = fitted(&results, &signature.result).map_err(|why| {
                wrong(format!("gave a column that is no {}: {why}", sql_type(&signature.result)))
            })?;
            match results.null_count() {
                1.. if !signature.nullable => Err(wrong(gave_null(&signature)).with_help(MAY_BE_NULL)),
                _ => Ok(results),
            }
        })
    })
}

/// A function under its name in SQL.
fn named(signature: &FunctionSignature, function: &Bound<'_, PyAny>) -> Function {
    Function::new(function, "function", &signature.name).of_arguments()
}

/// The values of each column.
pub(super) fn arguments<'py>(
    py: Python<'py>,
    function: &Function,
    columns: &[ArrayRef],
) -> Result<Vec<Vec<Bound<'py, PyAny>>>> {
    let columns: PyResult<_> = columns.iter().map(|column| objects(py, column)).collect();
    columns.map_err(|raised| function.wrong(&format!("cannot be called: {raised}"), py.None().bind(py)))
}

/// Arguments, for a call.
pub(super) fn tuple<'a, 'py: 'a>(
    py: Python<'py>,
    arguments: impl ExactSizeIterator<Item = &'a Bound<'py, PyAny>>,
) -> Result<Bound<'py, PyTuple>> {
    PyTuple::new(py, arguments).map_err(|raised| unfit(&raised))
}

fn unfit(raised: &PyErr) -> Error {
    Error::internal("values cannot be given to Python").because(raised)
}

const MAY_BE_NULL: &str = "if that is meant, say so: '-> Optional[…]', or RETURNS without NOT NULL";

fn gave_null(signature: &FunctionSignature) -> String {
    format!("gave None, and its result is {} that is never NULL", sql_type(&signature.result))
}

/// Appends what a function gave.
pub(super) fn push(
    results: &mut dyn Values,
    function: &Function,
    signature: &FunctionSignature,
    given: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyAny>,
) -> Result<()> {
    if given.is_none() && !signature.nullable {
        return Err(function.wrong(&gave_null(signature), arguments).with_help(MAY_BE_NULL));
    }
    let wanted = || sql_type(&signature.result);
    match append(results, given) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => function.end(Failure::gave(given, &wanted()), arguments),
        Err(raised) => {
            let wanted = format!("{}: {}", wanted(), raised.value(given.py()));
            function.end(Failure::gave(given, &wanted), arguments)
        }
    }
}
