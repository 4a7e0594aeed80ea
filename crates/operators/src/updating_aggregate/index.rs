//! Which group a key is: DataFusion's table of keys, or our own where a key is one integer.
//!
//! The high bits of an integer's hash choose one of many small tables: so there is
//! no large table that all rows would have to wait for while it is hashed anew. The
//! hash is a multiplication, folded; with a number that differs from run to run, so
//! that keys cannot be chosen beforehand to meet. Ids do not depend on it.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use hashbrown::HashTable;
use thalweg_dataflow::{Code, Error, Result};

use crate::group_table::GroupKeys;

/// Keys and their group ids, dense from 0 in the order of first sight.
pub(super) enum KeyIndex {
    /// Keys are one 64-bit integer.
    Integers(Integers),
    /// All other keys.
    Others(GroupKeys),
}

impl KeyIndex {
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        match &schema.fields()[..] {
            [field] if *field.data_type() == DataType::Int64 => Ok(KeyIndex::Integers(Integers::default())),
            _ => Ok(KeyIndex::Others(GroupKeys::new(schema)?)),
        }
    }

    /// Puts the group id of each row into `ids`; new keys get the next ids.
    pub(super) fn intern(&mut self, keys: &[ArrayRef], rows: usize, ids: &mut Vec<usize>) -> Result<()> {
        match self {
            KeyIndex::Integers(integers) => integers.intern(keys, ids),
            KeyIndex::Others(others) => others.intern(keys, rows, ids),
        }
    }

    /// So many keys will come, most of them new.
    pub(super) fn reserve(&mut self, keys: usize) {
        match self {
            KeyIndex::Integers(integers) => integers.reserve(keys),
            // DataFusion's tables know no such thing.
            KeyIndex::Others(_) => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            KeyIndex::Integers(integers) => integers.keys.len(),
            KeyIndex::Others(others) => others.len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            KeyIndex::Integers(integers) => integers.bytes(),
            KeyIndex::Others(others) => others.bytes(),
        }
    }
}

/// The bits of a hash that choose a table.
const TABLE_BITS: u32 = 6;
/// The golden ratio's digits: odd, and no pattern in them.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// An id has 32 bits.
const GROUPS_MAX: usize = u32::MAX as usize;

/// Integers and their ids.
pub(super) struct Integers {
    /// The key of each id; for null, anything.
    keys: Vec<i64>,
    null: Option<usize>,
    tables: Vec<HashTable<Entry>>,
    seed: u64,
}

/// An id, and the low half of its key's hash.
type Entry = (u32, u32);

impl Default for Integers {
    fn default() -> Self {
        let tables = (0..1 << TABLE_BITS).map(|_| HashTable::new()).collect();
        Self { keys: Vec::new(), null: None, tables, seed: RandomState::new().hash_one(0) }
    }
}

impl Integers {
    fn reserve(&mut self, keys: usize) {
        self.keys.reserve(keys);
        let of_table = keys.div_ceil(self.tables.len());
        self.tables.iter_mut().for_each(|table| table.reserve(of_table, rehash));
    }

    fn intern(&mut self, keys: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        let keys: &Int64Array = keys[0].as_primitive::<Int64Type>();
        if self.keys.len() + keys.len() > GROUPS_MAX {
            return Err(Error::new(Code::LimitReached, "there are more than 4,294,967,295 groups"));
        }
        ids.clear();
        let has_nulls = keys.null_count() > 0;
        ids.extend(keys.values().iter().enumerate().map(|(row, &key)| {
            if has_nulls && keys.is_null(row) {
                let Self { keys: known, null, .. } = self;
                return *null.get_or_insert_with(|| next_id(known, key));
            }
            self.id_of(key, hash_of(key, self.seed))
        }));
        Ok(())
    }

    #[inline]
    fn id_of(&mut self, key: i64, hash: u64) -> usize {
        let Self { keys, tables, .. } = self;
        let table = &mut tables[(hash >> (u64::BITS - TABLE_BITS)) as usize];
        let low = hash as u32;
        let is_it = |&(id, hash): &Entry| hash == low && keys[id as usize] == key;
        match table.find(spread(low), is_it) {
            Some(&(id, _)) => id as usize,
            None => {
                let id = next_id(keys, key);
                table.insert_unique(spread(low), (id as u32, low), rehash);
                id
            }
        }
    }

    fn bytes(&self) -> usize {
        self.keys.capacity() * size_of::<i64>()
            + self.tables.iter().map(HashTable::allocation_size).sum::<usize>()
            + self.tables.capacity() * size_of::<HashTable<Entry>>()
    }
}

/// Both halves of a product, so that every bit of the key moves the high bits and the low ones.
#[inline]
fn hash_of(key: i64, seed: u64) -> u64 {
    let product = u128::from(key as u64 ^ seed) * u128::from(MULTIPLIER);
    (product >> u64::BITS) as u64 ^ product as u64
}

/// What a table is given as a hash: it looks at the low bits and at the highest seven.
#[inline]
fn spread(low: u32) -> u64 {
    u64::from(low) << 32 | u64::from(low)
}

fn rehash(&(_, low): &Entry) -> u64 {
    spread(low)
}

fn next_id(known: &mut Vec<i64>, key: i64) -> usize {
    known.push(key);
    known.len() - 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn index() -> KeyIndex {
        KeyIndex::new(Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]))).unwrap()
    }

    fn ids_of(index: &mut KeyIndex, keys: impl IntoIterator<Item = Option<i64>>) -> Vec<usize> {
        let keys: ArrayRef = Arc::new(keys.into_iter().collect::<Int64Array>());
        let mut ids = vec![7];
        index.intern(std::slice::from_ref(&keys), keys.len(), &mut ids).unwrap();
        ids
    }

    #[test]
    fn equal_keys_have_one_id_and_new_ones_the_next() {
        let mut index = index();
        assert_eq!(ids_of(&mut index, [Some(5), Some(0), Some(5), None, Some(-1)]), [0, 1, 0, 2, 3]);
        // A null is a key of its own, whatever stands in its place.
        let valid = NullBuffer::from(vec![false, true, true, false]);
        let keys: ArrayRef = Arc::new(Int64Array::new(vec![5, 0, 9, 77].into(), Some(valid)));
        let mut ids = Vec::new();
        index.intern(&[keys], 4, &mut ids).unwrap();
        assert_eq!(ids, [2, 1, 4, 2]);
        assert_eq!(index.len(), 5);
    }

    #[test]
    fn keys_are_told_apart_where_their_hashes_do_not() {
        let mut integers = Integers::default();
        for _ in 0..2 {
            assert_eq!([5, 6, -7].map(|key| integers.id_of(key, 42)), [0, 1, 2]);
        }
        assert_eq!(integers.keys, [5, 6, -7]);
    }

    #[test]
    fn many_keys_are_found_again() {
        let (mut index, mut model) = (index(), HashMap::new());
        index.reserve(20_000);
        for batch in 0..40_i64 {
            let keys: Vec<i64> =
                (0..5_000).map(|row| (batch * 3_000 + row).wrapping_mul(0x9e37_79b9)).collect();
            let expected: Vec<usize> = keys
                .iter()
                .map(|&key| {
                    let next = model.len();
                    *model.entry(key).or_insert(next)
                })
                .collect();
            assert_eq!(ids_of(&mut index, keys.into_iter().map(Some)), expected);
        }
        assert!(index.bytes() > index.len() * (size_of::<i64>() + size_of::<Entry>()));
    }
}
