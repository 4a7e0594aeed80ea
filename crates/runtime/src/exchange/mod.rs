//! The sending side of one edge: which rows go to which subtask.
//!
//! Rows that are too few to travel alone wait here, bounded, until they are
//! enough, until the subtask's input is empty, or until something comes that
//! they must stay in front of. All else goes to every receiver at once.

mod gather;
mod partition;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::routing::RoutingTable;
use thalweg_dataflow::{Barrier, Batch, Error, Message, NodeId, Result, Watermark};
use thalweg_world::Clock;

use crate::channel::Sender;
use crate::guard::{Failure, Site};
use gather::Gather;
use partition::Partitioner;

/// Who gets which row.
#[derive(Debug)]
enum Route {
    /// There is one receiver, or a forward edge between two chains.
    Single,
    /// By key group.
    Shuffle(Partitioner),
    /// Batch by batch in turn.
    Rebalance { next: usize },
    /// All to all.
    Broadcast,
}

/// Where an exchange begins: whose rows, and who counts the waiting.
pub(crate) struct Origin {
    pub(crate) site: Site,
    pub(crate) counters: Arc<OperatorCounters>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// One edge that leaves a subtask.
pub(crate) struct Exchange {
    origin: Origin,
    to: NodeId,
    route: Route,
    senders: Vec<Sender>,
    gathers: Vec<Gather>,
    watermark: Watermark,
    idle: bool,
    ended: bool,
}

impl Exchange {
    /// An exchange without keys: everything to the one receiver.
    pub(crate) fn single(origin: Origin, to: NodeId, sender: Sender) -> Self {
        Self::new(origin, to, Route::Single, vec![sender], 1)
    }

    /// Rows by the key group of their `key` columns.
    pub(crate) fn shuffle(
        origin: Origin,
        key: Vec<usize>,
        table: RoutingTable,
        senders: Vec<Sender>,
        batch_rows_max: usize,
    ) -> Self {
        let to = table.node;
        let route =
            if senders.len() == 1 { Route::Single } else { Route::Shuffle(Partitioner::new(key, table)) };
        Self::new(origin, to, route, senders, batch_rows_max)
    }

    /// Batch by batch in turn, beginning at receiver `first`.
    pub(crate) fn rebalance(origin: Origin, to: NodeId, senders: Vec<Sender>, first: usize) -> Self {
        let next = first % senders.len();
        Self::new(origin, to, Route::Rebalance { next }, senders, 1)
    }

    /// Everything to everybody.
    pub(crate) fn broadcast(origin: Origin, to: NodeId, senders: Vec<Sender>) -> Self {
        Self::new(origin, to, Route::Broadcast, senders, 1)
    }

    fn new(origin: Origin, to: NodeId, route: Route, senders: Vec<Sender>, batch_rows_max: usize) -> Self {
        let gathers = senders.iter().map(|_| Gather::new(batch_rows_max)).collect();
        let watermark = Watermark::START;
        Self { origin, to, route, senders, gathers, watermark, idle: false, ended: false }
    }

    /// Sends rows on; waits while there is no room.
    pub(crate) async fn send(&mut self, records: RecordBatch) -> Result<(), Failure> {
        if std::mem::take(&mut self.idle) {
            // Receivers that get none of these rows must know as well that this side counts again.
            self.tell(&Message::Watermark(self.watermark))?;
        }
        match &mut self.route {
            Route::Single => self.push(0, records).await,
            Route::Rebalance { next } => {
                let to = *next;
                *next = (to + 1) % self.senders.len();
                self.push(to, records).await
            }
            Route::Broadcast => {
                for to in 0..self.senders.len() {
                    self.push(to, records.clone()).await?;
                }
                Ok(())
            }
            Route::Shuffle(partitioner) => {
                let site = &self.origin.site;
                let pieces = partitioner.split(records, self.senders.len()).map_err(|e| site.locate(e))?;
                for piece in pieces {
                    self.gather(piece).await?;
                }
                Ok(())
            }
        }
    }

    async fn gather(&mut self, piece: partition::Piece) -> Result<(), Failure> {
        let (to, gather) = (piece.to, &mut self.gathers[piece.to]);
        if gather.is_empty() && gather.travels_alone(piece.records.num_rows()) {
            return self.push(to, piece.records).await;
        }
        if let Some(full) = gather.add(piece.records, piece.pinned_bytes)? {
            self.push(to, full).await?;
        }
        Ok(())
    }

    async fn push(&self, to: usize, records: RecordBatch) -> Result<(), Failure> {
        let sender = &self.senders[to];
        let Some(refused) = sender.try_send(Batch::new(records))? else {
            return Ok(());
        };
        let began = self.origin.clock.monotonic();
        let sent = sender.send(refused).await;
        let waited = self.origin.clock.monotonic() - began;
        self.origin.counters.backpressured_nanos.add(nanos(waited));
        Ok(sent?)
    }

    /// Sends on what was held back for efficiency.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        for to in 0..self.gathers.len() {
            if let Some(held) = self.gathers[to].take()? {
                self.push(to, held).await?;
            }
        }
        Ok(())
    }

    /// Sends a watermark behind all rows.
    pub(crate) async fn watermark(&mut self, watermark: Watermark) -> Result<(), Failure> {
        self.flush().await?;
        self.idle = false;
        self.watermark = watermark;
        self.tell(&Message::Watermark(watermark))
    }

    /// Says that for now this side holds nothing back.
    pub(crate) async fn idle(&mut self) -> Result<(), Failure> {
        self.flush().await?;
        self.idle = true;
        self.tell(&Message::Idle)
    }

    /// Sends a barrier on every output, and only then routes by the tables that it brings.
    pub(crate) async fn barrier(&mut self, barrier: &Barrier) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        self.flush().await?;
        self.tell(&Message::Barrier(barrier.clone()))?;
        match barrier.tables.iter().find(|table| table.node == self.to) {
            Some(table) => Ok(self.route_by(table)?),
            None => Ok(()),
        }
    }

    fn route_by(&mut self, table: &RoutingTable) -> Result<()> {
        if table.parallelism as usize != self.senders.len() {
            return Err(self
                .origin
                .site
                .locate(Error::internal("a routing table names receivers without channels")));
        }
        match &mut self.route {
            Route::Shuffle(partitioner) => partitioner.route_by(table),
            Route::Single | Route::Rebalance { .. } | Route::Broadcast => {}
        }
        Ok(())
    }

    /// Sends the last message: `Retire` or `End`.
    pub(crate) async fn end(&mut self, last: Message) -> Result<(), Failure> {
        self.flush().await?;
        self.ended = true;
        self.tell(&last)
    }

    fn tell(&self, message: &Message) -> Result<(), Failure> {
        for sender in &self.senders {
            sender.tell(message.clone())?;
        }
        Ok(())
    }
}

/// A duration as counters hold it.
pub(crate) fn nanos(duration: Duration) -> usize {
    usize::try_from(duration.as_nanos()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
