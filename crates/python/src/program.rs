//! Programs: run by the engine, or driven by a test.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use thalweg::engine::ForeignFunctions;
use thalweg::settings::Settings;
use thalweg_app::Application;
use thalweg_dataflow::{Code, Error, EventTime, Result};

use crate::command::as_command;
use crate::describe::{Ends, application};
use crate::object::Object;
use crate::sql_function;
use crate::supervise::alone;

create_exception!(thalweg, EngineError, PyException, "What the engine refuses, or why it failed.");

/// Runs or explains an application, as the arguments say, the first of which is the command's name.
/// Answers the exit code.
#[pyfunction]
pub(crate) fn run(py: Python<'_>, declared: Py<PyAny>, arguments: Vec<OsString>) -> PyResult<u8> {
    as_command(py, || {
        thalweg::program::main_with_functions(arguments, |_| {
            Python::attach(|py| {
                read(declared.bind(py), Ends::Connectors).unwrap_or_else(|raised| {
                    Err(Error::new(Code::InvalidProgram, "the application cannot be read").because(raised))
                })
            })
        })
    })
}

/// An application, and the functions that its SQL may call.
fn read(declared: &Bound<'_, PyAny>, ends: Ends) -> PyResult<Result<(Application, ForeignFunctions)>> {
    let (application, functions) = (application(declared, ends)?, sql_function::declared(declared)?);
    Ok(application.and_then(|application| Ok((application, functions?))))
}

/// A program that a test drives by hand, on one thread.
///
/// Python may throw it away on any thread. So it stands in a lock, which nobody ever has to wait for.
#[pyclass]
pub(crate) struct Driver(Mutex<thalweg_app::Driver>);

impl Driver {
    fn driver(&mut self) -> &mut thalweg_app::Driver {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Driver {
    #[new]
    fn new(py: Python<'_>, declared: Py<PyAny>) -> PyResult<Self> {
        alone();
        // Planning has a thread of its own, which enters the interpreter where a script holds functions.
        // Time stands still here, so no row may be too far ahead of it.
        let settings = Settings { max_future_skew: Duration::MAX, ..Settings::default() };
        let program = py.detach(|| {
            let read = Python::attach(|py| read(declared.bind(py), Ends::Hands))?;
            Ok::<_, PyErr>(match read {
                Ok((application, functions)) => {
                    thalweg::program::build_with_functions(application, &functions, &settings)
                }
                Err(error) => Err(vec![error]),
            })
        })?;
        let program = program.map_err(|errors| match errors.first() {
            Some(error) => raised(py, error),
            None => PyValueError::new_err("the application cannot be built"),
        })?;
        thalweg_app::Driver::of(program)
            .map(|driver| Self(Mutex::new(driver)))
            .map_err(|error| raised(py, &error))
    }

    fn frame(&mut self, py: Python<'_>, source: &str, split: &str, frame: &[u8]) -> PyResult<()> {
        self.driver().frame_of(source, split, frame).map_err(|error| raised(py, &error))
    }

    /// Gives rows to a table, wherever it is read.
    fn rows_in(&mut self, py: Python<'_>, source: &str, split: &str, rows: Vec<Py<PyAny>>) -> PyResult<()> {
        let driver = self.driver();
        let rows: Vec<Object> = rows.into_iter().map(Object).collect();
        let mut feed = || {
            let written = |(name, columns)| Ok((name, crate::rows::written(source, &columns, &rows)?));
            let written: Vec<(String, _)> =
                driver.columns_of(source)?.into_iter().map(written).collect::<Result<_>>()?;
            written.iter().try_for_each(|(name, rows)| driver.feed_rows(name, split, rows))
        };
        feed().map_err(|error| raised(py, &error))
    }

    fn watermark(&mut self, py: Python<'_>, source: &str, seconds: f64) -> PyResult<()> {
        let time = EventTime((seconds * 1e9) as i64);
        self.driver().watermark(source, time).map_err(|error| raised(py, &error))
    }

    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        self.driver().end().map_err(|error| raised(py, &error))
    }

    fn restart(&mut self, py: Python<'_>) -> PyResult<()> {
        self.driver().restart().map_err(|error| raised(py, &error))
    }

    /// The rows that came to a sink of rows, each a `dict`.
    fn rows(&mut self, py: Python<'_>, sink: &str) -> PyResult<Vec<Py<PyAny>>> {
        let batches = self.driver().rows(sink).map_err(|error| raised(py, &error))?;
        let mut rows = Vec::new();
        for batch in &batches {
            let records = crate::rows::read(batch).map_err(|error| raised(py, &error))?;
            rows.extend(records.into_iter().map(|record| record.0));
        }
        Ok(rows)
    }

    fn frames<'py>(&mut self, py: Python<'py>, sink: &str) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let frames = self.driver().output::<Vec<u8>>(sink).map_err(|error| raised(py, &error))?;
        Ok(frames.iter().map(|frame| PyBytes::new(py, frame)).collect())
    }
}

/// An error of the engine as an exception, with its parts as attributes.
fn raised(py: Python<'_>, error: &Error) -> PyErr {
    let mut text = format!("{}: {}", error.code(), error.what());
    let parts = [("because", error.why()), ("help", error.help())];
    for (part, words) in parts {
        if let Some(words) = words {
            text.push_str(&format!("\n  {part}: {}", words.replace('\n', "\n    ")));
        }
    }
    let exception = EngineError::new_err(text);
    let value = exception.value(py);
    // An exception takes any attribute.
    let _ = value.setattr("code", error.code().as_str());
    let _ = value.setattr("what", error.what());
    let _ = value.setattr("why", error.why());
    exception
}
