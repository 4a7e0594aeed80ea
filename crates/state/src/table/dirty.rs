//! Which rows changed since the last complete epoch.
//!
//! A row that an unsettled epoch wrote is written by the next epoch too: an
//! increment replaces rows, so writing one twice is harmless, and no order of
//! settlements loses it.

use super::bits::Bits;
use crate::{Epoch, planted};

/// Which rows changed, and what unsettled epochs wrote.
#[derive(Default)]
pub(super) struct Dirty {
    rows: usize,
    changed: Bits,
    /// What each unsettled epoch wrote, oldest first.
    unsettled: Vec<(Epoch, Bits)>,
    /// The epoch that was settled last, and whether it is complete.
    settled: Option<(Epoch, bool)>,
}

impl Dirty {
    #[inline]
    pub(super) fn mark(&mut self, row: u32) {
        self.changed.set(row);
    }

    /// There are so many rows from now on; new ones did not change.
    pub(super) fn grow(&mut self, rows: usize) {
        self.rows = rows;
        self.changed.grow(rows);
    }

    /// These rows did not change.
    pub(super) fn unmark(&mut self, rows: &[u32]) {
        rows.iter().for_each(|&row| self.changed.clear(row));
    }

    /// An epoch wrote these rows, though not out of this table.
    pub(super) fn put(&mut self, epoch: Epoch, rows: &[u32]) {
        match self.settled {
            Some((settled, true)) if settled == epoch => {}
            Some((settled, false)) if settled == epoch => rows.iter().for_each(|&row| self.mark(row)),
            Some(_) | None => {
                let mut written = Bits::none_of(self.rows);
                rows.iter().for_each(|&row| written.set(row));
                self.unsettled.push((epoch, written));
            }
        }
    }

    /// The changed rows, which are this epoch's to write. None is changed any more.
    pub(super) fn freeze(&mut self, epoch: Epoch) -> Bits {
        self.unsettled.iter().for_each(|(_, rows)| self.changed.union(rows));
        let changed = std::mem::replace(&mut self.changed, Bits::none_of(self.rows));
        self.unsettled.push((epoch, changed.clone()));
        changed
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
        let aborted = self.unsettled.extract_if(.., |(e, _)| *e == epoch);
        aborted.for_each(|(_, rows)| self.changed.union(&rows));
    }

    pub(super) fn bytes(&self) -> usize {
        self.changed.bytes() + self.unsettled.iter().map(|(_, rows)| rows.bytes()).sum::<usize>()
    }
}
