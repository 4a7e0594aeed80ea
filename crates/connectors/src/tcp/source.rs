//! Records that others send to rows.
//!
//! There is one split, the listener, and no position: what was received and
//! not yet in a checkpoint is gone after a crash. The rows of one connection
//! keep their order. What is there leaves at once, records of many peers in
//! one batch; nothing is waited for.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::source::{Assignment, SourceGuarantee};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Error, Registry, Result, Source, SourceEvent, SourceSpec, Spec};
use thalweg_formats::{Decoded, Decoder, Format};
use thalweg_state::SplitId;

use super::BoundAddress;
use super::block::Block;
use super::connection::{Connection, Received, Wake};
use super::fault::{Fault, bad_record};
use super::listening::{Listening, Receiving};
use super::notice::Notice;
use crate::format_options::{BadData, refused};
use crate::{plain_spec, splits};

const KIND: &str = "tcp_source";

pub(super) fn register(registry: &mut Registry) {
    registry.add_source(KIND, |bytes| Ok(Arc::new(plain_spec::decode::<TcpSourceSpec>(bytes)?)));
}

/// The source as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TcpSourceSpec {
    pub(super) address: String,
    pub(super) receiving: Receiving,
    pub(super) format: Format,
    pub(super) bad_data: BadData,
    /// The columns to be decoded.
    pub(super) columns: Schema,
    /// The names of the columns behind them, each of which holds the peer.
    pub(super) peers: Vec<String>,
    /// Who wants to know where this process listens.
    #[serde(skip)]
    pub(super) bound: Option<BoundAddress>,
}

impl TcpSourceSpec {
    fn split(&self) -> SplitId {
        SplitId::new(self.address.as_str())
    }
}

impl Spec for TcpSourceSpec {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        plain_spec::encode(self)
    }

    fn label(&self) -> String {
        format!("'{}' {}", self.address, self.format.name())
    }
}

