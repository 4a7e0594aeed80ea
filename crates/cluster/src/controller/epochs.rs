//! When does an epoch begin, and what follows when it is settled? Pure.
//!
//! ```text
//!  Idle ─tick─► Collecting(e) ─all answered─► Settling(e) ─complete─► Committing(e) ─► Idle
//!                                                   └─────aborted────────────────────► Idle
//! ```
//!
//! One epoch at a time; epochs settle in order. All members pass a barrier before its epoch is
//! settled, also where a part of it could not be written and it can only be aborted: so whoever
//! hears how it was settled has its part behind it.
//! A subtask whose input is over
//! goes on answering: the machine asks it, since no barrier can reach it any
//! more. When all are over, one last epoch follows, so that sinks commit what
//! came last; then all are told to close.

use std::sync::Arc;

use thalweg_dataflow::Barrier;
use thalweg_dataflow::routing::RoutingTable;
use thalweg_dataflow::sink::Close;
use thalweg_state::Epoch;

/// How often the last epoch is tried again when the store settled it as aborted.
const LAST_EPOCHS_MAX: u32 = 5;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The checkpoint interval is over.
    Tick,
    /// The user wants the job to stop.
    StopAsked,
    /// A subtask gave its part of an epoch, and it was written, or could not be.
    Answered {
        /// The member of the job.
        subtask: usize,
        /// Which epoch.
        epoch: Epoch,
        /// Whether it is durable.
        written: bool,
    },
    /// The input of a subtask is over.
    Finished {
        /// The member of the job.
        subtask: usize,
        /// Why.
        why: Close,
    },
    /// The store has decided.
    Settled {
        /// Which epoch.
        epoch: Epoch,
        /// How.
        complete: bool,
    },
    /// All sinks of a complete epoch have published.
    Committed {
        /// Which epoch.
        epoch: Epoch,
    },
}

/// Another set of members behind the next barrier.
#[derive(Clone, Debug)]
pub struct Change {
    /// The routing tables that the barrier carries.
    pub tables: Arc<[RoutingTable]>,
    /// The members that join, in the order of their numbers: whether each is a source.
    pub joining: Vec<bool>,
    /// The members that end.
    pub leaving: Vec<usize>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a barrier to these subtasks.
    Send {
        /// Those that no channel brings it to.
        to: Vec<usize>,
        /// The barrier.
        barrier: Barrier,
    },
    /// Let the store decide on an epoch that all have answered: it can be complete only if `complete`.
    Settle {
        /// Which epoch.
        epoch: Epoch,
        /// Whether every part is durable.
        complete: bool,
    },
    /// Publish what the sinks prepared for a complete epoch.
    Commit(Epoch),
    /// Tell all subtasks how an epoch was settled.
    Announce {
        /// Which epoch.
        epoch: Epoch,
        /// How.
        complete: bool,
    },
    /// Tell these subtasks to close: they have no place in the job any more.
    Dismiss(Vec<usize>),
    /// Tell all subtasks to close: nothing is left to do.
    Close(Close),
    /// Give up: the last epoch was aborted again and again.
    GiveUp,
}

#[derive(Clone, Debug)]
enum Phase {
    Idle,
    Collecting { barrier: Barrier, failed: bool },
    Settling(Epoch),
    Committing(Epoch),
    Closed,
}

#[derive(Clone, Debug)]
struct Member {
    source: bool,
    answered: bool,
    finished: Option<Close>,
    /// It ended behind the barrier of a rescale.
    gone: bool,
}

impl Member {
    fn new(source: bool) -> Self {
        Self { source, answered: false, finished: None, gone: false }
    }
}

/// Decides on the epochs of one job.
#[derive(Clone, Debug)]
pub struct EpochMachine {
    members: Vec<Member>,
    phase: Phase,
    next: Epoch,
    tick_due: bool,
    /// Whether no epoch begins for the time being, but the last.
    paused: bool,
    /// The members that end behind the barrier in progress.
    leaving: Vec<usize>,
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
    pub fn new(sources: impl IntoIterator<Item = bool>, first: Epoch) -> Self {
        Self {
            members: sources.into_iter().map(Member::new).collect(),
            phase: Phase::Idle,
            next: first,
            tick_due: false,
            paused: false,
            leaving: Vec::new(),
            stop_wanted: false,
            stop_sent: false,
            last: false,
            last_complete: false,
            last_aborts: 0,
        }
    }

