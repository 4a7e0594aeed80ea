//! What the durable tables of operators have in common: their rows live where their keys do.
//!
//! Rows of open windows go into tables of an operator's own; how far windows
//! have come goes into one beside them. What came since the last epoch is an
//! increment of those tables, and increments are never taken back: a restore
//! drops the rows of windows that the progress of their key group has passed.
//!
//! * [`Progress`]: which key groups are ours, and where their windows are closed.
//! * [`Increments`]: what epochs hold that are not yet settled.

mod increments;
mod progress;

pub(crate) use increments::Increments;
pub(crate) use progress::Progress;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt16Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, UInt16Type};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::{FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, KeySpace, hash_keys};

/// The first column of every durable table.
pub(crate) fn key_group_field() -> FieldRef {
    Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false))
}

/// Where rows with these keys live. The one key of a grouping without keys is the integer 0.
pub(crate) fn key_groups_of(space: KeySpace, keys: &[ArrayRef], rows: usize) -> Result<Vec<KeyGroup>> {
    let mut hashes = Vec::new();
    let constant: [ArrayRef; 1] = [Arc::new(Int64Array::from_value(0, rows))];
    hash_keys(if keys.is_empty() { &constant } else { keys }, &mut hashes)
        .map_err(|e| Error::new(Code::InvalidType, "rows cannot be grouped").because(e))?;
    Ok(hashes.into_iter().map(|hash| space.group_of(hash)).collect())
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

/// The rows of a durable table that leave with these key groups, and those that stay.
pub(crate) fn divide(batch: &RecordBatch, groups: &KeyGroups) -> Result<(RecordBatch, RecordBatch)> {
    let own = key_groups(batch)?;
    let part = |leaves: bool| {
        let part = own.iter().map(|&group| Some(groups.contains(KeyGroup(group)) == leaves));
        chosen(batch, &part.collect())
    };
    Ok((part(true)?, part(false)?))
}

/// The same for all batches of a table; of those that stay the table is known.
pub(crate) fn divide_table(
    table: FrozenTable,
    groups: &KeyGroups,
) -> Result<(FrozenTable, Vec<RecordBatch>)> {
    let divided = table.batches.iter().map(|batch| divide(batch, groups)).collect::<Result<Vec<_>>>()?;
    let (leaving, staying) = divided.into_iter().unzip();
    Ok((FrozenTable { batches: leaving, ..table }, staying))
}

/// The rows of a durable table for which `keep` is true.
pub(crate) fn chosen(batch: &RecordBatch, keep: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(batch, keep)
        .map_err(|e| Error::internal("rows of a table cannot be chosen").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::schema_of;

    #[test]
    fn rows_leave_with_their_key_groups_and_no_others() {
        let row: FieldRef = Arc::new(Field::new("row", DataType::Int64, false));
        let groups = key_group_column(&[0, 5, 9, 4, 5].map(KeyGroup));
        let columns = vec![groups, Arc::new(Int64Array::from_iter_values(0..5)) as ArrayRef];
        let batch = RecordBatch::try_new(schema_of([vec![key_group_field(), row]]), columns).unwrap();
        for (leave, leaving, staying) in [
            (KeyGroups::range(4, 6), vec![5, 4, 5], vec![0, 9]),
            (KeyGroups::range(0, 10), vec![0, 5, 9, 4, 5], vec![]),
            (KeyGroups::range(6, 9), vec![], vec![0, 5, 9, 4, 5]),
        ] {
            let parts = divide(&batch, &leave).unwrap();
            assert_eq!(key_groups(&parts.0).unwrap(), leaving);
            assert_eq!(key_groups(&parts.1).unwrap(), staying);
        }
    }
}
