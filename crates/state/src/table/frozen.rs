//! What a barrier froze and nobody has copied yet.
//!
//! Copying at the barrier would stop rows for as long as the rows are many that
//! changed. So the barrier only takes down which they are. They are copied
//! behind it, some at a time, and each before it is written again.
//!
//! ```text
//! barrier      rows ×   1  4  5  8  9        what the epoch is to hold
//! write 5 7             1  4  ·  8  9        5 is copied, then written; 7 is not of the epoch
//! copy 2                ·  ·  ·  8  9        1 and 4 are copied
//! ```
//!
//! This is copy-on-write by rows. By pages a page would be copied whole for one row, since keys that
//! change lie anywhere.

use arrow::array::RecordBatch;

use super::bits::Bits;
use crate::KeyGroups;

/// Rows that an epoch is still to be given.
#[derive(Default)]
pub(super) struct Frozen {
    rows: Bits,
    /// How many.
    left: usize,
    /// The word of `rows` before which there is none.
    from: usize,
    /// Rows of these key groups are not given: they lived elsewhere when the barrier passed.
    pub(super) without: KeyGroups,
    /// Rows that were copied because they were to be written.
    saved: Vec<RecordBatch>,
}

impl Frozen {
    pub(super) fn new(rows: Bits, without: KeyGroups) -> Self {
        Self { left: rows.count(), rows, from: 0, without, saved: Vec::new() }
    }

    /// Of rows that are about to be written those that must be copied before.
    pub(super) fn take(&mut self, rows: &[u32]) -> Vec<u32> {
        if self.left == 0 {
            return Vec::new();
        }
        let taken: Vec<u32> = rows.iter().copied().filter(|&row| self.rows.take(row)).collect();
        self.left -= taken.len();
        taken
    }

    pub(super) fn save(&mut self, copy: RecordBatch) {
        self.saved.push(copy);
    }

    /// The next rows to copy.
    pub(super) fn next(&mut self, rows_max: usize) -> Vec<u32> {
        if self.left == 0 {
            return Vec::new();
        }
        let rows = self.rows.drain(&mut self.from, rows_max);
        self.left -= rows.len();
        rows
    }

    /// What was saved so far.
    pub(super) fn saved(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.saved)
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.saved.iter().map(RecordBatch::get_array_memory_size).sum::<usize>()
    }
}
