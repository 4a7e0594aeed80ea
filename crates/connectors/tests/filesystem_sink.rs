//! Files that appear once, whole: whenever the job dies, and whoever goes on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use driver::moto::Moto;
use driver::*;
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::multipart::MultipartStore;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::sink::{Close, Committer, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Code, Committable, Error, Result, Sink, SinkSpec};
use thalweg_state::{Epoch, Incarnation, JobId, Subtask};

/// Where a test writes to.
enum World {
    Folder(TempDir),
    Bucket(Moto, String),
}

impl World {
    fn folder() -> Self {
        World::Folder(TempDir::new().unwrap())
    }

    /// A folder in memory where there is such a thing: hundreds of lives wait for the disk for long.
    fn quick_folder() -> Self {
        World::Folder(TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap())
    }

    fn path(&self) -> String {
        match self {
            World::Folder(folder) => folder.path().join("out").to_str().unwrap().to_owned(),
            World::Bucket(moto, prefix) => format!("{}/{prefix}", moto.url()),
        }
    }

    fn table(&self, more: &[(&str, &str)]) -> Result<Arc<dyn thalweg_dataflow::connector::ConnectorTable>> {
        let path = self.path();
        let mut options = vec![("path", path.as_str())];
        if let World::Bucket(moto, _) = self {
            options.extend(moto.access());
        }
        options.extend(more);
        if !more.iter().any(|(name, _)| *name == "format") {
            options.push(("format", "json"));
        }
        declare("filesystem", &options, Some(schema(&[("a", DataType::Int64), ("k", DataType::Utf8)])))
    }

    fn sink(&self, more: &[(&str, &str)]) -> Arc<dyn SinkSpec> {
        travelled_sink(&self.table(more).unwrap().sink(batch(0..1).schema(), RowKind::Append).unwrap())
    }

    /// Every row that a reader finds, in order.
    async fn visible(&self, format: &str) -> Vec<i64> {
        match self {
            World::Folder(folder) if !folder.path().join("out").exists() => return Vec::new(),
            World::Folder(_) => {}
            World::Bucket(moto, prefix) => return seen_in_bucket(&moto.client, prefix).await,
        }
        let source =
            self.table(&[("format", format)]).unwrap().source(&[SourceColumn::whole(0)], &[]).unwrap();
        let rows = read_all(&source, &context(100)).await.unwrap();
        let mut all: Vec<i64> = rows.iter().map(|row| row[5..row.len() - 1].parse().unwrap()).collect();
        all.sort_unstable();
        all
    }

    /// What is there, hidden or not, by its name within the place.
    async fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        match self {
            World::Folder(folder) => walk(&folder.path().join("out"), &mut names),
            World::Bucket(moto, prefix) => {
                let listed = moto.client.list(Some(&prefix.as_str().into())).try_collect::<Vec<_>>().await;
                names.extend(listed.unwrap().into_iter().map(|meta| meta.location.to_string()));
            }
        }
        let root = match self {
            World::Folder(_) => self.path(),
            World::Bucket(_, prefix) => prefix.clone(),
        };
        names.iter_mut().for_each(|name| *name = name[root.len() + 1..].to_owned());
        names.sort();
        names
    }

    async fn hidden(&self) -> Vec<String> {
        self.names().await.into_iter().filter(|name| name.starts_with(".thalweg")).collect()
    }
}

/// What a client that is not ours finds in lines of JSON.
async fn seen_in_bucket(client: &AmazonS3, prefix: &str) -> Vec<i64> {
    let mut all = Vec::new();
    let listed: Vec<_> = client.list(Some(&prefix.into())).try_collect().await.unwrap();
    for meta in listed.iter().filter(|meta| !meta.location.as_ref().contains(".thalweg")) {
        let bytes = client.get(&meta.location).await.unwrap().bytes().await.unwrap();
        let row =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["a"].as_i64().unwrap();
        all.extend(std::str::from_utf8(&bytes).unwrap().lines().map(row));
    }
    all.sort_unstable();
    all
}

