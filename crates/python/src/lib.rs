//! The engine as a module of Python, `thalweg._engine`. What people import is
//! the package around it, `python/thalweg`.
//!
//! The interpreter is the user's own, and loads the engine; the engine embeds
//! none. Whoever calls the engine leaves the interpreter to others until it answers.

mod aggregate;
mod async_map;
mod attached;
mod batch;
mod call;
mod capsule;
mod command;
mod describe;
mod fields;
mod function;
mod letters;
mod object;
mod program;
mod rows;
mod signals;
mod sql_function;
mod supervise;

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
    use crate::object::refuse_pickles;
    #[pymodule_export]
    use crate::program::{Driver, EngineError, run};
    #[pymodule_export]
    use crate::supervise::{Supervisor, end_if_copy};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
