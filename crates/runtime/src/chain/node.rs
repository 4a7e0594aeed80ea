//! One operator, source or sink within a chain.

use std::sync::Arc;

use arrow::array::RecordBatch;
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::{Batch, NodeId, Operator, Port, Sink, Watermark};

use thalweg_state::SplitId;

use super::lane::Lanes;
use crate::guard::Site;

/// Where an output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To a later node of the same chain: its port, and which of its inputs this edge is.
    Node { node: usize, port: Port, input: usize },
    /// Out of the subtask.
    Exchange(usize),
}

/// What a node does.
pub(crate) enum NodePiece {
    /// It only gives. The driver of the subtask reads it.
    Source,
    /// It computes.
    Operator(Box<dyn Operator>),
    /// It writes.
    Sink(Box<dyn Sink>),
}

/// One node of one subtask.
pub(crate) struct ChainNode {
    pub(crate) id: NodeId,
    pub(crate) site: Site,
    pub(crate) piece: NodePiece,
    pub(crate) counters: Arc<OperatorCounters>,
    pub(crate) lanes: Lanes,
    /// All outgoing edges, by port.
    pub(crate) outputs: Vec<(Port, Target)>,
    /// The highest watermark that the operator was called with.
    pub(super) called: Watermark,
    /// The split of the rows last taken; the rows that follow from them carry it on.
    pub(super) split: Option<SplitId>,
    /// Whether this operator turns splits into watermarks, so that no split is known behind it.
    pub(super) ends_splits: bool,
}

impl ChainNode {
    /// A node that has done nothing yet.
    pub(crate) fn new(
        id: NodeId,
        site: Site,
        piece: NodePiece,
        counters: Arc<OperatorCounters>,
        lanes: Lanes,
        outputs: Vec<(Port, Target)>,
    ) -> Self {
        counters.watermark.set(Watermark::START.nanos());
        Self {
            id,
            site,
            piece,
            counters,
            lanes,
            outputs,
            called: Watermark::START,
            split: None,
            ends_splits: false,
        }
    }

    /// Rows that this node gives out.
    pub(super) fn batch(&self, records: RecordBatch) -> Batch {
        let split = if self.ends_splits { None } else { self.split.clone() };
        Batch { records, split }
    }

    pub(super) fn is_operator(&self) -> bool {
        matches!(self.piece, NodePiece::Operator(_))
    }
}
