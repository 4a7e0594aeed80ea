//! What a job finds when it goes on from a checkpoint.

use futures_util::future::BoxFuture;
use thalweg_dataflow::Result;
use thalweg_dataflow::source::{Assignment, Position};
use thalweg_runtime::Past;
use thalweg_state::{History, KeyGroups, Manifest, OperatorId, Restored, SplitPosition};

use super::failed;

/// The state of one checkpoint.
pub(crate) struct Inherited {
    history: History,
    manifest: Manifest,
}

impl Inherited {
    pub(crate) fn new(history: History, manifest: Manifest) -> Self {
        Self { history, manifest }
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
                Some(record) => self.history.restore(record, groups).await.map_err(failed),
                None => Ok(Restored::nothing()),
            }
        })
    }
}
