//! The contract of where rows go.
//!
//! Publishing has two halves: *prepare* makes an epoch's rows ready and gives
//! a committable, bytes that any process can commit; *commit* makes them
//! visible once the epoch is settled as complete. Commit and fence need no
//! open sink, so a restore can finish what a dead process began.

use arrow::array::RecordBatch;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thalweg_state::{Epoch, Incarnation, JobId};

use crate::error::Result;

/// What a sink can promise after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SinkGuarantee {
    /// Rows may appear more than once.
    AtLeastOnce,
    /// Each row appears once, with its epoch.
    ExactlyOnce,
}

/// The right to publish one epoch's rows: bytes that any process can commit, any number of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committable(pub Vec<u8>);

/// Why a sink is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Its input was read to the end.
    End,
    /// It stops here and may go on from a checkpoint.
    Stop,
}

/// One parallel instance of a sink.
pub trait Sink: Send {
    /// Called once, before all else.
    fn open(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Takes rows. Waiting here is back-pressure.
    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>>;

    /// The subtask's input is empty: what is buffered for efficiency leaves now.
    fn flush(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Makes all rows since the last prepare ready to be published; none if there is nothing to commit.
    fn prepare(&mut self, epoch: Epoch) -> BoxFuture<'_, Result<Option<Committable>>>;

    /// Called last. Rows not yet committed stay so.
    fn close(&mut self, why: Close) -> BoxFuture<'_, Result<()>>;
}

/// Publishes without an open sink.
pub trait Committer: Send + Sync {
    /// Makes the rows of a complete epoch visible. Idempotent: a restore may repeat it.
    fn commit<'a>(&'a self, epoch: Epoch, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>>;

    /// The job goes on from `epoch`, or anew if there is none: publishes what that epoch prepared, and
    /// undoes what a former life wrote behind it. Called once, after the fence and before any
    /// sink of this life opens. What each subtask prepared last is among `committables`.
    fn restore<'a>(
        &'a self,
        epoch: Option<Epoch>,
        committables: &'a [Committable],
    ) -> BoxFuture<'a, Result<()>> {
        match epoch {
            Some(epoch) => self.commit(epoch, committables),
            None => Box::pin(async { Ok(()) }),
        }
    }

    /// Makes sure that no earlier incarnation of this job can publish any more.
    fn fence<'a>(&'a self, job: &'a JobId, incarnation: Incarnation) -> BoxFuture<'a, Result<()>>;
}

/// The committer of a sink that has nothing to commit: its rows are visible once written.
#[derive(Debug)]
pub struct NothingToCommit;

impl Committer for NothingToCommit {
    fn commit<'a>(&'a self, _: Epoch, _: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn fence<'a>(&'a self, _: &'a JobId, _: Incarnation) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
