//! Calls of Python: the interpreter is entered once for each call of the engine.
//!
//! A thread of the engine keeps its interpreter state between calls. Without,
//! each entry would make one and throw it away, which takes longer than most batches.

use std::cell::Cell;

use pyo3::prelude::*;

use crate::supervise::give_second;

thread_local! {
    static KEEPS_STATE: Cell<bool> = const { Cell::new(false) };
    /// Whether the thread is within [`enter`].
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// Enters the interpreter, on a thread that will do so again.
pub(crate) fn enter(work: &mut dyn FnMut()) {
    if !KEEPS_STATE.replace(true) {
        keep_state();
        give_second();
    }
    Python::attach(|_| {
        let _within = Within(ENTERED.replace(true));
        work();
    });
}

/// Does work that nobody around it has entered the interpreter for.
pub(crate) fn within<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    let (mut work, mut done) = (Some(work), None);
    enter(&mut || done = work.take().map(attached));
    done.expect("what is entered does the work")
}

/// Restores whether the thread was within [`enter`], also when the work panics.
struct Within(bool);

impl Drop for Within {
    fn drop(&mut self) {
        ENTERED.set(self.0);
    }
}

/// Does work within the interpreter, which mostly was entered before.
#[inline]
#[allow(unsafe_code)]
pub(crate) fn attached<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    if ENTERED.get() {
        // SAFETY: `enter` is on this thread's stack, holds the interpreter until it returns, and nothing
        // that is called below it leaves the interpreter to others but for Python itself, which takes it back.
        return work(unsafe { Python::assume_attached() });
    }
    Python::attach(work)
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
