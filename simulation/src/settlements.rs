//! What the store saw of epochs: each is settled once, in order, and the newest is never taken back.

use thalweg_testkit::faulty_store::Deed;

/// The settlements of one job, as objects.
#[derive(Debug, Default)]
pub(crate) struct Settlements {
    /// Epochs whose objects are there.
    present: Vec<u64>,
    newest: u64,
    violations: Vec<String>,
}

impl Settlements {
    /// Takes a change of the store.
    pub(crate) fn see(&mut self, deed: &Deed<'_>) {
        match deed {
            Deed::Created(name, _) => {
                if let Some(epoch) = epoch_of(name) {
                    // One who slept may settle an epoch again that was collected; it is told and takes it back.
                    if epoch > self.newest && epoch != self.newest + 1 && self.newest > 0 {
                        self.violations
                            .push(format!("epoch {epoch} is settled behind epoch {}", self.newest));
                    }
                    self.newest = self.newest.max(epoch);
                    self.present.push(epoch);
                }
            }
            Deed::Deleted(name) => {
                if let Some(epoch) = epoch_of(name) {
                    if epoch == self.newest {
                        self.violations.push(format!("epoch {epoch} was settled, and that is taken back"));
                    }
                    self.present.retain(|present| *present != epoch);
                }
            }
        }
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }
}

fn epoch_of(name: &str) -> Option<u64> {
    name.split_once("/epochs/")?.1.parse().ok()
}
