//! Windows that each key has by itself: sessions, and windows of so many rows.
//!
//! ```text
//!  rows of a batch ─► runs, a partial aggregate each ─► log of parts ◄─ windows: a list of parts each
//!                                                           │
//!                        a window closes: its parts, merged ▼
//! ```
//!
//! A window is a list of *parts*: rows of a log, which are states of DataFusion's
//! accumulators as columns. Parts are merged when the window closes, many
//! windows at a time, and in between whenever the log has grown far beyond the
//! number of windows. So memory follows the number of open windows, not of rows.

mod count;
mod counted;
mod log;
mod runs;
mod session;
mod sessions;
mod snapshot;

pub use count::CountAggregate;
pub use session::SessionAggregate;

#[cfg(test)]
mod tests;
