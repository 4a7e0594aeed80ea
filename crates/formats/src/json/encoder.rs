//! A batch to lines of JSON.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::JsonOptions;
use super::writer::{struct_writers, unsupported, write_object};
use crate::encode::{EncodeError, Encoder, write_records};
use crate::format::FormatError;
use crate::framing::Framing;

/// Writes one object a row: all columns in the schema's order, nulls as `null`.
pub(crate) struct JsonEncoder {
    schema: SchemaRef,
    options: JsonOptions,
}

impl JsonEncoder {
    pub(crate) fn try_new(schema: SchemaRef, options: &JsonOptions) -> Result<Self, FormatError> {
        check_writable("json", &schema)?;
        Ok(Self { schema, options: options.clone() })
    }
}

impl Encoder for JsonEncoder {
    fn encode_framed(
        &mut self,
        records: &RecordBatch,
        framing: Option<Framing>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        check_same(&self.schema, records)?;
        let writers = struct_writers(self.schema.fields(), records.columns(), &self.options)
            .map_err(|error| EncodeError::Column(error.to_string()))?;
        write_records(records.num_rows(), framing, out, |row, out| write_object(&writers, row, out))
    }
}

/// Checks that JSON has a form for every column.
pub(crate) fn check_writable(format: &'static str, schema: &Schema) -> Result<(), FormatError> {
    for field in schema.fields() {
        if let Some(data_type) = unsupported(field.data_type()) {
            let (column, data_type) = (field.name().clone(), data_type.clone());
            return Err(FormatError::UnsupportedType { format, column, data_type });
        }
    }
    Ok(())
}

/// Checks that a batch has the columns of the encoder, by type and in order.
pub(crate) fn check_same(schema: &Schema, records: &RecordBatch) -> Result<(), EncodeError> {
    let types = |schema: &Schema| -> Vec<DataType> {
        schema.fields().iter().map(|field| field.data_type().clone()).collect()
    };
    let found = records.schema();
    let same = schema.fields().len() == found.fields().len()
        && schema
            .fields()
            .iter()
            .zip(found.fields())
            .all(|(a, b)| a.data_type().equals_datatype(b.data_type()));
    if same {
        return Ok(());
    }
    let (expected, found) = (format!("{:?}", types(schema)), format!("{:?}", types(&found)));
    Err(EncodeError::OtherSchema { expected, found })
}
