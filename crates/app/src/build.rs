//! From what was declared to a graph.

use std::collections::BTreeSet;
use std::sync::Arc;

use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::spec::{OperatorSpec, RowKind, SinkSpec};
use thalweg_dataflow::{
    Code, Distribution, Edge, Error, FunctionId, Functions, Graph, Node, NodeId, Outlet, Port, Result,
};
use thalweg_operators::union::Union;
use thalweg_state::OperatorId;

use crate::application::Program;
use crate::plan::{Inlet, Plan, Planned, Work};
use crate::segment::{Enter, SegmentSpec};
use crate::sql::SqlPlanner;

/// Writes the graph of a plan.
pub(crate) fn build(mut plan: Plan, planner: &dyn SqlPlanner) -> Result<Program, Vec<Error>> {
    let mut errors = std::mem::take(&mut plan.errors);
    errors.extend(check(&plan));
    let order = order(&plan.nodes).map_err(|error| vec![error]);
    let order = match (order, errors.is_empty()) {
        (Ok(order), true) => order,
        (Ok(_), false) => return Err(errors),
        (Err(loops), _) => return Err(errors.into_iter().chain(loops).collect()),
    };
    let mut writer = Writer {
        application: plan.name.clone(),
        graph: Graph::new(),
        functions: Functions::default(),
        enter: plan.enter.clone(),
        nodes: &plan.nodes,
        outlets: vec![Vec::new(); plan.nodes.len()],
    };
    let mut failed = Vec::new();
    for index in order {
        if let Err(mut why) = writer.write(index, &plan.nodes[index], planner) {
            failed.append(&mut why);
            break;
        }
    }
    if !failed.is_empty() {
        return Err(failed);
    }
    let Writer { graph, functions, .. } = writer;
    graph.check().map_err(|error| vec![error])?;
    Ok(Program { name: plan.name, graph, functions, is_entered: plan.enter.is_something() })
}

/// Whether there is something to read and something to show for it.
fn check(plan: &Plan) -> Vec<Error> {
    let mut errors = Vec::new();
    let name = &plan.name;
    let error = |what: String, help: &str| Error::new(Code::InvalidProgram, what).with_help(help);
    let reads = |work: &Work| match work {
        Work::Source(_) => true,
        Work::Sql { tables, .. } => tables.is_empty(),
        Work::Segment(_)
        | Work::Operator { .. }
        | Work::Union
        | Work::Aside
        | Work::Sink(_)
        | Work::SinkOfRows(_) => false,
    };
    let lasts = |work: &Work| match work {
        Work::Sink(_) | Work::SinkOfRows(_) => true,
        Work::Segment(segment) => segment.is_state(),
        Work::Source(_) | Work::Operator { .. } | Work::Union | Work::Aside | Work::Sql { .. } => false,
    };
    if !plan.nodes.iter().any(|node| reads(&node.work)) {
        errors.push(error(
            format!("the application '{name}' has no source"),
            "begin a pipeline with 'source', 'table' or 'view'",
        ));
    } else if !plan.nodes.iter().any(|node| lasts(&node.work)) {
        errors.push(error(
            format!("the application '{name}' has neither a sink nor a state"),
            "end a pipeline with 'sink' or 'sink_rows'",
        ));
    }
    let read: BTreeSet<usize> =
        plan.nodes.iter().flat_map(|node| &node.inputs).map(|inlet| inlet.from.node).collect();
    for (index, node) in plan.nodes.iter().enumerate() {
        match &node.work {
            Work::Source(_) | Work::Sql { .. } if !read.contains(&index) => errors.push(error(
                format!("nobody reads '{}'", node.name),
                "end its pipeline with a sink or a state, or take it out",
            )),
            Work::Aside if !read.contains(&index) => errors.push(error(
                format!("nobody reads {}", said(&node.name)),
                "end its stream with 'sink', or with 'discard'",
            )),
            Work::Aside if node.inputs.is_empty() => {
                let help = "give it to a step, or take it out";
                errors.push(error(format!("no step gives anything to {}", said(&node.name)), help));
            }
            Work::Segment(segment) if segment.is_state() && node.inputs.is_empty() => errors.push(error(
                format!("no pipeline uses '{}'", node.name),
                "use the state with 'with_state', or take it out",
            )),
            Work::Source(_)
            | Work::Sql { .. }
            | Work::Segment(_)
            | Work::Operator { .. }
            | Work::Union
            | Work::Aside
            | Work::Sink(_)
            | Work::SinkOfRows(_) => {}
        }
    }
    errors
}

