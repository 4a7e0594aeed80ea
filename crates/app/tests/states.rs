//! State by key: shared, restored, and refused where it makes no sense.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_app::driver::{frames, kept};
use thalweg_app::{Application, Driver, Float, Key, Record, Stream, decode, encode};
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::{Edge, Functions, Registry};

fn words(application: &Application, name: &str) -> Stream<String> {
    application.source(name, frames(), decode::utf8())
}

fn drive(application: Application) -> Driver {
    Driver::new(application).expect("a sound application")
}

fn errors(application: Application) -> String {
    let errors = Driver::new(application).err().expect("an unsound application");
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// Quotes set a price, and orders are checked against it.
fn market() -> Application {
    let application = Application::new("market");
    let prices = application.state::<String, u64>("prices");
    words(&application, "quotes")
        .key_by(|quote| quote[..1].to_owned())
        .with_state(&prices, |_, quote, price| {
            *price = quote[1..].parse().expect("a price");
            None::<()>
        })
        .discard();
    words(&application, "orders")
        .key_by(|order| order[..1].to_owned())
        .with_state(&prices, |symbol, order, price| {
            let bid: u64 = order[1..].parse().expect("a bid");
            (bid < *price).then(|| format!("{symbol}: {bid} < {price}\n"))
        })
        .sink("rejected", kept(), encode::display);
    application
}

#[test]
fn pipelines_share_a_state_and_see_each_other() {
    let mut driver = drive(market());
    driver.frame("orders", "A5").unwrap();
    driver.frame("quotes", "A10").unwrap();
    driver.frame("quotes", "B3").unwrap();
    driver.frame("orders", "A5").unwrap();
    driver.frame("orders", "B5").unwrap();
    driver.frame("quotes", "A1").unwrap();
    driver.frame("orders", "A5").unwrap();
    assert_eq!(driver.text("rejected"), "A: 5 < 10\n");
}

#[test]
fn a_shared_state_is_one_node_with_a_port_for_each_pipeline() {
    let program = market().build(&thalweg_app::NoSql, Duration::MAX).unwrap();
    let (id, node) = program.graph.nodes().find(|(_, node)| node.id.as_str() == "prices/state").unwrap();
    let ports = |edges: Vec<(u16, u16)>| edges;
    let ins = program.graph.inputs(id).map(|edge| (edge.from.1.0, edge.to.1.0)).collect();
    let outs = program.graph.outputs(id).map(|edge| (edge.from.1.0, edge.to.1.0)).collect();
    assert_eq!((ports(ins), ports(outs)), (vec![(0, 0), (0, 1)], vec![(1, 0)]));
    let Piece::Operator(spec) = &node.piece else { panic!("a state is an operator") };
    assert!(spec.watermarks_per_port() && spec.stateful());
}

/// A graph, an edge in a line.
fn edges(application: Application) -> String {
    let graph = application.build(&thalweg_app::NoSql, Duration::MAX).unwrap().graph;
    let name = |id| match graph.node(id).parallelism {
        Some(parallelism) => format!("{} x{parallelism}", graph.node(id).id),
        None => graph.node(id).id.to_string(),
    };
    let line =
        |edge: &Edge| format!("{} -{:?}-> {}\n", name(edge.from.0), edge.distribution, name(edge.to.0));
    graph.edges().iter().map(line).collect()
}

#[test]
fn a_chain_keeps_its_parallelism_up_to_an_exchange() {
    let application = Application::new("graph");
    let counted =
        words(&application, "text").key_by(|w| w.clone()).stateful("counts", |_, w, _: &mut u8| [w]);
    let other = words(&application, "more").map(|word| word + ".");
    counted.merge(other).sink("out", kept(), encode::display);
    // A source by hand has one subtask, and so has what stands in its chain.
    assert_eq!(
        edges(application),
        "text/source x1 -Forward-> counts/computation x1
counts/computation x1 -Shuffle([0])-> counts/state
more/source x1 -Forward-> out/computation x1
counts/state -Forward-> out/sink
out/computation x1 -Rebalance-> out/sink
"
    );
}

#[test]
fn a_graph_travels_and_finds_its_closures_again_by_name() {
    let mut registry = Registry::default();
    thalweg_app::register(&mut registry);
    let program = market().build(&thalweg_app::NoSql, Duration::MAX).unwrap();
    let mut operators = 0;
    for (_, node) in program.graph.nodes() {
        let Piece::Operator(spec) = &node.piece else { continue };
        let back = registry.operator(spec.kind(), &spec.encode().unwrap()).unwrap();
        assert_eq!((back.label(), back.output_schema()), (spec.label(), spec.output_schema()));
        assert!(back.build(&program.functions).is_ok());
        let error = back.build(&Functions::default()).err().expect("another program").to_string();
        assert!(error.contains(&format!("'market/{}' does not exist", node.id)), "{error}");
        operators += 1;
    }
    assert_eq!(operators, 3, "two decoders, and the state with the encoder behind it");
}

#[test]
fn a_state_survives_a_restart() {
    let mut driver = drive(market());
    driver.frame("quotes", "A10").unwrap();
    driver.restart().unwrap();
    driver.frame("orders", "A5").unwrap();
    driver.frame("quotes", "A4").unwrap();
    driver.restart().unwrap();
    driver.restart().unwrap();
    driver.frame("orders", "A3").unwrap();
    driver.frame("orders", "B1").unwrap();
    assert_eq!(driver.text("rejected"), "A: 5 < 10\nA: 3 < 4\n");
}

#[test]
fn a_pipeline_may_end_in_its_state() {
    let application = Application::new("endless");
    words(&application, "text")
        .key_by(|word| word.clone())
        .stateful("seen", |_, _, count: &mut u64| {
            *count += 1;
            None::<u8>
        })
        .discard();
    let mut driver = drive(application);
    driver.frame("text", "a").unwrap();
    driver.end().unwrap();
}

fn counting<K: Key + Clone + std::fmt::Debug>(key: impl Fn(&str) -> K + Send + Sync + 'static) -> Driver {
    let application = Application::new("keys");
    words(&application, "text")
        .key_by(move |word| key(word))
        .stateful("counts", |key: &K, _, count: &mut u64| {
            *count += 1;
            [format!("{key:?}={count} ")]
        })
        .sink("out", kept(), encode::display);
    drive(application)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Place {
    city: String,
    floor: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Kind {
    Plain,
    Sized(u8),
}

fn check<K: Key + Clone + std::fmt::Debug>(
    key: impl Fn(&str) -> K + Copy + Send + Sync + 'static,
    words: &[&str],
    expected: &str,
) {
    let mut driver = counting(key);
    for word in words {
        driver.frame("text", word).unwrap();
        driver.restart().unwrap();
    }
    assert_eq!(driver.text("out"), expected);
}

#[test]
fn keys_may_be_empty_huge_nan_negative_zero_or_structs() {
    check(|word| word.to_owned(), &["", "a", ""], r#"""=1 "a"=1 ""=2 "#);
    let number = |word: &str| Float::new(word.parse().expect("a number"));
    check(number, &["NaN", "-0", "-NaN", "0", "inf"], "NaN=1 0.0=1 NaN=2 0.0=2 inf=1 ");
    check(|_| (), &["a", "b"], "()=1 ()=2 ");
    let place =
        |word: &str| Place { city: word.to_owned(), floor: word.len().checked_sub(2).map(|f| f as i32) };
    check(
        place,
        &["x", "xy", "x"],
        r#"Place { city: "x", floor: None }=1 Place { city: "xy", floor: Some(0) }=1 Place { city: "x", floor: None }=2 "#,
    );
    let kind = |word: &str| if word.is_empty() { Kind::Plain } else { Kind::Sized(word.len() as u8) };
    check(kind, &["", "a", "", "b"], "Plain=1 Sized(1)=1 Plain=2 Sized(1)=2 ");
    check(|word| (word.len() as u8, word.to_owned()), &["a", "a"], r#"(1, "a")=1 (1, "a")=2 "#);

    let mut driver = counting(|word| word.repeat(1 << 20));
    for word in ["0123456789", "0123456789"] {
        driver.frame("text", word).unwrap();
        driver.restart().unwrap();
    }
    let counts: Vec<u8> = driver.frames("out").iter().map(|frame| frame[frame.len() - 2]).collect();
    assert_eq!(counts, *b"12");
}

#[test]
fn states_of_all_shapes_survive_a_restart() {
    fn with<S: Record + Default + std::fmt::Debug>(
        change: impl Fn(&mut S) + Send + Sync + 'static,
        last: &str,
    ) {
        let application = Application::new("shapes");
        words(&application, "text")
            .key_by(|_| 0_u8)
            .stateful("s", move |_, _, state: &mut S| {
                change(state);
                [format!("{state:?}")]
            })
            .sink("out", kept(), encode::display);
        let mut driver = drive(application);
        for _ in 0..3 {
            driver.frame("text", "").unwrap();
            driver.restart().unwrap();
        }
        assert_eq!(String::from_utf8(driver.frames("out").pop().unwrap()).unwrap(), last);
    }
    with(|n: &mut i64| *n -= 1, "-3");
    with(|list: &mut Vec<u8>| list.push(7), "[7, 7, 7]");
    with(|list: &mut Vec<Option<String>>| list.push(None), "[None, None, None]");
    with(
        |map: &mut std::collections::BTreeMap<String, u64>| *map.entry("a".into()).or_default() += 1,
        r#"{"a": 3}"#,
    );
    with(|float: &mut f64| *float = if *float == 0.0 { f64::NAN } else { *float }, "NaN");
    with(
        |(a, b): &mut (u8, Option<(i8, bool)>)| (*a, *b) = (*a + 1, Some((1, true))),
        "(3, Some((1, true)))",
    );
    with(|last: &mut Option<u64>| *last = Some(last.map_or(0, |n| n + 1)), "Some(2)");
    with(|unit: &mut ()| *unit, "()");
}

#[test]
fn states_that_feed_each_other_are_refused() {
    let application = Application::new("loop");
    let (a, b) = (application.state::<String, u8>("a"), application.state::<String, u8>("b"));
    let through = |stream: Stream<String>, state| {
        stream.key_by(|word| word.clone()).with_state(state, |_, word, _: &mut u8| [word])
    };
    let round = through(through(words(&application, "text"), &a), &b);
    through(round, &a).sink("out", kept(), encode::display);
    let errors = errors(application);
    assert!(
        errors.contains("[invalid-program]") && errors.contains("state 'a' and state 'b' feed each other"),
        "{errors}"
    );
}

#[test]
fn a_state_that_feeds_itself_is_refused() {
    let application = Application::new("loop");
    let a = application.state::<String, u8>("a");
    let once = words(&application, "text").key_by(|w| w.clone()).with_state(&a, |_, w, _| [w]);
    once.key_by(|w| w.clone()).with_state(&a, |_, w, _| [w]).discard();
    assert!(errors(application).contains("state 'a' feeds itself"));
}

#[test]
fn one_name_for_two_types_of_state_is_refused() {
    let application = Application::new("two");
    let (a, b) = (application.state::<String, u8>("a"), application.state::<String, String>("a"));
    words(&application, "x").key_by(|w| w.clone()).with_state(&a, |_, w, _| [w]).discard();
    words(&application, "y").key_by(|w| w.clone()).with_state(&b, |_, w, _| [w]).discard();
    let errors = errors(application);
    assert!(
        errors.contains("[duplicate-name]") && errors.contains("'a' is declared with two types"),
        "{errors}"
    );
}

#[test]
fn the_same_name_and_types_are_the_same_state() {
    let application = Application::new("same");
    for name in ["x", "y"] {
        let state = application.state::<String, u64>("counts");
        words(&application, name)
            .key_by(|word| word.clone())
            .with_state(&state, |_, _, count| {
                *count += 1;
                [*count]
            })
            .sink(name, kept(), encode::display);
    }
    let mut driver = drive(application);
    driver.frame("x", "a").unwrap();
    driver.frame("y", "a").unwrap();
    assert_eq!((driver.text("x"), driver.text("y")), ("1".into(), "2".into()));
}

#[test]
fn what_nobody_reads_or_uses_is_refused() {
    let nothing = Application::new("empty");
    assert!(errors(nothing).contains("'empty' has no source"));

    let application = Application::new("aimless");
    words(&application, "text").map(|word| word.len()).discard();
    let told = errors(application);
    assert!(
        told.contains("neither a sink nor a state") && told.contains("nobody reads 'text/source'"),
        "{told}"
    );

    let application = Application::new("unused");
    application.state::<String, u8>("s");
    words(&application, "text").sink("out", kept(), encode::display);
    assert!(errors(application).contains("no pipeline uses 's/state'"));

    let application = Application::new("twice");
    words(&application, "text").sink("out", kept(), encode::display);
    words(&application, "text").sink("out", kept(), encode::display);
    let told = errors(application);
    assert!(
        told.contains("two sources have the name 'text'") && told.contains("two sinks have the name 'out'"),
        "{told}"
    );
}

#[test]
fn what_makes_states_is_not_asked_for_those_that_are_kept() {
    let made = Arc::new(AtomicUsize::new(0));
    let application = Application::new("made");
    let count = Arc::clone(&made);
    words(&application, "text")
        .key_by(|word| word.clone())
        .stateful_with(
            "lengths",
            move |word| {
                count.fetch_add(1, Relaxed);
                word.len()
            },
            |_, _, length| [*length],
        )
        .sink("out", kept(), encode::display);
    let mut driver = drive(application);
    driver.frame("text", "one").unwrap();
    driver.restart().unwrap();
    driver.frame("text", "one").unwrap();
    driver.frame("text", "three").unwrap();
    assert_eq!((driver.text("out").as_str(), made.load(Relaxed)), ("335", 2));
}
