//! The contract of rows to bytes.

use arrow::array::RecordBatch;

use crate::framing::{Framing, LengthOverflow};

/// Turns rows of one schema into records.
pub trait Encoder: Send {
    /// Appends the rows to `out`, told apart by `framing`, or one right behind the other without one.
    /// After an error `out` is as it was.
    fn encode_framed(
        &mut self,
        records: &RecordBatch,
        framing: Option<Framing>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError>;

    /// Appends the rows to `out`, each with a newline behind it. After an error `out` is as it was.
    fn encode(&mut self, records: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_framed(records, Some(Framing::Newline), out)
    }
}

/// Appends `rows` records, each as `write` gives it.
pub(crate) fn write_records(
    rows: usize,
    framing: Option<Framing>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(usize, &mut Vec<u8>),
) -> Result<(), EncodeError> {
    let before = out.len();
    for row in 0..rows {
        let start = framing.map_or(out.len(), |framing| framing.begin(out));
        write(row, out);
        let ended = framing.map_or(Ok(()), |framing| framing.end(start, out));
        if let Err(LengthOverflow { bytes }) = ended {
            out.truncate(before);
            return Err(EncodeError::TooLong { row, bytes });
        }
    }
    Ok(())
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
    /// A record is longer than the bytes of its length can say.
    #[error("row {row} has {bytes} bytes, which is more than the length before it can say")]
    TooLong {
        /// The row within the batch.
        row: usize,
        /// The bytes of its record.
        bytes: usize,
    },
    /// A row says neither assert nor retract.
    #[error("row {row} has the difference {diff}, which is neither 1 nor -1")]
    Diff {
        /// The row within the batch.
        row: usize,
        /// What it says.
        diff: i8,
    },
}
