//! All that happened, as one number and as text.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The newest lines are kept.
const LINES_KEPT: usize = 400;

/// Remembers what happened, and when.
#[derive(Debug)]
pub(crate) struct Trace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    hasher: DefaultHasher,
    lines: VecDeque<String>,
    loud: bool,
}

impl Trace {
    /// A trace that is written out as it grows, if it is `loud`.
    pub(crate) fn new(loud: bool) -> Self {
        Self(Mutex::new(State { loud, ..State::default() }))
    }

    /// Every note is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, at: Duration, what: fmt::Arguments<'_>) {
        let line = format!("{:>10.6} {what}", at.as_secs_f64());
        let mut state = self.state();
        line.hash(&mut state.hasher);
        if state.loud {
            println!("{line}");
        }
        if state.lines.len() == LINES_KEPT {
            state.lines.pop_front();
        }
        state.lines.push_back(line);
    }

    /// One number for everything.
    pub(crate) fn hash(&self) -> u64 {
        self.state().hasher.finish()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state().lines.iter().cloned().collect()
    }
}
