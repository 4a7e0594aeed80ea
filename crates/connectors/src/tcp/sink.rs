//! Rows to a peer.
//!
//! Rows keep their order. What is promised is at least once as far as TCP can
//! know: rows that this process still holds are sent until the system has
//! taken them; if the connection breaks half-way, all rows of the unfinished
//! write are sent again on the next one, from the beginning of a record. Rows
//! that the system had taken and the peer had not read when it went are lost,
//! because TCP does not say so.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::sink::{Close, Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Registry, Result, Sink, SinkSpec, Spec};
use thalweg_formats::framing::Framing;
use thalweg_state::Epoch;

use super::link::{Link, Retry};
use crate::plain_spec;
use crate::row_writer::{RowWriter, Writing};

const KIND: &str = "tcp_sink";

/// Bytes that are gathered before they are written, while rows keep coming.
const BUFFER_BYTES: usize = 1 << 16;

/// Memory that is kept for the next rows.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

pub(super) fn register(registry: &mut Registry) {
    registry.add_sink(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<TcpSinkSpec>(bytes)?)));
}

/// The sink as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TcpSinkSpec {
    pub(super) address: String,
    /// None: one record right behind the other.
    pub(super) framing: Option<Framing>,
    pub(super) retry: Retry,
    pub(super) writing: Writing,
}

impl Spec for TcpSinkSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    fn label(&self) -> String {
        format!("'{}' {}", self.address, self.writing.format_name())
    }
}

impl SinkSpec for TcpSinkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(TcpSink {
            writer: self.writing.writer()?,
            framing: self.framing,
            link: Link::new(self.address.clone(), self.retry),
            cx,
            buffer: Vec::new(),
        }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, input: RowKind) -> bool {
        self.writing.accepts(input)
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }
}

struct TcpSink {
    writer: RowWriter,
    framing: Option<Framing>,
    link: Link,
    cx: PieceContext,
    /// Whole records that were not yet written.
    buffer: Vec<u8>,
}

impl TcpSink {
    async fn take(&mut self, records: RecordBatch) -> Result<()> {
        self.writer.write_framed(&records, self.framing, &mut self.buffer)?;
        self.cx.counters.taken.add(records.num_rows());
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out().await;
        }
        Ok(())
    }

    async fn write_out(&mut self) {
        if !self.buffer.is_empty() {
            self.link.write(&self.buffer).await;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        }
    }
}

impl Sink for TcpSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        self.link.open().map(Ok).boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.take(records).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        self.write_out().map(Ok).boxed()
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        self.write_out().map(|()| Ok(None)).boxed()
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        async {
            self.write_out().await;
            self.link.close().await;
            Ok(())
        }
        .boxed()
    }
}
