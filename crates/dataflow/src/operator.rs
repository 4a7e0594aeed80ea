//! The contract of a computation in a graph.
//!
//! An operator is synchronous, never waits, reads no clock, and gives its
//! output in bounded pieces. The runtime calls it from one thread at a time:
//!
//! ```text
//! open ─► ( on_batch | on_watermark | on_split | on_timer | flush ) ─► Done
//!              └► More ─► resume ─► More ─► … ─► Done      nothing else comes in between
//!         flush to Done, then on_barrier ─► Snapshot, copy_frozen ─► Snapshot, … ─► None
//! ```

use arrow::array::RecordBatch;
use thalweg_state::{Epoch, KeyGroups, KeySpace, Restored, Snapshot, SplitId, Subtask};

use crate::counters::OperatorCounters;
use crate::error::Result;
use crate::message::{Batch, Port};
use crate::source::SplitEvent;
use crate::time::{ProcessingTime, Watermark};

/// Whether a call gave all its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The operator is ready for the next message.
    Done,
    /// There is more to give: call `resume` when there is room, and nothing else before `Done`.
    More,
}

/// One parallel instance of a computation.
pub trait Operator: Send {
    /// Called once, before all else, with the state of the key groups it owns.
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        let _ = (restored, cx);
        Ok(())
    }

    /// Takes rows that came in on `input`. The batch is never empty.
    fn on_batch(&mut self, input: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step>;

    /// Learns that no row before `watermark` will come on any input.
    ///
    /// Watermarks only rise; but in the chain of a source they begin anew when it takes over splits that
    /// are further behind. After `Done` the runtime sends on what
    /// [`output_watermark`](Self::output_watermark) answers, behind all output.
    /// [`Watermark::END`] comes once, when all inputs were read to their end.
    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        let _ = (watermark, cx);
        Ok(Step::Done)
    }

    /// What may be said of the output once the inputs have reached `input`.
    /// Must never answer more than the operator can keep.
    fn output_watermark(&self, input: Watermark) -> Watermark {
        input
    }

    /// Learns what happened to a split of the source that heads this chain.
    ///
    /// Offered to every operator of a source's chain in order, behind the rows
    /// of that split that came before it (a `flush` went before). The runtime
    /// passes it on by itself. The operator that turns splits into a
    /// watermark reacts; no other has a reason to.
    fn on_split(&mut self, split: &SplitId, event: SplitEvent, cx: &mut Context<'_>) -> Result<Step> {
        let _ = (split, event, cx);
        Ok(Step::Done)
    }

    /// A timer set with [`Context::set_timer`] is due; `at` is the time now.
    fn on_timer(&mut self, at: ProcessingTime, cx: &mut Context<'_>) -> Result<Step> {
        let _ = (at, cx);
        Ok(Step::Done)
    }

    /// Gives the next piece of output after a `Step::More`.
    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let _ = cx;
        Ok(Step::Done)
    }

    /// Gives away rows held back for efficiency. Called when the subtask's
    /// input is empty, and before every barrier and end.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        let _ = cx;
        Ok(Step::Done)
    }

    /// Freezes the state as of this point in the stream: no IO, no copy of what did not change, and
    /// better no copy at all: what is to be copied can be left to [`copy_frozen`](Self::copy_frozen).
    /// Always called directly after a `flush` that ended `Done`.
    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        let _ = (epoch, cx);
        Ok(Snapshot::empty())
    }

    /// Gives the next piece of what the last barrier froze and `on_barrier` did not give: about `rows_max`
    /// rows, as they were at the barrier whatever came since. None, when all was given.
    ///
    /// Called in between other calls, until it answers none, before the next barrier.
    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        let _ = rows_max;
        Ok(None)
    }

    /// Learns how an epoch was settled. After an abort, what its snapshot
    /// held must be part of the next one.
    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        let _ = (epoch, complete);
    }

    /// Rescale: `groups` live here from now on, and this is what epochs hold of them.
    ///
    /// Called in the order of epochs: first what complete epochs wrote, possibly in many pieces, last
    /// what the old owner froze at the barrier of the move. `Full` tables replace what is known of these
    /// groups. With [`Age::Unsettled`], what is given must be part of the snapshots of this operator
    /// until it learns that the epoch is complete.
    ///
    /// From the first piece to the last the operator gets no watermark and no barrier, and no rows of
    /// `groups`; rows of other groups flow. All epochs before the one of the move are settled; how that
    /// one was settled the operator learns before its next barrier, be it before or behind the last piece.
    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        let _ = (groups, given, age);
        Ok(())
    }

    /// Rescale: these key groups live elsewhere now. Their state is forgotten, gives no output and is
    /// in no later snapshot, not even after an abort. What of it the last barrier froze is still to be
    /// given.
    ///
    /// Cheap: it must not stop the rows of other groups for longer than a few milliseconds, however
    /// large the state is. Garbage may be left behind, to be cleared away in bounded pieces in `flush`,
    /// or when a window closes. The groups may come back by `put`.
    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        let _ = groups;
        Ok(())
    }
}

