//! Another number of subtasks while rows flow: every row once, in order, with its state, none behind time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thalweg_dataflow::{Age, Batch, Context, Distribution, Operator, Port, Result, Step, Watermark};
use thalweg_state::store::MemoryStore;
use thalweg_state::{Epoch, History, KeyGroups, Restored, Snapshot};
use thalweg_testkit::toys::*;

use super::*;
use crate::{Durable, How, Keeping, RestoreFrom, Savepoint};

const KEYS: i64 = 61;

/// Numbers by key: sources of several splits, time by split, a count of each key, a sink.
fn counting(lengths: &[i64], pause: Duration) -> (Net, Collect) {
    let (mut net, sink) = (Net::default(), Collect::new());
    let numbers = Numbers { keys: KEYS, times: true, pause: Some(pause), ..Numbers::new(lengths, 3) };
    let source = net.source("numbers", numbers);
    let timed = net.operator("time", made(Watermarks::default()), &[(source, Distribution::Forward)]);
    let count = net.operator("count", made(Counting::default()), &[(timed, shuffle())]);
    net.sink("out", &sink, &[(count, Distribution::Forward)]);
    (net, sink)
}

fn kept(net: Net, parallelism: u32, seed: u64) -> Job {
    let settings = RuntimeSettings {
        checkpoint_interval: Duration::from_millis(3),
        shuffle_seed: Some(seed),
        ..RuntimeSettings::default()
    };
    let durable = Durable {
        store: Arc::new(MemoryStore::default()),
        retain: 3,
        restore: RestoreFrom::Newest,
        allow_dropped_state: false,
    };
    Job { keeping: Keeping::Durable(durable), ..net.job(parallelism, settings) }
}

/// Every key was counted to its end, one by one.
fn check(sink: &Collect, lengths: &[i64], what: &str) {
    let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
    lengths.iter().flat_map(|&length| 0..length).for_each(|n| *expected.entry(n % KEYS).or_default() += 1);
    let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
    for (_, (key, count)) in sink.rows() {
        let last = seen.entry(key).or_default();
        assert_eq!(count, *last + 1, "{what}: key {key}");
        *last = count;
    }
    assert_eq!(seen, expected, "{what}");
}

#[tokio::test]
async fn subtasks_come_and_go_while_rows_flow() {
    let world = two_threads();
    for seed in 0..3 {
        let lengths = [1500, 1100, 1500, 600, 1400];
        let (net, sink) = counting(&lengths, Duration::from_micros(300));
        let job = launch(kept(net, 1, seed), &world).await;
        let mut done = 0;
        for parallelism in [2, 4, 3, 1, 2] {
            tokio::time::sleep(Duration::from_millis(20 + seed * 7)).await;
            match within(20, job.rescale(parallelism)).await {
                Ok(()) => {
                    done += 1;
                    assert_eq!(job.parallelism(), parallelism);
                }
                Err(error) => assert_eq!(error.code(), thalweg_dataflow::Code::Conflict, "{error}"),
            }
        }
        let outcome = within(60, job.wait()).await.expect("the job ends");
        assert_eq!(outcome.how, How::Ended);
        check(&sink, &lengths, &format!("seed {seed}"));
        assert!(done >= 3, "seed {seed}: only {done} rescales");
    }
}

#[tokio::test]
async fn a_rescale_that_cannot_be_prepared_is_taken_back() {
    let world = two_threads();
    let lengths = [900, 900];
    let (net, sink) = counting(&lengths, Duration::from_micros(300));
    let job = launch(kept(net, 2, 1), &world).await;
    let zero = within(20, job.rescale(0)).await.expect_err("no subtask at all");
    let many = within(20, job.rescale(1_000_000)).await.expect_err("more than there can be");
    assert!(job.parallelism() == 2 && job.counters().iter().all(|r| r.subtask.0 < 2), "{zero} {many}");
    let first = job.rescale(3);
    let second = job.rescale(4);
    let (first, second) = within(20, async { tokio::join!(first, second) }).await;
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(second.expect_err("one at a time").code(), thalweg_dataflow::Code::Conflict);
    within(60, job.wait()).await.expect("the job ends");
    check(&sink, &lengths, "after refusals");
}

#[tokio::test]
async fn a_stop_that_is_asked_for_twice_keeps_both_names() {
    let (net, _) = counting(&[100_000], Duration::from_micros(300));
    let job = kept(net, 2, 1);
    let Keeping::Durable(Durable { store, .. }) = &job.keeping else { panic!("it is kept") };
    let history = History::new(Arc::clone(store), job.id.clone());
    let job = launch(job, &two_threads()).await;
    ["before", "after"].iter().for_each(|label| job.stop_with_savepoint(Savepoint((*label).to_owned())));
    within(20, job.wait()).await.expect("the job stops");
    assert_eq!(history.savepoints().await.expect("a store in memory"), ["after", "before"]);
}

#[tokio::test]
async fn a_job_that_is_kept_nowhere_says_that_it_cannot_be_rescaled() {
    let (net, sink) = counting(&[300], Duration::from_micros(300));
    let job = net.start(1, RuntimeSettings::default(), &two_threads()).await;
    let error = within(20, job.rescale(2)).await.expect_err("there is no store");
    assert_eq!(error.code(), thalweg_dataflow::Code::Conflict);
    within(60, job.wait()).await.expect("the job ends");
    check(&sink, &[300], "without a store");
}

/// Counts, takes state in slowly, and writes down when state comes and when it leaves.
#[derive(Clone, Default)]
struct Slow {
    counting: Counting,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Operator for Slow {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.counting.open(restored, cx)
    }
    fn on_batch(&mut self, input: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        self.counting.on_batch(input, batch, cx)
    }
    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.counting.on_watermark(watermark, cx)
    }
    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        self.counting.on_barrier(epoch, cx)
    }
    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.counting.on_settled(epoch, complete);
    }
    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        if age == Age::Durable {
            std::thread::sleep(Duration::from_millis(400));
            self.log.lock().expect("nobody panicked").push("comes");
        }
        self.counting.put(groups, given, age)
    }
    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.log.lock().expect("nobody panicked").push("leaves");
        self.counting.forget(groups)
    }
}

#[tokio::test]
async fn what_epochs_hold_is_in_place_before_the_barrier_that_moves_it() {
    let lengths = [2000, 2000];
    let (mut net, sink, slow) = (Net::default(), Collect::new(), Slow::default());
    let numbers = Numbers {
        keys: KEYS,
        times: true,
        pause: Some(Duration::from_micros(300)),
        ..Numbers::new(&lengths, 3)
    };
    let source = net.source("numbers", numbers);
    let timed = net.operator("time", made(Watermarks::default()), &[(source, Distribution::Forward)]);
    let count = net.operator("count", made(slow.clone()), &[(timed, shuffle())]);
    net.sink("out", &sink, &[(count, Distribution::Forward)]);
    // What is slow has a thread of its own: it does not keep the barrier from coming.
    let world = World::real(Some(4)).expect("threads can be started");
    let job = launch(kept(net, 1, 1), &world).await;
    until("there is something to move", || job.progress().epochs_complete > 3).await;
    within(20, job.rescale(2)).await.expect("it can be rescaled");
    let log = slow.log.lock().expect("nobody panicked").clone();
    let leaves = log.iter().position(|&what| what == "leaves").expect("state left");
    assert!(leaves > 0 && log[leaves..].iter().all(|&what| what == "leaves"), "{log:?}");
    within(60, job.wait()).await.expect("the job ends");
    check(&sink, &lengths, "after the move");
}
