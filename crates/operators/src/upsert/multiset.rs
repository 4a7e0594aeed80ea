//! Per key: the multiset of rows, and which of them is shown.

use std::hash::{BuildHasherDefault, DefaultHasher};

use hashbrown::HashMap;
use thalweg_dataflow::operator::Age;
use thalweg_state::{Epoch, KeyGroup, KeyGroups};

use crate::durable::Unwritten;

/// Without a random seed, so that the same input gives the same order of rows in a snapshot.
type Hashing = BuildHasherDefault<DefaultHasher>;

/// A row: its columns in the row format, and its event time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) data: Box<[u8]>,
    pub(super) timestamp: i64,
}

/// How often a row is there, and when it was last asserted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Asserts less retracts; negative while a retract waits for its assert.
    pub(super) count: i64,
    /// The number of the last assert within the key.
    pub(super) asserted: u64,
}

/// What is known of one key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) rows: HashMap<Row, Count, Hashing>,
    asserts: u64,
    shown: Option<Row>,
    /// It changed since the last look.
    touched: bool,
    /// It changed since the last epoch.
    changed: bool,
}

impl Key {
    fn new() -> Self {
        Self { rows: HashMap::default(), asserts: 0, shown: None, touched: false, changed: false }
    }

    /// A key with these rows, shown as it was: between batches that is the last live one.
    fn restored(rows: impl IntoIterator<Item = (Row, Count)>) -> Self {
        let mut key = Self { rows: rows.into_iter().collect(), ..Self::new() };
        key.asserts = key.rows.values().map(|known| known.asserted).max().unwrap_or(0);
        key.shown = key.last().cloned();
        key
    }

    /// Takes one assert or retract of a changelog.
    pub(super) fn change(&mut self, data: &[u8], timestamp: i64, diff: i64) {
        let row = Row { data: data.into(), timestamp };
        let known = self.rows.entry(row.clone()).or_default();
        known.count += diff;
        if diff > 0 {
            self.asserts += 1;
            known.asserted = self.asserts;
        }
        if known.count == 0 {
            self.rows.remove(&row);
        }
    }

    /// Takes one row of an append-only input: the only one from now on.
    pub(super) fn replace(&mut self, data: &[u8], timestamp: i64) {
        self.rows.clear();
        self.change(data, timestamp, 1);
    }

    /// The live row that was asserted last.
    fn last(&self) -> Option<&Row> {
        let live = self.rows.iter().filter(|(_, known)| known.count > 0);
        live.max_by_key(|(_, known)| known.asserted).map(|(row, _)| row)
    }

    /// What changed of the row shown, which is from now on the last live one.
    fn change_shown(&mut self) -> Option<Change> {
        self.touched = false;
        let after = self.last().cloned();
        let before = std::mem::replace(&mut self.shown, after.clone());
        let data = |row: &Option<Row>| row.as_ref().map(|row| row.data.clone());
        (data(&before) != data(&after)).then_some(Change { before, after })
    }
}

/// The row shown for a key, before and after. At least one is there, and they differ.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
}

impl Change {
    /// `c`, `u` or `d`.
    pub(super) fn op(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "c",
            (Some(_), Some(_)) => "u",
            (Some(_), None) => "d",
        }
    }

    /// When it happened: the event time of the newest row.
    pub(super) fn timestamp(&self) -> i64 {
        self.after.as_ref().or(self.before.as_ref()).map_or(0, |row| row.timestamp)
    }
}

/// A key by its group and its bytes.
pub(super) type Name = (u16, Vec<u8>);

/// How many keys one call clears away.
const CLEARED_MAX: usize = 1024;

/// A key and its rows, as an epoch gets them.
pub(super) type KeyRows = (Name, Vec<(Row, Count)>);

/// The keys of one group.
type OfGroup = HashMap<Vec<u8>, Key, Hashing>;

/// All keys of one subtask.
#[derive(Default)]
pub(super) struct Keys {
    /// By key group, so that a group can leave as a whole.
    groups: Vec<OfGroup>,
    /// Those that changed since the last look, in the order of their first change.
    touched: Vec<Name>,
    unwritten: Unwritten<Name>,
    /// Key groups that left. What was to be written of them is another's to write.
    gone: KeyGroups,
    /// What left, until it is cleared away.
    garbage: Vec<OfGroup>,
}

