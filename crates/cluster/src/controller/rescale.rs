//! How does a job go on with another number of subtasks while rows flow? Pure.
//!
//! ```text
//!  Holding ─► Growing ─► Catching ─► Loading, Filling ─► Resting ─────────► Switching(e) ─────► done
//!  sources    the new    an epoch    what moves and it   epochs pause;      barrier e carries   all that moves
//!  stay       subtasks   ▲           wrote │             what they wrote    the new tables      is in place
//!                        └── as many rounds┘             meanwhile
//! ```
//!
//! A barrier stops rows for as long as it takes to set aside what changed since the last epoch, and
//! moving keys until that has arrived. So the barrier of the move comes close behind an epoch: the
//! first round moves nearly everything, and takes long; the next one what changed meanwhile.
//!
//! Until the barrier is sent nothing has changed for anybody, and the whole
//! can be taken back. What epochs do is seen, and never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_runtime::Load;
use thalweg_state::Epoch;

use super::epochs::EpochMachine;

/// So often what changed is made an epoch and loaded before the barrier of the move.
const ROUNDS: u32 = 2;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody wants so many subtasks. These sources may lose splits; or the job cannot be rescaled.
    /// The number of the rescale is unlike that of any other of this life.
    Asked { rescale: u64, parallelism: u32, sources: Result<Vec<usize>> },
    /// A source stays until the rescale is done, or was over before it heard of it; and what it reads.
    Holds { rescale: u64, member: usize, over: bool, splits: Vec<Assignment> },
    /// The new subtasks run, and these members take over splits; or they do not.
    Grown(Result<Vec<usize>>),
    /// An epoch was settled, and all know.
    Settled { epoch: Epoch, complete: bool },
    /// What moves was read, up to this epoch; or it could not be.
    Read { rescale: u64, upto: Option<Epoch>, loads: Result<Vec<(usize, Load)>> },
    /// A member has loaded what was sent to it.
    Loaded { rescale: u64, member: usize },
    /// The barrier of the move is under way, and something moves to these members.
    Switched { epoch: Epoch, waiting: Vec<usize> },
    /// A member has all that moves to it behind a barrier.
    Moved { epoch: Epoch, member: usize },
    /// A new subtask failed, that has no part in the job yet.
    Failed(Error),
    /// Epochs may stand otherwise than they did.
    Turn,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Action {
    /// Tell who asked what came of it.
    Answer { rescale: u64, result: Result<()> },
    /// Let these sources stay, and say what they read.
    HoldSources { rescale: u64, sources: Vec<usize> },
    /// Build what is added, and see who takes over splits: [`Event::Grown`] follows at once.
    Grow { parallelism: u32, splits: BTreeMap<usize, Vec<Assignment>> },
    /// Let checkpoints stay as they are, since they are read; or no longer.
    HoldCheckpoints(bool),
    /// Make an epoch now.
    Epoch,
    /// Read what moves from the newest complete epoch, as far as it is newer than `known`.
    Read { rescale: u64, known: Option<Epoch> },
    /// Give what was read to the members that will own it.
    Load { rescale: u64, loads: Vec<(usize, Load)> },
    /// Let no epoch begin.
    Pause,
    /// Tell everybody what to do at the next barrier, and send it: [`Event::Switched`] follows at once.
    Switch,
    /// Take back all that was built, held and loaded, and let epochs begin again.
    Undo,
}

#[derive(Debug)]
enum Stage {
    /// These sources have not yet said what they read; those that had ended before they heard of it;
    /// and the splits of each.
    Holding { missing: BTreeSet<usize>, over: BTreeSet<usize>, splits: BTreeMap<usize, Vec<Assignment>> },
    /// What is added is being built. These sources are over, since there was no split for them.
    Growing(BTreeSet<usize>),
    /// Everything up to the first epoch is loaded; the next one is to be from the second on.
    Catching(Option<Epoch>, Epoch),
    /// What moves is being read.
    Loading,
    /// What was read, up to this epoch, goes into these members: what is not in place at the barrier,
    /// rows of moving keys wait for.
    Filling(Option<Epoch>, BTreeSet<usize>),
    /// Everything up to this epoch is loaded; no new one begins.
    Resting(Option<Epoch>),
    /// The barrier of this epoch is under way; these members wait for what moves to them. Until the epoch is
    /// settled those that leave are there, under names that another rescale may want.
    Switching { epoch: Epoch, missing: BTreeSet<usize>, settled: bool },
}

