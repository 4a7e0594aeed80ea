//! Run these subtasks in this process.
//!
//! A graph becomes chains, subtasks and channels ([`plan`]); each subtask is
//! one future on a data executor, and control, apart from data, runs the
//! epochs and watches over all. The runtime knows no operator by name.
//!
//! ```text
//!             plan                     wire                          run
//!  Graph ───────────► chains, channels ────► subtasks ──spawn──► data executors
//!                                               │  ▲ commands         │ reports
//!                                               └──┴──── control ◄────┘
//!
//!  one subtask:  source or inbox ─► chain (direct calls) ─► exchanges ─► inboxes of others
//!                                                     └───► sinks
//! ```

mod alignment;
mod chain;
mod channel;
mod epochs;
mod exchange;
mod guard;
mod job;
mod merge;
pub mod plan;
mod settings;
mod store;
mod subtask;
mod watchdog;

pub use channel::ChannelReading;
pub use job::{How, Job, JobHandle, JobOutcome, OperatorReading, Progress, Role};
pub use settings::RuntimeSettings;
pub use store::{Checkpoint, EpochStore, NullStore, Verdict};

#[cfg(test)]
mod tests;
