//! The outside world of a test: rows from the file instead of a source, and
//! sinks that remember.
//!
//! Each real connector is wrapped, not replaced: options and formats are
//! checked as ever, only reading and writing go elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures_util::future::BoxFuture;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceDescription,
};
use thalweg_dataflow::sink::{Close, Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{
    Committable, Error, EventTime, Result, Sink, SinkSpec, Source, SourceEvent, SourceSpec, Spec,
};
use thalweg_state::{Epoch, SplitId};

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

    fn source(&self, columns: &[usize], metadata: &[(String, &'static str)]) -> Result<Arc<dyn SourceSpec>> {
        let Some(feed) = &self.feed else { return self.inner.source(columns, metadata) };
        let description = self
            .as_source()
            .ok_or_else(|| Error::internal(format!("'{}' is read though it is no source", self.table)))?;
        let physical = columns.iter().map(|&c| Arc::new(description.columns.field(c).clone()));
        let added = metadata.iter().map(|(name, key)| {
            let known = description.metadata.iter().find(|m| m.key == *key);
            let data_type = known.map(|m| m.data_type.clone()).unwrap_or(arrow::datatypes::DataType::Null);
            Arc::new(Field::new(name, data_type, true))
        });
        let schema: SchemaRef = Arc::new(Schema::new(physical.chain(added).collect::<Vec<_>>()));
        let splits = Arc::new(feed(&schema)?);
        Ok(Arc::new(TestSourceSpec { table: self.table.clone(), schema, splits }))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        self.outputs.touch(&self.table);
        Ok(Arc::new(TestSinkSpec { table: self.table.clone(), outputs: self.outputs.clone() }))
    }
}

#[derive(Debug)]
struct TestSourceSpec {
    table: String,
    schema: SchemaRef,
    splits: Arc<Vec<Vec<Stretch>>>,
}

/// The specs of a test hold live memory, so they stay in their process.
fn stays_in_process<T>() -> Result<T> {
    Err(Error::internal("a test's source or sink does not leave its process"))
}

impl TestSourceSpec {
    fn split(&self, index: usize) -> SplitId {
        SplitId::new(format!("{}-{index}", self.table))
    }
}

impl Spec for TestSourceSpec {
    fn kind(&self) -> &'static str {
        "test_source"
    }

    fn encode(&self) -> Result<Vec<u8>> {
        stays_in_process()
    }

    fn label(&self) -> String {
        self.table.clone()
    }
}

impl SourceSpec for TestSourceSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let readings = (0..self.splits.len()).map(|index| Reading::away(self.split(index))).collect();
        Ok(Box::new(TestSource { splits: Arc::clone(&self.splits), readings, cx, turn: 0 }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        let mut dealt = vec![Vec::new(); parallelism as usize];
        for index in 0..self.splits.len() {
            dealt[index % parallelism as usize].push(Assignment { split: self.split(index), position: None });
        }
        Ok(dealt)
    }

    fn parallelism_max(&self) -> Option<u32> {
        u32::try_from(self.splits.len().max(1)).ok()
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        false
    }
}

/// Whether a split is read here, and how far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Away,
    Reading,
    Ended,
}

struct Reading {
    split: SplitId,
    state: State,
    /// The stretch, and the row within it, to be read next.
    at: (usize, usize),
}

impl Reading {
    fn away(split: SplitId) -> Self {
        Self { split, state: State::Away, at: (0, 0) }
    }

    fn assignment(&self) -> Assignment {
        let position = serde_json::to_vec(&self.at).expect("two numbers have a JSON form");
        Assignment { split: self.split.clone(), position: Some(Position(position)) }
    }
}

/// Reads its splits in turn, a batch of each.
struct TestSource {
    splits: Arc<Vec<Vec<Stretch>>>,
    readings: Vec<Reading>,
    cx: PieceContext,
    turn: usize,
}

impl TestSource {
    fn take_on(&mut self, splits: &[Assignment]) -> Result<()> {
        for assignment in splits {
            let reading = self
                .readings
                .iter_mut()
                .find(|r| r.split == assignment.split)
                .ok_or_else(|| Error::internal(format!("there is no split '{}'", assignment.split)))?;
            reading.state = State::Reading;
            if let Some(Position(bytes)) = &assignment.position {
                reading.at = serde_json::from_slice(bytes)
                    .map_err(|why| Error::internal("a test's position is unreadable").because(why))?;
            }
        }
        Ok(())
    }

    fn read(&mut self) -> SourceEvent {
        for _ in 0..self.readings.len() {
            let index = self.turn % self.readings.len();
            self.turn += 1;
            if self.readings[index].state == State::Reading {
                return self.read_split(index);
            }
        }
        SourceEvent::End
    }

    fn read_split(&mut self, index: usize) -> SourceEvent {
        let Reading { split, state, at } = &mut self.readings[index];
        let split = split.clone();
        loop {
            let (stretch, row) = *at;
            match self.splits[index].get(stretch) {
                None => {
                    *state = State::Ended;
                    return SourceEvent::SplitEnd { split };
                }
                Some(Stretch::Watermark(time)) => {
                    *at = (stretch + 1, 0);
                    return SourceEvent::Watermark { split, time: EventTime(*time) };
                }
                Some(Stretch::Dropped) => {
                    *at = (stretch + 1, 0);
                    self.cx.counters.records_read.add(1);
                    self.cx.counters.dropped.add(1);
                }
                Some(Stretch::Rows(records)) if row == records.num_rows() => *at = (stretch + 1, 0),
                Some(Stretch::Rows(records)) => {
                    let rows = self.cx.settings.batch_rows_max.min(records.num_rows() - row);
                    *at = (stretch, row + rows);
                    self.cx.counters.records_read.add(rows);
                    return SourceEvent::Rows { split, records: records.slice(row, rows) };
                }
            }
        }
    }
}

impl Source for TestSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.assign(splits)
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        Box::pin(async move { Ok(self.read()) })
    }

    fn positions(&mut self) -> Vec<Assignment> {
        self.readings.iter().filter(|r| r.state != State::Away).map(Reading::assignment).collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.take_on(&splits) })
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let mut given = Vec::new();
        for reading in &mut self.readings {
            if splits.contains(&reading.split) && reading.state != State::Away {
                given.push(reading.assignment());
                reading.state = State::Away;
            }
        }
        Box::pin(async move { Ok(given) })
    }
}

#[derive(Debug)]
struct TestSinkSpec {
    table: String,
    outputs: Outputs,
}

impl Spec for TestSinkSpec {
    fn kind(&self) -> &'static str {
        "test_sink"
    }

    fn encode(&self) -> Result<Vec<u8>> {
        stays_in_process()
    }

    fn label(&self) -> String {
        self.table.clone()
    }
}

impl SinkSpec for TestSinkSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(TestSink { table: self.table.clone(), outputs: self.outputs.clone(), cx }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, _: RowKind) -> bool {
        true
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }
}

struct TestSink {
    table: String,
    outputs: Outputs,
    cx: PieceContext,
}

impl Sink for TestSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.cx.counters.taken.add(records.num_rows());
        self.outputs.push(&self.table, records);
        Box::pin(async { Ok(()) })
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
