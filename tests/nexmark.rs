//! Nexmark's windowed queries give what DataFusion computes over the same
//! events as a table, and the source makes only what they read.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use thalweg::commands::Exit;
use thalweg::engine::{self, StdoutTarget};
use thalweg::settings::Settings;
use thalweg_dataflow::connector::{Declaration, SourceColumn};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::options::{OptionValue, Options};
use thalweg_dataflow::source::RowsMax;
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Node, ProcessingTime, SourceEvent};
use thalweg_state::{KeySpace, Subtask};
use thalweg_world::World;
use tokio::sync::mpsc;

/// 40 seconds of event time.
const EVENTS: &str = "200000";
const EVENT_RATE: &str = "5000";

const BIDS: &str =
    "SELECT bid.auction AS auction, bid.bidder AS bidder, bid.price AS price, bid.extra AS extra,
    bid.datetime AS ts FROM nexmark WHERE bid IS NOT NULL";

/// Each query with what it means, the hops exploded by hand.
fn queries() -> [(&'static str, &'static str, String); 4] {
    [
        (
            "q5",
            include_str!("../examples/nexmark/q5.sql"),
            "WITH exploded AS (
                SELECT date_bin(INTERVAL '2 seconds', ts) - back AS start, auction
                FROM bids CROSS JOIN (VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
                                             (INTERVAL '6 seconds'), (INTERVAL '8 seconds')) AS backs(back)
            ), counts AS (SELECT start, auction, count(*) AS num FROM exploded GROUP BY start, auction),
            most AS (SELECT start, max(num) AS num FROM counts GROUP BY start)
            SELECT counts.start, auction, counts.num FROM counts JOIN most ON counts.start = most.start
            WHERE counts.num >= most.num"
                .to_owned(),
        ),
        (
            "q7",
            include_str!("../examples/nexmark/q7.sql"),
            "WITH windowed AS (SELECT date_bin(INTERVAL '10 seconds', ts) AS start, * FROM bids),
            most AS (SELECT start, max(price) AS price FROM windowed GROUP BY start)
            SELECT windowed.start, auction, windowed.price, bidder, extra
            FROM windowed JOIN most ON windowed.start = most.start AND windowed.price = most.price"
                .to_owned(),
        ),
        (
            "q8",
            include_str!("../examples/nexmark/q8.sql"),
            "WITH people AS (
                SELECT DISTINCT date_bin(INTERVAL '10 seconds', person.datetime) AS start, person.id AS id, person.name AS name
                FROM nexmark WHERE person IS NOT NULL
            ), sellers AS (
                SELECT DISTINCT date_bin(INTERVAL '10 seconds', auction.datetime) AS start, auction.seller AS seller
                FROM nexmark WHERE auction IS NOT NULL
            )
            SELECT people.start, id, name FROM people JOIN sellers ON people.start = sellers.start AND id = seller"
                .to_owned(),
        ),
        (
            "tumble",
            include_str!("../examples/nexmark/tumble.sql"),
            "SELECT date_bin(INTERVAL '10 seconds', ts) AS start, auction, count(*), sum(price) FROM bids GROUP BY 1, 2"
                .to_owned(),
        ),
    ]
}

#[test]
fn windowed_queries_give_what_a_table_gives() {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    control.block_on(async {
        let (schema, events) = events().await;
        let cx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        let table = MemTable::try_new(schema, vec![events]).expect("a table of events");
        cx.register_table("nexmark", Arc::new(table)).expect("it has no name yet");
        cx.sql(&format!("CREATE VIEW bids AS {BIDS}")).await.expect("a view");
        for (name, script, batch) in queries() {
            let expected = cx.sql(&batch).await.expect("a valid query").collect().await.expect("it runs");
            let expected = rows(&expected);
            assert!(expected.len() > 3, "{name} compares something");
            for parallelism in [1, 4] {
                let found = run(script, parallelism).await;
                let differ = found.iter().zip(&expected).find(|(a, b)| a != b);
                assert_eq!(differ, None, "{name}, {parallelism} subtasks");
                assert_eq!(found.len(), expected.len(), "{name}, {parallelism} subtasks");
            }
        }
    });
}

