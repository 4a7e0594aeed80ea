//! The rows of one file after the other, of either format.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, Result};
use thalweg_formats::framing::LinePosition;
use tokio::task::JoinHandle;

use super::parquet_rows::{ParquetDecoder, ParquetFile};
use super::store::{Found, Store};
use crate::lines::{LineDecoder, LineReading, Lines};

/// How files are read, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum FileReading {
    Lines(LineReading),
    Parquet(Schema),
}

/// The next thing to read in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// A line, by its first byte and its number.
    Line { offset: u64, line: u64 },
    /// A row, over all row groups.
    Row(u64),
}

impl FileReading {
    pub(super) fn output_schema(&self) -> SchemaRef {
        match self {
            FileReading::Lines(lines) => lines.output_schema(),
            FileReading::Parquet(schema) => Arc::new(schema.clone()),
        }
    }

    pub(super) fn format_name(&self) -> &'static str {
        match self {
            FileReading::Lines(lines) => lines.reading.format.name(),
            FileReading::Parquet(_) => "parquet",
        }
    }

    /// Where a file begins.
    pub(super) fn start(&self) -> Place {
        match self {
            FileReading::Lines(_) => {
                let LinePosition { offset, line } = LinePosition::START;
                Place::Line { offset, line }
            }
            FileReading::Parquet(_) => Place::Row(0),
        }
    }

    pub(super) fn decoder(&self, cx: &PieceContext) -> Result<FileDecoder> {
        Ok(match self {
            FileReading::Lines(lines) => FileDecoder::Lines(lines.decoder(cx)?),
            FileReading::Parquet(_) => FileDecoder::Parquet(ParquetDecoder::new(self.output_schema(), cx)),
        })
    }
}

/// Gives the rows of files.
pub(super) enum FileDecoder {
    Lines(LineDecoder),
    Parquet(ParquetDecoder),
}

/// A file while it is read.
pub(super) enum OpenFile {
    Lines(LineFile),
    Parquet(ParquetFile),
}

impl FileDecoder {
    /// Opens this version of a file at `place`.
    pub(super) async fn open(&mut self, store: &Arc<Store>, file: Found, place: Place) -> Result<OpenFile> {
        match (self, place) {
            (FileDecoder::Lines(decoder), Place::Line { offset, line }) => {
                let lines = decoder.begin(LinePosition { offset, line });
                Ok(OpenFile::Lines(LineFile::begin(Arc::clone(store), file, lines)))
            }
            (FileDecoder::Parquet(decoder), Place::Row(row)) => {
                Ok(OpenFile::Parquet(decoder.open(Arc::clone(store), file, row).await?))
            }
            (FileDecoder::Lines(_), Place::Row(_)) | (FileDecoder::Parquet(_), Place::Line { .. }) => {
                Err(Error::internal(format!("the position in '{}' is of another format", file.name)))
            }
        }
    }

    /// The next rows of `file`, or none at its end. May be dropped while it waits.
    pub(super) async fn next(&mut self, file: &mut OpenFile) -> Result<Option<RecordBatch>> {
        match (self, file) {
            (FileDecoder::Lines(decoder), OpenFile::Lines(file)) => file.next(decoder).await,
            (FileDecoder::Parquet(decoder), OpenFile::Parquet(file)) => decoder.next(file).await,
            (FileDecoder::Lines(_), OpenFile::Parquet(_)) | (FileDecoder::Parquet(_), OpenFile::Lines(_)) => {
                Err(Error::internal("a file is of another format than its decoder"))
            }
        }
    }
}

impl OpenFile {
    /// Behind the last row given out.
    pub(super) fn place(&self) -> Place {
        match self {
            OpenFile::Lines(file) => {
                let LinePosition { offset, line } = file.lines.position;
                Place::Line { offset, line }
            }
            OpenFile::Parquet(file) => Place::Row(file.row),
        }
    }
}

/// A file of lines, read one chunk ahead: while one is decoded the next is on its way.
pub(super) struct LineFile {
    store: Arc<Store>,
    file: Found,
    lines: Lines,
    /// The first byte that nobody asked for yet.
    asked: u64,
    running: Option<JoinHandle<Result<Bytes>>>,
}

impl LineFile {
    fn begin(store: Arc<Store>, file: Found, lines: Lines) -> Self {
        let asked = lines.position.offset;
        let mut begun = Self { store, file, lines, asked, running: None };
        begun.ask();
        begun
    }

    /// Asks for the next chunk; at the end says so to the framer.
    fn ask(&mut self) {
        let end = self.file.stamp.bytes.min(self.asked.saturating_add(self.store.chunk_bytes()));
        if self.asked >= end {
            self.lines.framer.finish();
            return;
        }
        let (store, file, range) = (Arc::clone(&self.store), self.file.clone(), self.asked..end);
        self.asked = end;
        self.running = Some(tokio::spawn(async move { store.read(&file, range).await }));
    }

    async fn next(&mut self, decoder: &mut LineDecoder) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(records) = decoder.next(&mut self.lines, &self.file.name)? {
                return Ok(Some(records));
            }
            let Some(running) = &mut self.running else { return Ok(None) };
            let read = running.await;
            self.running = None;
            let bytes = read.map_err(|e| Error::internal("reading a file panicked").because(e))??;
            self.lines.framer.push(&bytes);
            self.ask();
        }
    }
}

impl Drop for LineFile {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}
