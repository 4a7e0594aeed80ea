//! One job's history: settling, claiming, restoring, damage, garbage.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use arrow::array::types::Int64Type;
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt16Array};
use futures_util::future::{BoxFuture, FutureExt, ready};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::compaction::{Compacted, Compaction, LAYERS_MAX};
use crate::manifest::{Head, OperatorPart};
use crate::store::{Listed, LocalStore, MemoryStore};
use crate::{
    Expiry, FrozenTable, KEY_GROUP_COLUMN, KeyGroups, KeySpace, OperatorId, Restored, Snapshot, Subtask,
    hash_keys,
};

mod damage;
mod random;

const GROUPS: u16 = 16;

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What an operator with one table of each kind remembers.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// Key to value.
    upsert: BTreeMap<i64, i64>,
    /// Time and value, until the time is over.
    merge: Vec<(i64, i64)>,
    full: Vec<i64>,
    over_through: i64,
}

/// What changed since the last complete epoch.
#[derive(Clone, Debug, Default)]
struct Changes {
    upsert: BTreeMap<i64, i64>,
    merge: Vec<(i64, i64)>,
}

/// A job with one operator, as a controller and its subtasks would run it.
struct Job {
    history: History,
    incarnation: Incarnation,
    next: Epoch,
    newest: Option<Manifest>,
    model: Model,
    changes: Changes,
    compacted: Vec<Compacted>,
    /// What the operator remembered at each complete epoch.
    past: BTreeMap<Epoch, Model>,
    parallelism: u32,
    written: u64,
    /// Whether this incarnation has settled an epoch.
    has_settled: bool,
}

fn batch(columns: &[(&str, Vec<i64>)]) -> RecordBatch {
    let arrays =
        columns.iter().map(|(name, values)| (*name, Arc::new(Int64Array::from(values.clone())) as ArrayRef));
    let mut hashes = Vec::new();
    hash_keys(&[Arc::new(Int64Array::from(columns[0].1.clone()))], &mut hashes).unwrap();
    let groups: UInt16Array = hashes.iter().map(|&hash| KeySpace::new(GROUPS).group_of(hash).0).collect();
    RecordBatch::try_from_iter([(KEY_GROUP_COLUMN, Arc::new(groups) as ArrayRef)].into_iter().chain(arrays))
        .unwrap()
}

fn column(batches: &[RecordBatch], index: usize) -> Vec<i64> {
    batches.iter().flat_map(|b| b.column(index).as_primitive::<Int64Type>().values().to_vec()).collect()
}

impl Job {
    fn new(history: History, parallelism: u32) -> Self {
        Self {
            history,
            incarnation: Incarnation(1),
            next: Epoch::FIRST,
            newest: None,
            model: Model { over_through: i64::MIN, ..Model::default() },
            changes: Changes::default(),
            compacted: Vec::new(),
            past: BTreeMap::new(),
            parallelism,
            written: 0,
            has_settled: false,
        }
    }

    fn put(&mut self, key: i64, value: i64) {
        self.model.upsert.insert(key, value);
        self.changes.upsert.insert(key, value);
    }

    fn add(&mut self, time: i64, value: i64) {
        if time > self.model.over_through {
            self.model.merge.push((time, value));
            self.changes.merge.push((time, value));
        }
    }

    fn pass(&mut self, time: i64) {
        self.model.over_through = self.model.over_through.max(time);
        self.model.merge.retain(|row| row.0 > time);
    }

    fn snapshot(&self) -> Snapshot {
        let (keys, values) = self.changes.upsert.clone().into_iter().unzip();
        let (times, amounts) = self.changes.merge.iter().copied().unzip();
        let expiry = Expiry { column: 1, through: self.model.over_through };
        Snapshot {
            tables: vec![
                FrozenTable::upsert("upsert", 1, vec![batch(&[("k", keys), ("v", values)])]),
                FrozenTable::merge("merge", vec![batch(&[("t", times), ("v", amounts)])]).expiring(expiry),
                FrozenTable::full("full", vec![batch(&[("v", self.model.full.clone())])]),
            ],
        }
    }