/// All events as a table.
async fn events() -> (SchemaRef, Vec<RecordBatch>) {
    let given = [("event_rate", EVENT_RATE), ("message_count", EVENTS), ("pace", "max")];
    let option =
        |(name, value): (&str, &str)| (name.to_owned(), OptionValue { value: value.to_owned(), span: None });
    let mut options = Options::new(given.map(option));
    let all = engine::connectors(&Settings::default(), &StdoutTarget::process());
    let nexmark = all.iter().find(|connector| connector.name() == "nexmark").expect("a connector");
    let declaration =
        Declaration { table: "nexmark", options: &mut options, columns: None, primary_key: &[] };
    let spec = nexmark
        .describe(declaration)
        .expect("valid options")
        .source(&[0, 1, 2].map(SourceColumn::whole), &[])
        .expect("a source");
    let cx = PieceContext {
        job: thalweg_state::JobId::new("test"),
        incarnation: thalweg_state::Incarnation(1),
        counters: Arc::new(OperatorCounters::default()),
        settings: thalweg_dataflow::operator::Settings {
            subtask: Subtask(0),
            parallelism: 1,
            batch_rows_max: 8_192,
            key_space: KeySpace::default(),
        },
        rows_max: RowsMax::new(8_192),
        clock: Arc::new(|| ProcessingTime(0)),
        fresh: true,
    };
    let mut source = spec.build(cx).expect("a source");
    source.open(spec.splits(1).expect("splits").concat()).await.expect("it opens");
    let mut events = Vec::new();
    loop {
        match source.next().await.expect("events") {
            SourceEvent::Rows { records, .. } => events.push(records),
            SourceEvent::End => return (spec.output_schema(), events),
            SourceEvent::SplitEnd { .. } | SourceEvent::Idle { .. } | SourceEvent::Watermark { .. } => {}
        }
    }
}

/// What an example writes, over the events of [`events`].
async fn run(script: &str, parallelism: u32) -> Vec<String> {
    let script: String = script
        .lines()
        .map(|line| match line.contains("message_count") {
            true => format!("connector = 'nexmark', event_rate = '{EVENT_RATE}', message_count = '{EVENTS}', pace = 'max'\n"),
            false => format!("{line}\n"),
        })
        .collect();
    let settings = Settings::default();
    let (sender, mut results) = mpsc::channel(16);
    let connectors = engine::connectors(&settings, &StdoutTarget::Rows(sender));
    let plan = engine::plan(&script, connectors, &settings).expect("a valid script");
    let world = World::real(Some(2)).expect("data threads");
    let job = engine::start(&plan, parallelism, &settings, None, &world).await.expect("it starts");
    drop(plan);
    let mut found = Vec::new();
    let outcome = {
        let mut wait = std::pin::pin!(job.wait());
        loop {
            tokio::select! {
                Some(rows) = results.recv() => found.push(rows.records),
                outcome = &mut wait => break outcome.expect("it ends"),
            }
        }
    };
    while let Ok(rows) = results.try_recv() {
        found.push(rows.records);
    }
    assert_eq!((outcome.late, outcome.refused, outcome.dropped), (0, 0, 0));
    rows(&found)
}

/// Each row as text, sorted.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("text"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(cells.join(" "));
        }
    }
    rows.sort_unstable();
    rows
}

/// The fields that the source of a script makes.
fn made(script: &str) -> String {
    let table = "CREATE TABLE nexmark WITH (connector = 'nexmark', event_rate = '10');
        CREATE TABLE sink WITH (connector = 'blackhole');
        CREATE VIEW bids AS SELECT bid.auction AS auction, bid.price AS price, bid.url AS url
        FROM nexmark WHERE bid IS NOT NULL;";
    let settings = Settings::default();
    let connectors = engine::connectors(&settings, &StdoutTarget::process());
    let plan = engine::plan(&format!("{table}\n{script}"), connectors, &settings).expect("a valid script");
    let label = |node: &Node| match &node.piece {
        Piece::Source(spec) => Some(spec.label()),
        Piece::Operator(_) | Piece::Sink(_) => None,
    };
    let label = plan.graph.nodes().find_map(|(_, node)| label(node)).expect("a source");
    label
        .strip_prefix("10 events/s [")
        .and_then(|fields| fields.strip_suffix(']'))
        .expect("its fields")
        .to_owned()
}

