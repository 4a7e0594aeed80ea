//! In the watched process: answers what the watcher asks, and leaves a word where it dies.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, c_int};
use pyo3::prelude::*;

use super::board::{Desk, Shared};
use super::call;
use crate::function::shown;

const FATAL: [c_int; 5] = [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV];

/// So many frames of a stack are shown, the innermost.
const FRAMES_MAX: usize = 20;

/// The board that a fatal signal is written to.
static BOARD: OnceLock<Shared> = OnceLock::new();

/// The process is watched from here on.
pub(super) fn begin(py: Python<'_>, board: Shared, asks: &(OwnedFd, OwnedFd)) -> PyResult<()> {
    die_with_parent();
    // The watcher's end, without which the other end tells when the watcher is gone.
    close(&asks.1);
    call::watched(board);
    let _ = BOARD.set(board);
    let questions = asks.0.try_clone()?;
    std::thread::Builder::new().name("watched".into()).spawn(move || answer(board, questions))?;
    let faulthandler = py.import("faulthandler")?;
    // Its words first, then ours: it calls whoever had the signals before.
    faulthandler.call_method0("disable")?;
    for signal in FATAL {
        catch(signal, died, libc::SA_RESETHAND | libc::SA_NODEFER)?;
    }
    catch(asks_who_is_deaf(), asked, libc::SA_RESTART)?;
    faulthandler.call_method1("enable", (2, false))?;
    Ok(())
}

/// The function at this thread's desk ends the process.
pub(super) fn exiting(py: Python<'_>, board: Shared, stack: &str) {
    let desk = call::seat();
    if let Some(words) = words(py, desk, stack) {
        board.dies(None, desk);
        board.report(&words);
    }
}

/// Answers one desk after the other, until the watcher is gone.
fn answer(board: Shared, questions: OwnedFd) {
    let mut questions = std::fs::File::from(questions);
    let mut desk = [0];
    loop {
        match questions.read(&mut desk) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => end(),
        }
        let Some(desk) = board.desks.get(usize::from(desk[0])) else { continue };
        Python::attach(|py| {
            let stack = stack(py, desk.thread.load(Relaxed)).unwrap_or_default();
            if let Some(words) = words(py, desk, &stack) {
                board.report(&words);
            }
        });
    }
}

/// Where a thread is, as a traceback shows it.
fn stack(py: Python<'_>, thread: u64) -> PyResult<String> {
    let frame = py.import("sys")?.call_method0("_current_frames")?.get_item(thread)?;
    let lines: Vec<String> =
        py.import("traceback")?.call_method1("format_stack", (frame, FRAMES_MAX))?.extract()?;
    Ok(lines.concat())
}

/// What is known of the call at a desk.
fn words(py: Python<'_>, desk: &Desk, stack: &str) -> Option<String> {
    desk.call()?;
    let record = shown(&record(py, desk)?);
    Some(match stack.trim_end() {
        "" => format!("the record was {record}"),
        stack => format!("Stack (most recent call last):\n{stack}\nthe record was {record}"),
    })
}

/// The record at a desk whose thread is in a call.
#[allow(unsafe_code)]
fn record<'py>(py: Python<'py>, desk: &Desk) -> Option<Bound<'py, PyAny>> {
    // SAFETY: whoever made the call holds the record until it returns, and to return it must
    // have the interpreter, which is here now.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, desk.record.load(Relaxed) as *mut _) }
}

#[allow(unsafe_code)]
fn catch(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) -> io::Result<()> {
    // SAFETY: the structure is whole: zero is a value of all that is not set. The handler keeps to what a
    // process can do that is lost anyway.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags | libc::SA_ONSTACK;
        match libc::sigaction(signal, &raw const action, std::ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The signal that asks a thread which does not let others into the interpreter: the thread itself is within,
/// so it can say with which record. It is sent where the process is ended next, whatever becomes of that.
pub(super) fn asks_who_is_deaf() -> c_int {
    libc::SIGRTMAX() - 1
}

/// The process is lost. First what is sure is written, then what may fail: the record is asked for its
/// looks, which runs Python. A second fault there ends it at once, and if it hangs the watcher does.
extern "C" fn died(signal: c_int) {
    let (Some(&board), desk) = (BOARD.get(), call::seat()) else { return };
    if call::is_copy() {
        return raise(signal);
    }
    board.dies(Some(signal), desk);
    if desk.call().is_some()
        && let Some(words) = Python::try_attach(|py| words(py, desk, ""))
        && let Some(words) = words
    {
        board.report(&words);
    }
    raise(signal);
}

/// Somebody was asked and let nobody answer.
extern "C" fn asked(_: c_int) {
    let Some(board) = BOARD.get() else { return };
    let desk = call::seat();
    let words = Python::try_attach(|py| {
        let stack = stack(py, desk.thread.load(Relaxed)).unwrap_or_default();
        words(py, desk, &stack)
    });
    if let Some(Some(words)) = words {
        board.report(&words);
    }
}

#[allow(unsafe_code)]
fn raise(signal: c_int) {
    // SAFETY: the signal's own action is in place again, which ends the process.
    unsafe {
        libc::raise(signal);
    }
}

#[allow(unsafe_code)]
fn end() -> ! {
    // SAFETY: nobody is left to answer to.
    unsafe { libc::_exit(137) }
}

#[allow(unsafe_code)]
fn die_with_parent() {
    // SAFETY: takes numbers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

/// Closes one end of a pipe in this process; its owner is never dropped here.
#[allow(unsafe_code)]
fn close(end: &OwnedFd) {
    // SAFETY: the watched process ends without giving anything back, so the owner does not close it again.
    unsafe {
        libc::close(end.as_raw_fd());
    }
}