fn walk(folder: &Path, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => walk(&path, names),
            false => names.push(path.to_str().unwrap().to_owned()),
        }
    }
}

fn batch(rows: Range<i64>) -> RecordBatch {
    let keys: StringArray = rows.clone().map(|a| Some(format!("k{}", a % 3))).collect();
    let times = TimestampNanosecondArray::from_iter_values(rows.clone().map(|a| a * 3_600_000_000_000));
    RecordBatch::try_from_iter_with_nullable([
        ("a", Arc::new(Int64Array::from_iter_values(rows)) as _, true),
        ("k", Arc::new(keys) as _, true),
        ("_timestamp", Arc::new(times) as _, false),
    ])
    .unwrap()
}

/// What happens to a job, in this order, unless it dies.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Two rows come.
    Write,
    Prepare,
    /// The epoch is settled.
    Complete,
    Abort,
    /// The process that commits dies after the first subtask's files.
    CommitFirst,
    Commit,
}

const LIFE: [Deed; 14] = {
    use Deed::*;
    [
        Write,
        Write,
        Prepare,
        Complete,
        CommitFirst,
        Commit,
        Write,
        Prepare,
        Abort,
        Write,
        Prepare,
        Complete,
        Commit,
        Commit,
    ]
};

/// A job of two subtasks: what a store remembers of it, and the life that it has now.
struct Job {
    spec: Arc<dyn SinkSpec>,
    incarnation: u64,
    epoch: u64,
    /// The newest complete epoch.
    complete: Option<(u64, Vec<Committable>)>,
    complete_rows: i64,
    /// What was prepared and not settled.
    open: Vec<Committable>,
    prepared_rows: i64,
    rows: i64,
    committer: Arc<dyn Committer>,
    sinks: Vec<Box<dyn Sink>>,
}

impl Job {
    async fn begin(spec: Arc<dyn SinkSpec>) -> Self {
        let committer = spec.committer();
        let mut job = Self {
            spec,
            incarnation: 0,
            epoch: 0,
            complete: None,
            complete_rows: 0,
            open: Vec::new(),
            prepared_rows: 0,
            rows: 0,
            committer,
            sinks: Vec::new(),
        };
        job.revive().await.unwrap();
        job
    }

    /// The processes die, and others go on from the newest complete epoch.
    async fn revive(&mut self) -> Result<()> {
        self.sinks.clear();
        self.open.clear();
        self.incarnation += 1;
        self.rows = self.complete_rows;
        self.committer = self.spec.committer();
        self.committer.fence(&JobId::new("job"), Incarnation(self.incarnation)).await?;
        let (epoch, committables) = self.complete.clone().unzip();
        self.committer.restore(epoch.map(Epoch), &committables.unwrap_or_default()).await?;
        for subtask in [0, 1] {
            let mut cx = context(100);
            cx.job = JobId::new("job");
            cx.incarnation = Incarnation(self.incarnation);
            cx.settings.subtask = Subtask(subtask);
            let mut sink = self.spec.build(PieceContext { fresh: epoch.is_none(), ..cx })?;
            sink.open().await?;
            self.sinks.push(sink);
        }
        Ok(())
    }

    async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Write => {
                let subtask = (self.rows / 2 % 2) as usize;
                self.sinks[subtask].write(batch(self.rows..self.rows + 2)).await.unwrap();
                self.sinks[subtask].flush().await.unwrap();
                self.rows += 2;
            }
            Deed::Prepare => {
                self.epoch += 1;
                for sink in &mut self.sinks {
                    self.open.extend(sink.prepare(Epoch(self.epoch)).await.unwrap());
                }
                self.prepared_rows = self.rows;
            }
            Deed::Complete => {
                self.complete = Some((self.epoch, std::mem::take(&mut self.open)));
                self.complete_rows = self.prepared_rows;
            }
            Deed::Abort => {}
            Deed::CommitFirst | Deed::Commit => {
                let (epoch, committables) = self.complete.clone().unwrap();
                let count = if matches!(deed, Deed::CommitFirst) { 1 } else { committables.len() };
                self.committer.commit(Epoch(epoch), &committables[..count]).await.unwrap();
            }
        }
    }
}

