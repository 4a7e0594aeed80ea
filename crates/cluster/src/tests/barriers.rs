//! Barriers as often as possible: nothing is lost, nothing hangs, every cut is consistent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch, UInt16Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thalweg_dataflow::{Batch, Code, Context, Distribution, Operator, Port, Result, Step};
use thalweg_runtime::Answer;
use thalweg_state::{Epoch, FrozenTable, KEY_GROUP_COLUMN, Snapshot};

use thalweg_testkit::toys::*;

use super::*;
use crate::{EpochStore, How, Job, Keeping, Proposal, RuntimeSettings, SubtaskPart, Verdict, Written};

/// As many epochs as the machine can do.
fn restless(seed: u64) -> RuntimeSettings {
    RuntimeSettings {
        checkpoint_interval: Duration::ZERO,
        shuffle_seed: Some(seed),
        ..RuntimeSettings::default()
    }
}

/// Gives on what it gets, from any port, and remembers how many rows that were.
#[derive(Clone, Default)]
struct Count(i64);

impl Operator for Count {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        self.0 += batch.rows() as i64;
        cx.emit(Port::MAIN, batch.records);
        Ok(Step::Done)
    }
    fn on_barrier(&mut self, _: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        let schema = Schema::new(vec![
            Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false),
            Field::new("n", DataType::Int64, false),
        ]);
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(UInt16Array::from(vec![0])), Arc::new(Int64Array::from(vec![self.0]))];
        let batch = RecordBatch::try_new(Arc::new(schema), columns).expect("the columns fit");
        Ok(Snapshot { tables: vec![FrozenTable::full("count", vec![batch])] })
    }
}

/// Checks of every epoch that what sources had read is what operators had counted.
#[derive(Default)]
struct Cuts {
    epochs: AtomicU64,
    /// Every so many epochs one is aborted.
    abort_every: Option<u64>,
    /// How many calls fail before one succeeds.
    failures: AtomicU64,
    broken: Mutex<Vec<String>>,
    answers: Mutex<BTreeMap<Epoch, Vec<Answer>>>,
}

impl Cuts {
    fn check(&self, epoch: Epoch) {
        let position = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let answers = self.answers.lock().expect("unbroken").remove(&epoch).unwrap_or_default();
        let positions = answers.iter().flat_map(|a| &a.positions).filter_map(|a| a.position.as_ref());
        let read: i64 = positions.map(|p| position(&p.0)).sum();
        let tables = answers.iter().flat_map(|a| &a.snapshots).flat_map(|(_, s)| &s.tables);
        let counted: i64 = tables.map(|t| t.batches[0].column(1).as_primitive::<Int64Type>().value(0)).sum();
        if read != counted {
            self.broken
                .lock()
                .expect("unbroken")
                .push(format!("epoch {epoch}: {read} read, {counted} counted"));
        }
    }

    fn broken(&self) -> Vec<String> {
        self.broken.lock().expect("unbroken").clone()
    }
}

impl EpochStore for Cuts {
    fn write<'a>(&'a self, epoch: Epoch, part: &'a SubtaskPart) -> BoxFuture<'a, Result<Written>> {
        self.answers.lock().expect("unbroken").entry(epoch).or_default().push(part.answer.clone());
        async { Ok(Vec::new()) }.boxed()
    }

    fn settle<'a>(&'a self, epoch: Epoch, _: &'a Proposal) -> BoxFuture<'a, Result<Verdict>> {
        async move {
            if self.failures.load(Relaxed) > 0 {
                self.failures.fetch_sub(1, Relaxed);
                return Err(thalweg_dataflow::Error::new(Code::StoreFailed, "the store is away"));
            }
            self.check(epoch);
            let n = self.epochs.fetch_add(1, Relaxed) + 1;
            let aborted = self.abort_every.is_some_and(|every| n.is_multiple_of(every));
            Ok(if aborted { Verdict::Aborted } else { Verdict::Complete })
        }
        .boxed()
    }

