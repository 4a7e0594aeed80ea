//! State by key: in memory a hash table, durable as rows of key and state.
//!
//! A key's state is made when the key is first seen, and is forgotten only when
//! the key's group leaves: some keys at a time, since where a key lives is not
//! remembered beside it. The durable form is one row per key that changed since the last complete epoch:
//! key and state each in a column of their own type, the form in which they
//! would cross to another subtask, so that any Parquet tool can read them and
//! no value needs a second encoding.

mod evolution;
mod frozen;

use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt16Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hashbrown::{DefaultHashBuilder, HashTable};
use thalweg_dataflow::{Age, Error, Result};
use thalweg_state::{
    Epoch, FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, KeySpace, Restored, Snapshot, hash_keys,
};

use thalweg_operators::fingerprint::Fingerprint;

pub(crate) use self::evolution::Evolution;
use self::evolution::unread;
use self::frozen::Frozen;
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

/// How many entries one call looks at for keys that left.
const SWEPT_MAX: usize = 1024;

struct Entry<K, S> {
    key: K,
    state: S,
    /// Whether it changed since it was last frozen.
    changed: bool,
    /// Whether it is frozen as it is, and not yet written down.
    frozen: bool,
}

/// The states of one subtask.
pub(crate) struct KeyedStates<K, S> {
    /// None where a key left.
    entries: Vec<Option<Entry<K, S>>>,
    /// Places in `entries` where a key left.
    free: Vec<u32>,
    /// Places in `entries`, by key.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    init: Init<K, S>,
    /// Entries that changed since they were last frozen.
    changed: Vec<u32>,
    /// What each unsettled epoch wrote, oldest first.
    unsettled: Vec<(Epoch, Vec<u32>)>,
    /// The epoch that was settled last, and whether it is complete.
    settled: Option<(Epoch, bool)>,
    frozen: Frozen<K, S>,
    /// Key groups that left, while entries of theirs may still be here.
    gone: KeyGroups,
    /// Entries before this place were looked at for keys that left.
    swept: usize,
    key_space: KeySpace,
    layout: (Layout<K>, Layout<S>),
}

