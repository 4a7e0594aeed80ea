//! Where `stdout` really goes. The assembly decides, so that tests and a live
//! table can stand in for the process's own standard output.

use std::fmt;
use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use thalweg_dataflow::{Code, Error, Result};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};

/// Rows for a live table.
#[derive(Clone, Debug)]
pub struct StdoutRows {
    /// The name of the table that they were written to.
    pub table: Arc<str>,
    /// The rows, without the engine's own columns but `_diff`.
    pub records: RecordBatch,
}

/// Who takes what is written to `stdout`. Clones share it.
#[derive(Clone)]
pub enum StdoutTarget {
    /// Lines of bytes. Each lot is written under the lock, so lines are never mixed.
    Lines(Arc<Mutex<dyn AsyncWrite + Send + Unpin>>),
    /// Batches of rows. A full channel is back-pressure.
    Rows(mpsc::Sender<StdoutRows>),
}

impl StdoutTarget {
    /// The standard output of this process, as lines.
    pub fn process() -> Self {
        Self::Lines(Arc::new(Mutex::new(tokio::io::stdout())))
    }
}

impl fmt::Debug for StdoutTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StdoutTarget::Lines(_) => "Lines",
            StdoutTarget::Rows(_) => "Rows",
        })
    }
}

/// Writes and flushes whole lines.
pub(super) async fn write_lines(writer: &Mutex<dyn AsyncWrite + Send + Unpin>, lines: &[u8]) -> Result<()> {
    let mut writer = writer.lock().await;
    let mut written = writer.write_all(lines).await;
    if written.is_ok() {
        written = writer.flush().await;
    }
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => closed(),
        _ => Error::new(Code::Io, "cannot write to standard output").because(error),
    })
}

/// The error of an output that nobody reads any more.
pub(super) fn closed() -> Error {
    Error::new(Code::OutputClosed, "nobody reads standard output any more")
}
