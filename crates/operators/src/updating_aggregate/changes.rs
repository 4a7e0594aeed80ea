//! What a batch changed, as retracts and asserts.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int8Array, RecordBatch, TimestampNanosecondArray, make_comparator,
};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{SortOptions, filter};
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::{Code, Error, Result};

use crate::aggregate::{Columns, failed};

/// Marks in `changed` the rows where two columns of equal length differ.
pub(super) fn mark_changed(old: &ArrayRef, new: &ArrayRef, changed: &mut [bool]) -> Result<()> {
    if old.data_type().is_nested() {
        let compare = make_comparator(old, new, SortOptions::default()).map_err(|e| failed(e.into()))?;
        changed.iter_mut().enumerate().for_each(|(row, changed)| *changed |= compare(row, row).is_ne());
        return Ok(());
    }
    let differs = distinct(old, new).map_err(|e| failed(e.into()))?;
    changed.iter_mut().zip(differs.values()).for_each(|(changed, differs)| *changed |= differs);
    Ok(())
}

/// The chosen rows of keys and results with their event times, all asserted or
/// all retracted; none if no row is chosen.
pub(super) fn rows(
    schema: &SchemaRef,
    columns: &[ArrayRef],
    times: Vec<i64>,
    chosen: &BooleanArray,
    diff: i8,
) -> Result<Option<RecordBatch>> {
    let count = chosen.true_count();
    if count == 0 {
        return Ok(None);
    }
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times));
    let all: Vec<&ArrayRef> = columns.iter().chain([&times]).collect();
    let mut kept: Columns = if count == chosen.len() {
        all.into_iter().cloned().collect()
    } else {
        all.into_iter().map(|c| filter(c, chosen)).collect::<Result<_, _>>().map_err(|e| failed(e.into()))?
    };
    kept.push(Arc::new(Int8Array::from_value(diff, count)));
    let batch = RecordBatch::try_new(Arc::clone(schema), kept)
        .map_err(|e| Error::new(Code::OperatorFailed, "the results of an aggregate do not fit").because(e))?;
    Ok(Some(batch))
}
