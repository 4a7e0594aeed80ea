//! The contract of bytes to rows.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::framing::FrameBlock;

/// Turns records into rows of one schema.
pub trait Decoder: Send {
    /// Decodes every frame by itself: what one holds never changes what becomes of another.
    ///
    /// The order of rows is the order of frames. An error is a broken law, not bad input.
    fn decode(&mut self, frames: &FrameBlock<'_>) -> Result<Decoded, DecodeError>;
}

/// What became of a block of frames.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, with exactly the columns of the decoder's schema.
    pub records: RecordBatch,
    /// Which frames became rows.
    pub rows: Rows,
    /// The frames that are no record of this schema, in order.
    pub bad: Vec<BadRecord>,
    /// Cells written: rows times columns.
    pub cells: u64,
}

/// Which frames became rows. What is neither here nor bad was blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Row i is frame i, for every frame.
    All,
    /// Row i is frame `indices[i]`; ascending.
    Some(Vec<u32>),
}

impl Rows {
    /// The frame of each of `rows` rows.
    pub fn frames(&self, rows: usize) -> impl Iterator<Item = usize> + '_ {
        (0..rows).map(move |row| match self {
            Rows::All => row,
            Rows::Some(indices) => indices[row] as usize,
        })
    }
}

/// A frame that is no record, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Its index within the block.
    pub frame: usize,
    /// For people: lower case, no full stop, names quoted.
    pub reason: String,
}

/// Columns that do not fit their own schema: a bug.
#[derive(Debug, thiserror::Error)]
#[error("decoded columns do not make a batch: {0}")]
pub struct DecodeError(#[from] ArrowError);

/// Notes which frames became rows, at no cost while all do.
#[derive(Debug, Default)]
pub(crate) struct RowNotes {
    seen: u32,
    kept: Option<Vec<u32>>,
}

impl RowNotes {
    /// The next frame is a row, or is none.
    pub(crate) fn next(&mut self, is_row: bool) {
        if !is_row && self.kept.is_none() {
            self.kept = Some((0..self.seen).collect());
        }
        if let (true, Some(kept)) = (is_row, &mut self.kept) {
            kept.push(self.seen);
        }
        self.seen += 1;
    }

    pub(crate) fn finish(self) -> Rows {
        self.kept.map_or(Rows::All, Rows::Some)
    }
}
