//! From a graph to chains, subtasks and channels. Pure.
//!
//! Nodes that forward edges join run in one subtask, by direct calls. Every
//! other edge breaks the chain, also at parallelism 1, so that a live rescale
//! changes the number of subtasks and nothing else.
//!
//! ```text
//!   source ─forward─► map ─shuffle─► window ─forward─► sink
//!   └──── chain 0 ─────┘             └───── chain 1 ─────┘
//! ```

use thalweg_dataflow::{Distribution, Edge, Error, Graph, NodeId, Result};
use thalweg_state::Subtask;

/// The most subtasks of one node.
pub const PARALLELISM_MAX: u32 = 1024;

/// A chain's index in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub u32);

/// One sender to one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId {
    /// The edge's index in the graph.
    pub edge: u32,
    /// The sending subtask of the edge's first node.
    pub from: Subtask,
    /// The receiving subtask of the edge's second node.
    pub to: Subtask,
}

/// Nodes that run in one subtask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The nodes, senders first. The first is the head: a source, or whoever reads the channels.
    pub nodes: Vec<NodeId>,
    /// The number of subtasks.
    pub parallelism: u32,
}

/// Which nodes run together, and what lies between them.
#[derive(Clone, Debug)]
pub struct Plan {
    chains: Vec<Chain>,
    /// For each node its chain.
    chain_of: Vec<ChainId>,
}

impl Plan {
    /// The plan of a job that does not run.
    pub fn none() -> Self {
        Self { chains: Vec::new(), chain_of: Vec::new() }
    }

    /// Plans `graph` for a job of parallelism `job`.
    ///
    /// # Errors
    /// If the graph breaks a law, or a parallelism is out of bounds.
    pub fn new(graph: &Graph, job: u32) -> Result<Self> {
        graph.check()?;
        let mut plan = Self { chains: Vec::new(), chain_of: Vec::with_capacity(graph.len()) };
        for (id, node) in graph.nodes() {
            let parallelism = graph.parallelism(id, job);
            if !(1..=PARALLELISM_MAX).contains(&parallelism) {
                return Err(Error::internal(format!("'{}' has a parallelism of {parallelism}", node.id)));
            }
            let chain = plan.chain_to_join(graph, id).unwrap_or_else(|| plan.add_chain(parallelism));
            plan.chains[chain.0 as usize].nodes.push(id);
            plan.chain_of.push(chain);
        }
        Ok(plan)
    }

    /// The chain that all inputs of a node are forwarded from, if it is one.
    fn chain_to_join(&self, graph: &Graph, id: NodeId) -> Option<ChainId> {
        let mut inputs = graph.inputs(id);
        let chain = self.chain_of[inputs.next()?.from.0.0 as usize];
        let joins = |e: &Edge| e.distribution == Distribution::Forward && self.chain(e.from.0) == chain;
        graph.inputs(id).all(joins).then_some(chain)
    }

    fn add_chain(&mut self, parallelism: u32) -> ChainId {
        self.chains.push(Chain { nodes: Vec::new(), parallelism });
        ChainId((self.chains.len() - 1) as u32)
    }

    /// All chains, senders first.
    pub fn chains(&self) -> impl Iterator<Item = (ChainId, &Chain)> {
        self.chains.iter().enumerate().map(|(i, chain)| (ChainId(i as u32), chain))
    }

    /// The chain of a node.
    ///
    /// # Panics
    /// If the node is not of the planned graph.
    pub fn chain(&self, node: NodeId) -> ChainId {
        self.chain_of[node.0 as usize]
    }

    /// The number of subtasks of a node.
    pub fn parallelism(&self, node: NodeId) -> u32 {
        self.chains[self.chain(node).0 as usize].parallelism
    }

    /// Whether both ends of an edge run in one subtask.
    pub fn is_inside(&self, edge: &Edge) -> bool {
        self.chain(edge.from.0) == self.chain(edge.to.0) && edge.distribution == Distribution::Forward
    }