/// What is known of the epoch that state was given by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// A complete epoch holds it.
    Durable,
    /// This epoch will hold it, if it becomes complete.
    Unsettled(Epoch),
}

/// What an operator gave out, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Rows on a port. Never empty.
    Batch(Port, RecordBatch),
    /// A watermark on all ports, by an operator that makes its own.
    Watermark(Watermark),
    /// For now nothing is held back, on all ports, by an operator that makes its own watermarks.
    Idle,
}

/// What an operator may do and know during a call.
pub struct Context<'a> {
    /// Where the operator counts.
    pub counters: &'a OperatorCounters,
    output: &'a mut Vec<Output>,
    timers: &'a mut Vec<ProcessingTime>,
    settings: &'a Settings,
    now: ProcessingTime,
}

/// What holds for one operator instance from open to end.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which parallel instance this is.
    pub subtask: Subtask,
    /// How many there are.
    pub parallelism: u32,
    /// The most rows in one emitted batch.
    pub batch_rows_max: usize,
    /// The job's key space.
    pub key_space: KeySpace,
}

impl<'a> Context<'a> {
    /// Made by whoever drives the operator. Output and timers are appended in the order of the calls.
    pub fn new(
        counters: &'a OperatorCounters,
        output: &'a mut Vec<Output>,
        timers: &'a mut Vec<ProcessingTime>,
        settings: &'a Settings,
        now: ProcessingTime,
    ) -> Self {
        Self { counters, output, timers, settings, now }
    }

    /// Sends rows out on `port`. Empty batches are dropped. A batch of more
    /// than [`batch_rows_max`](Self::batch_rows_max) rows breaks the contract.
    pub fn emit(&mut self, port: Port, records: RecordBatch) {
        debug_assert!(
            records.num_rows() <= self.settings.batch_rows_max,
            "an operator gives its output in bounded pieces"
        );
        if records.num_rows() > 0 {
            self.output.push(Output::Batch(port, records));
        }
    }

    /// Sends a watermark out on all ports, behind what was emitted so far.
    ///
    /// For operators that make watermarks out of rows and splits; no watermark
    /// but [`Watermark::END`] comes to them from above. One that does not rise
    /// above the last is dropped. END is for the runtime alone to send.
    pub fn emit_watermark(&mut self, watermark: Watermark) {
        debug_assert!(watermark != Watermark::END, "only the end of all inputs ends event time");
        self.output.push(Output::Watermark(watermark));
    }

    /// Says on all ports that for now nothing is held back. Ends with the next batch or watermark.
    pub fn emit_idle(&mut self) {
        self.output.push(Output::Idle);
    }

    /// Asks for `on_timer` at or soon after this time.
    pub fn set_timer(&mut self, at: ProcessingTime) {
        self.timers.push(at);
    }

    /// The processing time at which the runtime took this input: one value for the whole call.
    pub fn now(&self) -> ProcessingTime {
        self.now
    }

    /// Which parallel instance this is.
    pub fn subtask(&self) -> Subtask {
        self.settings.subtask
    }

    /// The most rows in one emitted batch.
    pub fn batch_rows_max(&self) -> usize {
        self.settings.batch_rows_max
    }

    /// All that holds from open to end.
    pub fn settings(&self) -> &Settings {
        self.settings
    }
}
