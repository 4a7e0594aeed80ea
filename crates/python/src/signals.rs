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

use std::io;
use std::sync::{Mutex, PoisonError};

use libc::{SIG_DFL, SIGINT, SIGTERM, c_int, sigaction};

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