impl Keys {
    /// The key, in order to change it.
    pub(super) fn touch(&mut self, name: &[u8], group: KeyGroup) -> &mut Key {
        let Self { groups, touched, unwritten, .. } = self;
        let key = of_group(groups, group.0).entry_ref(name).or_insert_with(Key::new);
        if !key.touched {
            key.touched = true;
            touched.push((group.0, name.into()));
        }
        if !key.changed {
            key.changed = true;
            unwritten.mark((group.0, name.into()));
        }
        key
    }

    /// Takes over a key from a snapshot, in place of what is known of it.
    pub(super) fn restore(&mut self, (group, name): Name, rows: Vec<(Row, Count)>) {
        let keys = of_group(&mut self.groups, group);
        if rows.is_empty() {
            keys.remove(&name);
        } else {
            keys.insert(name, Key::restored(rows));
        }
    }

    /// What changed of the rows shown since the last look.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.touched.len());
        for (group, name) in self.touched.drain(..) {
            let keys = of_group(&mut self.groups, group);
            let Some(key) = keys.get_mut(&name) else { continue };
            changes.extend(key.change_shown());
            if key.rows.is_empty() {
                keys.remove(&name);
            }
        }
        changes
    }

    /// The keys that an epoch writes, in order, and the rows of each.
    pub(super) fn freeze(&mut self, epoch: Epoch) -> Vec<KeyRows> {
        let mut written = self.unwritten.freeze(epoch);
        written.retain(|(group, _)| !self.gone.contains(KeyGroup(*group)));
        let of_key = |(group, name): Name| {
            let Some(key) = of_group(&mut self.groups, group).get_mut(&name) else {
                return ((group, name), Vec::new());
            };
            key.changed = false;
            let mut rows: Vec<(Row, Count)> =
                key.rows.iter().map(|(row, count)| (row.clone(), *count)).collect();
            rows.sort_unstable_by(|(a, _), (b, _)| (&a.data, a.timestamp).cmp(&(&b.data, b.timestamp)));
            ((group, name), rows)
        };
        written.into_iter().map(of_key).collect()
    }

    /// Learns how an epoch was settled.
    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.unwritten.settle(epoch, complete);
    }

    /// These key groups live here from now on.
    pub(super) fn put(&mut self, groups: &KeyGroups) {
        self.gone = self.gone.without(groups);
    }

    /// An epoch of this age wrote these keys.
    pub(super) fn mark(&mut self, age: Age, names: Vec<Name>) {
        self.unwritten.put(age, names);
    }

    /// These key groups live elsewhere. Their keys are cleared away later.
    pub(super) fn forget(&mut self, groups: &KeyGroups) {
        self.gone = self.gone.union(groups);
        for group in groups.iter() {
            let keys = self.groups.get_mut(usize::from(group.0)).map(std::mem::take);
            self.garbage.extend(keys.filter(|keys| !keys.is_empty()));
        }
    }

    /// Clears away some of the keys that left.
    pub(super) fn clear(&mut self) {
        let Some(keys) = self.garbage.last_mut() else { return };
        keys.extract_if(|_, _| true).take(CLEARED_MAX).for_each(drop);
        if keys.is_empty() {
            self.garbage.pop();
        }
    }

    /// The bytes that are held, about.
    pub(super) fn bytes(&self) -> usize {
        let row = |row: &Row| row.data.len() + size_of::<(Row, Count)>();
        let key = |(name, key): (&Vec<u8>, &Key)| {
            name.len() + size_of::<(Vec<u8>, Key)>() + key.rows.keys().map(row).sum::<usize>()
        };
        self.groups.iter().chain(&self.garbage).flatten().map(key).sum()
    }
}

fn of_group(groups: &mut Vec<OfGroup>, group: u16) -> &mut OfGroup {
    let index = usize::from(group);
    if groups.len() <= index {
        groups.resize_with(index + 1, OfGroup::default);
    }
    &mut groups[index]
}
