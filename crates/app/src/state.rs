//! State by key: in memory a hash table, durable as rows of key and state.
//!
//! A key's state is made when the key is first seen and is never forgotten. The
//! durable form is one row per key that changed since the last complete epoch:
//! key and state each in a column of their own type, the form in which they
//! would cross to another subtask, so that any Parquet tool can read them and
//! no value needs a second encoding.

use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt16Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hashbrown::{DefaultHashBuilder, HashTable};
use thalweg_dataflow::{Error, Result};
use thalweg_state::{
    Epoch, FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, KeySpace, Restored, Snapshot,
    hash_keys,
};

use crate::columns::{Layout, Record};
use crate::plan::Lanes;
use crate::segment::Remembered;

/// What records are grouped by.
///
/// Keys that are equal must look equal to serde, and the other way round: by
/// that they find their subtask. A bare float is no key; [`Float`](crate::Float) is.
pub trait Key: Record + Hash + Eq {}

impl<K: Record + Hash + Eq> Key for K {}

/// A named state of an application: a value of `S` for each key of `K`, shared by all pipelines that use it.
///
/// Made by [`Application::state`](crate::Application::state).
pub struct State<K, S> {
    pub(crate) name: Arc<str>,
    pub(crate) node: usize,
    pub(crate) lanes: Rc<Lanes<KeyedStates<K, S>>>,
}

impl<K, S> Clone for State<K, S> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), node: self.node, lanes: Rc::clone(&self.lanes) }
    }
}

/// Makes the state of a key that is seen for the first time.
pub(crate) type Init<K, S> = Arc<dyn Fn(&K) -> S + Send + Sync>;

/// The durable table's name.
const TABLE: &str = "state";

struct Entry<K, S> {
    key: K,
    state: S,
    /// Whether it changed since it was last frozen.
    changed: bool,
}

/// The states of one subtask.
pub(crate) struct KeyedStates<K, S> {
    entries: Vec<Entry<K, S>>,
    /// Places in `entries`, by key.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    init: Init<K, S>,
    /// Entries that changed since they were last frozen.
    changed: Vec<u32>,
    /// What each unsettled epoch wrote, oldest first.
    unsettled: Vec<(Epoch, Vec<u32>)>,
    key_space: KeySpace,
    layout: (Layout<K>, Layout<S>),
}

impl<K: Key, S: Record> KeyedStates<K, S> {
    pub(crate) fn new(layout: (Layout<K>, Layout<S>), init: Init<K, S>) -> Self {
        Self {
            entries: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            init,
            changed: Vec::new(),
            unsettled: Vec::new(),
            key_space: KeySpace::default(),
            layout,
        }
    }

    /// The state of a key, made if it is new, which from now on counts as changed.
    #[inline]
    pub(crate) fn of(&mut self, key: K) -> (&K, &mut S) {
        let place = self.place(key);
        let entry = &mut self.entries[place];
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(place as u32);
        }
        (&entry.key, &mut entry.state)
    }

    #[inline]
    fn place(&mut self, key: K) -> usize {
        let Self { entries, index, hasher, init, .. } = self;
        let hash = hasher.hash_one(&key);
        if let Some(&place) = index.find(hash, |&place| entries[place as usize].key == key) {
            return place as usize;
        }
        let place = entries.len();
        assert!(place < u32::MAX as usize, "a subtask holds at most 4,294,967,295 keys");
        let state = init(&key);
        entries.push(Entry { key, state, changed: false });
        index.insert_unique(hash, place as u32, |&place| hasher.hash_one(&entries[place as usize].key));
        place
    }

    fn schema(&self) -> SchemaRef {
        let group = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        Arc::new(Schema::new(vec![group, self.layout.0.field("key"), self.layout.1.field("state")]))
    }

    /// These entries as a durable table.
    fn table(&self, places: &[u32]) -> Result<FrozenTable> {
        let (mut keys, mut states) = (self.layout.0.writer()?, self.layout.1.writer()?);
        for &place in places {
            let entry = &self.entries[place as usize];
            keys.push(&entry.key)?;
            states.push(&entry.state)?;
        }
        let (keys, states) = (keys.finish()?, states.finish()?);
        let groups: UInt16Array = self.groups(&keys)?.into_iter().map(|group| group.0).collect();
        let batch = RecordBatch::try_new(self.schema(), vec![Arc::new(groups), keys, states])
            .map_err(|e| Error::internal("states do not fit their table").because(e))?;
        let batches = if places.is_empty() { Vec::new() } else { vec![batch] };
        Ok(FrozenTable::upsert(TABLE, 1, batches))
    }

    fn groups(&self, keys: &ArrayRef) -> Result<Vec<KeyGroup>> {
        let mut hashes = Vec::new();
        hash_keys(std::slice::from_ref(keys), &mut hashes)
            .map_err(|e| Error::internal("a key has no hash").because(e))?;
        Ok(hashes.into_iter().map(|hash| self.key_space.group_of(hash)).collect())
    }

    /// Adds or replaces states; of several rows of one key the last holds.
    fn load(&mut self, batches: &[RecordBatch]) -> Result<()> {
        for batch in batches {
            let [_, keys, states] = batch.columns() else {
                return Err(Error::internal("a table of states has other columns"));
            };
            let (mut keys, mut states) = (self.layout.0.read(keys)?, self.layout.1.read(states)?);
            while let (Some(key), Some(state)) = (keys.next(), states.next()) {
                *self.of(key).1 = state;
            }
        }
        Ok(())
    }
}

