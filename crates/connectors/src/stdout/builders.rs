//! Standard output as a sink of programs.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Result, SinkSpec};
use thalweg_formats::Format;

use super::StdoutTarget;
use super::sink::StdoutSinkSpec;
use crate::row_writer::Writing;

/// The values of one column, `value BYTEA`, each as a line on the standard output of the process.
///
/// ```
/// let sink = thalweg_connectors::stdout::lines()?;
/// assert_eq!(sink.kind(), "stdout");
/// # Ok::<(), thalweg_dataflow::Error>(())
/// ```
pub fn lines() -> Result<Arc<dyn SinkSpec>> {
    let value = Schema::new(vec![Field::new("value", DataType::Binary, false)]);
    sink(Format::RawBytes, &Arc::new(value))
}

/// Rows of any columns, each as a line of JSON on the standard output of the process.
///
/// # Errors
/// If a column has no form in JSON.
pub fn json(schema: &SchemaRef) -> Result<Arc<dyn SinkSpec>> {
    sink(Format::Json(Default::default()), schema)
}

fn sink(format: Format, schema: &SchemaRef) -> Result<Arc<dyn SinkSpec>> {
    let writing = Writing::try_new(format, schema, RowKind::Append)?;
    Ok(Arc::new(StdoutSinkSpec::new("stdout".into(), writing, StdoutTarget::process())))
}
