//! A slow sink slows the source, and memory stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use thalweg_dataflow::{Batch, Context, Distribution, Operator, Port, Result, Step, Watermark};

use thalweg_testkit::toys::*;

use super::*;
use crate::{Role, RuntimeSettings};

#[tokio::test]
async fn a_blocked_sink_bounds_what_waits_and_stops_the_source() {
    for (rows_max, bytes_max) in [(500, usize::MAX), (usize::MAX / 4, 8000)] {
        let (mut net, sink) = (Net::default(), Collect::new());
        sink.set_open(false);
        let source = net.source("numbers", Numbers::new(&[200_000], 50));
        let pass = net.operator("pass", made(Pass::default()), &[(source, Distribution::Rebalance)]);
        net.sink("out", &sink, &[(pass, Distribution::Rebalance)]);
        let bounds =
            RuntimeSettings { queue_rows_max: rows_max, queue_bytes_max: bytes_max, ..Default::default() };
        let job = net.start(1, RuntimeSettings { batch_rows_max: 100, ..bounds }, &two_threads()).await;
        let waiting = || job.channels().iter().all(|c| c.rows > 0);
        until("both channels hold rows", waiting).await;
        let mut read = 0;
        until("the source stands still", || std::mem::replace(&mut read, job.progress().rows_read) == read)
            .await;
        for channel in job.channels() {
            assert!(channel.rows <= 500 && channel.bytes <= 8000, "{channel:?}");
        }
        assert!(read < 2000, "{read} rows were read though none could leave");
        sink.set_open(true);
        within(20, job.wait()).await.expect("the job ends");
        assert_eq!(sink.rows().len(), 200_000);
        let waited: u64 = job.counters().iter().map(|r| r.counters.backpressured_nanos.get()).sum();
        assert!(waited > 0, "waiting for room is counted");
    }
}

/// At the end of its input gives two million rows, a piece at a time.
#[derive(Clone)]
struct Burst {
    left: usize,
    given: Arc<AtomicUsize>,
}

impl Burst {
    fn piece(&mut self, cx: &mut Context<'_>) -> Step {
        let count = self.left.min(cx.batch_rows_max());
        self.left -= count;
        self.given.fetch_add(count, Relaxed);
        cx.emit(Port::MAIN, rows(&vec![(0, 0); count]));
        if self.left == 0 { Step::Done } else { Step::More }
    }
}

impl Operator for Burst {
    fn on_batch(&mut self, _: Port, _: Batch, _: &mut Context<'_>) -> Result<Step> {
        Ok(Step::Done)
    }
    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        if watermark == Watermark::END { Ok(self.piece(cx)) } else { Ok(Step::Done) }
    }
    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        Ok(self.piece(cx))
    }
}

#[tokio::test]
async fn a_burst_into_a_blocked_sink_is_made_only_as_fast_as_it_leaves() {
    const ROWS: usize = 2_000_000;
    let (mut net, sink) = (Net::default(), Collect::new());
    sink.set_open(false);
    let given = Arc::new(AtomicUsize::new(0));
    let source = net.source("numbers", Numbers::new(&[10], 10));
    let burst = Burst { left: ROWS, given: Arc::clone(&given) };
    let burst = net.operator("burst", made(burst), &[(source, Distribution::Forward)]);
    net.sink("out", &sink, &[(burst, Distribution::Rebalance)]);
    let job = net.start(1, RuntimeSettings::default(), &two_threads()).await;
    let mut seen = 0;
    until("the burst begins", || given.load(Relaxed) > 0).await;
    until("the burst stands still", || std::mem::replace(&mut seen, given.load(Relaxed)) == seen).await;
    // What waits in the channel, what the sink holds, and the piece that found no room.
    assert!(seen <= 65_536 + 2 * 8192, "{seen} rows were made though none could leave");
    sink.set_open(true);
    within(30, job.wait()).await.expect("the job ends");
    let written: u64 =
        job.counters().iter().filter(|r| r.role == Role::Sink).map(|r| r.counters.rows_in.get()).sum();
    assert_eq!(written as usize, ROWS);
}
