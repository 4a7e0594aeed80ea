//! Values by row id, in chunks of equal length: a table that grows never moves what it holds.
//!
//! Moving gigabytes would hold up the rows of a job each time that a table
//! doubles, and take its memory twice. A whole chunk that comes in memory of its
//! own is taken over as it is.

/// As many rows as are decoded at a time when a table is restored.
const CHUNK_ROWS: usize = 1 << 16;

/// A vector that grows by chunks.
pub(super) struct Chunks<T>(
    /// All but the last are full.
    Vec<Vec<T>>,
);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Chunks<T> {
    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK_ROWS + last.len())
    }

    #[inline]
    pub(super) fn get(&self, row: u32) -> T {
        self.0[row as usize / CHUNK_ROWS][row as usize % CHUNK_ROWS]
    }

    #[inline]
    pub(super) fn set(&mut self, row: u32, value: T) {
        self.0[row as usize / CHUNK_ROWS][row as usize % CHUNK_ROWS] = value;
    }

    /// Appends a copy of these values.
    pub(super) fn extend(&mut self, mut values: &[T]) {
        while !values.is_empty() {
            if self.ends_with_a_chunk() {
                self.0.push(Vec::new());
            }
            let last = self.0.last_mut().expect("one that is not full was added");
            let (fitting, rest) = values.split_at(values.len().min(CHUNK_ROWS - last.len()));
            last.extend_from_slice(fitting);
            values = rest;
        }
    }

    /// Appends these values, in their own memory if they are a chunk.
    pub(super) fn append(&mut self, values: Vec<T>) {
        if values.len() == CHUNK_ROWS && self.ends_with_a_chunk() {
            self.0.push(values);
        } else {
            self.extend(&values);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }

    fn ends_with_a_chunk(&self) -> bool {
        self.0.last().is_none_or(|last| last.len() == CHUNK_ROWS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_their_rows_say_however_they_come() {
        let mut chunks = Chunks::default();
        let mut model: Vec<u32> = Vec::new();
        for values in [3, CHUNK_ROWS, 1, 2 * CHUNK_ROWS + 5, CHUNK_ROWS - 9, CHUNK_ROWS, 7] {
            let next: Vec<u32> = (0..values as u32).map(|value| value + model.len() as u32).collect();
            model.extend(&next);
            if values % 2 == 0 {
                chunks.append(next)
            } else {
                chunks.extend(&next)
            }
            assert_eq!(chunks.len(), model.len());
        }
        assert_eq!(chunks.0.len(), model.len().div_ceil(CHUNK_ROWS));
        chunks.set(CHUNK_ROWS as u32, 0);
        model[CHUNK_ROWS] = 0;
        assert!((0..).zip(&model).all(|(row, &value)| chunks.get(row) == value));
    }

    #[test]
    fn a_chunk_that_fits_is_not_copied() {
        let mut chunks = Chunks::default();
        let chunk = vec![1_u64; CHUNK_ROWS];
        let place = chunk.as_ptr();
        chunks.append(chunk);
        assert_eq!(chunks.0[0].as_ptr(), place);
        assert_eq!(chunks.bytes(), CHUNK_ROWS * size_of::<u64>());
    }
}
