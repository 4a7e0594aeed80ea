//! What a node knows of time, by lanes.
//!
//! Most nodes have one lane: the lowest watermark of all inputs goes out on
//! all outputs. A node whose watermarks go per port has a lane for each input port: what
//! is said there goes out on the outputs of that port, and no pipeline waits for another.

use thalweg_dataflow::{Port, Rest, Watermark};

use crate::merge::{Merged, WatermarkMerge};

/// The inputs that are merged with each other, and what was said of them.
pub(super) struct Lane {
    merge: WatermarkMerge,
    /// Its input port, and the outputs that it speaks on; none: all.
    ports: Option<(Port, Vec<Port>)>,
    /// The highest watermark that was sent.
    pub(super) sent: Watermark,
    /// Downstream was told that nothing is held back, and why, and has heard nothing since.
    pub(super) told_idle: Option<Rest>,
    /// Whether the inputs were last seen idle, all of them.
    pub(super) inputs_idle: bool,
}

impl Lane {
    fn new(inputs: usize, ports: Option<(Port, Vec<Port>)>) -> Self {
        Self {
            merge: WatermarkMerge::new(inputs),
            ports,
            sent: Watermark::START,
            told_idle: None,
            inputs_idle: false,
        }
    }

    /// Whether an output belongs to this lane.
    pub(super) fn speaks_on(&self, port: Port) -> bool {
        self.ports.as_ref().is_none_or(|(_, outputs)| outputs.contains(&port))
    }

    /// What the inputs together have reached.
    pub(super) fn reached(&self) -> Watermark {
        self.merge.merged()
    }

    /// Whether all inputs rest.
    pub(super) fn is_idle(&self) -> bool {
        self.merge.rest().is_some()
    }

    /// Why the inputs are idle, if the node has spoken meanwhile, by a timer or late output.
    pub(super) fn rests_again(&self) -> Option<Rest> {
        self.merge.rest().filter(|_| self.told_idle.is_none())
    }
}

/// All lanes of a node.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    /// For each input its lane, and its place there.
    places: Vec<(usize, usize)>,
}

impl Lanes {
    /// One lane for all inputs.
    pub(crate) fn one(inputs: usize) -> Self {
        Self { lanes: vec![Lane::new(inputs, None)], places: (0..inputs).map(|input| (0, input)).collect() }
    }

    /// A lane per port; `ports` has the port of each input, `outputs` each output with the input port that it
    /// belongs to.
    pub(crate) fn per_port(ports: &[Port], outputs: &[(Port, Port)]) -> Self {
        let mut inputs_of: Vec<(Port, usize)> = Vec::new();
        let mut places = Vec::with_capacity(ports.len());
        for &port in ports {
            let lane = inputs_of.iter().position(|(known, _)| *known == port).unwrap_or_else(|| {
                inputs_of.push((port, 0));
                inputs_of.len() - 1
            });
            places.push((lane, inputs_of[lane].1));
            inputs_of[lane].1 += 1;
        }
        let lane = |(port, inputs)| {
            let own = outputs.iter().filter(|(_, input)| *input == port).map(|(output, _)| *output);
            Lane::new(inputs, Some((port, own.collect())))
        };
        Self { lanes: inputs_of.into_iter().map(lane).collect(), places }
    }

    /// The same, with inputs that count once they are [held](Self::hold).
    pub(crate) fn unborn(mut self) -> Self {
        self.lanes.iter_mut().for_each(|lane| lane.merge.unborn());
        self
    }

    /// Inputs were added; `ports` has the port of each. They count once they are [held](Self::hold).
    pub(crate) fn add(&mut self, ports: &[Port]) {
        for &port in ports {
            // A node without a lane for the port has one for all.
            let is = |lane: &Lane| lane.ports.as_ref().is_some_and(|(own, _)| *own == port);
            let lane = self.lanes.iter().position(is).unwrap_or(0);
            self.places.push((lane, self.lanes[lane].merge.add()));
        }
    }

    /// The number of lanes.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// The lane with this index.
    pub(super) fn lane(&mut self, lane: usize) -> &mut Lane {
        &mut self.lanes[lane]
    }

    /// The lane of an input.
    pub(super) fn lane_of(&self, input: usize) -> usize {
        self.places[input].0
    }

    /// Lets the merge of an input's lane hear something.
    pub(super) fn hear(
        &mut self,
        input: usize,
        word: impl FnOnce(&mut WatermarkMerge, usize) -> Merged,
    ) -> Merged {
        let (lane, place) = self.places[input];
        word(&mut self.lanes[lane].merge, place)
    }

    /// Rows came in.
    #[inline]
    pub(super) fn on_rows(&mut self, input: usize) {
        let (lane, place) = self.places[input];
        self.lanes[lane].merge.on_rows(place);
    }

    /// A channel was born: it holds what is merged so far until it has spoken.
    pub(super) fn hold(&mut self, input: usize) {
        let (lane, place) = self.places[input];
        self.lanes[lane].merge.hold(place);
    }

    /// Forgets what was said: what comes may be lower.
    pub(crate) fn rebase(&mut self) {
        for lane in &mut self.lanes {
            lane.merge.rebase();
            (lane.sent, lane.told_idle, lane.inputs_idle) = (Watermark::START, None, false);
        }
    }

    /// The inputs of a lane have reached at least this.
    pub(crate) fn begin_at(&mut self, lane: usize, watermark: Watermark) -> Merged {
        self.lanes.get_mut(lane).map_or(Merged::Same, |lane| lane.merge.begin_at(watermark))
    }

    /// Event time does not end any more.
    pub(super) fn stop(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.merge.stop());
    }

    /// Something was given out on a port.
    pub(super) fn on_output(&mut self, port: Port) {
        self.lanes.iter_mut().filter(|lane| lane.speaks_on(port)).for_each(|lane| lane.told_idle = None);
    }

    /// The lowest watermark of all lanes.
    pub(super) fn lowest(&self) -> Watermark {
        self.lanes.iter().map(|lane| lane.merge.merged()).min().unwrap_or(Watermark::START)
    }
}