    /// Writes the parts of the next epoch, and settles it as complete unless it is to be aborted.
    async fn epoch(&mut self, complete: bool) {
        let epoch = self.next;
        self.next = epoch.next();
        self.has_settled = true;
        let operator = OperatorId::new("view/orders");
        let mut parts = Vec::new();
        for subtask in 0..self.parallelism {
            let share = KeySpace::new(GROUPS).share(subtask, self.parallelism);
            let (incarnation, subtask) = (self.incarnation, Subtask(subtask));
            let part = Part { operator: operator.clone(), epoch, incarnation, subtask, attempt: 0 };
            let tables = self.history.write_snapshot(&part, &self.snapshot().select(&share)).await.unwrap();
            self.written += tables.iter().flat_map(|t| &t.objects).map(|o| o.bytes).sum::<u64>();
            parts.push((operator.clone(), OperatorPart { tables, ..OperatorPart::default() }));
        }
        if !complete {
            let aborted = Settlement::Aborted { incarnation: self.incarnation, writer: "w".to_owned() };
            assert_eq!(self.history.settle(epoch, &aborted).await.unwrap(), aborted);
            return;
        }
        let manifest = Manifest::next(self.newest.as_ref(), self.head(epoch), parts, &self.compacted);
        let settlement = Settlement::Complete(manifest.clone());
        assert_eq!(self.history.settle(epoch, &settlement).await.unwrap(), settlement);
        self.past.insert(epoch, self.model.clone());
        self.newest = Some(manifest);
        self.changes = Changes::default();
        self.compacted.clear();
    }

    fn head(&self, epoch: Epoch) -> Head {
        Head {
            job: self.history.job().clone(),
            epoch,
            incarnation: self.incarnation,
            writer: "w".to_owned(),
            created_ms: 0,
            key_groups: GROUPS,
            parallelism: self.parallelism,
            finished: false,
            script: String::new(),
        }
    }

    async fn compact(&mut self) {
        for compaction in self.newest.iter().flat_map(Manifest::compactions) {
            let done = self.history.compact(&compaction, self.incarnation).await.unwrap();
            self.written += done.bytes();
            self.compacted.push(done);
        }
    }

    /// Another process takes over from the newest complete epoch.
    async fn restart(&mut self) {
        self.incarnation = Incarnation(self.incarnation.0 + 1);
        self.has_settled = false;
        self.newest = self.history.newest_complete().await.unwrap();
        self.model = self.newest.as_ref().map_or_else(
            || Model { over_through: i64::MIN, ..Model::default() },
            |manifest| self.past[&manifest.epoch].clone(),
        );
        self.changes = Changes::default();
        self.compacted.clear();
    }

    /// Restores at some parallelism and compares with what was remembered.
    async fn check(&self, manifest: &Manifest, parallelism: u32) {
        let record = &manifest.operators[&OperatorId::new("view/orders")];
        let mut found = Model { over_through: self.past[&manifest.epoch].over_through, ..Model::default() };
        for subtask in 0..parallelism {
            let share = KeySpace::new(GROUPS).share(subtask, parallelism);
            restore_into(&mut found, self.history.restore(record, &share).await.unwrap());
        }
        let sorted = |mut model: Model| {
            model.merge.sort_unstable();
            model.full.sort_unstable();
            model
        };
        let expected = self.past[&manifest.epoch].clone();
        assert_eq!(sorted(found), sorted(expected), "epoch {} at {parallelism}", manifest.epoch);
    }
}

fn restore_into(model: &mut Model, mut restored: Restored) {
    let rows = restored.take("upsert");
    model.upsert.extend(column(&rows, 1).into_iter().zip(column(&rows, 2)));
    let rows = restored.take("merge");
    model.merge.extend(column(&rows, 1).into_iter().zip(column(&rows, 2)));
    model.full.extend(column(&restored.take("full"), 1));
}

fn history(store: Arc<dyn Store>) -> History {
    History::new(store, JobId::new("a job/with ünusual name"))
}

fn memory() -> History {
    history(Arc::new(MemoryStore::new()))
}

fn claim(writer: &str) -> Claim {
    Claim { writer: writer.to_owned(), parallelism: 2, started_ms: 7 }
}

fn aborted(incarnation: u64) -> Settlement {
    Settlement::Aborted { incarnation: Incarnation(incarnation), writer: format!("w{incarnation}") }
}

