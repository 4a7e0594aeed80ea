//! A job's epochs in a store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use thalweg_dataflow::{Code, Error, NodeId, Result};
use thalweg_state::store::{Hold, StoreError};
use thalweg_state::{
    Compacted, Epoch, FrozenTable, Head, History, Incarnation, Manifest, OperatorId, OperatorPart, Part,
    Settlement, SplitPosition,
};
use thalweg_world::Clock;
use tracing::{debug, warn};

use super::{EpochStore, Proposal, SubtaskPart, Verdict, Written};

/// How often a part is tried to be written before its epoch is given up, and the pauses in between.
const WRITE_ATTEMPTS_MAX: u32 = 4;
const WRITE_PAUSE: Duration = Duration::from_millis(500);

/// Keeps one life of a job in its history.
pub(crate) struct Kept {
    history: History,
    clock: Arc<dyn Clock>,
    life: Life,
    retain: usize,
    state: Mutex<State>,
    /// Held by whoever deletes, or must not have the newest epoch deleted.
    collecting: tokio::sync::Mutex<()>,
    /// Keeps other processes away, where the store can, as long as this life lasts.
    hold: Hold,
}

/// What all manifests of one life have in common.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) incarnation: Incarnation,
    pub(crate) writer: String,
    pub(crate) key_groups: u16,
    pub(crate) script: String,
}

#[derive(Default)]
struct State {
    /// The newest complete epoch, as far as this life goes on with it.
    newest: Option<Manifest>,
    /// Rewritten tables that the next manifest takes up.
    compacted: Vec<Compacted>,
    /// Those that the newest manifest has taken up. They are kept until a collection begins that reads it.
    taken_up: Vec<Compacted>,
    /// Whether tables may be rewritten and objects deleted.
    held: bool,
}

impl Kept {
    pub(crate) fn new(
        history: History,
        clock: Arc<dyn Clock>,
        life: Life,
        retain: usize,
        newest: Option<Manifest>,
        hold: Hold,
    ) -> Self {
        let state = Mutex::new(State { newest, ..State::default() });
        Self { history, clock, life, retain, state, collecting: tokio::sync::Mutex::new(()), hold }
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The newest complete epoch.
    pub(crate) fn newest(&self) -> Option<Manifest> {
        self.state().newest.clone()
    }

    /// Whether checkpoints must stay as they are for now: somebody reads them.
    pub(crate) fn hold(&self, held: bool) {
        self.state().held = held;
    }

    /// Each change is one assignment, so a panic leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store excludes nobody, so that a later life can begin while this one goes on.
    pub(crate) fn is_leased(&self) -> bool {
        matches!(self.hold, Hold::Lease)
    }

    /// Makes sure, as far as the store answers, that no later life has begun.
    pub(crate) async fn renew(&self) -> Result<()> {
        let newest = self.history.incarnations().await.map_err(failed)?.into_iter().max();
        match newest.filter(|&newest| newest > self.life.incarnation) {
            Some(newer) => Err(fenced(newer)),
            None => Ok(()),
        }
    }

    async fn write_part(&self, epoch: Epoch, part: &SubtaskPart) -> Result<Written, StoreError> {
        let mut written = Vec::with_capacity(part.operators.len());
        for described in &part.operators {
            let place = Part {
                operator: described.id.clone(),
                epoch,
                incarnation: self.life.incarnation,
                subtask: part.subtask,
                attempt: 0,
            };
            let snapshots = part.answer.snapshots.iter().filter(|(id, _)| *id == described.id);
            let mut tables = Vec::new();
            for table in snapshots.flat_map(|(_, snapshot)| &snapshot.tables) {
                tables.push(self.write_table(&place, table).await?);
            }
            let operator = OperatorPart {
                kind: described.kind.clone(),
                fingerprint: described.fingerprint.clone(),
                label: described.label.clone(),
                tables,
                splits: splits(part, &described.id),
                committables: committables(part, described.node),
            };
            written.push((described.id.clone(), operator));
        }
        Ok(written)
    }

    /// The same object under the same name, however often: a lost answer does no harm.
    async fn write_table(
        &self,
        place: &Part,
        table: &FrozenTable,
    ) -> Result<thalweg_state::TablePart, StoreError> {
        for attempt in 1..WRITE_ATTEMPTS_MAX {
            match self.history.write_table(place, table).await {
                Err(error) if error.may_pass() => {
                    debug!(%error, attempt, "table not written yet");
                    self.clock.sleep(WRITE_PAUSE * attempt).await;
                }
                decided => return decided,
            }
        }
        self.history.write_table(place, table).await
    }

    fn settlement(&self, epoch: Epoch, proposal: &Proposal) -> Settlement {
        let Life { incarnation, writer, key_groups, script } = self.life.clone();
        let Some(parts) = &proposal.parts else {
            return Settlement::Aborted { incarnation, writer };
        };
        let head = Head {
            job: self.history.job().clone(),
            epoch,
            incarnation,
            writer,
            created_ms: u64::try_from(self.clock.wall_nanos() / 1_000_000).unwrap_or(0),
            key_groups,
            parallelism: proposal.parallelism,
            finished: proposal.finished,
            script,
        };
        let state = self.state();
        let parts = parts.iter().flatten().cloned();
        Settlement::Complete(Manifest::next(state.newest.as_ref(), head, parts, &state.compacted))
    }

    async fn settle_epoch(&self, epoch: Epoch, proposal: &Proposal) -> Result<Verdict> {
        let settlement = self.settlement(epoch, proposal);
        match self.history.settle(epoch, &settlement).await.map_err(failed)? {
            Settlement::Complete(manifest) if manifest.writer == self.life.writer => {
                let mut state = self.state();
                state.newest = Some(manifest);
                let compacted = std::mem::take(&mut state.compacted);
                state.taken_up.extend(compacted);
                Ok(Verdict::Complete)
            }
            // An earlier life that slept since its claim may have settled the epoch; it ends when it has.
            Settlement::Aborted { incarnation, .. } if incarnation <= self.life.incarnation => {
                Ok(Verdict::Aborted)
            }
            Settlement::Complete(Manifest { incarnation, .. }) | Settlement::Aborted { incarnation, .. } => {
                Err(fenced(incarnation))
            }
        }
    }

    async fn tidy_up(&self) -> Result<()> {
        let (newest, held) = {
            let state = self.state();
            (state.newest.clone(), state.held)
        };
        let Some(newest) = newest.filter(|_| !held) else { return Ok(()) };
        let incarnation = self.life.incarnation;
        self.renew().await?;
        let collecting = self.collecting.lock().await;
        // The collection reads the manifests that name their objects.
        self.state().taken_up.clear();
        let collected = self.history.collect(incarnation, self.retain).await.map_err(failed)?;
        drop(collecting);
        if let Some(error) = collected.error {
            warn!(%error, failed = collected.failed, "objects are left that no checkpoint needs");
        }
        for compaction in newest.compactions() {
            let compacted = self.history.compact(&compaction, incarnation).await.map_err(failed)?;
            debug!(operator = %compaction.operator, table = compaction.table, "table compacted");
            self.state().compacted.push(compacted);
        }
        Ok(())
    }
}

impl EpochStore for Kept {
    fn write<'a>(&'a self, epoch: Epoch, part: &'a SubtaskPart) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move { self.write_part(epoch, part).await.map_err(failed) })
    }

