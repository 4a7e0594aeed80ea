//! What a chain does once or seldom: open, pass a barrier, end, close.

use thalweg_dataflow::sink::Close;
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Barrier, Committable, Context, Message, NodeId};
use thalweg_state::{Epoch, OperatorId, Restored, Snapshot};

use super::Chain;
use super::node::{ChainNode, NodePiece};
use crate::guard::Failure;
use crate::merge::Merged;

/// What one subtask gives to an epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The frozen state of each operator that has some.
    pub(crate) snapshots: Vec<(OperatorId, Snapshot)>,
    /// What each sink has to publish.
    pub(crate) committables: Vec<(NodeId, Committable)>,
    /// Where each split of the source goes on.
    pub(crate) positions: Vec<Assignment>,
}

impl Chain {
    /// Opens every operator and sink, senders first.
    pub(crate) async fn open(&mut self) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            let ChainNode { site, piece, counters, .. } = &mut self.nodes[index];
            match piece {
                NodePiece::Source => {}
                NodePiece::Sink(sink) => site.wait(async { sink.open().await }).await?,
                NodePiece::Operator(operator) => {
                    let (mut output, mut timers) = (std::mem::take(&mut self.output), Vec::new());
                    let mut cx = Context::new(counters, &mut output, &mut timers, &self.settings, self.now);
                    site.call(|| operator.open(Restored::nothing(), &mut cx))?;
                    self.timers.extend(timers.into_iter().map(|at| (at, index)));
                    self.stack_output(index, output);
                }
            }
        }
        self.dirty = true;
        self.run().await
    }

    /// Passes a barrier: every node freezes or prepares, senders first, then the barrier leaves on every output.
    pub(crate) async fn barrier(&mut self, barrier: &Barrier) -> Result<Answer, Failure> {
        let mut answer = Answer::default();
        for index in 0..self.nodes.len() {
            self.flush_node(index).await?;
            self.freeze(index, barrier.epoch, &mut answer)?;
            self.run().await?;
            self.prepare(index, barrier.epoch, &mut answer).await?;
            if barrier.stop {
                self.nodes[index].lanes.stop();
            }
        }
        for exchange in &mut self.exchanges {
            exchange.barrier(barrier).await?;
        }
        Ok(answer)
    }

    fn freeze(&mut self, index: usize, epoch: Epoch, answer: &mut Answer) -> Result<(), Failure> {
        let ChainNode { site, piece, counters, .. } = &mut self.nodes[index];
        if let NodePiece::Operator(operator) = piece {
            let (mut output, mut timers) = (std::mem::take(&mut self.output), Vec::new());
            let mut cx = Context::new(counters, &mut output, &mut timers, &self.settings, self.now);
            let snapshot = site.call(|| operator.on_barrier(epoch, &mut cx))?;
            if !snapshot.tables.is_empty() {
                answer.snapshots.push((site.id.clone(), snapshot));
            }
            self.timers.extend(timers.into_iter().map(|at| (at, index)));
            self.stack_output(index, output);
        }
        Ok(())
    }

    async fn prepare(&mut self, index: usize, epoch: Epoch, answer: &mut Answer) -> Result<(), Failure> {
        let node = &mut self.nodes[index];
        if let NodePiece::Sink(sink) = &mut node.piece {
            let committable = node.site.wait(async { sink.prepare(epoch).await }).await?;
            answer.committables.extend(committable.map(|c| (node.id, c)));
        }
        Ok(())
    }

    /// Tells every operator how an epoch was settled.
    pub(crate) fn settled(&mut self, epoch: Epoch, complete: bool) -> Result<(), Failure> {
        for ChainNode { site, piece, .. } in &mut self.nodes {
            if let NodePiece::Operator(operator) = piece {
                site.call(|| {
                    operator.on_settled(epoch, complete);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// An input channel of the head ended by `End` or `Retire`.
    pub(crate) async fn input_ended(&mut self, input: usize, by_end: bool) -> Result<(), Failure> {
        let merged = self.nodes[0].lanes.hear(input, |merge, place| match by_end {
            true => merge.on_end(place),
            false => merge.on_retire(place),
        });
        self.merged(0, input, merged);
        if merged != Merged::Same {
            self.dirty = true;
        }
        self.run().await
    }

    /// A channel of the head was born: its rows come on `port`.
    pub(crate) fn input_born(&mut self, input: usize) {
        self.nodes[0].lanes.hold(input);
    }

    /// All input is gone: what was held back leaves, then every output ends the same way.
    pub(crate) async fn end(&mut self, last: Message) -> Result<(), Failure> {
        self.dirty = true;
        self.flush().await?;
        for exchange in &mut self.exchanges {
            exchange.end(last.clone()).await?;
        }
        Ok(())
    }

    /// Closes the sinks. Nothing may be called afterwards.
    pub(crate) async fn close(&mut self, why: Close) -> Result<(), Failure> {
        for node in &mut self.nodes {
            if let NodePiece::Sink(sink) = &mut node.piece {
                node.site.wait(async { sink.close(why).await }).await?;
            }
        }
        Ok(())
    }
}
