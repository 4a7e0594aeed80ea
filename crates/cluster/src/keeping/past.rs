//! What a job finds when it goes on from a checkpoint.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use thalweg_dataflow::source::{Assignment, Position};
use thalweg_dataflow::{Error, Result};
use thalweg_runtime::Past;
use thalweg_state::store::StoreError;
use thalweg_state::{History, Incarnation, KeyGroups, Manifest, OperatorId, Restored, SplitPosition};

use super::{failed, fenced};

/// The state of one checkpoint, as one life of the job goes on from it.
pub(crate) struct Inherited {
    history: History,
    incarnation: Incarnation,
    manifest: Manifest,
    /// Who has another fingerprint by now than the checkpoint says.
    converted: BTreeSet<OperatorId>,
}

impl Inherited {
    pub(crate) fn new(
        history: History,
        incarnation: Incarnation,
        manifest: Manifest,
        converted: BTreeSet<OperatorId>,
    ) -> Self {
        Self { history, incarnation, manifest, converted }
    }

    /// What is missed may have been cleared away by a later life, while this one slept.
    async fn why(&self, error: StoreError) -> Error {
        let newest = match &error {
            StoreError::Damaged { .. } => self.history.incarnations().await.ok(),
            _ => None,
        };
        match newest.and_then(|known| known.last().copied()).filter(|&newest| newest > self.incarnation) {
            Some(newer) => fenced(newer),
            None => failed(error),
        }
    }
}

/// Where a split goes on, as its source reads it.
fn position_of(position: &SplitPosition) -> Assignment {
    let SplitPosition { split, position } = position;
    Assignment { split: split.clone(), position: position.as_ref().map(|bytes| Position(bytes.to_vec())) }
}

impl Past for Inherited {
    fn splits(&self, source: &OperatorId) -> Option<Vec<Assignment>> {
        let record = self.manifest.operators.get(source)?;
        Some(record.splits.iter().map(position_of).collect())
    }

    fn restore<'a>(
        &'a self,
        operator: &'a OperatorId,
        groups: &'a KeyGroups,
    ) -> BoxFuture<'a, Result<Restored>> {
        Box::pin(async move {
            match self.manifest.operators.get(operator) {
                Some(record) => match self.history.restore(record, groups).await {
                    Ok(restored) if self.converted.contains(operator) => Ok(restored.of_another()),
                    Ok(restored) => Ok(restored),
                    Err(error) => Err(self.why(error).await),
                },
                None => Ok(Restored::nothing()),
            }
        })
    }
}
