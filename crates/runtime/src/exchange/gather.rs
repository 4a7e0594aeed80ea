//! Rows for one receiver that are too few to travel alone.
//!
//! Pieces are slices of larger batches and keep them in memory; three bounds
//! (rows, pieces, bytes kept) decide when they leave as one copied batch.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use thalweg_dataflow::{Error, Result};

/// The share of a full batch that is worth sending alone.
const ALONE_DIVISOR: usize = 8;
/// The most pieces that wait for one receiver.
const PIECES_MAX: usize = 64;
/// The most bytes that waiting pieces keep in memory for one receiver.
const PINNED_BYTES_MAX: usize = 1 << 20;

/// Pieces that wait, in order.
#[derive(Debug)]
pub(super) struct Gather {
    pieces: Vec<RecordBatch>,
    rows: usize,
    pinned_bytes: usize,
    rows_full: usize,
}

impl Gather {
    pub(super) fn new(batch_rows_max: usize) -> Self {
        let rows_full = (batch_rows_max / ALONE_DIVISOR).max(1);
        Self { pieces: Vec::new(), rows: 0, pinned_bytes: 0, rows_full }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether so many rows are worth a message of their own.
    pub(super) fn travels_alone(&self, rows: usize) -> bool {
        rows >= self.rows_full
    }

    /// Adds rows behind those that wait. Gives all of them once they are enough.
    pub(super) fn add(&mut self, piece: RecordBatch, pinned_bytes: usize) -> Result<Option<RecordBatch>> {
        self.rows += piece.num_rows();
        self.pinned_bytes += pinned_bytes;
        self.pieces.push(piece);
        let full = self.rows >= self.rows_full
            || self.pieces.len() >= PIECES_MAX
            || self.pinned_bytes >= PINNED_BYTES_MAX;
        if full { self.take() } else { Ok(None) }
    }

    /// Gives all rows that wait.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        (self.rows, self.pinned_bytes) = (0, 0);
        if self.pieces.len() <= 1 {
            return Ok(self.pieces.pop());
        }
        let schema = self.pieces[0].schema();
        let joined = concat_batches(&schema, &self.pieces)
            .map_err(|e| Error::internal("batches of one edge do not fit together").because(e))?;
        self.pieces.clear();
        Ok(Some(joined))
    }
}
