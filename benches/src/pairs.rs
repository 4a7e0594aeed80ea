//! What is measured against what.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::types::{Int8Type, Int64Type};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::bids;
use crate::durable::{self, Size};
use crate::jobs::{Batch, Streaming};
use crate::{nexmark, tcp};

pub(crate) const ROWS: usize = 5_000_000;
const JSON_ROWS: usize = 1_000_000;
const KEYS: i64 = 1_000_000;
pub(crate) const BATCH_ROWS: usize = 8_192;
/// Runs of each side; the first is thrown away.
const ROUNDS: usize = 6;

pub(crate) const TABLE: &str = "\
CREATE TABLE t (
    auction BIGINT NOT NULL, bidder BIGINT NOT NULL, price BIGINT NOT NULL, ts TIMESTAMP NOT NULL,
    WATERMARK FOR ts AS ts - INTERVAL '4 seconds'
) WITH (connector = 'single_file', path = 'memory', type = 'source', format = 'json');
";
pub(crate) const KEPT: &str = "CREATE TABLE s WITH (connector = 'single_file', path = 'memory', type = 'sink', format = 'debezium_json');\n";
pub(crate) const THROWN: &str = "CREATE TABLE s WITH (connector = 'blackhole');\n";
pub(crate) const TUMBLE: &str = "\
INSERT INTO s SELECT w.start AS start, auction, n, total, most FROM (
    SELECT tumble(INTERVAL '10 seconds') AS w, auction, count(*) AS n, sum(price) AS total, max(price) AS most
    FROM t GROUP BY w, auction
);";
const TUMBLE_BATCH: &str = "\
SELECT date_bin(INTERVAL '10 seconds', ts) AS start, auction, count(*) AS n, sum(price) AS total, max(price) AS most
FROM t GROUP BY 1, 2";
const UPDATING: &str = "INSERT INTO s SELECT auction, count(*) AS n, sum(price) AS total, max(price) AS most FROM t GROUP BY auction;";
const UPDATING_BATCH: &str =
    "SELECT auction, count(*) AS n, sum(price) AS total, max(price) AS most FROM t GROUP BY auction";

type Pair = fn() -> Result<()>;

/// Runs the pairs that are named, or all.
pub(crate) fn run(wanted: &[String]) -> Result<()> {
    let pairs: [(&str, Pair); 20] = [
        ("tumble", tumble),
        ("tumble-json", tumble_json),
        ("updating-uniform", || {
            updating("updating, 1 M uniform keys", bids::uniform(ROWS, KEYS, BATCH_ROWS))
        }),
        ("updating-nexmark", || updating("updating, Nexmark auctions", bids::batches(ROWS, BATCH_ROWS))),
        ("hop-10", || nexmark::hop(10)),
        ("hop-60", || nexmark::hop(60)),
        ("nexmark-source", nexmark::source),
        ("nexmark-q5", nexmark::q5),
        ("nexmark-q7", nexmark::q7),
        ("nexmark-q8", nexmark::q8),
        ("two-subtasks", two_subtasks),
        ("word-count", tcp::word_count),
        ("latency", tcp::latency),
        ("start", start),
        ("checkpoint-cost", || durable::checkpoint_cost(Size::WHOLE)),
        ("barrier-stall", || durable::barrier_stall(Size::WHOLE)),
        ("checkpoint-bytes", || durable::checkpoint_bytes(Size::WHOLE)),
        ("recovery", || durable::recovery(Size::WHOLE)),
        ("restore", || durable::restore(Size::WHOLE)),
        ("rescale", || durable::rescale(Size::WHOLE)),
    ];
    if let Some(unknown) = wanted.iter().find(|w| pairs.iter().all(|(name, _)| name != w)) {
        bail!("no pair is named '{unknown}'; there are {}", pairs.map(|(name, _)| name).join(", "));
    }
    for (name, pair) in pairs {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            pair().with_context(|| name)?;
        }
    }
    Ok(())
}

fn tumble() -> Result<()> {
    let rows = bids::batches(ROWS, BATCH_ROWS);
    let ours = Streaming::over_memory(&[TABLE, KEPT, TUMBLE].concat(), vec![rows.clone()], 1);
    let batch = Batch::over_memory(TUMBLE_BATCH, rows);
    let found = same(&standing(&ours.run(1)?)?, &standing(&batch.run()?)?)?;
    let (ours, theirs) = in_turn(|| ours.run(1).map(drop), || batch.run().map(drop))?;
    say("tumble 10 s, in memory", ROWS, found, ours, theirs, "DataFusion batch");
    Ok(())
}

