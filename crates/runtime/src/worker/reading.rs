//! What is counted, and by whom.

use std::fmt;
use std::sync::Arc;

use thalweg_dataflow::NodeId;
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::graph::Piece;
use thalweg_state::{OperatorId, Subtask};

/// What kind of piece counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rows come in from outside.
    Source,
    /// Rows are turned into rows.
    Operator,
    /// Rows go outside.
    Sink,
}

impl Role {
    pub(super) fn of(piece: &Piece) -> Self {
        match piece {
            Piece::Source(_) => Role::Source,
            Piece::Operator(_) => Role::Operator,
            Piece::Sink(_) => Role::Sink,
        }
    }
}

/// The counters of one operator, source or sink of one subtask.
#[derive(Clone)]
pub struct OperatorReading {
    /// The node in the graph.
    pub node: NodeId,
    /// Its name.
    pub operator: OperatorId,
    /// What kind of piece it is.
    pub role: Role,
    /// Which parallel instance.
    pub subtask: Subtask,
    /// What it counts; live.
    pub counters: Arc<OperatorCounters>,
}

impl fmt::Debug for OperatorReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}' {}: {:?}", self.node.0, self.operator, self.subtask, self.counters)
    }
}
