//! Rows by the hash of their keys, as two arrays of row numbers.
//!
//! A bucket holds its first row, and each row the next of its bucket, in
//! ascending order. Rows that can equal none are in no bucket.

use arrow::buffer::NullBuffer;

/// No row.
const NONE: u32 = u32::MAX;

/// The rows of the side that is looked up.
pub(super) enum RowTable {
    /// Without keys: every row is looked at, so many.
    All(u32),
    /// By the hash of the keys.
    Hashed(Hashed),
}

pub(super) struct Hashed {
    hashes: Vec<u64>,
    /// A power of two of them.
    buckets: Vec<u32>,
    next: Vec<u32>,
}

impl RowTable {
    /// Rows with these hashes, those that are null in `valid` left out. Fewer than 2^32 − 1.
    pub(super) fn hashed(hashes: Vec<u64>, valid: Option<&NullBuffer>) -> Self {
        let mut buckets = vec![NONE; (2 * hashes.len()).next_power_of_two()];
        let mut next = vec![NONE; hashes.len()];
        for row in (0..hashes.len()).rev().filter(|&row| valid.is_none_or(|valid| valid.is_valid(row))) {
            let bucket = hashes[row] as usize & (buckets.len() - 1);
            next[row] = buckets[bucket];
            buckets[bucket] = row as u32;
        }
        RowTable::Hashed(Hashed { hashes, buckets, next })
    }

    /// The first row that may equal one with this hash.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<u32> {
        match self {
            RowTable::All(rows) => (*rows > 0).then_some(0),
            RowTable::Hashed(table) => {
                table.with_hash(hash, table.buckets[hash as usize & (table.buckets.len() - 1)])
            }
        }
    }

    /// The row behind `row` that may equal one with this hash.
    #[inline]
    pub(super) fn next(&self, hash: u64, row: u32) -> Option<u32> {
        match self {
            RowTable::All(rows) => Some(row + 1).filter(|next| next < rows),
            RowTable::Hashed(table) => table.with_hash(hash, table.next[row as usize]),
        }
    }
}

impl Hashed {
    /// The first row of this hash in a bucket, from `row` on.
    #[inline]
    fn with_hash(&self, hash: u64, mut row: u32) -> Option<u32> {
        while row != NONE && self.hashes[row as usize] != hash {
            row = self.next[row as usize];
        }
        (row != NONE).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(table: &RowTable, hash: u64) -> Vec<u32> {
        std::iter::successors(table.first(hash), |&row| table.next(hash, row)).collect()
    }

    #[test]
    fn rows_are_found_by_their_hash_in_order() {
        let hashes: Vec<u64> = (0..1000).map(|row| [7, 7 + (1 << 20), row][row as usize % 3]).collect();
        let valid = NullBuffer::from((0..1000).map(|row| row != 3).collect::<Vec<_>>());
        let table = RowTable::hashed(hashes.clone(), Some(&valid));
        for hash in [7, 7 + (1 << 20), 5, 1_000_000] {
            let expected: Vec<u32> =
                (0..1000).filter(|&row| row != 3 && hashes[row as usize] == hash).collect();
            assert_eq!(all(&table, hash), expected, "{hash}");
        }
        assert_eq!(all(&RowTable::hashed(vec![], None), 7), [0u32; 0]);
    }

    #[test]
    fn without_keys_every_row_is_looked_at() {
        assert_eq!(all(&RowTable::All(3), 9), [0, 1, 2]);
        assert_eq!(all(&RowTable::All(0), 9), [0u32; 0]);
    }
}
