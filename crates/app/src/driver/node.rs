//! One node of a driven program.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::{Error, Functions, Graph, NodeId, Operator, Port, Result, Watermark};
use thalweg_state::{Snapshot, SplitId};

/// What stands at a node.
pub(super) enum Driven {
    /// The columns that it gives.
    Source(SchemaRef),
    Operator(Box<dyn Operator>),
    /// What came to it.
    Sink(Vec<RecordBatch>),
}

/// Who reads an output.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) edge: usize,
    pub(super) port: Port,
    /// The input whose watermark it hears, where watermarks go per port.
    pub(super) of: Port,
    pub(super) node: usize,
    pub(super) input: Port,
}

/// What is new after an input spoke.
pub(super) struct Inputs {
    /// The lowest watermark of all inputs rose to this.
    pub(super) lowest: Option<Watermark>,
    /// The lowest watermark of the inputs of the same port rose to this.
    pub(super) of_port: Option<Watermark>,
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) driven: Driven,
    pub(super) counters: Arc<OperatorCounters>,
    pub(super) targets: Vec<Target>,
    pub(super) per_port: bool,
    pub(super) snapshots: Vec<Snapshot>,
    /// For a source: the splits that it has read.
    pub(super) splits: BTreeSet<SplitId>,
    /// The edges that end here, with their ports and watermarks.
    inputs: Vec<(usize, Port, Watermark)>,
}

impl Node {
    pub(super) fn new(graph: &Graph, functions: &Functions, id: NodeId) -> Result<Self> {
        let (mut targets, mut inputs) = (Vec::new(), Vec::new());
        let input_of = |output| match &graph.node(id).piece {
            Piece::Operator(spec) => spec.input_of(output),
            Piece::Source(_) | Piece::Sink(_) => output,
        };
        for (edge, e) in graph.edges().iter().enumerate() {
            if e.from.0 == id {
                let (port, of) = (e.from.1, input_of(e.from.1));
                targets.push(Target { edge, port, of, node: e.to.0.0 as usize, input: e.to.1 });
            }
            if e.to.0 == id {
                inputs.push((edge, e.to.1, Watermark::START));
            }
        }
        let per_port = match &graph.node(id).piece {
            Piece::Operator(spec) => spec.watermarks_per_port(),
            Piece::Source(_) | Piece::Sink(_) => false,
        };
        Ok(Self {
            name: graph.node(id).id.to_string(),
            driven: driven(graph, functions, id)?,
            counters: Arc::default(),
            targets,
            per_port,
            snapshots: Vec::new(),
            splits: BTreeSet::new(),
            inputs,
        })
    }

    /// A new operator in place of the old.
    pub(super) fn renew(&mut self, graph: &Graph, functions: &Functions, id: NodeId) -> Result<()> {
        if matches!(self.driven, Driven::Operator(_)) {
            self.driven = driven(graph, functions, id)?;
        }
        Ok(())
    }

    /// The columns of a source.
    pub(super) fn schema(&self) -> Result<SchemaRef> {
        match &self.driven {
            Driven::Source(schema) => Ok(Arc::clone(schema)),
            Driven::Operator(_) | Driven::Sink(_) => Err(Error::internal("only sources are fed")),
        }
    }

    pub(super) fn targets_of(&self, port: Port) -> Vec<Target> {
        self.targets.iter().copied().filter(|target| target.port == port).collect()
    }

    /// An input reached a watermark.
    pub(super) fn hear(&mut self, target: Target, watermark: Watermark) -> Inputs {
        let lowest = |inputs: &[(usize, Port, Watermark)], port: Option<Port>| {
            let of_port = inputs.iter().filter(|(_, own, _)| port.is_none_or(|port| port == *own));
            of_port.map(|(_, _, watermark)| *watermark).min()
        };
        let before = (lowest(&self.inputs, None), lowest(&self.inputs, Some(target.input)));
        for (edge, _, known) in &mut self.inputs {
            if *edge == target.edge {
                *known = watermark.max(*known);
            }
        }
        let after = (lowest(&self.inputs, None), lowest(&self.inputs, Some(target.input)));
        Inputs {
            lowest: after.0.filter(|_| after.0 > before.0),
            of_port: after.1.filter(|_| after.1 > before.1),
        }
    }
}

fn driven(graph: &Graph, functions: &Functions, id: NodeId) -> Result<Driven> {
    Ok(match &graph.node(id).piece {
        Piece::Source(spec) => Driven::Source(spec.output_schema()),
        Piece::Operator(spec) => Driven::Operator(spec.build(functions)?),
        Piece::Sink(_) => Driven::Sink(Vec::new()),
    })
}
