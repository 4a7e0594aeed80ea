//! Rows of some batches in the order of their key groups.

use std::ops::Range;

use arrow::array::types::UInt16Type;
use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::error::ArrowError;

use super::GROUP_RANGES_MAX;
use crate::{KEY_GROUP_COLUMN, KeyGroup, KeyGroups};

/// The key group of each row, or none if the first column does not hold them.
pub(crate) fn groups_of(batch: &RecordBatch) -> Option<&[u16]> {
    let named = batch.schema_ref().fields().first().is_some_and(|f| f.name() == KEY_GROUP_COLUMN);
    let groups = batch.columns().first()?.as_primitive_opt::<UInt16Type>()?;
    (named && groups.null_count() == 0).then_some(groups.values())
}

/// Rows of batches of one schema, sorted by key group; rows of one group keep their order.
pub(super) struct Sorted {
    batches: Vec<RecordBatch>,
    rows: usize,
    order: Order,
}

/// Where the rows lie that come one after the other.
enum Order {
    /// In the only batch, as they are.
    Given,
    /// In these rows of the only batch.
    Rows(UInt32Array),
    /// In these batches and rows.
    Scattered(Vec<(u32, u32)>),
}

impl Sorted {
    /// None if a batch has no key groups.
    pub(super) fn new(batches: Vec<RecordBatch>) -> Option<Self> {
        let groups: Vec<&[u16]> = batches.iter().map(groups_of).collect::<Option<_>>()?;
        let rows = groups.iter().map(|groups| groups.len()).sum();
        let order = match groups[..] {
            [groups] if groups.is_sorted() => Order::Given,
            [_] => Order::Rows(order(&groups, |_, row| row).into()),
            _ => Order::Scattered(order(&groups, |batch, row| (batch, row))),
        };
        Some(Self { batches, rows, order })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Some of the rows.
    pub(super) fn chunk(&self, rows: Range<usize>) -> Result<RecordBatch, ArrowError> {
        match (&self.order, &self.batches[..]) {
            (Order::Given, [batch]) => Ok(batch.slice(rows.start, rows.len())),
            (Order::Rows(order), [batch]) => take_record_batch(batch, &order.slice(rows.start, rows.len())),
            (Order::Scattered(order), batches) => {
                let batches: Vec<&RecordBatch> = batches.iter().collect();
                let indices: Vec<_> =
                    order[rows].iter().map(|&(batch, row)| (batch as usize, row as usize)).collect();
                interleave_record_batch(&batches, &indices)
            }
            (Order::Given | Order::Rows(_), _) => {
                Err(ArrowError::InvalidArgumentError("not one batch".to_owned()))
            }
        }
    }
}

/// A counting sort: there are at most 65,536 groups. `place` makes a place of a batch and a row.
fn order<P: Copy + Default>(groups: &[&[u16]], place: impl Fn(u32, u32) -> P) -> Vec<P> {
    let mut next = vec![0_usize; usize::from(u16::MAX) + 2];
    groups.iter().copied().flatten().for_each(|&group| next[usize::from(group) + 1] += 1);
    for group in 1..next.len() {
        next[group] += next[group - 1];
    }
    let mut order = vec![P::default(); next[next.len() - 1]];
    for (batch, groups) in (0_u32..).zip(groups) {
        for (row, &group) in (0_u32..).zip(*groups) {
            let next = &mut next[usize::from(group)];
            order[*next] = place(batch, row);
            *next += 1;
        }
    }
    order
}

/// The groups of some rows, or, where they are too scattered, all between the first and the last.
pub(super) fn covering(groups: impl Iterator<Item = u16>) -> KeyGroups {
    let groups: KeyGroups = groups.map(KeyGroup).collect();
    match groups.ranges() {
        [(start, _), .., (_, end)] if groups.ranges().len() > GROUP_RANGES_MAX => {
            KeyGroups::range(*start, *end)
        }
        _ => groups,
    }
}
