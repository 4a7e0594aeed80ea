//! A process that runs functions of Python, watched by the one that a person has started.
//!
//! A function can do what no interpreter forbids: loop for ever in C, call `os._exit`, write where there
//! is no memory, take all memory there is. The process that it does this in can then neither stop nor say what
//! has happened. So the one that was started forks, and only watches:
//!
//! ```text
//!  watcher ──── signals ───▶ watched: engine, interpreter, functions
//!     ▲  └───── "who is at desk 3?" ──▶ a thread that asks the interpreter
//!     │                                       │
//!     └──────── board: shared memory ◀────────┘   each thread's desk: which step it calls, the how manyth time
//! ```
//!
//! A call costs a few stores to the desk of its thread. The watcher reads no clock of the watched process: it looks
//! every now and then whether a desk is still in the same call.

mod board;
mod call;
mod stack;
mod watch;
mod watched;
mod watcher;

use std::io;
use std::os::fd::OwnedFd;

use pyo3::prelude::*;
use thalweg::settings::Settings;

use board::{Board, Shared};
pub(crate) use call::{Step, alone, end_if_copy};
pub(crate) use stack::give_second;

/// Two processes: the one that watches, and the one that it forks.
#[pyclass(frozen)]
pub(crate) struct Supervisor {
    board: Shared,
    /// Closes when the watcher is gone; carries the number of a desk that is asked for.
    asks: (OwnedFd, OwnedFd),
    settings: Settings,
}

#[pymethods]
impl Supervisor {
    /// Made before the fork. The limits are among the arguments of `thalweg run`.
    #[new]
    fn new(arguments: Vec<String>) -> PyResult<Self> {
        Ok(Self { board: Board::shared()?, asks: pipe()?, settings: limits(&arguments) })
    }

    /// In the watched process, before anything else.
    fn watched(&self, py: Python<'_>) -> PyResult<()> {
        watched::begin(py, self.board, &self.asks)
    }

    /// In the watched process, when it is about to end by itself.
    fn ended(&self) {
        self.board.end();
    }

    /// In the watched process: what is said if it ends now.
    fn exiting(&self, py: Python<'_>, stack: &str) {
        watched::exiting(py, self.board, stack);
    }

    /// Watches the process until it has ended. Answers the exit code.
    fn watch(&self, py: Python<'_>, process: i32) -> PyResult<u8> {
        py.detach(|| Ok(watcher::watch(process, self.board, &self.asks, &self.settings)?))
    }
}

/// The settings among arguments. What is wrong with them is told by the process that takes them.
fn limits(arguments: &[String]) -> Settings {
    let mut given = Vec::new();
    let mut rest = arguments.iter().map(String::as_str).take_while(|argument| *argument != "--");
    while let Some(argument) = rest.next() {
        let setting = match argument {
            "--set" => rest.next(),
            _ => argument.strip_prefix("--set="),
        };
        given.extend(setting.and_then(|setting| setting.split_once('=')));
    }
    let flags = given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Settings::resolve(|name| std::env::var(name).ok(), flags).unwrap_or_default()
}

/// A pipe that no program inherits: where it is read, and where it is written.
#[allow(unsafe_code)]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use std::os::fd::FromRawFd;

    let mut ends = [0; 2];
    // SAFETY: there is room for both ends, and they are ours.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}
