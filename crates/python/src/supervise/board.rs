//! What a watched process shows its watcher, in memory that both share.
//!
//! Whoever reads it may read it while it is written, or after its writer died in the middle. So it is made of
//! atomic numbers and bytes that mean something in every state.

use std::io;
use std::ops::Deref;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

/// More threads than these are not seen.
pub(super) const DESKS: usize = 64;
/// More steps than these have no name here.
const STEPS_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 120;
/// The death of a process that got no signal.
const BY_ITSELF: i32 = -1;
const REPORT_BYTES_MAX: usize = 16 << 10;

/// All zero is the board of a process that has not begun.
#[repr(C)]
pub(crate) struct Board {
    ended: AtomicBool,
    pub(super) desks: [Desk; DESKS],
    steps: AtomicUsize,
    names: [Text<NAME_BYTES_MAX>; STEPS_MAX],
    /// How the process dies, and the desk of the thread that is to blame, from 1.
    death: AtomicI32,
    death_desk: AtomicUsize,
    report: Text<REPORT_BYTES_MAX>,
}

/// What a thread does.
#[repr(C, align(64))]
pub(crate) struct Desk {
    /// A thread sits here.
    pub(super) taken: AtomicBool,
    /// Odd while it calls a function.
    pub(super) calls: AtomicU64,
    /// The step whose function it calls.
    pub(super) step: AtomicU32,
    /// The record, where it lies in the watched process.
    pub(super) record: AtomicUsize,
    /// As Python numbers threads.
    pub(super) thread: AtomicU64,
    /// As the system numbers them.
    pub(super) task: AtomicI32,
}

impl Desk {
    /// A desk that nobody looks at.
    pub(super) const fn unseen() -> Self {
        Self {
            taken: AtomicBool::new(true),
            calls: AtomicU64::new(0),
            step: AtomicU32::new(0),
            record: AtomicUsize::new(0),
            thread: AtomicU64::new(0),
            task: AtomicI32::new(0),
        }
    }

    /// The number of the call that the thread is in.
    pub(super) fn call(&self) -> Option<u64> {
        Some(self.calls.load(Acquire)).filter(|calls| calls % 2 == 1)
    }
}

/// A text that is whole once its length is there.
#[repr(C)]
struct Text<const BYTES: usize> {
    length: AtomicUsize,
    bytes: [AtomicU8; BYTES],
}

impl<const BYTES: usize> Text<BYTES> {
    fn write(&self, text: &str) {
        let length = text.floor_char_boundary(BYTES);
        for (to, byte) in self.bytes.iter().zip(text[..length].bytes()) {
            to.store(byte, Relaxed);
        }
        self.length.store(length, Release);
    }

    fn read(&self) -> Option<String> {
        let length = self.length.load(Acquire).min(BYTES);
        let bytes: Vec<u8> = self.bytes[..length].iter().map(|byte| byte.load(Relaxed)).collect();
        (length > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The board, which lives as long as either process.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub(super) &'static Board);

impl Deref for Shared {
    type Target = Board;

    fn deref(&self) -> &Board {
        self.0
    }
}

impl Board {
    /// A board that a fork shares.
    #[allow(unsafe_code)]
    pub(super) fn shared() -> io::Result<Shared> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: new memory of the right size, aligned to pages, never given back. It is zero, which
        // is a value of everything in it.
        unsafe {
            let memory = libc::mmap(std::ptr::null_mut(), size_of::<Self>(), protection, flags, -1, 0);
            if memory == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            Ok(Shared(&*memory.cast::<Self>()))
        }
    }

    /// The process ends by itself, and all that is to be said was said.
    pub(super) fn end(&self) {
        self.ended.store(true, Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Acquire)
    }

    /// Gives a step a number, by which desks name it.
    pub(super) fn enrol(&self, step: &str) -> u32 {
        let number = self.steps.fetch_add(1, Relaxed);
        if let Some(name) = self.names.get(number) {
            name.write(step);
        }
        number as u32
    }

    /// The step that a desk named last.
    pub(super) fn step(&self, desk: &Desk) -> String {
        let name = self.names.get(desk.step.load(Relaxed) as usize).and_then(Text::read);
        name.unwrap_or_else(|| "a function".to_owned())
    }

    /// What is known of a call, for people: where it is, and with which record.
    pub(super) fn report(&self, words: &str) {
        self.report.write(words);
    }

    pub(super) fn reported(&self) -> Option<String> {
        self.report.read()
    }

    /// The thread at this desk ends the process: by a signal, or by a call of the system. May be called where
    /// almost nothing is allowed.
    pub(super) fn dies(&self, signal: Option<i32>, desk: &Desk) {
        let at = self.desks.iter().position(|other| std::ptr::eq(other, desk));
        self.death_desk.store(at.map_or(0, |at| at + 1), Relaxed);
        self.death.store(signal.unwrap_or(BY_ITSELF), Release);
    }

    /// The desk of the thread that has ended the process, if it was in a call.
    pub(super) fn dead(&self) -> Option<&Desk> {
        let by = self.death.load(Acquire);
        let desk = self.desks.get(self.death_desk.load(Relaxed).checked_sub(1)?)?;
        desk.call().filter(|_| by != 0).map(|_| desk)
    }

    /// A fatal signal came, and the process should be gone soon.
    pub(super) fn has_fatal_signal(&self) -> bool {
        self.death.load(Acquire) > 0
    }

    /// The desks of the threads that are in a call.
    pub(super) fn busy(&self) -> impl Iterator<Item = (usize, &Desk, u64)> {
        let desks = self.desks.iter().enumerate();
        desks.filter_map(|(at, desk)| desk.call().map(|call| (at, desk, call)))
    }
}
