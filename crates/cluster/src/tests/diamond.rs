//! One source, two paths, and an operator that needs both: it never hangs,
//! prefers no path, and keeps no more in flight than the queues hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thalweg_dataflow::{Batch, Context, Distribution, NodeId, Operator, Port, Result, Step, Watermark};
use thalweg_state::{Epoch, Snapshot};
use thalweg_world::{Clock, World};
use tokio::sync::watch;

use thalweg_testkit::toys::*;

use super::*;
use crate::{Role, RuntimeSettings};

/// How many rows one toy window has.
const WINDOW: i64 = 500;

/// Joins windows of two inputs that carry the same rows: gives a window once, when it is closed, and
/// checks that both inputs had given all of it by then.
#[derive(Clone, Default)]
struct Meet {
    windows: BTreeMap<i64, [Vec<(i64, i64)>; 2]>,
    barriers: Arc<AtomicU64>,
    /// Whether an input may have nothing.
    one_sided: bool,
    /// The inputs of the batches, in the order in which they came.
    order: Arc<Mutex<Vec<u16>>>,
    /// How long a batch takes.
    takes: Duration,
}

impl Operator for Meet {
    fn on_batch(&mut self, input: Port, batch: Batch, _: &mut Context<'_>) -> Result<Step> {
        self.order.lock().expect("unbroken").push(input.0);
        std::thread::sleep(self.takes);
        for (key, value) in pairs(&batch.records) {
            self.windows.entry(value / WINDOW).or_default()[usize::from(input.0)].push((key, value));
        }
        Ok(Step::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        let open = self.windows.split_off(&(watermark.nanos() / WINDOW));
        for (_, [mut left, mut right]) in std::mem::replace(&mut self.windows, open) {
            left.sort_unstable();
            right.sort_unstable();
            assert!(self.one_sided || left == right, "a window is closed that one input has not given whole");
            left.chunks(cx.batch_rows_max()).for_each(|piece| cx.emit(Port::MAIN, rows(piece)));
        }
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, _: Epoch, _: &mut Context<'_>) -> Result<Snapshot> {
        self.barriers.fetch_add(1, Relaxed);
        Ok(Snapshot::empty())
    }
}

/// Gives on what it gets, slowly.
#[derive(Clone)]
struct Slow(Duration);

impl Operator for Slow {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        std::thread::sleep(self.0);
        cx.emit(Port::MAIN, batch.records);
        Ok(Step::Done)
    }
}

/// source → watermarks, whence one path is fast and one slow, both of them through exchanges.
fn diamond(net: &mut Net, numbers: Numbers, slow: Duration) -> [(NodeId, Distribution); 2] {
    let source = net.source("numbers", Numbers { times: true, ..numbers });
    let marks = net.operator("marks", made(Watermarks::default()), &[(source, Distribution::Forward)]);
    let fast = net.operator("fast", made(Pass::default()), &[(marks, shuffle())]);
    let slow = net.operator("slow", made(Slow(slow)), &[(marks, shuffle())]);
    [(fast, shuffle()), (slow, shuffle())]
}

/// Queues that hold far less than a window.
fn narrow() -> RuntimeSettings {
    RuntimeSettings { batch_rows_max: 10, queue_rows_max: 20, ..RuntimeSettings::default() }
}

#[tokio::test]
async fn a_diamond_with_a_slow_side_never_hangs() {
    for (parallelism, seed) in [(1, None), (2, Some(1)), (3, Some(2))] {
        let (mut net, sink, meet) = (Net::default(), Collect::new(), Meet::default());
        let sides = diamond(&mut net, Numbers::new(&[6000, 4000, 5000], 10), Duration::from_micros(100));
        let node = net.operator("meet", made(meet.clone()), &sides);
        net.sink("out", &sink, &[(node, Distribution::Rebalance)]);
        let settings =
            RuntimeSettings { checkpoint_interval: Duration::ZERO, shuffle_seed: seed, ..narrow() };
        let job = net.start(parallelism, settings, &two_threads()).await;
        within(60, job.wait()).await.expect("the job ends");
        assert_eq!(sink.rows().len(), 15_000, "parallelism {parallelism}");
        assert!(meet.barriers.load(Relaxed) > 3, "barriers were on their way");
    }
}

