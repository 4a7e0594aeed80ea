//! Keep this job alive.
//!
//! A job's life is decided by pure state machines ([`controller`]) and lived by
//! one loop per job that tells a [`Worker`](thalweg_runtime::Worker) what to do
//! and settles its epochs in a store. Control never touches rows.
//!
//! ```text
//!   Job ─prepare─► claim the incarnation, settle what is open, read, compare ─► Prepared
//!   Prepared ─start─► fence, restore sinks, build, run ─► JobHandle
//!
//!   control:  reports ─► EpochMachine ─► barriers, settle, commit, announce
//!                ├─ snapshots ─► written in the background ─► parts of the epoch
//!                └─► RescaleMachine ─► state loaded ahead, the barrier that moves it
//! ```

pub mod controller;
mod job;
mod keeping;

pub use job::{
    Durable, How, Job, JobHandle, JobOutcome, Keeping, Prepared, Progress, Recovery, RestoreFrom, Restored,
    Savepoint,
};
pub use keeping::failed as store_error;
pub use keeping::{Described, EpochStore, NullStore, Proposal, SubtaskPart, Verdict, Written};
pub use thalweg_runtime::{OperatorReading, Role, RuntimeSettings};

#[cfg(test)]
mod tests;