/// The job dies after `first` deeds, and again after `second`; then it lives out its life.
async fn dies_twice(world: &World, options: &[(&str, &str)], first: usize, second: usize) {
    let format = options.iter().find(|(name, _)| *name == "format").map_or("json", |(_, format)| format);
    let mut job = Job::begin(world.sink(options)).await;
    for (life, deeds) in [first, second, LIFE.len()].into_iter().enumerate() {
        for (done, deed) in LIFE[..deeds].iter().enumerate() {
            job.act(*deed).await;
            let at = format!("life {life} of {first} and {second}, deed {done}: {deed:?}");
            let visible = world.visible(format).await;
            let once: BTreeSet<_> = visible.iter().copied().collect();
            assert_eq!(once.len(), visible.len(), "twice: {visible:?}, {at}");
            assert!(
                visible.iter().all(|row| (0..job.complete_rows).contains(row)),
                "too early: {visible:?}, {at}"
            );
            if matches!(deed, Deed::Commit) {
                assert_eq!(visible, (0..job.complete_rows).collect::<Vec<_>>(), "{at}");
            }
        }
        if deeds < LIFE.len() {
            job.revive().await.unwrap();
            let expected: Vec<_> = (0..job.complete_rows).collect();
            assert_eq!(
                world.visible(format).await,
                expected,
                "restored in life {life} of {first} and {second}"
            );
            assert!(world.hidden().await.is_empty(), "leftovers of life {life} of {first} and {second}");
        }
    }
    for sink in &mut job.sinks {
        sink.close(Close::End).await.unwrap();
    }
    assert!(world.hidden().await.is_empty());
}

#[tokio::test]
async fn whenever_a_job_dies_each_row_is_seen_once() {
    for first in 0..=LIFE.len() {
        for second in (first % 2..=LIFE.len()).step_by(2) {
            dies_twice(&World::quick_folder(), &[], first, second).await;
        }
        let partitioned = [("format", "parquet"), ("partitioning.fields", "k")];
        dies_twice(&World::quick_folder(), &partitioned, first, (first * 5) % LIFE.len()).await;
    }
}

#[tokio::test]
async fn whenever_a_job_dies_each_row_is_seen_once_in_a_bucket() {
    let mut moto = Some(Moto::start());
    // Behind prepare, complete, the first half of commit, an abort, and the second prepare.
    for (first, second) in [(3, 4), (4, 5), (5, 9), (9, 12), (11, 4)] {
        let Some(server) = moto.take() else { return };
        let world = World::Bucket(server, format!("case/{first}"));
        let options: &[(&str, &str)] = if first % 2 == 0 { &[] } else { &[("partitioning.fields", "k")] };
        dies_twice(&world, options, first, second).await;
        let World::Bucket(server, _) = world else { return };
        moto = Some(server);
    }
}

/// A sink with one epoch prepared: rows 0 to 3.
async fn prepared(world: &World) -> (Arc<dyn SinkSpec>, Committable) {
    let spec = world.sink(&[]);
    let mut sink = spec.build(context(100)).unwrap();
    sink.open().await.unwrap();
    sink.write(batch(0..4)).await.unwrap();
    let committable = sink.prepare(Epoch(1)).await.unwrap().unwrap();
    assert_eq!(sink.prepare(Epoch(2)).await.unwrap(), None, "nothing came");
    (spec, committable)
}

async fn restore(spec: &Arc<dyn SinkSpec>, committable: &Committable) -> Result<()> {
    spec.committer().restore(Some(Epoch(1)), std::slice::from_ref(committable)).await
}

async fn commit(spec: &Arc<dyn SinkSpec>, committable: &Committable) -> Result<()> {
    spec.committer().commit(Epoch(1), std::slice::from_ref(committable)).await
}

