//! What is decided about a job, without touching anything.
//!
//! * [`epochs`]: when an epoch begins, and what follows when it is settled.
//! * `rescale`: how the job goes on with another number of subtasks.
//! * [`inheritance`]: what of a checkpoint's state a changed graph goes on with.

pub mod epochs;
pub mod inheritance;
pub(crate) mod rescale;
