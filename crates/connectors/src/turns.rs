//! Whose turn it is among the splits of a source that makes its rows itself.
//!
//! A subtask that holds several splits asks them in turn, so that none starves,
//! and sleeps until the first of them has rows. What the rows are is the source's.

use std::future::pending;
use std::time::Duration;

use thalweg_dataflow::source::Assignment;
use thalweg_state::SplitId;
use tokio::time::{Instant, sleep_until};

/// The longest sleep at once; a slower rate sleeps several times.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// When that is, though clocks do not reach so far.
pub(crate) fn later(than: Instant, wait: Duration) -> Instant {
    than.checked_add(wait).unwrap_or_else(|| Instant::now() + SLEEP_MAX)
}

/// A split while it is held.
pub(crate) trait Held {
    /// Its name.
    fn split(&self) -> &SplitId;

    /// Where it stands.
    fn assignment(&self) -> Assignment;
}

/// What a split has to give out.
pub(crate) enum Due {
    /// So many rows, at least one.
    Rows(usize),
    /// Nothing before then.
    At(Instant),
    /// Nothing any more.
    Never,
}

/// Whose turn it is, and what for.
pub(crate) enum Turn<'a, H> {
    /// The split gives out so many rows.
    Rows(&'a mut H, usize),
    /// The split has ended.
    SplitEnd(SplitId),
    /// All splits have ended.
    End,
}

/// The splits that a source holds.
pub(crate) struct Turns<H> {
    held: Vec<(H, State)>,
    /// The split that is asked first.
    turn: usize,
    /// Splits went to another subtask, so having none is no end.
    revoked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Making,
    Ended,
}

impl<H: Held> Turns<H> {
    pub(crate) fn new() -> Self {
        Self { held: Vec::new(), turn: 0, revoked: false }
    }

    /// Holds these from now on, too.
    pub(crate) fn hold(&mut self, more: Vec<H>) {
        self.held.extend(more.into_iter().map(|held| (held, State::Making)));
        self.revoked = false;
    }

    /// Waits until one has something to give out, by what `due` says of each. May be dropped while it waits.
    pub(crate) async fn next(&mut self, due: impl Fn(&H, Instant) -> Due) -> Turn<'_, H> {
        loop {
            match self.ask(&due) {
                Asked::Rows(which, rows) => return Turn::Rows(&mut self.held[which].0, rows),
                Asked::SplitEnd(split) => return Turn::SplitEnd(split),
                Asked::Wait(until) => sleep_until(until.min(Instant::now() + SLEEP_MAX)).await,
                Asked::Nobody if self.revoked => pending().await,
                Asked::Nobody => return Turn::End,
            }
        }
    }

    fn ask(&mut self, due: impl Fn(&H, Instant) -> Due) -> Asked {
        let now = Instant::now();
        let mut first: Option<Instant> = None;
        for step in 0..self.held.len() {
            let which = (self.turn + step) % self.held.len();
            let (held, state) = &mut self.held[which];
            if *state == State::Ended {
                continue;
            }
            match due(held, now) {
                Due::Rows(rows) => {
                    self.turn = which + 1;
                    return Asked::Rows(which, rows);
                }
                Due::At(at) => first = Some(first.map_or(at, |first| first.min(at))),
                Due::Never => {
                    *state = State::Ended;
                    return Asked::SplitEnd(held.split().clone());
                }
            }
        }
        first.map_or(Asked::Nobody, Asked::Wait)
    }

    /// Where all of them stand.
    pub(crate) fn positions(&self) -> Vec<Assignment> {
        self.held.iter().map(|(held, _)| held.assignment()).collect()
    }

    /// Lets go of those that it holds among these.
    pub(crate) fn revoke(&mut self, splits: &[SplitId]) -> Vec<Assignment> {
        let goes = |(held, _): &mut (H, State)| splits.contains(held.split());
        let given: Vec<_> = self.held.extract_if(.., goes).map(|(held, _)| held.assignment()).collect();
        self.revoked |= !given.is_empty();
        given
    }
}

/// What asking each split comes to.
enum Asked {
    Rows(usize, usize),
    SplitEnd(SplitId),
    Wait(Instant),
    Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A split with so many rows left.
    struct Rows(SplitId, usize);

    impl Held for Rows {
        fn split(&self) -> &SplitId {
            &self.0
        }

        fn assignment(&self) -> Assignment {
            Assignment { split: self.0.clone(), position: None }
        }
    }

    #[tokio::test]
    async fn splits_take_turns_and_end_once_each() {
        let mut turns = Turns::new();
        turns.hold([("a", 2), ("b", 3)].map(|(name, rows)| Rows(SplitId::new(name), rows)).into());
        let due = |held: &Rows, _: Instant| if held.1 == 0 { Due::Never } else { Due::Rows(1) };
        let mut said = Vec::new();
        loop {
            match turns.next(due).await {
                Turn::Rows(held, rows) => {
                    held.1 -= rows;
                    said.push(held.0.to_string());
                }
                Turn::SplitEnd(split) => said.push(format!("end of {split}")),
                Turn::End => break,
            }
        }
        assert_eq!(said, ["a", "b", "a", "b", "end of a", "b", "end of b"]);
        assert_eq!(turns.positions().len(), 2);
    }
}
