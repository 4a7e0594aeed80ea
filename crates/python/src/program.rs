//! Programs: run by the engine, or driven by a test.

use std::ffi::OsString;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use thalweg::settings::Settings;
use thalweg_dataflow::{Code, Error, EventTime};

use crate::command::as_command;
use crate::describe::{Ends, application};

create_exception!(thalweg, EngineError, PyException, "What the engine refuses, or why it failed.");

/// Runs or explains an application, as the arguments say, the first of which is the command's name.
/// Answers the exit code.
#[pyfunction]
pub(crate) fn run(py: Python<'_>, declared: Py<PyAny>, arguments: Vec<OsString>) -> PyResult<u8> {
    as_command(py, || {
        thalweg::program::main_with(arguments, |_| {
            Python::attach(|py| {
                application(declared.bind(py), Ends::Connectors).unwrap_or_else(|raised| {
                    Err(Error::new(Code::InvalidProgram, "the application cannot be read").because(raised))
                })
            })
        })
    })
}

/// A program that a test drives by hand, on one thread.
#[pyclass(unsendable)]
pub(crate) struct Driver(thalweg_app::Driver);

#[pymethods]
impl Driver {
    #[new]
    fn new(declared: &Bound<'_, PyAny>) -> PyResult<Self> {
        let application =
            application(declared, Ends::Hands)?.map_err(|error| raised(declared.py(), &error))?;
        let program = thalweg::program::build(application, &Settings::default());
        let program = program.map_err(|errors| match errors.first() {
            Some(error) => raised(declared.py(), error),
            None => PyValueError::new_err("the application cannot be built"),
        })?;
        thalweg_app::Driver::of(program).map(Self).map_err(|error| raised(declared.py(), &error))
    }

    fn frame(&mut self, py: Python<'_>, source: &str, split: &str, frame: &[u8]) -> PyResult<()> {
        self.0.frame_of(source, split, frame).map_err(|error| raised(py, &error))
    }

    fn watermark(&mut self, py: Python<'_>, source: &str, seconds: f64) -> PyResult<()> {
        let time = EventTime((seconds * 1e9) as i64);
        self.0.watermark(source, time).map_err(|error| raised(py, &error))
    }

    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        self.0.end().map_err(|error| raised(py, &error))
    }

    fn restart(&mut self, py: Python<'_>) -> PyResult<()> {
        self.0.restart().map_err(|error| raised(py, &error))
    }

    /// The rows that came to a sink of rows, each a `dict`.
    fn rows(&self, py: Python<'_>, sink: &str) -> PyResult<Vec<Py<PyAny>>> {
        let batches = self.0.rows(sink).map_err(|error| raised(py, &error))?;
        let mut rows = Vec::new();
        for batch in &batches {
            let records = crate::rows::read(batch).map_err(|error| raised(py, &error))?;
            rows.extend(records.into_iter().map(|record| record.0));
        }
        Ok(rows)
    }

    fn frames<'py>(&self, py: Python<'py>, sink: &str) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let frames = self.0.output::<Vec<u8>>(sink).map_err(|error| raised(py, &error))?;
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
