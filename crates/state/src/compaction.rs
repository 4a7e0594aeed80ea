//! Fewer objects for the same rows: which are rewritten, and how.
//!
//! The objects of a table lie in layers, one per epoch, oldest first. When there
//! are too many, or when newer rows have replaced about all of the oldest, a run
//! of layers up to the newest is rewritten as one: as many as are no larger than
//! half of all that is newer. So layers grow towards the oldest, each row is rewritten
//! a few times in its life, and the base is not rewritten for a small change. Rows
//! that are added to others are as many afterwards as before: only their layers count.

mod rewrite;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use rewrite::rewrite;

use crate::manifest::{Manifest, ObjectEntry, TableRecord};
use crate::{Change, Epoch, OperatorId};

/// A table with more layers is compacted. With one key in a hundred changing each epoch,
/// a row is then rewritten about twice in its life, and a table is 1.5 times its rows.
pub(crate) const LAYERS_MAX: usize = 20;
/// About so many bytes of inputs are decoded at a time.
const SLICE_BYTES: u64 = 32 << 20;
/// Increments that outweigh their base do not matter below this.
const OUTWEIGHING_BYTES_MIN: u64 = 1 << 20;

/// Some adjacent objects of a table that are to be rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// The operator.
    pub operator: OperatorId,
    /// The table's name.
    pub table: String,
    /// The newest complete epoch when this was decided.
    pub epoch: Epoch,
    /// The table as far as it is rewritten: only the objects to be replaced.
    pub(crate) inputs: TableRecord,
    /// About so many bytes of the inputs are decoded at a time.
    pub(crate) slice_bytes: u64,
}

impl Compaction {
    /// The bytes that are read.
    pub fn bytes(&self) -> u64 {
        self.inputs.objects.iter().map(|object| object.bytes).sum()
    }

    /// The number of objects that are read.
    pub fn objects(&self) -> usize {
        self.inputs.objects.len()
    }

    pub(crate) fn newest_input(&self) -> Epoch {
        self.inputs.objects.last().map_or(self.epoch, |object| object.epoch)
    }
}

impl Manifest {
    /// The compactions that are due.
    pub fn compactions(&self) -> Vec<Compaction> {
        let tables =
            self.operators.iter().flat_map(|(id, o)| o.tables.iter().map(move |(name, t)| (id, name, t)));
        tables
            .filter_map(|(operator, name, table)| {
                let first = first_input(table)?;
                let objects = table.objects[first..].to_vec();
                Some(Compaction {
                    operator: operator.clone(),
                    table: name.clone(),
                    epoch: self.epoch,
                    inputs: TableRecord { objects, ..table.clone() },
                    slice_bytes: SLICE_BYTES,
                })
            })
            .collect()
    }
}

/// From which object on a table is rewritten, if it is.
fn first_input(table: &TableRecord) -> Option<usize> {
    let replaces = match table.change {
        // The next epoch replaces it anyway.
        Change::Full => return None,
        Change::Upsert { .. } => true,
        Change::Merge => false,
    };
    let layers: Vec<&[ObjectEntry]> = table.objects.chunk_by(|a, b| a.epoch == b.epoch).collect();
    let sizes: Vec<u64> = layers.iter().map(|layer| layer.iter().map(|o| o.bytes).sum()).collect();
    let newer = |layer: usize| sizes[layer + 1..].iter().sum::<u64>();
    if layers.len() < 2 {
        return None;
    }
    let outweighed = replaces && newer(0) >= sizes[0].max(OUTWEIGHING_BYTES_MIN);
    if outweighed {
        return Some(0);
    }
    if layers.len() <= LAYERS_MAX {
        return None;
    }
    // The oldest layer that is outweighed twice; at least two layers, so that it helps.
    let outweighed_twice = |&layer: &usize| 2 * sizes[layer] <= newer(layer);
    let layer = (0..layers.len() - 1).find(outweighed_twice).unwrap_or(layers.len() - 2);
    Some(layers[..layer].iter().map(|layer| layer.len()).sum())
}

/// A compaction that is done: what replaces its inputs.
#[derive(Debug)]
pub struct Compacted {
    compaction: Compaction,
    outputs: Vec<ObjectEntry>,
    /// Keeps the outputs from being collected.
    _lease: Lease,
}

impl Compacted {
    pub(crate) fn new(compaction: Compaction, outputs: Vec<ObjectEntry>, lease: Lease) -> Self {
        Self { compaction, outputs, _lease: lease }
    }

    /// What was done.
    pub fn compaction(&self) -> &Compaction {
        &self.compaction
    }

    /// The bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.outputs.iter().map(|object| object.bytes).sum()
    }

    /// Puts the outputs in the place of the inputs, if these are there as they were.
    pub(crate) fn replace_in(&self, table: &mut TableRecord) {
        let inputs = &self.compaction.inputs.objects;
        if let Some(first) = table.objects.windows(inputs.len()).position(|run| run == inputs) {
            table.objects.splice(first..first + inputs.len(), self.outputs.iter().cloned());
        }
    }
}

/// Objects that no manifest names yet and that are not garbage.
#[derive(Debug, Default)]
pub(crate) struct Awaited(Mutex<Names>);

#[derive(Debug, Default)]
pub(crate) struct Names {
    names: BTreeSet<String>,
    leases: u64,
}

impl Awaited {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Names> {
        // Every change is one call on the set.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

/// Names that are awaited as long as this lives.
#[derive(Debug)]
pub(crate) struct Lease {
    awaited: Arc<Awaited>,
    /// Unlike that of every other lease of this process.
    pub(crate) number: u64,
    own: Vec<String>,
}

impl Lease {
    pub(crate) fn new(awaited: &Arc<Awaited>) -> Self {
        let mut names = awaited.lock();
        names.leases += 1;
        Self { awaited: Arc::clone(awaited), number: names.leases, own: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &str) {
        self.awaited.lock().names.insert(name.to_owned());
        self.own.push(name.to_owned());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut awaited = self.awaited.lock();
        self.own.iter().for_each(|name| {
            awaited.names.remove(name);
        });
    }
}

#[cfg(test)]
mod tests;
