//! `connector = 'bench'`: rows that a measurement makes, and results that it looks at.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::sink::{Close, Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::source::{Assignment, Position, SourceGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Error, Result, Sink, SinkSpec, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::{Epoch, SplitId};

/// What a source has at a place.
pub(crate) enum Next {
    /// Rows, with all columns of the table.
    Rows(RecordBatch),
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing ever again.
    End,
}

/// What a source gives: the batch of each number, from 0 on.
pub(crate) type Rows = Arc<dyn Fn(u64) -> Next + Send + Sync>;

/// Who looks at results.
pub(crate) type Look = Arc<dyn Fn(&RecordBatch) + Send + Sync>;

/// A table that is read has one split; a table that is written is looked at.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) rows: Rows,
    pub(crate) look: Look,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bench")
    }
}

impl Connector for Bench {
    fn name(&self) -> &'static str {
        "bench"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        Ok(Arc::new(Table { bench: self.clone(), columns: declaration.columns }))
    }
}

#[derive(Debug)]
struct Table {
    bench: Bench,
    columns: Option<SchemaRef>,
}

impl ConnectorTable for Table {
    fn as_source(&self) -> Option<SourceDescription> {
        Some(SourceDescription {
            columns: self.columns.clone()?,
            metadata: Vec::new(),
            event_time: None,
            rows: RowKind::Append,
            guarantee: SourceGuarantee::Replays,
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        Some(SinkDescription {
            columns: self.columns.clone(),
            changelog: Ok(()),
            upsert: false,
            guarantee: SinkGuarantee::ExactlyOnce,
        })
    }

    fn source(&self, columns: &[SourceColumn], _: &[(String, &'static str)]) -> Result<Arc<dyn SourceSpec>> {
        let all = self.columns.as_ref().ok_or_else(|| Error::internal("a table that is read has columns"))?;
        let schema = Arc::new(SourceColumn::project(columns, all)?);
        let columns = columns.iter().map(|column| column.index).collect();
        Ok(Arc::new(BenchSpec { bench: self.bench.clone(), columns, schema }))
    }

    fn sink(&self, schema: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Ok(Arc::new(BenchSpec { bench: self.bench.clone(), columns: Vec::new(), schema }))
    }
}

/// The source or the sink of one table.
#[derive(Debug)]
struct BenchSpec {
    bench: Bench,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Spec for BenchSpec {
    fn kind(&self) -> &'static str {
        "bench"
    }

    fn encode(&self) -> Result<Vec<u8>> {
        Err(Error::internal("what a measurement makes does not leave its process"))
    }

    fn label(&self) -> String {
        String::new()
    }
}

impl SourceSpec for BenchSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let (rows, columns) = (Arc::clone(&self.bench.rows), self.columns.clone());
        Ok(Box::new(BenchSource { rows, columns, place: 0, counters: cx.counters }))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        self.distribute(vec![Assignment { split: SplitId::new("0"), position: None }], parallelism)
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::Replays
    }

    fn live(&self) -> bool {
        false
    }
}

struct BenchSource {
    rows: Rows,
    columns: Vec<usize>,
    /// The number of the next batch.
    place: u64,
    counters: Arc<OperatorCounters>,
}

impl Source for BenchSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        for Position(bytes) in splits.into_iter().filter_map(|assignment| assignment.position) {
            self.place = u64::from_be_bytes(bytes.try_into().expect("we wrote eight bytes"));
        }
        ready(Ok(())).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        Box::pin(async move {
            loop {
                match (self.rows)(self.place) {
                    Next::End => return Ok(SourceEvent::End),
                    Next::Wait(time) => tokio::time::sleep(time).await,
                    Next::Rows(records) => {
                        self.place += 1;
                        self.counters.records_read.add(records.num_rows());
                        let records = records.project(&self.columns).expect("rows have all columns");
                        return Ok(SourceEvent::Rows { split: SplitId::new("0"), records });
                    }
                }
            }
        })
    }

    fn positions(&mut self) -> Vec<Assignment> {
        let position = Some(Position(self.place.to_be_bytes().to_vec()));
        vec![Assignment { split: SplitId::new("0"), position }]
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.open(splits)
    }

    fn revoke(&mut self, _: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        ready(Err(Error::internal("the one split stays where it is"))).boxed()
    }
}

impl SinkSpec for BenchSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(BenchSink { look: Arc::clone(&self.bench.look), counters: cx.counters }))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, _: RowKind) -> bool {
        true
    }

    fn parallelism_max(&self) -> Option<u32> {
        None
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::ExactlyOnce
    }
}

struct BenchSink {
    look: Look,
    counters: Arc<OperatorCounters>,
}

impl Sink for BenchSink {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.counters.taken.add(records.num_rows());
        (self.look)(&records);
        ready(Ok(())).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn prepare(&mut self, _: Epoch) -> BoxFuture<'_, Result<Option<Committable>>> {
        ready(Ok(None)).boxed()
    }

    fn close(&mut self, _: Close) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }
}
