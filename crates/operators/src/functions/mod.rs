//! The functions that an expression may call, by name.

mod program;

use std::sync::{Arc, LazyLock};

use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionStateBuilder;
use thalweg_dataflow::Error;

pub use program::{Argument, FunctionSignature, ProgramFunction, scalar};
pub(crate) use program::{bind, decode, encode, is_call, without_nulls};

/// Every function by name, to read expressions with.
///
/// A constant of the binary, not a setting: it is the same in each process of one version.
pub(crate) fn context() -> &'static TaskContext {
    static CONTEXT: LazyLock<Arc<TaskContext>> =
        LazyLock::new(|| SessionStateBuilder::new().with_default_features().build().task_ctx());
    &CONTEXT
}

/// Our own error on its way through DataFusion.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error that was sent through DataFusion, if this is one.
pub(crate) fn own(failure: &DataFusionError) -> Option<Error> {
    match failure.find_root() {
        DataFusionError::External(own) => own.downcast_ref::<Error>().cloned(),
        _ => None,
    }
}
