//! Where epochs are kept: what subtasks give is made durable part by part, and settled once.
//!
//! * [`NullStore`] keeps nothing: every epoch is complete.
//! * [`Kept`] keeps a job's history in a [`Store`](thalweg_state::store::Store).

mod kept;
mod past;

use futures_util::future::BoxFuture;
use thalweg_dataflow::{Graph, Result};
use thalweg_runtime::Answer;
use thalweg_state::{Epoch, OperatorId, OperatorPart, Subtask};

pub use kept::failed;
pub(crate) use kept::{Kept, Life, carry, fenced};
pub(crate) use past::Inherited;

/// What one subtask gives to an epoch.
#[derive(Clone, Debug)]
pub struct SubtaskPart {
    /// Which parallel instance it is.
    pub subtask: Subtask,
    /// The operators of its chain: their names and what their state depends on.
    pub operators: Vec<Described>,
    /// What it froze, prepared and read.
    pub answer: Answer,
}

/// An operator, as a checkpoint describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub id: OperatorId,
    /// Its node in the graph.
    pub node: thalweg_dataflow::NodeId,
    /// Which operator it is.
    pub kind: String,
    /// What its state depends on.
    pub fingerprint: String,
    /// What people call it.
    pub label: String,
}

impl Described {
    /// Every node of a graph.
    pub fn all(graph: &Graph) -> Vec<Described> {
        let described = |(node, described): (thalweg_dataflow::NodeId, &thalweg_dataflow::Node)| {
            let spec = described.piece.spec();
            Described {
                id: described.id.clone(),
                node,
                kind: spec.kind().to_owned(),
                fingerprint: spec.fingerprint(),
                label: spec.label(),
            }
        };
        graph.nodes().map(described).collect()
    }
}

/// A part that is durable.
pub type Written = Vec<(OperatorId, OperatorPart)>;

/// What is proposed to be an epoch.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What all subtasks gave; none: the epoch is to be aborted.
    pub parts: Option<Vec<Written>>,
    /// How many subtasks the job has.
    pub parallelism: u32,
    /// Whether all inputs were read to their ends.
    pub finished: bool,
}

/// How an epoch was settled, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The checkpoint exists.
    Complete,
    /// It does not, and never will.
    Aborted,
}

/// Keeps epochs.
pub trait EpochStore: Send + Sync {
    /// Makes what one subtask gave to an epoch durable.
    ///
    /// # Errors
    /// If it could not be written: the epoch can only be aborted.
    fn write<'a>(&'a self, epoch: Epoch, part: &'a SubtaskPart) -> BoxFuture<'a, Result<Written>>;

    /// Proposes what an epoch is to be, and answers what lies there now.
    ///
    /// # Errors
    /// `fenced`, if a later life of the job has settled it. Any other: it is not known what lies
    /// there, and the caller asks again.
    fn settle<'a>(&'a self, epoch: Epoch, proposal: &'a Proposal) -> BoxFuture<'a, Result<Verdict>>;

    /// Keeps the newest complete epoch under a name, for ever.
    fn keep<'a>(&'a self, label: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Clears away what no checkpoint needs and rewrites what has become many pieces. Called between
    /// epochs, in the background; what fails is tried again next time.
    fn tidy(&self) -> BoxFuture<'_, Result<()>>;
}

/// Keeps nothing: every epoch is complete, and nothing can be restored.
#[derive(Debug)]
pub struct NullStore;

impl EpochStore for NullStore {
    fn write<'a>(&'a self, _: Epoch, _: &'a SubtaskPart) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn settle<'a>(&'a self, _: Epoch, _: &'a Proposal) -> BoxFuture<'a, Result<Verdict>> {
        Box::pin(async { Ok(Verdict::Complete) })
    }

    fn keep<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn tidy(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
