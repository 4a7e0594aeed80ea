//! Jobs whose source and sink are moved by hand: one split is silent, or the
//! sink takes nothing, and nobody may lose count of time or of memory.
#![allow(unsafe_code, reason = "an allocator that counts must be one")]

mod connector;
mod counting;
mod idleness;
mod memory;

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use thalweg::engine;
use thalweg::settings::Settings;
use thalweg_cluster::JobHandle;
use thalweg_dataflow::connector::Connector;
use thalweg_world::World;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Tests that count what the process holds run one by one.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Plans and starts a script over tables of the connector `hand`, with one subtask each.
async fn start(script: &str, hand: connector::Hand, settings: &Settings, world: &World) -> JobHandle {
    let connectors: Vec<std::sync::Arc<dyn Connector>> = vec![std::sync::Arc::new(hand)];
    let plan = engine::plan(script, connectors, settings).expect("a valid script");
    engine::start(&plan, 1, settings, None, world).await.expect("the job starts")
}

/// Runs a test in a runtime of its own, beside the job's one data thread.
fn in_a_world<F: Future>(test: impl FnOnce(World) -> F) -> F::Output {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    control.block_on(async { test(World::real(Some(1)).expect("a data thread")).await })
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until no row has moved for a while.
async fn quiet(job: &JobHandle) {
    let moved = || -> u64 {
        let of = |c: &thalweg_dataflow::counters::OperatorCounters| c.rows_in.get() + c.rows_out.get();
        job.counters().iter().map(|reading| of(&reading.counters)).sum()
    };
    let mut last = (moved(), Instant::now());
    until("nothing moves", || {
        if moved() != last.0 {
            last = (moved(), Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(500)
    })
    .await;
}
