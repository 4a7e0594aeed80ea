//! Another number of subtasks while rows flow: every row once, in order, with its state, none behind time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thalweg_dataflow::Distribution;
use thalweg_state::store::MemoryStore;
use thalweg_testkit::toys::*;

use super::*;
use crate::{Durable, How, Keeping, RestoreFrom};

const KEYS: i64 = 61;

/// Numbers by key: sources of several splits, time by split, a count of each key, a sink.
fn counting(lengths: &[i64], pause: Duration) -> (Net, Collect) {
    let (mut net, sink) = (Net::default(), Collect::new());
    let numbers =
        Numbers { keys: KEYS, times: true, pause: Some(pause), ..Numbers::new(lengths, 3) };
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