/// A node as the program knows it: `state 'counts'`.
fn said(node: &str) -> String {
    node.rsplit_once('/').map_or_else(|| format!("'{node}'"), |(name, role)| format!("{role} '{name}'"))
}

/// All nodes, senders first, otherwise as declared.
fn order(nodes: &[Planned]) -> Result<Vec<usize>> {
    let mut done = BTreeSet::new();
    let mut waiting: Vec<usize> = (0..nodes.len()).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while !waiting.is_empty() {
        let ready = |&index: &usize| nodes[index].inputs.iter().all(|inlet| done.contains(&inlet.from.node));
        let Some(at) = waiting.iter().position(ready) else { return Err(looped(nodes, &waiting)) };
        let index = waiting.remove(at);
        done.insert(index);
        order.push(index);
    }
    Ok(order)
}

/// The words for what feeds itself: states and side outputs. All else is declared after what it reads.
fn looped(nodes: &[Planned], waiting: &[usize]) -> Error {
    let mut at = waiting[0];
    let mut seen = Vec::new();
    while !seen.contains(&at) {
        seen.push(at);
        let inputs = &nodes[at].inputs;
        let next = inputs.iter().map(|inlet| inlet.from.node).find(|node| waiting.contains(node));
        at = next.expect("a node that waits waits for one that waits");
    }
    let start = seen.iter().position(|&node| node == at).expect("the walk came back to it");
    let named = seen[start..].iter().filter(|&&node| match &nodes[node].work {
        Work::Segment(segment) => segment.is_state(),
        Work::Aside => true,
        Work::Source(_)
        | Work::Operator { .. }
        | Work::Union
        | Work::Sql { .. }
        | Work::Sink(_)
        | Work::SinkOfRows(_) => false,
    });
    let mut named: Vec<String> = named.map(|&node| said(&nodes[node].name)).collect();
    named.sort_unstable();
    let what = match &named[..] {
        [one] => format!("{one} feeds itself"),
        many => format!("{} feed each other", many.join(" and ")),
    };
    Error::new(Code::InvalidProgram, what)
        .because("records would go round for ever, and no watermark could pass")
        .with_help(
            "let one pipeline do both steps, keep both values in one state, or use another side output",
        )
}

struct Writer<'a> {
    application: String,
    graph: Graph,
    functions: Functions,
    enter: Enter,
    nodes: &'a [Planned],
    /// What comes out of each node that is written, by port.
    outlets: Vec<Vec<Outlet>>,
}