#[tokio::test]
async fn a_slow_side_holds_the_fast_one_at_the_bound_of_its_queue() {
    let (mut net, sink, meet) = (Net::default(), Collect::new(), Meet::default());
    let sides = diamond(&mut net, Numbers { ..Numbers::new(&[100_000], 10) }, Duration::from_millis(2));
    let node = net.operator("meet", made(meet.clone()), &sides);
    net.sink("out", &sink, &[(node, Distribution::Rebalance)]);
    let job = net.start(1, narrow(), &two_threads()).await;
    until("windows come out", || sink.rows().len() > 2 * WINDOW as usize).await;
    for _ in 0..50 {
        for channel in job.channels() {
            assert!(channel.rows <= 20, "{channel:?}");
        }
        let of = |input| meet.order.lock().expect("unbroken").iter().filter(|i| **i == input).count();
        let (fast, slow) = (of(0) as i64, of(1) as i64);
        assert!((fast - slow).abs() * 10 <= 200, "{fast} batches of the fast side, {slow} of the slow one");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    job.abort();
}

#[tokio::test]
async fn inputs_that_are_always_full_take_turns() {
    for parallelism in [1, 2] {
        let (mut net, sink) = (Net::default(), Collect::new());
        let meet = Meet { takes: Duration::from_micros(500), one_sided: true, ..Meet::default() };
        let one = net.source("one", Numbers::new(&[20_000, 20_000], 10));
        let other = net.source("other", Numbers::new(&[20_000, 20_000], 10));
        let node = net.operator("meet", made(meet.clone()), &[(one, shuffle()), (other, shuffle())]);
        net.sink("out", &sink, &[(node, Distribution::Rebalance)]);
        let job = net
            .start(
                parallelism,
                RuntimeSettings {
                    queue_rows_max: 2000,
                    // However slow this machine is now.
                    queue_time_max: Duration::from_secs(3600),
                    batch_rows_max: 10,
                    ..RuntimeSettings::default()
                },
                &two_threads(),
            )
            .await;
        until("enough is seen", || meet.order.lock().expect("unbroken").len() > 600).await;
        job.abort();
        let order = meet.order.lock().expect("unbroken")[100..600].to_vec();
        let longest = order.chunk_by(|a, b| a == b).map(<[u16]>::len).max().unwrap_or_default();
        // One batch of each channel of an input, of every subtask that wrote into this list.
        let bound = (parallelism * parallelism) as usize + 2;
        assert!(longest <= bound, "{longest} batches of one input in a row, at parallelism {parallelism}");
        let of_one = order.iter().filter(|input| **input == 0).count();
        assert!((200..=300).contains(&of_one), "{of_one} of 500 batches are of one input");
    }
}

#[tokio::test]
async fn a_side_that_is_idle_holds_nothing_back() {
    for parallelism in [1, 2] {
        let (mut net, sink) = (Net::default(), Collect::new());
        let meet = Meet { one_sided: true, ..Meet::default() };
        let mut sides = Vec::new();
        for (name, length) in [("busy", 2000), ("silent", 0)] {
            let pause = (length > 0).then_some(Duration::from_millis(5));
            let numbers = Numbers { times: true, endless: true, pause, ..Numbers::new(&[length], 10) };
            let source = net.source(name, numbers);
            let marks = format!("{name}-marks");
            let from = [(source, Distribution::Forward)];
            sides.push((net.operator(&marks, made(Watermarks::default()), &from), shuffle()));
        }
        let node = net.operator("meet", made(meet), &sides);
        net.sink("out", &sink, &[(node, Distribution::Rebalance)]);
        let settings = RuntimeSettings { idle_timeout: Duration::from_millis(50), ..narrow() };
        let job = net.start(parallelism, settings, &two_threads()).await;
        until("the first window comes out", || !sink.rows().is_empty()).await;
        assert!(job.progress().rows_read < 2000, "the busy side still is busy");
        until("all windows but the last come out", || sink.rows().len() == 1500).await;
        job.abort();
    }
}

/// Time that a test moves on.
struct Hand(watch::Sender<Duration>);

impl Clock for Hand {
    fn wall_nanos(&self) -> i64 {
        i64::try_from(self.monotonic().as_nanos()).expect("a test is not that long")
    }

    fn monotonic(&self) -> Duration {
        *self.0.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (until, mut now) = (self.monotonic().saturating_add(duration), self.0.subscribe());
        async move {
            // The clock lives as long as its world; without one, nobody waits.
            let _ = now.wait_for(|now| *now >= until).await;
        }
        .boxed()
    }
}

/// Lets everything that can go on do so.
async fn settle() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

/// Takes a millisecond for each row.
#[derive(Clone)]
struct MovesTime(Arc<Hand>);

impl Operator for MovesTime {
    fn on_batch(&mut self, _: Port, batch: Batch, _: &mut Context<'_>) -> Result<Step> {
        let takes = Duration::from_millis(batch.rows() as u64);
        self.0.0.send_modify(|now| *now += takes);
        Ok(Step::Done)
    }
}

#[tokio::test]
async fn no_more_rows_wait_for_a_slow_operator_than_it_works_off_in_a_tenth_of_a_second() {
    let clock = Arc::new(Hand(watch::Sender::new(Duration::ZERO)));
    let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..World::single_threaded(1) };
    let (mut net, sink) = (Net::default(), Collect::new());
    let source = net.source("numbers", Numbers::new(&[100_000], 10));
    let slow = net.operator("slow", made(MovesTime(clock)), &[(source, shuffle())]);
    net.sink("out", &sink, &[(slow, shuffle())]);
    let job = net.start(1, RuntimeSettings::default(), &world).await;
    let mut most = 0;
    while job.progress().rows_read < 3_000 {
        tokio::task::yield_now().await;
        most = job.channels().iter().map(|channel| channel.rows).max().unwrap_or(0).max(most);
    }
    assert!((60..=100).contains(&most), "{most} rows wait");
    job.abort();
}

