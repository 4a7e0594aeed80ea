//! The command line, for the console script.

use std::ffi::OsString;

use pyo3::prelude::*;
use thalweg::commands::Exit;

use crate::supervise::alone;
use crate::{signals, sql_function};

/// Runs the command that the arguments name, the first of which is the command's own name.
/// Answers the exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    as_command(py, || thalweg::commands::main_with_functions(arguments, &sql_function::language()))
}

/// Lets work be done as if it were alone in the process: it has the signals and the log, and the
/// interpreter is left to others. Answers the exit code.
pub(crate) fn as_command(py: Python<'_>, work: impl FnOnce() -> Exit + Send) -> PyResult<u8> {
    alone();
    py.detach(|| {
        thalweg::log::to_stderr();
        let lent = signals::lend()?;
        let exit = work();
        drop(lent);
        Ok(exit.0)
    })
}
