//! Rows to whoever started the process: lines into a pipe, or batches to a live table.

mod builders;
mod options;
mod sink;
mod target;

pub use builders::{json, lines};
pub(crate) use options::Stdout;
pub(crate) use sink::register;
pub use target::{StdoutRows, StdoutTarget};
