//! Jobs from source to sink: rows, order, endings, counters.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_dataflow::sink::Close;
use thalweg_dataflow::{Distribution, NodeId, Watermark};

use thalweg_testkit::toys::*;

use super::*;
use crate::{How, JobHandle, Role, RuntimeSettings};

fn expected(lengths: &[i64], keys: i64) -> Vec<(i64, i64)> {
    let mut rows: Vec<_> = lengths.iter().flat_map(|&n| (0..n).map(move |v| (v % keys, v))).collect();
    rows.sort_unstable();
    rows
}

fn counted(job: &JobHandle, role: Role) -> (u64, u64) {
    let counters = job.counters();
    let of = counters.iter().filter(|r| r.role == role);
    of.fold((0, 0), |(i, o), r| (i + r.counters.rows_in.get(), o + r.counters.rows_out.get()))
}

#[tokio::test]
async fn one_chain_carries_every_row_in_order_and_counts_it() {
    let (mut net, sink) = (Net::default(), Collect::new());
    let source = net.source("numbers", Numbers::new(&[1000], 64));
    let pass = net.operator("pass", made(Pass::default()), &[(source, Distribution::Forward)]);
    net.sink("out", &sink, &[(pass, Distribution::Forward)]);
    let job = net.start(1, RuntimeSettings::default(), &two_threads()).await;
    let outcome = within(10, job.wait()).await.expect("the job ends");
    assert_eq!(outcome.how, How::Ended);
    let rows: Vec<_> = sink.rows().into_iter().map(|(_, (_, v))| v).collect();
    assert_eq!(rows, (0..1000).collect::<Vec<_>>());
    assert_eq!(counted(&job, Role::Source), (0, 1000));
    assert_eq!(counted(&job, Role::Operator), (1000, 1000));
    assert_eq!(counted(&job, Role::Sink), (1000, 1000));
    assert!(job.channels().is_empty(), "one chain has no channel");
    let progress = job.progress();
    assert_eq!((progress.rows_read, progress.rows_written, progress.watermark), (1000, 1000, Watermark::END));
    assert_eq!(sink.commits(), [(1, 1)], "the last epoch is committed");
    assert!(matches!(sink.seen().last(), Some(Seen::Close(0, Close::End))));
}

#[tokio::test]
async fn paths_that_part_and_meet_again_run_in_one_chain() {
    let (mut net, sink) = (Net::default(), Collect::new());
    let source = net.source("numbers", Numbers { times: true, ..Numbers::new(&[300], 7) });
    let marks = net.operator("marks", made(Watermarks::default()), &[(source, Distribution::Forward)]);
    let left = net.operator("left", made(Pass::default()), &[(marks, Distribution::Forward)]);
    let right = net.operator("right", made(Pass::default()), &[(marks, Distribution::Forward)]);
    let both = [(left, Distribution::Forward), (right, Distribution::Forward)];
    let join = net.operator("join", made(Pass::default()), &both);
    net.sink("out", &sink, &[(join, Distribution::Forward)]);
    let job = net.start(1, RuntimeSettings::default(), &two_threads()).await;
    within(10, job.wait()).await.expect("the job ends");
    assert_eq!(sink.rows().len(), 600);
    assert_eq!(job.progress().watermark, Watermark::END);
}

async fn shuffled(batch_rows: usize, seed: Option<u64>) {
    let (mut net, sink) = (Net::default(), Collect::new());
    let lengths = [3001, 7, 0, 5000, 411, 3001];
    let source = net.source("numbers", Numbers::new(&lengths, batch_rows));
    let pass = net.operator("pass", made(Pass::default()), &[(source, shuffle())]);
    net.sink("out", &sink, &[(pass, Distribution::Forward)]);
    let settings = RuntimeSettings {
        shuffle_seed: seed,
        checkpoint_interval: Duration::from_millis(5),
        queue_rows_max: 500,
        ..RuntimeSettings::default()
    };
    let job = net.start(4, settings, &two_threads()).await;
    within(60, job.wait()).await.expect("the job ends");
    assert_eq!(sink.sorted(), expected(&lengths, 97));
    let mut owner: BTreeMap<i64, u32> = BTreeMap::new();
    for (subtask, (key, _)) in sink.rows() {
        assert_eq!(*owner.entry(key).or_insert(subtask), subtask, "a key has one owner");
    }
    let owners: std::collections::BTreeSet<_> = owner.values().collect();
    assert!(owners.len() == 4, "every subtask owns keys: {owners:?}");
}

#[tokio::test]
async fn a_shuffle_keeps_every_row_at_any_batch_size() {
    for batch_rows in [1, 3, 8192] {
        shuffled(batch_rows, None).await;
        shuffled(batch_rows, Some(batch_rows as u64)).await;
    }
}

