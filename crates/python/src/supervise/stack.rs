//! Where a thread's last words are said when its stack is full.
//!
//! A function that calls itself in C without end runs into the end of the stack, and what the system
//! then calls has no room there. So each thread that calls functions has a second stack for it.

use std::ptr::null_mut;

/// Room for Python, which shows the record. Only what is used takes memory.
const BYTES: usize = 1 << 20;
/// Below it is nothing, so that a record which is too deep for it ends in a signal and not in what lies there.
const GUARD: usize = 1 << 16;

thread_local! {
    static SECOND: Option<Second> = Second::new();
}

/// Gives this thread its second stack, if it has none.
pub(crate) fn give_second() {
    // A thread that ends can do without.
    let _ = SECOND.try_with(|_| ());
}

struct Second(*mut libc::c_void);

impl Second {
    /// None if there is no memory, or somebody else has seen to it.
    #[allow(unsafe_code)]
    fn new() -> Option<Self> {
        // SAFETY: numbers and an address, for which zero is a value; the system fills it. The memory is new, and
        // stays until the thread has ended.
        unsafe {
            let mut known: libc::stack_t = std::mem::zeroed();
            if libc::sigaltstack(std::ptr::null(), &raw mut known) != 0
                || known.ss_flags & libc::SS_DISABLE == 0
            {
                return None;
            }
            let (read_write, own) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let memory = libc::mmap(null_mut(), GUARD + BYTES, libc::PROT_NONE, own | libc::MAP_STACK, -1, 0);
            if memory == libc::MAP_FAILED {
                return None;
            }
            let second = Self(memory);
            let above = memory.byte_add(GUARD);
            let given = libc::stack_t { ss_sp: above, ss_flags: 0, ss_size: BYTES };
            (libc::mprotect(above, BYTES, read_write) == 0
                && libc::sigaltstack(&raw const given, null_mut()) == 0)
                .then_some(second)
        }
    }
}

impl Drop for Second {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the memory is ours, and nobody stands on it: this is the thread, at its end.
        unsafe {
            let none = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            libc::sigaltstack(&raw const none, null_mut());
            libc::munmap(self.0, GUARD + BYTES);
        }
    }
}
