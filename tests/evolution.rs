//! Programs whose state gets other fields from one version to the next, in the real runtime, kept in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt64Type};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thalweg::app::Application;
use thalweg::settings::Settings;
use thalweg::{engine, program};
use thalweg_cluster::{Durable, Job, JobHandle, Keeping, Recovery, RestoreFrom};
use thalweg_dataflow::{Code, Error};
use thalweg_state::store::{Creation, Hold, Listed, LocalStore, Store, StoreError};
use thalweg_state::{Epoch, History, JobId, KeyGroups, Manifest, OperatorId};
use thalweg_testkit::toys::Numbers;
use thalweg_world::World;

/// Nothing here takes longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than any life here reads.
const LENGTHS: [i64; 3] = [1_000_000; 3];
/// So many that a short life sees few of them.
const KEYS: i64 = 5_003;
/// After so many rows all of them were seen.
const ALL_SEEN: u64 = 17_000;
const JOB: &str = "counter";
/// Sooner than a life ends, and never within one.
const OFTEN: Duration = Duration::from_millis(3);
const NEVER: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Number {
    k: i64,
    v: i64,
}

/// A state of some version of the program.
trait Version: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    fn count(&mut self) -> &mut u64;
    /// Another record came.
    fn step(&mut self) {
        *self.count() += 1;
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct First {
    count: u64,
    name: String,
}

impl Version for First {
    fn count(&mut self) -> &mut u64 {
        &mut self.count
    }
}

/// `name` has gone and `note` has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Second {
    #[serde(default = "unsaid")]
    note: String,
    count: u64,
}

fn unsaid() -> String {
    "unsaid".to_owned()
}

impl Default for Second {
    fn default() -> Self {
        Self { note: "new".to_owned(), count: 0 }
    }
}

impl Version for Second {
    fn count(&mut self) -> &mut u64 {
        &mut self.count
    }
}

/// `name` is there again, without what it was, and a list has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Third {
    #[serde(default)]
    steps: Vec<u64>,
    count: u64,
    note: String,
    #[serde(default)]
    name: Option<String>,
}

