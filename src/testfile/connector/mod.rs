//! The outside world of a test: rows from the file instead of a source, and
//! sinks that remember.
//!
//! Each real connector is wrapped, not replaced: options and formats are
//! checked as ever, only reading and writing go elsewhere.

mod sink;
mod source;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Error, Result, SinkSpec, SourceSpec};

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

/// What sinks have been given, by table, in order.
#[derive(Clone, Debug, Default)]
pub struct Outputs(Arc<Mutex<BTreeMap<String, Vec<RecordBatch>>>>);

impl Outputs {
    /// What came to each table so far.
    pub fn tables(&self) -> BTreeMap<String, Vec<RecordBatch>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn push(&self, table: &str, records: RecordBatch) {
        let mut tables = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        tables.entry(table.to_owned()).or_default().push(records);
    }

    fn touch(&self, table: &str) {
        let mut tables = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        tables.entry(table.to_owned()).or_default();
    }
}

/// A real connector whose tables read from feeds and write to memory.
pub struct TestConnector {
    inner: Arc<dyn Connector>,
    feeds: Arc<BTreeMap<String, Feed>>,
    outputs: Outputs,
}

impl TestConnector {
    /// Wraps every connector. Tables without a feed are read from where they say.
    pub fn wrap_all(
        connectors: Vec<Arc<dyn Connector>>,
        feeds: BTreeMap<String, Feed>,
        outputs: &Outputs,
    ) -> Vec<Arc<dyn Connector>> {
        let feeds = Arc::new(feeds);
        let wrap = |inner| TestConnector { inner, feeds: Arc::clone(&feeds), outputs: outputs.clone() };
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
        Ok(Arc::new(TestTable { inner, table, feed, outputs: self.outputs.clone() }))
    }
}

struct TestTable {
    inner: Arc<dyn ConnectorTable>,
    table: String,
    feed: Option<Feed>,
    outputs: Outputs,
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
        Ok(Arc::new(TestSourceSpec::new(self.table.clone(), schema, splits)))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        self.outputs.touch(&self.table);
        Ok(Arc::new(TestSinkSpec::new(self.table.clone(), self.outputs.clone())))
    }
}

/// The specs of a test hold live memory, so they stay in their process.
fn stays_in_process<T>() -> Result<T> {
    Err(Error::internal("a test's source or sink does not leave its process"))
}
