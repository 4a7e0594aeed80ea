//! Lets the sources of a test go on step by step.
//!
//! A step is a row, a watermark, a dropped record, or the end of a split. So
//! whoever holds the gate knows, without any clock, how far the sources can
//! have come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Shared by all sources of one life of a job. Closed at first.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The steps that may still be made.
    steps: u64,
    open: bool,
    ends_held: bool,
    /// The steps of all splits of all tables from beginning to end.
    there: u64,
}

impl Gate {
    /// A gate at which no split ends and no source is over before it is opened for good.
    pub fn that_holds_ends() -> Self {
        let gate = Self::default();
        gate.state().ends_held = true;
        gate
    }

    /// Each change is whole by itself, so a panic elsewhere harms nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The steps of all splits of all tables, read from the beginning.
    pub fn there(&self) -> u64 {
        self.state().there
    }

    /// Lets sources make so many more steps, whichever comes first.
    pub fn let_through(&self, steps: u64) {
        self.state().steps += steps;
        self.0.opened.notify_waiters();
    }

    /// From now on nothing is held up.
    pub fn open(&self) {
        let mut state = self.state();
        (state.open, state.ends_held) = (true, false);
        drop(state);
        self.0.opened.notify_waiters();
    }

    /// There are splits of so many steps.
    pub(super) fn expect(&self, steps: u64) {
        self.state().there += steps;
    }

    /// Takes as many steps as may be made now, at most `most`.
    pub(super) fn take(&self, most: usize) -> usize {
        let mut state = self.state();
        if state.open {
            return most;
        }
        let taken = most.min(usize::try_from(state.steps).unwrap_or(usize::MAX));
        state.steps -= taken as u64;
        taken
    }

    /// Takes the step at the end of a split, if it may be made now.
    pub(super) fn take_end(&self) -> bool {
        !self.holds_ends() && self.take(1) == 1
    }

    /// Whether no source may say that it is over.
    pub(super) fn holds_ends(&self) -> bool {
        self.state().ends_held
    }

    /// Ready when the gate has let something through since this was called.
    pub(super) fn opened(&self) -> Notified<'_> {
        self.0.opened.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_and_ends_wait() {
        let gate = Gate::that_holds_ends();
        assert_eq!(gate.take(3), 0);
        gate.let_through(4);
        assert_eq!((gate.take(3), gate.take_end(), gate.take(3)), (3, false, 1));
        gate.open();
        assert!(gate.take_end());
        assert_eq!(gate.take(3), 3);
    }
}
