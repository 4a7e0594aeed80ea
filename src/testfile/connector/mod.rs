//! The outside world of a test: rows from the file instead of a source, and
//! sinks that remember. Both are exactly once: positions can be gone back to,
//! and rows can be seen when their epoch is complete.
//!
//! Each real connector is wrapped, not replaced: options and formats are
//! checked as ever, only reading and writing go elsewhere.

mod gate;
mod ledger;
mod sink;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Error, Result, SinkSpec, SourceSpec};

pub use gate::Gate;
pub use ledger::Outputs;

use ledger::Place;
use sink::TestSinkSpec;
use source::TestSourceSpec;

/// A stretch of what flows into a table.
#[derive(Clone, Debug)]
pub enum Stretch {
    /// Rows.
    Rows(RecordBatch),
    /// No rows before this time, nanoseconds since 1970.
    Watermark(i64),
    /// A record that could not be decoded, by a policy that drops it.
    Dropped,
}

/// Makes what flows into each split of a table, with just the columns of the schema.
pub type Feed = Arc<dyn Fn(&SchemaRef) -> Result<Vec<Vec<Stretch>>> + Send + Sync>;

/// A real connector whose tables read from feeds and write to memory.
pub struct TestConnector {
    inner: Arc<dyn Connector>,
    feeds: Arc<BTreeMap<String, Feed>>,
    outside: Outside,
}

/// What the tables of one job have in common.
#[derive(Clone, Debug)]
struct Outside {
    outputs: Outputs,
    gate: Option<Gate>,
    spread: bool,
}

impl TestConnector {
    /// Wraps every connector. Tables without a feed are read from where they say.
    pub fn wrap_all(
        connectors: Vec<Arc<dyn Connector>>,
        feeds: BTreeMap<String, Feed>,
        outputs: &Outputs,
    ) -> Vec<Arc<dyn Connector>> {
        Self::wrap(connectors, feeds, Outside { outputs: outputs.clone(), gate: None, spread: false })
    }

    /// Wraps every connector. What is fed is read as far as the gate lets it; `spread`: every subtask
    /// writes by itself.
    pub fn wrap_all_gated(
        connectors: Vec<Arc<dyn Connector>>,
        feeds: BTreeMap<String, Feed>,
        outputs: &Outputs,
        gate: &Gate,
        spread: bool,
    ) -> Vec<Arc<dyn Connector>> {
        Self::wrap(connectors, feeds, Outside { outputs: outputs.clone(), gate: Some(gate.clone()), spread })
    }

    fn wrap(
        connectors: Vec<Arc<dyn Connector>>,
        feeds: BTreeMap<String, Feed>,
        outside: Outside,
    ) -> Vec<Arc<dyn Connector>> {
        let feeds = Arc::new(feeds);
        let wrap = |inner| TestConnector { inner, feeds: Arc::clone(&feeds), outside: outside.clone() };
        connectors.into_iter().map(|inner| Arc::new(wrap(inner)) as Arc<dyn Connector>).collect()
    }
}

impl Connector for TestConnector {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let table = declaration.table.to_lowercase();
        let feed = self.feeds.get(&table).cloned();
        let inner = self.inner.describe(declaration)?;
        let (outside, sinks) = (self.outside.clone(), AtomicU32::new(0));
        Ok(Arc::new(TestTable { inner, table, feed, outside, sinks }))
    }
}

struct TestTable {
    inner: Arc<dyn ConnectorTable>,
    table: String,
    feed: Option<Feed>,
    outside: Outside,
    /// How many sinks of the script write here: their numbers are the same whenever it is planned.
    sinks: AtomicU32,
}

impl std::fmt::Debug for TestTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestTable").field("table", &self.table).finish_non_exhaustive()
    }
}

impl ConnectorTable for TestTable {
    fn as_source(&self) -> Option<SourceDescription> {
        self.inner.as_source()
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        self.inner.as_sink()
    }

    fn source(
        &self,
        columns: &[SourceColumn],
        metadata: &[(String, &'static str)],
    ) -> Result<Arc<dyn SourceSpec>> {
        let Some(feed) = &self.feed else { return self.inner.source(columns, metadata) };
        let description = self
            .as_source()
            .ok_or_else(|| Error::internal(format!("'{}' is read though it is no source", self.table)))?;
        let physical = columns.iter().map(|c| Arc::new(description.columns.field(c.index).clone()));
        let added = metadata.iter().map(|(name, key)| {
            let known = description.metadata.iter().find(|m| m.key == *key);
            let data_type = known.map(|m| m.data_type.clone()).unwrap_or(arrow::datatypes::DataType::Null);
            Arc::new(Field::new(name, data_type, true))
        });
        let schema: SchemaRef = Arc::new(Schema::new(physical.chain(added).collect::<Vec<_>>()));
        let splits = Arc::new(feed(&schema)?);
        Ok(Arc::new(TestSourceSpec::new(self.table.clone(), schema, splits, self.outside.gate.clone())))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        let Outside { outputs, spread, .. } = &self.outside;
        outputs.touch(&self.table);
        let place = Place { table: self.table.clone(), sink: self.sinks.fetch_add(1, Relaxed) };
        Ok(Arc::new(TestSinkSpec::new(place, outputs.clone(), *spread)))
    }
}

/// The specs of a test hold live memory, so they stay in their process.
fn stays_in_process<T>() -> Result<T> {
    Err(Error::internal("a test's source or sink does not leave its process"))
}
