//! A job goes on with another number of subtasks, while rows flow.
//!
//! ```text
//!  Holding ──► Catching ─► Loading, Filling ─► Resting ─────────► Switching(e) ─────► done
//!  sources     an epoch    what moves and it   epochs pause;      barrier e carries   all that moves
//!  stay        ▲           wrote │             what they wrote    the new tables      is in place
//!              └── as many rounds┘             meanwhile
//! ```
//!
//! A barrier stops rows for as long as it takes to set aside what changed since the last epoch, and
//! moving keys until that has arrived. So the barrier of the move comes close behind an epoch: the
//! first round moves nearly everything, and takes long; the next one what changed meanwhile.
//!
//! Until the barrier is sent nothing has changed for anybody, and the whole
//! can be taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thalweg_dataflow::operator::Age;
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_runtime::{Command, Grown, LOAD_ROWS_MAX, Load};
use thalweg_state::{
    Epoch, FrozenTable, KeyGroups, Manifest, OperatorId, OperatorRecord, Restored, Snapshot, TableRecord,
};
use tracing::info;

use super::control::{Control, Done};
use super::handle::Reply;
use crate::controller::epochs::{Change, Event};
use crate::keeping::{Kept, failed};

/// So often what changed is made an epoch and loaded before the barrier of the move.
const ROUNDS: u32 = 2;

/// A rescale under way.
pub(super) struct Rescale {
    /// Unlike that of any other of this life.
    number: u64,
    parallelism: u32,
    reply: Reply<()>,
    stage: Stage,
    rounds: u32,
    grown: Option<Grown>,
    /// The splits of each source that may lose some.
    splits: BTreeMap<usize, Vec<Assignment>>,
    /// The sources that had ended before they heard of it, since there was no split for them.
    over: BTreeSet<usize>,
}

enum Stage {
    /// These sources have not yet said what they read.
    Holding(BTreeSet<usize>),
    /// Everything up to the first epoch is loaded; the next one is to be from the second on.
    Catching(Option<Epoch>, Epoch),
    /// What moves is being read.
    Loading,
    /// What was read, up to this epoch, goes into these members: what is not in place at the barrier,
    /// rows of moving keys wait for.
    Filling(Option<Epoch>, BTreeSet<usize>),
    /// Everything up to this epoch is loaded; no new one begins.
    Resting(Option<Epoch>),
    /// The barrier of this epoch is under way; these members wait for what moves to them.
    Switching(Epoch, BTreeSet<usize>),
}

/// State on its way to members.
pub(super) struct Loaded {
    rescale: u64,
    upto: Option<Epoch>,
    loads: Result<Vec<(usize, Load)>>,
}

impl Control {
    pub(super) fn begin_rescale(&mut self, parallelism: u32, reply: Reply<()>) {
        let refuse = |reply: Reply<()>, error: Error| {
            // Who asked may be gone.
            let _ = reply.send(Err(error));
        };
        let conflict = |what: &str| Error::new(Code::Conflict, what);
        if self.rescale.is_some() {
            return refuse(reply, conflict("another rescale is under way"));
        }
        if self.machine.is_ending() {
            return refuse(reply, conflict("the job is on its way to its end"));
        }
        if parallelism == self.worker.parallelism() {
            return drop(reply.send(Ok(())));
        }
        if self.kept.is_none() {
            let error = conflict("a job without a state folder cannot be rescaled while it runs");
            return refuse(reply, error.with_help("start it with --state-dir"));
        }
        match self.worker.movable_sources(parallelism) {
            Err(error) => refuse(reply, error),
            Ok(sources) => {
                self.rescales += 1;
                let number = self.rescales;
                sources.iter().for_each(|&member| self.worker.tell(member, Command::Hold(Some(number))));
                let stage = Stage::Holding(sources.into_iter().collect());
                let splits = BTreeMap::new();
                let over = BTreeSet::new();
                self.rescale =
                    Some(Rescale { number, parallelism, reply, stage, rounds: 0, grown: None, splits, over });
            }
        }
    }

