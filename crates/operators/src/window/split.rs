//! Rows of one batch by slot.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take_arrays;
use thalweg_dataflow::Result;

use super::panes::{Panes, Slot};
use crate::aggregate::{Columns, failed};

/// The rows of one slot.
pub(super) struct Part {
    pub(super) slot: Slot,
    pub(super) columns: Columns,
    pub(super) rows: usize,
}

/// What says where a row belongs.
pub(super) enum Times<'a> {
    /// The rows' own times; they are late for no window.
    OfRows(&'a [i64]),
    /// Slots, as the times that they travel as.
    OfSlots(Cow<'a, [i64]>),
}

impl Times<'_> {
    /// One time per row.
    pub(super) fn as_slice(&self) -> &[i64] {
        match self {
            Times::OfRows(times) => times,
            Times::OfSlots(times) => times,
        }
    }

    /// The slots as the times that they travel as, one per row.
    pub(super) fn of_slots(&self, panes: Panes) -> Vec<i64> {
        match self {
            Times::OfRows(times) => times.iter().map(|&time| panes.time_of(panes.slot_of(time))).collect(),
            Times::OfSlots(times) => times.to_vec(),
        }
    }

    #[inline]
    fn slot(&self, panes: Panes, time: i64) -> Slot {
        match self {
            Times::OfRows(_) => panes.slot_of(time),
            Times::OfSlots(_) => panes.slot_at(time),
        }
    }
}

/// Splits columns by slot, in the order of slots; rows keep their order within
/// each. Costs a look at the times where all is one slot, or where rows come in
/// the order of time; else one take of each column.
pub(super) fn by_slot(panes: Panes, times: &Times<'_>, columns: Columns) -> Result<Vec<Part>> {
    let all = times.as_slice();
    let (Some(&first), Some(&last)) = (all.iter().min(), all.iter().max()) else { return Ok(Vec::new()) };
    let slot = times.slot(panes, first);
    // Times of one pane lie side by side, and each slot has a time of its own.
    if slot == times.slot(panes, last) {
        return Ok(vec![Part { slot, columns, rows: all.len() }]);
    }
    if all.is_sorted() {
        return Ok(in_order(panes, times, &columns));
    }
    let mut rows_of: BTreeMap<Slot, Vec<u32>> = BTreeMap::new();
    for (row, &time) in (0..).zip(all) {
        rows_of.entry(times.slot(panes, time)).or_default().push(row);
    }
    let order: UInt32Array = rows_of.values().flatten().copied().collect();
    let ordered = take_arrays(&columns, &order, None).map_err(|e| failed(e.into()))?;
    let mut start = 0;
    let parts = rows_of.into_iter().map(|(slot, rows)| {
        let part: Columns = ordered.iter().map(|column: &ArrayRef| column.slice(start, rows.len())).collect();
        start += rows.len();
        Part { slot, columns: part, rows: rows.len() }
    });
    Ok(parts.collect())
}

/// Cuts rows that come in the order of time where a slot ends.
fn in_order(panes: Panes, times: &Times<'_>, columns: &[ArrayRef]) -> Vec<Part> {
    let mut rest = times.as_slice();
    let (mut start, mut parts) = (0, Vec::new());
    while let Some(&first) = rest.first() {
        let slot = times.slot(panes, first);
        let rows = rest.partition_point(|&time| times.slot(panes, time) == slot);
        let part = columns.iter().map(|column| column.slice(start, rows)).collect();
        parts.push(Part { slot, columns: part, rows });
        start += rows;
        rest = &rest[rows..];
    }
    parts
}
