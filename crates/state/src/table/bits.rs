//! A set of rows, one bit per row of the table.

/// Rows that something is true of.
#[derive(Clone, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// None of so many rows.
    pub(super) fn none_of(rows: usize) -> Self {
        Self(vec![0; rows.div_ceil(64)])
    }

    /// There are so many rows from now on; nothing is true of new ones.
    pub(super) fn grow(&mut self, rows: usize) {
        self.0.resize(rows.div_ceil(64), 0);
    }

    #[inline]
    pub(super) fn set(&mut self, row: u32) {
        self.0[row as usize / 64] |= 1 << (row % 64);
    }

    #[inline]
    pub(super) fn clear(&mut self, row: u32) {
        self.0[row as usize / 64] &= !(1 << (row % 64));
    }

    /// Whether it was set; it is not any more. False for rows that came later.
    #[inline]
    pub(super) fn take(&mut self, row: u32) -> bool {
        let Some(word) = self.0.get_mut(row as usize / 64) else { return false };
        let bit = 1 << (row % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    /// Sets what is set in `others`, which may know of fewer rows.
    pub(super) fn union(&mut self, others: &Bits) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, other)| *word |= other);
    }

    /// How many are set.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Clears the first `rows_max` rows that are set, and answers which. No word before `from` may
    /// have one; nor has one before where it stands afterwards.
    pub(super) fn drain(&mut self, from: &mut usize, rows_max: usize) -> Vec<u32> {
        let mut rows = Vec::with_capacity(rows_max.min(self.0.len().saturating_sub(*from) * 64));
        while let Some(word) = self.0.get_mut(*from) {
            while *word != 0 {
                if rows.len() == rows_max {
                    return rows;
                }
                rows.push(*from as u32 * 64 + word.trailing_zeros());
                *word &= *word - 1;
            }
            *from += 1;
        }
        rows
    }

    /// The bytes held in memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}
