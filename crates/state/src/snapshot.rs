//! What a subtask gives to a checkpoint, and what it gets back from one.
//!
//! The durable form of state is one table per operator and name, with the key
//! group of each row as its first column: one table per key group would end
//! vectorising.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::array::BooleanArray;
use arrow::array::{Array, RecordBatch, UInt16Array};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};

use serde::{Deserialize, Serialize};

use crate::{KeyGroup, KeyGroups};

/// The first column of every frozen table: the key group of the row, `UInt16`.
pub const KEY_GROUP_COLUMN: &str = "_key_group";

/// How the rows of a frozen table relate to what earlier epochs wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The rows are the whole table: what all subtasks give to one epoch replaces what is there.
    Full,
    /// The rows replace those with the same key: the key group and this many columns behind it.
    Upsert {
        /// The number of key columns; 0 where the key group itself is the key.
        key: usize,
    },
    /// The rows are added to those of earlier epochs; a restore merges them.
    Merge,
}

/// Which rows of a table nobody will ask for again.
///
/// It holds for all rows of the subtask's key groups that this and earlier
/// epochs wrote; a checkpoint need not keep them, and a restore must bear them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// The column that decides: `Timestamp(Nanosecond)` or `Int64`.
    pub column: usize,
    /// Rows with this value or a lower one are over.
    pub through: i64,
}

/// One named table at one epoch. Its rows never change any more.
#[derive(Clone, Debug)]
pub struct FrozenTable {
    /// The table's name within its operator.
    pub name: Cow<'static, str>,
    /// How these rows relate to earlier epochs.
    pub change: Change,
    /// The rows; the first column of each batch is [`KEY_GROUP_COLUMN`].
    pub batches: Vec<RecordBatch>,
    /// Which rows are over; none: all live until they are replaced.
    pub expiry: Option<Expiry>,
}

impl FrozenTable {
    /// The whole table.
    pub fn full(name: impl Into<Cow<'static, str>>, batches: Vec<RecordBatch>) -> Self {
        Self { name: name.into(), change: Change::Full, batches, expiry: None }
    }

    /// Rows that replace those with the same key group and `key` columns behind it.
    pub fn upsert(name: impl Into<Cow<'static, str>>, key: usize, batches: Vec<RecordBatch>) -> Self {
        Self { name: name.into(), change: Change::Upsert { key }, batches, expiry: None }
    }

    /// Rows that are added to those of earlier epochs.
    pub fn merge(name: impl Into<Cow<'static, str>>, batches: Vec<RecordBatch>) -> Self {
        Self { name: name.into(), change: Change::Merge, batches, expiry: None }
    }

    /// The same, with rows that are over.
    #[must_use]
    pub fn expiring(self, expiry: Expiry) -> Self {
        Self { expiry: Some(expiry), ..self }
    }

    /// Rows in all batches together.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The bytes that the batches hold in memory.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    /// The rows whose key group is in `groups`.
    pub fn select(&self, groups: &KeyGroups) -> FrozenTable {
        let batches = self.batches.iter().map(|batch| select_rows(batch, groups)).collect();
        FrozenTable { name: self.name.clone(), change: self.change, batches, expiry: self.expiry }
    }
}

fn select_rows(batch: &RecordBatch, groups: &KeyGroups) -> RecordBatch {
    let column = batch
        .column(0)
        .as_any()
        .downcast_ref::<UInt16Array>()
        .expect("the first column of a frozen table is its key group");
    let keep: BooleanArray = column.values().iter().map(|&g| Some(groups.contains(KeyGroup(g)))).collect();
    let keep = if keep.null_count() > 0 { prep_null_mask_filter(&keep) } else { keep };
    filter_record_batch(batch, &keep).expect("a mask of the batch's own length")
}

/// All that one operator of one subtask gives to an epoch.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The operator's tables.
    pub tables: Vec<FrozenTable>,
}

impl Snapshot {
    /// The snapshot of an operator without state.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The batches of one table; none when it has no such table.
    pub fn batches_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a RecordBatch> {
        self.tables.iter().filter(move |t| t.name == table).flat_map(|t| &t.batches)
    }

    /// Adds what more there is of the same operator at the same epoch.
    pub fn extend(&mut self, more: Snapshot) {
        for table in more.tables {
            match self.tables.iter_mut().find(|known| known.name == table.name) {
                Some(known) => known.batches.extend(table.batches),
                None => self.tables.push(table),
            }
        }
    }

