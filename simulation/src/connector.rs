//! The simulation's own connectors, for scripts: `replay` reads an input, `ledger` writes into the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::sink::SinkGuarantee;
use thalweg_dataflow::source::SourceGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Error, Result, SinkSpec, SourceSpec};

use crate::fate::Fate;
use crate::input::Input;
use crate::ledger::LedgerSpec;
use crate::replay::{ReplaySpec, schema};

/// Tables by name.
pub(crate) struct Replays {
    pub(crate) inputs: BTreeMap<String, Arc<Input>>,
    pub(crate) fate: Arc<Fate>,
}

impl Connector for Replays {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let input = self.inputs.get(declaration.table);
        let input = input.ok_or_else(|| Error::internal(format!("no input '{}'", declaration.table)))?;
        if declaration
            .columns
            .as_ref()
            .is_some_and(|columns| columns.fields().len() != schema().fields().len())
        {
            return Err(Error::internal("a replay has columns of its own"));
        }
        Ok(Arc::new(ReplayTable { input: Arc::clone(input), fate: Arc::clone(&self.fate) }))
    }
}

struct ReplayTable {
    input: Arc<Input>,
    fate: Arc<Fate>,
}

impl std::fmt::Debug for ReplayTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("replay")
    }
}

impl ConnectorTable for ReplayTable {
    fn as_source(&self) -> Option<SourceDescription> {
        Some(SourceDescription {
            columns: schema(),
            metadata: Vec::new(),
            event_time: None,
            rows: RowKind::Append,
            guarantee: SourceGuarantee::Replays,
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        None
    }

    fn source(&self, columns: &[SourceColumn], _: &[(String, &'static str)]) -> Result<Arc<dyn SourceSpec>> {
        let columns = columns.iter().map(|column| column.index).collect();
        Ok(Arc::new(ReplaySpec { input: Arc::clone(&self.input), columns, fate: Arc::clone(&self.fate) }))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Err(Error::internal("a replay cannot be written"))
    }
}

/// Tables in the ledger.
pub(crate) struct Ledgers(pub(crate) LedgerSpec);

impl Connector for Ledgers {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        Ok(Arc::new(LedgerTable { spec: self.0.clone(), columns: declaration.columns }))
    }
}

#[derive(Debug)]
struct LedgerTable {
    spec: LedgerSpec,
    columns: Option<SchemaRef>,
}

impl ConnectorTable for LedgerTable {
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
        Err(Error::internal("a ledger cannot be read"))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Ok(Arc::new(self.spec.clone()))
    }
}
