//! Lines of a file to rows: where they end, what they hold, and what becomes of bad ones.
//!
//! Nothing here reads. A source pushes bytes into the framer of [`Lines`] and
//! asks a [`LineDecoder`] for rows until there are none.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::connector::MetadataKey;
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::source::RowsMax;
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_formats::framing::{Framed, LineFramer, LinePosition};
use thalweg_formats::{BadRecord, Decoded, Decoder, FrameBlock};

use crate::format_options::{BadData, Reading, refused};

/// What a line can say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Metadata {
    /// Its number, from 1.
    Line,
    /// The byte at which it begins.
    Offset,
}

const METADATA: [(&str, Metadata); 2] = [("line", Metadata::Line), ("offset", Metadata::Offset)];

/// The metadata of lines, as a planner asks for them.
pub(crate) fn metadata_keys() -> Vec<MetadataKey> {
    METADATA.iter().map(|&(key, _)| MetadataKey { key, data_type: DataType::Int64 }).collect()
}

/// How lines become rows, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LineReading {
    pub(crate) reading: Reading,
    /// The columns to be decoded.
    columns: Schema,
    /// The metadata that follow them, each under a column name.
    metadata: Vec<(String, Metadata)>,
}

impl LineReading {
    /// Decodes `columns`, and adds metadata by their keys.
    pub(crate) fn try_new(
        reading: Reading,
        columns: Schema,
        metadata: &[(String, &'static str)],
    ) -> Result<Self> {
        let key = |(name, key): &(String, &'static str)| {
            let known = METADATA.iter().find(|(known, _)| known == key);
            let (_, metadata) = known.ok_or_else(|| Error::internal(format!("no metadata '{key}'")))?;
            Ok((name.clone(), *metadata))
        };
        let metadata = metadata.iter().map(key).collect::<Result<_>>()?;
        Ok(Self { reading, columns, metadata })
    }

    /// The schema of the rows.
    pub(crate) fn output_schema(&self) -> SchemaRef {
        let metadata =
            self.metadata.iter().map(|(name, _)| Arc::new(Field::new(name, DataType::Int64, false)));
        Arc::new(Schema::new(self.columns.fields().iter().cloned().chain(metadata).collect::<Vec<_>>()))
    }

    /// A decoder of such lines, which counts in `cx`.
    pub(crate) fn decoder(&self, cx: &PieceContext) -> Result<LineDecoder> {
        Ok(LineDecoder {
            decoder: self.reading.format.decoder(&Arc::new(self.columns.clone())).map_err(refused)?,
            schema: self.output_schema(),
            plan: self.clone(),
            counters: Arc::clone(&cx.counters),
            rows_max: cx.rows_max.clone(),
        })
    }
}

/// The lines of one file: what was pushed and not yet given out, and how far that is.
pub(crate) struct Lines {
    pub(crate) framer: LineFramer,
    /// Behind the last row given out.
    pub(crate) position: LinePosition,
    /// Rows before a bad record were given out; the error comes next.
    failure: Option<Error>,
}

/// Gives the rows of lines, of one file or several.
pub(crate) struct LineDecoder {
    plan: LineReading,
    schema: SchemaRef,
    decoder: Box<dyn Decoder>,
    counters: Arc<OperatorCounters>,
    rows_max: RowsMax,
}

impl LineDecoder {
    /// Begins a file at `position`.
    pub(crate) fn begin(&self, position: LinePosition) -> Lines {
        let framer = LineFramer::new(self.plan.reading.line_bytes_max, position);
        Lines { framer, position, failure: None }
    }

    /// The next rows of `lines`, or none until more is pushed. Errors name `file`.
    pub(crate) fn next(&mut self, lines: &mut Lines, file: &str) -> Result<Option<RecordBatch>> {
        let bad_data = self.plan.reading.bad_data;
        loop {
            if let Some(failure) = &lines.failure {
                return Err(failure.clone());
            }
            let block = match lines.framer.next(self.rows_max.get()) {
                None => return Ok(None),
                Some(Framed::Block(block)) => block,
                Some(Framed::TooLong(at)) => {
                    self.counters.records_read.add(1);
                    match bad_data {
                        BadData::Fail => {
                            self.counters.failed.add(1);
                            lines.failure = Some(self.too_long(file, at));
                        }
                        BadData::Drop => {
                            self.counters.dropped.add(1);
                            lines.position = lines.framer.position();
                        }
                    }
                    continue;
                }
            };
            let decoded = self.decoder.decode(&block).map_err(|e| Error::internal(e.to_string()))?;
            self.counters.cells_decoded.add(decoded.cells as usize);
            let failed = match bad_data {
                BadData::Fail => decoded.bad.first(),
                BadData::Drop => None,
            };
            let records = self.rows(&block, &decoded, failed.map(|bad| bad.frame))?;
            let bad = if failed.is_some() { 1 } else { decoded.bad.len() };
            self.counters.records_read.add(records.num_rows() + bad);
            match failed {
                Some(bad) => {
                    self.counters.failed.add(1);
                    lines.failure = Some(self.bad_record(file, &block, bad));
                    lines.position = at(&block, bad.frame);
                }
                None => {
                    self.counters.dropped.add(bad);
                    lines.position = lines.framer.position();
                }
            }
            if records.num_rows() > 0 {
                return Ok(Some(records));
            }
        }
    }

    /// The rows of the frames before `end`, with their metadata.
    fn rows(&self, block: &FrameBlock<'_>, decoded: &Decoded, end: Option<usize>) -> Result<RecordBatch> {
        let all = decoded.records.num_rows();
        let count = match end {
            Some(end) => decoded.rows.frames(all).take_while(|&frame| frame < end).count(),
            None => all,
        };
        let records = decoded.records.slice(0, count);
        if self.plan.metadata.is_empty() {
            return Ok(records);
        }
        let metadata = self.plan.metadata.iter().map(|(_, metadata)| -> ArrayRef {
            let frames = decoded.rows.frames(count);
            Arc::new(match metadata {
                Metadata::Line => frames.map(|frame| block.line(frame) as i64).collect::<Int64Array>(),
                Metadata::Offset => frames.map(|frame| block.offset(frame) as i64).collect::<Int64Array>(),
            })
        });
        let columns = records.columns().iter().cloned().chain(metadata).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::internal("metadata columns do not fit").because(e))
    }

    fn bad_record(&self, file: &str, block: &FrameBlock<'_>, bad: &BadRecord) -> Error {
        let format = self.plan.reading.format.name();
        Error::new(Code::BadRecord, format!("a record is not the {format} that was declared"))
            .in_site(format!("{file}:{}", block.line(bad.frame)))
            .because(&bad.reason)
            .with_help(
                "correct the record or the columns, or set bad_data = 'drop' to leave such records out",
            )
    }

    fn too_long(&self, file: &str, at: LinePosition) -> Error {
        let limit = self.plan.reading.line_bytes_max;
        Error::new(Code::RecordTooLong, format!("a line is longer than {limit} bytes"))
            .in_site(format!("{file}:{}", at.line))
            .because(format!("the line that begins at byte {} does not end before the limit", at.offset))
            .with_help("raise framing.newline.max_length, or set bad_data = 'drop' to leave such lines out")
    }
}

fn at(block: &FrameBlock<'_>, frame: usize) -> LinePosition {
    LinePosition { offset: block.offset(frame), line: block.line(frame) }
}
