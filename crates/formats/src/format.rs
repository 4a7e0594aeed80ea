//! Formats as plain data, which make decoders and encoders.

use arrow::datatypes::{DataType, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::debezium_json::DebeziumEncoder;
use crate::decode::Decoder;
use crate::encode::Encoder;
use crate::json::{JsonDecoder, JsonEncoder, JsonOptions};
use crate::raw_bytes::{self, RawBytesDecoder, RawBytesEncoder};
use crate::raw_string::{self, RawStringDecoder, RawStringEncoder};

/// How records are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// One JSON object a record.
    Json(JsonOptions),
    /// One JSON object a change: `before`, `after`, `op`. For writing only.
    DebeziumJson(JsonOptions),
    /// The record is one text.
    RawString,
    /// The record is its bytes.
    RawBytes,
}

/// A schema that a format cannot read or write.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A column's type has no form in this format.
    #[error("format '{format}' has no form for column '{column}' of type {data_type}")]
    UnsupportedType {
        /// The format's name.
        format: &'static str,
        /// The column, with the names of those that it lies in.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// The format cannot be read.
    #[error("format '{0}' can only be written")]
    WriteOnly(&'static str),
    /// The format writes one text and nothing else.
    #[error("format 'raw_string' needs exactly one column, 'value' of type TEXT")]
    NotOneText,
    /// The format reads and writes one value of bytes and nothing else.
    #[error("format 'raw_bytes' needs exactly one column, 'value' of type BYTEA")]
    NotOneBytes,
}

impl Format {
    /// The name within `format = '…'`.
    pub fn name(&self) -> &'static str {
        match self {
            Format::Json(_) => "json",
            Format::DebeziumJson(_) => "debezium_json",
            Format::RawString => "raw_string",
            Format::RawBytes => "raw_bytes",
        }
    }

    /// Whether retracts can be written.
    pub fn writes_changelog(&self) -> bool {
        match self {
            Format::DebeziumJson(_) => true,
            Format::Json(_) | Format::RawString | Format::RawBytes => false,
        }
    }

    /// A decoder for these columns. What else records hold is skipped.
    pub fn decoder(&self, schema: &SchemaRef) -> Result<Box<dyn Decoder>, FormatError> {
        match self {
            Format::Json(options) => Ok(Box::new(JsonDecoder::try_new(schema.clone(), options)?)),
            Format::DebeziumJson(_) => Err(FormatError::WriteOnly(self.name())),
            Format::RawString => Ok(Box::new(RawStringDecoder::try_new(schema.clone())?)),
            Format::RawBytes => Ok(Box::new(RawBytesDecoder::try_new(schema.clone())?)),
        }
    }

    /// An encoder for rows of this schema.
    pub fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>, FormatError> {
        match self {
            Format::Json(options) => Ok(Box::new(JsonEncoder::try_new(schema.clone(), options)?)),
            Format::DebeziumJson(options) => Ok(Box::new(DebeziumEncoder::try_new(schema.clone(), options)?)),
            Format::RawString => Ok(Box::new(RawStringEncoder::try_new(schema)?)),
            Format::RawBytes => Ok(Box::new(RawBytesEncoder::try_new(schema)?)),
        }
    }

    /// Whether these columns can be read.
    pub fn check_readable(&self, schema: &SchemaRef) -> Result<(), FormatError> {
        match self {
            Format::RawString => raw_string::check_columns(schema),
            Format::RawBytes => raw_bytes::check_columns(schema),
            Format::Json(_) | Format::DebeziumJson(_) => self.decoder(schema).map(drop),
        }
    }
}
