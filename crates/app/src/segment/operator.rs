//! Drives the lanes of one node.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use thalweg_dataflow::source::SplitEvent;
use thalweg_dataflow::{Age, Batch, Context, Error, EventTime, Operator, Port, Result, Step};
use thalweg_operators::fingerprint::Fingerprint;
use thalweg_operators::watermark::SplitClock;
use thalweg_state::{Epoch, KeyGroups, KeySpace, Restored, Snapshot, SplitId};

use super::{Exit, Flow, Lane};
use crate::state::Evolution;

/// What a segment remembers from batch to batch, besides its closures.
pub(crate) trait Remembered: Send {
    /// Whether there is anything to remember.
    const STATEFUL: bool = true;

    /// What is remembered, so that a later version of the program goes on from it only if it is the same.
    fn fingerprint(&self, of: Fingerprint) -> Fingerprint;
    /// What else than what it keeps itself it goes on from.
    fn evolution(&self, of: Fingerprint) -> Option<Evolution> {
        let _ = of;
        None
    }
    fn open(&mut self, restored: Restored, key_space: KeySpace) -> Result<()>;
    /// Rows of a split come.
    fn begin(&mut self, split: Option<&SplitId>, flow: &mut Flow) {
        let _ = (split, flow);
    }
    /// All that the rows gave has been given out.
    fn end(&mut self, flow: &Flow, cx: &mut Context<'_>) {
        let _ = (flow, cx);
    }
    fn on_split(&mut self, split: &SplitId, event: SplitEvent, cx: &mut Context<'_>) {
        let _ = (split, event, cx);
    }
    fn freeze(&mut self, epoch: Epoch) -> Result<Snapshot>;
    /// The next piece of what was frozen; none, when all was given.
    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        let _ = rows_max;
        Ok(None)
    }
    fn settle(&mut self, epoch: Epoch, complete: bool);
    fn put(&mut self, groups: &KeyGroups, given: &Snapshot, age: Age) -> Result<()>;
    fn forget(&mut self, groups: &KeyGroups);
    /// There is time to clear away a little of what is forgotten.
    fn tidy(&mut self) -> Result<()> {
        Ok(())
    }
    fn bytes(&self) -> usize;
}

/// A segment that remembers nothing.
impl Remembered for () {
    const STATEFUL: bool = false;

    fn fingerprint(&self, of: Fingerprint) -> Fingerprint {
        of
    }

    fn open(&mut self, _: Restored, _: KeySpace) -> Result<()> {
        Ok(())
    }

    fn freeze(&mut self, _: Epoch) -> Result<Snapshot> {
        Ok(Snapshot::empty())
    }

    fn settle(&mut self, _: Epoch, _: bool) {}

    fn put(&mut self, _: &KeyGroups, _: &Snapshot, _: Age) -> Result<()> {
        Ok(())
    }

    fn forget(&mut self, _: &KeyGroups) {}

    fn bytes(&self) -> usize {
        0
    }
}

/// How far ahead of the wall clock a record of a live source may move its watermark. Steps hold it before it is
/// known: it comes with the settings of the job.
#[derive(Clone, Debug, Default)]
pub(crate) struct SkewMax(Arc<AtomicI64>);

impl SkewMax {
    pub(crate) fn set(&self, skew: Duration) {
        self.0.store(i64::try_from(skew.as_nanos()).unwrap_or(i64::MAX), Relaxed);
    }

    pub(crate) fn nanos(&self) -> i64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.nanos().unsigned_abs())
    }
}

/// The first segment of a source's chain remembers how far its splits are.
pub(crate) struct SourceTime {
    clock: SplitClock,
    split: SplitId,
    /// How far ahead of the wall clock a record may move the watermark.
    skew_max: Option<SkewMax>,
}

impl SourceTime {
    pub(crate) fn new(skew_max: Option<SkewMax>) -> Self {
        Self { clock: SplitClock::default(), split: SplitId::new(""), skew_max }
    }
}

impl Remembered for SourceTime {
    fn fingerprint(&self, of: Fingerprint) -> Fingerprint {
        of.part("watermarks of", "splits")
    }

    fn open(&mut self, mut restored: Restored, key_space: KeySpace) -> Result<()> {
        self.clock.open(&mut restored, key_space)
    }

