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
use thalweg_dataflow::{Barrier, Batch, Error, Message, NodeId, Rest, Result, Watermark};
use thalweg_state::planted;
use thalweg_world::Clock;

use crate::channel::Sender;
use crate::guard::{Failure, Site};
use crate::moves::Exit;
use gather::Gather;
use partition::Partitioner;

/// Who gets which row.
#[derive(Debug)]
enum Route {
    /// A forward edge between two chains.
    Forward,
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
    /// The edge's index in the graph.
    edge: u32,
    to: NodeId,
    route: Route,
    senders: Vec<Sender>,
    gathers: Vec<Gather>,
    batch_rows_max: usize,
    watermark: Watermark,
    idle: Option<Rest>,
    /// The last message, once it was sent.
    ended: Option<Message>,
}

impl Exchange {
    /// To the one receiver of a forward edge.
    pub(crate) fn forward(origin: Origin, (edge, to): (u32, NodeId), sender: Sender) -> Self {
        Self::new(origin, (edge, to), Route::Forward, vec![sender], 1)
    }

    /// Rows by the key group of their `key` columns.
    pub(crate) fn shuffle(
        origin: Origin,
        edge: u32,
        key: Vec<usize>,
        table: RoutingTable,
        senders: Vec<Sender>,
        batch_rows_max: usize,
    ) -> Self {
        let to = table.node;
        Self::new(origin, (edge, to), Route::Shuffle(Partitioner::new(key, table)), senders, batch_rows_max)
    }

    /// Batch by batch in turn, beginning at receiver `first`.
    pub(crate) fn rebalance(
        origin: Origin,
        (edge, to): (u32, NodeId),
        senders: Vec<Sender>,
        first: usize,
    ) -> Self {
        let next = first % senders.len();
        Self::new(origin, (edge, to), Route::Rebalance { next }, senders, 1)
    }

    /// Everything to everybody.
    pub(crate) fn broadcast(origin: Origin, (edge, to): (u32, NodeId), senders: Vec<Sender>) -> Self {
        Self::new(origin, (edge, to), Route::Broadcast, senders, 1)
    }

    fn new(
        origin: Origin,
        (edge, to): (u32, NodeId),
        route: Route,
        senders: Vec<Sender>,
        batch_rows_max: usize,
    ) -> Self {
        let gathers = senders.iter().map(|_| Gather::new(batch_rows_max)).collect();
        let watermark = Watermark::START;
        Self { origin, edge, to, route, senders, gathers, batch_rows_max, watermark, idle: None, ended: None }
    }

    /// The edge's index in the graph.
    pub(crate) fn edge(&self) -> u32 {
        self.edge
    }

    /// Sends rows on; waits while there is no room.
    pub(crate) async fn send(&mut self, records: RecordBatch) -> Result<(), Failure> {
        if self.idle.take().is_some() {
            // Receivers that get none of these rows must know as well that this side counts again.
            self.tell(&Message::Watermark(self.watermark))?;
        }
        match &mut self.route {
            Route::Forward => self.push(0, records).await,
            // There is nothing to choose.
            Route::Shuffle(_) if self.senders.len() == 1 => self.push(0, records).await,
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
        self.idle = None;
        self.watermark = watermark;
        self.tell(&Message::Watermark(watermark))
    }

    /// Forgets what was said: what comes may be lower, and receivers know.
    pub(crate) fn rebase(&mut self) {
        (self.watermark, self.idle) = (Watermark::START, None);
    }

    /// Says that for now this side holds nothing back.
    pub(crate) async fn idle(&mut self, rest: Rest) -> Result<(), Failure> {
        self.flush().await?;
        self.idle = Some(rest);
        self.tell(&Message::Idle(rest))
    }

    /// Sends a barrier on every output, and only then routes by what it brings: `exit` says who
    /// receives from now on. A channel that is no more ends with `Retire`.
    pub(crate) async fn barrier(&mut self, barrier: &Barrier, exit: Option<Exit>) -> Result<(), Failure> {
        let early = match &exit {
            Some(exit) if planted("routing switched one message early") => {
                self.route_early(barrier, exit.receivers).await?
            }
            Some(_) | None => Vec::new(),
        };
        if self.ended.is_none() {
            if !planted("barrier overtaken") {
                self.flush().await?;
            }
            self.tell(&Message::Barrier(barrier.clone()))?;
        }
        if let Some(exit) = exit {
            self.leave_by(exit, barrier)?;
        }
        for piece in early {
            self.push(piece.to, piece.records).await?;
        }
        Ok(())
    }

    /// A planted bug: rows that are held back before the barrier leave by the tables behind it. Gives
    /// those of receivers that are not there yet.
    async fn route_early(
        &mut self,
        barrier: &Barrier,
        receivers: usize,
    ) -> Result<Vec<partition::Piece>, Failure> {
        let table = barrier.tables.iter().find(|table| table.node == self.to);
        let (Route::Shuffle(partitioner), Some(table)) = (&mut self.route, table) else {
            return Ok(Vec::new());
        };
        partitioner.route_by(table);
        let mut pieces = Vec::new();
        for gather in &mut self.gathers {
            if let Some(held) = gather.take()? {
                pieces.extend(partitioner.split(held, receivers)?);
            }
        }
        let (early, late) = pieces.into_iter().partition(|piece| piece.to < self.senders.len());
        for partition::Piece { to, records, .. } in early {
            self.push(to, records).await?;
        }
        Ok(late)
    }

    fn leave_by(&mut self, exit: Exit, barrier: &Barrier) -> Result<(), Failure> {
        let Exit { receivers, senders, rebases, .. } = exit;
        if rebases {
            self.rebase();
        }
        for retired in self.senders.split_off(receivers.min(self.senders.len())) {
            if self.ended.is_none() {
                retired.tell(Message::Retire)?;
            }
        }
        for sender in senders {
            self.begin(&sender)?;
            self.senders.push(sender);
        }
        self.gathers.resize_with(self.senders.len(), || Gather::new(self.batch_rows_max));
        let table = barrier.tables.iter().find(|table| table.node == self.to);
        match (&mut self.route, table) {
            (Route::Shuffle(partitioner), Some(table))
                if table.parallelism as usize == self.senders.len() =>
            {
                partitioner.route_by(table);
            }
            (Route::Shuffle(_), _) => {
                let told = "the routing table of a barrier does not name the receivers that there are";
                return Err(self.origin.site.locate(Error::internal(told)).into());
            }
            (Route::Rebalance { next }, _) => *next %= self.senders.len(),
            (Route::Forward | Route::Broadcast, _) => {}
        }
        Ok(())
    }

    /// Says on a new channel what the others have heard.
    fn begin(&self, sender: &Sender) -> Result<(), Failure> {
        if self.watermark > Watermark::START {
            sender.tell(Message::Watermark(self.watermark))?;
        }
        if let Some(rest) = self.idle {
            sender.tell(Message::Idle(rest))?;
        }
        if let Some(last) = &self.ended {
            sender.tell(last.clone())?;
        }
        Ok(())
    }

    /// Sends the last message: `Retire` or `End`.
    pub(crate) async fn end(&mut self, last: Message) -> Result<(), Failure> {
        self.flush().await?;
        self.tell(&last)?;
        self.ended = Some(last);
        Ok(())
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
