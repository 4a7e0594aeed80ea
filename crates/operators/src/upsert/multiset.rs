//! Per key: the multiset of rows, and which of them is shown.

use std::hash::{BuildHasherDefault, DefaultHasher};

use hashbrown::HashMap;
use thalweg_state::{KeyGroup, KeyGroups};

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
    pub(super) group: KeyGroup,
    pub(super) rows: HashMap<Row, Count, Hashing>,
    asserts: u64,
    shown: Option<Row>,
    touched: bool,
}

impl Key {
    fn new(group: KeyGroup) -> Self {
        Self { group, rows: HashMap::default(), asserts: 0, shown: None, touched: false }
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

    fn restore(&mut self, row: Row, count: Count) {
        self.asserts = self.asserts.max(count.asserted);
        self.rows.insert(row, count);
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

/// All keys of one subtask.
#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: HashMap<Vec<u8>, Key, Hashing>,
    /// Those that changed since the last look, in the order of their first change.
    touched: Vec<Vec<u8>>,
}

impl Keys {
    /// The key, in order to change it.
    pub(super) fn touch(&mut self, key: &[u8], group: KeyGroup) -> &mut Key {
        let known = self.keys.entry_ref(key).or_insert_with(|| Key::new(group));
        if !known.touched {
            known.touched = true;
            self.touched.push(key.into());
        }
        known
    }

    /// Takes over a row from a snapshot.
    pub(super) fn restore(&mut self, key: &[u8], group: KeyGroup, row: Row, count: Count) {
        self.keys.entry_ref(key).or_insert_with(|| Key::new(group)).restore(row, count);
    }

    /// Shows what was restored. Between batches the row shown is always the last live one.
    pub(super) fn show(&mut self) {
        self.keys.values_mut().for_each(|key| key.shown = key.last().cloned());
    }

    /// What changed of the rows shown since the last look.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.touched.len());
        for name in self.touched.drain(..) {
            let Some(key) = self.keys.get_mut(&name) else { continue };
            changes.extend(key.change_shown());
            if key.rows.is_empty() {
                self.keys.remove(&name);
            }
        }
        changes
    }

    /// All keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    /// Forgets the keys of these groups, and gives them out.
    pub(super) fn take(&mut self, groups: &KeyGroups) -> Vec<Key> {
        self.keys.extract_if(|_, key| groups.contains(key.group)).map(|(_, key)| key).collect()
    }

    /// The bytes that are held, about.
    pub(super) fn bytes(&self) -> usize {
        let row = |row: &Row| row.data.len() + size_of::<(Row, Count)>();
        let key = |(name, key): (&Vec<u8>, &Key)| {
            name.len() + size_of::<(Vec<u8>, Key)>() + key.rows.keys().map(row).sum::<usize>()
        };
        self.keys.iter().map(key).sum()
    }
}
