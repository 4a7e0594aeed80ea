//! A graph in words: one line a chain, and one for each edge between chains.
//!
//! ```text
//! chain 1 x1: single_file_source [bids.jsonl json] -> watermark [ts - 1s] -> …; append
//!   shuffle -> chain 2 by auction; append
//! chain 2 x4: window-aggregate [tumble(10s) by auction: count(*)] -> …; key auction; append; exactly once
//! ```

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use thalweg_dataflow::graph::{Node, Piece};
use thalweg_dataflow::sink::SinkGuarantee;
use thalweg_dataflow::source::SourceGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Distribution, Edge, Graph, NodeId};

/// The most characters of an operator's label on a line; programs get all of it.
const LABEL_CHARS_MAX: usize = 60;

/// A graph in words. `Display` is for people, `Serialize` for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The job's parallelism.
    pub parallelism: u32,
    /// Operators that run together, senders first.
    pub chains: Vec<Chain>,
    /// What flows between chains.
    pub edges: Vec<Exchange>,
    /// What the author should know.
    pub warnings: Vec<String>,
}

/// Operators that run together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Counts from 1.
    pub chain: usize,
    /// How many subtasks.
    pub parallelism: u32,
    /// The operators, in order.
    pub operators: Vec<OperatorLine>,
    /// `append` or `changelog`: what leaves the chain, or reaches its sink.
    pub rows: &'static str,
    /// The columns by which its rows were dealt out, if they were.
    pub key: Option<Vec<String>>,
    /// What the job promises for the chain's sink, if it has one.
    pub guarantee: Option<&'static str>,
}

/// One operator, source or sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorLine {
    /// Its place by names.
    pub id: String,
    /// Its kind: `filter`.
    pub kind: &'static str,
    /// What it does: `a > 1`.
    pub label: String,
}

/// What flows from one chain to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// The sending chain.
    pub from: usize,
    /// The receiving chain.
    pub to: usize,
    /// `shuffle`, `rebalance`, `broadcast` or `forward`.
    pub distribution: &'static str,
    /// The columns of a shuffle.
    pub key: Vec<String>,
    /// `append` or `changelog`.
    pub rows: &'static str,
}

/// Explains a graph for a job of this parallelism.
pub fn explain(graph: &Graph, warnings: &[String], parallelism: u32) -> Explanation {
    let chains = chain_of_each(graph);
    let count = chains.iter().max().map_or(0, |last| last + 1);
    let lines = (0..count).map(|chain| describe(graph, &chains, chain, parallelism)).collect();
    let between = graph.edges().iter().filter(|edge| !is_inside(edge, &chains));
    let edges = between.map(|edge| exchange(edge, &chains)).collect();
    Explanation { parallelism, chains: lines, edges, warnings: warnings.to_vec() }
}

/// Nodes whose inputs are all forwarded from one chain belong to it.
fn chain_of_each(graph: &Graph) -> Vec<usize> {
    let (mut chains, mut next) = (Vec::with_capacity(graph.len()), 0);
    for (id, _) in graph.nodes() {
        let from: BTreeSet<Option<usize>> = graph
            .inputs(id)
            .map(|edge| (edge.distribution == Distribution::Forward).then(|| chains[edge.from.0.0 as usize]))
            .collect();
        let joined = match from.iter().collect::<Vec<_>>().as_slice() {
            [Some(chain)] => Some(*chain),
            _ => None,
        };
        chains.push(joined.unwrap_or_else(|| {
            next += 1;
            next - 1
        }));
    }
    chains
}

fn is_inside(edge: &Edge, chains: &[usize]) -> bool {
    edge.distribution == Distribution::Forward
        && chains[edge.from.0.0 as usize] == chains[edge.to.0.0 as usize]
}

fn describe(graph: &Graph, chains: &[usize], chain: usize, parallelism: u32) -> Chain {
    let nodes: Vec<(NodeId, &Node)> =
        graph.nodes().filter(|(id, _)| chains[id.0 as usize] == chain).collect();
    let subtasks = nodes.first().map_or(parallelism, |(id, _)| graph.parallelism(*id, parallelism));
    let sinks = nodes.iter().filter(|(_, node)| matches!(node.piece, Piece::Sink(_)));
    let last = nodes.last().map(|(id, _)| *id);
    let edges = graph.edges().iter();
    let key = edges
        .clone()
        .filter(|edge| Some(edge.to.0) == nodes.first().map(|(id, _)| *id))
        .find_map(shuffle_key);
    let leaving: Vec<&Edge> = edges.clone().filter(|edge| Some(edge.from.0) == last).collect();
    let reaching: Vec<&Edge> = edges.filter(|edge| Some(edge.to.0) == last).collect();
    let telling = if leaving.is_empty() { reaching } else { leaving };
    let changes = telling.iter().any(|edge| edge.rows == RowKind::Changelog);
    Chain {
        chain: chain + 1,
        parallelism: subtasks,
        operators: nodes.iter().map(|(_, node)| line(node)).collect(),
        rows: rows_name(if changes { RowKind::Changelog } else { RowKind::Append }),
        key,
        guarantee: sinks.map(|(id, _)| guarantee(graph, *id)).min().map(Guarantee::name),
    }
}

