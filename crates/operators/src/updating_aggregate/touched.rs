//! The groups that one batch touches, numbered from 0 without gaps.

/// Finds and numbers touched groups; keeps its memory from batch to batch.
#[derive(Default)]
pub(super) struct Toucher {
    /// For each group the last batch that touched it, and its slot there.
    stamps: Vec<(u32, u32)>,
    batch: u32,
    /// Memory of slots that are done with.
    spare: Vec<usize>,
}

/// The groups that a batch touches. Groups that were there before come first.
pub(super) struct Touched {
    /// The slot of each row's group.
    pub(super) slots: Vec<usize>,
    /// The ids of the groups that were there before, by slot.
    pub(super) old: Vec<u32>,
    /// The first row of each group, by slot; new groups stand behind the old ones in the order of their ids.
    pub(super) first_rows: Vec<u32>,
}

impl Toucher {
    /// `ids` are the groups of the rows; those from `before` up to `after` are
    /// new, numbered in the order of their first rows.
    pub(super) fn touch(&mut self, ids: &[usize], before: usize, after: usize) -> Touched {
        self.next_batch(after);
        let (mut old, mut first_rows, mut first_rows_of_new) = (Vec::new(), Vec::new(), Vec::new());
        let mut slots = std::mem::take(&mut self.spare);
        slots.clear();
        for (row, &id) in (0..).zip(ids) {
            let stamp = &mut self.stamps[id];
            if stamp.0 != self.batch {
                let slot = if id < before {
                    old.push(id as u32);
                    first_rows.push(row);
                    old.len() - 1
                } else {
                    first_rows_of_new.push(row);
                    id - before
                };
                *stamp = (self.batch, slot as u32);
            }
            slots.push(stamp.1 as usize);
        }
        if after > before {
            // Only now is it known behind how many old groups the new ones stand.
            let behind = old.len();
            slots.iter_mut().zip(ids).for_each(|(slot, &id)| *slot += if id < before { 0 } else { behind });
            first_rows.append(&mut first_rows_of_new);
        }
        Touched { slots, old, first_rows }
    }

    /// Takes back the memory of slots for the next batch.
    pub(super) fn recycle(&mut self, touched: Touched) {
        self.spare = touched.slots;
    }

    fn next_batch(&mut self, groups: usize) {
        if groups > self.stamps.len() {
            // Zeros are not written down before they are touched: the first batch of a large past does not wait.
            let mut stamps = vec![(0, 0); groups.next_power_of_two()];
            stamps[..self.stamps.len()].copy_from_slice(&self.stamps);
            self.stamps = stamps;
        }
        self.batch = self.batch.checked_add(1).unwrap_or_else(|| {
            self.stamps.fill((0, 0));
            1
        });
    }

    pub(super) fn bytes(&self) -> usize {
        self.stamps.capacity() * size_of::<(u32, u32)>() + self.spare.capacity() * size_of::<usize>()
    }
}

impl Touched {
    /// The number of touched groups.
    pub(super) fn len(&self) -> usize {
        self.first_rows.len()
    }

    /// The greatest of the rows' values, by slot.
    pub(super) fn greatest(&self, values: &[i64]) -> Vec<i64> {
        let mut greatest = vec![i64::MIN; self.len()];
        for (&slot, &value) in self.slots.iter().zip(values) {
            greatest[slot] = greatest[slot].max(value);
        }
        greatest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_groups_come_first_and_new_ones_by_id() {
        let mut toucher = Toucher::default();
        toucher.touch(&[0, 1, 2, 3], 0, 4);
        let touched = toucher.touch(&[4, 2, 5, 2, 0, 4], 4, 6);
        assert_eq!(touched.old, [2, 0]);
        assert_eq!(touched.slots, [2, 0, 3, 0, 1, 2]);
        assert_eq!(touched.first_rows, [1, 4, 0, 2]);
        assert_eq!(touched.greatest(&[1, 9, 3, 4, 5, 6]), [9, 5, 6, 3]);
        toucher.recycle(touched);
        assert_eq!(toucher.touch(&[1], 6, 6).slots, [0]);
    }

    #[test]
    fn the_number_of_batches_may_wrap() {
        let mut toucher = Toucher { stamps: vec![(1, 7)], batch: u32::MAX, spare: Vec::new() };
        assert_eq!(toucher.touch(&[0, 0], 1, 1).slots, [0, 0]);
    }
}
