//! What is decided about a job, without touching anything.
//!
//! * [`epochs`]: when an epoch begins, and what follows when it is settled.
//! * [`inheritance`]: what of a checkpoint's state a changed graph goes on with.

pub mod epochs;
pub mod inheritance;
