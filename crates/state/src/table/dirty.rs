//! Which rows changed since the last complete epoch.
//!
//! A row that an unsettled epoch wrote is written by the next epoch too: an
//! increment replaces rows, so writing one twice is harmless, and no order of
//! settlements loses it.

use crate::{Epoch, planted};

/// One bit per row, and what unsettled epochs wrote.
#[derive(Default)]
pub(super) struct Dirty {
    bits: Vec<u64>,
    /// What each unsettled epoch wrote, oldest first.
    unsettled: Vec<(Epoch, Vec<u32>)>,
    /// The epoch that was settled last, and whether it is complete.
    settled: Option<(Epoch, bool)>,
}

impl Dirty {
    #[inline]
    pub(super) fn mark(&mut self, row: u32) {
        self.bits[row as usize / 64] |= 1 << (row % 64);
    }

    /// There are so many rows from now on; new ones did not change.
    pub(super) fn grow(&mut self, rows: usize) {
        self.bits.resize(rows.div_ceil(64), 0);
    }

    #[inline]
    fn clear(&mut self, row: u32) {
        self.bits[row as usize / 64] &= !(1 << (row % 64));
    }

    /// These rows did not change.
    pub(super) fn unmark(&mut self, rows: &[u32]) {
        rows.iter().for_each(|&row| self.clear(row));
    }

    /// An epoch wrote these rows, though not out of this table.
    pub(super) fn put(&mut self, epoch: Epoch, rows: &[u32]) {
        match self.settled {
            Some((settled, true)) if settled == epoch => {}
            Some((settled, false)) if settled == epoch => rows.iter().for_each(|&row| self.mark(row)),
            Some(_) | None => self.unsettled.push((epoch, rows.to_vec())),
        }
    }

    /// The changed rows, in row order.
    pub(super) fn freeze(&mut self, epoch: Epoch) -> Vec<u32> {
        for (_, rows) in &self.unsettled {
            rows.iter().for_each(|&row| self.bits[row as usize / 64] |= 1 << (row % 64));
        }
        let rows = self.take_rows();
        self.unsettled.push((epoch, rows.clone()));
        rows
    }

    fn take_rows(&mut self) -> Vec<u32> {
        let marked = self.bits.iter().map(|word| word.count_ones() as usize).sum();
        let mut rows = Vec::with_capacity(marked);
        for (word, bits) in self.bits.iter_mut().enumerate() {
            let mut rest = std::mem::take(bits);
            while rest != 0 {
                rows.push(word as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        rows
    }

    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.settled = Some((epoch, complete));
        if complete {
            self.unsettled.retain(|(e, _)| *e > epoch);
            return;
        }
        if planted("dirty mark lost after an abort") {
            return self.unsettled.retain(|(e, _)| *e != epoch);
        }
        let aborted: Vec<_> = self.unsettled.extract_if(.., |(e, _)| *e == epoch).collect();
        aborted.into_iter().flat_map(|(_, rows)| rows).for_each(|row| self.mark(row));
    }

    pub(super) fn bytes(&self) -> usize {
        let unsettled: usize =
            self.unsettled.iter().map(|(_, rows)| rows.capacity() * size_of::<u32>()).sum();
        self.bits.capacity() * size_of::<u64>() + unsettled
    }
}