fn hidden_and_seen(world: &World, hidden: &str) -> (PathBuf, PathBuf) {
    let root = PathBuf::from(world.path());
    (root.join(hidden), root.join(Path::new(hidden).file_name().unwrap()))
}

#[tokio::test]
async fn publishing_goes_on_where_it_was_left() {
    let world = World::folder();
    let (spec, committable) = prepared(&world).await;
    let (hidden, seen) = hidden_and_seen(&world, &world.hidden().await[0]);
    fs::hard_link(&hidden, &seen).unwrap();
    restore(&spec, &committable).await.unwrap();
    assert!(!hidden.exists());
    assert_eq!(world.visible("json").await, [0, 1, 2, 3]);
    // Whoever reads files may take them away.
    fs::remove_file(&seen).unwrap();
    restore(&spec, &committable).await.unwrap();
    assert!(world.visible("json").await.is_empty());
    lost(commit(&spec, &committable).await, "is gone");
}

fn lost(result: Result<()>, why: &str) {
    let error: Error = result.unwrap_err();
    assert_eq!(error.code(), Code::OutputChanged, "{error}");
    assert!(error.why().unwrap().contains(why), "{error}");
}

#[tokio::test]
async fn what_was_prepared_and_is_no_more_as_it_was_is_missed() {
    let world = World::folder();
    let (spec, committable) = prepared(&world).await;
    let (hidden, seen) = hidden_and_seen(&world, &world.hidden().await[0]);
    fs::write(&seen, "another's").unwrap();
    lost(commit(&spec, &committable).await, "another file has this name");
    lost(restore(&spec, &committable).await, "another file has this name");
    assert_eq!(fs::read_to_string(&seen).unwrap(), "another's");
    fs::remove_file(&seen).unwrap();
    fs::write(&hidden, "cut").unwrap();
    lost(restore(&spec, &committable).await, "has 3");
    fs::remove_file(&hidden).unwrap();
    lost(commit(&spec, &committable).await, "is gone");
}

#[tokio::test]
async fn uploads_end_once_whatever_the_store_says() {
    let world = World::Bucket(Moto::start(), "x".into());
    let World::Bucket(moto, _) = &world else { return };
    let client = &moto.client;
    let (spec, committable) = prepared(&world).await;
    let parsed: serde_json::Value = serde_json::from_slice(&committable.0).unwrap();
    let key: object_store::path::Path = parsed["files"][0]["file"].as_str().unwrap().into();
    let note: object_store::path::Path = parsed["files"][0]["hidden"].as_str().unwrap().into();
    let upload = parsed["files"][0]["upload"]["id"].as_str().unwrap().to_owned();
    let noted = client.get(&note).await.unwrap().bytes().await.unwrap();
    for _ in 0..2 {
        commit(&spec, &committable).await.unwrap();
        assert_eq!(world.visible("json").await, [0, 1, 2, 3]);
    }
    // Completed, and then the process died.
    client.put(&note, noted.into()).await.unwrap();
    restore(&spec, &committable).await.unwrap();
    assert!(world.hidden().await.is_empty());
    // Whoever reads files may take them away.
    client.delete(&key).await.unwrap();
    let _ = client.abort_multipart(&key, &upload).await;
    restore(&spec, &committable).await.unwrap();
    gone(commit(&spec, &committable).await);

    let (spec, committable) = prepared(&world).await;
    let parsed: serde_json::Value = serde_json::from_slice(&committable.0).unwrap();
    let key: object_store::path::Path = parsed["files"][0]["file"].as_str().unwrap().into();
    client
        .abort_multipart(&key, &parsed["files"][0]["upload"]["id"].as_str().unwrap().to_owned())
        .await
        .unwrap();
    gone(restore(&spec, &committable).await);
}

fn gone(result: Result<()>) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::OutputChanged, "{error}");
    assert!(error.what().contains("make visible") || error.what().contains("made visible"), "{error}");
}