impl<K: Key, S: Record> Remembered for KeyedStates<K, S> {
    fn open(&mut self, mut restored: Restored, key_space: KeySpace) -> Result<()> {
        self.key_space = key_space;
        self.load(&restored.take(TABLE))?;
        self.changed.clear();
        self.entries.iter_mut().for_each(|entry| entry.changed = false);
        Ok(())
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Snapshot> {
        // What an unsettled epoch wrote is written again: no order of settlements loses it.
        for (_, places) in &self.unsettled {
            for &place in places {
                let entry = &mut self.entries[place as usize];
                if !std::mem::replace(&mut entry.changed, true) {
                    self.changed.push(place);
                }
            }
        }
        let table = self.table(&self.changed)?;
        let places = std::mem::take(&mut self.changed);
        places.iter().for_each(|&place| self.entries[place as usize].changed = false);
        self.unsettled.push((epoch, places));
        Ok(Snapshot { tables: vec![table] })
    }

    fn settle(&mut self, epoch: Epoch, complete: bool) {
        if complete {
            self.unsettled.retain(|(unsettled, _)| *unsettled > epoch);
            return;
        }
        let Some(at) = self.unsettled.iter().position(|(unsettled, _)| *unsettled == epoch) else { return };
        for place in self.unsettled.remove(at).1 {
            let entry = &mut self.entries[place as usize];
            if !std::mem::replace(&mut entry.changed, true) {
                self.changed.push(place);
            }
        }
    }

    fn take(&mut self, groups: &KeyGroups) -> Result<Snapshot> {
        let all: Vec<u32> = (0..self.entries.len() as u32).collect();
        let mut keys = self.layout.0.writer()?;
        self.entries.iter().try_for_each(|entry| keys.push(&entry.key).map(drop))?;
        let of = self.groups(&keys.finish()?)?;
        let leaves = |place: u32| groups.contains(of[place as usize]);
        let leaving: Vec<u32> = all.into_iter().filter(|&place| leaves(place)).collect();
        let given = self.table(&leaving)?;
        self.forget(&leaves);
        Ok(Snapshot { tables: vec![given] })
    }

    fn put(&mut self, given: Snapshot) -> Result<()> {
        self.load(&Restored::from_iter([given]).take(TABLE))
    }

    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K, S>>() + self.index.allocation_size()
    }
}

impl<K: Key, S> KeyedStates<K, S> {
    /// Drops these entries and closes the gaps.
    fn forget(&mut self, leaves: &dyn Fn(u32) -> bool) {
        let mut moved = Vec::with_capacity(self.entries.len());
        let mut staying = 0;
        for place in 0..self.entries.len() as u32 {
            moved.push((!leaves(place)).then_some(staying));
            staying += u32::from(!leaves(place));
        }
        let mut place = 0;
        self.entries.retain(|_| {
            place += 1;
            moved[place - 1].is_some()
        });
        let renumber = |places: &mut Vec<u32>| {
            *places = places.iter().filter_map(|&place| moved[place as usize]).collect();
        };
        renumber(&mut self.changed);
        self.unsettled.iter_mut().for_each(|(_, places)| renumber(places));
        let Self { entries, index, hasher, .. } = self;
        index.clear();
        let hash = |place: u32| hasher.hash_one(&entries[place as usize].key);
        (0..staying).for_each(|place| {
            index.insert_unique(hash(place), place, |&place| hash(place));
        });
    }
}

#[cfg(test)]
mod tests;
