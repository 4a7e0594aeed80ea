//! The engine as a module of Python, `thalweg._engine`. What people import is
//! the package around it, `python/thalweg`.
//!
//! The interpreter is the user's own, and loads the engine; the engine embeds
//! none. Whoever calls the engine leaves the interpreter to others until it answers.

mod aggregate;
mod attached;
mod command;
mod describe;
mod function;
mod object;
mod program;
mod rows;
mod signals;

/// The same as in the binary: batches are large, and made and freed on different threads. Python's own
/// objects stay with Python's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pyo3::pymodule(gil_used = false)]
mod _engine {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::command::main;
    #[pymodule_export]
    use crate::program::{Driver, EngineError, run};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