    /// A source stays until the rescale is done, or has ended before it heard of it. That does not
    /// matter if it has read nothing, and is to read nothing.
    pub(super) fn source_holds(&mut self, hold: u64, member: usize, over: bool, splits: Vec<Assignment>) {
        let Some(rescale) = self.rescale.as_mut().filter(|rescale| rescale.number == hold) else { return };
        let Stage::Holding(missing) = &mut rescale.stage else { return };
        missing.remove(&member);
        let has_read = !splits.is_empty();
        rescale.splits.insert(member, splits);
        if over {
            rescale.over.insert(member);
        }
        if over && has_read {
            self.give_up(is_over());
        }
    }

    /// Does what can be done next.
    pub(super) fn go_on_rescaling(&mut self) -> Result<()> {
        let Some(rescale) = &self.rescale else { return Ok(()) };
        if self.machine.is_ending() && !matches!(rescale.stage, Stage::Switching(..)) {
            self.give_up(Error::new(Code::Conflict, "the job is on its way to its end"));
            return Ok(());
        }
        match &rescale.stage {
            Stage::Holding(missing) if missing.is_empty() => self.grow(rescale.parallelism)?,
            Stage::Resting(upto) if self.machine.is_resting() => {
                let newest = self.kept.as_ref().and_then(|kept| kept.newest()).map(|m| m.epoch);
                match newest == *upto {
                    true => self.switch()?,
                    false => self.load(*upto),
                }
            }
            Stage::Filling(upto, missing) if missing.is_empty() => {
                self.filled(*upto)?;
                return self.go_on_rescaling();
            }
            Stage::Switching(_, missing) if missing.is_empty() => self.finish_rescale(),
            Stage::Holding(_)
            | Stage::Catching(..)
            | Stage::Loading
            | Stage::Filling(..)
            | Stage::Resting(_)
            | Stage::Switching(..) => {}
        }
        Ok(())
    }

    fn grow(&mut self, parallelism: u32) -> Result<()> {
        let Some(rescale) = &mut self.rescale else { return Ok(()) };
        let takers = self.worker.grow(parallelism).and_then(|grown| {
            rescale.grown = Some(grown);
            self.worker.split_takers(&rescale.splits)
        });
        let refused = match takers {
            Err(error) => Some(error),
            Ok(takers) => takers.iter().any(|taker| rescale.over.contains(taker)).then(is_over),
        };
        if let Some(error) = refused {
            self.give_up(error);
            return Ok(());
        }
        if let Some(kept) = &self.kept {
            kept.hold(true);
        }
        self.catch_up(None)
    }

    /// Makes an epoch of what changed behind `known`.
    fn catch_up(&mut self, known: Option<Epoch>) -> Result<()> {
        if let Some(rescale) = &mut self.rescale {
            rescale.stage = Stage::Catching(known, self.machine.next());
        }
        self.step(Event::Tick)
    }

    /// An epoch was settled. One that was aborted is in the next.
    pub(super) fn caught_up(&mut self, epoch: Epoch) {
        if let Some(Rescale { stage: Stage::Catching(known, awaited), .. }) = &self.rescale
            && epoch >= *awaited
        {
            self.load(*known);
        }
    }

    /// Reads what moves from the newest complete epoch, as far as it is newer than `known`.
    fn load(&mut self, known: Option<Epoch>) {
        let (Some(rescale), Some(kept)) = (&mut self.rescale, &self.kept) else { return };
        let newest = kept.newest();
        let upto = newest.as_ref().map(|manifest| manifest.epoch);
        rescale.stage = Stage::Loading;
        let number = rescale.number;
        let wanted = rescale.grown.as_ref().map(|grown| grown.loads.clone()).unwrap_or_default();
        let kept = Arc::clone(kept);
        let work = async move { read(&kept, newest, known, wanted).await };
        self.spawn(work, move |loads| Done::Rescale(Loaded { rescale: number, upto, loads }));
    }

    pub(super) fn loaded(&mut self, loaded: Loaded) {
        let Some(rescale) = self.rescale.as_mut().filter(|rescale| rescale.number == loaded.rescale) else {
            return;
        };
        match loaded.loads {
            Err(error) => self.give_up(error),
            Ok(loads) => {
                let members: BTreeSet<usize> = loads.iter().map(|(member, _)| *member).collect();
                loads.into_iter().for_each(|(member, load)| self.worker.tell(member, Command::Load(load)));
                members.iter().for_each(|&m| self.worker.tell(m, Command::Loaded(loaded.rescale)));
                rescale.stage = Stage::Filling(loaded.upto, members);
            }
        }
    }