/// A rescale under way.
#[derive(Debug)]
struct Rescale {
    number: u64,
    parallelism: u32,
    rounds: u32,
    stage: Stage,
}

impl Rescale {
    /// Makes an epoch of what changed behind `known`.
    fn catch_up(&mut self, known: Option<Epoch>, epochs: &EpochMachine) -> Action {
        self.stage = Stage::Catching(known, epochs.next());
        Action::Epoch
    }

    fn read(&mut self, known: Option<Epoch>) -> Action {
        self.stage = Stage::Loading;
        Action::Read { rescale: self.number, known }
    }
}

/// Decides on the rescales of one job, one at a time.
#[derive(Debug)]
pub(crate) struct RescaleMachine {
    parallelism: u32,
    /// The newest epoch that this life settled as complete.
    newest: Option<Epoch>,
    current: Option<Rescale>,
}

impl RescaleMachine {
    /// A job with so many subtasks.
    pub(crate) fn new(parallelism: u32) -> Self {
        Self { parallelism, newest: None, current: None }
    }

    /// Takes an event; what belongs to another rescale or stage is dropped.
    pub(crate) fn step(&mut self, event: Event, epochs: &EpochMachine) -> Vec<Action> {
        let mut actions = if epochs.is_ending() { self.give_up(is_ending()) } else { Vec::new() };
        actions.extend(match event {
            Event::Asked { rescale, parallelism, sources } => {
                vec![self.asked(rescale, parallelism, sources, epochs)]
            }
            Event::Holds { rescale, member, over, splits } => self.holds(rescale, member, over, splits),
            Event::Grown(takers) => self.grown(takers, epochs),
            Event::Settled { epoch, complete } => self.settled(epoch, complete),
            Event::Read { rescale, upto, loads } => self.was_read(rescale, upto, loads),
            Event::Loaded { rescale, member } => self.loaded(rescale, member),
            Event::Switched { epoch, waiting } => self.switched(epoch, waiting),
            Event::Moved { epoch, member } => self.moved(epoch, member),
            Event::Failed(error) => self.give_up(error),
            Event::Turn => Vec::new(),
        });
        actions.extend(self.advance(epochs));
        actions
    }

    fn asked(
        &mut self,
        number: u64,
        parallelism: u32,
        sources: Result<Vec<usize>>,
        epochs: &EpochMachine,
    ) -> Action {
        let result = match sources {
            _ if self.current.is_some() => Err(conflict("another rescale is under way")),
            _ if epochs.is_ending() => Err(is_ending()),
            _ if parallelism == self.parallelism => Ok(()),
            Err(error) => Err(error),
            Ok(sources) => {
                let missing = sources.iter().copied().collect();
                let stage = Stage::Holding { missing, over: BTreeSet::new(), splits: BTreeMap::new() };
                self.current = Some(Rescale { number, parallelism, rounds: 0, stage });
                return Action::HoldSources { rescale: number, sources };
            }
        };
        Action::Answer { rescale: number, result }
    }

    /// The stage of the rescale of this number.
    fn stage_of(&mut self, number: u64) -> Option<&mut Stage> {
        self.current.as_mut().filter(|rescale| rescale.number == number).map(|rescale| &mut rescale.stage)
    }

    /// That a source is over does not matter if it has read nothing, and is to read nothing.
    fn holds(&mut self, of: u64, member: usize, is_over: bool, read: Vec<Assignment>) -> Vec<Action> {
        let Some(Stage::Holding { missing, over, splits }) = self.stage_of(of) else { return Vec::new() };
        if is_over && !read.is_empty() {
            return self.give_up(input_is_over());
        }
        if is_over {
            over.insert(member);
        }
        missing.remove(&member);
        splits.insert(member, read);
        Vec::new()
    }

    fn grown(&mut self, takers: Result<Vec<usize>>, epochs: &EpochMachine) -> Vec<Action> {
        let Some(rescale) = &mut self.current else { return Vec::new() };
        let Stage::Growing(over) = &rescale.stage else { return Vec::new() };
        match takers {
            Err(error) => self.give_up(error),
            Ok(takers) if takers.iter().any(|taker| over.contains(taker)) => self.give_up(input_is_over()),
            Ok(_) => vec![Action::HoldCheckpoints(true), rescale.catch_up(None, epochs)],
        }
    }

