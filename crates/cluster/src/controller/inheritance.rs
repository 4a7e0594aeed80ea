//! What of a checkpoint's state a graph goes on with.
//!
//! An operator is the same if it stands at the same place, by names, and its
//! state means the same, by fingerprint. All else begins anew, and what nobody
//! goes on with is lost: the user decides that, not we.

use std::fmt;

use thalweg_dataflow::Graph;
use thalweg_dataflow::graph::Piece;
use thalweg_state::{Manifest, OperatorId, OperatorRecord};

/// What becomes of each operator's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inheritance {
    /// These go on with what they remember.
    pub kept: Vec<OperatorId>,
    /// These remember something and begin anew.
    pub new: Vec<OperatorId>,
    /// Nobody goes on with this.
    pub dropped: Vec<Dropped>,
}

/// State that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Whose it was.
    pub operator: OperatorId,
    /// What people called it.
    pub label: String,
    /// Why nobody goes on with it.
    pub why: Why,
}

/// Why state is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No operator stands at its place.
    Gone,
    /// The operator at its place keeps something else.
    Changed,
}

impl Inheritance {
    /// Compares what a checkpoint holds with what a graph asks for.
    pub fn of(manifest: &Manifest, graph: &Graph) -> Self {
        let mut inheritance = Self::default();
        for (id, record) in &manifest.operators {
            let node = graph.nodes().map(|(_, node)| node).find(|node| node.id == *id);
            let why = match node {
                None => Some(Why::Gone),
                Some(node) if node.piece.spec().fingerprint() != record.fingerprint => Some(Why::Changed),
                Some(_) => None,
            };
            match why {
                None if holds_something(record) => inheritance.kept.push(id.clone()),
                Some(why) if holds_something(record) => inheritance.dropped.push(Dropped {
                    operator: id.clone(),
                    label: record.label.clone(),
                    why,
                }),
                None | Some(_) => {}
            }
        }
        let remembers = |piece: &Piece| match piece {
            Piece::Source(_) => true,
            Piece::Operator(spec) => spec.stateful(),
            Piece::Sink(_) => false,
        };
        let unknown = graph.nodes().filter(|(_, node)| {
            remembers(&node.piece)
                && manifest
                    .operators
                    .get(&node.id)
                    .is_none_or(|record| record.fingerprint != node.piece.spec().fingerprint())
        });
        inheritance.new = unknown.map(|(_, node)| node.id.clone()).collect();
        inheritance
    }

    /// The checkpoint without what is dropped.
    pub fn of_what_is_kept(&self, manifest: Manifest) -> Manifest {
        let is_dropped = |id: &OperatorId| self.dropped.iter().any(|dropped| dropped.operator == *id);
        let operators = manifest.operators.into_iter().filter(|(id, _)| !is_dropped(id)).collect();
        Manifest { operators, ..manifest }
    }

    /// Whether the graph goes on with everything, and nothing begins anew.
    pub fn is_whole(&self) -> bool {
        self.new.is_empty() && self.dropped.is_empty()
    }
}

fn holds_something(record: &OperatorRecord) -> bool {
    record.tables.values().any(|table| !table.objects.is_empty())
        || !record.splits.is_empty()
        || !record.committables.is_empty()
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Gone => "no operator stands at its place any more",
            Why::Changed => "the operator at its place keeps something else now",
        };
        write!(f, "'{}' ({}): {why}", self.operator, self.label)
    }
}
