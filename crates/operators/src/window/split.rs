//! Rows of one batch by pane.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_arrays;
use thalweg_dataflow::Result;

use super::Assigner;
use super::assigner::Pane;
use crate::aggregate::{Columns, failed};

/// The rows of one pane.
pub(super) struct Part {
    pub(super) pane: Pane,
    pub(super) columns: Columns,
    pub(super) rows: usize,
}

/// Splits columns by the panes of `times`, in the order of panes; rows keep
/// their order within each. Costs a look at the times where all is one pane,
/// else one take of each column.
pub(super) fn by_pane(assigner: Assigner, times: &[i64], columns: Columns) -> Result<Vec<Part>> {
    let (Some(&first), Some(&last)) = (times.iter().min(), times.iter().max()) else { return Ok(Vec::new()) };
    let pane = assigner.pane_of(first);
    if pane == assigner.pane_of(last) {
        return Ok(vec![Part { pane, columns, rows: times.len() }]);
    }
    let mut rows_of: BTreeMap<Pane, Vec<u32>> = BTreeMap::new();
    for (row, &time) in (0..).zip(times) {
        rows_of.entry(assigner.pane_of(time)).or_default().push(row);
    }
    let order: UInt32Array = rows_of.values().flatten().copied().collect();
    let ordered = take_arrays(&columns, &order, None).map_err(|e| failed(e.into()))?;
    let mut start = 0;
    let parts = rows_of.into_iter().map(|(pane, rows)| {
        let part: Columns = ordered.iter().map(|column: &ArrayRef| column.slice(start, rows.len())).collect();
        start += rows.len();
        Part { pane, columns: part, rows: rows.len() }
    });
    Ok(parts.collect())
}
