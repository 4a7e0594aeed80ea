//! SQL over the streams of a program: nodes behind nodes that are there already.

mod fakes;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use thalweg_dataflow::connector::{Declaration, SourceColumn};
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::options::Options;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Code, Distribution, Edge, Error, Functions, Graph, Node, NodeId, Outlet, Port, columns,
};
use thalweg_sql::explain;
use thalweg_state::OperatorId;

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new(columns::TIMESTAMP, time.clone(), false),
        Field::new(columns::ROW_WATERMARK, time, false),
    ]))
}

/// A graph with one source, as a program would have written it; its rows come out on `port`.
fn program(port: Port) -> (Graph, Outlet) {
    let table = fakes::connector("wide")
        .describe(Declaration {
            table: "orders",
            options: &mut Options::new([]),
            columns: Some(schema()),
            primary_key: &[],
        })
        .expect("a table");
    let spec = table.source(&[0, 1, 2, 3].map(SourceColumn::whole), &[]).expect("a source");
    let mut graph = Graph::new();
    let node = graph.add_node(Node {
        id: OperatorId::new("orders/source"),
        piece: Piece::Source(spec),
        parallelism: None,
    });
    (graph, Outlet { from: (node, port), schema: schema(), rows: RowKind::Append, parallelism: None })
}

fn extend(port: Port, script: &str) -> Result<(Graph, Outlet), Vec<Error>> {
    let (graph, orders) = program(port);
    let mut functions = Functions::default();
    fakes::planner().extend(graph, &mut functions, "app/busy", script, &[("Orders".to_owned(), orders)])
}

/// The graph in words, with a sink behind the outlet so that it is whole.
fn words((mut graph, outlet): (Graph, Outlet)) -> String {
    let table = fakes::connector("wide")
        .describe(Declaration {
            table: "out",
            options: &mut Options::new([]),
            columns: Some(Arc::clone(&outlet.schema)),
            primary_key: &[],
        })
        .expect("a table");
    let sink = table.sink(Arc::clone(&outlet.schema), outlet.rows).expect("a sink");
    let to = graph.add_node(Node {
        id: OperatorId::new("out/sink"),
        piece: Piece::Sink(sink),
        parallelism: outlet.parallelism,
    });
    graph.add_edge(Edge {
        from: outlet.from,
        to: (to, Port::MAIN),
        distribution: Distribution::Forward,
        schema: outlet.schema,
        rows: outlet.rows,
    });
    graph.check().expect("a lawful graph");
    explain(&graph, &[], 2).to_string()
}

fn ids(graph: &Graph) -> Vec<String> {
    graph.nodes().map(|(_, node)| node.id.to_string()).collect()
}

#[test]
fn a_window_over_a_stream_judges_lateness_by_the_streams_own_watermark() {
    let script = "SELECT k, sum(v) AS total FROM orders GROUP BY k, tumble(interval '10 seconds')";
    let extended = extend(Port::MAIN, script).expect("a query");
    assert_eq!(extended.1.schema.field(0).name(), "k");
    assert_eq!(extended.1.schema.field(1).name(), "total");
    let names = ids(&extended.0);
    assert_eq!(names[0], "orders/source");
    assert!(names[1..].iter().all(|name| name.starts_with("app/busy/")), "{names:?}");
    let words = words(extended);
    assert!(words.contains("window-partial") && words.contains("shuffle -> chain 2 by k"), "{words}");
}

#[test]
fn a_view_of_a_script_is_a_stream_and_its_inserts_are_sinks() {
    let script = "CREATE TABLE log (k TEXT) WITH (connector = 'file', path = 'x', type = 'sink');
        CREATE VIEW large AS SELECT k, v FROM orders WHERE v > 10;
        INSERT INTO log SELECT k FROM large;
        SELECT v FROM large";
    let (graph, outlet) = extend(Port::MAIN, script).expect("a script");
    assert_eq!(outlet.schema.field(0).name(), "v");
    let sinks = graph.nodes().filter(|(_, node)| matches!(node.piece, Piece::Sink(_)));
    assert_eq!(sinks.count(), 1);
}

#[test]
fn rows_of_another_port_pass_through_a_node_of_their_own() {
    let (graph, outlet) = extend(Port(1), "SELECT * FROM orders").expect("a query");
    let from: Vec<_> = graph.edges().iter().map(|edge| edge.from).collect();
    assert_eq!(from[0], (NodeId(0), Port(1)));
    assert!(from[1..].iter().all(|(_, port)| *port == Port::MAIN));
    assert_eq!(outlet.from.1, Port::MAIN);
}

#[test]
fn what_gives_no_rows_or_too_many_is_refused() {
    for script in [
        "CREATE VIEW v AS SELECT * FROM orders",
        "SELECT k FROM orders; SELECT v FROM orders",
        "CREATE TABLE log (k TEXT) WITH (connector = 'file', path = 'x', type = 'sink');
         SELECT k FROM orders; INSERT INTO log SELECT k FROM orders",
    ] {
        assert!(extend(Port::MAIN, script).is_err(), "{script}");
    }
    let errors = extend(Port::MAIN, "SELECT x FROM orders").expect_err("no such column");
    assert_eq!(errors[0].code(), Code::UnknownColumn);
    let errors = extend(Port::MAIN, "SELECT 1 FROM others").expect_err("no such stream");
    assert_eq!(errors[0].code(), Code::UnknownTable);
}