    /// The channels of the edge with this index, receivers in order, for each its senders in order.
    pub fn channels(&self, index: usize, edge: &Edge) -> Vec<ChannelId> {
        if self.chains.is_empty() || self.is_inside(edge) {
            return Vec::new();
        }
        let (senders, receivers) = (self.parallelism(edge.from.0), self.parallelism(edge.to.0));
        let channel = |from, to| ChannelId { edge: index as u32, from: Subtask(from), to: Subtask(to) };
        match edge.distribution {
            Distribution::Forward => (0..receivers).map(|s| channel(s, s)).collect(),
            Distribution::Shuffle(_) | Distribution::Rebalance | Distribution::Broadcast => {
                (0..receivers).flat_map(|to| (0..senders).map(move |from| channel(from, to))).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_testkit::toys::{Net, Numbers, Pass, made, shuffle};

    fn chains(plan: &Plan) -> Vec<(Vec<u32>, u32)> {
        plan.chains().map(|(_, c)| (c.nodes.iter().map(|n| n.0).collect(), c.parallelism)).collect()
    }

    /// A graph by the inputs of its nodes; those without inputs are sources.
    fn graph(inputs: &[&[(u32, Distribution)]]) -> Graph {
        let mut net = Net::default();
        for (node, inputs) in inputs.iter().enumerate() {
            let inputs: Vec<_> = inputs.iter().map(|(from, d)| (NodeId(*from), d.clone())).collect();
            let name = node.to_string();
            match inputs.is_empty() {
                true => net.source(&name, Numbers::new(&[1], 1)),
                false => net.operator(&name, made(Pass::default()), &inputs),
            };
        }
        net.graph()
    }

    use Distribution::{Forward, Rebalance};

    #[test]
    fn forward_edges_join_and_all_others_break_also_at_parallelism_one() {
        let graph = graph(&[&[], &[(0, Forward)], &[(1, shuffle())], &[(2, Forward)], &[(3, Rebalance)]]);
        for parallelism in [1, 4] {
            let plan = Plan::new(&graph, parallelism).expect("a lawful graph");
            let expected = [(vec![0, 1], parallelism), (vec![2, 3], parallelism), (vec![4], parallelism)];
            assert_eq!(chains(&plan), expected);
            let counts: Vec<_> =
                graph.edges().iter().enumerate().map(|(i, e)| plan.channels(i, e).len()).collect();
            let all = (parallelism * parallelism) as usize;
            assert_eq!(counts, [0, all, 0, all]);
        }
    }

    #[test]
    fn several_inputs_join_a_chain_only_if_all_come_from_it() {
        let diamond: [&[_]; 4] = [&[], &[(0, Forward)], &[(0, Forward)], &[(1, Forward), (2, Forward)]];
        let plan = Plan::new(&graph(&diamond), 2).expect("a lawful graph");
        assert_eq!(chains(&plan), [(vec![0, 1, 2, 3], 2)]);
        let union = graph(&[&[], &[], &[(0, Forward), (1, Forward)], &[(2, Forward)]]);
        let plan = Plan::new(&union, 2).expect("a lawful graph");
        assert_eq!(chains(&plan), [(vec![0], 2), (vec![1], 2), (vec![2, 3], 2)]);
        let channel = |edge, s| ChannelId { edge, from: Subtask(s), to: Subtask(s) };
        assert_eq!(plan.channels(1, &union.edges()[1]), [channel(1, 0), channel(1, 1)]);
        let mixed = graph(&[&[], &[(0, Forward)], &[(0, Forward), (1, shuffle())]]);
        let plan = Plan::new(&mixed, 2).expect("a lawful graph");
        assert_eq!(chains(&plan), [(vec![0, 1], 2), (vec![2], 2)]);
    }

    #[test]
    fn a_parallelism_out_of_bounds_is_refused() {
        let graph = graph(&[&[], &[(0, Forward)]]);
        assert!(Plan::new(&graph, 0).is_err());
        assert!(Plan::new(&graph, PARALLELISM_MAX + 1).is_err());
    }
}