#[tokio::test]
async fn large_objects_leave_in_parts() {
    let world = World::Bucket(Moto::start(), "large".into());
    let spec = world.sink(&[("multipart.target_part_size", "5MiB")]);
    let mut sink = spec.build(context(100_000)).unwrap();
    sink.open().await.unwrap();
    let rows = 600_000;
    for start in (0..rows).step_by(50_000) {
        sink.write(batch(start..start + 50_000)).await.unwrap();
    }
    let committable = sink.prepare(Epoch(1)).await.unwrap().unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&committable.0).unwrap();
    assert!(parsed["files"][0]["upload"]["parts"].as_array().unwrap().len() >= 2);
    commit(&spec, &committable).await.unwrap();
    assert_eq!(world.visible("json").await, (0..rows).collect::<Vec<_>>());
}

/// The files that rows 0 to `rows` make in one epoch, when they come so many at a time: partition and rows of each.
async fn files_of(options: &[(&str, &str)], rows: i64, step: usize) -> Vec<(String, usize)> {
    let world = World::folder();
    let spec = world.sink(options);
    let mut sink = spec.build(context(100)).unwrap();
    sink.open().await.unwrap();
    for start in (0..rows).step_by(step) {
        sink.write(batch(start..rows.min(start + step as i64))).await.unwrap();
    }
    let committable = sink.prepare(Epoch(1)).await.unwrap().unwrap();
    commit(&spec, &committable).await.unwrap();
    assert_eq!(world.visible("json").await, (0..rows).collect::<Vec<_>>());
    let lines =
        |name: &str| fs::read_to_string(PathBuf::from(world.path()).join(name)).unwrap().lines().count();
    let names = world.names().await;
    names.iter().map(|name| (name.rsplit_once('/').map_or("", |n| n.0).to_owned(), lines(name))).collect()
}

#[tokio::test]
async fn files_end_by_partition_size_and_number() {
    let plain = files_of(&[], 9, 2).await;
    assert_eq!(plain, [(String::new(), 9)]);
    let by_key = files_of(&[("partitioning.fields", "k")], 9, 2).await;
    assert_eq!(by_key, ["k=k0", "k=k1", "k=k2"].map(|k| (k.to_owned(), 3)));
    let by_day =
        files_of(&[("partitioning.time_pattern", "%Y/%m-%d"), ("partitioning.fields", "k")], 26, 30).await;
    assert_eq!(by_day.len(), 5);
    assert_eq!(by_day[0], ("1970/01-01/k=k0".to_owned(), 8));
    // A row has 17 bytes: 30 are reached with the second batch of one row.
    let by_size = files_of(&[("rolling_policy.file_size", "30")], 5, 1).await;
    assert_eq!(by_size.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [2, 2, 1]);
    let few = files_of(&[("partitioning.fields", "k"), ("partitioning.open_files_max", "1")], 4, 1).await;
    assert_eq!(few.len(), 4, "each row ends the file before it: {few:?}");
    let at_once = files_of(&[("rolling_policy.interval", "0s")], 4, 2).await;
    assert_eq!(at_once.len(), 2);
}

#[tokio::test]
async fn old_and_idle_files_end_when_the_input_pauses() {
    for option in ["rolling_policy.interval", "rolling_policy.inactivity_interval"] {
        let world = World::folder();
        let spec = world.sink(&[(option, "10s")]);
        let now = Arc::new(std::sync::atomic::AtomicI64::new(NOW));
        let clock = now.clone();
        let mut cx = context(100);
        cx.clock = Arc::new(move || {
            thalweg_dataflow::ProcessingTime(clock.load(std::sync::atomic::Ordering::Relaxed))
        });
        let mut sink = spec.build(cx).unwrap();
        sink.open().await.unwrap();
        for wait in [9, 1, 10] {
            sink.write(batch(0..1)).await.unwrap();
            now.fetch_add(Duration::from_secs(wait).as_nanos() as i64, std::sync::atomic::Ordering::Relaxed);
            sink.flush().await.unwrap();
        }
        let committable = sink.prepare(Epoch(1)).await.unwrap().unwrap();
        let parsed: serde_json::Value = serde_json::from_slice(&committable.0).unwrap();
        let files = parsed["files"].as_array().unwrap().len();
        assert_eq!(files, if option.ends_with("inactivity_interval") { 1 } else { 2 }, "{option}");
    }
}

