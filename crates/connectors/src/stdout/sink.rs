//! Rows to standard output, or to whoever stands in for it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::sink::{Close, Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Registry, Result, Sink, SinkSpec, Spec};
use thalweg_state::Epoch;

use super::target::{StdoutRows, StdoutTarget, closed, write_lines};
use crate::plain_spec;
use crate::row_writer::{RowWriter, Writing};

const KIND: &str = "stdout";

/// Bytes that are gathered before they are written, while rows keep coming.
const BUFFER_BYTES: usize = 1 << 16;

pub(crate) fn register(registry: &mut Registry) {
    registry.add_sink(KIND, |bytes| {
        let plain = plain_spec::decode(bytes)?;
        Ok(Arc::new(StdoutSinkSpec { plain, target: StdoutTarget::process() }))
    });
}

/// The sink as plain data, and a target that stays in this process: elsewhere
/// it is that process's own standard output.
#[derive(Clone, Debug)]
pub(super) struct StdoutSinkSpec {
    plain: Plain,
    target: StdoutTarget,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plain {
    table: String,
    writing: Writing,
}

impl StdoutSinkSpec {
    pub(super) fn new(table: Arc<str>, writing: Writing, target: StdoutTarget) -> Self {
        Self { plain: Plain { table: table.to_string(), writing }, target }
    }
}

impl Spec for StdoutSinkSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(&self.plain)
    }

    fn label(&self) -> String {
        self.plain.writing.format_name().to_owned()
    }
}

impl SinkSpec for StdoutSinkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(StdoutSink {
            table: self.plain.table.as_str().into(),
            writer: self.plain.writing.writer()?,
            target: self.target.clone(),
            cx,
            buffer: Vec::new(),
        }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, input: RowKind) -> bool {
        self.plain.writing.accepts(input)
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }
}

struct StdoutSink {
    table: Arc<str>,
    writer: RowWriter,
    target: StdoutTarget,
    cx: PieceContext,
    /// Lines on their way. Stays empty where rows are wanted.
    buffer: Vec<u8>,
}

impl StdoutSink {
    async fn take(&mut self, records: RecordBatch) -> Result<()> {
        let count = records.num_rows();
        match &self.target {
            StdoutTarget::Rows(sender) => {
                let rows = StdoutRows { table: self.table.clone(), records: self.writer.visible(&records)? };
                sender.send(rows).await.map_err(|_| closed())?;
            }
            StdoutTarget::Lines(_) => self.writer.write(&records, &mut self.buffer)?,
        }
        self.cx.counters.taken.add(count);
        if self.buffer.len() >= BUFFER_BYTES { self.write_out().await } else { Ok(()) }
    }

    async fn write_out(&mut self) -> Result<()> {
        match &self.target {
            StdoutTarget::Lines(writer) if !self.buffer.is_empty() => {
                let written = write_lines(writer, &self.buffer).await;
                self.buffer.clear();
                written
            }
            StdoutTarget::Lines(_) | StdoutTarget::Rows(_) => Ok(()),
        }
    }
}

impl Sink for StdoutSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.take(records).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        self.write_out().boxed()
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        async { self.write_out().await.map(|()| None) }.boxed()
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        self.write_out().boxed()
    }
}
