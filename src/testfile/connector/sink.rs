//! A sink that publishes exactly once, into a ledger that outlives it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures_util::future::{BoxFuture, FutureExt, ready};
use thalweg_dataflow::sink::{Close, Committer, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Error, Result, Sink, SinkSpec, Spec};
use thalweg_state::{Epoch, Incarnation, JobId};

use super::ledger::Place;
use super::{Outputs, stays_in_process};

#[derive(Debug)]
pub(super) struct TestSinkSpec {
    place: Place,
    outputs: Outputs,
    /// Whether every subtask writes by itself.
    spread: bool,
}

impl TestSinkSpec {
    pub(super) fn new(place: Place, outputs: Outputs, spread: bool) -> Self {
        Self { place, outputs, spread }
    }
}

impl Spec for TestSinkSpec {
    fn kind(&self) -> &'static str {
        "test_sink"
    }

    fn encode(&self) -> Result<Vec<u8>> {
        stays_in_process()
    }

    fn label(&self) -> String {
        self.place.table.clone()
    }
}

impl SinkSpec for TestSinkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        let (place, outputs) = (self.place.clone(), self.outputs.clone());
        Ok(Box::new(TestSink { place, outputs, cx, rows: Vec::new() }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(TestCommitter { place: self.place.clone(), outputs: self.outputs.clone() })
    }

    fn accepts(&self, _: RowKind) -> bool {
        true
    }

    fn parallelism_max(&self) -> Option<u32> {
        (!self.spread).then_some(1)
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::ExactlyOnce
    }
}

struct TestSink {
    place: Place,
    outputs: Outputs,
    cx: PieceContext,
    /// What came since the last epoch.
    rows: Vec<RecordBatch>,
}

impl Sink for TestSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.cx.counters.taken.add(records.num_rows());
        self.rows.push(records);
        ready(Ok(())).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return ready(Ok(None)).boxed();
        }
        ready(self.outputs.prepare(&self.place, self.cx.incarnation, rows).map(Some)).boxed()
    }

    fn close(&mut self, why: Close) -> BoxFuture<'_, Result<()>> {
        if why == Close::End && !self.rows.is_empty() {
            let what = format!("'{}' is closed with rows that no epoch holds", self.place.table);
            return ready(Err(Error::internal(what))).boxed();
        }
        ready(Ok(())).boxed()
    }
}

struct TestCommitter {
    place: Place,
    outputs: Outputs,
}

impl Committer for TestCommitter {
    fn commit<'a>(&'a self, _: Epoch, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        ready(self.outputs.commit(committables)).boxed()
    }

    fn restore<'a>(&'a self, _: Option<Epoch>, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        let committed = self.outputs.commit(committables);
        self.outputs.undo(&self.place);
        ready(committed).boxed()
    }

    fn fence<'a>(&'a self, _: &'a JobId, incarnation: Incarnation) -> BoxFuture<'a, Result<()>> {
        self.outputs.fence(&self.place, incarnation);
        ready(Ok(())).boxed()
    }
}
