//! Which keys changed since the last complete epoch, for tables in which a row replaces the one before it.
//!
//! What an unsettled epoch wrote is written by the next one too: rows replace
//! rows, so writing one twice is harmless, and no order of settlements loses it.

use std::collections::BTreeSet;

use thalweg_dataflow::operator::Age;
use thalweg_state::Epoch;

/// Keys whose rows no complete epoch holds as they are now.
pub(crate) struct Unwritten<K> {
    changed: BTreeSet<K>,
    unsettled: Vec<(Epoch, Vec<K>)>,
    /// The epoch that was settled last, and whether it is complete.
    settled: Option<(Epoch, bool)>,
}

impl<K> Default for Unwritten<K> {
    fn default() -> Self {
        Self { changed: BTreeSet::new(), unsettled: Vec::new(), settled: None }
    }
}

impl<K: Ord + Clone> Unwritten<K> {
    /// The key's row changed.
    pub(crate) fn mark(&mut self, key: K) {
        self.changed.insert(key);
    }

    /// The keys that an epoch writes, in order.
    pub(crate) fn freeze(&mut self, epoch: Epoch) -> Vec<K> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.extend(self.unsettled.iter().flat_map(|(_, keys)| keys.iter().cloned()));
        let keys: Vec<K> = changed.into_iter().collect();
        self.unsettled.push((epoch, keys.clone()));
        keys
    }

    /// Learns how an epoch was settled: after an abort its keys are changed again.
    pub(crate) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.settled = Some((epoch, complete));
        if complete {
            self.unsettled.retain(|(unsettled, _)| *unsettled > epoch);
            return;
        }
        let aborted = self.unsettled.extract_if(.., |(unsettled, _)| *unsettled == epoch);
        self.changed.extend(aborted.flat_map(|(_, keys)| keys));
    }

    /// Rows of another owner came, of this age.
    pub(crate) fn put(&mut self, age: Age, keys: impl IntoIterator<Item = K>) {
        match (age, self.settled) {
            (Age::Durable, _) => {}
            (Age::Unsettled(epoch), Some((settled, true))) if settled == epoch => {}
            (Age::Unsettled(epoch), Some((settled, false))) if settled == epoch => self.changed.extend(keys),
            (Age::Unsettled(epoch), _) => self.unsettled.push((epoch, keys.into_iter().collect())),
        }
    }

    /// All keys that are to be written, or may have to be written again.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &K> {
        self.changed.iter().chain(self.unsettled.iter().flat_map(|(_, keys)| keys))
    }

    /// Forgets all keys but these.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.changed.retain(&keep);
        self.unsettled.iter_mut().for_each(|(_, keys)| keys.retain(&keep));
    }
}
