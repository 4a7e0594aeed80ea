//! What every source that replays promises: wherever it is left, and whoever goes on, each row comes once.
//!
//! ```text
//! read k batches ─► positions, drop ─► distribute to q subtasks ─► read to the end
//! read k batches ─► revoke some ─► assign them to another ─► both read to the end
//! ```
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use driver::*;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::source::{Assignment, RowsMax};
use thalweg_dataflow::{Source, SourceEvent, SourceSpec};
use thalweg_state::SplitId;

/// The most rows of one batch. A source is asked for one, two and three in turn.
const BATCH_ROWS: usize = 3;

/// A subtask of a source, and what it was heard to say.
struct Heard {
    source: Box<dyn Source>,
    /// The splits that it holds and that have not ended.
    open: BTreeSet<SplitId>,
    rows: BTreeMap<SplitId, Vec<String>>,
    asked: RowsMax,
}

impl Heard {
    async fn open(spec: &Arc<dyn SourceSpec>, splits: Vec<Assignment>) -> Self {
        let open = splits.iter().map(|a| a.split.clone()).collect();
        let cx = context(BATCH_ROWS);
        let asked = cx.rows_max.clone();
        let mut source = spec.build(cx).unwrap();
        source.open(splits).await.unwrap();
        Self { source, open, rows: BTreeMap::new(), asked }
    }

    async fn assign(&mut self, splits: Vec<Assignment>) {
        self.open.extend(splits.iter().map(|a| a.split.clone()));
        self.source.assign(splits).await.unwrap();
    }

    async fn revoke(&mut self, splits: &[SplitId]) -> Vec<Assignment> {
        self.open.retain(|held| !splits.contains(held));
        let given = self.source.revoke(splits).await.unwrap();
        assert_eq!(given.len(), splits.len());
        assert!(self.source.positions().iter().all(|held| !splits.contains(&held.split)));
        given
    }

    /// Hears one event; gives false at the end of all.
    async fn hear(&mut self) -> bool {
        self.asked.set(self.asked.get() % BATCH_ROWS + 1);
        let event = tokio::time::timeout(Duration::from_secs(10), self.source.next()).await;
        match event.expect("something comes").unwrap() {
            SourceEvent::Rows { split, records } => {
                assert!(self.open.contains(&split), "rows of '{split}', which is not held");
                assert!((1..=self.asked.get()).contains(&records.num_rows()));
                self.rows.entry(split).or_default().extend(rows(&records));
            }
            SourceEvent::SplitEnd { split } => assert!(self.open.remove(&split), "'{split}' ends twice"),
            SourceEvent::Watermark { .. } | SourceEvent::Idle { .. } => {}
            SourceEvent::End => {
                assert!(self.open.is_empty(), "{:?} have not ended", self.open);
                return false;
            }
        }
        true
    }

    /// Hears so many batches, or all there are.
    async fn hear_batches(&mut self, batches: usize) {
        let mut heard = 0;
        while heard < batches && !self.open.is_empty() {
            let before: usize = self.rows.values().map(Vec::len).sum();
            assert!(self.hear().await);
            let after: usize = self.rows.values().map(Vec::len).sum();
            heard += usize::from(after > before);
        }
    }

    /// Hears what there is to its end.
    async fn hear_out(mut self) -> BTreeMap<SplitId, Vec<String>> {
        while !self.open.is_empty() {
            assert!(self.hear().await);
        }
        self.rows
    }
}

fn join(all: &mut BTreeMap<SplitId, Vec<String>>, more: BTreeMap<SplitId, Vec<String>>) {
    more.into_iter().for_each(|(split, rows)| all.entry(split).or_default().extend(rows));
}

/// Checks all that is promised, with as many splits as `parallelism` makes. Gives the number of rows.
async fn conforms(spec: &Arc<dyn SourceSpec>, parallelism: u32) -> usize {
    let spec = &travelled_source(spec);
    let at_first: Vec<_> = spec.splits(parallelism).unwrap().into_iter().flatten().collect();
    let mut whole = Heard::open(spec, at_first.clone()).await;
    while whole.hear().await {}
    let all = std::mem::take(&mut whole.rows);
    ends_stay(spec, whole).await;
    let batches: usize = all.values().map(|rows| rows.len().div_ceil(BATCH_ROWS - 1)).sum();
    for read in 0..=batches {
        for subtasks in [1, 2, 7] {
            let mut first = Heard::open(spec, at_first.clone()).await;
            first.hear_batches(read).await;
            let known = first.source.positions();
            assert_eq!(known.len(), at_first.len(), "a position for each split, ended or not");
            let mut given = first.rows;
            for dealt in spec.distribute(known, subtasks).unwrap() {
                join(&mut given, Heard::open(spec, dealt).await.hear_out().await);
            }
            assert_eq!(given, all, "{read} batches, then {subtasks} subtasks");
        }
        moves(spec, &at_first, read, &all).await;
    }
    all.values().map(Vec::len).sum()
}

/// What was read to its end says so again, and nothing else, to whoever takes it.
async fn ends_stay(spec: &Arc<dyn SourceSpec>, mut whole: Heard) {
    let known = whole.source.positions();
    let mut again = Heard::open(spec, known.clone()).await;
    while again.hear().await {}
    assert!(again.rows.is_empty());
    let splits: Vec<_> = known.into_iter().map(|a| a.split).collect();
    let mut other = Heard::open(spec, vec![]).await;
    other.assign(whole.revoke(&splits).await).await;
    assert!(other.hear_out().await.is_empty());
}