impl<K: Key, S: Record> KeyedStates<K, S> {
    pub(crate) fn new(layout: (Layout<K>, Layout<S>), init: Init<K, S>) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            init,
            changed: Vec::new(),
            unsettled: Vec::new(),
            settled: None,
            frozen: Frozen::default(),
            gone: KeyGroups::default(),
            swept: 0,
            key_space: KeySpace::default(),
            layout,
        }
    }

    /// The state of a key, made if it is new, which from now on counts as changed.
    #[inline]
    pub(crate) fn of(&mut self, key: K) -> (&K, &mut S) {
        let place = self.place(key);
        let entry = self.entries[place as usize].as_mut().expect("the index leads to entries only");
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(place);
        }
        self.frozen.save(entry);
        (&entry.key, &mut entry.state)
    }

    #[inline]
    fn place(&mut self, key: K) -> u32 {
        match self.find(&key) {
            (_, Some(place)) => place,
            (hash, None) => {
                let state = (self.init)(&key);
                self.add(hash, key, state)
            }
        }
    }

    /// The hash of a key, and where it is.
    #[inline]
    fn find(&self, key: &K) -> (u64, Option<u32>) {
        let hash = self.hasher.hash_one(key);
        let is = |&place: &u32| self.entries[place as usize].as_ref().is_some_and(|entry| entry.key == *key);
        (hash, self.index.find(hash, is).copied())
    }

    fn add(&mut self, hash: u64, key: K, state: S) -> u32 {
        let Self { entries, free, index, hasher, .. } = self;
        let place = free.pop().unwrap_or_else(|| {
            assert!(entries.len() < u32::MAX as usize, "a subtask holds at most 4,294,967,295 keys");
            entries.push(None);
            entries.len() as u32 - 1
        });
        entries[place as usize] = Some(Entry { key, state, changed: false, frozen: false });
        let hash_of = |&place: &u32| {
            let entry = entries[place as usize].as_ref().expect("the index leads to entries only");
            hasher.hash_one(&entry.key)
        };
        index.insert_unique(hash, place, hash_of);
        place
    }

    /// These entries changed, those of them that are still here.
    fn mark(&mut self, places: impl IntoIterator<Item = u32>) {
        for place in places {
            if let Some(entry) = &mut self.entries[place as usize]
                && !std::mem::replace(&mut entry.changed, true)
            {
                self.changed.push(place);
            }
        }
    }

    fn schema(&self) -> SchemaRef {
        let group = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        Arc::new(Schema::new(vec![group, self.layout.0.field("key"), self.layout.1.field("state")]))
    }

    /// Keys and states as rows of the durable table, but for those that were not frozen.
    fn rows(&self, keys: ArrayRef, states: ArrayRef) -> Result<RecordBatch> {
        let (of, without) = (self.groups(&keys)?, &self.frozen.without);
        let groups = UInt16Array::from_iter_values(of.iter().map(|group| group.0));
        let broken = |e| Error::internal("states do not fit their table").because(e);
        let batch =
            RecordBatch::try_new(self.schema(), vec![Arc::new(groups), keys, states]).map_err(broken)?;
        if !of.iter().any(|&group| without.contains(group)) {
            return Ok(batch);
        }
        let staying: BooleanArray = of.iter().map(|&group| Some(!without.contains(group))).collect();
        filter_record_batch(&batch, &staying).map_err(broken)
    }

    fn groups(&self, keys: &ArrayRef) -> Result<Vec<KeyGroup>> {
        let mut hashes = Vec::new();
        hash_keys(std::slice::from_ref(keys), &mut hashes)
            .map_err(|e| Error::internal("a key has no hash").because(e))?;
        Ok(hashes.into_iter().map(|hash| self.key_space.group_of(hash)).collect())
    }

    /// Adds or replaces states; of several rows of one key the last holds. Answers where they are.
    fn load(&mut self, batches: &[RecordBatch]) -> Result<Vec<u32>> {
        let mut places = Vec::new();
        for batch in batches {
            let [_, keys, states] = batch.columns() else {
                return Err(Error::internal("a table of states has other columns"));
            };
            let (mut keys, mut states) = (self.layout.0.read(keys)?, self.layout.1.read(states)?);
            while let (Some(key), Some(state)) = (keys.next(), states.next()) {
                places.push(match self.find(&key) {
                    (hash, None) => self.add(hash, key, state),
                    (_, Some(place)) => {
                        let entry = self.entries[place as usize].as_mut().expect("a place has an entry");
                        self.frozen.save(entry);
                        entry.state = state;
                        place
                    }
                });
            }
        }
        Ok(places)
    }

    /// Looks at so many entries at most, and drops those whose keys left.
    fn sweep(&mut self, entries_max: usize) -> Result<()> {
        if self.gone.is_empty() {
            return Ok(());
        }
        let until = self.entries.len().min(self.swept.saturating_add(entries_max));
        let here = |&place: &usize| self.entries[place].is_some();
        let places: Vec<usize> = (self.swept..until).filter(here).collect();
        let mut keys = self.layout.0.writer()?;
        for entry in places.iter().filter_map(|&place| self.entries[place].as_ref()) {
            keys.push(&entry.key)?;
        }
        for (place, group) in places.into_iter().zip(self.groups(&keys.finish()?)?) {
            if self.gone.contains(group) {
                self.drop_entry(place);
            }
        }
        self.swept = until;
        if until == self.entries.len() {
            (self.gone, self.swept) = (KeyGroups::default(), 0);
        }
        Ok(())
    }

    fn drop_entry(&mut self, place: usize) {
        let Some(mut entry) = self.entries[place].take() else { return };
        self.frozen.save(&mut entry);
        let hash = self.hasher.hash_one(&entry.key);
        if let Ok(found) = self.index.find_entry(hash, |&other| other as usize == place) {
            found.remove();
        }
        self.free.push(place as u32);
    }
}