impl SourceSpec for TcpSourceSpec {
    fn build(&self, cx: PieceContext) -> Result<Box<dyn Source>> {
        let decoder = self.format.decoder(&Arc::new(self.columns.clone())).map_err(refused)?;
        Ok(Box::new(TcpSource {
            schema: self.output_schema(),
            spec: self.clone(),
            cx,
            decoder,
            listening: None,
            block: Block::default(),
            held_bytes: 0,
            failure: None,
            faults: Notice::default(),
            revoked: false,
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        let peers = self.peers.iter().map(|name| Arc::new(Field::new(name, DataType::Utf8, false)));
        Arc::new(Schema::new(self.columns.fields().iter().cloned().chain(peers).collect::<Vec<_>>()))
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        Ok(splits::single(self.split(), parallelism))
    }

    /// There is no position to keep, so a checkpoint of another address is as good as none.
    fn distribute(&self, _: Vec<Assignment>, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        self.splits(parallelism)
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::AtMostOnce
    }

    fn live(&self) -> bool {
        true
    }
}

struct TcpSource {
    spec: TcpSourceSpec,
    schema: SchemaRef,
    cx: PieceContext,
    decoder: Box<dyn Decoder>,
    listening: Option<Listening>,
    /// Whole records not yet given out.
    block: Block,
    /// Bytes of unfinished records, over all connections.
    held_bytes: usize,
    /// What the job fails with once the records before it are given out.
    failure: Option<Error>,
    faults: Notice,
    /// The split went to another subtask, so nothing ends here.
    revoked: bool,
}

impl TcpSource {
    async fn begin(&mut self, splits: Vec<Assignment>) -> Result<()> {
        for Assignment { split, .. } in splits {
            if split != self.spec.split() {
                return Err(Error::internal(format!(
                    "'{split}' is not the listener '{}'",
                    self.spec.address
                )));
            }
            let listening = Listening::bind(&self.spec.address, &self.spec.receiving).await?;
            if let Ok(address) = listening.address() {
                tracing::info!(%address, "listening");
                if let Some(bound) = &self.spec.bound {
                    bound.set(address);
                }
            }
            self.listening = Some(listening);
            self.revoked = false;
        }
        Ok(())
    }

    async fn event(&mut self) -> Result<SourceEvent> {
        loop {
            while let Some(frames) = self.block.next(self.cx.rows_max.get()) {
                let records = self.decode(frames)?;
                if records.num_rows() > 0 {
                    return Ok(SourceEvent::Rows { split: self.spec.split(), records });
                }
            }
            if let Some(failure) = &self.failure {
                return Err(failure.clone());
            }
            if self.listening.is_none() && !self.revoked {
                return Ok(SourceEvent::End);
            }
            // All that is gathered lies in `self`, so nothing is lost where this is dropped.
            poll_fn(|cx| self.poll_gather(cx)).await;
        }
    }

    /// Reads whoever has something to say, until there are records enough or nobody has more.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.block.is_full(self.cx.rows_max.get()) && self.failure.is_none() {
            let Some(listening) = &mut self.listening else { return Poll::Pending };
            match listening.poll_turn(cx) {
                Poll::Ready((connection, Wake::Readable)) => self.read(connection, cx),
                Poll::Ready((connection, Wake::Silent)) => self.close(connection),
                Poll::Pending if self.block.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }

    /// Gives a connection its turn.
    fn read(&mut self, mut connection: Connection, cx: &mut Context<'_>) {
        let Some(listening) = &mut self.listening else { return };
        let held_before = connection.held_bytes();
        let received = connection.poll_read(&mut self.block, cx);
        self.held_bytes = self.held_bytes + connection.held_bytes() - held_before;
        let Receiving { held_bytes_max, record_bytes_max, .. } = self.spec.receiving;
        match received {
            Poll::Ready(Received::Full | Received::Drained) if self.held_bytes > held_bytes_max => {
                self.fault(connection, Fault::NoRoom { bytes_max: held_bytes_max });
            }
            Poll::Ready(Received::Full) => listening.again(connection),
            Poll::Ready(Received::Drained) | Poll::Pending => listening.wait(connection),
            Poll::Ready(Received::End) => self.close(connection),
            Poll::Ready(Received::TooLong(too_long)) => {
                self.fault(connection, Fault::TooLong { bytes: too_long.bytes, bytes_max: record_bytes_max });
            }
        }
    }

    /// Closes a connection whose peer has gone or is silent. A record that it had begun is a bad one.
    fn close(&mut self, connection: Connection) {
        match connection.held_bytes() {
            0 => tracing::debug!(peer = connection.peer(), "connection closed"),
            bytes => self.fault(connection, Fault::Unfinished { bytes }),
        }
    }

    /// Closes a connection that broke the rules: a bad record, which the table says what becomes of.
    fn fault(&mut self, connection: Connection, fault: Fault) {
        self.held_bytes -= connection.held_bytes();
        let error = fault.error(&self.spec.address, connection.peer(), connection.record());
        let counters = &self.cx.counters;
        counters.records_read.add(1);
        match self.spec.bad_data {
            BadData::Fail => {
                counters.failed.add(1);
                self.failure = Some(error);
            }
            BadData::Drop => {
                counters.dropped.add(1);
                if let Some(times) = self.faults.again() {
                    tracing::warn!(peer = connection.peer(), code = %error.code(), times, "connection closed: {error}");
                }
            }
        }
    }

    /// The rows of some frames. Where the job is to fail, those before the bad record, and the failure is noted.
    fn decode(&mut self, frames: Range<usize>) -> Result<RecordBatch> {
        let block = self.block.frames(frames.clone());
        let decoded = self.decoder.decode(&block).map_err(|e| Error::internal(e.to_string()))?;
        let counters = &self.cx.counters;
        counters.cells_decoded.add(decoded.cells as usize);
        let mut rows = decoded.records.num_rows();
        match (self.spec.bad_data, decoded.bad.first()) {
            (BadData::Fail, Some(bad)) => {
                let all = decoded.rows.frames(rows);
                rows = all.take_while(|&frame| frame < bad.frame).count();
                counters.records_read.add(rows + 1);
                counters.failed.add(1);
                let (peer, number) = (self.block.peer(frames.start + bad.frame), block.line(bad.frame));
                self.failure = Some(bad_record(&self.spec, peer, number, &bad.reason));
            }
            (BadData::Drop, _) | (BadData::Fail, None) => {
                counters.records_read.add(rows + decoded.bad.len());
                counters.dropped.add(decoded.bad.len());
            }
        }
        let records = self.with_peers(&decoded, frames.start, rows);
        if self.failure.is_some() {
            // What was received behind the failure is never given out.
            self.block = Block::default();
        }
        records
    }

    /// The first `rows` rows, with the columns that say who sent them.
    fn with_peers(&self, decoded: &Decoded, first: usize, rows: usize) -> Result<RecordBatch> {
        let records = decoded.records.slice(0, rows);
        if self.spec.peers.is_empty() {
            return Ok(records);
        }
        let frames = decoded.rows.frames(rows);
        let peers = frames.map(|frame| self.block.peer(first + frame));
        let peers: ArrayRef = Arc::new(StringArray::from_iter_values(peers));
        let peers = self.spec.peers.iter().map(|_| peers.clone());
        let columns = records.columns().iter().cloned().chain(peers).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::internal("metadata columns do not fit").because(e))
    }
}

impl Source for TcpSource {
    fn open(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.begin(splits).boxed()
    }

    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent>> {
        self.event().boxed()
    }

    fn positions(&mut self) -> Vec<Assignment> {
        let held = self.listening.iter();
        held.map(|_| Assignment { split: self.spec.split(), position: None }).collect()
    }

    fn assign(&mut self, splits: Vec<Assignment>) -> BoxFuture<'_, Result<()>> {
        self.begin(splits).boxed()
    }

    fn revoke(&mut self, splits: &[SplitId]) -> BoxFuture<'_, Result<Vec<Assignment>>> {
        let mut given = Vec::new();
        if splits.contains(&self.spec.split()) {
            given = self.positions();
            self.revoked |= self.listening.take().is_some();
        }
        ready(Ok(given)).boxed()
    }
}
