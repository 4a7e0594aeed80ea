//! The record is one text: a single column, `value`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::decode::{BadRecord, DecodeError, Decoded, Decoder, RowNotes};
use crate::encode::{EncodeError, Encoder, write_records};
use crate::format::FormatError;
use crate::framing::{FrameBlock, Framing};

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Checks the one form a schema may have.
pub(crate) fn check_columns(schema: &Schema) -> Result<(), FormatError> {
    match schema.fields().as_ref() {
        [field] if field.name() == "value" && is_text(field.data_type()) => Ok(()),
        _ => Err(FormatError::NotOneText),
    }
}

/// Reads each frame as one text. A schema without columns is the projection that reads none of it.
#[derive(Debug)]
pub(crate) struct RawStringDecoder {
    schema: SchemaRef,
}

impl RawStringDecoder {
    pub(crate) fn try_new(schema: SchemaRef) -> Result<Self, FormatError> {
        if !schema.fields().is_empty() {
            check_columns(&schema)?;
        }
        Ok(Self { schema })
    }
}

impl Decoder for RawStringDecoder {
    fn decode(&mut self, frames: &FrameBlock<'_>) -> Result<Decoded, DecodeError> {
        let mut texts = StringBuilder::with_capacity(frames.len(), frames.bytes().len());
        let (mut notes, mut bad) = (RowNotes::default(), Vec::new());
        for (frame, bytes) in frames.iter().enumerate() {
            let text = simdutf8::compat::from_utf8(bytes);
            notes.next(text.is_ok());
            match text {
                Ok(text) => texts.append_value(text),
                Err(error) => {
                    let reason = format!("not valid UTF-8 at byte {}", error.valid_up_to());
                    bad.push(BadRecord { frame, reason });
                }
            }
        }
        let texts = texts.finish();
        let options = RecordBatchOptions::new().with_row_count(Some(texts.len()));
        let columns = match self.schema.fields().first() {
            None => Vec::new(),
            Some(field) => vec![cast(&(Arc::new(texts) as ArrayRef), field.data_type())?],
        };
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let cells = (records.num_rows() * records.num_columns()) as u64;
        Ok(Decoded { records, rows: notes.finish(), bad, cells })
    }
}

/// Writes each text as it is. A null is an empty record.
#[derive(Debug)]
pub(crate) struct RawStringEncoder;

impl RawStringEncoder {
    pub(crate) fn try_new(schema: &Schema) -> Result<Self, FormatError> {
        check_columns(schema).map(|()| Self)
    }
}

impl Encoder for RawStringEncoder {
    fn encode_framed(
        &mut self,
        records: &RecordBatch,
        framing: Option<Framing>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let other = || EncodeError::OtherSchema {
            expected: "'value' of type TEXT".into(),
            found: format!("{} columns", records.num_columns()),
        };
        let [column] = records.columns() else { return Err(other()) };
        let texts = cast(column, &DataType::Utf8).map_err(|_| other())?;
        let texts = texts.as_string::<i32>();
        write_records(texts.len(), framing, out, |row, out| {
            if texts.is_valid(row) {
                out.extend_from_slice(texts.value(row).as_bytes());
            }
        })
    }
}
