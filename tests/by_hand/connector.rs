//! The connector `hand`: a source that gives what the test says, when it says
//! so, and a sink that takes rows only while its gate is open.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures_util::future::BoxFuture;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::sink::{Close, Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::source::{Assignment, SourceGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Committable, Error, Result, Sink, SinkSpec, Source, SourceEvent, SourceSpec, Spec};
use thalweg_state::{Epoch, SplitId};
use tokio::sync::{mpsc, watch};

type Taker = Arc<dyn Fn(RecordBatch) + Send + Sync>;
type Events = Arc<Mutex<Option<mpsc::Receiver<SourceEvent>>>>;

/// One job's outside.
#[derive(Clone)]
pub(crate) struct Hand {
    splits: Vec<SplitId>,
    events: Events,
    taker: Taker,
    gate: watch::Receiver<bool>,
}

/// What the test holds of it.
pub(crate) struct Moves {
    /// What the source gives next; one event waits at most.
    pub(crate) source: mpsc::Sender<SourceEvent>,
    /// Whether the sink takes rows.
    pub(crate) gate: watch::Sender<bool>,
}

impl Hand {
    /// A source of these splits, and an open sink that shows each batch to `taker` before it waits.
    pub(crate) fn new(splits: &[&str], taker: impl Fn(RecordBatch) + Send + Sync + 'static) -> (Self, Moves) {
        let (source, events) = mpsc::channel(1);
        let (open, gate) = watch::channel(true);
        let splits = splits.iter().map(|&split| SplitId::new(split)).collect();
        let events = Arc::new(Mutex::new(Some(events)));
        (Self { splits, events, taker: Arc::new(taker), gate }, Moves { source, gate: open })
    }
}

impl Connector for Hand {
    fn name(&self) -> &'static str {
        "hand"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let columns = declaration.columns;
        Ok(Arc::new(Table { hand: self.clone(), columns, projected: None }))
    }
}

/// A table, and the spec of its source and sink.
#[derive(Clone)]
struct Table {
    hand: Hand,
    columns: Option<SchemaRef>,
    projected: Option<SchemaRef>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hand")
    }
}

impl ConnectorTable for Table {
    fn as_source(&self) -> Option<SourceDescription> {
        Some(SourceDescription {
            columns: self.columns.clone()?,
            metadata: Vec::new(),
            event_time: None,
            rows: RowKind::Append,
            guarantee: SourceGuarantee::AtMostOnce,
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        let guarantee = SinkGuarantee::AtLeastOnce;
        Some(SinkDescription { columns: self.columns.clone(), changelog: Ok(()), upsert: false, guarantee })
    }

    /// The test gives all columns; it must read all of them.
    fn source(&self, columns: &[SourceColumn], _: &[(String, &'static str)]) -> Result<Arc<dyn SourceSpec>> {
        let all = self.columns.clone().ok_or_else(|| Error::internal("no columns"))?;
        assert_eq!(columns.len(), all.fields().len(), "the script reads all columns");
        Ok(Arc::new(Self { projected: Some(all), ..self.clone() }))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Spec for Table {
    fn kind(&self) -> &'static str {
        "hand"
    }

    fn encode(&self) -> Result<Vec<u8>> {
        Err(Error::internal("a test's source or sink does not leave its process"))
    }

    fn label(&self) -> String {
        String::new()
    }
}

impl SourceSpec for Table {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let events = self.hand.events.lock().expect("unbroken").take();
        let events = events.ok_or_else(|| Error::internal("a source is built twice"))?;
        Ok(Box::new(ByHand { events, cx }))
    }

    fn output_schema(&self) -> SchemaRef {
        self.projected.clone().expect("it was made by `source`")
    }

    fn splits(&self, _: u32) -> Result<Vec<Vec<Assignment>>> {
        let assignment = |split: &SplitId| Assignment { split: split.clone(), position: None };
        Ok(vec![self.hand.splits.iter().map(assignment).collect()])
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::AtMostOnce
    }

    fn live(&self) -> bool {
        false
    }
}

struct ByHand {
    events: mpsc::Receiver<SourceEvent>,
    cx: PieceContext,
}

impl Source for ByHand {
    fn open(&mut self, _: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        Box::pin(async {
            let event = self.events.recv().await.unwrap_or(SourceEvent::End);
            if let SourceEvent::Rows { records, .. } = &event {
                self.cx.counters.records_read.add(records.num_rows());
            }
            Ok(event)
        })
    }

    fn positions(&mut self) -> Vec<Assignment> {
        Vec::new()
    }

    fn assign(&mut self, _: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn revoke(&mut self, _: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl SinkSpec for Table {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Gated { taker: Arc::clone(&self.hand.taker), gate: self.hand.gate.clone(), cx }))
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

struct Gated {
    taker: Taker,
    gate: watch::Receiver<bool>,
    cx: PieceContext,
}

impl Sink for Gated {
    fn open(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn write(&mut self, records: RecordBatch) -> BoxFuture<'_, Result<()>> {
        self.cx.counters.taken.add(records.num_rows());
        (self.taker)(records);
        Box::pin(async {
            let gone = |e| Error::internal("the test is gone").because(e);
            self.gate.wait_for(|open| *open).await.map(drop).map_err(gone)
        })
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
