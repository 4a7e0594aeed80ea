//! Where the functions of a program can be called: an interpreter must be entered first, say.

use std::fmt;
use std::sync::Arc;

use thalweg_dataflow::source::SplitEvent;
use thalweg_dataflow::{Age, Batch, Context, Operator, Port, ProcessingTime, Result, Step, Watermark};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot, SplitId};

/// What stands around all calls of a program's functions; nothing, unless the program says what.
#[derive(Clone, Default)]
pub(crate) struct Enter(Option<Arc<Around>>);

type Around = dyn Fn(&mut dyn FnMut()) + Send + Sync;

impl Enter {
    pub(crate) fn new(around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(around)))
    }

    /// Whether anything stands around the calls.
    pub(crate) fn is_something(&self) -> bool {
        self.0.is_some()
    }

    /// Does work that calls functions of the program.
    pub(crate) fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        let Some(around) = &self.0 else { return work() };
        let (mut work, mut result) = (Some(work), None);
        around(&mut || {
            if let Some(work) = work.take() {
                result = Some(work());
            }
        });
        result.expect("what stands around the work does it")
    }

    /// The same operator, entered once for each call of the engine.
    pub(crate) fn around(&self, operator: Box<dyn Operator>) -> Box<dyn Operator> {
        match self.0 {
            Some(_) => Box::new(Entered { operator, enter: self.clone() }),
            None => operator,
        }
    }
}

impl fmt::Debug for Enter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enter")
    }
}

/// An operator whose functions are called only within.
struct Entered {
    operator: Box<dyn Operator>,
    enter: Enter,
}

impl Operator for Entered {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.enter.within(|| self.operator.open(restored, cx))
    }

    fn on_batch(&mut self, input: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        self.enter.within(|| self.operator.on_batch(input, batch, cx))
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.enter.within(|| self.operator.on_watermark(watermark, cx))
    }

    fn output_watermark(&self, input: Watermark) -> Watermark {
        self.operator.output_watermark(input)
    }

    fn on_split(&mut self, split: &SplitId, event: SplitEvent, cx: &mut Context<'_>) -> Result<Step> {
        self.operator.on_split(split, event, cx)
    }

    fn on_timer(&mut self, at: ProcessingTime, cx: &mut Context<'_>) -> Result<Step> {
        self.enter.within(|| self.operator.on_timer(at, cx))
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.enter.within(|| self.operator.resume(cx))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.enter.within(|| self.operator.flush(cx))
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        self.enter.within(|| self.operator.on_barrier(epoch, cx))
    }

    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        self.enter.within(|| self.operator.copy_frozen(rows_max))
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.operator.on_settled(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.enter.within(|| self.operator.put(groups, given, age))
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.enter.within(|| self.operator.forget(groups))
    }
}
