//! Rows of a graph to bytes: the engine's own columns are left out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, columns};
use thalweg_formats::framing::Framing;
use thalweg_formats::{Encoder, Format};

use crate::format_options::refused;

/// How the rows of a sink are written, as plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Writing {
    format: Format,
    schema: Schema,
    changelog: bool,
}

impl Writing {
    /// Checks that the format can write such rows.
    pub(crate) fn try_new(format: Format, schema: &SchemaRef, rows: RowKind) -> Result<Self> {
        let changelog = rows == RowKind::Changelog;
        if changelog {
            changelog_support(&format).map_err(|help| {
                let what = "the rows change and the sink can only append";
                Error::new(Code::SinkNotUpdating, what).with_help(format!("use {help}"))
            })?;
        }
        let writing = Self { format, schema: schema.as_ref().clone(), changelog };
        writing.writer()?;
        Ok(writing)
    }

    /// Whether such rows can be written.
    pub(crate) fn accepts(&self, rows: RowKind) -> bool {
        match rows {
            RowKind::Append => true,
            RowKind::Changelog => self.format.writes_changelog(),
        }
    }

    /// A writer of these rows.
    pub(crate) fn writer(&self) -> Result<RowWriter> {
        let columns = written_columns(&self.schema, self.changelog);
        let schema = self.schema.project(&columns);
        let schema = schema.map_err(|e| Error::internal("a schema cannot be projected").because(e))?;
        let encoder = self.format.encoder(&Arc::new(schema)).map_err(refused)?;
        Ok(RowWriter { columns, encoder })
    }

    /// The format's name.
    pub(crate) fn format_name(&self) -> &'static str {
        self.format.name()
    }
}

/// The indices of the columns that are written: not the engine's own, but `_diff` of a changelog.
pub(crate) fn written_columns(schema: &Schema, changelog: bool) -> Vec<usize> {
    let written = |name: &str| match name {
        columns::TIMESTAMP | columns::ROW_WATERMARK => false,
        columns::DIFF => changelog,
        _ => true,
    };
    let fields = schema.fields().iter().enumerate();
    fields.filter(|(_, field)| written(field.name())).map(|(index, _)| index).collect()
}

/// Whether a format can write changes, and if not, what could.
pub(crate) fn changelog_support(format: &Format) -> std::result::Result<(), String> {
    if format.writes_changelog() { Ok(()) } else { Err("format = 'debezium_json'".into()) }
}

/// Writes rows of one schema.
pub(crate) struct RowWriter {
    columns: Vec<usize>,
    encoder: Box<dyn Encoder>,
}

impl RowWriter {
    /// Appends the rows to `out`, each with a newline behind it.
    pub(crate) fn write(&mut self, records: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.write_framed(records, Some(Framing::Newline), out)
    }

    /// Appends the rows to `out`, told apart by `framing`.
    pub(crate) fn write_framed(
        &mut self,
        records: &RecordBatch,
        framing: Option<Framing>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let records = self.visible(records)?;
        self.encoder
            .encode_framed(&records, framing, out)
            .map_err(|e| Error::new(Code::OperatorFailed, "rows cannot be written").because(e))
    }

    /// The rows without the engine's own columns, but with `_diff` where they are a changelog.
    pub(crate) fn visible(&self, records: &RecordBatch) -> Result<RecordBatch> {
        records
            .project(&self.columns)
            .map_err(|e| Error::internal("a sink got other columns than it was made for").because(e))
    }
}
