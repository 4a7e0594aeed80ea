//! Writing nodes and edges, and what is known of the rows on their way.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Distribution, Edge, Error, Graph, Node, NodeId, OperatorSpec, Outlet, Port, Result, SinkSpec, SourceSpec,
    columns,
};
use thalweg_operators::project::Project;
use thalweg_operators::{Expression, RowPolicy};

use crate::windows::{self, Window};

/// What leaves a node: rows of a plan's node, with the engine's own columns behind the plan's.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) node: NodeId,
    pub(super) schema: SchemaRef,
    /// How many columns are the plan's; those behind are the engine's.
    pub(super) width: usize,
    pub(super) rows: RowKind,
    pub(super) parallelism: Option<u32>,
    /// The columns by which a changelog is dealt out, if it is.
    pub(super) key: Option<Vec<usize>>,
    /// The window whose results these rows are, if they are.
    pub(super) window: Option<Window>,
    /// The columns that are that window.
    pub(super) window_columns: Vec<usize>,
    /// The columns that are one of its bounds.
    pub(super) window_bounds: Vec<(usize, WindowPart)>,
    /// The window that is to be assigned: the plan's last column, which the rows do not carry.
    pub(super) pending: Option<Window>,
}

/// What an expression says of the window of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowPart {
    Whole,
    Start,
    End,
}

impl Stream {
    /// Rows of which no more is known: no key, and no window.
    pub(super) fn new(
        node: NodeId,
        schema: SchemaRef,
        width: usize,
        rows: RowKind,
        parallelism: Option<u32>,
    ) -> Self {
        let (window_columns, window_bounds) = (Vec::new(), Vec::new());
        Self {
            node,
            schema,
            width,
            rows,
            parallelism,
            key: None,
            window: None,
            window_columns,
            window_bounds,
            pending: None,
        }
    }

    /// What an expression over a plan of these rows says of their window, if it does.
    pub(super) fn part_of_window(&self, expr: &Expr, plan: &DFSchema) -> Option<WindowPart> {
        match expr {
            Expr::Alias(alias) => self.part_of_window(&alias.expr, plan),
            Expr::Column(column) => {
                let index = plan.maybe_index_of_column(column)?;
                let bound = || self.window_bounds.iter().find(|(bound, _)| *bound == index);
                let whole = self.window_columns.contains(&index);
                if whole { Some(WindowPart::Whole) } else { bound().map(|(_, part)| *part) }
            }
            other => {
                let (of, field) = windows::field_of(other)?;
                let whole = self.part_of_window(of, plan) == Some(WindowPart::Whole);
                match field {
                    "start" if whole => Some(WindowPart::Start),
                    "end" if whole => Some(WindowPart::End),
                    _ => None,
                }
            }
        }
    }

    /// Whether an expression says what window a row is in: the window does, its end does,
    /// and its start where all are of one width.
    pub(super) fn names_window(&self, expr: &Expr, plan: &DFSchema) -> bool {
        match self.part_of_window(expr, plan) {
            Some(WindowPart::Whole | WindowPart::End) => true,
            Some(WindowPart::Start) => self.window.is_some_and(|window| window.width().is_some()),
            None => false,
        }
    }

    /// The index of one of the engine's columns.
    pub(super) fn own(&self, name: &str) -> Option<usize> {
        (self.width..self.schema.fields().len()).find(|&index| self.schema.field(index).name() == name)
    }

    /// The indices of all of the engine's columns.
    pub(super) fn own_columns(&self) -> std::ops::Range<usize> {
        self.width..self.schema.fields().len()
    }

    /// How these rows come to a node of this parallelism.
    pub(super) fn distribution(&self, parallelism: Option<u32>) -> Distribution {
        if self.parallelism == parallelism {
            return Distribution::Forward;
        }
        match self.rows {
            RowKind::Append => Distribution::Rebalance,
            // An assert and its retract are equal in every column, so that any of them brings both together.
            RowKind::Changelog => Distribution::Shuffle(match &self.key {
                Some(key) => key.clone(),
                None => self.own(columns::TIMESTAMP).into_iter().collect(),
            }),
        }
    }
}

/// The graph so far. Nodes are named by where they stand in the script.
#[derive(Default)]
pub(super) struct Writer {
    graph: Graph,
    names: HashMap<String, usize>,
    /// What stands before every name.
    prefix: String,
}

impl Writer {
    /// Goes on writing a graph; what is added is named under `name`.
    pub(super) fn behind(graph: Graph, name: &str) -> Self {
        Self { graph, names: HashMap::new(), prefix: format!("{name}/") }
    }

    /// The graph as it is, for somebody who goes on writing it.
    pub(super) fn into_graph(self) -> Graph {
        self.graph
    }

    /// A stream of a program as one that plans read. What comes from another port than the main one passes
    /// through a node of its own.
    pub(super) fn inlet(&mut self, path: &str, outlet: &Outlet, width: usize) -> Stream {
        let (mut node, port) = outlet.from;
        if port != Port::MAIN {
            let every: Vec<usize> = (0..outlet.schema.fields().len()).collect();
            let spec: Arc<dyn OperatorSpec> = Arc::new(Project::select(&outlet.schema, &every));
            node = self.node(path, Piece::Operator(spec), outlet.parallelism);
            self.graph.add_edge(Edge {
                from: outlet.from,
                to: (node, Port::MAIN),
                distribution: Distribution::Forward,
                schema: Arc::clone(&outlet.schema),
                rows: outlet.rows,
            });
        }
        Stream::new(node, Arc::clone(&outlet.schema), width, outlet.rows, outlet.parallelism)
    }

