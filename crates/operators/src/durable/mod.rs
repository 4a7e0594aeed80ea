//! What the durable tables of operators have in common: their rows live where their keys do.
//!
//! Rows of open windows go into tables of an operator's own; how far windows
//! have come goes into one beside them. What came since the last epoch is an
//! increment of those tables, and increments are never taken back: a snapshot
//! says which rows are over, and a restore drops those that the progress of
//! their key group has passed.
//!
//! * [`Progress`]: which key groups are ours, and where their windows are closed.
//! * [`Increments`]: what epochs hold that are not yet settled.
//! * [`Unwritten`]: which keys changed, where rows replace each other instead.
//! * [`Gone`]: key groups that left, while rows of theirs may still lie here.

mod gone;
mod increments;
mod progress;
mod unwritten;

pub(crate) use gone::Gone;
pub(crate) use increments::Increments;
pub(crate) use progress::{Came, Progress};
pub(crate) use unwritten::Unwritten;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt16Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, UInt16Type};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::{KEY_GROUP_COLUMN, KeyGroup, KeySpace, hash_keys};

/// The first column of every durable table.
pub(crate) fn key_group_field() -> FieldRef {
    Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false))
}

/// The rows that are hashed at a time: their hashes stay in the cache until they are key groups.
const HASHED_ROWS: usize = 8_192;

/// Where rows with these keys live. The one key of a grouping without keys is the integer 0.
pub(crate) fn key_groups_of(space: KeySpace, keys: &[ArrayRef], rows: usize) -> Result<Vec<KeyGroup>> {
    let constant: [ArrayRef; 1];
    let keys = match keys {
        [] => {
            constant = [Arc::new(Int64Array::from_value(0, rows))];
            &constant
        }
        keys => keys,
    };
    let (mut groups, mut hashes) = (Vec::with_capacity(rows), Vec::new());
    for start in (0..rows).step_by(HASHED_ROWS) {
        let part = keys.iter().map(|column| column.slice(start, HASHED_ROWS.min(rows - start)));
        hash_keys(&part.collect::<Vec<_>>(), &mut hashes)
            .map_err(|e| Error::new(Code::InvalidType, "rows cannot be grouped").because(e))?;
        groups.extend(hashes.iter().map(|&hash| space.group_of(hash)));
    }
    Ok(groups)
}

/// The column of these key groups.
pub(crate) fn key_group_column(groups: &[KeyGroup]) -> ArrayRef {
    Arc::new(UInt16Array::from_iter_values(groups.iter().map(|group| group.0)))
}

/// The key groups of the rows of a durable table.
pub(crate) fn key_groups(batch: &RecordBatch) -> Result<&[u16]> {
    match batch.column(0).as_primitive_opt::<UInt16Type>() {
        Some(groups) if groups.null_count() == 0 => Ok(groups.values()),
        Some(_) | None => Err(Error::internal("the first column of a table is not its key group")),
    }
}

/// The rows of a durable table for which `keep` is true.
pub(crate) fn chosen(batch: &RecordBatch, keep: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(batch, keep)
        .map_err(|e| Error::internal("rows of a table cannot be chosen").because(e))
}
