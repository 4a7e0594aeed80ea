//! Rows to lines of a file.
//!
//! A prepared epoch is the length of the file, always: also where nothing came.
//! So every manifest says where its rows end (see `committer`).

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::sink::{Close, Committer, SinkGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Error, Registry, Result, Sink, SinkSpec, Spec};
use thalweg_state::Epoch;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use super::committer::{FileCommitter, Length};
use super::file_error;
use crate::plain_spec;
use crate::row_writer::{RowWriter, Writing};

const KIND: &str = "single_file_sink";

/// Bytes that are gathered before they are written, while rows keep coming.
const BUFFER_BYTES: usize = 1 << 18;

pub(super) fn register(registry: &mut Registry) {
    registry.add_sink(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<FileSinkSpec>(bytes)?)));
}

/// What appears after a crash: a file can be cut, a device cannot.
pub(super) fn guarantee(path: &str) -> SinkGuarantee {
    if path.starts_with("/dev/") { SinkGuarantee::AtLeastOnce } else { SinkGuarantee::ExactlyOnce }
}

/// The sink as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FileSinkSpec {
    pub(super) path: String,
    pub(super) writing: Writing,
}

impl Spec for FileSinkSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    /// A length is that of one file.
    fn fingerprint(&self) -> String {
        format!("{KIND} '{}'", self.path)
    }

    fn label(&self) -> String {
        format!("'{}' {}", self.path, self.writing.format_name())
    }
}

impl SinkSpec for FileSinkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        let writer = self.writing.writer()?;
        let path = self.path.clone();
        Ok(Box::new(FileSink { path, writer, cx, file: None, has_length: false, buffer: Vec::new() }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(FileCommitter { path: self.path.clone() })
    }

    fn accepts(&self, input: RowKind) -> bool {
        self.writing.accepts(input)
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SinkGuarantee {
        guarantee(&self.path)
    }

    fn writes_alone_to(&self) -> Option<&str> {
        (guarantee(&self.path) == SinkGuarantee::ExactlyOnce).then_some(&self.path)
    }
}

struct FileSink {
    path: String,
    writer: RowWriter,
    cx: PieceContext,
    file: Option<File>,
    /// It is a file, not a pipe or a device.
    has_length: bool,
    buffer: Vec<u8>,
}

impl FileSink {
    /// A fresh job begins with an empty file; one that goes on keeps what is there.
    async fn begin(&mut self) -> Result<()> {
        let mut how = OpenOptions::new();
        match self.cx.fresh {
            true => how.write(true).create(true).truncate(true),
            false => how.append(true).create(true),
        };
        let failed = |e| file_error("write to", &self.path, &e);
        let file = how.open(&self.path).await.map_err(failed)?;
        self.has_length = file.metadata().await.map_err(failed)?.is_file();
        self.file = Some(file);
        Ok(())
    }

    async fn take(&mut self, records: RecordBatch) -> Result<()> {
        self.writer.write(&records, &mut self.buffer)?;
        self.cx.counters.taken.add(records.num_rows());
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out().await?;
        }
        Ok(())
    }

    async fn write_out(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let file = self.file.as_mut().ok_or_else(not_open)?;
        let mut written = file.write_all(&self.buffer).await;
        if written.is_ok() {
            // The file gives back the error of a write only when it is asked again.
            written = file.flush().await;
        }
        self.buffer.clear();
        written.map_err(|e| file_error("write to", &self.path, &e))
    }

    async fn note_length(&mut self, epoch: Epoch) -> Result<Option<Committable>> {
        self.write_out().await?;
        if !self.has_length {
            return Ok(None);
        }
        let failed = |e| file_error("write to", &self.path, &e);
        let file = self.file.as_ref().ok_or_else(not_open)?.try_clone().await.map_err(failed)?;
        let (file, path) = (file.into_std().await, self.path.clone());
        let noted = spawn_blocking(move || Length::of(&file, &path, epoch)).await;
        let noted = noted.map_err(|e| Error::internal("noting a length panicked").because(e))?;
        noted.map_err(failed)?.committable().map(Some)
    }
}

fn not_open() -> Error {
    Error::internal("a sink is written before it is open")
}

impl Sink for FileSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        self.begin().boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.take(records).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        self.write_out().boxed()
    }

    fn prepare(&mut self, epoch: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        self.note_length(epoch).boxed()
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        async {
            self.write_out().await?;
            self.file = None;
            Ok(())
        }
        .boxed()
    }
}
