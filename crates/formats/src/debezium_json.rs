//! Changes as Debezium writes them: one object with `before`, `after`, `op`.
//!
//! Three shapes of rows are understood:
//!
//! * append rows: each was created, `c`;
//! * changelog rows, which carry [`DIFF_COLUMN`]: an assert is a `c`, a retract a `d`;
//! * rows that are changes already: exactly `before`, `after` (objects) and `op` (text).

use arrow::array::types::Int8Type;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::encode::{EncodeError, Encoder, write_records};
use crate::format::FormatError;
use crate::framing::Framing;
use crate::json::{JsonEncoder, JsonOptions, check_same, check_writable, struct_writers, write_object};

/// +1 assert, −1 retract; `Int8`.
pub const DIFF_COLUMN: &str = "_diff";

/// Writes one change a row.
pub(crate) struct DebeziumEncoder(Shape);

enum Shape {
    Changes(JsonEncoder),
    Rows { schema: SchemaRef, data: Vec<usize>, diff: Option<usize>, options: JsonOptions },
}

impl DebeziumEncoder {
    pub(crate) fn try_new(schema: SchemaRef, options: &JsonOptions) -> Result<Self, FormatError> {
        check_writable("debezium_json", &schema)?;
        if are_changes(&schema) {
            return Ok(Self(Shape::Changes(JsonEncoder::try_new(schema, options)?)));
        }
        let diff = schema
            .fields()
            .iter()
            .position(|field| field.name() == DIFF_COLUMN && *field.data_type() == DataType::Int8);
        let data = (0..schema.fields().len()).filter(|&index| Some(index) != diff).collect();
        Ok(Self(Shape::Rows { schema, data, diff, options: options.clone() }))
    }
}

/// Whether the rows are changes already.
fn are_changes(schema: &Schema) -> bool {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let object = |index: usize| matches!(schema.field(index).data_type(), DataType::Struct(_));
    names.eq(["before", "after", "op"])
        && object(0)
        && object(1)
        && matches!(schema.field(2).data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

impl Encoder for DebeziumEncoder {
    fn encode_framed(
        &mut self,
        records: &RecordBatch,
        framing: Option<Framing>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match &mut self.0 {
            Shape::Changes(encoder) => encoder.encode_framed(records, framing, out),
            Shape::Rows { schema, data, diff, options } => {
                check_same(schema, records)?;
                let asserts = match diff {
                    Some(index) => asserts(records, *index)?,
                    None => vec![true; records.num_rows()],
                };
                let rows = records.project(data).map_err(|error| EncodeError::Column(error.to_string()))?;
                write_changes(&rows, &asserts, options, framing, out)
            }
        }
    }
}

/// Which rows are asserts; the others are retracts.
fn asserts(records: &RecordBatch, diff: usize) -> Result<Vec<bool>, EncodeError> {
    let differences = records.column(diff).as_primitive::<Int8Type>();
    let assert = |(row, diff): (usize, Option<i8>)| match diff {
        Some(1) => Ok(true),
        Some(-1) => Ok(false),
        other => Err(EncodeError::Diff { row, diff: other.unwrap_or(0) }),
    };
    differences.iter().enumerate().map(assert).collect()
}

fn write_changes(
    rows: &RecordBatch,
    asserts: &[bool],
    options: &JsonOptions,
    framing: Option<Framing>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let writers = struct_writers(rows.schema().fields(), rows.columns(), options)
        .map_err(|error| EncodeError::Column(error.to_string()))?;
    write_records(asserts.len(), framing, out, |row, out| {
        let (before, behind): (&[u8], &[u8]) = match asserts[row] {
            true => (b"{\"before\":null,\"after\":", b",\"op\":\"c\"}"),
            false => (b"{\"before\":", b",\"after\":null,\"op\":\"d\"}"),
        };
        out.extend_from_slice(before);
        write_object(&writers, row, out);
        out.extend_from_slice(behind);
    })
}