    /// The finished graph, checked.
    pub(super) fn finish(self) -> Result<Graph> {
        self.graph.check()?;
        Ok(self.graph)
    }

    /// Adds a source, all of whose columns are the plan's.
    pub(super) fn source(&mut self, path: &str, spec: Arc<dyn SourceSpec>, rows: RowKind) -> Stream {
        // A chain that begins with one split has one subtask, up to its first shuffle.
        let parallelism = spec.parallelism_max().filter(|&most| most == 1);
        let schema = spec.output_schema();
        let node = self.node(path, Piece::Source(spec), parallelism);
        let width = schema.fields().len();
        Stream::new(node, schema, width, rows, parallelism)
    }

    /// Adds an operator behind a stream, in its chain.
    pub(super) fn chained(
        &mut self,
        path: &str,
        input: &Stream,
        spec: impl OperatorSpec + 'static,
    ) -> Result<NodeId> {
        self.operator(path, &[(input, Distribution::Forward)], input.parallelism, spec)
    }

    /// Adds an operator behind one or more streams.
    pub(super) fn operator(
        &mut self,
        path: &str,
        inputs: &[(&Stream, Distribution)],
        parallelism: Option<u32>,
        spec: impl OperatorSpec + 'static,
    ) -> Result<NodeId> {
        let spec: Arc<dyn OperatorSpec> = Arc::new(spec);
        let node = self.node(path, Piece::Operator(spec), parallelism);
        self.connect(inputs, node)?;
        Ok(node)
    }

    /// Adds a sink behind a stream.
    pub(super) fn sink(
        &mut self,
        path: &str,
        input: &Stream,
        parallelism: Option<u32>,
        spec: Arc<dyn SinkSpec>,
    ) -> Result<NodeId> {
        let node = self.node(path, Piece::Sink(spec), parallelism);
        self.connect(&[(input, input.distribution(parallelism))], node)?;
        Ok(node)
    }

    fn node(&mut self, path: &str, piece: Piece, parallelism: Option<u32>) -> NodeId {
        let role = match &piece {
            Piece::Source(_) => "source",
            Piece::Operator(spec) => spec.kind(),
            Piece::Sink(_) => "sink",
        };
        let name = format!("{}{path}/{role}", self.prefix);
        let taken = self.names.entry(name.clone()).or_insert(0);
        *taken += 1;
        let id = if *taken == 1 { name } else { format!("{name}-{taken}") };
        self.graph.add_node(Node { id: thalweg_state::OperatorId::new(id), piece, parallelism })
    }

    fn connect(&mut self, inputs: &[(&Stream, Distribution)], node: NodeId) -> Result<()> {
        for (port, (stream, distribution)) in inputs.iter().enumerate() {
            let port = u16::try_from(port).map_err(|_| Error::internal("an operator has too many inputs"))?;
            self.graph.add_edge(Edge {
                from: (stream.node, Port::MAIN),
                to: (node, Port(port)),
                distribution: distribution.clone(),
                schema: Arc::clone(&stream.schema),
                rows: stream.rows,
            });
        }
        Ok(())
    }

    /// The stream with its first columns under these names.
    pub(super) fn rename(&mut self, path: &str, input: Stream, names: &[&str]) -> Result<Stream> {
        let fields = input.schema.fields().iter().enumerate();
        let named: Vec<(Expression, String)> = fields
            .map(|(index, field)| {
                let name = names.get(index).map_or(field.name().as_str(), |name| name);
                (Expression::column(&input.schema, index), name.to_owned())
            })
            .collect();
        if named.iter().zip(input.schema.fields()).all(|((_, name), field)| name == field.name()) {
            return Ok(input);
        }
        let spec = Project::new(named, RowPolicy::Fail);
        let schema = OperatorSpec::output_schema(&spec);
        let node = self.chained(path, &input, spec)?;
        Ok(Stream { node, schema, ..input })
    }

    /// The stream with these of its columns, the engine's own not counted among them unless listed.
    pub(super) fn select(
        &mut self,
        path: &str,
        input: Stream,
        columns: &[usize],
        width: usize,
    ) -> Result<Stream> {
        if columns.iter().copied().eq(0..input.schema.fields().len()) && width == input.width {
            return Ok(input);
        }
        let spec = Project::select(&input.schema, columns);
        let schema = OperatorSpec::output_schema(&spec);
        let node = self.chained(path, &input, spec)?;
        let place = |old: &usize| columns[..width].iter().position(|column| column == old);
        let key = input.key.as_ref().and_then(|key| key.iter().map(place).collect());
        let window_columns = (0..width).filter(|&new| input.window_columns.contains(&columns[new])).collect();
        let bound = |(old, part): &(usize, WindowPart)| Some((place(old)?, *part));
        let window_bounds = input.window_bounds.iter().filter_map(bound).collect();
        Ok(Stream { node, schema, width, key, window_columns, window_bounds, ..input })
    }
}
