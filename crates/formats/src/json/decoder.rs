//! Lines of JSON to a batch.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::JsonOptions;
use super::column::Column;
use super::cursor::{Cursor, Reason};
use super::nested::Structs;
use super::scan::{Survey, survey};
use crate::decode::{BadRecord, DecodeError, Decoded, Decoder, RowNotes};
use crate::format::FormatError;
use crate::framing::FrameBlock;

/// Reads one object from each frame. A frame of nothing but white space is neither a row nor bad.
pub(crate) struct JsonDecoder {
    schema: SchemaRef,
    rows: Structs,
    scratch: Vec<u8>,
}

impl JsonDecoder {
    pub(crate) fn try_new(schema: SchemaRef, options: &JsonOptions) -> Result<Self, FormatError> {
        let rows = Structs::try_new(schema.fields(), "", options)?;
        Ok(Self { schema, rows, scratch: Vec::new() })
    }

    /// Appends the row that the line holds, or nothing.
    fn read_line(&mut self, line: &[u8]) -> Result<(), Reason> {
        let Survey { ascii, plain } = survey(line);
        if !ascii && let Err(error) = simdutf8::compat::from_utf8(line) {
            return Err(Reason::new(format!("not valid UTF-8 at byte {}", error.valid_up_to())));
        }
        let len = self.rows.len();
        let mut input = Cursor::new(line, plain, &mut self.scratch);
        let mut read = self.rows.read(&mut input);
        if read.is_ok() && input.peek().is_some() {
            read = Err(input.expected("the end of the line"));
        }
        if read.is_err() {
            self.rows.truncate(len);
        }
        read
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, frames: &FrameBlock<'_>) -> Result<Decoded, DecodeError> {
        let (mut notes, mut bad) = (RowNotes::default(), Vec::new());
        for (frame, line) in frames.iter().enumerate() {
            if line.trim_ascii_start().is_empty() {
                notes.next(false);
                continue;
            }
            let read = self.read_line(line);
            notes.next(read.is_ok());
            if let Err(reason) = read {
                bad.push(BadRecord { frame, reason: reason.to_string() });
            }
        }
        let rows = self.rows.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = self.rows.finish_columns()?;
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let cells = (rows * records.num_columns()) as u64;
        Ok(Decoded { records, rows: notes.finish(), bad, cells })
    }
}
