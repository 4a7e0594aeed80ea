//! Batches that arrive in any size, kept in few.
//!
//! Under a light load a batch is a single row, and thousands of arrays of one
//! value cost more than the values. So whenever [`RUN`] batches of one size
//! class lie at the end, they become one of the next class: a row is copied at
//! most once per class, and a list of n rows has O(log n) small batches.

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use thalweg_dataflow::{Error, Result};

/// Batches of so many rows stay as they came.
const LARGE_ROWS: usize = 4096;
/// How many batches of one class become one of the next, and how the classes are spaced: a power of two.
const RUN: usize = 8;

/// Rows of one schema, without an order.
#[derive(Default)]
pub(super) struct Batches {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl Batches {
    /// Adds rows. An empty batch is nothing.
    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.bytes += bytes_of(&batch)?;
        self.batches.push(batch);
        while let Some(run) = self.run() {
            let small = self.batches.split_off(self.batches.len() - run);
            let joined = concat_batches(small[0].schema_ref(), &small)
                .map_err(|e| Error::internal("rows of a window cannot be joined").because(e))?;
            self.batches.push(joined);
        }
        Ok(())
    }

    /// How many batches at the end are to become one.
    fn run(&self) -> Option<usize> {
        let last = class_of(self.batches.last()?)?;
        let like_last = |batch: &&RecordBatch| class_of(batch).is_some_and(|class| class <= last);
        let run = self.batches.iter().rev().take_while(like_last).count();
        (run >= RUN).then_some(run)
    }

    pub(super) fn into_vec(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// The bytes of the rows.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The size class of a batch; none where it is large.
fn class_of(batch: &RecordBatch) -> Option<u32> {
    (batch.num_rows() < LARGE_ROWS).then(|| batch.num_rows().ilog2() / RUN.ilog2())
}

/// The bytes of these rows, whatever else the memory behind them holds.
pub(crate) fn bytes_of(batch: &RecordBatch) -> Result<usize> {
    let of_column = |column: &dyn Array| column.to_data().get_slice_memory_size();
    let bytes: Result<usize, _> = batch.columns().iter().map(|column| of_column(column.as_ref())).sum();
    bytes.map_err(|e| Error::internal("rows of a window cannot be measured").because(e))
}

#[cfg(test)]
mod tests {
    use thalweg_dataflow::text::read_rows;

    use super::*;
    use crate::testing::schema;

    #[test]
    fn a_hundred_thousand_rows_in_small_batches_are_few_batches() {
        let row = read_rows(&schema("a:int"), "1\n2\n3\n").unwrap();
        for rows in [1, 2, 3] {
            let mut batches = Batches::default();
            (0..100_000).for_each(|_| batches.push(row.slice(0, rows)).unwrap());
            assert!(batches.batches.len() < 60, "{} batches", batches.batches.len());
            assert_eq!(batches.bytes(), 100_000 * rows * 8);
            let kept: usize = batches.into_vec().iter().map(RecordBatch::num_rows).sum();
            assert_eq!(kept, 100_000 * rows);
        }
    }

    #[test]
    fn a_large_batch_is_not_copied() {
        let text: String = (0..LARGE_ROWS).map(|row| format!("{row}\n")).collect();
        let large = read_rows(&schema("a:int"), &text).unwrap();
        let mut batches = Batches::default();
        (0..20).for_each(|_| batches.push(large.clone()).unwrap());
        let same = |batch: &RecordBatch| batch.column(0).to_data().ptr_eq(&large.column(0).to_data());
        assert!(batches.batches.len() == 20 && batches.batches.iter().all(same));
    }
}
