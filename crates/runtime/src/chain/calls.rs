//! Single steps of a chain: one call to one piece, and what follows from it.

use arrow::array::RecordBatch;
use thalweg_dataflow::{Context, Error, Operator, Output, Port, Rest, Result, Step, Watermark};

use super::node::{ChainNode, NodePiece};
use super::{Call, Chain, Item, Packet};
use crate::exchange::nanos;
use crate::guard::Failure;
use crate::merge::Merged;

impl Chain {
    /// Calls an operator and puts its output on the stack.
    pub(super) fn call(&mut self, index: usize, call: Call) -> Result<()> {
        let mut output = std::mem::take(&mut self.output);
        let mut timers = std::mem::take(&mut self.new_timers);
        let began = self.clock.monotonic();
        let ChainNode { site, piece, counters, split, .. } = &mut self.nodes[index];
        if let Call::Rows(_, batch) = &call {
            counters.rows_in.add(batch.rows());
            split.clone_from(&batch.split);
        }
        let operator = operator_of(piece)?;
        let mut cx = Context::new(counters, &mut output, &mut timers, &self.settings, self.now);
        let step = site.call(|| match call {
            Call::Rows(port, batch) => operator.on_batch(port, batch, &mut cx),
            Call::Watermark(watermark) => operator.on_watermark(watermark, &mut cx),
            Call::Split(split, event) => operator.on_split(&split, event, &mut cx),
            Call::Timer(at) => operator.on_timer(at, &mut cx),
            Call::Flush => operator.flush(&mut cx),
            Call::Resume => operator.resume(&mut cx),
        })?;
        counters.busy_nanos.add(nanos(self.clock.monotonic() - began));
        if step == Step::More {
            self.stack.push(Item::Call(index, Call::Resume));
        }
        self.timers.extend(timers.drain(..).map(|at| (at, index)));
        self.new_timers = timers;
        self.stack_output(index, output);
        Ok(())
    }

    /// Puts what an operator gave out on the stack, so that the first of it is done first.
    pub(super) fn stack_output(&mut self, index: usize, mut output: Vec<Output>) {
        for output in output.drain(..).rev() {
            match output {
                Output::Batch(port, records) => self.stack_rows(index, port, records),
                Output::Watermark(watermark) => self.stack_own(index, Packet::Watermark(watermark)),
                Output::Idle => self.stack_own(index, Packet::Idle(Rest::Silent)),
            }
        }
        self.output = output;
    }

    /// An operator that makes its own watermarks is where splits end.
    fn stack_own(&mut self, index: usize, packet: Packet) {
        self.nodes[index].ends_splits = true;
        self.stack.push(Item::Tell(index, 0, packet));
    }

    fn stack_rows(&mut self, index: usize, port: Port, records: RecordBatch) {
        let node = &mut self.nodes[index];
        node.counters.rows_out.add(records.num_rows());
        node.lanes.on_output(port);
        let batch = node.batch(records);
        let mut targets = node.outputs.iter().rev().filter(|(p, _)| *p == port).map(|&(_, target)| target);
        let last = targets.next_back();
        for target in targets {
            self.stack.push(Item::Deliver(target, Packet::Rows(batch.clone())));
        }
        if let Some(target) = last {
            self.stack.push(Item::Deliver(target, Packet::Rows(batch)));
        }
    }

    /// Hands something to all targets of a node's lane, as far as it is news to them.
    pub(super) fn tell(&mut self, index: usize, lane: usize, packet: Packet) {
        let node = &mut self.nodes[index];
        let lane = node.lanes.lane(lane);
        match &packet {
            Packet::Watermark(watermark) => {
                if *watermark < lane.sent || (*watermark == lane.sent && lane.told_idle.is_none()) {
                    return;
                }
                lane.sent = *watermark;
                lane.told_idle = None;
            }
            Packet::Idle(rest) => {
                if lane.told_idle.replace(*rest) == Some(*rest) {
                    return;
                }
            }
            Packet::Rows(_) => lane.told_idle = None,
            Packet::Split(..) => {}
        }
        for &(_, target) in node.outputs.iter().rev().filter(|(port, _)| lane.speaks_on(*port)) {
            self.stack.push(Item::Deliver(target, packet.clone()));
        }
    }

    /// Plans what an operator has to do about something that came in.
    pub(super) fn hear(&mut self, index: usize, port: Port, input: usize, packet: Packet) {
        let node = &mut self.nodes[index];
        match packet {
            Packet::Rows(batch) => {
                node.lanes.on_rows(input);
                let mixes_splits = node.split.is_some() && node.split != batch.split;
                self.stack.push(Item::Call(index, Call::Rows(port, batch)));
                if mixes_splits {
                    self.stack.push(Item::Call(index, Call::Flush));
                }
                let lane = self.nodes[index].lanes.lane_of(input);
                self.wake(index, lane);
            }
            Packet::Watermark(watermark) => {
                let merged = node.lanes.hear(input, |merge, place| merge.on_watermark(place, watermark));
                self.merged(index, input, merged);
            }
            Packet::Idle(rest) => {
                let merged = node.lanes.hear(input, |merge, place| merge.on_idle(place, rest));
                self.merged(index, input, merged);
            }
            Packet::Split(split, event) => {
                self.stack.push(Item::Tell(index, 0, Packet::Split(split.clone(), event)));
                self.stack.push(Item::Call(index, Call::Split(split, event)));
                self.stack.push(Item::Call(index, Call::Flush));
            }
        }
    }

