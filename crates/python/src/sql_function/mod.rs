//! Functions that SQL calls, written in Python: by a program, or in a script between `$$` and `$$`.
//!
//! ```text
//!  thalweg.SqlFunction ─┐                          ┌─ scalar     one call for each row
//!  CREATE FUNCTION ─────┴─ signature, callable ─►  ├─ batch      one call for each batch, over columns
//!                                                  └─ aggregate  accumulators, one for each group
//! ```
//!
//! A call of the engine to one of them enters the interpreter once.

mod aggregate;
mod scalar;

use std::sync::Arc;

use pyo3::prelude::*;
use thalweg::connect;
use thalweg::engine::{
    Argument, Computation, ForeignFunction, ForeignFunctions, FunctionLanguage, FunctionSignature,
};
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::{Code, Error, Result};

use crate::function::{in_a_line, traceback};

/// A function, as `thalweg.sql_functions.SqlFunction` holds it.
#[derive(FromPyObject)]
struct SqlFunction<'py> {
    name: String,
    kind: String,
    /// The name of each argument, its type in SQL, and whether it may be `None`.
    arguments: Vec<(String, String, bool)>,
    returns: String,
    nullable: bool,
    function: Bound<'py, PyAny>,
}

/// What a function is, and what is called.
#[derive(FromPyObject)]
struct Defined<'py>(String, Bound<'py, PyAny>);

/// The language Python, for scripts.
pub(crate) fn language() -> ForeignFunctions {
    ForeignFunctions::default().with_language(Arc::new(PythonLanguage))
}

/// The functions that a `thalweg.Application` declares, and the language.
pub(crate) fn declared(application: &Bound<'_, PyAny>) -> PyResult<Result<ForeignFunctions>> {
    let functions: Vec<SqlFunction<'_>> = application.getattr("functions")?.extract()?;
    let functions: Result<Vec<_>> = functions.iter().map(foreign).collect();
    Ok(functions.map(|functions| language().with_functions(functions)))
}

fn foreign(declared: &SqlFunction<'_>) -> Result<ForeignFunction> {
    let data_type = |name: &str, sql: &str| {
        let column = connect::column(name, sql);
        let column = column.map_err(|error| error.in_site(format!("function '{}'", declared.name)))?;
        Ok::<_, Error>(column.data_type().clone())
    };
    let argument = |(name, sql, takes_null): &(String, String, bool)| {
        Ok(Argument { name: name.clone(), data_type: data_type(name, sql)?, takes_null: *takes_null })
    };
    let signature = FunctionSignature {
        name: declared.name.clone(),
        arguments: declared.arguments.iter().map(argument).collect::<Result<_>>()?,
        result: data_type("result", &declared.returns)?,
        nullable: declared.nullable,
    };
    let computation = computation(&signature, &declared.kind, &declared.function)?;
    Ok(ForeignFunction { signature, computation })
}

/// What computes a function of this kind.
fn computation(
    signature: &FunctionSignature,
    kind: &str,
    function: &Bound<'_, PyAny>,
) -> Result<Computation> {
    match kind {
        "scalar" => Ok(Computation::Scalar(scalar::of_rows(signature, function))),
        "batch" => Ok(Computation::Scalar(scalar::of_batches(signature, function))),
        "aggregate" => aggregate::aggregate(signature, function).map(Computation::Aggregate),
        other => Err(Error::internal(format!("there are no functions of kind '{other}'"))),
    }
}

struct PythonLanguage;

impl FunctionLanguage for PythonLanguage {
    fn name(&self) -> &str {
        "python"
    }

    fn define(&self, id: &FunctionId, signature: &FunctionSignature, body: &str) -> Result<Computation> {
        let names: Vec<&str> = signature.arguments.iter().map(|argument| argument.name.as_str()).collect();
        Python::attach(|py| {
            let defined = py.import("thalweg.sql_functions").and_then(|module| {
                module.call_method1("define", (&signature.name, names, body, id.to_string()))
            });
            match defined.and_then(|defined| defined.extract::<Defined<'_>>()) {
                Ok(Defined(kind, function)) => computation(signature, &kind, &function),
                Err(raised) => Err(undefined(py, &signature.name, &raised)),
            }
        })
    }
}

/// The words for a body that defines nothing that can be called.
fn undefined(py: Python<'_>, name: &str, raised: &PyErr) -> Error {
    let ours = || -> PyResult<bool> {
        let class = py.import("thalweg.sql_functions")?.getattr("BodyError")?;
        raised.value(py).is_instance(&class)
    };
    let what = format!("the body of '{name}' cannot be used");
    match ours() {
        Ok(true) => Error::new(Code::InvalidFunction, what).because(raised.value(py)),
        Ok(false) | Err(_) => {
            let what = format!("{what}: {}", in_a_line(py, raised));
            Error::new(Code::InvalidFunction, what).because(traceback(py, raised))
        }
    }
}