impl Version for Third {
    fn count(&mut self) -> &mut u64 {
        &mut self.count
    }
    fn step(&mut self) {
        self.count += 1;
        self.steps.push(self.count);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Wrong {
    count: String,
}

impl Version for Wrong {
    fn count(&mut self) -> &mut u64 {
        panic!("it does not run")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Needy {
    count: u64,
    needed: String,
}

impl Version for Needy {
    fn count(&mut self) -> &mut u64 {
        &mut self.count
    }
}

/// The states of all keys when a life saw them first, and how many rows it has seen.
#[derive(Clone)]
struct Seen<S> {
    first: Arc<Mutex<BTreeMap<i64, S>>>,
    rows: Arc<AtomicU64>,
}

impl<S: Version> Seen<S> {
    fn look(&self, key: i64, state: &S) {
        self.first.lock().expect("nobody panics").entry(key).or_insert_with(|| state.clone());
        self.rows.fetch_add(1, Ordering::SeqCst);
    }

    async fn until(&self, rows: u64) {
        let enough = async {
            while self.rows.load(Ordering::SeqCst) < rows {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.expect("rows flow");
    }
}

struct Running<S> {
    job: JobHandle,
    recovery: Recovery,
    seen: Seen<S>,
}

impl<S> Running<S> {
    async fn stop(self) {
        self.job.stop();
        self.job.wait().await.expect("it stops");
    }

    async fn crash(self) {
        self.job.abort();
        let _ = self.job.wait().await;
    }

    /// What is said of the state's fields.
    fn changes(&self) -> Vec<&str> {
        self.recovery.inheritance.converted.iter().map(|converted| converted.what.as_str()).collect()
    }
}

async fn begin<S: Version>(
    store: Arc<dyn Store>,
    parallelism: u32,
    interval: Duration,
) -> Result<Running<S>, Error> {
    let seen = Seen { first: Arc::default(), rows: Arc::default() };
    let application = Application::new(JOB);
    let numbers = Numbers {
        keys: KEYS,
        pause: Some(Duration::from_micros(200)),
        endless: true,
        ..Numbers::new(&LENGTHS, 10)
    };
    let looked = seen.clone();
    application
        .table::<Number>("numbers", Arc::new(numbers))
        .key_by(|number| number.k)
        .stateful("count", move |key, _, state: &mut S| {
            looked.look(*key, state);
            state.step();
            None::<()>
        })
        .discard();
    let settings = Settings { checkpoint_interval: interval, ..Settings::default() };
    let program = program::build(application, &settings).expect("a sound application");
    let durable = Durable { store, retain: 3, restore: RestoreFrom::Newest, allow_dropped_state: false };
    let job = engine::job(program.graph, program.functions, parallelism, &settings, Some(7));
    let job = Job { id: JobId::new(JOB), keeping: Keeping::Durable(durable), ..job };
    let prepared = job.prepare(&World::real(Some(2)).expect("threads")).await?;
    let recovery = prepared.recovery().expect("it is kept").clone();
    Ok(Running { job: prepared.start().await?, recovery, seen })
}

fn folder(path: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::new(path))
}

async fn manifest(store: Arc<dyn Store>) -> (History, Manifest) {
    let history = History::new(store, JobId::new(JOB));
    let newest = history.newest_complete().await.expect("it can be read").expect("there is one");
    (history, newest)
}

/// Layers of the new form were rewritten as fewer.
async fn until_compacted(path: &Path) {
    let compacted = async {
        loop {
            let (_, newest) = manifest(folder(path)).await;
            let table = &newest.operators[&OperatorId::new("count/state")].tables["state"];
            if table.objects.iter().any(|object| object.name.contains("compacted")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, compacted).await.expect("there are many layers");
}

/// The one type of all states in the newest checkpoint, in which every row that was read is counted once.
async fn sound(store: Arc<dyn Store>) -> String {
    let (history, newest) = manifest(store).await;
    let record = &newest.operators[&OperatorId::new("count/state")];
    let everything = KeyGroups::range(0, newest.key_groups);
    let rows = history.restore(record, &everything).await.expect("it can be read").take("state");
    let mut counts = BTreeMap::new();
    for batch in &rows {
        let states = batch.column(2).as_struct().column_by_name("count").expect("every version counts");
        let (keys, states) =
            (batch.column(1).as_primitive::<Int64Type>(), states.as_primitive::<UInt64Type>());
        counts.extend(keys.values().iter().copied().zip(states.values().iter().copied()));
    }
    let splits = &newest.operators[&OperatorId::new("numbers/source")].splits;
    let next = |position: &Bytes| i64::from_le_bytes(position[..].try_into().expect("eight bytes"));
    let read: Vec<i64> = splits.iter().map(|split| split.position.as_ref().map_or(0, next)).collect();
    let of = |key: i64| read.iter().map(|rows| (rows + KEYS - 1 - key) / KEYS).sum::<i64>() as u64;
    let expected: BTreeMap<i64, u64> =
        (0..KEYS).map(|key| (key, of(key))).filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, expected, "after {read:?}");
    let types: BTreeSet<String> = rows.iter().map(|batch| batch.column(2).data_type().to_string()).collect();
    assert_eq!(types.len(), 1, "{types:?}");
    types.into_iter().next().expect("there is one")
}

fn is_first_of<S>(seen: &Seen<S>, is: impl Fn(&S) -> bool) -> bool {
    let first = seen.first.lock().expect("nobody panics");
    !first.is_empty() && first.values().all(is)
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_change_twice_while_the_job_is_stopped_killed_and_rescaled() {
    let place = tempfile::tempdir().expect("a folder");
    let first = begin::<First>(folder(place.path()), 2, OFTEN).await.expect("it begins");
    first.seen.until(ALL_SEEN).await;
    first.stop().await;
    let old = sound(folder(place.path())).await;

    // Rescaled at once, so that what moves is read when nothing or all is in the new form.
    let second = begin::<Second>(folder(place.path()), 3, OFTEN).await.expect("it goes on");
    assert_eq!(second.changes(), ["field 'note' is new, field 'name' is dropped"]);
    second.job.rescale(5).await.expect("rows flow");
    second.job.rescale(2).await.expect("rows flow");
    second.seen.until(3_000).await;
    until_compacted(place.path()).await;
    let is_old = |state: &Second| state.note == "unsaid" && state.count > 0;
    assert!(is_first_of(&second.seen, is_old), "{:?}", second.seen.first);
    second.crash().await;
    assert_ne!(sound(folder(place.path())).await, old);

    let third = begin::<Third>(folder(place.path()), 4, OFTEN).await.expect("it goes on");
    assert_eq!(third.changes(), ["field 'steps' is new, field 'name' is new"]);
    third.seen.until(1_000).await;
    let is_second = |state: &Third| state.note == "unsaid" && state.name.is_none() && state.steps.is_empty();
    assert!(is_first_of(&third.seen, is_second), "{:?}", third.seen.first);
    third.stop().await;
    let third = begin::<Third>(folder(place.path()), 1, OFTEN).await.expect("it goes on");
    assert!(third.recovery.inheritance.is_whole());
    third.seen.until(1_000).await;
    third.stop().await;

    // And back to what it was at first: what has gone is a default.
    let second = begin::<Second>(folder(place.path()), 2, OFTEN).await.expect("it goes on");
    second.seen.until(1_000).await;
    second.stop().await;
    sound(folder(place.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_its_first_checkpoint_a_new_version_has_changed_nothing() {
    let place = tempfile::tempdir().expect("a folder");
    let first = begin::<First>(folder(place.path()), 2, OFTEN).await.expect("it begins");
    first.seen.until(ALL_SEEN).await;
    first.stop().await;
    let (_, before) = manifest(folder(place.path())).await;

    for parallelism in [1, 3] {
        let second = begin::<Second>(folder(place.path()), parallelism, NEVER).await.expect("it goes on");
        assert_eq!(second.changes().len(), 1);
        second.seen.until(1_000).await;
        second.crash().await;
        let (_, after) = manifest(folder(place.path())).await;
        assert_eq!(before, after);
    }
    let first = begin::<First>(folder(place.path()), 2, OFTEN).await.expect("the version before goes on");
    assert!(first.recovery.inheritance.is_whole());
    first.seen.until(1_000).await;
    first.stop().await;
    sound(folder(place.path())).await;
}

/// A store that takes no tables while it is full.
#[derive(Debug)]
struct Full {
    inner: LocalStore,
    full: AtomicBool,
}

impl Store for Full {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        if name.contains("/state/count") && self.full.load(Ordering::SeqCst) {
            let refused = Err(StoreError::Denied { reason: "for now".to_owned() });
            return async move { refused }.boxed();
        }
        self.inner.create(name, bytes)
    }
    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.inner.read(name)
    }
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        self.inner.list(folder)
    }
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.delete(name)
    }
    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        self.inner.hold(folder)
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// What is read for a rescale is then in the form of the version before.
#[tokio::test(flavor = "multi_thread")]
async fn a_rescale_goes_on_from_the_old_form_while_all_epochs_are_aborted() {
    let place = tempfile::tempdir().expect("a folder");
    let first = begin::<First>(folder(place.path()), 2, OFTEN).await.expect("it begins");
    first.seen.until(ALL_SEEN).await;
    first.stop().await;

    let store = Arc::new(Full { inner: LocalStore::new(place.path()), full: AtomicBool::new(true) });
    let second = begin::<Second>(Arc::clone(&store) as _, 2, OFTEN).await.expect("it goes on");
    for parallelism in [5, 1, 3] {
        second.job.rescale(parallelism).await.expect("rows flow");
    }
    assert_eq!(second.job.progress().newest, None, "no epoch is complete");
    store.full.store(false, Ordering::SeqCst);
    second.job.checkpoint(None).await.expect("there is room again");
    second.crash().await;
    sound(folder(place.path())).await;

    let second = begin::<Second>(folder(place.path()), 2, OFTEN).await.expect("it goes on");
    assert!(second.recovery.inheritance.is_whole());
    second.seen.until(1_000).await;
    second.stop().await;
    sound(folder(place.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_and_nothing_is_lost() {
    let place = tempfile::tempdir().expect("a folder");
    let first = begin::<First>(folder(place.path()), 2, OFTEN).await.expect("it begins");
    first.seen.until(500).await;
    first.stop().await;
    let (_, before) = manifest(folder(place.path())).await;

    let refused = begin::<Wrong>(folder(place.path()), 2, OFTEN).await.err().expect("it is refused");
    assert_eq!(refused.code(), Code::StateDropped);
    let words = refused.to_string();
    for word in ["'count/state'", "field 'count' was kept as BIGINT UNSIGNED and is TEXT now", "give fields"]
    {
        assert!(words.contains(word), "{words}");
    }
    let started = begin::<Needy>(folder(place.path()), 2, OFTEN).await;
    let refused = match started {
        Err(error) => error,
        Ok(running) => running.job.wait().await.expect_err("it is refused"),
    };
    assert_eq!(refused.code(), Code::StateDropped, "{refused}");
    let words = refused.to_string();
    for word in ["count", "missing field `needed`", "nothing is lost"] {
        assert!(words.contains(word), "{words}");
    }
    let (_, after) = manifest(folder(place.path())).await;
    assert_eq!(before, after);
    let first = begin::<First>(folder(place.path()), 2, OFTEN).await.expect("the version before goes on");
    first.seen.until(1_000).await;
    first.stop().await;
    sound(folder(place.path())).await;
}

/// A restart writes nothing anew but what changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_has_not_changed_goes_on_with_the_objects_that_there_are() {
    let place = tempfile::tempdir().expect("a folder");
    let first = begin::<Third>(folder(place.path()), 2, NEVER).await.expect("it begins");
    first.seen.until(500).await;
    first.stop().await;
    let (_, before) = manifest(folder(place.path())).await;
    let again = begin::<Third>(folder(place.path()), 2, NEVER).await.expect("it goes on");
    again.job.checkpoint(None).await.expect("it can");
    again.stop().await;
    let (_, after) = manifest(folder(place.path())).await;
    let names = |manifest: &Manifest| -> BTreeSet<String> {
        let table = &manifest.operators[&OperatorId::new("count/state")].tables["state"];
        table.objects.iter().map(|object| object.name.clone()).collect()
    };
    assert!(after.epoch > before.epoch && before.epoch >= Epoch::FIRST);
    assert!(names(&before).is_subset(&names(&after)));
}
