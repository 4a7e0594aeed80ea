//! Lines of a file to rows.
//!
//! There is one split, the path. Its position is the byte offset and number of
//! the next line, so reading goes on exactly behind the last row given out.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Code, Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_formats::framing::{Framed, LineFramer, LinePosition};
use thalweg_formats::{BadRecord, Decoded, Decoder, FrameBlock};
use thalweg_state::SplitId;

use super::file_error;
use super::read_ahead::ReadAhead;
use crate::format_options::{BadData, Reading, refused};
use crate::{plain_spec, splits};

const KIND: &str = "single_file_source";

pub(super) fn register(registry: &mut Registry) {
    registry.add_source(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<FileSourceSpec>(bytes)?)));
}

/// What a line can say of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Metadata {
    /// Its number, from 1.
    Line,
    /// The byte at which it begins.
    Offset,
}

/// The source as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FileSourceSpec {
    path: String,
    reading: Reading,
    /// The columns to be decoded.
    columns: Schema,
    /// The metadata that follow them, each under a column name.
    metadata: Vec<(String, Metadata)>,
}

impl FileSourceSpec {
    pub(super) fn new(
        path: String,
        reading: Reading,
        columns: Schema,
        metadata: Vec<(String, Metadata)>,
    ) -> Self {
        Self { path, reading, columns, metadata }
    }

    fn split(&self) -> SplitId {
        SplitId::new(self.path.as_str())
    }
}

impl Spec for FileSourceSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    fn label(&self) -> String {
        format!("'{}' {}", self.path, self.reading.format.name())
    }
}

impl SourceSpec for FileSourceSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let decoder = self.reading.format.decoder(&Arc::new(self.columns.clone())).map_err(refused)?;
        let schema = self.output_schema();
        Ok(Box::new(FileSource { spec: self.clone(), schema, cx, decoder, file: None, revoked: false }))
    }

    fn output_schema(&self) -> SchemaRef {
        let metadata =
            self.metadata.iter().map(|(name, _)| Arc::new(Field::new(name, DataType::Int64, false)));
        Arc::new(Schema::new(self.columns.fields().iter().cloned().chain(metadata).collect::<Vec<_>>()))
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        Ok(splits::single(self.split(), parallelism))
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        false
    }
}

struct FileSource {
    spec: FileSourceSpec,
    schema: SchemaRef,
    cx: PieceContext,
    decoder: Box<dyn Decoder>,
    file: Option<OpenFile>,
    /// The split went to another subtask, so nothing ends here.
    revoked: bool,
}

/// The split while it is held.
struct OpenFile {
    input: ReadAhead,
    framer: LineFramer,
    /// Behind the last row given out.
    position: LinePosition,
    progress: Progress,
}

enum Progress {
    Reading,
    /// Rows before a bad record were given out; the error comes next.
    Failed(Error),
    /// All bytes are in the framer.
    AllRead,
    Ended,
}

impl FileSource {
    async fn begin(&mut self, splits: Vec<Assignment>) -> Result<()> {
        for Assignment { split, position } in splits {
            if split != self.spec.split() {
                return Err(Error::internal(format!("'{split}' is not the file '{}'", self.spec.path)));
            }
            let position = position.map_or(Ok(LinePosition::START), |position| read_position(&position))?;
            let opened = ReadAhead::open(self.spec.path.clone(), position.offset).await;
            let input = opened.map_err(|e| file_error("open", &self.spec.path, &e))?;
            let framer = LineFramer::new(self.spec.reading.line_bytes_max, position);
            self.file = Some(OpenFile { input, framer, position, progress: Progress::Reading });
            self.revoked = false;
        }
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        loop {
            if let Some(records) = self.decode_waiting()? {
                return Ok(SourceEvent::Rows { split: self.spec.split(), records });
            }
            let Some(file) = &mut self.file else { return nothing_held(self.revoked).await };
            match &file.progress {
                Progress::Failed(error) => return Err(error.clone()),
                Progress::Ended => return Ok(SourceEvent::End),
                Progress::AllRead => {
                    file.progress = Progress::Ended;
                    return Ok(SourceEvent::SplitEnd { split: self.spec.split() });
                }
                Progress::Reading => {
                    let more = file.input.next(&mut file.framer).await;
                    if !more.map_err(|e| file_error("read", &self.spec.path, &e))? {
                        file.framer.finish();
                        file.progress = Progress::AllRead;
                    }
                }
            }
        }
    }