    /// What was aborted is in the next epoch.
    fn settled(&mut self, epoch: Epoch, complete: bool) -> Vec<Action> {
        if complete {
            self.newest = Some(epoch);
        }
        let Some(rescale) = &mut self.current else { return Vec::new() };
        match &mut rescale.stage {
            Stage::Catching(known, awaited) if epoch >= *awaited => {
                let known = *known;
                vec![rescale.read(known)]
            }
            Stage::Switching { epoch: of, settled, .. } => {
                *settled |= epoch >= *of;
                Vec::new()
            }
            Stage::Holding { .. }
            | Stage::Growing(_)
            | Stage::Catching(..)
            | Stage::Loading
            | Stage::Filling(..)
            | Stage::Resting(_) => Vec::new(),
        }
    }

    fn was_read(&mut self, of: u64, upto: Option<Epoch>, loads: Result<Vec<(usize, Load)>>) -> Vec<Action> {
        let Some(stage @ Stage::Loading) = self.stage_of(of) else { return Vec::new() };
        match loads {
            Err(error) => self.give_up(error),
            Ok(loads) => {
                *stage = Stage::Filling(upto, loads.iter().map(|(member, _)| *member).collect());
                vec![Action::Load { rescale: of, loads }]
            }
        }
    }

    fn loaded(&mut self, of: u64, member: usize) -> Vec<Action> {
        if let Some(Stage::Filling(_, missing)) = self.stage_of(of) {
            missing.remove(&member);
        }
        Vec::new()
    }

    fn switched(&mut self, epoch: Epoch, waiting: Vec<usize>) -> Vec<Action> {
        if let Some(Rescale { stage: stage @ Stage::Resting(_), .. }) = &mut self.current {
            *stage = Stage::Switching { epoch, missing: waiting.into_iter().collect(), settled: false };
        }
        Vec::new()
    }

    fn moved(&mut self, of: Epoch, member: usize) -> Vec<Action> {
        if let Some(Rescale { stage: Stage::Switching { epoch, missing, .. }, .. }) = &mut self.current
            && *epoch == of
        {
            missing.remove(&member);
        }
        Vec::new()
    }

    /// Takes everything back and says why, unless the barrier was sent.
    fn give_up(&mut self, error: Error) -> Vec<Action> {
        let can_be = |rescale: &mut Rescale| !matches!(rescale.stage, Stage::Switching { .. });
        let Some(Rescale { number, .. }) = self.current.take_if(can_be) else { return Vec::new() };
        let answer = Action::Answer { rescale: number, result: Err(error) };
        vec![Action::Undo, Action::HoldCheckpoints(false), answer]
    }

    /// What can be done next?
    fn advance(&mut self, epochs: &EpochMachine) -> Vec<Action> {
        let Some(rescale) = &mut self.current else { return Vec::new() };
        match &mut rescale.stage {
            Stage::Holding { missing, over, splits } if missing.is_empty() => {
                let (over, splits) = (take(over), take(splits));
                rescale.stage = Stage::Growing(over);
                vec![Action::Grow { parallelism: rescale.parallelism, splits }]
            }
            Stage::Filling(upto, missing) if missing.is_empty() => {
                let upto = *upto;
                rescale.rounds += 1;
                if rescale.rounds < ROUNDS {
                    return vec![rescale.catch_up(upto, epochs)];
                }
                rescale.stage = Stage::Resting(upto);
                vec![Action::Pause]
            }
            Stage::Resting(upto) if epochs.is_resting() => {
                let upto = *upto;
                vec![if self.newest > upto { rescale.read(upto) } else { Action::Switch }]
            }
            Stage::Switching { missing, settled: true, .. } if missing.is_empty() => {
                self.parallelism = rescale.parallelism;
                let answer = Action::Answer { rescale: rescale.number, result: Ok(()) };
                self.current = None;
                vec![Action::HoldCheckpoints(false), answer]
            }
            Stage::Holding { .. }
            | Stage::Growing(_)
            | Stage::Catching(..)
            | Stage::Loading
            | Stage::Filling(..)
            | Stage::Resting(_)
            | Stage::Switching { .. } => Vec::new(),
        }
    }
}

fn conflict(what: &str) -> Error {
    Error::new(Code::Conflict, what)
}

fn is_ending() -> Error {
    conflict("the job is on its way to its end")
}

fn input_is_over() -> Error {
    conflict("an input of the job is over")
}

#[cfg(test)]
mod tests;
