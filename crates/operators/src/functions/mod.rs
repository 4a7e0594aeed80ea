//! The functions that an expression may call, by name.

use std::sync::{Arc, LazyLock};

use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionStateBuilder;

/// Every function by name, to read expressions with.
///
/// A constant of the binary, not a setting: it is the same in each process of one version.
pub(crate) fn context() -> &'static TaskContext {
    static CONTEXT: LazyLock<Arc<TaskContext>> =
        LazyLock::new(|| SessionStateBuilder::new().with_default_features().build().task_ctx());
    &CONTEXT
}
