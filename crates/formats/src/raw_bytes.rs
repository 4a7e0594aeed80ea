//! The record is its bytes, whatever they are: a single column, `value`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::decode::{DecodeError, Decoded, Decoder, Rows};
use crate::encode::{EncodeError, Encoder, write_records};
use crate::format::FormatError;
use crate::framing::{FrameBlock, Framing};

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// Checks the one form a schema may have.
pub(crate) fn check_columns(schema: &Schema) -> Result<(), FormatError> {
    match schema.fields().as_ref() {
        [field] if field.name() == "value" && is_bytes(field.data_type()) => Ok(()),
        _ => Err(FormatError::NotOneBytes),
    }
}

/// Reads each frame as it is. A schema without columns is the projection that reads none of it.
#[derive(Debug)]
pub(crate) struct RawBytesDecoder {
    schema: SchemaRef,
}

impl RawBytesDecoder {
    pub(crate) fn try_new(schema: SchemaRef) -> Result<Self, FormatError> {
        if !schema.fields().is_empty() {
            check_columns(&schema)?;
        }
        Ok(Self { schema })
    }
}

impl Decoder for RawBytesDecoder {
    fn decode(&mut self, frames: &FrameBlock<'_>) -> Result<Decoded, DecodeError> {
        let columns = match self.schema.fields().first() {
            None => Vec::new(),
            Some(field) => vec![cast(&(Arc::new(gather(frames)) as ArrayRef), field.data_type())?],
        };
        let options = RecordBatchOptions::new().with_row_count(Some(frames.len()));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let cells = (records.num_rows() * records.num_columns()) as u64;
        Ok(Decoded { records, rows: Rows::All, bad: Vec::new(), cells })
    }
}

fn gather(frames: &FrameBlock<'_>) -> BinaryArray {
    let mut values = Vec::with_capacity(frames.iter().map(<[u8]>::len).sum());
    for frame in frames.iter() {
        values.extend_from_slice(frame);
    }
    let offsets = OffsetBuffer::from_lengths(frames.iter().map(<[u8]>::len));
    BinaryArray::new(offsets, Buffer::from_vec(values), None)
}

/// Writes each value as it is. A null is an empty record.
#[derive(Debug)]
pub(crate) struct RawBytesEncoder;

impl RawBytesEncoder {
    pub(crate) fn try_new(schema: &Schema) -> Result<Self, FormatError> {
        check_columns(schema).map(|()| Self)
    }
}

impl Encoder for RawBytesEncoder {
    fn encode_framed(
        &mut self,
        records: &RecordBatch,
        framing: Option<Framing>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let other = || EncodeError::OtherSchema {
            expected: "'value' of type BYTEA".into(),
            found: format!("{} columns", records.num_columns()),
        };
        let [column] = records.columns() else { return Err(other()) };
        let values = cast(column, &DataType::Binary).map_err(|_| other())?;
        let values = values.as_binary::<i32>();
        write_records(values.len(), framing, out, |row, out| {
            if values.is_valid(row) {
                out.extend_from_slice(values.value(row));
            }
        })
    }
}
