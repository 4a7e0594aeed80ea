//! An epoch holds the part of every subtask, however long one of them takes to be written.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thalweg_dataflow::Result;
use thalweg_state::Epoch;
use thalweg_testkit::toys::*;

use super::*;
use crate::{EpochStore, Job, Keeping, Proposal, RuntimeSettings, SubtaskPart, Verdict, Written};

/// Writes the sink's part slowly, and notes how many parts each epoch has.
#[derive(Default)]
struct SlowForSinks {
    parts: Mutex<Vec<Option<usize>>>,
    written: AtomicUsize,
}

impl EpochStore for SlowForSinks {
    fn write<'a>(&'a self, _: Epoch, part: &'a SubtaskPart) -> BoxFuture<'a, Result<Written>> {
        if part.operators.iter().any(|operator| operator.id.as_str() == "out") {
            // The sink finishes meanwhile, and is asked for its part once more.
            std::thread::sleep(Duration::from_millis(300));
        }
        self.written.fetch_add(1, Relaxed);
        async { Ok(Vec::new()) }.boxed()
    }

    fn settle<'a>(&'a self, _: Epoch, proposal: &'a Proposal) -> BoxFuture<'a, Result<Verdict>> {
        self.parts.lock().expect("unbroken").push(proposal.parts.as_ref().map(Vec::len));
        async { Ok(Verdict::Complete) }.boxed()
    }

    fn keep<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn tidy(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }
}

#[tokio::test]
async fn a_part_that_is_written_late_drives_out_no_other() {
    let (mut net, sink, store) = (Net::default(), Collect::new(), Arc::new(SlowForSinks::default()));
    let source = net.source("numbers", Numbers { endless: true, ..Numbers::new(&[20], 10) });
    net.sink("out", &sink, &[(source, shuffle())]);
    sink.set_open(false);
    let settings =
        RuntimeSettings { checkpoint_interval: Duration::from_secs(3600), ..RuntimeSettings::default() };
    let job = Job { keeping: Keeping::Watched(Arc::clone(&store) as _), ..net.job(1, settings) };
    let handle = launch(job, &two_threads()).await;
    until("rows wait for the sink", || handle.progress().rows_read == 20).await;
    // The source's part is written when the barrier reaches the sink.
    handle.stop();
    until("the source has given its part", || store.written.load(Relaxed) > 0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    sink.set_open(true);
    within(10, handle.wait()).await.expect("it stops");
    assert_eq!(*store.parts.lock().expect("unbroken"), [Some(2)]);
}
