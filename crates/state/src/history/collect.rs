//! Garbage: what no checkpoint that is kept names, and none ever will.
//!
//! Kept are the newest complete epochs, everything settled since the oldest of
//! them, and all savepoints. An object of a table is garbage if none of these
//! names it and its name says that it was written for an epoch that is settled,
//! by this incarnation or an earlier one: parts of a running epoch are named for
//! a later epoch, and those of a later life belong to it. A compaction writes
//! for an epoch that is settled; its objects are awaited until it is dropped,
//! and those of an earlier life are over when this one has settled an epoch: so
//! only he collects who settled the newest one.
//!
//! What only old manifests name is deleted after these manifests, so that no
//! manifest ever lacks an object.

use std::collections::BTreeSet;

use crate::history::{History, names};
use crate::manifest::Settlement;
use crate::store::{Listed, StoreError};
use crate::{Epoch, Incarnation};

/// So many incarnations are remembered.
const INCARNATIONS_KEPT: usize = 16;

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects that are gone.
    pub deleted: usize,
    /// Objects that the store did not delete; the next collection tries again.
    pub failed: usize,
    /// Why, for the first of them.
    pub error: Option<StoreError>,
}

impl History {
    /// Deletes what neither the newest `retain` checkpoints nor a savepoint need, as far as
    /// incarnation `own` may: nothing before it has settled an epoch itself, or after another has.
    /// At least one checkpoint is kept.
    ///
    /// The caller does not write a savepoint meanwhile.
    ///
    /// # Errors
    /// If it cannot be known what is needed; nothing is deleted then.
    pub async fn collect(&self, own: Incarnation, retain: usize) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        let epochs = self.epochs().await?;
        if !self.settled_by(own, epochs.last()).await? {
            return Ok(collected);
        }
        let kept = self.newest(retain.max(1)).await?;
        let (Some(&settled), Some(newest), Some(oldest)) = (epochs.last(), kept.first(), kept.last()) else {
            return Ok(collected);
        };
        let mut needed: BTreeSet<String> = BTreeSet::new();
        needed.extend(kept.iter().flat_map(|m| m.objects()).map(|object| object.name.clone()));
        for label in self.savepoints().await? {
            let savepoint = self.savepoint_at(&label).await?;
            needed.extend(savepoint.iter().flat_map(|m| m.objects()).map(|object| object.name.clone()));
        }
        let listed = self.store.list(&self.place("state")).await?;
        let incarnations = self.incarnations().await?;

        let old = epochs.iter().filter(|&&epoch| kept.len() >= retain && epoch < oldest.epoch);
        self.delete_all(old.map(|&epoch| names::epoch(epoch)), &mut collected).await;
        let witnesses = self.numbers("complete").await?.into_iter().map(Epoch);
        let witnesses = witnesses.filter(|&epoch| epoch < newest.epoch);
        self.delete_all(witnesses.map(names::complete), &mut collected).await;
        let forgotten = &incarnations[..incarnations.len().saturating_sub(INCARNATIONS_KEPT)];
        let forgotten = forgotten.iter().filter(|&&incarnation| incarnation < own);
        self.delete_all(forgotten.map(|&incarnation| names::incarnation(incarnation)), &mut collected).await;
        if collected.failed == 0 {
            let garbage = self.garbage(&listed, &needed, (settled, own));
            self.delete_all(garbage.into_iter(), &mut collected).await;
        }
        Ok(collected)
    }

    async fn settled_by(&self, own: Incarnation, newest: Option<&Epoch>) -> Result<bool, StoreError> {
        let Some(&newest) = newest else { return Ok(false) };
        Ok(match self.settled(newest).await? {
            Some(Settlement::Complete(manifest)) => manifest.incarnation == own,
            Some(Settlement::Aborted { incarnation, .. }) => incarnation == own,
            None => false,
        })
    }

    fn garbage(
        &self,
        listed: &[Listed],
        needed: &BTreeSet<String>,
        newest: (Epoch, Incarnation),
    ) -> Vec<String> {
        let below = self.place("");
        let awaited = self.awaited.lock();
        let names = listed.iter().filter_map(|object| object.name.strip_prefix(&below));
        names
            .filter(|&name| !needed.contains(name) && !awaited.contains(name))
            .filter(|name| is_over(name, newest))
            .map(str::to_owned)
            .collect()
    }

    async fn delete_all(&self, names: impl Iterator<Item = String>, collected: &mut Collected) {
        for name in names {
            match self.store.delete(&self.place(&name)).await {
                Ok(()) => collected.deleted += 1,
                Err(error) => {
                    collected.failed += 1;
                    collected.error.get_or_insert(error);
                }
            }
        }
    }
}

/// Whether no manifest to come can name the object, unless one that is there does.
fn is_over(name: &str, (settled, own): (Epoch, Incarnation)) -> bool {
    names::origin(name).is_some_and(|(epoch, incarnation)| epoch <= settled && incarnation <= own)
}