#[test]
fn an_incarnation_has_one_owner() {
    block_on(async {
        let history = memory();
        assert_eq!(history.claim(Incarnation(1), &claim("a")).await, Ok(Claimed::Ours));
        assert_eq!(history.claim(Incarnation(1), &claim("a")).await, Ok(Claimed::Ours), "a repeated attempt");
        assert_eq!(history.claim(Incarnation(1), &claim("b")).await, Ok(Claimed::Taken));
        assert_eq!(history.claim(Incarnation(2), &claim("b")).await, Ok(Claimed::Ours));
        assert_eq!(history.incarnations().await, Ok(vec![Incarnation(1), Incarnation(2)]));
        assert_eq!(history.claim_of(Incarnation(2)).await, Ok(Some(claim("b"))));
        assert_eq!(
            history.claim(Incarnation(1), &claim("a")).await,
            Ok(Claimed::Taken),
            "there is a later one"
        );
    });
}

#[test]
fn an_epoch_is_settled_once() {
    block_on(async {
        let history = memory();
        assert_eq!(history.settled(Epoch(1)).await, Ok(None));
        assert_eq!(history.settle(Epoch(1), &aborted(1)).await, Ok(aborted(1)));
        assert_eq!(history.settle(Epoch(1), &aborted(2)).await, Ok(aborted(1)), "the first one stays");
        assert_eq!(history.settled(Epoch(1)).await, Ok(Some(aborted(1))));
        assert_eq!(history.newest_complete().await, Ok(None));
    });
}

#[test]
fn an_epoch_that_was_settled_and_collected_is_not_settled_again() {
    block_on(async {
        let history = memory();
        history.settle(Epoch(2), &aborted(2)).await.unwrap();
        let error = history.settle(Epoch(1), &aborted(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Superseded { .. }), "{error}");
        assert_eq!(history.epochs().await, Ok(vec![Epoch(1), Epoch(2)]), "a successor may stand on it");
    });
}

/// A store that answers its next listings so, whatever there is.
#[derive(Debug, Default)]
struct ListsSo {
    inner: MemoryStore,
    answers: Mutex<VecDeque<Result<Vec<Listed>, StoreError>>>,
}

impl Store for ListsSo {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        self.inner.create(name, bytes)
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.inner.read(name)
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        match self.answers.lock().unwrap().pop_front() {
            Some(answer) => ready(answer).boxed(),
            None => self.inner.list(folder),
        }
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.delete(name)
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        self.inner.hold(folder)
    }

    fn describe(&self) -> String {
        "a store that lists what it is told".to_owned()
    }
}

#[test]
fn one_who_slept_learns_it_also_when_he_has_to_ask_twice() {
    block_on(async {
        let store = Arc::new(ListsSo::default());
        let history = history(Arc::clone(&store) as Arc<dyn Store>);
        history.settle(Epoch(2), &aborted(2)).await.unwrap();
        let later = StoreError::Unavailable { reason: "not yet".to_owned() };
        store.answers.lock().unwrap().push_back(Err(later));
        let error = history.settle(Epoch(1), &aborted(1)).await.unwrap_err();
        assert!(error.may_pass(), "{error}");
        let error = history.settle(Epoch(1), &aborted(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Superseded { .. }), "{error}");
        // What another settled is told, however old.
        assert_eq!(history.settle(Epoch(1), &aborted(9)).await, Ok(aborted(1)));
    });
}

#[test]
fn a_job_that_goes_on_while_one_reads_is_not_damaged() {
    block_on(async {
        let store = Arc::new(ListsSo::default());
        let mut job = Job::new(history(Arc::clone(&store) as Arc<dyn Store>), 1);
        let mut listed = Vec::new();
        // Twice it is listed, and has gone on and cleared away what was listed before any of that is read.
        for _ in 0..2 {
            for round in 0..3 {
                job.put(round, round);
                job.epoch(true).await;
            }
            for folder in ["complete", "epochs"] {
                listed.push(job.history.store().list(&job.history.place(folder)).await);
            }
        }
        job.epoch(true).await;
        job.history.collect(Incarnation(1), 1).await.unwrap();
        store.answers.lock().unwrap().extend(listed);
        let newest = job.history.newest_complete().await.unwrap().unwrap();
        assert_eq!(newest.epoch, Epoch(7));
        assert!(store.answers.lock().unwrap().is_empty(), "all listings were read");
    });
}

