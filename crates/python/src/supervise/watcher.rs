//! In the process that a person has started: passes signals on, looks at the board, tells how the other ended.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU32};
use std::time::{Duration, Instant};

use libc::{SIGCHLD, SIGINT, SIGKILL, SIGTERM, c_int};
use thalweg::report::render;
use thalweg::settings::Settings;
use thalweg_dataflow::{Code, Error};

use super::board::{DESKS, Shared};
use super::watch::{Limits, Stop, Verdict, Watch};
use super::watched::asks_who_is_deaf;

/// How often the board is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a process may take to say what it does, and to end after a second signal.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How long it may take to die of a fatal signal.
const DYING: Duration = Duration::from_secs(2);
/// The exit code of a job that was aborted.
const ABORTED: u8 = 131;

/// Watches a process until it has ended. Answers the exit code.
pub(super) fn watch(
    process: c_int,
    board: Shared,
    asks: &(OwnedFd, OwnedFd),
    settings: &Settings,
) -> io::Result<u8> {
    let limits = Limits { call: settings.call_timeout, memory: settings.memory_max };
    let mut watcher = Watcher {
        process,
        board,
        questions: File::from(asks.1.try_clone()?),
        watch: Watch::new(limits, DESKS),
        fatal: None,
    };
    let mut signals = Signals::take()?;
    loop {
        signals.wait(GLANCE);
        for (signal, stop) in [(SIGINT, Stop::Interrupt), (SIGTERM, Stop::Terminate)] {
            if signals.came(signal) {
                watcher.send(signal);
                watcher.watch.stop(stop, Instant::now());
            }
        }
        if let Some(status) = watcher.reap()? {
            return Ok(watcher.ended(status));
        }
        if let Some(verdict) = watcher.look() {
            return watcher.execute(verdict);
        }
    }
}

struct Watcher {
    process: c_int,
    board: Shared,
    questions: File,
    watch: Watch,
    /// When a fatal signal was first seen.
    fatal: Option<Instant>,
}

impl Watcher {
    fn look(&mut self) -> Option<Verdict> {
        let now = Instant::now();
        if self.board.has_fatal_signal() && now - *self.fatal.get_or_insert(now) > DYING {
            // It hangs in its last words. What is known of it is told when it is gone.
            self.send(SIGKILL);
        }
        let bytes = self.watch.limits().memory.map_or(0, |_| resident_bytes(self.process).unwrap_or(0));
        let busy = self.board.busy().map(|(at, _, call)| (at, call));
        self.watch.look(busy, bytes, now)
    }

    /// Ends the process, and tells why.
    fn execute(&mut self, verdict: Verdict) -> io::Result<u8> {
        let limits = self.watch.limits();
        let code = match verdict {
            Verdict::TimedOut(desk) => {
                let limit = limits.call.unwrap_or_default();
                let what = format!("{} has not returned for {limit:?}", self.step(desk));
                let error = Error::new(Code::LimitReached, what);
                tell(&self.explained(error, Some(desk)).with_help(
                    "nothing that is checkpointed is lost; '--set call-timeout=…' allows more time",
                ));
                1
            }
            Verdict::TooLarge(bytes) => {
                let what = format!(
                    "the process has {} MiB of memory, and may have {} MiB",
                    bytes >> 20,
                    limits.memory.unwrap_or_default() >> 20
                );
                let desk = self.board.busy().next().map(|(at, ..)| at);
                let during = desk.map(|desk| format!("{} is at work", self.step(desk)));
                let error = Error::new(Code::LimitReached, what).with_help(
                    "nothing that is checkpointed is lost; '--set memory-max=…' allows more memory",
                );
                tell(&self.explained(during.into_iter().fold(error, Error::in_site), desk));
                1
            }
            Verdict::Stuck(desk) => {
                let what = format!("{} does not return, so the job cannot stop", self.step(desk));
                tell(&self.explained(Error::new(Code::FunctionFailed, what), Some(desk)));
                // The second signal: it says where the job goes on.
                self.send(SIGINT);
                if self.await_end(LAST_WORDS)? {
                    return Ok(ABORTED);
                }
                ABORTED
            }
        };
        self.send(SIGKILL);
        self.await_end(DYING)?;
        Ok(code)
    }

    fn step(&self, desk: usize) -> String {
        self.board.step(&self.board.desks[desk])
    }

    /// An error with what the process itself says of a call.
    fn explained(&mut self, error: Error, desk: Option<usize>) -> Error {
        let words = desk.and_then(|desk| {
            self.questions.write_all(&[u8::try_from(desk).ok()?]).ok()?;
            self.await_words().or_else(|| {
                self.interrupt(desk);
                self.await_words()
            })
        });
        words.into_iter().fold(error, Error::because)
    }

