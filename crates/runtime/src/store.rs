//! Where epochs are settled.
//!
//! An epoch is settled once: the store holds one create-only object for each,
//! *complete* or *aborted*. Whoever proposes reads back what lies there.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Committable, NodeId, Result};
use thalweg_state::{Epoch, OperatorId, Snapshot, Subtask};

/// The complete set of what all subtasks gave to one epoch.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// The frozen state of each operator that has some, by subtask.
    pub snapshots: Vec<(OperatorId, Subtask, Snapshot)>,
    /// What the sinks publish once the epoch is complete. After an abort they join the next epoch.
    pub committables: BTreeMap<NodeId, Vec<Committable>>,
    /// Where each split goes on, by source.
    pub positions: Vec<(OperatorId, Assignment)>,
}

/// How an epoch was settled, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The checkpoint exists.
    Complete,
    /// It does not, and never will.
    Aborted,
}

/// Settles epochs.
pub trait EpochStore: Send + Sync {
    /// Proposes `checkpoint` as the complete epoch, and answers what lies there now.
    ///
    /// # Errors
    /// If it is not known what lies there. The caller asks again.
    fn settle<'a>(&'a self, epoch: Epoch, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<Verdict>>;
}

/// Keeps nothing: every epoch is complete, and nothing can be restored.
#[derive(Debug)]
pub struct NullStore;

impl EpochStore for NullStore {
    fn settle<'a>(&'a self, _: Epoch, _: &'a Checkpoint) -> BoxFuture<'a, Result<Verdict>> {
        Box::pin(async { Ok(Verdict::Complete) })
    }
}
