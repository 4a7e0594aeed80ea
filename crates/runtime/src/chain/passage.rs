//! What a chain does once or seldom: open, pass a barrier, end, close.

use thalweg_dataflow::sink::Close;
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Barrier, Committable, Context, Message, NodeId, Port, Watermark};
use thalweg_state::{Epoch, KeyGroups, OperatorId, Restored, Snapshot};

use super::Chain;
use super::node::{ChainNode, NodePiece};
use crate::exchange::Exchange;
use crate::guard::Failure;
use crate::merge::Merged;
use crate::moves::{Exit, Load};
use crate::worker::Past;

/// What one subtask gives to an epoch.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The frozen state of each operator that has some.
    pub snapshots: Vec<(OperatorId, Snapshot)>,
    /// What each sink has to publish.
    pub committables: Vec<(NodeId, Committable)>,
    /// Where each split of the source goes on.
    pub positions: Vec<Assignment>,
}

impl Answer {
    fn add(&mut self, operator: &OperatorId, piece: Snapshot) {
        match self.snapshots.iter_mut().find(|(known, _)| known == operator) {
            Some((_, snapshot)) => snapshot.extend(piece),
            None => self.snapshots.push((operator.clone(), piece)),
        }
    }
}

impl Chain {
    /// Opens every operator and sink, senders first; each operator with what the past, if there is one,
    /// holds of these key groups.
    pub(crate) async fn open(&mut self, past: Option<&dyn Past>, groups: &KeyGroups) -> Result<(), Failure> {
        for index in 0..self.nodes.len() {
            let ChainNode { site, piece, counters, .. } = &mut self.nodes[index];
            let restored = match (past, &*piece) {
                (Some(past), NodePiece::Operator(_)) => past.restore(&site.id, groups).await?,
                (Some(_), NodePiece::Source | NodePiece::Sink(_)) | (None, _) => Restored::nothing(),
            };
            match piece {
                NodePiece::Source => {}
                NodePiece::Sink(sink) => site.wait(async { sink.open().await }).await?,
                NodePiece::Operator(operator) => {
                    let (mut output, mut timers) = (std::mem::take(&mut self.output), Vec::new());
                    let mut cx = Context::new(counters, &mut output, &mut timers, &self.settings, self.now);
                    site.call(|| operator.open(restored, &mut cx))?;
                    self.timers.extend(timers.into_iter().map(|at| (at, index)));
                    self.stack_output(index, output);
                }
            }
        }
        self.dirty = true;
        self.run().await
    }

    /// Passes a barrier: every node freezes or prepares, senders first, then the barrier leaves on
    /// every output. Behind it the outputs lead where `exits` say.
    pub(crate) async fn barrier(
        &mut self,
        barrier: &Barrier,
        mut exits: Vec<Exit>,
    ) -> Result<Answer, Failure> {
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
            let own = exits.iter().position(|exit| exit.edge == exchange.edge());
            exchange.barrier(barrier, own.map(|index| exits.swap_remove(index))).await?;
        }
        Ok(answer)
    }

    /// Copies a piece of what the last barrier froze into its answer. Whether there may be more.
    pub(crate) fn copy_frozen(&mut self, rows_max: usize, answer: &mut Answer) -> Result<bool, Failure> {
        for ChainNode { site, piece, .. } in &mut self.nodes {
            if let NodePiece::Operator(operator) = piece
                && let Some(more) = site.call(|| operator.copy_frozen(rows_max))?
            {
                answer.add(&site.id, more);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds rows to the tables of the operator that they belong to.
    pub(crate) fn load(&mut self, load: Load) -> Result<(), Failure> {
        let node = self.nodes.iter_mut().find(|node| node.site.id == load.operator);
        if let Some(ChainNode { site, piece: NodePiece::Operator(operator), .. }) = node {
            site.call(|| operator.put(&load.groups, load.given, load.age))?;
        }
        Ok(())
    }

    /// These key groups live elsewhere from now on.
    pub(crate) fn forget(&mut self, groups: &KeyGroups) -> Result<(), Failure> {
        for ChainNode { site, piece, .. } in &mut self.nodes {
            if let NodePiece::Operator(operator) = piece {
                site.call(|| operator.forget(groups))?;
            }
        }
        Ok(())
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

    /// Input channels were added to the head; each counts once it is born.
    pub(crate) fn add_inputs(&mut self, ports: &[Port]) {
        self.nodes[0].lanes.add(ports);
    }

    /// A channel of the head was born: it holds what is merged so far until it has spoken.
    pub(crate) async fn input_born(&mut self, input: usize) -> Result<(), Failure> {
        self.nodes[0].lanes.hold(input);
        let lane = self.nodes[0].lanes.lane_of(input);
        self.wake(0, lane);
        self.run().await
    }

    /// Splits come that may be behind what was said: what is said from now on may be lower.
    pub(crate) fn rebase(&mut self) {
        for node in &mut self.nodes {
            node.lanes.rebase();
            node.called = Watermark::START;
        }
        self.exchanges.iter_mut().for_each(Exchange::rebase);
    }

    /// What the inputs of the head have reached, by lane.
    pub(crate) fn reached_by_inputs(&mut self) -> Vec<Watermark> {
        let lanes = &mut self.nodes[0].lanes;
        (0..lanes.len()).map(|lane| lanes.lane(lane).reached()).collect()
    }

    /// The inputs of the head have reached at least this, by lane, whatever they have said here.
    pub(crate) async fn begin_at(&mut self, reached: &[Watermark]) -> Result<(), Failure> {
        for (lane, &watermark) in reached.iter().enumerate() {
            let merged = self.nodes[0].lanes.begin_at(lane, watermark);
            self.merged_in(0, lane, merged);
        }
        self.run().await
    }

    /// Event time does not end any more, whatever inputs do.
    pub(crate) fn stop_time(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.lanes.stop());
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
