//! Many rows, given out in bounded pieces.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::{Code, Error, Result};

/// One column of the rows.
pub(super) enum Content {
    /// A value per row.
    Rows(ArrayRef),
    /// One value all through, repeated for the rows of one piece.
    Constant(ArrayRef),
}

/// Columns of any length, cut into batches without a copy.
pub(super) struct Pieces {
    schema: SchemaRef,
    columns: Vec<Content>,
    rows: usize,
    given: usize,
    piece_rows_max: usize,
}

impl Pieces {
    /// `columns` is told how many rows one piece has at most, for its constants.
    pub(super) fn new(
        schema: SchemaRef,
        rows: usize,
        piece_rows_max: usize,
        columns: impl FnOnce(usize) -> Vec<Content>,
    ) -> Self {
        let columns = columns(rows.min(piece_rows_max));
        Self { schema, columns, rows, given: 0, piece_rows_max }
    }

    /// Whether all rows were given.
    pub(super) fn is_empty(&self) -> bool {
        self.given == self.rows
    }

    /// The next rows. Not to be called when there are none.
    pub(super) fn next_piece(&mut self) -> Result<RecordBatch> {
        let rows = (self.rows - self.given).min(self.piece_rows_max);
        let columns = self.columns.iter().map(|content| match content {
            Content::Rows(column) => column.slice(self.given, rows),
            Content::Constant(column) => column.slice(0, rows),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let piece =
            RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns.collect(), &options)
                .map_err(|e| {
                    Error::new(Code::OperatorFailed, "the results of an aggregate do not fit").because(e)
                })?;
        self.given += rows;
        Ok(piece)
    }
}