#[test]
fn jobs_of_one_store_do_not_meet() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let histories = ["a", "ab", "a/b"].map(|name| History::new(Arc::clone(&store), JobId::new(name)));
        for history in &histories {
            history.claim(Incarnation(1), &claim("w")).await.unwrap();
            history.settle(Epoch(1), &aborted(1)).await.unwrap();
            assert_eq!(history.epochs().await, Ok(vec![Epoch(1)]));
        }
        assert_eq!(
            History::jobs(&*store).await,
            Ok(vec![JobId::new("a"), JobId::new("a/b"), JobId::new("ab")])
        );
    });
}

#[test]
fn a_savepoint_keeps_its_checkpoint_and_its_label() {
    block_on(async {
        let mut job = Job::new(memory(), 2);
        let mut kept = Vec::new();
        for round in 0..8 {
            job.put(round, round);
            job.model.full = vec![round];
            job.epoch(true).await;
            let manifest = job.newest.clone().unwrap();
            if round < 2 {
                job.history.savepoint(&format!("before v{round}"), &manifest).await.unwrap();
                kept.push(manifest);
            }
            job.history.collect(job.incarnation, 1).await.unwrap();
        }
        assert_eq!(job.history.savepoints().await.unwrap(), ["before v0", "before v1"]);
        assert_eq!(job.history.savepoint_at("before v1").await.unwrap().as_ref(), Some(&kept[1]));
        for manifest in &kept {
            job.check(manifest, 3).await;
        }
        assert_eq!(job.history.savepoint("before v0", &kept[0]).await, Ok(()), "a repeated attempt");
        let error = job.history.savepoint("before v0", &kept[1]).await.unwrap_err();
        assert!(error.to_string().contains("savepoint of epoch 1"), "{error}");

        for label in ["before v0", "before v1"] {
            job.history.delete_savepoint(label).await.unwrap();
        }
        job.history.collect(job.incarnation, 1).await.unwrap();
        assert!(job.history.verify(&kept[0]).await.is_err(), "now it is garbage");
        job.history.verify(job.newest.as_ref().unwrap()).await.unwrap();
    });
}

#[test]
fn a_running_attempt_and_a_later_life_are_not_touched() {
    block_on(async {
        let mut job = Job::new(memory(), 1);
        for round in 0..3 {
            job.put(round, round);
            job.epoch(true).await;
        }
        let table = FrozenTable::merge("upsert", vec![batch(&[("k", vec![1]), ("v", vec![2])])]);
        let write = async |epoch: u64, incarnation: u64| {
            let operator = OperatorId::new("view/orders");
            let (epoch, incarnation) = (Epoch(epoch), Incarnation(incarnation));
            let part = Part { operator, epoch, incarnation, subtask: Subtask(7), attempt: 1 };
            job.history.write_table(&part, &table).await.unwrap().objects.remove(0).name
        };
        let running = write(4, 1).await;
        let later_life = write(2, 2).await;
        let given_up = write(3, 1).await;
        let of_nobody_yet = job.history.collect(Incarnation(2), 3).await.unwrap();
        assert_eq!(of_nobody_yet, Collected::default(), "incarnation 1 may still settle what names them");
        job.history.collect(Incarnation(1), 3).await.unwrap();
        let there = async |name: &str| job.history.read_object(name).await.unwrap().is_some();
        assert!(there(&running).await && there(&later_life).await);
        assert!(!there(&given_up).await);
    });
}

#[test]
fn what_a_compaction_writes_is_awaited_until_it_is_dropped() {
    block_on(async {
        let mut job = Job::new(memory(), 1);
        for round in 0..=LAYERS_MAX as i64 {
            job.put(round, round);
            job.epoch(true).await;
        }
        job.compact().await;
        assert!(!job.compacted.is_empty());
        job.history.collect(job.incarnation, 3).await.unwrap();
        job.put(99, 99);
        job.epoch(true).await;
        let manifest = job.newest.clone().unwrap();
        assert!(manifest.objects().any(|object| object.name.contains("compacted")));
        job.check(&manifest, 1).await;

        let objects = async || job.history.store().list(&job.history.place("state")).await.unwrap().len();
        job.history.collect(job.incarnation, 1).await.unwrap();
        let before = objects().await;
        let compaction = Compaction::of_whole(&manifest, "view/orders", "upsert");
        let dropped = job.history.compact(&compaction, job.incarnation).await.unwrap();
        let again = job.history.compact(&compaction, job.incarnation).await.unwrap();
        assert_eq!(objects().await, before + 2, "no two have one name");
        drop(dropped);
        job.history.collect(job.incarnation, 1).await.unwrap();
        assert_eq!(objects().await, before + 1);
        drop(again);
        job.history.collect(job.incarnation, 1).await.unwrap();
        assert_eq!(objects().await, before);
    });
}