fn line(node: &Node) -> OperatorLine {
    let spec = node.piece.spec();
    OperatorLine { id: node.id.to_string(), kind: spec.kind(), label: spec.label() }
}

fn shuffle_key(edge: &Edge) -> Option<Vec<String>> {
    match &edge.distribution {
        Distribution::Shuffle(key) => {
            Some(key.iter().map(|&i| edge.schema.field(i).name().clone()).collect())
        }
        Distribution::Forward | Distribution::Rebalance | Distribution::Broadcast => None,
    }
}

fn exchange(edge: &Edge, chains: &[usize]) -> Exchange {
    let distribution = match &edge.distribution {
        Distribution::Forward => "forward",
        Distribution::Shuffle(_) => "shuffle",
        Distribution::Rebalance => "rebalance",
        Distribution::Broadcast => "broadcast",
    };
    Exchange {
        from: chains[edge.from.0.0 as usize] + 1,
        to: chains[edge.to.0.0 as usize] + 1,
        distribution,
        key: shuffle_key(edge).unwrap_or_default(),
        rows: rows_name(edge.rows),
    }
}

fn rows_name(rows: RowKind) -> &'static str {
    match rows {
        RowKind::Append => "append",
        RowKind::Changelog => "changelog",
    }
}

/// How often a job promises to count each row: so many times once. The weakest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Guarantee {
    AtMost,
    AtLeast,
    Exactly,
}

impl Guarantee {
    fn name(self) -> &'static str {
        match self {
            Guarantee::AtMost => "at most once",
            Guarantee::AtLeast => "at least once",
            Guarantee::Exactly => "exactly once",
        }
    }
}

/// The weakest promise on the way to a node.
fn guarantee(graph: &Graph, id: NodeId) -> Guarantee {
    let own = match &graph.node(id).piece {
        Piece::Source(spec) => match spec.guarantee() {
            SourceGuarantee::AtMostOnce => Guarantee::AtMost,
            SourceGuarantee::Replays => Guarantee::Exactly,
        },
        Piece::Operator(_) => Guarantee::Exactly,
        Piece::Sink(spec) => match spec.guarantee() {
            SinkGuarantee::AtLeastOnce => Guarantee::AtLeast,
            SinkGuarantee::ExactlyOnce => Guarantee::Exactly,
        },
    };
    let mut seen = BTreeSet::from([id.0]);
    let mut waiting: Vec<NodeId> = vec![id];
    let mut weakest = own;
    while let Some(node) = waiting.pop() {
        for edge in graph.inputs(node) {
            if seen.insert(edge.from.0.0) {
                if let Piece::Source(spec) = &graph.node(edge.from.0).piece
                    && spec.guarantee() == SourceGuarantee::AtMostOnce
                {
                    weakest = weakest.min(Guarantee::AtMost);
                }
                waiting.push(edge.from.0);
            }
        }
    }
    weakest
}

/// A label for a line: cut behind a whole part of a list where one ends in reach.
fn shortened(label: &str) -> String {
    let Some((end, _)) = label.char_indices().nth(LABEL_CHARS_MAX) else { return label.to_owned() };
    let cut = &label[..end];
    match cut.rfind(", ") {
        Some(comma) if comma > LABEL_CHARS_MAX / 3 => format!("{}, …", &cut[..comma]),
        Some(_) | None => format!("{cut}…"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chain in &self.chains {
            write!(f, "chain {} x{}: ", chain.chain, chain.parallelism)?;
            let operators = chain.operators.iter().map(|operator| match operator.label.is_empty() {
                true => operator.kind.to_owned(),
                false => format!("{} [{}]", operator.kind, shortened(&operator.label)),
            });
            write!(f, "{}", operators.collect::<Vec<_>>().join(" -> "))?;
            if let Some(key) = &chain.key {
                write!(f, "; key {}", key.join(", "))?;
            }
            write!(f, "; {}", chain.rows)?;
            match chain.guarantee {
                Some(guarantee) => writeln!(f, "; {guarantee}")?,
                None => writeln!(f)?,
            }
            for edge in self.edges.iter().filter(|edge| edge.from == chain.chain) {
                write!(f, "  {} -> chain {}", edge.distribution, edge.to)?;
                match edge.key.is_empty() {
                    true => writeln!(f, "; {}", edge.rows)?,
                    false => writeln!(f, " by {}; {}", edge.key.join(", "), edge.rows)?,
                }
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}
