//! A sink that remembers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures_util::future::BoxFuture;
use thalweg_dataflow::sink::{Close, Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Result, Sink, SinkSpec, Spec};
use thalweg_state::Epoch;

use super::{Outputs, stays_in_process};

#[derive(Debug)]
pub(super) struct TestSinkSpec {
    table: String,
    outputs: Outputs,
}

impl TestSinkSpec {
    pub(super) fn new(table: String, outputs: Outputs) -> Self {
        Self { table, outputs }
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
        self.table.clone()
    }
}

impl SinkSpec for TestSinkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(TestSink { table: self.table.clone(), outputs: self.outputs.clone(), cx }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, _: RowKind) -> bool {
        true
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }
}

struct TestSink {
    table: String,
    outputs: Outputs,
    cx: PieceContext,
}

impl Sink for TestSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.cx.counters.taken.add(records.num_rows());
        self.outputs.push(&self.table, records);
        Box::pin(async { Ok(()) })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