#[test]
fn only_fields_that_somebody_reads_are_made() {
    for (script, fields) in [
        ("INSERT INTO sink SELECT bid.price AS p FROM nexmark", "bid.price"),
        ("INSERT INTO sink SELECT bid.price AS p FROM nexmark WHERE bid IS NOT NULL", "bid.price"),
        (
            "INSERT INTO sink SELECT count(*) AS n FROM nexmark WHERE bid IS NOT NULL GROUP BY tumble(INTERVAL '1 s')",
            "",
        ),
        ("INSERT INTO sink SELECT person IS NULL AS p FROM nexmark WHERE bid.price > 5", "bid.price"),
        (
            "INSERT INTO sink SELECT bid.price AS p FROM nexmark WHERE auction.seller = 1",
            "auction.seller, bid.price",
        ),
        // A view passes on what is read of it.
        ("INSERT INTO sink SELECT auction FROM bids", "bid.auction"),
        ("INSERT INTO sink SELECT auction FROM bids WHERE price > 5", "bid.auction, bid.price"),
        (
            "CREATE VIEW b AS SELECT bid AS x FROM nexmark; INSERT INTO sink SELECT x.price AS p FROM b",
            "bid.price",
        ),
        // Two readers: what either reads.
        (
            "INSERT INTO sink SELECT auction AS x FROM bids; INSERT INTO sink SELECT price AS x FROM bids",
            "bid.auction, bid.price",
        ),
        (
            "INSERT INTO sink SELECT auction AS x FROM bids UNION ALL SELECT price AS x FROM bids",
            "bid.auction, bid.price",
        ),
        (
            "INSERT INTO sink SELECT max(price) AS p FROM bids GROUP BY auction, tumble(INTERVAL '1 s')",
            "bid.auction, bid.price",
        ),
        ("INSERT INTO sink SELECT auction, tumble(INTERVAL '1 s') AS w FROM bids", "bid.auction"),
        (
            "INSERT INTO sink SELECT bid.auction AS a, max(bid.price) AS p FROM nexmark GROUP BY bid.auction",
            "bid.auction, bid.price",
        ),
        (
            "INSERT INTO sink SELECT bid.auction AS a, count(*) AS n FROM nexmark GROUP BY bid.auction, tumble(INTERVAL '1 s')",
            "bid.auction",
        ),
        // The whole struct is all of its fields.
        (
            "INSERT INTO sink SELECT bid FROM nexmark",
            "bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.datetime, bid.extra",
        ),
        (
            "INSERT INTO sink SELECT bid, bid.price AS p FROM nexmark",
            "bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.datetime, bid.extra",
        ),
        (
            "INSERT INTO sink SELECT count(auction) AS n FROM nexmark GROUP BY tumble(INTERVAL '1 s')",
            "auction.id, auction.item_name, auction.description, auction.initial_bid, auction.reserve, \
             auction.datetime, auction.expires, auction.seller, auction.category, auction.extra",
        ),
    ] {
        assert_eq!(made(script), fields, "{script}");
    }
}

#[test]
fn bench_runs_every_query_that_it_names() {
    let code = |arguments: &[&str]| {
        let arguments = ["thalweg", "bench", "nexmark"].iter().chain(arguments).map(std::ffi::OsString::from);
        thalweg::commands::main(arguments)
    };
    assert_eq!(code(&["--events", "5000", "--parallelism", "2"]), Exit::SUCCESS);
    assert_eq!(code(&["--events", "5000", "--query", "q2,tumble", "--json"]), Exit::SUCCESS);
    assert_ne!(code(&["--query", "q99"]), Exit::SUCCESS);
}