fn tumble_json() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bids.jsonl");
    let mut file = BufWriter::new(std::fs::File::create(&path)?);
    bids::write_json(&bids::batches(JSON_ROWS, BATCH_ROWS), &mut file)?;
    file.flush()?;
    let bytes = std::fs::metadata(&path)?.len();
    println!("{JSON_ROWS} bids as JSON lines of {} bytes", bytes / JSON_ROWS as u64);
    let out = folder.path().join("out.jsonl");
    let batch = Batch::over_json(&TUMBLE_BATCH.replace("ts)", "date_time)"), &path, json_schema());
    Streaming::over_files(&json_script(&path, Some(&out))).run(1)?;
    let found = same(&written(&out)?, &standing(&batch.run()?)?)?;
    let ours = Streaming::over_files(&json_script(&path, None));
    let (ours, theirs) = in_turn(|| ours.run(1).map(drop), || batch.run().map(drop))?;
    say("tumble 10 s, from JSON lines", JSON_ROWS, found, ours, theirs, "DataFusion batch");
    Ok(())
}

/// Where results go: a file to be compared, or nowhere while times are taken.
fn json_script(path: &Path, out: Option<&Path>) -> String {
    let sink = match out {
        Some(out) => format!("'single_file', path = '{}', type = 'sink', format = 'json'", out.display()),
        None => "'blackhole'".to_owned(),
    };
    format!(
        "CREATE TABLE t (
            auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, date_time TIMESTAMP NOT NULL, extra TEXT,
            WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds'
        ) WITH (connector = 'single_file', path = '{}', type = 'source', format = 'json');
        CREATE TABLE s WITH (connector = {sink});
        {TUMBLE}",
        path.display()
    )
}

fn json_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let columns = [
        ("auction", DataType::Int64),
        ("bidder", DataType::Int64),
        ("price", DataType::Int64),
        ("channel", DataType::Utf8),
        ("url", DataType::Utf8),
        ("date_time", time),
        ("extra", DataType::Utf8),
    ];
    SchemaRef::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
}

fn updating(name: &str, rows: Vec<RecordBatch>) -> Result<()> {
    let kept = Streaming::over_memory(&[TABLE, KEPT, UPDATING].concat(), vec![rows.clone()], 1);
    let ours = Streaming::over_memory(&[TABLE, THROWN, UPDATING].concat(), vec![rows.clone()], 1);
    let batch = Batch::over_memory(UPDATING_BATCH, rows);
    let found = same(&standing(&kept.run(1)?)?, &standing(&batch.run()?)?)?;
    let (ours, theirs) = in_turn(|| ours.run(1).map(drop), || batch.run().map(drop))?;
    say(name, ROWS, found, ours, theirs, "DataFusion batch");
    Ok(())
}

fn two_subtasks() -> Result<()> {
    let rows = bids::batches(ROWS, BATCH_ROWS);
    let half = rows.len() / 2;
    // Alternate batches, so that both halves span the same time.
    let splits: Vec<Vec<RecordBatch>> =
        (0..2).map(|s| rows.iter().skip(s).step_by(2).take(half).cloned().collect()).collect();
    let counted = splits.iter().flatten().map(RecordBatch::num_rows).sum();
    let script = [TABLE, KEPT, TUMBLE].concat();
    let together = Streaming::over_memory(&script, splits.clone(), 2);
    let alone: Vec<Streaming> =
        splits.iter().map(|split| Streaming::over_memory(&script, vec![split.clone()], 1)).collect();
    let expected = Batch::over_memory(TUMBLE_BATCH, splits.into_iter().flatten().collect()).run()?;
    let found = same(&standing(&together.run(2)?)?, &standing(&expected)?)?;
    let copies = || {
        std::thread::scope(|scope| {
            let running: Vec<_> = alone.iter().map(|job| scope.spawn(|| job.run(1).map(drop))).collect();
            running.into_iter().try_for_each(|job| job.join().expect("a job does not panic"))
        })
    };
    let (ours, theirs) = in_turn(|| together.run(2).map(drop), copies)?;
    say("two subtasks, tumble 10 s", counted, found, ours, theirs, "two independent copies");
    Ok(())
}

