//! The operators of one subtask, driven by direct calls.
//!
//! Output goes depth first: what an operator gave out has gone through all
//! that stands behind it before the operator gives more. The order is kept on
//! an explicit stack, so that a graph of any depth runs in constant stack
//! space and the only places that wait are the exits: exchanges and sinks.
//!
//! ```text
//!   source or inbox ──► operator ──► operator ──► sink
//!                          └───────► exchange ──► other subtasks
//! ```

mod calls;
mod lane;
mod node;
mod passage;

use std::collections::BTreeSet;
use std::sync::Arc;

use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Batch, Output, Port, ProcessingTime, Rest, SplitEvent, Watermark};
use thalweg_state::SplitId;
use thalweg_world::Clock;

use crate::exchange::Exchange;
use crate::guard::Failure;

pub(crate) use lane::Lanes;
pub(crate) use node::{ChainNode, NodePiece, Target};
pub use passage::Answer;

/// What moves between the nodes of a chain.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Rows(Batch),
    Watermark(Watermark),
    Idle(Rest),
    Split(SplitId, SplitEvent),
}

/// A call to an operator.
#[derive(Clone, Debug)]
enum Call {
    Rows(Port, Batch),
    Watermark(Watermark),
    Split(SplitId, SplitEvent),
    Timer(ProcessingTime),
    Flush,
    Resume,
}

/// What is still to be done, last in first out.
#[derive(Debug)]
enum Item {
    /// Call an operator.
    Call(usize, Call),
    /// Hand something to one target.
    Deliver(Target, Packet),
    /// The inputs of a node's lane have reached a watermark and it has done its part: say so downstream.
    Reached(usize, usize, Watermark),
    /// Tell all targets of a node's lane.
    Tell(usize, usize, Packet),
}

/// The nodes of one subtask.
pub(crate) struct Chain {
    /// Senders first; the head is 0.
    nodes: Vec<ChainNode>,
    exchanges: Vec<Exchange>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    now: ProcessingTime,
    stack: Vec<Item>,
    /// What the operator that is being called gives out. Empty between calls.
    output: Vec<Output>,
    /// The timers that the operator that is being called sets. Empty between calls.
    new_timers: Vec<ProcessingTime>,
    timers: BTreeSet<(ProcessingTime, usize)>,
    /// Whether rows came since the last flush.
    dirty: bool,
}

impl Chain {
    pub(crate) fn new(
        nodes: Vec<ChainNode>,
        exchanges: Vec<Exchange>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let now = ProcessingTime(clock.wall_nanos());
        Self {
            nodes,
            exchanges,
            settings,
            clock,
            now,
            stack: Vec::new(),
            output: Vec::new(),
            new_timers: Vec::new(),
            timers: BTreeSet::new(),
            dirty: false,
        }
    }

    /// Reads the clock. All calls up to the next reading see this time.
    pub(crate) fn read_clock(&mut self) {
        self.now = ProcessingTime(self.clock.wall_nanos());
    }

    /// The time last read.
    pub(crate) fn now(&self) -> ProcessingTime {
        self.now
    }

    /// The head of the chain.
    pub(crate) fn head(&mut self) -> &mut ChainNode {
        &mut self.nodes[0]
    }

    /// Rows that are worked off together somewhere in the chain.
    pub(crate) fn at_once(&self) -> usize {
        let most = self.nodes.iter().map(|node| node.counters.at_once.get()).max();
        most.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(0)
    }

    /// Gives something to all that stand directly behind the head, which is a source, and carries it through.
    pub(crate) async fn give(&mut self, packet: Packet) -> Result<(), Failure> {
        if let Packet::Rows(batch) = &packet {
            self.nodes[0].counters.rows_out.add(batch.rows());
            self.dirty = true;
        }
        self.stack.push(Item::Tell(0, 0, packet));
        self.run().await
    }

    /// Hands something that came in on `input` to the head, which reads channels, and carries it through.
    pub(crate) async fn receive(&mut self, port: Port, input: usize, packet: Packet) -> Result<(), Failure> {
        self.dirty |= matches!(packet, Packet::Rows(_));
        self.stack.push(Item::Deliver(Target::Node { node: 0, port, input }, packet));
        self.run().await
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<ProcessingTime> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// Fires all timers that are due.
    pub(crate) async fn fire_timers(&mut self) -> Result<(), Failure> {
        // Timers that are set meanwhile wait for the next turn, so that this ends.
        let later = self.timers.split_off(&(ProcessingTime(self.now.0.saturating_add(1)), 0));
        for (_, node) in std::mem::replace(&mut self.timers, later) {
            self.dirty = true;
            self.stack.push(Item::Call(node, Call::Timer(self.now)));
            self.run().await?;
        }
        Ok(())
    }

    /// The subtask's input is empty: everything held back for efficiency leaves.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        for node in 0..self.nodes.len() {
            self.flush_node(node).await?;
            self.flush_sink(node).await?;
            for lane in 0..self.nodes[node].lanes.len() {
                if let Some(rest) = self.nodes[node].lanes.lane(lane).rests_again() {
                    self.stack.push(Item::Tell(node, lane, Packet::Idle(rest)));
                    self.run().await?;
                }
            }
        }
        for exchange in &mut self.exchanges {
            exchange.flush().await?;
        }
        Ok(())
    }

    async fn flush_node(&mut self, node: usize) -> Result<(), Failure> {
        if self.nodes[node].is_operator() {
            self.stack.push(Item::Call(node, Call::Flush));
            self.run().await?;
        }
        Ok(())
    }

    /// Works until nothing is left to do.
    async fn run(&mut self) -> Result<(), Failure> {
        while let Some(item) = self.stack.pop() {
            match item {
                Item::Call(node, call) => self.call(node, call)?,
                Item::Tell(node, lane, packet) => self.tell(node, lane, packet),
                Item::Reached(node, lane, watermark) => self.reached(node, lane, watermark)?,
                Item::Deliver(Target::Node { node, port, input }, packet) => {
                    if self.nodes[node].is_operator() {
                        self.hear(node, port, input, packet);
                    } else {
                        self.write(node, input, packet).await?;
                    }
                }
                Item::Deliver(Target::Exchange(index), packet) => {
                    let exchange = &mut self.exchanges[index];
                    match packet {
                        Packet::Rows(batch) => exchange.send(batch.records).await?,
                        Packet::Watermark(watermark) => exchange.watermark(watermark).await?,
                        Packet::Idle(rest) => exchange.idle(rest).await?,
                        // Splits end with the chain of their source.
                        Packet::Split(..) => {}
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
