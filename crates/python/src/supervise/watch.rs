//! What the watcher makes of what it sees.

use std::time::{Duration, Instant};

/// How long a call may go on that was begun before a stop was asked for.
const STUCK_AFTER_INTERRUPT: Duration = Duration::from_secs(1);
/// Whoever sends SIGTERM waits longer than whoever presses Ctrl-C: 30 seconds, most of them.
const STUCK_AFTER_TERMINATE: Duration = Duration::from_secs(10);

/// What a person allows a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For one call of a function.
    pub(super) call: Option<Duration>,
    /// Bytes of the whole process.
    pub(super) memory: Option<usize>,
}

/// How a stop was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Interrupt,
    Terminate,
}

/// Why the process is not left to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The call at this desk takes longer than a call may.
    TimedOut(usize),
    /// The call at this desk stands in the way of a stop.
    Stuck(usize),
    /// It has taken so many bytes.
    TooLarge(usize),
}

/// What was seen so far.
pub(super) struct Watch {
    limits: Limits,
    /// For each desk its call, and since when it is in it.
    calls: Vec<Option<(u64, Instant)>>,
    stop: Option<(Instant, Duration)>,
}

impl Watch {
    pub(super) fn new(limits: Limits, desks: usize) -> Self {
        Self { limits, calls: vec![None; desks], stop: None }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// A stop was asked for.
    pub(super) fn stop(&mut self, stop: Stop, now: Instant) {
        let patience = match stop {
            Stop::Interrupt => STUCK_AFTER_INTERRUPT,
            Stop::Terminate => STUCK_AFTER_TERMINATE,
        };
        self.stop.get_or_insert((now, patience));
    }

    /// Looks at the desks in calls, each with the number of its call, and at the bytes of the process.
    pub(super) fn look(
        &mut self,
        busy: impl Iterator<Item = (usize, u64)>,
        bytes: usize,
        now: Instant,
    ) -> Option<Verdict> {
        let nobody = vec![None; self.calls.len()];
        let before = std::mem::replace(&mut self.calls, nobody);
        let mut verdict = None;
        for (desk, call) in busy {
            let since = match before[desk] {
                Some((known, since)) if known == call => since,
                Some(_) | None => now,
            };
            self.calls[desk] = Some((call, since));
            if self.limits.call.is_some_and(|limit| now - since >= limit) {
                verdict.get_or_insert(Verdict::TimedOut(desk));
            }
            if self.stop.is_some_and(|(asked, patience)| now - since.max(asked) >= patience) {
                verdict.get_or_insert(Verdict::Stuck(desk));
            }
        }
        let too_large = self.limits.memory.is_some_and(|limit| bytes > limit);
        verdict.or(too_large.then_some(Verdict::TooLarge(bytes)))
    }
}