    fn await_words(&self) -> Option<String> {
        let deadline = Instant::now() + LAST_WORDS;
        loop {
            let words = self.board.reported();
            if words.is_some() || Instant::now() > deadline {
                return words;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks the thread at a desk in the middle of its work.
    #[allow(unsafe_code)]
    fn interrupt(&self, desk: usize) {
        let thread = self.board.desks[desk].task.load(Relaxed);
        // SAFETY: takes numbers. A thread that is gone, or none, is not found.
        unsafe {
            libc::syscall(libc::SYS_tgkill, self.process, thread, asks_who_is_deaf());
        }
    }

    /// The exit code of a process that has ended, after what it could not say itself.
    fn ended(&self, status: ExitStatus) -> u8 {
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        if let (true, Some(code)) = (self.board.has_ended(), code) {
            return code;
        }
        let step = self.board.dead().map(|desk| self.board.step(desk));
        let who = step.unwrap_or_else(|| "the program".to_owned());
        let (what, code) = match (status.code(), status.signal()) {
            (_, Some(SIGKILL)) if !self.board.has_fatal_signal() => {
                ("the process was killed; the system may have run out of memory".to_owned(), 137)
            }
            (_, Some(signal)) => (
                format!("{who} has crashed the process: {}", name(signal)),
                128_u8.saturating_add(signal as u8),
            ),
            (code, None) => (format!("{who} has ended the process with exit code {}", code.unwrap_or(0)), 1),
        };
        let error = Error::new(Code::FunctionFailed, what).with_help("nothing that is checkpointed is lost");
        tell(&match self.board.reported() {
            Some(words) => error.because(words),
            None => error,
        });
        code
    }

    #[allow(unsafe_code)]
    fn send(&self, signal: c_int) {
        // SAFETY: takes numbers. The process is our child and was not waited for, so the number is its own.
        unsafe {
            libc::kill(self.process, signal);
        }
    }

    /// How the process has ended, if it has.
    #[allow(unsafe_code)]
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut status = 0;
        // SAFETY: there is room for the status.
        match unsafe { libc::waitpid(self.process, &raw mut status, libc::WNOHANG) } {
            0 => Ok(None),
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(Some(ExitStatus::from_raw(status))),
        }
    }

    /// Whether it has ended in time.
    fn await_end(&self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        while self.reap()?.is_none() {
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(true)
    }
}

fn tell(error: &Error) {
    eprintln!("{}", render(error, None, io::stderr().is_terminal()));
}

fn name(signal: c_int) -> String {
    let known = match signal {
        libc::SIGSEGV => "SIGSEGV, a place in memory that is not its own",
        libc::SIGBUS => "SIGBUS, a place in memory that is not there",
        libc::SIGABRT => "SIGABRT, abort",
        libc::SIGFPE => "SIGFPE, arithmetic",
        libc::SIGILL => "SIGILL, an instruction that the processor does not know",
        other => return format!("signal {other}"),
    };
    known.to_owned()
}

/// The memory of a process that is in the machine's.
fn resident_bytes(process: c_int) -> Option<usize> {
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: usize = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_bytes())
}

#[allow(unsafe_code)]
fn page_bytes() -> usize {
    // SAFETY: takes and gives a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096)
}

/// Written by the handler, a byte for each signal; -1 when nobody reads.
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// The signals that came, a bit for each.
static CAME: AtomicU32 = AtomicU32::new(0);

const TAKEN: [c_int; 3] = [SIGCHLD, SIGINT, SIGTERM];

/// Signals of this process, taken for as long as it watches.
struct Signals {
    wakes: File,
    _wake: OwnedFd,
    before: [libc::sigaction; 3],
}

impl Signals {
    #[allow(unsafe_code)]
    fn take() -> io::Result<Self> {
        let (wakes, wake) = super::pipe()?;
        for end in [&wakes, &wake] {
            // SAFETY: takes numbers.
            unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
        WAKE.store(wake.as_raw_fd(), Relaxed);
        // SAFETY: zero is a value of everything in it.
        let mut before: [libc::sigaction; 3] = unsafe { std::mem::zeroed() };
        for (signal, before) in TAKEN.into_iter().zip(&mut before) {
            // SAFETY: both structures are whole, and the handler does only what a handler may.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = came as *const () as usize;
                action.sa_flags = libc::SA_RESTART;
                if libc::sigaction(signal, &raw const action, before) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(Self { wakes: File::from(wakes), _wake: wake, before })
    }

    /// Waits for a signal, but not for long.
    #[allow(unsafe_code)]
    fn wait(&mut self, time: Duration) {
        let mut wanted = libc::pollfd { fd: self.wakes.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure, which is whole.
        unsafe { libc::poll(&raw mut wanted, 1, time.as_millis() as c_int) };
        // Nothing to read is no fault here.
        let _ = self.wakes.read(&mut [0; 64]);
    }

    fn came(&self, signal: c_int) -> bool {
        let bit = 1 << signal;
        CAME.fetch_and(!bit, Relaxed) & bit != 0
    }
}

impl Drop for Signals {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        for (signal, before) in TAKEN.into_iter().zip(&self.before) {
            // SAFETY: what the system gave out itself.
            unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
        }
        WAKE.store(-1, Relaxed);
    }
}

#[allow(unsafe_code)]
extern "C" fn came(signal: c_int) {
    CAME.fetch_or(1 << signal, Relaxed);
    let wake = WAKE.load(Relaxed);
    if wake >= 0 {
        // SAFETY: one byte, to a pipe that does not block. What `errno` was, is again.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            libc::write(wake, [0_u8].as_ptr().cast(), 1);
            *errno = before;
        }
    }
}
