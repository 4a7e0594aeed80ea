//! Carries out what is [decided](crate::controller::rescale) about a rescale.

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
use crate::controller::epochs::{self, Change};
use crate::controller::rescale::{Action, Event, RescaleMachine};
use crate::keeping::{Kept, failed};

/// The splits of each source that may lose some.
type Splits = BTreeMap<usize, Vec<Assignment>>;

/// The rescales of a job: what decides on them, who waits for them, and what the one under way has built.
pub(super) struct Rescales {
    machine: RescaleMachine,
    asked: u64,
    replies: BTreeMap<u64, Reply<()>>,
    built: Option<(Grown, Splits)>,
}

impl Rescales {
    pub(super) fn new(parallelism: u32) -> Self {
        let machine = RescaleMachine::new(parallelism);
        Self { machine, asked: 0, replies: BTreeMap::new(), built: None }
    }
}

impl Control {
    pub(super) fn ask_rescale(&mut self, parallelism: u32, reply: Reply<()>) -> Result<()> {
        let unkept = "a job without a state folder cannot be rescaled while it runs";
        let sources = match &self.kept {
            Some(_) => self.worker.movable_sources(parallelism),
            None => Err(Error::new(Code::Conflict, unkept).with_help("start it with --state-dir")),
        };
        self.rescales.asked += 1;
        let rescale = self.rescales.asked;
        self.rescales.replies.insert(rescale, reply);
        self.rescale(Event::Asked { rescale, parallelism, sources })
    }

    pub(super) fn rescale(&mut self, event: Event) -> Result<()> {
        let actions = self.rescales.machine.step(event, &self.machine);
        actions.into_iter().try_for_each(|action| self.act_on_rescale(action))
    }

    fn act_on_rescale(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Answer { rescale, result } => {
                if let Some(reply) = self.rescales.replies.remove(&rescale) {
                    // Who asked may be gone.
                    let _ = reply.send(result);
                }
            }
            Action::HoldSources { rescale, sources } => {
                sources.into_iter().for_each(|m| self.worker.tell(m, Command::Hold(Some(rescale))));
            }
            Action::Grow { parallelism, splits } => {
                let takers = self.grow(parallelism, splits);
                self.rescale(Event::Grown(takers))?;
            }
            Action::HoldCheckpoints(held) => self.kept.iter().for_each(|kept| kept.hold(held)),
            Action::Epoch => self.step(epochs::Event::Tick)?,
            Action::Read { rescale, known } => self.read(rescale, known),
            Action::Load { rescale, loads } => self.load(rescale, loads),
            Action::Pause => self.machine.pause(),
            Action::Switch => self.switch()?,
            Action::Undo => {
                match self.rescales.built.take() {
                    Some((grown, _)) => self.worker.cancel(grown),
                    None => self.worker.release(),
                }
                self.machine.unpause();
            }
        }
        Ok(())
    }

    /// The members that take over splits.
    fn grow(&mut self, parallelism: u32, splits: Splits) -> Result<Vec<usize>> {
        let grown = self.worker.grow(parallelism)?;
        let takers = self.worker.split_takers(&splits);
        self.rescales.built = Some((grown, splits));
        takers
    }

    fn read(&mut self, rescale: u64, known: Option<Epoch>) {
        let (Some((grown, _)), Some(kept)) = (&self.rescales.built, &self.kept) else { return };
        let newest = kept.newest();
        let upto = newest.as_ref().map(|manifest| manifest.epoch);
        let (wanted, kept) = (grown.loads.clone(), Arc::clone(kept));
        let work = async move { read(&kept, newest, known, wanted).await };
        self.spawn(work, move |loads| Done::Rescale(Event::Read { rescale, upto, loads }));
    }

    fn load(&self, rescale: u64, loads: Vec<(usize, Load)>) {
        let members: BTreeSet<usize> = loads.iter().map(|(member, _)| *member).collect();
        loads.into_iter().for_each(|(member, load)| self.worker.tell(member, Command::Load(load)));
        members.into_iter().for_each(|m| self.worker.tell(m, Command::Loaded(rescale)));
    }

    /// Everybody learns what to do at the next barrier, and the barrier is sent.
    fn switch(&mut self) -> Result<()> {
        let Some((grown, splits)) = self.rescales.built.take() else { return Ok(()) };
        let epoch = self.machine.next();
        let (joining, leaving) = (grown.joining.clone(), grown.leaving.clone());
        let (tables, waiting) = self.worker.rewire(grown, epoch, &splits)?;
        info!(epoch = epoch.0, parallelism = self.worker.parallelism(), "rescale");
        let is_source = |&member: &usize| self.worker.members()[member].source;
        let joining = joining.iter().map(is_source).collect();
        self.show();
        let actions = self.machine.change(Change { tables: tables.into(), joining, leaving });
        self.act_all(actions)?;
        self.rescale(Event::Switched { epoch, waiting })
    }
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
