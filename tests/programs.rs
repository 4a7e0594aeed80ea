//! Programs whose SQL the real planner plans, and programs that go wrong in the real runtime.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg::app::driver::{frames, kept};
use thalweg::app::{Application, Driver, EventTime, Float, RowPolicy, Stream, decode, encode};
use thalweg::connectors::tcp::{self, BoundAddress};
use thalweg::settings::Settings;
use thalweg::{Error, engine, program};
use thalweg_cluster::{Durable, Job, JobOutcome, Keeping, RestoreFrom};
use thalweg_dataflow::Code;
use thalweg_state::store::MemoryStore;
use thalweg_testkit::toys::Numbers;
use thalweg_world::World;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SECOND: i64 = 1_000_000_000;

/// Nothing here takes longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    city: String,
    price: i64,
    second: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Total {
    city: String,
    total: Option<i64>,
}

fn orders(application: &Application, name: &str) -> Stream<Order> {
    application
        .source(name, frames(), decode::json())
        .with_event_time(|order: &Order| EventTime(order.second * SECOND), Duration::from_secs(1))
}

fn driver(application: Application) -> Driver {
    let program = program::build(application, &Settings::default()).expect("a sound application");
    Driver::of(program).expect("its pieces can be made")
}

fn give(driver: &mut Driver, source: &str, orders: &[(&str, i64, i64)]) {
    for &(city, price, second) in orders {
        let frame = serde_json::json!({ "city": city, "price": price, "second": second }).to_string();
        driver.frame(source, frame).expect("a sound order");
    }
}

#[test]
fn sql_over_a_stream_windows_it_and_leaves_late_rows_out() {
    let application = Application::new("totals");
    orders(&application, "orders")
        .filter(|order| order.price > 0)
        .sql::<Total>(
            "SELECT city, sum(price) AS total FROM stream GROUP BY city, tumble(INTERVAL '10 seconds')",
        )
        .map(|total| format!("{} {}\n", total.city, total.total.unwrap_or(0)))
        .sink("out", kept(), encode::display);
    let mut driver = driver(application);
    give(&mut driver, "orders", &[("Rome", 1, 1), ("Oslo", 5, 9), ("Rome", 2, 8), ("Rome", -7, 8)]);
    assert_eq!(driver.text("out"), "", "the window is open");
    // The third is late: its window had ended by what the one before it said.
    give(&mut driver, "orders", &[("Rome", 3, 10), ("Rome", 4, 12), ("Rome", 100, 9)]);
    let mut lines: Vec<String> = driver.text("out").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["Oslo 5", "Rome 3"]);
    driver.end().expect("it ends");
    assert_eq!(driver.text("out").lines().last(), Some("Rome 7"));
}

#[test]
fn sql_joins_two_streams_of_a_program_and_its_rows_go_on() {
    let application = Application::new("joined");
    let (asked, sold) = (orders(&application, "asked"), orders(&application, "sold"));
    let text = "
        CREATE VIEW demand AS
            SELECT city, sum(price) AS price, tumble(INTERVAL '10 seconds') AS window FROM asked GROUP BY city, window;
        CREATE VIEW supply AS
            SELECT city, sum(price) AS price, tumble(INTERVAL '10 seconds') AS window FROM sold GROUP BY city, window;
        SELECT demand.city AS city, demand.price - supply.price AS total
        FROM demand JOIN supply ON demand.window = supply.window AND demand.city = supply.city";
    application
        .sql::<Total>(text, &[("asked", asked.rows()), ("sold", sold.rows())])
        .key_by(|total| total.city.clone())
        .stateful("gap", |_, total, gap: &mut i64| {
            *gap += total.total.unwrap_or(0);
            Some(format!("{} {gap}\n", total.city))
        })
        .sink("out", kept(), encode::display);
    let mut driver = driver(application);
    give(&mut driver, "asked", &[("Rome", 10, 1), ("Oslo", 3, 2), ("Rome", 1, 10)]);
    give(&mut driver, "sold", &[("Rome", 4, 3), ("Rome", 2, 15)]);
    assert_eq!(driver.text("out"), "", "one side has not come to the end of the window");
    give(&mut driver, "asked", &[("Bern", 1, 15)]);
    assert_eq!(driver.text("out"), "Rome 6\n");
    driver.end().expect("it ends");
    assert_eq!(driver.text("out"), "Rome 6\nRome 5\n");
}

