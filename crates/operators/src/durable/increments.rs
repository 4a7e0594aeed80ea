//! What epochs hold that are not yet settled.
//!
//! A snapshot of windows is what came since the last one. Until its epoch is
//! settled it is remembered here: after an abort it is part of the next.

use arrow::array::RecordBatch;
use thalweg_dataflow::operator::Age;
use thalweg_state::{Epoch, FrozenTable, KeyGroups};

/// What one epoch added.
struct Increment {
    tables: Vec<FrozenTable>,
    /// Key groups that left since: theirs is in it, but no longer ours to write.
    gone: KeyGroups,
}

/// The increments of unsettled and aborted epochs.
#[derive(Default)]
pub(crate) struct Increments {
    unsettled: Vec<(Epoch, Increment)>,
    aborted: Vec<Increment>,
    /// The epoch that was settled last, and whether it is complete.
    settled: Option<(Epoch, bool)>,
}

impl Increment {
    /// What of a table is still ours to write.
    fn batches_of(&self, name: &str) -> Vec<RecordBatch> {
        let own = self.tables.iter().filter(|table| table.name == name);
        if self.gone.is_empty() {
            return own.flat_map(|table| table.batches.clone()).collect();
        }
        let staying = KeyGroups::range(0, u16::MAX).without(&self.gone);
        own.flat_map(|table| table.select(&staying).batches).filter(|batch| batch.num_rows() > 0).collect()
    }
}

impl Increments {
    /// What an epoch adds: these tables, and what aborted ones had added.
    pub(crate) fn add(&mut self, epoch: Epoch, mut added: Vec<FrozenTable>) -> Vec<FrozenTable> {
        for table in &mut added {
            let mut batches: Vec<_> =
                self.aborted.iter().flat_map(|aborted| aborted.batches_of(&table.name)).collect();
            batches.append(&mut table.batches);
            table.batches = batches;
        }
        self.aborted.clear();
        self.unsettled.push((epoch, Increment { tables: added.clone(), gone: KeyGroups::default() }));
        added
    }

    /// What came from another owner, whose snapshot these tables were.
    pub(crate) fn put(&mut self, age: Age, tables: Vec<FrozenTable>) {
        let increment = Increment { tables, gone: KeyGroups::default() };
        match (age, self.settled) {
            (Age::Durable, _) => {}
            (Age::Unsettled(epoch), Some((settled, true))) if settled == epoch => {}
            (Age::Unsettled(epoch), Some((settled, false))) if settled == epoch => {
                self.aborted.push(increment);
            }
            (Age::Unsettled(epoch), _) => self.unsettled.push((epoch, increment)),
        }
    }

    /// These key groups are another's to write.
    pub(crate) fn forget(&mut self, groups: &KeyGroups) {
        let unsettled = self.unsettled.iter_mut().map(|(_, increment)| increment);
        unsettled.chain(&mut self.aborted).for_each(|i| i.gone = i.gone.union(groups));
    }

    /// Learns how an epoch was settled.
    pub(crate) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.settled = Some((epoch, complete));
        let settled = self.unsettled.extract_if(.., |(unsettled, _)| *unsettled == epoch);
        let increments = settled.map(|(_, increment)| increment);
        if complete {
            increments.for_each(drop);
        } else {
            self.aborted.extend(increments);
        }
    }
}