impl Writer<'_> {
    fn write(&mut self, index: usize, node: &Planned, planner: &dyn SqlPlanner) -> Result<(), Vec<Error>> {
        self.outlets[index] = match &node.work {
            Work::Source(spec) => {
                // A chain that begins with one split has one subtask, up to its first exchange.
                let parallelism = spec.parallelism_max().filter(|&most| most == 1);
                let schemas = vec![spec.output_schema()];
                self.node(node, Piece::Source(Arc::clone(spec)), parallelism, schemas)
            }
            Work::Segment(segment) => {
                let function = FunctionId(format!("{}/{}", self.application, node.name));
                self.functions.add(function.clone(), segment.factory().within(self.enter.clone()));
                let (outputs, label) = (segment.outputs().ports(), segment.label());
                let schemas = outputs.iter().map(|(schema, _)| Arc::clone(schema)).collect();
                let stateful = segment.stateful();
                let (fingerprint, evolution) = (segment.fingerprint(), segment.evolution());
                let spec = SegmentSpec { function, label, outputs, stateful, fingerprint, evolution };
                let parallelism = if segment.is_state() { None } else { self.parallelism_of(&node.inputs) };
                self.node(node, Piece::Operator(Arc::new(spec)), parallelism, schemas)
            }
            Work::Operator { spec, functions } => {
                functions(&mut self.functions, &self.enter);
                let keyed = node.inputs.iter().any(|inlet| inlet.key.is_some());
                let parallelism = if keyed { None } else { self.parallelism_of(&node.inputs) };
                let spec = spec();
                let schemas = vec![spec.output_schema()];
                self.node(node, Piece::Operator(spec), parallelism, schemas)
            }
            Work::Union | Work::Aside => {
                let schema = Arc::clone(&self.outlet(&node.inputs[0]).schema);
                let inputs = node.inputs.len() as u16;
                let spec: Arc<dyn OperatorSpec> = Arc::new(Union::new(Arc::clone(&schema), inputs));
                let parallelism = self.parallelism_of(&node.inputs);
                self.node(node, Piece::Operator(spec), parallelism, vec![schema])
            }
            Work::Sql { text, tables, fits } => {
                let inputs = node.inputs.iter().map(|inlet| self.outlet(inlet).clone());
                let inputs: Vec<(String, Outlet)> = tables.iter().cloned().zip(inputs).collect();
                let outlet = planner.plan(&mut self.graph, &mut self.functions, &node.name, text, &inputs)?;
                fits(&outlet).map_err(|error| vec![error.in_site(format!("'{}'", node.name))])?;
                vec![outlet]
            }
            Work::Sink(spec) => self.sink(node, Arc::clone(spec)),
            Work::SinkOfRows(make) => {
                let spec = make(Arc::clone(&self.outlet(&node.inputs[0]).schema));
                self.sink(node, spec.map_err(|error| vec![error.in_site(said(&node.name))])?)
            }
        };
        Ok(())
    }

    fn sink(&mut self, node: &Planned, spec: Arc<dyn SinkSpec>) -> Vec<Outlet> {
        let parallelism = match spec.parallelism_max() {
            Some(1) => Some(1),
            Some(_) | None => self.parallelism_of(&node.inputs),
        };
        self.node(node, Piece::Sink(spec), parallelism, Vec::new())
    }

    fn outlet(&self, inlet: &Inlet) -> &Outlet {
        let Inlet { from, .. } = inlet;
        let port = match &self.nodes[from.node].work {
            Work::Segment(segment) => segment.outputs().port_of(*from),
            Work::Source(_)
            | Work::Operator { .. }
            | Work::Union
            | Work::Aside
            | Work::Sql { .. }
            | Work::Sink(_)
            | Work::SinkOfRows(_) => 0,
        };
        &self.outlets[from.node][usize::from(port)]
    }

    /// That of the inputs, if it is one.
    fn parallelism_of(&self, inputs: &[Inlet]) -> Option<u32> {
        let mut all = inputs.iter().map(|inlet| self.outlet(inlet).parallelism);
        let first = all.next()?;
        if all.all(|other| other == first) { first } else { None }
    }

    /// Adds a node and its edges; gives its outlets.
    fn node(
        &mut self,
        node: &Planned,
        piece: Piece,
        parallelism: Option<u32>,
        schemas: Vec<arrow::datatypes::SchemaRef>,
    ) -> Vec<Outlet> {
        let id = OperatorId::new(node.name.as_str());
        let to = self.graph.add_node(Node { id, piece, parallelism });
        for inlet in &node.inputs {
            self.edge(inlet, to, parallelism);
        }
        let outlet =
            |(schema, port)| Outlet { from: (to, Port(port)), schema, rows: RowKind::Append, parallelism };
        schemas.into_iter().zip(0..).map(outlet).collect()
    }

    fn edge(&mut self, inlet: &Inlet, to: NodeId, parallelism: Option<u32>) {
        let outlet = self.outlet(inlet).clone();
        let distribution = match &inlet.key {
            Some(key) => Distribution::Shuffle(key.clone()),
            None if outlet.parallelism == parallelism => Distribution::Forward,
            None => Distribution::Rebalance,
        };
        self.graph.add_edge(Edge {
            from: outlet.from,
            to: (to, Port(inlet.port)),
            distribution,
            schema: outlet.schema,
            rows: outlet.rows,
        });
    }
}
