//! What of a checkpoint's state a graph goes on with.
//!
//! An operator is the same if it stands at the same place, by names, and its
//! state means the same, by fingerprint, or it says itself that it can go on from
//! that of another one. All else begins anew, and what nobody goes on with is
//! lost: the user decides that, not we.

use std::fmt;

use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::{Graph, Node};
use thalweg_state::{Manifest, OperatorId, OperatorRecord};

/// What becomes of each operator's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inheritance {
    /// These go on with what they remember.
    pub kept: Vec<OperatorId>,
    /// These go on with what they remember in another form.
    pub converted: Vec<Converted>,
    /// These remember something and begin anew.
    pub new: Vec<OperatorId>,
    /// Nobody goes on with this.
    pub dropped: Vec<Dropped>,
}

/// State that is kept, and differs from what was kept before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Whose it is.
    pub operator: OperatorId,
    /// What changes, for people.
    pub what: String,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No operator stands at its place.
    Gone,
    /// The operator at its place keeps something else.
    Changed,
    /// The operator at its place keeps the same with other fields, and cannot read what was kept: why, for people.
    Unreadable(String),
}

/// What becomes of the state of an operator.
enum Fate {
    Kept,
    /// What changes.
    Converted(String),
    Dropped(Why),
}

impl Inheritance {
    /// Compares what a checkpoint holds with what a graph asks for.
    pub fn of(manifest: &Manifest, graph: &Graph) -> Self {
        let mut inheritance = Self::default();
        for (id, record) in manifest.operators.iter().filter(|(_, record)| holds_something(record)) {
            let node = graph.nodes().map(|(_, node)| node).find(|node| node.id == *id);
            match node.map_or(Fate::Dropped(Why::Gone), |node| fate(record, node)) {
                Fate::Kept => inheritance.kept.push(id.clone()),
                Fate::Converted(what) => inheritance.converted.push(Converted { operator: id.clone(), what }),
                Fate::Dropped(why) => {
                    inheritance.dropped.push(Dropped {
                        operator: id.clone(),
                        label: record.label.clone(),
                        why,
                    });
                }
            }
        }
        let remembers = |piece: &Piece| match piece {
            Piece::Source(_) => true,
            Piece::Operator(spec) => spec.stateful(),
            Piece::Sink(_) => false,
        };
        let begins = |node: &Node| {
            let fate = manifest.operators.get(&node.id).map(|record| fate(record, node));
            matches!(fate, None | Some(Fate::Dropped(_)))
        };
        let unknown = graph.nodes().filter(|(_, node)| remembers(&node.piece) && begins(node));
        inheritance.new = unknown.map(|(_, node)| node.id.clone()).collect();
        inheritance
    }

    /// The checkpoint without what is dropped.
    pub fn of_what_is_kept(&self, manifest: Manifest) -> Manifest {
        let is_dropped = |id: &OperatorId| self.dropped.iter().any(|dropped| dropped.operator == *id);
        let operators = manifest.operators.into_iter().filter(|(id, _)| !is_dropped(id)).collect();
        Manifest { operators, ..manifest }
    }

    /// Whether the graph goes on with everything as it was, and nothing begins anew.
    pub fn is_whole(&self) -> bool {
        self.converted.is_empty() && self.new.is_empty() && self.dropped.is_empty()
    }
}

fn fate(record: &OperatorRecord, node: &Node) -> Fate {
    let spec = node.piece.spec();
    if spec.fingerprint() == record.fingerprint {
        return Fate::Kept;
    }
    match spec.converts(&record.fingerprint) {
        Ok(what) => Fate::Converted(what),
        Err(None) => Fate::Dropped(Why::Changed),
        Err(Some(why)) => Fate::Dropped(Why::Unreadable(why)),
    }
}

fn holds_something(record: &OperatorRecord) -> bool {
    record.tables.values().any(|table| !table.objects.is_empty())
        || !record.splits.is_empty()
        || !record.committables.is_empty()
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match &self.why {
            Why::Gone => "no operator stands at its place any more",
            Why::Changed => "the operator at its place keeps something else now",
            Why::Unreadable(why) => why,
        };
        write!(f, "'{}' ({}): {why}", self.operator, self.label)
    }
}