#[test]
fn a_restart_of_a_program_with_sql_changes_nothing() {
    let run = |restarts: bool| {
        let application = Application::new("totals");
        orders(&application, "orders")
            .sql::<Total>(
                "SELECT city, sum(price) AS total FROM stream GROUP BY city, hop(INTERVAL '5 seconds', INTERVAL '10 seconds')",
            )
            .key_by(|total| total.city.clone())
            .stateful("sums", |_, total, sum: &mut i64| {
                *sum += total.total.unwrap_or(0);
                Some(format!("{} {sum}\n", total.city))
            })
            .sink("out", kept(), encode::display);
        let mut driver = driver(application);
        for order in [("Rome", 1, 1), ("Oslo", 5, 9), ("Rome", 2, 8), ("Oslo", 3, 17), ("Rome", 4, 31)] {
            give(&mut driver, "orders", &[order]);
            if restarts {
                driver.restart().expect("it goes on from its checkpoint");
            }
        }
        driver.end().expect("it ends");
        let mut lines: Vec<String> = driver.text("out").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let without = run(false);
    assert_eq!(without.len(), 9);
    assert_eq!(run(true), without);
}

#[test]
fn errors_of_sql_in_a_program_are_its_own() {
    let application = Application::new("wrong");
    orders(&application, "orders").sql::<Total>("SELECT town FROM stream").sink("out", kept(), |_, _| {});
    let errors = program::build(application, &Settings::default()).expect_err("there is no such column");
    assert_eq!(errors[0].code(), Code::UnknownColumn);
}

/// Runs a program over TCP, sends it these lines, and waits for how it ends.
async fn run(
    settings: &Settings,
    pipeline: impl FnOnce(&Application, Stream<String>),
    lines: &str,
) -> Result<JobOutcome, Error> {
    let (application, address) = (Application::new("lines"), BoundAddress::default());
    let source = tcp::listen("127.0.0.1:0").report_address(&address).source().expect("a sound source");
    pipeline(&application, application.source("lines", source, decode::one(decoded)));
    let program = program::build(application, settings).expect("a sound application");
    let world = World::real(Some(1)).expect("threads");
    let job = engine::start_graph(program.graph, program.functions, 2, settings, None, &world).await?;
    let mut peer = TcpStream::connect(address.get().await).await.expect("it listens");
    peer.write_all(lines.as_bytes()).await.expect("it reads");
    drop(peer);
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            let read: u64 = job.progress().rows_read;
            tokio::select! {
                ended = job.wait() => return ended,
                () = tokio::time::sleep(Duration::from_millis(10)) => {
                    if read >= lines.lines().count() as u64 {
                        job.stop();
                    }
                }
            }
        }
    });
    ended.await.expect("the job ends")
}