#[tokio::test]
async fn names_are_of_job_life_and_subtask() {
    let world = World::folder();
    let spec = world.sink(&[("filename.prefix", "p-"), ("filename.suffix", "-s"), ("format", "parquet")]);
    let mut cx = context(100);
    cx.job = JobId::new("my.job/1");
    cx.incarnation = Incarnation(7);
    cx.settings.subtask = Subtask(3);
    let mut sink = spec.build(cx).unwrap();
    sink.open().await.unwrap();
    sink.write(batch(0..1)).await.unwrap();
    let committable = sink.prepare(Epoch(1)).await.unwrap().unwrap();
    commit(&spec, &committable).await.unwrap();
    let names = world.names().await;
    assert_eq!(names, [format!("p-my~2Ejob~2F1.t-7-3-{NOW:x}-000001-s.parquet")]);
    assert_eq!((spec.guarantee(), spec.parallelism_max()), (SinkGuarantee::ExactlyOnce, None));
}

#[tokio::test]
async fn two_tables_in_one_folder_do_not_tidy_each_other_away() {
    let world = World::folder();
    let (spec, committable) = prepared(&world).await;
    let path = world.path();
    let options = [("path", path.as_str()), ("format", "json")];
    let table = declare_named("other", "filesystem", &options).unwrap();
    let other = table.sink(batch(0..1).schema(), RowKind::Append).unwrap().committer();
    other.fence(&JobId::new("test"), Incarnation(2)).await.unwrap();
    other.restore(None, &[]).await.unwrap();
    commit(&spec, &committable).await.unwrap();
    assert_eq!(world.visible("json").await, [0, 1, 2, 3]);
}

#[test]
fn options_that_are_wrong_say_how() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Code, &'a str);
    let cases: [Case<'_>; 6] = [
        (&[("type", "source")], Code::WrongRole, "cannot be written"),
        (&[("partitioning.fields", "z")], Code::InvalidOption, "'z', which is no column"),
        (&[("partitioning.time_pattern", "%Q")], Code::InvalidOption, "no pattern of times"),
        (&[("rolling_policy.file_size", "big")], Code::InvalidOption, "a size"),
        (&[("multipart.target_part_size", "1MiB")], Code::InvalidOption, "5242880 bytes"),
        (
            &[("parquet.compresion", "zstd"), ("format", "parquet")],
            Code::UnknownOption,
            "'parquet.compression'",
        ),
    ];
    let world = World::folder();
    for (options, code, words) in cases {
        let table = world.table(options);
        let error = table.and_then(|table| table.sink(batch(0..1).schema(), RowKind::Append)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    for data_type in [interval.clone(), DataType::new_list(interval, true)] {
        let columns = Arc::new(Schema::new(vec![Field::new("i", data_type, true)]));
        let table = declare("filesystem", &[("path", "out"), ("format", "parquet")], None).unwrap();
        let error = table.sink(columns, RowKind::Append).unwrap_err();
        assert_eq!(error.code(), Code::InvalidType, "{error}");
        assert!(error.to_string().contains("column 'i' of type INTERVAL"), "{error}");
    }
    let begins = [("path", "out/x*"), ("format", "json")];
    let table = declare("filesystem", &begins, None).unwrap();
    assert!(table.as_sink().is_none());
    let changes =
        world.table(&[("format", "parquet")]).unwrap().sink(batch(0..1).schema(), RowKind::Changelog);
    assert_eq!(changes.unwrap_err().code(), Code::SinkNotUpdating);
}