    fn begin(&mut self, split: Option<&SplitId>, flow: &mut Flow) {
        if let Some(split) = split
            && *split != self.split
        {
            self.split = split.clone();
        }
        flow.reached = self.clock.watermark(&self.split).nanos();
        let now = flow.now;
        flow.bound = self.skew_max.as_ref().map_or(i64::MAX, |skew| now.saturating_add(skew.nanos()));
    }

    fn end(&mut self, flow: &Flow, cx: &mut Context<'_>) {
        self.clock.raise(&self.split, EventTime(flow.reached));
        self.clock.say(cx);
    }

    fn on_split(&mut self, split: &SplitId, event: SplitEvent, cx: &mut Context<'_>) {
        self.clock.on_split(split, event);
        self.clock.say(cx);
    }

    fn freeze(&mut self, _: Epoch) -> Result<Snapshot> {
        self.clock.freeze()
    }

    fn settle(&mut self, _: Epoch, _: bool) {}

    fn put(&mut self, _: &KeyGroups, given: &Snapshot, _: Age) -> Result<()> {
        self.clock.put(given)
    }

    // What is known of a split goes where the split goes: it ends here when it leaves.
    fn forget(&mut self, _: &KeyGroups) {}

    fn bytes(&self) -> usize {
        self.clock.bytes()
    }
}

/// One subtask of a segment: a lane for each input port, and what they share.
pub(crate) struct SegmentOperator<S> {
    lanes: Vec<Box<dyn Lane<S>>>,
    /// The port of the first side output of each lane.
    sides: Vec<u16>,
    state: S,
    flow: Flow,
    /// The port whose batch is at hand, and its rows.
    at: (Port, usize),
}

impl<S: Remembered> SegmentOperator<S> {
    pub(crate) fn new(lanes: Vec<Box<dyn Lane<S>>>, sides: Vec<u16>, state: S) -> Self {
        Self { lanes, sides, state, flow: Flow::new(), at: (Port::MAIN, 0) }
    }

    fn work(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let Self { lanes, sides, state, flow, at: (port, rows) } = self;
        let (lane, first_side) = (&mut lanes[usize::from(port.0)], sides[usize::from(port.0)]);
        flow.begin_output(cx.batch_rows_max());
        let step = lane.work(state, flow)?;
        lane.take(&mut |exit, records| match exit {
            Exit::Main => cx.emit(*port, records),
            Exit::Side(number) => cx.emit(Port(first_side + number), records),
        })?;
        if step == Step::Done {
            state.end(flow, cx);
            let refused = std::mem::take(&mut flow.refused);
            cx.counters.refused.add(refused);
            cx.counters.taken.add(*rows - refused);
            cx.counters.ahead.add(std::mem::take(&mut flow.ahead));
            cx.counters.at_once.set(flow.at_once as i64);
        }
        Ok(step)
    }

    fn report(&self, cx: &Context<'_>) {
        cx.counters.state_bytes.set(self.state.bytes() as i64);
    }
}

impl<S: Remembered> Operator for SegmentOperator<S> {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.state.open(restored, cx.settings().key_space)?;
        self.report(cx);
        Ok(())
    }

    fn on_batch(&mut self, input: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let Some(lane) = self.lanes.get_mut(usize::from(input.0)) else {
            return Err(Error::internal(format!("a segment has no input {}", input.0)));
        };
        self.at = (input, batch.rows());
        self.flow.now = cx.now().0;
        self.state.begin(batch.split.as_ref(), &mut self.flow);
        lane.start(batch.records, &mut self.flow)?;
        self.work(cx)
    }

    fn on_split(&mut self, split: &SplitId, event: SplitEvent, cx: &mut Context<'_>) -> Result<Step> {
        self.state.on_split(split, event, cx);
        Ok(Step::Done)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.work(cx)
    }

    fn flush(&mut self, _: &mut Context<'_>) -> Result<Step> {
        self.state.tidy()?;
        Ok(Step::Done)
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        self.report(cx);
        self.state.freeze(epoch)
    }

    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        self.state.copy_frozen(rows_max)
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.state.settle(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.state.put(groups, &given, age)
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.state.forget(groups);
        Ok(())
    }
}
