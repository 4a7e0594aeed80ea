//! What epochs hold that are not yet settled.
//!
//! A snapshot of windows is what came since the last one. Until its epoch is
//! settled it is remembered here: after an abort it is part of the next.

use thalweg_state::{Epoch, FrozenTable};

/// The increments of unsettled and aborted epochs.
#[derive(Default)]
pub(crate) struct Increments {
    unsettled: Vec<(Epoch, Vec<FrozenTable>)>,
    aborted: Vec<FrozenTable>,
}

impl Increments {
    /// What an epoch adds: these tables, and what aborted ones had added.
    pub(crate) fn add(&mut self, epoch: Epoch, mut added: Vec<FrozenTable>) -> Vec<FrozenTable> {
        for table in &mut added {
            let of_table = |aborted: &FrozenTable| aborted.name == table.name;
            let earlier = self.aborted.iter().filter(|aborted| of_table(aborted));
            let mut batches: Vec<_> = earlier.flat_map(|aborted| aborted.batches.clone()).collect();
            batches.append(&mut table.batches);
            table.batches = batches;
        }
        self.aborted.clear();
        self.unsettled.push((epoch, added.clone()));
        added
    }

    /// Learns how an epoch was settled.
    pub(crate) fn settle(&mut self, epoch: Epoch, complete: bool) {
        let settled = self.unsettled.extract_if(.., |(unsettled, _)| *unsettled == epoch);
        let tables = settled.flat_map(|(_, tables)| tables);
        if complete {
            tables.for_each(drop);
        } else {
            self.aborted.extend(tables);
        }
    }
}
