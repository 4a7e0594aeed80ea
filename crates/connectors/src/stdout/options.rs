//! `connector = 'stdout'`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::sink::SinkGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};
use thalweg_formats::Format;

use super::StdoutTarget;
use super::sink::StdoutSinkSpec;
use crate::format_options::{Role, finish, take_format_or_json, take_role};
use crate::row_writer::{Writing, changelog_support};

/// The connector.
pub(crate) struct Stdout {
    pub(crate) target: StdoutTarget,
}

impl Connector for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        take_role(declaration.options, &[("sink", Role::Sink)])?;
        let format = take_format_or_json(declaration.options)?;
        finish(declaration.options, self.name())?;
        Ok(Arc::new(StdoutTable {
            name: declaration.table.into(),
            upsert: !declaration.primary_key.is_empty() && format.writes_changelog(),
            format,
            columns: declaration.columns,
            target: self.target.clone(),
        }))
    }
}

#[derive(Debug)]
struct StdoutTable {
    name: Arc<str>,
    format: Format,
    columns: Option<SchemaRef>,
    upsert: bool,
    target: StdoutTarget,
}

impl ConnectorTable for StdoutTable {
    fn as_source(&self) -> Option<SourceDescription> {
        None
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        Some(SinkDescription {
            columns: self.columns.clone(),
            changelog: changelog_support(&self.format),
            upsert: self.upsert,
            guarantee: SinkGuarantee::AtLeastOnce,
        })
    }

    fn source(&self, _: &[SourceColumn], _: &[(String, &'static str)]) -> Result<Arc<dyn SourceSpec>> {
        Err(Error::new(Code::WrongRole, "connector 'stdout' can only be written"))
    }

    fn sink(&self, schema: SchemaRef, rows: RowKind) -> Result<Arc<dyn SinkSpec>> {
        let writing = Writing::try_new(self.format.clone(), &schema, rows)?;
        Ok(Arc::new(StdoutSinkSpec::new(self.name.clone(), writing, self.target.clone())))
    }
}
