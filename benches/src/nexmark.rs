//! Nexmark: the source against a generator of rows, windowed queries against
//! batches of DataFusion, and hops against tumbles.

use ::nexmark::EventGenerator;
use ::nexmark::config::NexmarkConfig;
use ::nexmark::event::Event;
use anyhow::{Context, Result, bail};

use crate::bids;
use crate::jobs::{Batch, Streaming};
use crate::pairs::{BATCH_ROWS, KEPT, ROWS, TABLE, THROWN, TUMBLE, in_turn, same, say, standing};

/// Events of the pairs of the source.
const EVENTS: usize = 5_000_000;

/// Keys of the hops.
const HOP_KEYS: i64 = 10_000;

const Q5: &str = "\
CREATE VIEW counts AS
SELECT hop(INTERVAL '2 seconds', INTERVAL '10 seconds') AS w, auction, count(*) AS num FROM t GROUP BY w, auction;
CREATE VIEW most AS SELECT w, max(num) AS num FROM counts GROUP BY w;
INSERT INTO s SELECT counts.w.start AS start, counts.auction AS auction, counts.num AS num
FROM counts JOIN most ON counts.w = most.w AND counts.num >= most.num;";

/// Panes of two seconds, each in five windows.
const Q5_BATCH: &str = "\
WITH panes AS (SELECT date_bin(INTERVAL '2 seconds', ts) AS pane, auction, count(*) AS n FROM t GROUP BY 1, 2),
counts AS (
    SELECT pane - back AS start, auction, sum(n) AS num
    FROM panes CROSS JOIN (VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
                                  (INTERVAL '6 seconds'), (INTERVAL '8 seconds')) AS backs(back)
    GROUP BY 1, 2
), most AS (SELECT start, max(num) AS num FROM counts GROUP BY start)
SELECT counts.start, auction, counts.num FROM counts JOIN most ON counts.start = most.start AND counts.num >= most.num";

const Q7: &str = "\
CREATE VIEW windowed AS SELECT *, tumble(INTERVAL '10 seconds') AS w FROM t;
CREATE VIEW most AS SELECT tumble(INTERVAL '10 seconds') AS w, max(price) AS price FROM t GROUP BY w;
INSERT INTO s SELECT windowed.w.start AS start, windowed.auction AS auction, windowed.bidder AS bidder, windowed.price AS price
FROM windowed JOIN most ON windowed.w = most.w AND windowed.price = most.price;";

const Q7_BATCH: &str = "\
WITH windowed AS (SELECT date_bin(INTERVAL '10 seconds', ts) AS start, auction, bidder, price FROM t),
most AS (SELECT start, max(price) AS price FROM windowed GROUP BY start)
SELECT windowed.start, auction, bidder, windowed.price
FROM windowed JOIN most ON windowed.start = most.start AND windowed.price = most.price";

const Q8_TABLE: &str = "\
CREATE TABLE t (
    id BIGINT, name TEXT, seller BIGINT, ts TIMESTAMP NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '4 seconds'
) WITH (connector = 'single_file', path = 'memory', type = 'source', format = 'json');
";

const Q8: &str = "\
CREATE VIEW people AS
SELECT tumble(INTERVAL '10 seconds') AS w, id, name FROM t WHERE id IS NOT NULL GROUP BY w, id, name;
CREATE VIEW sellers AS
SELECT tumble(INTERVAL '10 seconds') AS w, seller FROM t WHERE seller IS NOT NULL GROUP BY w, seller;
INSERT INTO s SELECT people.w.start AS start, people.id AS id, length(people.name) AS name
FROM people JOIN sellers ON people.w = sellers.w AND people.id = sellers.seller;";

const Q8_BATCH: &str = "\
WITH people AS (
    SELECT DISTINCT date_bin(INTERVAL '10 seconds', ts) AS start, id, name FROM t WHERE id IS NOT NULL
), sellers AS (SELECT DISTINCT date_bin(INTERVAL '10 seconds', ts) AS start, seller FROM t WHERE seller IS NOT NULL)
SELECT people.start, id, length(name) FROM people JOIN sellers ON people.start = sellers.start AND id = seller";

/// The source, with all columns and with two, against the crate `nexmark`.
pub(crate) fn source() -> Result<()> {
    let kinds = kinds_of_ours()?;
    let theirs = kinds_of_theirs();
    if kinds != theirs {
        bail!("the events differ: {kinds:?} and {theirs:?} people, auctions and bids");
    }
    for (name, columns) in [
        ("all columns", "person, auction, bid"),
        ("two columns", "bid.auction AS auction, bid.price AS price"),
    ] {
        let ours = Streaming::over_files(&generated(
            &format!("INSERT INTO s SELECT {columns} FROM nexmark;"),
            THROWN,
        ));
        let peer = || {
            kinds_of_theirs();
            Ok(())
        };
        let (ours, theirs) = in_turn(|| ours.run(1).map(drop), peer)?;
        say(&format!("nexmark source, {name}"), EVENTS, 3, ours, theirs, "crate nexmark");
    }
    Ok(())
}

