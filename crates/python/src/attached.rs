//! Operators that call Python: the interpreter is entered once for each call of the engine.
//!
//! A thread of the engine keeps its interpreter state between calls. Without,
//! each entry would make one and throw it away, which takes longer than most batches.

use std::cell::Cell;

use pyo3::prelude::*;
use thalweg_dataflow::source::SplitEvent;
use thalweg_dataflow::{Age, Batch, Context, Operator, Port, ProcessingTime, Result, Step, Watermark};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot, SplitId};

thread_local! {
    static KEEPS_STATE: Cell<bool> = const { Cell::new(false) };
}

/// Enters the interpreter, on a thread that will do so again.
fn enter<R>(work: impl FnOnce() -> R) -> R {
    if !KEEPS_STATE.replace(true) {
        keep_state();
    }
    Python::attach(|_| work())
}

/// Makes this thread's interpreter state, if it has none, and leaves the interpreter without giving it up.
#[allow(unsafe_code)]
fn keep_state() {
    // SAFETY: a thread without a state is not within the interpreter, so it may enter it; the last call
    // gives up the lock that the one before took, and leaves the state where it is.
    unsafe {
        if pyo3::ffi::PyGILState_GetThisThreadState().is_null() {
            pyo3::ffi::PyGILState_Ensure();
            pyo3::ffi::PyEval_SaveThread();
        }
    }
}

/// An operator whose functions are Python's.
pub(crate) struct Attached(pub(crate) Box<dyn Operator>);

impl Operator for Attached {
    fn open(&mut self, restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        enter(|| self.0.open(restored, cx))
    }

    fn on_batch(&mut self, input: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        enter(|| self.0.on_batch(input, batch, cx))
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        enter(|| self.0.on_watermark(watermark, cx))
    }

    fn output_watermark(&self, input: Watermark) -> Watermark {
        self.0.output_watermark(input)
    }

    fn on_split(&mut self, split: &SplitId, event: SplitEvent, cx: &mut Context<'_>) -> Result<Step> {
        self.0.on_split(split, event, cx)
    }

    fn on_timer(&mut self, at: ProcessingTime, cx: &mut Context<'_>) -> Result<Step> {
        enter(|| self.0.on_timer(at, cx))
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        enter(|| self.0.resume(cx))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        enter(|| self.0.flush(cx))
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        enter(|| self.0.on_barrier(epoch, cx))
    }

    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        enter(|| self.0.copy_frozen(rows_max))
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.0.on_settled(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        enter(|| self.0.put(groups, given, age))
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        enter(|| self.0.forget(groups))
    }
}