impl<K: Key, S: Record> Remembered for KeyedStates<K, S> {
    fn fingerprint(&self, of: Fingerprint) -> Fingerprint {
        let state = Arc::new(Field::new("state", self.layout.1.told(), true));
        of.columns("state", &[self.layout.0.field("key"), state])
    }

    fn evolution(&self, of: Fingerprint) -> Option<Evolution> {
        let fingerprint = self.fingerprint(of).finish();
        Some(Evolution::new(&fingerprint, &self.layout.1.told(), self.layout.1.readable()))
    }

    fn open(&mut self, mut restored: Restored, key_space: KeySpace) -> Result<()> {
        self.key_space = key_space;
        let is_converted = restored.is_of_another();
        let loaded = self.load(&restored.take(TABLE));
        if !is_converted {
            return loaded.map(drop);
        }
        let places = loaded.map_err(|why| unread(&why))?;
        self.mark(places);
        Ok(())
    }

    fn freeze(&mut self, epoch: Epoch) -> Result<Snapshot> {
        // What an unsettled epoch wrote is written again: no order of settlements loses it.
        let unsettled: Vec<u32> = self.unsettled.iter().flat_map(|(_, places)| places).copied().collect();
        self.mark(unsettled);
        let mut places = std::mem::take(&mut self.changed);
        // A place whose key left may have another key by now, or none.
        places.retain(|&place| {
            self.entries[place as usize].as_mut().is_some_and(|entry| {
                entry.frozen |= entry.changed;
                std::mem::take(&mut entry.changed)
            })
        });
        self.frozen = Frozen::new(places.clone(), self.gone.clone(), &self.layout)?;
        self.unsettled.push((epoch, places));
        Ok(Snapshot { tables: vec![FrozenTable::upsert(TABLE, 1, Vec::new())] })
    }

    fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<Snapshot>> {
        let Some((keys, states)) = self.frozen.next(&mut self.entries, rows_max)? else { return Ok(None) };
        let rows = self.rows(keys, states)?;
        let batches = if rows.num_rows() == 0 { Vec::new() } else { vec![rows] };
        Ok(Some(Snapshot { tables: vec![FrozenTable::upsert(TABLE, 1, batches)] }))
    }

    fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.settled = Some((epoch, complete));
        if complete {
            self.unsettled.retain(|(unsettled, _)| *unsettled > epoch);
            return;
        }
        let aborted: Vec<_> = self.unsettled.extract_if(.., |(unsettled, _)| *unsettled == epoch).collect();
        self.mark(aborted.into_iter().flat_map(|(_, places)| places));
    }

    fn put(&mut self, groups: &KeyGroups, given: &Snapshot, age: Age) -> Result<()> {
        if self.gone.intersects(groups) {
            self.sweep(usize::MAX)?;
        }
        let batches: Vec<RecordBatch> = given.batches_of(TABLE).cloned().collect();
        let places = self.load(&batches)?;
        match (age, self.settled) {
            (Age::Durable, _) => {}
            (Age::Unsettled(epoch), Some((settled, true))) if settled == epoch => {}
            (Age::Unsettled(epoch), Some((settled, false))) if settled == epoch => self.mark(places),
            (Age::Unsettled(epoch), _) => self.unsettled.push((epoch, places)),
        }
        Ok(())
    }

    fn forget(&mut self, groups: &KeyGroups) {
        self.gone = self.gone.union(groups);
        self.swept = 0;
    }

    fn tidy(&mut self) -> Result<()> {
        self.sweep(SWEPT_MAX)
    }

    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Option<Entry<K, S>>>()
            + self.index.allocation_size()
            + self.frozen.bytes()
    }
}

#[cfg(test)]
mod tests;