    /// The bytes that all tables hold in memory.
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(FrozenTable::bytes).sum()
    }

    /// The rows of all tables whose key group is in `groups`.
    pub fn select(&self, groups: &KeyGroups) -> Snapshot {
        Snapshot { tables: self.tables.iter().map(|t| t.select(groups)).collect() }
    }

    /// The same rows in pieces that can be loaded one at a time, of at most `rows_max` rows: first
    /// what is small, whole, for the rest may depend on it. A [`Change::Full`] table is never cut.
    pub fn pieces(self, rows_max: usize) -> impl Iterator<Item = Snapshot> {
        let is_whole = |table: &FrozenTable| table.change == Change::Full || table.rows() <= rows_max;
        let (small, large): (Vec<_>, Vec<_>) = self.tables.into_iter().partition(is_whole);
        let cut = move |FrozenTable { name, change, batches, expiry }| {
            batches.into_iter().flat_map(move |batch: RecordBatch| {
                let name: Cow<'static, str> = Cow::clone(&name);
                (0..batch.num_rows()).step_by(rows_max).map(move |start| {
                    let rows = batch.slice(start, rows_max.min(batch.num_rows() - start));
                    let part = FrozenTable { name: name.clone(), change, batches: vec![rows], expiry };
                    Snapshot { tables: vec![part] }
                })
            })
        };
        std::iter::once(Snapshot { tables: small }).chain(large.into_iter().flat_map(cut))
    }
}

/// What an operator finds when it opens: for each table the rows of its own
/// key groups, oldest epoch first. Empty for a job without a past.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    tables: BTreeMap<String, Vec<RecordBatch>>,
    /// See [`is_of_another`](Self::is_of_another).
    of_another: bool,
}

impl Restored {
    /// The past of a job that has none.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Takes the batches of one table, oldest first; empty when there are none.
    pub fn take(&mut self, table: &str) -> Vec<RecordBatch> {
        self.tables.remove(table).unwrap_or_default()
    }

    /// Adds rows of one table behind those that are there.
    pub fn add(&mut self, table: &str, batches: impl IntoIterator<Item = RecordBatch>) {
        self.tables.entry(table.to_owned()).or_default().extend(batches);
    }

    /// The same rows, as those of an operator of another fingerprint.
    #[must_use]
    pub fn of_another(self) -> Self {
        Self { of_another: true, ..self }
    }

    /// Whether an operator of another fingerprint wrote the rows. No later checkpoint refers to what it
    /// wrote: who goes on from it gives all of it to its next epoch, as if it had changed.
    pub fn is_of_another(&self) -> bool {
        self.of_another
    }

    /// Whether there is nothing to restore.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

impl FromIterator<Snapshot> for Restored {
    /// Lines up the snapshots of successive epochs, oldest first.
    fn from_iter<I: IntoIterator<Item = Snapshot>>(snapshots: I) -> Self {
        let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        for table in snapshots.into_iter().flat_map(|s| s.tables) {
            let rows = tables.entry(table.name.into_owned()).or_default();
            if table.change == Change::Full {
                rows.clear();
            }
            rows.extend(table.batches);
        }
        Self { tables, of_another: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::ArrayRef;

    fn rows(groups: std::ops::Range<u16>) -> RecordBatch {
        let groups: ArrayRef = Arc::new(UInt16Array::from_iter_values(groups));
        RecordBatch::try_from_iter([(KEY_GROUP_COLUMN, groups)]).expect("one column")
    }

    #[test]
    fn pieces_are_small_and_hold_every_row_once_behind_what_is_whole() {
        let tables = vec![
            FrozenTable::upsert("large", 0, vec![rows(0..7), rows(7..10)]),
            FrozenTable::full("full", vec![rows(0..9)]),
            FrozenTable::merge("small", vec![rows(0..1), rows(1..3)]),
        ];
        let mut pieces = Snapshot { tables }.pieces(3);
        let first = pieces.next().expect("what is whole");
        assert_eq!(
            first.tables.iter().map(|t| (&*t.name, t.rows())).collect::<Vec<_>>(),
            [("full", 9), ("small", 3)]
        );
        let rest: Vec<Snapshot> = pieces.collect();
        assert!(rest.iter().all(|piece| piece.tables.len() == 1 && piece.tables[0].rows() <= 3));
        let restored = Restored::from_iter(rest).take("large");
        let groups: Vec<u16> = restored
            .iter()
            .flat_map(|batch| {
                let groups = batch.column(0).as_any().downcast_ref::<UInt16Array>().expect("key groups");
                groups.values().to_vec()
            })
            .collect();
        assert_eq!(groups, (0..10).collect::<Vec<_>>());
    }
}
