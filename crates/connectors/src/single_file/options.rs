//! `connector = 'single_file'`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::source::SourceGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};

use super::sink::FileSinkSpec;
use super::source::FileSourceSpec;
use crate::format_options::{
    Defaults, Reading, Role, finish, format_missing, own_columns, refused, take_format, take_reading,
    take_role,
};
use crate::lines::{LineReading, metadata_keys};
use crate::row_writer::{Writing, changelog_support};

/// The connector.
pub(crate) struct SingleFile {
    pub(crate) defaults: Defaults,
}

impl Connector for SingleFile {
    fn name(&self) -> &'static str {
        "single_file"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let options = declaration.options;
        let path = options.require_text("path")?;
        let role = take_role(options, &[("source", Role::Source), ("sink", Role::Sink)])?;
        // Arroyo's tests say it; here nothing waits for control.
        options.take_bool("wait_for_control")?;
        let format = take_format(options)?;
        let reading = match format {
            Some(format) => take_reading(options, format, self.defaults)?,
            None => return Err(finish(options, self.name()).err().unwrap_or_else(format_missing)),
        };
        finish(options, self.name())?;
        let upsert = !declaration.primary_key.is_empty() && reading.format.writes_changelog();
        let table = FileTable { path, role, reading, columns: declaration.columns, upsert };
        if role == Some(Role::Source) {
            table.readable()?;
        }
        Ok(Arc::new(table))
    }
}

#[derive(Debug)]
struct FileTable {
    path: String,
    /// None: it can be either.
    role: Option<Role>,
    reading: Reading,
    columns: Option<SchemaRef>,
    upsert: bool,
}

impl FileTable {
    /// The columns that can be read.
    fn readable(&self) -> Result<SchemaRef> {
        if self.role == Some(Role::Sink) {
            return Err(Error::new(Code::WrongRole, "a table of type 'sink' cannot be read"));
        }
        let columns = self.columns.clone().or_else(|| own_columns(&self.reading.format));
        let columns = columns.ok_or_else(|| {
            Error::new(Code::InvalidColumn, "a file to be read needs columns")
                .with_help("declare the columns between the table's name and WITH")
        })?;
        self.reading.format.check_readable(&columns).map_err(refused)?;
        Ok(columns)
    }
}

impl ConnectorTable for FileTable {
    fn as_source(&self) -> Option<SourceDescription> {
        Some(SourceDescription {
            columns: self.readable().ok()?,
            metadata: metadata_keys(),
            event_time: None,
            rows: RowKind::Append,
            guarantee: SourceGuarantee::Replays,
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        (self.role != Some(Role::Source)).then(|| SinkDescription {
            columns: self.columns.clone(),
            changelog: changelog_support(&self.reading.format),
            upsert: self.upsert,
            guarantee: super::sink::guarantee(&self.path),
        })
    }

    fn source(
        &self,
        columns: &[SourceColumn],
        metadata: &[(String, &'static str)],
    ) -> Result<Arc<dyn SourceSpec>> {
        let physical = self.readable()?;
        let schema = SourceColumn::project(columns, &physical)?;
        let lines = LineReading::try_new(self.reading.clone(), schema, metadata)?;
        Ok(Arc::new(FileSourceSpec { path: self.path.clone(), lines }))
    }

    fn sink(&self, schema: SchemaRef, rows: RowKind) -> Result<Arc<dyn SinkSpec>> {
        if self.role == Some(Role::Source) {
            return Err(Error::new(Code::WrongRole, "a table of type 'source' cannot be written"));
        }
        let writing = Writing::try_new(self.reading.format.clone(), &schema, rows)?;
        Ok(Arc::new(FileSinkSpec { path: self.path.clone(), writing }))
    }
}
