//! What complete epochs hold, as a store would keep it at its most thorough.
//!
//! Rows that are over are dropped as soon as a snapshot says so, rows that were
//! replaced as soon as another stands for them; and what a subtask must not
//! write is found out here.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, UInt16Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use thalweg_state::{Change, Expiry, FrozenTable, KeyGroup, KeyGroups, Restored, Snapshot};

/// The tables of one operator.
#[derive(Clone, Debug, Default)]
pub struct Past {
    tables: BTreeMap<String, Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    change: Change,
    /// Oldest first.
    batches: Vec<RecordBatch>,
}

impl Past {
    /// An epoch became complete: what each subtask gave, and the key groups that it owned.
    ///
    /// # Panics
    /// If a subtask gave rows of key groups that it did not own, or one key twice.
    pub fn add(&mut self, epoch: &[(Snapshot, KeyGroups)]) {
        let mut full: HashSet<&str> = HashSet::new();
        for (snapshot, groups) in epoch {
            for table in &snapshot.tables {
                let first = full.insert(&table.name);
                self.add_table(table, groups, first);
            }
        }
        for (snapshot, groups) in epoch {
            for table in &snapshot.tables {
                if let (Some(expiry), Some(kept)) = (table.expiry, self.tables.get_mut(&*table.name)) {
                    kept.batches.iter_mut().for_each(|batch| *batch = without_over(batch, expiry, groups));
                }
            }
        }
        self.tables.values_mut().for_each(Kept::compact);
    }

    fn add_table(&mut self, table: &FrozenTable, groups: &KeyGroups, first: bool) {
        let kept = Kept { change: table.change, batches: Vec::new() };
        let kept = self.tables.entry(table.name.to_string()).or_insert(kept);
        assert_eq!(kept.change, table.change, "the table '{}' changes its kind", table.name);
        match table.change {
            Change::Full if first => kept.batches.clear(),
            Change::Full => {}
            Change::Upsert { key } => assert_each_once(table, key),
            Change::Merge => {}
        }
        if table.change != Change::Full {
            let own = |batch: &RecordBatch| groups_of(batch).iter().all(|&g| groups.contains(KeyGroup(g)));
            assert!(table.batches.iter().all(own), "rows of another owner in '{}'", table.name);
        }
        kept.batches.extend(table.batches.iter().cloned());
    }

    /// What a subtask finds that owns these key groups.
    pub fn restored(&self, groups: &KeyGroups) -> Restored {
        let mut restored = Restored::nothing();
        for (name, kept) in &self.tables {
            restored.add(name, kept.of(groups));
        }
        restored
    }

    /// The same, as a rescale gives it to another owner: a piece per batch, one table after the other.
    pub fn pieces(&self, groups: &KeyGroups) -> Vec<Snapshot> {
        let piece = |name: &String, change, batch| {
            let table = FrozenTable { name: name.clone().into(), change, batches: vec![batch], expiry: None };
            Snapshot { tables: vec![table] }
        };
        let of_table = |(name, kept): (&String, &Kept)| -> Vec<Snapshot> {
            kept.of(groups).into_iter().map(|batch| piece(name, kept.change, batch)).collect()
        };
        self.tables.iter().flat_map(of_table).collect()
    }

    /// The rows of one table.
    pub fn rows(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, |kept| kept.batches.iter().map(RecordBatch::num_rows).sum())
    }
}

impl Kept {
    fn of(&self, groups: &KeyGroups) -> Vec<RecordBatch> {
        let own = |batch: &RecordBatch| {
            let own = groups_of(batch).iter().map(|&group| Some(groups.contains(KeyGroup(group)))).collect();
            chosen(batch, &own)
        };
        self.batches.iter().map(own).filter(|batch| batch.num_rows() > 0).collect()
    }

    /// Leaves the last row of each key, where rows replace each other.
    fn compact(&mut self) {
        let Change::Upsert { key } = self.change else { return };
        let mut last: HashMap<OwnedRow, (usize, usize)> = HashMap::new();
        for (number, batch) in self.batches.iter().enumerate() {
            for (row, key) in keys_of(batch, key).into_iter().enumerate() {
                last.insert(key, (number, row));
            }
        }
        let last: HashSet<(usize, usize)> = last.into_values().collect();
        for (number, batch) in self.batches.iter_mut().enumerate() {
            let keep = (0..batch.num_rows()).map(|row| Some(last.contains(&(number, row)))).collect();
            *batch = chosen(batch, &keep);
        }
        self.batches.retain(|batch| batch.num_rows() > 0);
    }
}

fn assert_each_once(table: &FrozenTable, key: usize) {
    let keys: Vec<OwnedRow> = table.batches.iter().flat_map(|batch| keys_of(batch, key)).collect();
    let distinct: HashSet<&OwnedRow> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "a key stands twice in one epoch of '{}'", table.name);
}

fn keys_of(batch: &RecordBatch, key: usize) -> Vec<OwnedRow> {
    let columns = &batch.columns()[..=key];
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields).expect("keys have a row format");
    let rows = converter.convert_columns(columns).expect("the columns are of these types");
    rows.iter().map(|row| row.owned()).collect()
}

fn groups_of(batch: &RecordBatch) -> &[u16] {
    batch.column(0).as_primitive::<UInt16Type>().values()
}

fn without_over(batch: &RecordBatch, expiry: Expiry, groups: &KeyGroups) -> RecordBatch {
    let column: ArrayRef = cast(batch.column(expiry.column), &DataType::Int64).expect("a time or a number");
    let column: &Int64Array = column.as_primitive();
    let live =
        |(&group, &value): (&u16, &i64)| Some(value > expiry.through || !groups.contains(KeyGroup(group)));
    chosen(batch, &groups_of(batch).iter().zip(column.values()).map(live).collect())
}

fn chosen(batch: &RecordBatch, keep: &BooleanArray) -> RecordBatch {
    filter_record_batch(batch, keep).expect("a mask of the batch's own length")
}
