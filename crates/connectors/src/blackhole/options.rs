//! `connector = 'blackhole'`.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::sink::SinkGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};

use super::sink::BlackholeSink;
use crate::format_options::{Role, finish, take_format, take_role};

/// The connector.
pub(crate) struct Blackhole;

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        take_role(declaration.options, &[("sink", Role::Sink)])?;
        // A format is read and means nothing, so that any sink can be made a blackhole by one word.
        take_format(declaration.options)?;
        finish(declaration.options, self.name())?;
        Ok(Arc::new(BlackholeTable { columns: declaration.columns }))
    }
}

#[derive(Debug)]
struct BlackholeTable {
    columns: Option<SchemaRef>,
}

impl ConnectorTable for BlackholeTable {
    fn as_source(&self) -> Option<SourceDescription> {
        None
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        Some(SinkDescription {
            columns: self.columns.clone(),
            changelog: Ok(()),
            upsert: false,
            guarantee: SinkGuarantee::ExactlyOnce,
        })
    }

    fn source(&self, _: &[SourceColumn], _: &[(String, &'static str)]) -> Result<Arc<dyn SourceSpec>> {
        Err(Error::new(Code::WrongRole, "connector 'blackhole' can only be written"))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Ok(Arc::new(BlackholeSink {}))
    }
}