    fn keep<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn tidy(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

/// Two sources of different length into one counting operator with two inputs.
fn joined(lengths: [i64; 2], batch_rows: usize, endless: bool) -> (Net, Collect) {
    let (mut net, sink) = (Net::default(), Collect::new());
    let numbers =
        |n| Numbers { endless, pause: Some(Duration::from_micros(300)), ..Numbers::new(&[n], batch_rows) };
    let left = net.source("left", numbers(lengths[0]));
    let right = net.source("right", numbers(lengths[1]));
    let join = net.operator("join", made(Count::default()), &[(left, shuffle()), (right, shuffle())]);
    net.sink("out", &sink, &[(join, Distribution::Forward)]);
    (net, sink)
}

fn with_store(net: Net, parallelism: u32, settings: RuntimeSettings, store: &Arc<Cuts>) -> Job {
    Job { keeping: Keeping::Watched(Arc::clone(store) as _), ..net.job(parallelism, settings) }
}

#[tokio::test]
async fn a_source_that_ends_while_barriers_align_loses_nothing() {
    let world = two_threads();
    for seed in 0..8 {
        for lengths in [[3, 400], [0, 300], [200, 200]] {
            let (net, sink) = joined(lengths, 2, false);
            let store = Arc::new(Cuts::default());
            let job = launch(with_store(net, 3, restless(seed), &store), &world).await;
            let outcome = within(20, job.wait()).await.expect("the job ends");
            assert_eq!(outcome.how, How::Ended);
            assert_eq!(sink.rows().len() as i64, lengths.iter().sum::<i64>(), "seed {seed}, {lengths:?}");
            assert_eq!(store.broken(), [""; 0], "seed {seed}, {lengths:?}");
            assert!(lengths[1] < 300 || store.epochs.load(Relaxed) > 3, "there were epochs");
        }
    }
}

#[tokio::test]
async fn a_diamond_with_room_for_one_row_never_hangs() {
    let world = two_threads();
    for seed in 0..4 {
        let (mut net, sink) = (Net::default(), Collect::new());
        let source = net.source("numbers", Numbers::new(&[400, 300], 3));
        let fast = net.operator("fast", made(Pass::default()), &[(source, Distribution::Rebalance)]);
        let slow = net.operator("slow", made(Pass::default()), &[(source, shuffle())]);
        let slower = net.operator("slower", made(Pass::default()), &[(slow, Distribution::Rebalance)]);
        let join = net.operator("join", made(Pass::default()), &[(fast, shuffle()), (slower, shuffle())]);
        net.sink("out", &sink, &[(join, shuffle())]);
        let settings = RuntimeSettings { queue_rows_max: 1, queue_bytes_max: 1, ..restless(seed) };
        let job = net.start(2, settings, &world).await;
        within(30, job.wait()).await.expect("the job ends");
        assert_eq!(sink.rows().len(), 1400, "seed {seed}");
        assert!(job.progress().epochs_complete > 1);
    }
}

#[tokio::test]
async fn stopping_at_any_moment_gives_a_consistent_last_cut() {
    let world = two_threads();
    for millis in [0, 1, 3, 9, 27] {
        let (net, sink) = joined([300, 5000], 2, true);
        let store = Arc::new(Cuts::default());
        let job = launch(with_store(net, 3, restless(millis), &store), &world).await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        job.stop();
        let outcome = within(20, job.wait()).await.expect("the job stops");
        assert_eq!(outcome.how, How::Stopped { open_windows: 0 });
        assert_eq!(sink.rows().len() as u64, job.progress().rows_read, "rows in flight reach the sink");
        assert_eq!(store.broken(), [""; 0], "after {millis} ms");
    }
}

#[tokio::test]
async fn what_an_aborted_epoch_prepared_is_committed_with_the_next() {
    let (net, sink) = joined([300, 100], 2, false);
    let store = Arc::new(Cuts { abort_every: Some(2), ..Cuts::default() });
    let job = launch(with_store(net, 2, restless(1), &store), &two_threads()).await;
    within(20, job.wait()).await.expect("the job ends");
    let prepared = sink.seen().iter().filter(|s| matches!(s, Seen::Prepare(..))).count();
    let committed: usize = sink.commits().iter().map(|(_, count)| count).sum();
    assert_eq!(prepared, committed);
    assert!(sink.commits().iter().any(|(_, count)| *count > 2), "some commit holds two epochs");
    assert!(sink.commits().is_sorted_by(|a, b| a.0 < b.0), "epochs are committed in order, each once");
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_fails_no_job() {
    let (net, sink) = joined([30, 10], 2, false);
    let store = Arc::new(Cuts { failures: AtomicU64::new(1), ..Cuts::default() });
    let job = launch(with_store(net, 2, restless(1), &store), &two_threads()).await;
    within(20, job.wait()).await.expect("the job ends");
    assert_eq!(sink.rows().len(), 40);
}