fn generated(query: &str, sink: &str) -> String {
    format!(
        "CREATE TABLE nexmark WITH (
            connector = 'nexmark', event_rate = '100000', message_count = '{EVENTS}', pace = 'max'
        );\n{sink}{query}"
    )
}

/// How many people, auctions and bids we make.
fn kinds_of_ours() -> Result<[usize; 3]> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("kinds.jsonl");
    let sink = format!(
        "CREATE TABLE s WITH (connector = 'single_file', path = '{}', type = 'sink', format = 'json');\n",
        path.display()
    );
    let query = "INSERT INTO s SELECT people, auctions, bids FROM (
        SELECT tumble(INTERVAL '1 day') AS w, count(person.id) AS people, count(auction.id) AS auctions, count(bid.auction) AS bids
        FROM nexmark GROUP BY w
    );";
    Streaming::over_files(&generated(query, &sink)).run(1)?;
    let row: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    let number =
        |name: &str| -> Result<usize> { Ok(row[name].as_u64().with_context(|| name.to_owned())? as usize) };
    Ok([number("people")?, number("auctions")?, number("bids")?])
}

/// Makes as many events with the crate; answers how many of each kind.
fn kinds_of_theirs() -> [usize; 3] {
    let mut kinds = [0; 3];
    for event in EventGenerator::new(NexmarkConfig::default()).take(EVENTS) {
        let kind = match std::hint::black_box(event) {
            Event::Person(_) => 0,
            Event::Auction(_) => 1,
            Event::Bid(_) => 2,
        };
        kinds[kind] += 1;
    }
    kinds
}

/// The auctions with the most bids, over hops.
pub(crate) fn q5() -> Result<()> {
    against_batch("nexmark q5", TABLE, Q5, Q5_BATCH, bids::batches(ROWS, BATCH_ROWS))
}

/// The highest bids of each window.
pub(crate) fn q7() -> Result<()> {
    against_batch("nexmark q7 (windowed)", TABLE, Q7, Q7_BATCH, bids::batches(ROWS, BATCH_ROWS))
}

/// People who sell in the window in which they came.
pub(crate) fn q8() -> Result<()> {
    against_batch("nexmark q8", Q8_TABLE, Q8, Q8_BATCH, bids::people_and_sellers(ROWS, BATCH_ROWS))
}

fn against_batch(
    name: &str,
    table: &str,
    query: &str,
    batch: &str,
    rows: Vec<arrow::array::RecordBatch>,
) -> Result<()> {
    let ours = Streaming::over_memory(&[table, KEPT, query].concat(), vec![rows.clone()], 1);
    let batch = Batch::over_memory(batch, rows);
    let found = same(&standing(&ours.run(1)?)?, &standing(&batch.run()?)?)?;
    let (ours, theirs) = in_turn(|| ours.run(1).map(drop), || batch.run().map(drop))?;
    say(name, ROWS, found, ours, theirs, "DataFusion batch");
    Ok(())
}

/// Hops of `seconds` every second against tumbles of ten seconds, over the same rows.
pub(crate) fn hop(seconds: usize) -> Result<()> {
    let rows = bids::uniform(ROWS, HOP_KEYS, BATCH_ROWS);
    let job = |window: &str, sink: &str| {
        let query = TUMBLE.replace("tumble(INTERVAL '10 seconds')", window);
        Streaming::over_memory(&[TABLE, sink, &query].concat(), vec![rows.clone()], 1)
    };
    let window = format!("hop(INTERVAL '1 second', INTERVAL '{seconds} seconds')");
    let backs: Vec<String> = (0..seconds).map(|back| format!("(INTERVAL '{back} seconds')")).collect();
    let panes = format!(
        "WITH panes AS (
            SELECT date_bin(INTERVAL '1 second', ts) AS pane, auction, count(*) AS n, sum(price) AS total, max(price) AS most
            FROM t GROUP BY 1, 2
        )
        SELECT pane - back AS start, auction, sum(n) AS n, sum(total) AS total, max(most) AS most
        FROM panes CROSS JOIN (VALUES {}) AS backs(back) GROUP BY 1, 2",
        backs.join(", ")
    );
    let expected = standing(&Batch::over_memory(&panes, rows.clone()).run()?)?;
    let found = same(&standing(&job(&window, KEPT).run(1)?)?, &expected)?;
    let (hop, tumble) = (job(&window, THROWN), job("tumble(INTERVAL '10 seconds')", THROWN));
    let (hop, tumble) = in_turn(|| hop.run(1).map(drop), || tumble.run(1).map(drop))?;
    say(&format!("hop {seconds} s / 1 s, {HOP_KEYS} keys"), ROWS, found, hop, tumble, "our tumble 10 s");
    Ok(())
}
