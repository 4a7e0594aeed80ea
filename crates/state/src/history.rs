//! What happened to one job: the objects of its folder, and who may add to them.
//!
//! ```text
//! NAME/incarnations/0000000003   who lives: { writer, parallelism, started_ms }
//! NAME/epochs/0000000042         how an epoch ended: the manifest, or that it was aborted
//! NAME/complete/0000000042       empty: that there was a manifest, should somebody remove it
//! NAME/savepoints/LABEL          a manifest that is kept
//! NAME/state/OPERATOR/TABLE/EPOCH-INCARNATION-SUBTASK-ATTEMPT.N.parquet
//! ```
//!
//! Everything is created once and never changes. Each method is one attempt:
//! after an error it is not known what the store did, and the caller repeats.

mod collect;
mod names;
mod restore;
mod tables;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use collect::Collected;
pub(crate) use restore::expired_rows;
pub use tables::Part;

use crate::compaction::Awaited;
use crate::manifest::{FORMAT, Kind, Manifest, Settlement, open, seal};
use crate::store::{Creation, Hold, Store, StoreError};
use crate::{Epoch, Incarnation, JobId, planted};

/// The objects of one job. Clones share what they know of running compactions.
#[derive(Clone, Debug)]
pub struct History {
    store: Arc<dyn Store>,
    job: JobId,
    folder: String,
    /// Objects that no manifest names yet and that are not garbage.
    awaited: Arc<Awaited>,
}

/// Who lives, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// A name unlike that of any other process that ever was.
    pub writer: String,
    /// With how many subtasks.
    pub parallelism: u32,
    /// Since when, in milliseconds since 1970.
    pub started_ms: u64,
}

/// Whose an incarnation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Ours, and there was none later.
    Ours,
    /// Another's, or there is a later one already.
    Taken,
}

/// What stands in the store: whose it is, and what.
#[derive(Serialize, Deserialize)]
struct Owned<T> {
    job: JobId,
    number: u64,
    value: T,
}

impl History {
    /// The history of a job, whether it has any or not.
    pub fn new(store: Arc<dyn Store>, job: JobId) -> Self {
        let folder = names::escape(job.as_str());
        Self { store, job, folder, awaited: Arc::default() }
    }

    /// The jobs that have a folder in a store, by name.
    pub async fn jobs(store: &dyn Store) -> Result<Vec<JobId>, StoreError> {
        let listed = store.list("").await?;
        let folders: BTreeSet<&str> = listed
            .iter()
            .filter_map(|object| object.name.split_once('/'))
            .filter(|(_, rest)| rest.starts_with("incarnations/") || rest.starts_with("epochs/"))
            .map(|(folder, _)| folder)
            .collect();
        Ok(folders.into_iter().filter_map(names::unescape).map(JobId::new).collect())
    }