    /// A member has loaded what was sent to it.
    pub(super) fn member_filled(&mut self, member: usize, of: u64) {
        if let Some(Rescale { number, stage: Stage::Filling(_, missing), .. }) = &mut self.rescale
            && *number == of
        {
            missing.remove(&member);
        }
    }

    fn filled(&mut self, upto: Option<Epoch>) -> Result<()> {
        let Some(rescale) = &mut self.rescale else { return Ok(()) };
        rescale.rounds += 1;
        if rescale.rounds < ROUNDS {
            return self.catch_up(upto);
        }
        rescale.stage = Stage::Resting(upto);
        self.machine.pause();
        Ok(())
    }

    /// Everybody learns what to do at the next barrier, and the barrier is sent.
    fn switch(&mut self) -> Result<()> {
        let Some(rescale) = &mut self.rescale else { return Ok(()) };
        let Some(grown) = rescale.grown.take() else { return Ok(()) };
        let epoch = self.machine.next();
        let (joining, leaving) = (grown.joining.clone(), grown.leaving.clone());
        let (tables, waiting) = self.worker.rewire(grown, epoch, &rescale.splits)?;
        info!(epoch = epoch.0, parallelism = rescale.parallelism, "rescale");
        rescale.stage = Stage::Switching(epoch, waiting.into_iter().collect());
        let is_source = |&member: &usize| self.worker.members()[member].source;
        let joining = joining.iter().map(is_source).collect();
        self.show();
        let actions = self.machine.change(Change { tables: tables.into(), joining, leaving });
        self.act_all(actions)
    }

    /// A member has all that moves to it.
    pub(super) fn moved(&mut self, member: usize, epoch: Epoch) {
        if let Some(Rescale { stage: Stage::Switching(switching, missing), .. }) = &mut self.rescale
            && *switching == epoch
        {
            missing.remove(&member);
        }
    }

    fn finish_rescale(&mut self) {
        if let Some(kept) = &self.kept {
            kept.hold(false);
        }
        if let Some(rescale) = self.rescale.take() {
            // Who asked may be gone.
            let _ = rescale.reply.send(Ok(()));
        }
    }

    /// Takes everything back and says why.
    pub(super) fn give_up(&mut self, error: Error) {
        let Some(rescale) = self.rescale.take() else { return };
        match rescale.grown {
            Some(grown) => self.worker.cancel(grown),
            None => self.worker.release(),
        }
        if let Some(kept) = &self.kept {
            kept.hold(false);
        }
        // Who asked may be gone.
        let _ = rescale.reply.send(Err(error));
        self.machine.unpause();
    }
}

fn is_over() -> Error {
    Error::new(Code::Conflict, "an input of the job is over")
}

/// What each member is to get: the rows of its operators' tables that epochs behind `known` wrote.
async fn read(
    kept: &Kept,
    manifest: Option<Manifest>,
    known: Option<Epoch>,
    wanted: Vec<(usize, Vec<OperatorId>, KeyGroups)>,
) -> Result<Vec<(usize, Load)>> {
    let Some(manifest) = manifest else { return Ok(Vec::new()) };
    let mut loads = Vec::new();
    for (member, operators, groups) in wanted {
        for operator in operators {
            let Some(record) = manifest.operators.get(&operator) else { continue };
            let record = newer(record, known);
            let mut restored = kept.history().restore(&record, &groups).await.map_err(failed)?;
            for given in snapshot(&record, &mut restored).pieces(LOAD_ROWS_MAX) {
                let (operator, groups) = (operator.clone(), groups.clone());
                loads.push((member, Load { operator, groups, given, age: Age::Durable }));
            }
        }
    }
    Ok(loads)
}

/// Only the objects that epochs behind `known` wrote.
fn newer(record: &OperatorRecord, known: Option<Epoch>) -> OperatorRecord {
    let mut record = record.clone();
    for table in record.tables.values_mut() {
        table.objects.retain(|object| known.is_none_or(|known| object.epoch > known));
    }
    record
}

/// What an operator's tables hold of what was read, as one snapshot.
fn snapshot(record: &OperatorRecord, restored: &mut Restored) -> Snapshot {
    let table = |(name, table): (&String, &TableRecord)| {
        let (name, batches) = (name.clone().into(), restored.take(name));
        FrozenTable { name, change: table.change, batches, expiry: None }
    };
    Snapshot { tables: record.tables.iter().map(table).collect() }
}