    fn settle<'a>(&'a self, epoch: Epoch, proposal: &'a Proposal) -> BoxFuture<'a, Result<Verdict>> {
        Box::pin(self.settle_epoch(epoch, proposal))
    }

    fn keep<'a>(&'a self, label: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let nothing = || Error::new(Code::CheckpointNotFound, "there is no complete epoch to keep");
            // Nothing is collected while a checkpoint is on its way to being a savepoint.
            let _uncollected = self.collecting.lock().await;
            let newest = self.newest().ok_or_else(nothing)?;
            self.history.savepoint(label, &newest).await.map_err(failed)
        })
    }

    fn tidy(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.tidy_up())
    }
}

fn splits(part: &SubtaskPart, operator: &OperatorId) -> Vec<SplitPosition> {
    // Only the head of a chain reads splits.
    if part.operators.first().is_none_or(|head| head.id != *operator) {
        return Vec::new();
    }
    let position = |a: &thalweg_dataflow::source::Assignment| SplitPosition {
        split: a.split.clone(),
        position: a.position.as_ref().map(|position| Bytes::from(position.0.clone())),
    };
    part.answer.positions.iter().map(position).collect()
}

fn committables(part: &SubtaskPart, node: NodeId) -> Vec<Bytes> {
    let own = part.answer.committables.iter().filter(|(sink, _)| *sink == node);
    own.map(|(_, committable)| Bytes::from(committable.0.clone())).collect()
}

/// Puts committables of aborted epochs before those of this one.
pub(crate) fn carry(parts: &mut [Written], carried: &BTreeMap<OperatorId, Vec<Bytes>>) {
    for (operator, committables) in carried {
        let first = parts.iter_mut().flatten().find(|(id, _)| id == operator);
        if let Some((_, part)) = first {
            part.committables.splice(0..0, committables.iter().cloned());
        }
    }
}

pub(crate) fn fenced(newer: Incarnation) -> Error {
    Error::new(Code::Fenced, format!("incarnation {} of this job runs elsewhere", newer.0))
        .with_help("this process has stopped; what it had not yet in a checkpoint is read again by the other")
}

/// What a user reads when a store fails.
pub fn failed(error: StoreError) -> Error {
    let code = match &error {
        StoreError::Unavailable { .. } | StoreError::Full { .. } | StoreError::Denied { .. } => {
            Code::StoreFailed
        }
        StoreError::Held { .. } => Code::JobInUse,
        StoreError::Unfit { .. } | StoreError::Location { .. } | StoreError::Name { .. } => Code::StoreUnfit,
        StoreError::Damaged { .. } => Code::CheckpointDamaged,
        StoreError::Foreign { .. } => Code::CheckpointForeign,
        StoreError::Superseded { .. } => Code::Fenced,
        StoreError::Unstorable { .. } => Code::OperatorFailed,
    };
    Error::new(code, error.to_string())
}