#[tokio::test]
async fn a_shuffle_keeps_the_order_of_each_key() {
    for batch_rows in [1, 3, 8192] {
        let (mut net, sink) = (Net::default(), Collect::new());
        let source = net.source("numbers", Numbers::new(&[20_000], batch_rows));
        net.sink("out", &sink, &[(source, shuffle())]);
        let job = net.start(3, RuntimeSettings::default(), &two_threads()).await;
        within(60, job.wait()).await.expect("the job ends");
        let mut last: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, (key, value)) in sink.rows() {
            let before = last.insert(key, value);
            assert!(before.is_none_or(|b| b < value), "key {key}: {value} came behind {before:?}");
        }
        assert_eq!(sink.rows().len(), 20_000);
    }
}

#[tokio::test]
async fn rebalance_and_broadcast_deal_rows_out() {
    for (distribution, copies) in [(Distribution::Rebalance, 1), (Distribution::Broadcast, 4)] {
        let (mut net, sink) = (Net::default(), Collect::new());
        let source = net.source("numbers", Numbers::new(&[4000], 10));
        net.sink("out", &sink, &[(source, distribution.clone())]);
        let job = net.start(4, RuntimeSettings::default(), &two_threads()).await;
        within(10, job.wait()).await.expect("the job ends");
        for subtask in 0..4 {
            let count = sink.rows().iter().filter(|(s, _)| *s == subtask).count();
            assert_eq!(count, 1000 * copies, "{distribution:?}");
        }
    }
}

#[tokio::test]
async fn a_stop_delivers_rows_in_flight_and_closes_no_window() {
    let (mut net, sink) = (Net::default(), Collect::new());
    let source = net.source("numbers", Numbers { endless: true, ..Numbers::new(&[5000, 5000], 10) });
    let pass = net.operator("pass", made(Pass::default()), &[(source, shuffle())]);
    net.sink("out", &sink, &[(pass, Distribution::Forward)]);
    let job = net.start(2, RuntimeSettings::default(), &two_threads()).await;
    until("rows arrive", || !sink.rows().is_empty()).await;
    job.stop();
    let outcome = within(10, job.wait()).await.expect("the job stops");
    assert_eq!(outcome.how, How::Stopped { open_windows: 0 });
    let progress = job.progress();
    assert_eq!(progress.rows_read, sink.rows().len() as u64, "what was read was written");
    assert_eq!(progress.watermark, Watermark::START, "time has not ended");
    assert_eq!(sink.commits(), [(1, 2)]);
    assert!(matches!(sink.seen().last(), Some(Seen::Close(_, Close::Stop))));
}

#[tokio::test]
async fn a_source_that_rests_is_flushed_at_once() {
    let (mut net, sink) = (Net::default(), Collect::new());
    let source = net.source("numbers", Numbers { endless: true, ..Numbers::new(&[7], 3) });
    net.sink("out", &sink, &[(source, shuffle())]);
    let job = net.start(4, RuntimeSettings::default(), &two_threads()).await;
    until("the last row arrives though no batch is full", || sink.rows().len() == 7).await;
    until("the sinks are flushed", || sink.seen().iter().any(|s| matches!(s, Seen::Flush(_)))).await;
    job.abort();
    let error = within(5, job.wait()).await.expect_err("an aborted job is no success");
    assert_eq!(error.code().as_str(), "aborted");
}

#[tokio::test]
async fn a_job_that_nobody_holds_is_aborted() {
    let (mut net, sink) = (Net::default(), Collect::new());
    let source = net.source("numbers", Numbers { endless: true, ..Numbers::new(&[1], 1) });
    net.sink("out", &sink, &[(source, Distribution::Forward)]);
    let job = net.start(1, RuntimeSettings::default(), &two_threads()).await;
    until("it runs", || !sink.rows().is_empty()).await;
    let counters = std::sync::Arc::downgrade(&job.counters()[0].counters);
    drop(job);
    until("all of it is gone", || counters.strong_count() == 0).await;
}

#[tokio::test]
async fn two_jobs_share_a_process() {
    let world = two_threads();
    let job = async |length| {
        let (mut net, sink) = (Net::default(), Collect::new());
        let source = net.source("numbers", Numbers::new(&[length], 5));
        net.sink("out", &sink, &[(source, shuffle())]);
        (net.start(2, RuntimeSettings::default(), &world).await, sink)
    };
    let ((a, a_sink), (b, b_sink)) = (job(500).await, job(900).await);
    let (a, b) = within(10, async { tokio::join!(a.wait(), b.wait()) }).await;
    assert!(a.is_ok() && b.is_ok());
    assert_eq!((a_sink.rows().len(), b_sink.rows().len()), (500, 900));
}

#[tokio::test]
async fn everything_runs_on_one_thread_too() {
    let world = thalweg_world::World::single_threaded(1);
    let (mut net, sink) = (Net::default(), Collect::new());
    let source = net.source("numbers", Numbers::new(&[5000, 300], 7));
    net.sink("out", &sink, &[(source, shuffle())]);
    let settings = RuntimeSettings { shuffle_seed: Some(9), ..RuntimeSettings::default() };
    let job = net.start(3, settings, &world).await;
    within(20, job.wait()).await.expect("the job ends");
    assert_eq!(sink.sorted(), expected(&[5000, 300], 97));
    let _: NodeId = job.counters()[0].node;
}
