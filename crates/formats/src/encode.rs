//! The contract of rows to bytes.

use arrow::array::RecordBatch;

/// Turns rows of one schema into records, each with a newline behind it.
pub trait Encoder: Send {
    /// Appends the rows to `out`. After an error `out` is as it was.
    fn encode(&mut self, records: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// Rows that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The batch is not of the schema that the encoder was made for.
    #[error("the rows have other columns than the encoder: expected {expected}, found {found}")]
    OtherSchema {
        /// The columns of the encoder.
        expected: String,
        /// The columns of the batch.
        found: String,
    },
    /// A column's type has no form in this format.
    #[error("a column cannot be written: {0}")]
    Column(String),
    /// A row says neither assert nor retract.
    #[error("row {row} has the difference {diff}, which is neither 1 nor -1")]
    Diff {
        /// The row within the batch.
        row: usize,
        /// What it says.
        diff: i8,
    },
}
