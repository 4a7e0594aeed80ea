//! Whatever fails, wherever: the job ends soon, and its error says where and why.

use std::sync::Arc;
use std::time::Duration;

use thalweg_dataflow::Distribution;
use thalweg_world::World;

use thalweg_testkit::toys::*;

use super::*;
use crate::RuntimeSettings;

const SOURCE_CALLS: [&str; 4] = ["open", "next", "positions", "on_settled"];
const OPERATOR_CALLS: [&str; 5] = ["open", "on_batch", "on_watermark", "flush", "on_barrier"];
const SINK_CALLS: [&str; 6] = ["open", "write", "flush", "prepare", "close", "commit"];

/// source → operator → shuffle → operator → sink, where one piece fails in one call.
fn job(piece: &str, fault: Fault, sink: &Collect) -> Net {
    let fault_of = |name: &str| (name == piece).then_some(fault);
    let mut net = Net::default();
    let numbers = Numbers { times: true, fault: fault_of("numbers"), ..Numbers::new(&[2000, 2000], 100) };
    let source = net.source("numbers", Numbers { pause: Some(Duration::from_micros(500)), ..numbers });
    let marks = net.operator("marks", made(Watermarks::default()), &[(source, Distribution::Forward)]);
    let near =
        net.operator("near", made(Pass { fault: fault_of("near") }), &[(marks, Distribution::Forward)]);
    let far = net.operator("far", made(Pass { fault: fault_of("far") }), &[(near, shuffle())]);
    let sink = Collect { fault: fault_of("out"), ..sink.clone() };
    net.sink("out", &sink, &[(far, Distribution::Forward)]);
    net
}

async fn fails(world: &World, piece: &str, fault: Fault) {
    let settings =
        RuntimeSettings { checkpoint_interval: Duration::from_millis(1), ..RuntimeSettings::default() };
    let handle = job(piece, fault, &Collect::new()).start(2, settings, world).await;
    let error = within(5, handle.wait()).await.expect_err("a planted fault fails the job");
    let (code, why) = if fault.panics {
        ("operator-panicked", format!("planted panic in {}", fault.call))
    } else {
        ("operator-failed", fault.call.to_owned())
    };
    assert_eq!(error.code().as_str(), code, "{piece} {fault:?}: {error}");
    assert!(error.why().is_some_and(|w| w.contains(&why)), "{piece} {fault:?}: {error}");
    let site = error.site().unwrap_or_default();
    assert!(site.contains(&format!("'{piece}', subtask ")), "{piece} {fault:?}: {error}");
}

#[tokio::test]
async fn every_fault_ends_the_job_and_is_named() {
    let world = two_threads();
    let cases = SOURCE_CALLS.map(|call| ("numbers", call)).into_iter();
    let cases = cases.chain(OPERATOR_CALLS.map(|call| ("near", call)));
    let cases = cases.chain(OPERATOR_CALLS.map(|call| ("far", call)));
    for (piece, call) in cases.chain(SINK_CALLS.map(|call| ("out", call))) {
        for panics in [false, true] {
            // What cannot answer with an error can only panic.
            if !panics && call == "positions" || call == "commit" {
                continue;
            }
            fails(&world, piece, Fault { call, panics }).await;
        }
    }
}

#[tokio::test]
async fn a_committer_that_fails_or_panics_fails_the_job() {
    for panics in [false, true] {
        let fault = Fault { call: "commit", panics };
        let handle =
            job("out", fault, &Collect::new()).start(2, RuntimeSettings::default(), &two_threads()).await;
        let error = within(5, handle.wait()).await.expect_err("a planted fault fails the job");
        assert_eq!(error.site(), Some("sink 'out', commit"), "{error}");
    }
}

#[tokio::test]
async fn a_fault_elsewhere_ends_a_job_whose_sink_blocks() {
    let sink = Collect::new();
    sink.set_open(false);
    let mut net = Net::default();
    let fine = net.source("fine", Numbers::new(&[100_000], 100));
    net.sink("blocked", &sink, &[(fine, shuffle())]);
    let fault = Some(Fault { call: "on_batch", panics: true });
    let rows = Numbers { pause: Some(Duration::from_millis(50)), ..Numbers::new(&[10], 1) };
    let bad = net.source("bad", rows);
    let bad = net.operator("bad operator", made(Pass { fault }), &[(bad, Distribution::Forward)]);
    net.sink("other", &Collect::new(), &[(bad, Distribution::Forward)]);
    let handle = net.start(2, RuntimeSettings::default(), &two_threads()).await;
    let error = within(5, handle.wait()).await.expect_err("a planted fault fails the job");
    assert_eq!(error.site(), Some("operator 'bad operator', subtask 0"));
    let pieces = handle.counters().iter().map(|r| Arc::downgrade(&r.counters)).collect::<Vec<_>>();
    drop(handle);
    until("every piece is dropped", || pieces.iter().all(|p| p.strong_count() == 0)).await;
}