    /// Takes an event; what does not belong to the epoch in progress is dropped.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = match event {
            Event::Tick => {
                self.tick_due = true;
                Vec::new()
            }
            Event::StopAsked => {
                self.stop_wanted = true;
                Vec::new()
            }
            Event::Answered { subtask, epoch, written } => self.answered(subtask, epoch, written),
            Event::Finished { subtask, why } => self.finished(subtask, why),
            Event::Settled { epoch, complete } => self.settled(epoch, complete),
            Event::Committed { epoch } => self.committed(epoch),
        };
        actions.extend(self.advance());
        actions
    }

    fn answered(&mut self, subtask: usize, epoch: Epoch, written: bool) -> Vec<Action> {
        match &mut self.phase {
            Phase::Collecting { barrier, failed } if barrier.epoch == epoch => {
                *failed |= !written;
                let complete = !*failed;
                self.members[subtask].answered = true;
                if self.present().all(|m| m.answered) {
                    self.phase = Phase::Settling(epoch);
                    return vec![Action::Settle { epoch, complete }];
                }
                Vec::new()
            }
            Phase::Idle
            | Phase::Collecting { .. }
            | Phase::Settling(_)
            | Phase::Committing(_)
            | Phase::Closed => Vec::new(),
        }
    }

    fn present(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| !m.gone)
    }

    fn finished(&mut self, subtask: usize, why: Close) -> Vec<Action> {
        let member = &mut self.members[subtask];
        member.finished = Some(why);
        match &self.phase {
            // A source has been asked already; any other waits for a barrier that cannot come.
            Phase::Collecting { barrier, .. } if !member.answered && !member.source => {
                vec![Action::Send { to: vec![subtask], barrier: barrier.clone() }]
            }
            Phase::Idle
            | Phase::Collecting { .. }
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
        self.last_aborts += u32::from(self.last);
        self.over(epoch, false)
    }

    fn committed(&mut self, epoch: Epoch) -> Vec<Action> {
        if !matches!(self.phase, Phase::Committing(e) if e == epoch) {
            return Vec::new();
        }
        self.last_complete |= self.last;
        self.over(epoch, true)
    }

    /// Nothing is left to do for an epoch. Who ended behind its barrier has lived until now.
    fn over(&mut self, epoch: Epoch, complete: bool) -> Vec<Action> {
        self.phase = Phase::Idle;
        let mut actions = vec![Action::Announce { epoch, complete }];
        let leaving = std::mem::take(&mut self.leaving);
        leaving.iter().for_each(|&member| self.members[member].gone = true);
        if !leaving.is_empty() {
            actions.push(Action::Dismiss(leaving));
        }
        actions
    }

    /// Whether the epoch in progress holds all that there will ever be: every input was read to its end before it.
    pub fn at_end(&self) -> bool {
        self.last && self.why() == Close::End
    }

    /// The members whose part of the epoch in progress is missing.
    pub fn awaited(&self) -> Vec<usize> {
        let missing = |(_, m): &(usize, &Member)| !m.gone && !m.answered;
        match self.phase {
            Phase::Collecting { .. } => {
                self.members.iter().enumerate().filter(missing).map(|(index, _)| index).collect()
            }
            Phase::Idle | Phase::Settling(_) | Phase::Committing(_) | Phase::Closed => Vec::new(),
        }
    }

    /// The number of members that ever were.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// The epoch that begins next.
    pub fn next(&self) -> Epoch {
        self.next
    }

    /// Whether no epoch is in progress and none but the last will begin by itself.
    pub fn is_resting(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.paused
    }

    /// Whether the job is on its way to its end.
    pub fn is_ending(&self) -> bool {
        self.stop_wanted || self.last || matches!(self.phase, Phase::Closed)
    }

    /// From now on no epoch begins but the last, or that of a [change](Self::change).
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Epochs begin again, at the next event.
    pub fn unpause(&mut self) {
        self.paused = false;
    }

    /// Begins the epoch whose barrier brings another set of members. To be called while
    /// [resting](Self::is_resting). Those that join have passed it at birth.
    pub fn change(&mut self, change: Change) -> Vec<Action> {
        self.paused = false;
        let joining =
            change.joining.into_iter().map(|source| Member { answered: true, ..Member::new(source) });
        let sent = self.begin(false, false, change.tables);
        self.members.extend(joining);
        self.leaving = change.leaving;
        vec![sent]
    }

    /// With no epoch in progress: what comes next?
    fn advance(&mut self) -> Option<Action> {
        if !matches!(self.phase, Phase::Idle) {
            return None;
        }
        let all_finished = self.present().all(|m| m.finished.is_some());
        if all_finished && self.last_complete {
            self.phase = Phase::Closed;
            return Some(Action::Close(self.why()));
        }
        if all_finished && self.last_aborts >= LAST_EPOCHS_MAX {
            self.phase = Phase::Closed;
            return Some(Action::GiveUp);
        }
        if all_finished {
            return Some(self.begin(true, false, Arc::from([])));
        }
        if self.stop_sent {
            return None;
        }
        if self.stop_wanted {
            self.stop_sent = true;
            return Some(self.begin(true, true, Arc::from([])));
        }
        (self.tick_due && !self.paused).then(|| self.begin(false, false, Arc::from([])))
    }

    fn begin(&mut self, last: bool, stop: bool, tables: Arc<[RoutingTable]>) -> Action {
        let barrier = Barrier { epoch: self.next, tables, stop };
        self.next = self.next.next();
        self.tick_due = false;
        self.last = last;
        self.members.iter_mut().for_each(|m| m.answered = false);
        self.phase = Phase::Collecting { barrier: barrier.clone(), failed: false };
        let reached_by_command = |m: &Member| !m.gone && (m.source || m.finished.is_some());
        let to = (0..self.members.len()).filter(|&i| reached_by_command(&self.members[i])).collect();
        Action::Send { to, barrier }
    }

    fn why(&self) -> Close {
        let ended = self.present().all(|m| m.finished == Some(Close::End));
        if ended { Close::End } else { Close::Stop }
    }
}

#[cfg(test)]
mod tests;