    /// Decodes what the framer holds, until there are rows.
    fn decode_waiting(&mut self) -> Result<Option<RecordBatch>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        if !matches!(file.progress, Progress::Reading | Progress::AllRead) {
            return Ok(None);
        }
        let (spec, counters) = (&self.spec, &self.cx.counters);
        while let Some(framed) = file.framer.next(self.cx.settings.batch_rows_max) {
            let block = match framed {
                Framed::Block(block) => block,
                Framed::TooLong(at) => {
                    counters.records_read.add(1);
                    if spec.reading.bad_data == BadData::Fail {
                        counters.failed.add(1);
                        return Err(too_long(spec, at));
                    }
                    counters.dropped.add(1);
                    file.position = file.framer.position();
                    continue;
                }
            };
            let decoded = self.decoder.decode(&block).map_err(|e| Error::internal(e.to_string()))?;
            counters.cells_decoded.add(decoded.cells as usize);
            let failure = match (spec.reading.bad_data, decoded.bad.first()) {
                (BadData::Fail, Some(bad)) => {
                    Some((bad_record(spec, &block, bad), at(&block, bad.frame), bad.frame))
                }
                (BadData::Drop, _) | (BadData::Fail, None) => None,
            };
            let records =
                rows(spec, &self.schema, &block, &decoded, failure.as_ref().map(|(_, _, frame)| *frame))?;
            let bad = if failure.is_some() { 1 } else { decoded.bad.len() };
            counters.records_read.add(records.num_rows() + bad);
            match failure {
                Some((error, position, _)) => {
                    counters.failed.add(1);
                    file.position = position;
                    file.progress = Progress::Failed(error);
                }
                None => {
                    counters.dropped.add(bad);
                    file.position = file.framer.position();
                }
            }
            if records.num_rows() > 0 {
                return Ok(Some(records));
            }
            if matches!(file.progress, Progress::Failed(_)) {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

/// Without a split: the end, or silence until one is assigned again.
async fn nothing_held(revoked: bool) -> Result<SourceEvent> {
    if revoked { std::future::pending().await } else { Ok(SourceEvent::End) }
}

/// The rows of the frames before `end`, with their metadata.
fn rows(
    spec: &FileSourceSpec,
    schema: &SchemaRef,
    block: &FrameBlock<'_>,
    decoded: &Decoded,
    end: Option<usize>,
) -> Result<RecordBatch> {
    let all = decoded.records.num_rows();
    let count = match end {
        Some(end) => decoded.rows.frames(all).take_while(|&frame| frame < end).count(),
        None => all,
    };
    let records = decoded.records.slice(0, count);
    if spec.metadata.is_empty() {
        return Ok(records);
    }
    let metadata = spec.metadata.iter().map(|(_, metadata)| -> ArrayRef {
        let frames = decoded.rows.frames(count);
        Arc::new(match metadata {
            Metadata::Line => frames.map(|frame| block.line(frame) as i64).collect::<Int64Array>(),
            Metadata::Offset => frames.map(|frame| block.offset(frame) as i64).collect::<Int64Array>(),
        })
    });
    let columns = records.columns().iter().cloned().chain(metadata).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::internal("metadata columns do not fit").because(e))
}

fn at(block: &FrameBlock<'_>, frame: usize) -> LinePosition {
    LinePosition { offset: block.offset(frame), line: block.line(frame) }
}

fn bad_record(spec: &FileSourceSpec, block: &FrameBlock<'_>, bad: &BadRecord) -> Error {
    Error::new(
        Code::BadRecord,
        format!("a record is not the {} that was declared", spec.reading.format.name()),
    )
    .in_site(format!("{}:{}", spec.path, block.line(bad.frame)))
    .because(&bad.reason)
    .with_help("correct the record or the columns, or set bad_data = 'drop' to leave such records out")
}

fn too_long(spec: &FileSourceSpec, at: LinePosition) -> Error {
    let limit = spec.reading.line_bytes_max;
    Error::new(Code::RecordTooLong, format!("a line is longer than {limit} bytes"))
        .in_site(format!("{}:{}", spec.path, at.line))
        .because(format!("the line that begins at byte {} does not end before the limit", at.offset))
        .with_help("raise framing.newline.max_length, or set bad_data = 'drop' to leave such lines out")
}

fn read_position(position: &Position) -> Result<LinePosition> {
    let (offset, line) = plain_spec::decode(&position.0)?;
    Ok(LinePosition { offset, line })
}

fn write_position(position: LinePosition) -> Position {
    Position(plain_spec::encode(&(position.offset, position.line)).expect("two numbers are JSON"))
}

impl Source for FileSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.begin(splits).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        self.event().boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        let split = self.spec.split();
        let held = self.file.iter();
        held.map(|file| Assignment { split: split.clone(), position: Some(write_position(file.position)) })
            .collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.begin(splits).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let mut given = Vec::new();
        if splits.contains(&self.spec.split()) {
            given = self.positions();
            self.revoked |= self.file.take().is_some();
        }
        ready(Ok(given)).boxed()
    }
}
