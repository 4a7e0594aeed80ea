//! The mark that a thread makes while it is in a function of the program.

use std::cell::Cell;
use std::ptr::null;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use pyo3::prelude::*;

use super::board::{Desk, Shared};
use crate::signals;

/// The board of this process, if it is watched.
static BOARD: OnceLock<Shared> = OnceLock::new();

/// This process is a copy that a function has forked off.
static COPIED: AtomicBool = AtomicBool::new(false);

/// Where those sit whom nobody watches, or for whom there is no desk.
static UNSEEN: Desk = Desk::unseen();

thread_local! {
    static DESK: Cell<*const Desk> = const { Cell::new(null()) };
    static SEAT: Cell<Option<Seat>> = const { Cell::new(None) };
}

/// A thread's desk, given back when the thread ends.
struct Seat(&'static Desk);

impl Drop for Seat {
    fn drop(&mut self) {
        DESK.set(&raw const UNSEEN);
        self.0.taken.store(false, Release);
    }
}

/// A step of the program, as the watcher knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(u32);

impl Step {
    pub(crate) fn new(name: &str) -> Self {
        Self(BOARD.get().map_or(0, |board| board.enrol(name)))
    }

    /// Calls the step's function with a record. Within the interpreter.
    #[inline]
    pub(crate) fn call<'py, R>(self, record: &Bound<'py, PyAny>, function: impl FnOnce() -> R) -> R {
        let desk = desk(record.py());
        let calls = desk.calls.load(Relaxed);
        desk.step.store(self.0, Relaxed);
        desk.record.store(record.as_ptr() as usize, Relaxed);
        desk.calls.store(calls | 1, Release);
        let result = function();
        desk.calls.store((calls | 1) + 1, Release);
        if COPIED.load(Relaxed) {
            end_copy();
        }
        result
    }
}

/// This process is nobody's copy: an engine begins in it.
pub(crate) fn alone() {
    /// Once in a process and all its copies.
    static WATCHES_FORKS: OnceLock<()> = OnceLock::new();
    WATCHES_FORKS.get_or_init(watch_forks);
    COPIED.store(false, Relaxed);
}

/// Ends this process if it is a copy that a function has forked. For calls that no step makes itself.
#[pyfunction]
pub(crate) fn end_if_copy() {
    if is_copy() {
        end_copy();
    }
}

/// Whether this process is a copy, which must not speak for the one that is watched.
pub(super) fn is_copy() -> bool {
    COPIED.load(Relaxed)
}

/// Watched from here on.
pub(super) fn watched(board: Shared) {
    // A watched process does not fork another engine.
    let _ = BOARD.set(board);
    DESK.set(null());
}

/// The desk of this thread, as far as it has one.
pub(super) fn seat() -> &'static Desk {
    at(DESK.get()).unwrap_or(&UNSEEN)
}

#[inline]
fn desk(py: Python<'_>) -> &'static Desk {
    match at(DESK.get()) {
        Some(desk) => desk,
        None => sit_down(py),
    }
}

#[inline]
#[allow(unsafe_code)]
fn at(desk: *const Desk) -> Option<&'static Desk> {
    // SAFETY: it is null, or was made of a desk that lives as long as the process.
    unsafe { desk.as_ref() }
}

#[cold]
fn sit_down(py: Python<'_>) -> &'static Desk {
    let desks = BOARD.get().map_or(&[][..], |board| &board.0.desks);
    let free = desks.iter().find(|desk| desk.taken.compare_exchange(false, true, AcqRel, Relaxed).is_ok());
    let desk = free.unwrap_or(&UNSEEN);
    if let Some(desk) = free {
        desk.thread.store(ident(py).unwrap_or(0), Relaxed);
        desk.task.store(task(), Relaxed);
        SEAT.set(Some(Seat(desk)));
    }
    DESK.set(desk);
    desk
}

/// This thread's number in Python.
fn ident(py: Python<'_>) -> PyResult<u64> {
    py.import("threading")?.call_method0("get_ident")?.extract()
}

/// This thread's number in the system.
#[allow(unsafe_code)]
fn task() -> i32 {
    // SAFETY: takes nothing, and gives a number.
    unsafe { libc::gettid() }
}

#[allow(unsafe_code)]
fn watch_forks() {
    extern "C" fn before() {
        signals::hold();
    }
    extern "C" fn original() {
        signals::release();
    }
    extern "C" fn copy() {
        COPIED.store(true, Relaxed);
        // No engine runs in the copy: a signal that nobody takes would not even end it.
        signals::give_back_in_copy();
        signals::release();
    }
    // SAFETY: the functions do nothing but what a signal handler may. Without memory for them forks are not seen, no
    // more.
    unsafe {
        libc::pthread_atfork(Some(before), Some(original), Some(copy));
    }
}

/// The copy of a worker has come back from the function that has forked it. It has one thread of many, and
/// whatever it wrote the worker would write too.
#[cold]
#[allow(unsafe_code)]
fn end_copy() -> ! {
    eprintln!(
        "a function has forked, and returned in the copy too: the copy ends here. End it by os._exit()"
    );
    // SAFETY: ends the process, without what the worker has yet to do.
    unsafe { libc::_exit(70) }
}