#[test]
fn a_compaction_keeps_the_newest_row_of_a_key_and_every_row_that_is_merged() {
    block_on(async {
        let mut job = Job::new(memory(), 2);
        for round in 0..6 {
            (0..200).filter(|key| key % (round + 1) == 0).for_each(|key| job.put(key, 1000 * round + key));
            (0..40).for_each(|time| job.add(time, 7));
            job.epoch(true).await;
        }
        job.pass(20);
        job.epoch(true).await;
        let manifest = job.newest.clone().unwrap();
        for (table, rows) in [("upsert", 200), ("merge", 19 * 6)] {
            let compaction = Compaction::of_whole(&manifest, "view/orders", table);
            let done = job.history.compact(&compaction, job.incarnation).await.unwrap();
            job.compacted.push(done);
            job.epoch(true).await;
            let record =
                &job.newest.as_ref().unwrap().operators[&OperatorId::new("view/orders")].tables[table];
            assert!(record.objects.len() > 1, "there were several slices");
            assert_eq!(record.objects.iter().map(|object| object.rows).sum::<u64>(), rows, "{table}");
        }
        job.check(job.newest.as_ref().unwrap(), 3).await;
    });
}

#[test]
fn two_writers_of_one_name_are_found_out() {
    block_on(async {
        let history = memory();
        let part = Part {
            operator: OperatorId::new("op"),
            epoch: Epoch(1),
            incarnation: Incarnation(1),
            subtask: Subtask(0),
            attempt: 0,
        };
        let table = |value| FrozenTable::merge("t", vec![batch(&[("k", vec![value])])]);
        let first = history.write_table(&part, &table(1)).await.unwrap();
        assert_eq!(history.write_table(&part, &table(1)).await.unwrap(), first, "a repeated attempt");
        let error = history.write_table(&part, &table(2)).await.unwrap_err();
        assert!(error.to_string().contains("another writer took its name"), "{error}");
    });
}

#[test]
fn rows_that_are_over_do_not_come_back() {
    block_on(async {
        let mut job = Job::new(memory(), 1);
        (0..10).for_each(|time| job.add(time, time));
        job.epoch(true).await;
        job.pass(4);
        job.epoch(true).await;
        let manifest = job.newest.clone().unwrap();
        job.check(&manifest, 2).await;
        job.pass(9);
        job.epoch(true).await;
        let record = &job.newest.as_ref().unwrap().operators[&OperatorId::new("view/orders")];
        assert!(record.tables["merge"].objects.is_empty(), "the object is over as a whole");
    });
}

#[test]
fn two_hundred_epochs_leave_a_bounded_number_of_objects_and_write_little() {
    block_on(async {
        let mut job = Job::new(memory(), 2);
        let keys = 50_000;
        (0..keys).for_each(|key| job.put(key, key * key));
        job.epoch(true).await;
        let whole = job.written as f64;
        let (mut most, mut parts) = (0, 0);
        for round in 1..=200_i64 {
            // One key in a hundred changes, everywhere in the key space.
            (0..keys).filter(|key| (key + round) % 100 == 0).for_each(|key| job.put(key, key * key + round));
            let before = job.written;
            job.epoch(true).await;
            parts += job.written - before;
            job.compact().await;
            job.history.collect(job.incarnation, 3).await.unwrap();
            most = most.max(job.history.store().list("").await.unwrap().len());
        }
        let parts = parts as f64 / (200.0 * whole);
        let all = (job.written as f64 - whole) / (200.0 * whole);
        println!(
            "most objects at once: {most}; written per epoch: {parts:.4} of everything, {all:.4} with compactions"
        );
        assert!(most <= 60, "{most} objects");
        assert!(parts < 0.03, "{parts}");
        assert!(all < 0.08, "{all}");
        job.check(job.newest.as_ref().unwrap(), 3).await;
    });
}
