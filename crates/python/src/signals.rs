//! SIGINT and SIGTERM, lent by the interpreter to the engine for as long as it runs.
//!
//! Both want them for themselves. The engine listens through tokio, which takes a signal over once in
//! the life of a process, calls whoever had it before, and never gives it back. Left to that, a Ctrl-C
//! would stop the job *and* raise `KeyboardInterrupt` behind it, SIGTERM would be lost on the process
//! for ever after, and the first `signal.signal` of the program would make the next job deaf.
//!
//! ```text
//!             lend                                   back
//!  Python's ──────▶ the system's, first; tokio's ──────────▶ Python's
//!                   own, which it left here, after
//! ```

use std::cell::Cell;
use std::io;
use std::sync::{Mutex, PoisonError};

use libc::{SIG_BLOCK, SIG_DFL, SIG_SETMASK, SIGINT, SIGTERM, c_int, sigaction, sigset_t};

const SIGNALS: [c_int; 2] = [SIGINT, SIGTERM];

static LENDING: Mutex<Lending> = Mutex::new(Lending { jobs: 0, python: None, engine: None });

/// Who has the signals.
struct Lending {
    /// Jobs that run. The first borrows, the last gives back.
    jobs: usize,
    /// Python's handlers, while they are out of use.
    python: Option<[sigaction; 2]>,
    /// The engine's, as the last job left them.
    engine: Option<[sigaction; 2]>,
}

/// The engine has the signals until this is dropped.
pub(crate) struct Lent(());

/// Lends the signals.
///
/// # Errors
/// What the system says if it does not let them go.
pub(crate) fn lend() -> io::Result<Lent> {
    let mut lending = LENDING.lock().unwrap_or_else(PoisonError::into_inner);
    if lending.jobs == 0 {
        let engine = lending.engine.map_or([None, None], |handlers| handlers.map(Some));
        lending.python = Some(exchange(engine)?);
    }
    lending.jobs += 1;
    Ok(Lent(()))
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut lending = LENDING.lock().unwrap_or_else(PoisonError::into_inner);
        lending.jobs -= 1;
        if lending.jobs > 0 {
            return;
        }
        if let Some(python) = lending.python.take() {
            // It took them once, so it takes them back.
            lending.engine = exchange(python.map(Some)).ok();
        }
    }
}

thread_local! {
    /// The signals that this thread held off before it held off ours as well.
    static HELD: Cell<Option<sigset_t>> = const { Cell::new(None) };
}

/// Holds the signals off from this thread, until it has forked: one that comes to the copy before the copy has its
/// own handlers would be lost.
#[allow(unsafe_code)]
pub(crate) fn hold() {
    // SAFETY: sets of bits, for which zero is a value, made and filled here.
    unsafe {
        let (mut ours, mut before): (sigset_t, sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        for signal in SIGNALS {
            libc::sigaddset(&raw mut ours, signal);
        }
        if libc::pthread_sigmask(SIG_BLOCK, &raw const ours, &raw mut before) == 0 {
            HELD.set(Some(before));
        }
    }
}

/// Lets the signals come that were held off.
#[allow(unsafe_code)]
pub(crate) fn release() {
    if let Some(before) = HELD.take() {
        // SAFETY: what the system gave out.
        unsafe { libc::pthread_sigmask(SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    }
}

/// In a process that was forked off while the engine had the signals: Python has them again. May be called
/// where a signal handler may.
pub(crate) fn give_back_in_copy() {
    // Whoever holds the lock is not in this process. That was at the begin or the end of a job.
    if let Ok(mut lending) = LENDING.try_lock()
        && let Some(python) = lending.python.take()
    {
        // What fails leaves the copy as it was.
        let _ = exchange(python.map(Some));
    }
}

/// Puts handlers in place, the system's own where there is none, and answers those from before.
#[allow(unsafe_code)]
fn exchange(handlers: [Option<sigaction>; 2]) -> io::Result<[sigaction; 2]> {
    let mut before = [empty(); 2];
    for ((signal, handler), before) in SIGNALS.into_iter().zip(handlers).zip(&mut before) {
        let handler = handler.unwrap_or_else(|| sigaction { sa_sigaction: SIG_DFL, ..empty() });
        // SAFETY: both point to whole structures. A handler is either the system's own or one that the
        // system gave out here before; tokio's and Python's both live as long as the process.
        if unsafe { libc::sigaction(signal, &raw const handler, before) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(before)
}

/// No flags, and no signals to be held off.
#[allow(unsafe_code)]
fn empty() -> sigaction {
    // SAFETY: numbers, a set of bits and an optional function, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}