fn decoded(frame: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(frame).expect("these lines are text") {
        "panic" => panic!("a decoder that panics"),
        "bad" => Err("it says so itself".to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[tokio::test]
async fn a_decoder_that_panics_or_refuses_fails_the_job_and_not_the_process() {
    let settings = Settings::default();
    let panicked = run(&settings, |_, lines| lines.sink("out", nowhere(), encode::display), "a\npanic\nb\n");
    let error = panicked.await.expect_err("the decoder panicked");
    assert!(format!("{error:?}").contains("a decoder that panics"), "{error:?}");
    let refused = run(&settings, |_, lines| lines.sink("out", nowhere(), encode::display), "a\nbad\nb\n");
    let error = refused.await.expect_err("the decoder refused");
    assert_eq!(error.code(), Code::BadRecord, "{error:?}");
    let computed = run(
        &settings,
        |_, lines| {
            lines.map(|line| assert_ne!(line, "boom", "a computation that panics")).sink(
                "out",
                nowhere(),
                |(), _| {},
            );
        },
        "a\nboom\n",
    );
    assert!(
        format!("{:?}", computed.await.expect_err("the computation panicked"))
            .contains("a computation that panics")
    );
}

#[tokio::test]
async fn refused_frames_are_dropped_and_counted_where_the_application_says_so() {
    let (application, address) = (Application::new("lines"), BoundAddress::default());
    application.set_bad_records(RowPolicy::Drop);
    let source = tcp::listen("127.0.0.1:0").report_address(&address).source().expect("a sound source");
    application
        .source("lines", source, decode::one(decoded))
        .key_by(|line| line.clone())
        .stateful("seen", |_, _, seen: &mut u64| {
            *seen += 1;
            None::<()>
        })
        .discard();
    let settings = Settings::default();
    let program = program::build(application, &settings).expect("a pipeline may end in its state");
    let world = World::real(Some(1)).expect("threads");
    let job = engine::start_graph(program.graph, program.functions, 2, &settings, None, &world)
        .await
        .expect("it starts");
    let mut peer = TcpStream::connect(address.get().await).await.expect("it listens");
    peer.write_all(b"a\nbad\nb\nbad\n").await.expect("it reads");
    let all_read = async {
        while job.progress().rows_read < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_read).await.expect("it reads on");
    job.stop();
    assert_eq!(job.wait().await.expect("it stops").refused, 2);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Number {
    k: i64,
    v: i64,
}

/// Two pipelines count in one state, by key, while the state goes from subtask to subtask.
#[tokio::test]
async fn a_shared_state_is_rescaled_while_both_of_its_pipelines_flow() {
    const LENGTHS: [i64; 3] = [1500, 1100, 600];
    const KEYS: i64 = 61;
    let seen: Arc<Mutex<Vec<(i64, u64)>>> = Arc::default();
    let application = Application::new("shared");
    let state = application.state::<i64, u64>("seen");
    for name in ["a", "b"] {
        let pause = Some(Duration::from_micros(300));
        let numbers = Numbers { keys: KEYS, pause, endless: true, ..Numbers::new(&LENGTHS, 3) };
        let seen = Arc::clone(&seen);
        let count = move |key: &i64, _, count: &mut u64| {
            *count += 1;
            seen.lock().expect("nobody panics").push((*key, *count));
            None::<()>
        };
        application
            .table::<Number>(name, Arc::new(numbers))
            .key_by(|n| n.k)
            .with_state(&state, count)
            .discard();
    }
    let settings = Settings { checkpoint_interval: Duration::from_millis(3), ..Settings::default() };
    let program = program::build(application, &settings).expect("a sound application");
    let durable = Durable {
        store: Arc::new(MemoryStore::default()),
        retain: 3,
        restore: RestoreFrom::Newest,
        allow_dropped_state: false,
    };
    let keeping = Keeping::Durable(durable);
    let job = Job { keeping, ..engine::job(program.graph, program.functions, 1, &settings, Some(7)) };
    let prepared = job.prepare(&World::real(Some(2)).expect("threads")).await.expect("it begins");
    let job = prepared.start().await.expect("it starts");
    for parallelism in [2, 4, 3, 1] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        job.rescale(parallelism).await.expect("rows flow");
    }
    let all = 2 * LENGTHS.iter().sum::<i64>() as usize;
    let all_seen = async {
        while seen.lock().expect("nobody panics").len() < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_seen).await.expect("no row is lost");
    job.stop();
    job.wait().await.expect("it stops");
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for &(key, count) in seen.lock().expect("nobody panics").iter() {
        let last = counts.entry(key).or_default();
        assert_eq!(count, *last + 1, "key {key}: a count was lost or came twice");
        *last = count;
    }
    assert_eq!(counts.len(), KEYS as usize);
    assert_eq!(counts.values().sum::<u64>(), all as u64);
}

#[test]
fn the_tables_of_a_script_are_fed_by_hand() {
    let script = "CREATE TABLE orders (city TEXT NOT NULL, price BIGINT) WITH
            (connector = 'single_file', path = '/nowhere/at/all', type = 'source', format = 'json');
        CREATE VIEW dear AS SELECT city, price AS total FROM orders WHERE price > 2;";
    let application = Application::new("dear");
    application.view(script, "dear").map(|total: Total| format!("{} {:?};", total.city, total.total)).sink(
        "out",
        kept(),
        encode::display,
    );
    let mut driver = driver(application);
    for price in [1, 5] {
        let order = Order { city: "Rome".into(), price, second: 7 };
        driver.feed("orders", &order, EventTime(0)).expect("a row of the table");
    }
    assert_eq!(driver.text("out"), "Rome Some(5);");
    let refused = driver.frame("orders", "{}").expect_err("a table takes rows");
    assert!(refused.what().contains("'orders' takes rows, and no frames"), "{refused}");
}

/// A sink on a socket that takes all there is.
fn nowhere() -> std::sync::Arc<dyn thalweg_dataflow::SinkSpec> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address").to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    tcp::connect(address).sink().expect("a sound sink")
}

#[test]
fn floats_as_keys_are_one_key_where_they_are_one_number() {
    let application = Application::new("floats");
    application
        .source("numbers", frames(), decode::one(|frame: &[u8]| text(frame).parse::<f64>()))
        .key_by(|number| Float::new(*number))
        .stateful("seen", |number, _, seen: &mut u64| {
            *seen += 1;
            Some(format!("{number:?} {seen}\n"))
        })
        .sink("out", kept(), encode::display);
    let mut driver = driver(application);
    for number in ["0.0", "-0.0", "NaN", "-NaN", "inf", "1e308"] {
        driver.frame("numbers", number).expect("a number");
    }
    let seen: Vec<String> =
        driver.text("out").lines().map(|line| line.rsplit(' ').next().unwrap_or("").to_owned()).collect();
    assert_eq!(seen, ["1", "2", "1", "2", "1", "1"]);
}

fn text(frame: &[u8]) -> &str {
    std::str::from_utf8(frame).expect("these frames are text")
}