    /// Plans what a node has to do now that the inputs of the lane of `input` together say something new.
    pub(super) fn merged(&mut self, index: usize, input: usize, merged: Merged) {
        let lane = self.nodes[index].lanes.lane_of(input);
        self.merged_in(index, lane, merged);
    }

    /// The same for all inputs of a lane.
    pub(super) fn merged_in(&mut self, index: usize, lane: usize, merged: Merged) {
        match merged {
            Merged::Same => self.wake(index, lane),
            Merged::Idle(rest, rose) => {
                self.nodes[index].lanes.lane(lane).inputs_idle = true;
                self.stack.push(Item::Tell(index, lane, Packet::Idle(rest)));
                if let Some(watermark) = rose {
                    self.rose(index, lane, watermark);
                }
            }
            Merged::Rose(watermark) => {
                self.nodes[index].lanes.lane(lane).inputs_idle = false;
                self.rose(index, lane, watermark);
            }
        }
    }

    fn rose(&mut self, index: usize, lane: usize, watermark: Watermark) {
        let node = &mut self.nodes[index];
        let lowest = node.lanes.lowest();
        node.counters.watermark.set(lowest.nanos());
        if !node.is_operator() {
            return;
        }
        self.stack.push(Item::Reached(index, lane, watermark));
        if lowest > node.called {
            node.called = lowest;
            self.stack.push(Item::Call(index, Call::Watermark(lowest)));
        }
        if watermark == Watermark::END {
            self.stack.push(Item::Call(index, Call::Flush));
        }
    }

    /// If the inputs of a lane were all idle and one counts again, says so downstream.
    pub(super) fn wake(&mut self, index: usize, lane: usize) {
        let known = self.nodes[index].lanes.lane(lane);
        if known.inputs_idle && !known.is_idle() {
            known.inputs_idle = false;
            let sent = known.sent;
            self.stack.push(Item::Tell(index, lane, Packet::Watermark(sent)));
        }
    }

    /// An operator has done all that a watermark asks of it: what may be said of its output?
    pub(super) fn reached(&mut self, index: usize, lane: usize, watermark: Watermark) -> Result<()> {
        let ChainNode { site, piece, .. } = &mut self.nodes[index];
        let operator = operator_of(piece)?;
        let said = match watermark {
            Watermark::END => Watermark::END,
            watermark => site.call(|| Ok(operator.output_watermark(watermark)))?,
        };
        if said > self.nodes[index].lanes.lane(lane).sent {
            self.stack.push(Item::Tell(index, lane, Packet::Watermark(said)));
        }
        Ok(())
    }

    /// Hands something to a sink.
    pub(super) async fn write(&mut self, index: usize, input: usize, packet: Packet) -> Result<(), Failure> {
        match packet {
            Packet::Rows(batch) => {
                let node = &mut self.nodes[index];
                node.lanes.on_rows(input);
                let rows = batch.rows();
                node.counters.rows_in.add(rows);
                let began = self.clock.monotonic();
                if let NodePiece::Sink(sink) = &mut node.piece {
                    node.site.wait(async { sink.write(batch.records).await }).await?;
                }
                node.counters.busy_nanos.add(nanos(self.clock.monotonic() - began));
                node.counters.rows_out.add(rows);
            }
            Packet::Watermark(watermark) => {
                let lanes = &mut self.nodes[index].lanes;
                let merged = lanes.hear(input, |merge, place| merge.on_watermark(place, watermark));
                self.merged(index, input, merged);
            }
            Packet::Idle(rest) => {
                let merged = self.nodes[index].lanes.hear(input, |merge, place| merge.on_idle(place, rest));
                self.merged(index, input, merged);
            }
            Packet::Split(..) => {}
        }
        Ok(())
    }

    /// Tells a sink that nothing waits behind what it has.
    pub(super) async fn flush_sink(&mut self, index: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[index];
        if let NodePiece::Sink(sink) = &mut node.piece {
            node.site.wait(async { sink.flush().await }).await?;
        }
        Ok(())
    }
}

fn operator_of(piece: &mut NodePiece) -> Result<&mut dyn Operator> {
    match piece {
        NodePiece::Operator(operator) => Ok(&mut **operator),
        NodePiece::Source | NodePiece::Sink(_) => Err(Error::internal("only operators are called")),
    }
}