/// From the start of the process to the first row, and resident memory at rest. Nothing to compare with.
fn start() -> Result<()> {
    let binary = PathBuf::from(std::env::var("THALWEG").unwrap_or_else(|_| "target/release/thalweg".into()));
    let first_row = || -> Result<Duration> {
        let began = Instant::now();
        let mut child =
            Command::new(&binary).args(["run", "examples/hello.sql"]).stdout(Stdio::piped()).spawn()?;
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut String::new())?;
        let took = began.elapsed();
        child.wait()?;
        Ok(took)
    };
    let mut times = (0..21).map(|_| first_row()).collect::<Result<Vec<_>>>()?;
    println!(
        "start to first row of examples/hello.sql: {:.0} ms (median of 21)",
        median(&mut times).as_secs_f64() * 1e3
    );
    let script = "CREATE TABLE n WITH (connector = 'impulse', event_rate = '1'); SELECT counter FROM n";
    let mut child = Command::new(&binary).args(["run", "-e", script]).stdout(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_secs(3));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    child.kill()?;
    child.wait()?;
    let resident = status.lines().find(|l| l.starts_with("VmRSS:")).context("VmRSS")?;
    println!("resident memory of a job at rest: {}", resident.trim_start_matches("VmRSS:").trim());
    Ok(())
}

/// The rows that stand at the end, as whole numbers, sorted.
pub(crate) fn standing(batches: &[RecordBatch]) -> Result<Vec<Vec<i64>>> {
    let mut counts: HashMap<Vec<i64>, i64> = HashMap::new();
    for batch in batches {
        let schema = batch.schema();
        let shown = (0..batch.num_columns()).filter(|&i| !schema.field(i).name().starts_with('_'));
        let columns =
            shown.map(|i| Ok(cast(batch.column(i), &DataType::Int64)?)).collect::<Result<Vec<_>>>()?;
        let diff = batch.column_by_name("_diff").map(|c| c.as_primitive::<Int8Type>());
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|c| c.as_primitive::<Int64Type>().value(row)).collect();
            *counts.entry(cells).or_default() += diff.map_or(1, |d| i64::from(d.value(row)));
        }
    }
    counts.retain(|_, count| *count != 0);
    if let Some((row, count)) = counts.iter().find(|(_, count)| **count != 1) {
        bail!("row {row:?} stands {count} times");
    }
    let mut rows: Vec<Vec<i64>> = counts.into_keys().collect();
    rows.sort_unstable();
    Ok(rows)
}

/// The same of a file of JSON lines that we wrote.
fn written(path: &Path) -> Result<Vec<Vec<i64>>> {
    let file = BufReader::new(std::fs::File::open(path)?);
    let mut rows = Vec::new();
    for line in file.lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        let start = chrono::NaiveDateTime::parse_from_str(
            row["start"].as_str().context("start")?,
            "%Y-%m-%dT%H:%M:%S%.f",
        )?;
        let number = |name: &str| row[name].as_i64().with_context(|| name.to_owned());
        let nanos = start.and_utc().timestamp_nanos_opt().context("start in range")?;
        rows.push(vec![nanos, number("auction")?, number("n")?, number("total")?, number("most")?]);
    }
    rows.sort_unstable();
    Ok(rows)
}

pub(crate) fn same(ours: &[Vec<i64>], theirs: &[Vec<i64>]) -> Result<usize> {
    if ours != theirs {
        let differ = ours.iter().zip(theirs).find(|(a, b)| a != b);
        bail!("the results differ: {} rows and {} rows, first {differ:?}", ours.len(), theirs.len());
    }
    Ok(ours.len())
}

/// Runs both sides in turn; answers the medians.
pub(crate) fn in_turn(
    mut a: impl FnMut() -> Result<()>,
    mut b: impl FnMut() -> Result<()>,
) -> Result<(Duration, Duration)> {
    let timed = |side: &mut dyn FnMut() -> Result<()>| -> Result<Duration> {
        let began = Instant::now();
        side()?;
        Ok(began.elapsed())
    };
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (first, second) = (timed(&mut a)?, timed(&mut b)?);
        if round > 0 {
            of_a.push(first);
            of_b.push(second);
        }
    }
    Ok((median(&mut of_a), median(&mut of_b)))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) fn say(name: &str, rows: usize, results: usize, ours: Duration, theirs: Duration, peer: &str) {
    let rate = |took: Duration| rows as f64 / took.as_secs_f64() / 1e6;
    println!(
        "{name}: {:.2} M rows/s, {peer} {:.2} M rows/s, ratio {:.2} ({results} equal results)",
        rate(ours),
        rate(theirs),
        theirs.as_secs_f64() / ours.as_secs_f64(),
    );
}
