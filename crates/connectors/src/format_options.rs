//! The options that all connectors of bytes share: the format, where records
//! end, and what becomes of bad ones.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::options::Options;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_formats::{DecimalEncoding, Format, FormatError, JsonOptions, TimestampFormat, TimestampUnit};

/// The longest line, unless `framing.newline.max_length` says otherwise.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// No line may be longer than this, whatever the options: a whole block must be addressable.
const LINE_BYTES_LIMIT: u64 = 1 << 30;

/// What becomes of a record that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BadData {
    /// The job ends with an error that names the record.
    #[default]
    Fail,
    /// The record is counted and left out.
    Drop,
}

/// What the settings of a job say where a table says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// What becomes of bad records.
    pub bad_data: BadData,
}

/// How a source of bytes reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) format: Format,
    pub(crate) bad_data: BadData,
    pub(crate) line_bytes_max: usize,
}

/// Takes `format` and all options that belong to it. None if there is no `format`.
pub(crate) fn take_format(options: &mut Options) -> Result<Option<Format>> {
    enum Name {
        Json,
        DebeziumJson,
        RawString,
        RawBytes,
    }
    let names = [
        ("json", Name::Json),
        ("debezium_json", Name::DebeziumJson),
        ("raw_string", Name::RawString),
        ("raw_bytes", Name::RawBytes),
    ];
    let choices = names.each_ref().map(|(text, name)| (*text, name));
    Ok(match options.take_choice("format", &choices)? {
        None => None,
        Some(Name::RawString) => Some(Format::RawString),
        Some(Name::RawBytes) => Some(Format::RawBytes),
        Some(Name::Json) => Some(Format::Json(take_json(options)?)),
        Some(Name::DebeziumJson) => Some(Format::DebeziumJson(take_json(options)?)),
    })
}

/// Takes `format`, or reads the options of JSON where it is missing.
pub(crate) fn take_format_or_json(options: &mut Options) -> Result<Format> {
    match take_format(options)? {
        Some(format) => Ok(format),
        None => Ok(Format::Json(take_json(options)?)),
    }
}

/// The error of a missing `format`.
pub(crate) fn format_missing() -> Error {
    Error::new(Code::InvalidOption, "option 'format' is missing")
        .with_help("add format = 'json', 'debezium_json', 'raw_string' or 'raw_bytes' to the WITH clause")
}

/// Takes what becomes of bad records.
pub(crate) fn take_bad_data(options: &mut Options, defaults: Defaults) -> Result<BadData> {
    let bad_data = [("fail", BadData::Fail), ("drop", BadData::Drop)];
    Ok(options.take_choice("bad_data", &bad_data)?.unwrap_or(defaults.bad_data))
}

/// The columns of a table that declares none, where the format has its own.
pub(crate) fn own_columns(format: &Format) -> Option<SchemaRef> {
    let data_type = match format {
        Format::RawString => DataType::Utf8,
        Format::RawBytes => DataType::Binary,
        Format::Json(_) | Format::DebeziumJson(_) => return None,
    };
    Some(Arc::new(Schema::new(vec![Field::new("value", data_type, false)])))
}

/// Takes the options of reading bytes.
pub(crate) fn take_reading(options: &mut Options, format: Format, defaults: Defaults) -> Result<Reading> {
    let bad_data = take_bad_data(options, defaults)?;
    options.take_choice("framing", &[("newline", ())])?;
    let line_bytes_max = options.take_integer("framing.newline.max_length", 1)?.unwrap_or(LINE_BYTES_MAX);
    if line_bytes_max > LINE_BYTES_LIMIT {
        let what = format!("option 'framing.newline.max_length' is {line_bytes_max}, which is too large");
        let help = format!("a line has at most {LINE_BYTES_LIMIT} bytes");
        return Err(Error::new(Code::InvalidOption, what).with_help(help));
    }
    Ok(Reading { format, bad_data, line_bytes_max: line_bytes_max as usize })
}

fn take_json(options: &mut Options) -> Result<JsonOptions> {
    let unit = [
        ("seconds", TimestampUnit::Seconds),
        ("millis", TimestampUnit::Millis),
        ("micros", TimestampUnit::Micros),
        ("nanos", TimestampUnit::Nanos),
    ];
    let format = [("rfc3339", TimestampFormat::Rfc3339), ("unix_millis", TimestampFormat::UnixMillis)];
    let decimal = [("number", DecimalEncoding::Number), ("string", DecimalEncoding::String)];
    Ok(JsonOptions {
        timestamp_unit: options.take_choice("json.timestamp_unit", &unit)?.unwrap_or_default(),
        timestamp_format: options.take_choice("json.timestamp_format", &format)?.unwrap_or_default(),
        decimal_encoding: options.take_choice("json.decimal_encoding", &decimal)?.unwrap_or_default(),
    })
}

/// What a connector is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Source,
    Sink,
}

/// Takes `type`, which must be one of `roles` if it is there.
pub(crate) fn take_role(options: &mut Options, roles: &[(&str, Role)]) -> Result<Option<Role>> {
    options.take_choice("type", roles)
}

/// Refuses options that nobody took.
pub(crate) fn finish(options: &mut Options, connector: &str) -> Result<()> {
    options.finish(&format!("connector '{connector}'"))
}

/// A format's refusal of a schema, as users read it.
pub(crate) fn refused(error: FormatError) -> Error {
    let (code, help) = match error {
        FormatError::UnsupportedType { .. } => (Code::InvalidType, "cast the column to another type"),
        FormatError::WriteOnly(_) => (Code::InvalidOption, "read such records with format = 'json'"),
        FormatError::NotOneBytes => (Code::InvalidColumn, "declare 'value BYTEA', or use format = 'json'"),
        FormatError::NotOneText => (Code::InvalidColumn, "declare 'value TEXT', or use format = 'json'"),
    };
    Error::new(code, error.to_string()).with_help(help)
}
