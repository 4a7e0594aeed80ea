//! Rows to nowhere.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::sink::{Close, Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Registry, Result, Sink, SinkSpec, Spec};
use thalweg_state::Epoch;

use crate::plain_spec;

const KIND: &str = "blackhole";

pub(crate) fn register(registry: &mut Registry) {
    registry.add_sink(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<BlackholeSink>(bytes)?)));
}

/// The sink as plain data: there is nothing to say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BlackholeSink {}

impl Spec for BlackholeSink {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    fn label(&self) -> String {
        String::new()
    }
}

impl SinkSpec for BlackholeSink {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Counting { counters: cx.counters }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, _: RowKind) -> bool {
        true
    }

    fn parallelism_max(&self) -> Option<u32> {
        None
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::ExactlyOnce
    }
}

struct Counting {
    counters: Arc<OperatorCounters>,
}

impl Sink for Counting {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.counters.taken.add(records.num_rows());
        ready(Ok(())).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        ready(Ok(None)).boxed()
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }
}
