//! Operators and edges: the logical plan that a runtime runs.
//!
//! A graph is plain data and acyclic. It says nothing of threads or machines;
//! how often each node is instantiated is its parallelism.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_state::OperatorId;

use crate::error::{Code, Error, Result};
use crate::message::Port;
use crate::spec::{OperatorSpec, RowKind, SinkSpec, SourceSpec, Spec};

/// A node's index in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u32);

/// What a node does.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Rows come in from outside.
    Source(Arc<dyn SourceSpec>),
    /// Rows are turned into rows.
    Operator(Arc<dyn OperatorSpec>),
    /// Rows go outside.
    Sink(Arc<dyn SinkSpec>),
}

impl Piece {
    /// The common part of the spec.
    pub fn spec(&self) -> &dyn Spec {
        match self {
            Piece::Source(spec) => &**spec,
            Piece::Operator(spec) => &**spec,
            Piece::Sink(spec) => &**spec,
        }
    }
}

/// One operator, source or sink.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node's place by names; state is found again by it.
    pub id: OperatorId,
    /// What it does.
    pub piece: Piece,
    /// How many subtasks it has: fixed here, or none for the job's own parallelism.
    pub parallelism: Option<u32>,
}

/// How rows are dealt out to the subtasks of the receiving node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// Subtask i sends to subtask i. Both sides have the same parallelism. Such nodes join into a chain.
    Forward,
    /// By the key group of these columns. Never empty: a global key is a constant column.
    Shuffle(Vec<usize>),
    /// Evenly, whatever the rows. Never carries a changelog.
    Rebalance,
    /// Everything to everybody.
    Broadcast,
}

/// What flows from one node to another.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The sending node and its output.
    pub from: (NodeId, Port),
    /// The receiving node and its input.
    pub to: (NodeId, Port),
    /// Who gets which row.
    pub distribution: Distribution,
    /// The columns of the rows.
    pub schema: SchemaRef,
    /// How the rows are to be read.
    pub rows: RowKind,
}

/// Rows that leave a node, before anybody reads them: what one writer of a graph hands to the next.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// The node and its output.
    pub from: (NodeId, Port),
    /// The columns of the rows.
    pub schema: SchemaRef,
    /// How the rows are to be read.
    pub rows: RowKind,
    /// The node's own parallelism, as in [`Node::parallelism`].
    pub parallelism: Option<u32>,
}

/// Operators and edges.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node. Edges must point from lower to higher ids, so add senders first.
    pub fn add_node(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId((self.nodes.len() - 1) as u32)
    }

    /// Adds an edge.
    pub fn add_edge(&mut self, edge: Edge) {
        self.edges.push(edge);
    }

    /// All nodes; a node's id is its index.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i as u32), node))
    }

    /// One node.
    ///
    /// # Panics
    /// If the id is not of this graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All edges.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges that end at a node.
    pub fn inputs(&self, id: NodeId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |e| e.to.0 == id)
    }

    /// The edges that begin at a node.
    pub fn outputs(&self, id: NodeId) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |e| e.from.0 == id)
    }

    /// The parallelism of a node in a job of parallelism `job`.
    pub fn parallelism(&self, id: NodeId, job: u32) -> u32 {
        self.node(id).parallelism.unwrap_or(job)
    }

    /// Checks all that a runtime relies on.
    pub fn check(&self) -> Result<()> {
        let mut ids = HashSet::new();
        for node in &self.nodes {
            if !ids.insert(&node.id) {
                return Err(Error::internal(format!("two operators have the id '{}'", node.id)));
            }
        }
        self.check_sinks()?;
        self.edges.iter().try_for_each(|edge| self.check_edge(edge))?;
        self.nodes().try_for_each(|(id, node)| self.check_ends(id, node))
    }

    /// Two sinks that write to one file would overwrite each other's rows.
    fn check_sinks(&self) -> Result<()> {
        let mut written = HashMap::new();
        for node in &self.nodes {
            let Piece::Sink(spec) = &node.piece else { continue };
            let Some(place) = spec.writes_alone_to() else { continue };
            if let Some(other) = written.insert(place, &node.id) {
                let what = format!("'{other}' and '{}' both write to '{place}'", node.id);
                return Err(Error::new(Code::DuplicateName, what)
                    .because("each would write over the rows of the other")
                    .with_help("give each a place of its own, or merge what they write"));
            }
        }
        Ok(())
    }

    fn check_edge(&self, edge: &Edge) -> Result<()> {
        let broken = |law: &str| {
            let (from, to) = (&self.node(edge.from.0).id, &self.node(edge.to.0).id);
            Err(Error::internal(format!("the edge from '{from}' to '{to}' breaks a law: {law}")))
        };
        if edge.from.0 >= edge.to.0 {
            return broken("edges go from lower to higher node ids");
        }
        let changelog = edge.rows == RowKind::Changelog;
        if changelog && matches!(edge.distribution, Distribution::Rebalance | Distribution::Broadcast) {
            return broken("a changelog is forward or shuffled by key");
        }
        let (from, to) = (self.node(edge.from.0), self.node(edge.to.0));
        if edge.distribution == Distribution::Forward && from.parallelism != to.parallelism {
            return broken("forward joins equal parallelism");
        }
        if let Distribution::Shuffle(key) = &edge.distribution
            && (key.is_empty() || key.iter().any(|&c| c >= edge.schema.fields().len()))
        {
            return broken("a shuffle has key columns within its schema");
        }
        let accepted = match &to.piece {
            Piece::Source(_) => return broken("a source has no input"),
            Piece::Operator(spec) => spec.accepts(edge.rows),
            Piece::Sink(spec) => spec.accepts(edge.rows),
        };
        if accepted { Ok(()) } else { broken("the receiver does not accept such rows") }
    }

    fn check_ends(&self, id: NodeId, node: &Node) -> Result<()> {
        let lonely = match &node.piece {
            Piece::Source(_) => self.outputs(id).next().is_none(),
            Piece::Operator(_) => self.inputs(id).next().is_none(),
            Piece::Sink(_) => self.inputs(id).next().is_none() || self.outputs(id).next().is_some(),
        };
        if lonely {
            Err(Error::internal(format!("'{}' is not connected as its kind asks", node.id)))
        } else {
            Ok(())
        }
    }
}