#[tokio::test]
async fn a_sink_that_blocks_for_thirty_seconds_costs_no_memory() {
    const ROWS: i64 = 300_000;
    let clock = Arc::new(Hand(watch::Sender::new(Duration::ZERO)));
    let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..World::single_threaded(1) };
    let (mut net, sink) = (Net::default(), Collect::new());
    sink.set_open(false);
    let source = net.source("numbers", Numbers::new(&[ROWS], 100));
    let pass = net.operator("pass", made(Pass::default()), &[(source, shuffle())]);
    net.sink("out", &sink, &[(pass, shuffle())]);
    let settings =
        RuntimeSettings { batch_rows_max: 100, queue_rows_max: 1000, ..RuntimeSettings::default() };
    let job = net.start(1, settings, &world).await;
    settle().await;
    let read_at_first = job.progress().rows_read;
    let bytes = || job.channels().iter().map(|channel| channel.bytes).sum::<usize>();
    let bytes_at_first = bytes();
    assert!(read_at_first > 3 * 100, "rows wait, beside the batch in each hand: {read_at_first}");
    for _ in 0..300 {
        clock.0.send_modify(|now| *now += Duration::from_millis(100));
        settle().await;
        for channel in job.channels() {
            assert!(channel.rows <= 1000, "{channel:?}");
        }
        // What waits in two channels, and a batch in the hands of each subtask.
        assert!(job.progress().rows_read <= 2 * 1000 + 3 * 100, "{}", job.progress().rows_read);
        assert!(bytes() <= bytes_at_first, "{} bytes, {bytes_at_first} at first", bytes());
    }
    assert_eq!(job.progress().rows_read, read_at_first, "nothing is read that finds no room");
    assert!(sink.rows().is_empty());
    sink.set_open(true);
    within(30, job.wait()).await.expect("the job ends");
    let counters = job.counters();
    let written = counters.iter().filter(|reading| reading.role == Role::Sink);
    assert_eq!(written.map(|reading| reading.counters.rows_in.get()).sum::<u64>(), ROWS as u64);
}