    /// The job.
    pub fn job(&self) -> &JobId {
        &self.job
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Keeps other processes of this machine away from the job, where the store can.
    pub async fn hold(&self) -> Result<Hold, StoreError> {
        self.store.hold(&self.folder).await
    }

    /// The incarnations, first to last; the oldest may have been collected.
    pub async fn incarnations(&self) -> Result<Vec<Incarnation>, StoreError> {
        Ok(self.numbers("incarnations").await?.into_iter().map(Incarnation).collect())
    }

    /// Begins a life of the job, unless somebody else did.
    pub async fn claim(&self, incarnation: Incarnation, claim: &Claim) -> Result<Claimed, StoreError> {
        let name = names::incarnation(incarnation);
        self.create_owned(Kind::Claim, &name, incarnation.0, claim).await?;
        let there = self.expect_claim(&name, incarnation).await?;
        // A number that was collected could be claimed again by one who slept.
        let later = self.incarnations().await?.last().is_some_and(|&newest| newest > incarnation);
        Ok(if there.writer == claim.writer && !later { Claimed::Ours } else { Claimed::Taken })
    }

    /// Who claimed an incarnation, if anybody did.
    pub async fn claim_of(&self, incarnation: Incarnation) -> Result<Option<Claim>, StoreError> {
        self.read_owned(Kind::Claim, &names::incarnation(incarnation), incarnation.0).await
    }

    /// Settles an epoch unless it is settled, and answers how it is settled now and for ever.
    /// Epochs are settled one after the other: no number is left out.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if a later epoch is settled already: the job has gone on without
    /// the caller. [`StoreError::Damaged`] and [`StoreError::Foreign`] if what lies there cannot be
    /// used. Anything else: it is not known; repeat.
    pub async fn settle(&self, epoch: Epoch, settlement: &Settlement) -> Result<Settlement, StoreError> {
        let name = names::epoch(epoch);
        if planted("manifest overwritten") {
            self.store.delete(&self.place(&name)).await?;
        }
        let created = match self.create_owned(Kind::Settlement, &name, epoch.0, settlement).await {
            Err(error) if error.may_pass() && planted("error taken as success") => {
                return Ok(settlement.clone());
            }
            created => created?,
        };
        if created == Creation::Exists && planted("already exists taken as mine") {
            return Ok(settlement.clone());
        }
        let there = self.settled(epoch).await?.ok_or_else(|| vanished(&name))?;
        if there == *settlement {
            self.check_newest(epoch).await?;
        }
        if matches!(there, Settlement::Complete(_)) {
            self.store.create(&self.place(&names::complete(epoch)), Bytes::new()).await?;
        }
        Ok(there)
    }

    /// What was settled and collected could be settled again by one who slept: it is not the newest then.
    async fn check_newest(&self, epoch: Epoch) -> Result<(), StoreError> {
        let newest = self.epochs().await?.last().copied().unwrap_or(epoch);
        if newest == epoch {
            return Ok(());
        }
        // It stays: a successor may have seen it before it went on, and a collection clears away what is old.
        Err(StoreError::Superseded {
            object: names::epoch(epoch),
            reason: format!("epoch {newest} is settled already"),
        })
    }

    /// How an epoch is settled, if it is. That it is not proves nothing: a lost request may still land.
    pub async fn settled(&self, epoch: Epoch) -> Result<Option<Settlement>, StoreError> {
        let name = names::epoch(epoch);
        let settlement = self.read_owned(Kind::Settlement, &name, epoch.0).await?;
        if let Some(Settlement::Complete(manifest)) = &settlement {
            self.check_manifest(&name, manifest)?;
            if manifest.epoch != epoch {
                return Err(StoreError::foreign(&name, format!("it holds epoch {}", manifest.epoch)));
            }
        }
        Ok(settlement)
    }

    /// The epochs that are settled, first to last; the oldest may have been collected.
    pub async fn epochs(&self) -> Result<Vec<Epoch>, StoreError> {
        Ok(self.numbers("epochs").await?.into_iter().map(Epoch).collect())
    }

    /// The newest checkpoint. One that is damaged or gone is an error: an older one never stands in for it.
    pub async fn newest_complete(&self) -> Result<Option<Manifest>, StoreError> {
        let mut witness = self.witness().await?;
        loop {
            // In this order: a job that runs may complete an epoch in between.
            let newest = self.newest(1).await?.pop();
            let is_missed = |&witness: &Epoch| newest.as_ref().is_none_or(|newest| newest.epoch < witness);
            let Some(missed) = witness.filter(is_missed) else { return Ok(newest) };
            // Or it has gone on, and cleared away what was newest a moment ago. Each turn here needs an epoch there.
            match self.witness().await? {
                Some(later) if later > missed => witness = Some(later),
                Some(_) | None => {
                    let reason = format!("it is not there, though epoch {missed} was complete");
                    return Err(StoreError::damaged(&names::epoch(missed), reason));
                }
            }
        }
    }

    /// The newest epoch that is said to have been complete.
    async fn witness(&self) -> Result<Option<Epoch>, StoreError> {
        Ok(self.numbers("complete").await?.pop().map(Epoch))
    }

    /// Up to `count` checkpoints, newest first.
    ///
    /// # Errors
    /// Also if an epoch later than the newest checkpoint is missing: it may have been one.
    pub async fn newest(&self, count: usize) -> Result<Vec<Manifest>, StoreError> {
        let mut found = Vec::new();
        let mut later: Option<Epoch> = None;
        for epoch in self.epochs().await?.into_iter().rev() {
            if found.len() == count {
                break;
            }
            if let Some(later) =
                later.replace(epoch).filter(|later| found.is_empty() && *later != epoch.next())
            {
                let reason = format!("it is not there, though epoch {later} is settled");
                return Err(StoreError::damaged(&names::epoch(Epoch(later.0 - 1)), reason));
            }
            if let Some(Settlement::Complete(manifest)) = self.settled(epoch).await? {
                found.push(manifest);
            }
        }
        Ok(found)
    }

    /// Keeps a checkpoint under a label until the label is deleted.
    ///
    /// Nothing may be collected between the moment when the checkpoint is the newest one and this.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the label is that of another checkpoint.
    pub async fn savepoint(&self, label: &str, manifest: &Manifest) -> Result<(), StoreError> {
        let name = names::savepoint(label);
        self.create_owned(Kind::Savepoint, &name, manifest.epoch.0, manifest).await?;
        match self.savepoint_at(label).await? {
            None => Err(vanished(&name)),
            Some(there) if there == *manifest => Ok(()),
            Some(there) => {
                let reason = format!("the label is that of a savepoint of epoch {}", there.epoch);
                Err(StoreError::foreign(&name, reason))
            }
        }
    }

    /// The checkpoint that is kept under a label.
    pub async fn savepoint_at(&self, label: &str) -> Result<Option<Manifest>, StoreError> {
        let name = names::savepoint(label);
        let Some(bytes) = self.store.read(&self.place(&name)).await? else { return Ok(None) };
        let owned: Owned<Manifest> = open(Kind::Savepoint, &name, &bytes)?;
        self.check_owner(&name, &owned)?;
        self.check_manifest(&name, &owned.value)?;
        Ok(Some(owned.value))
    }

    /// The labels of all savepoints.
    pub async fn savepoints(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.place("savepoints");
        let listed = self.store.list(&folder).await?;
        let labels = listed.iter().filter_map(|o| o.name.strip_prefix(&folder)?.strip_prefix('/'));
        Ok(labels.filter_map(names::unescape).collect())
    }

    /// Gives a savepoint up: what only it needs is garbage now.
    pub async fn delete_savepoint(&self, label: &str) -> Result<(), StoreError> {
        self.store.delete(&self.place(&names::savepoint(label))).await
    }

    /// Where an object of the job is in the store.
    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    async fn create_owned(
        &self,
        kind: Kind,
        name: &str,
        number: u64,
        value: &impl Serialize,
    ) -> Result<Creation, StoreError> {
        let body = seal(kind, name, &Owned { job: self.job.clone(), number, value })?;
        self.store.create(&self.place(name), body).await
    }

    async fn read_owned<T: DeserializeOwned>(
        &self,
        kind: Kind,
        name: &str,
        number: u64,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.store.read(&self.place(name)).await? else { return Ok(None) };
        let owned: Owned<T> = open(kind, name, &bytes)?;
        self.check_owner(name, &owned)?;
        if owned.number != number {
            return Err(StoreError::foreign(name, format!("it was written as number {}", owned.number)));
        }
        Ok(Some(owned.value))
    }

    async fn expect_claim(&self, name: &str, incarnation: Incarnation) -> Result<Claim, StoreError> {
        self.claim_of(incarnation).await?.ok_or_else(|| vanished(name))
    }

    fn check_owner<T>(&self, name: &str, owned: &Owned<T>) -> Result<(), StoreError> {
        if owned.job == self.job {
            return Ok(());
        }
        Err(StoreError::foreign(name, format!("it belongs to job '{}', not '{}'", owned.job, self.job)))
    }

    fn check_manifest(&self, name: &str, manifest: &Manifest) -> Result<(), StoreError> {
        if manifest.format != FORMAT {
            let reason =
                format!("it is of format {}, and this version reads format {FORMAT}", manifest.format);
            return Err(StoreError::foreign(name, reason));
        }
        if manifest.job != self.job {
            let reason = format!("it belongs to job '{}', not '{}'", manifest.job, self.job);
            return Err(StoreError::foreign(name, reason));
        }
        Ok(())
    }

    /// The numbers that name the objects of a folder, in order.
    async fn numbers(&self, folder: &str) -> Result<Vec<u64>, StoreError> {
        let folder = self.place(folder);
        let listed = self.store.list(&folder).await?;
        let names = listed.iter().filter_map(|object| object.name.strip_prefix(&folder)?.strip_prefix('/'));
        let mut numbers: Vec<u64> = names.filter_map(names::number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Creates an object that nobody else names, or finds it as an earlier attempt left it.
    async fn create_same(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let place = self.place(name);
        match self.store.create(&place, bytes.clone()).await? {
            Creation::Created => Ok(()),
            Creation::Exists if planted("shared object names") => Ok(()),
            Creation::Exists if self.store.read(&place).await? == Some(bytes) => Ok(()),
            Creation::Exists => Err(StoreError::foreign(name, "another writer took its name")),
        }
    }
}

fn vanished(name: &str) -> StoreError {
    StoreError::Unavailable { reason: format!("'{name}' was created and is not there") }
}

#[cfg(test)]
mod tests;
