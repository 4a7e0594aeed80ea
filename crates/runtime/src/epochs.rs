//! When does an epoch begin, and what follows when it is settled? Pure.
//!
//! ```text
//!  Idle ─tick─► Collecting(e) ─all answered─► Settling(e) ─complete─► Committing(e) ─► Idle
//!                                                   └─────aborted────────────────────► Idle
//! ```
//!
//! One epoch at a time; epochs settle in order. A subtask whose input is over
//! goes on answering: the machine asks it, since no barrier can reach it any
//! more. When all are over, one last epoch follows, so that sinks commit what
//! came last; then all are told to close.

use thalweg_dataflow::Barrier;
use thalweg_dataflow::sink::Close;
use thalweg_state::Epoch;

/// How often the last epoch is tried again when the store settled it as aborted.
const LAST_EPOCHS_MAX: u32 = 5;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The checkpoint interval is over.
    Tick,
    /// The user wants the job to stop.
    StopAsked,
    /// A subtask gave its part of an epoch.
    Answered { subtask: usize, epoch: Epoch },
    /// The input of a subtask is over.
    Finished { subtask: usize, why: Close },
    /// The store has decided.
    Settled { epoch: Epoch, complete: bool },
    /// All sinks of a complete epoch have published.
    Committed { epoch: Epoch },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Send a barrier to these subtasks.
    Send { to: Vec<usize>, barrier: Barrier },
    /// Let the store decide on an epoch that all have answered.
    Settle(Epoch),
    /// Publish what the sinks prepared for a complete epoch.
    Commit(Epoch),
    /// Tell all subtasks how an epoch was settled.
    Announce { epoch: Epoch, complete: bool },
    /// Tell all subtasks to close: nothing is left to do.
    Close(Close),
    /// Give up: the last epoch was aborted again and again.
    GiveUp,
}

#[derive(Clone, Debug)]
enum Phase {
    Idle,
    Collecting(Barrier),
    Settling(Epoch),
    Committing(Epoch),
    Closed,
}

#[derive(Clone, Debug)]
struct Member {
    source: bool,
    answered: bool,
    finished: Option<Close>,
}

/// Decides on the epochs of one job.
#[derive(Clone, Debug)]
pub(crate) struct EpochMachine {
    members: Vec<Member>,
    phase: Phase,
    next: Epoch,
    tick_due: bool,
    stop_wanted: bool,
    stop_sent: bool,
    /// Whether nothing can come behind the epoch in progress.
    last: bool,
    /// Whether such an epoch is complete.
    last_complete: bool,
    last_aborts: u32,
}

impl EpochMachine {
    /// A job whose subtasks are sources where `sources` says so.
    pub(crate) fn new(sources: impl IntoIterator<Item = bool>, first: Epoch) -> Self {
        let member = |source| Member { source, answered: false, finished: None };
        Self {
            members: sources.into_iter().map(member).collect(),
            phase: Phase::Idle,
            next: first,
            tick_due: false,
            stop_wanted: false,
            stop_sent: false,
            last: false,
            last_complete: false,
            last_aborts: 0,
        }
    }

    /// Takes an event; what does not belong to the epoch in progress is dropped.
    pub(crate) fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = match event {
            Event::Tick => {
                self.tick_due = true;
                Vec::new()
            }
            Event::StopAsked => {
                self.stop_wanted = true;
                Vec::new()
            }
            Event::Answered { subtask, epoch } => self.answered(subtask, epoch),
            Event::Finished { subtask, why } => self.finished(subtask, why),
            Event::Settled { epoch, complete } => self.settled(epoch, complete),
            Event::Committed { epoch } => self.committed(epoch),
        };
        actions.extend(self.advance());
        actions
    }

    fn answered(&mut self, subtask: usize, epoch: Epoch) -> Vec<Action> {
        match &self.phase {
            Phase::Collecting(barrier) if barrier.epoch == epoch => {
                self.members[subtask].answered = true;
                if self.members.iter().all(|m| m.answered) {
                    self.phase = Phase::Settling(epoch);
                    return vec![Action::Settle(epoch)];
                }
                Vec::new()
            }
            Phase::Idle
            | Phase::Collecting(_)
            | Phase::Settling(_)
            | Phase::Committing(_)
            | Phase::Closed => Vec::new(),
        }
    }

    fn finished(&mut self, subtask: usize, why: Close) -> Vec<Action> {
        let member = &mut self.members[subtask];
        member.finished = Some(why);
        match &self.phase {
            // A source has been asked already; any other waits for a barrier that cannot come.
            Phase::Collecting(barrier) if !member.answered && !member.source => {
                vec![Action::Send { to: vec![subtask], barrier: barrier.clone() }]
            }
            Phase::Idle
            | Phase::Collecting(_)
            | Phase::Settling(_)
            | Phase::Committing(_)
            | Phase::Closed => Vec::new(),
        }
    }

    fn settled(&mut self, epoch: Epoch, complete: bool) -> Vec<Action> {
        if !matches!(self.phase, Phase::Settling(e) if e == epoch) {
            return Vec::new();
        }
        if complete {
            self.phase = Phase::Committing(epoch);
            return vec![Action::Commit(epoch)];
        }
        self.phase = Phase::Idle;
        self.last_aborts += u32::from(self.last);
        vec![Action::Announce { epoch, complete }]
    }

    fn committed(&mut self, epoch: Epoch) -> Vec<Action> {
        if !matches!(self.phase, Phase::Committing(e) if e == epoch) {
            return Vec::new();
        }
        self.phase = Phase::Idle;
        self.last_complete |= self.last;
        vec![Action::Announce { epoch, complete: true }]
    }

    /// With no epoch in progress: what comes next?
    fn advance(&mut self) -> Option<Action> {
        if !matches!(self.phase, Phase::Idle) {
            return None;
        }
        let all_finished = self.members.iter().all(|m| m.finished.is_some());
        if all_finished && self.last_complete {
            self.phase = Phase::Closed;
            return Some(Action::Close(self.why()));
        }
        if all_finished && self.last_aborts >= LAST_EPOCHS_MAX {
            self.phase = Phase::Closed;
            return Some(Action::GiveUp);
        }
        if all_finished {
            return Some(self.begin(true, false));
        }
        if self.stop_sent {
            return None;
        }
        if self.stop_wanted {
            self.stop_sent = true;
            return Some(self.begin(true, true));
        }
        self.tick_due.then(|| self.begin(false, false))
    }

    fn begin(&mut self, last: bool, stop: bool) -> Action {
        let barrier = Barrier { stop, ..Barrier::plain(self.next) };
        self.next = self.next.next();
        self.tick_due = false;
        self.last = last;
        self.members.iter_mut().for_each(|m| m.answered = false);
        self.phase = Phase::Collecting(barrier.clone());
        let reached_by_command = |m: &Member| m.source || m.finished.is_some();
        let to = (0..self.members.len()).filter(|&i| reached_by_command(&self.members[i])).collect();
        Action::Send { to, barrier }
    }

    fn why(&self) -> Close {
        let ended = self.members.iter().all(|m| m.finished == Some(Close::End));
        if ended { Close::End } else { Close::Stop }
    }
}

#[cfg(test)]
mod tests;