/// After `read` batches every second split moves to a subtask that had none, and back after one batch more.
async fn moves(
    spec: &Arc<dyn SourceSpec>,
    at_first: &[Assignment],
    read: usize,
    all: &BTreeMap<SplitId, Vec<String>>,
) {
    let mut one = Heard::open(spec, at_first.to_vec()).await;
    one.hear_batches(read).await;
    let goes: Vec<_> = at_first.iter().step_by(2).map(|a| a.split.clone()).collect();
    let mut other = Heard::open(spec, vec![]).await;
    other.assign(one.revoke(&goes).await).await;
    other.hear_batches(1).await;
    if let [first, ..] = goes.as_slice() {
        let back = other.revoke(std::slice::from_ref(first)).await;
        one.assign(back).await;
    }
    let mut given = std::mem::take(&mut one.rows);
    join(&mut given, std::mem::take(&mut other.rows));
    join(&mut given, one.hear_out().await);
    join(&mut given, other.hear_out().await);
    assert_eq!(&given, all, "moved after {read} batches");
}

fn source(connector: &str, options: &[(&str, &str)], columns: Option<SchemaRef>) -> Arc<dyn SourceSpec> {
    let table = declare(connector, options, columns).unwrap();
    let count = table.as_source().unwrap().columns.fields().len();
    table.source(&(0..count).map(SourceColumn::whole).collect::<Vec<_>>(), &[]).unwrap()
}

#[tokio::test]
async fn single_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("in.jsonl");
    for (content, expected) in [
        ("", 0),
        ("{\"a\":1}", 1),
        ("{\"a\":1}\n\n\n{\"a\":2}\r\n", 2),
        (&(0..20).map(|a| format!("{{\"a\":{a}}}\n")).collect::<String>(), 20),
    ] {
        fs::write(&path, content).unwrap();
        let options = [("path", path.to_str().unwrap()), ("type", "source"), ("format", "json")];
        let spec = source("single_file", &options, Some(schema(&[("a", DataType::Int64)])));
        assert_eq!(conforms(&spec, 4).await, expected);
    }
}

#[tokio::test]
async fn impulse() {
    for (count, parallelism) in [("1", 1), ("7", 1), ("4", 3)] {
        let options = [("event_rate", "1000000"), ("message_count", count)];
        let rows = conforms(&source("impulse", &options, None), parallelism).await;
        assert_eq!(rows, count.parse::<usize>().unwrap() * parallelism as usize);
    }
}

#[tokio::test]
async fn nexmark() {
    for (count, parallelism) in [("1", 3), ("40", 1), ("40", 3)] {
        let options = [("event_rate", "10"), ("pace", "max"), ("message_count", count)];
        let rows = conforms(&source("nexmark", &options, None), parallelism).await;
        assert_eq!(rows, count.parse::<usize>().unwrap());
    }
}

/// A Parquet file of the numbers in `range`, so many in a row group.
fn parquet(path: &Path, range: std::ops::Range<i64>, group_rows: usize) {
    let columns = Arc::new(Int64Array::from_iter_values(range)) as _;
    let batch = RecordBatch::try_from_iter([("a", columns)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn filesystem(path: &Path, format: &str) -> Arc<dyn SourceSpec> {
    let options = [("path", path.to_str().unwrap()), ("type", "source"), ("format", format)];
    source("filesystem", &options, Some(schema(&[("a", DataType::Int64)])))
}

#[tokio::test]
async fn filesystem_lines() {
    let folder = TempDir::new().unwrap();
    assert_eq!(conforms(&filesystem(folder.path(), "json"), 3).await, 0);
    fs::create_dir(folder.path().join("sub")).unwrap();
    let lines = |range: std::ops::Range<i64>| range.map(|a| format!("{{\"a\":{a}}}\n")).collect::<String>();
    for (name, content) in [
        ("b.json", lines(10..17)),
        ("a.json", lines(0..1).trim_end().to_owned()),
        ("empty.json", String::new()),
        ("sub/c.json", format!("\n{}\n\n", lines(20..25))),
        (".hidden", "bad".to_owned()),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    for parallelism in [1, 3] {
        assert_eq!(conforms(&filesystem(folder.path(), "json"), parallelism).await, 13);
    }
}

#[tokio::test]
async fn filesystem_parquet() {
    let folder = TempDir::new().unwrap();
    for (name, range, group_rows) in [("a", 0..10, 4), ("b", 10..11, 4), ("c", 20..20, 4), ("d", 30..40, 2)] {
        parquet(&folder.path().join(name), range, group_rows);
    }
    assert_eq!(conforms(&filesystem(folder.path(), "parquet"), 2).await, 21);
}

#[tokio::test]
async fn a_listener_is_dealt_anew() {
    let options = [("address", "127.0.0.1:0"), ("type", "source"), ("format", "json")];
    let spec = source("tcp", &options, Some(schema(&[("a", DataType::Int64)])));
    for subtasks in [1, 3] {
        let of_another = vec![Assignment { split: SplitId::new("127.0.0.1:1"), position: None }];
        assert_eq!(spec.distribute(of_another, subtasks).unwrap(), spec.splits(subtasks).unwrap());
    }
}
