//! Run these subtasks in this process.
//!
//! A graph becomes chains, subtasks and channels ([`plan`]); each subtask is
//! one future on a data executor, and a [`Worker`] holds them all: whoever
//! controls the job tells them [`Command`]s and hears their [`Report`]s. The
//! runtime knows no operator by name and decides nothing about the job.
//!
//! ```text
//!             plan                     wire                          run
//!  Graph ───────────► chains, channels ────► subtasks ──spawn──► data executors
//!                                               │  ▲ commands         │ reports
//!                                               └──┴──── Worker ◄─────┘
//!
//!  one subtask:  source or inbox ─► chain (direct calls) ─► exchanges ─► inboxes of others
//!                                                     └───► sinks
//! ```

mod alignment;
mod chain;
mod channel;
mod exchange;
mod guard;
mod holdback;
mod merge;
mod moves;
mod pace;
pub mod plan;
mod settings;
mod subtask;
mod watchdog;
mod worker;

pub use chain::Answer;
pub use channel::{ChannelReading, Probe};
pub use guard::{Failure, Site};
pub use moves::{Arrival, LOAD_ROWS_MAX, Load, Move};
pub use settings::RuntimeSettings;
pub use subtask::{Command, Report, Word};
pub use worker::{Deployment, Grown, Member, OperatorReading, Past, Role, Worker};
