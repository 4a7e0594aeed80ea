//! Rewriting objects, one slice of the key space after the other.
//!
//! A slice is as much as fits into memory several times over; an input that
//! reaches into later slices is kept, encoded, until the last of them.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::row::{RowConverter, Rows, SortField};
use bytes::Bytes;

use super::Compaction;
use crate::history::{History, expired_rows};
use crate::object::{Encoded, Stored, Wanted, check, objects, read_stored};
use crate::store::StoreError;
use crate::{Change, KeyGroups};

/// The objects of a compaction, slice by slice.
pub(crate) struct Rewrite<'a> {
    history: &'a History,
    compaction: &'a Compaction,
    /// Slices that are not done, last first.
    slices: Vec<(u16, u16)>,
    /// Inputs that reach into the next slice.
    open: BTreeMap<usize, Bytes>,
}

pub(crate) fn rewrite<'a>(history: &'a History, compaction: &'a Compaction) -> Rewrite<'a> {
    Rewrite { history, compaction, slices: slices(compaction), open: BTreeMap::new() }
}

impl Rewrite<'_> {
    /// The objects of the next slice; none when all is done.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Encoded>>, StoreError> {
        let Some((start, end)) = self.slices.pop() else { return Ok(None) };
        let groups = KeyGroups::range(start, end);
        let table = &self.compaction.inputs;
        let mut rows = Vec::new();
        for (index, entry) in table.objects.iter().enumerate() {
            if !entry.groups.intersects(&groups) {
                continue;
            }
            let bytes = match self.open.remove(&index) {
                Some(bytes) => bytes,
                None => check(entry, self.history.read_object(&entry.name).await?)?,
            };
            let wanted = Wanted { groups: &groups, expired: expired_rows(table, entry) };
            rows.extend(read_stored(&entry.name, bytes.clone(), &wanted)?);
            if entry.groups.ranges().iter().any(|&(_, last)| last > end) {
                self.open.insert(index, bytes);
            }
        }
        let refuse = |reason| StoreError::Unstorable { table: self.compaction.table.clone(), reason };
        if let Change::Upsert { key } = table.change {
            rows = newest_rows(rows, key).map_err(refuse)?;
        }
        let expiry = table.expired.map(|expired| expired.column);
        let objects = objects(&rows, expiry).map_err(refuse)?;
        let encoded = objects.into_iter().flatten().collect::<Result<_, _>>().map_err(refuse)?;
        Ok(Some(encoded))
    }
}

/// Cuts the key space of the inputs, last slice first.
fn slices(compaction: &Compaction) -> Vec<(u16, u16)> {
    let ranges = || compaction.inputs.objects.iter().flat_map(|object| object.groups.ranges());
    let (Some(first), Some(end)) = (ranges().map(|r| r.0).min(), ranges().map(|r| r.1).max()) else {
        return Vec::new();
    };
    let span = u64::from(end - first);
    let count = compaction.bytes().div_ceil(compaction.slice_bytes).clamp(1, span);
    let cut = |slice: u64| first + (span * slice / count) as u16;
    (0..count).rev().map(|slice| (cut(slice), cut(slice + 1))).collect()
}

/// Of the rows of one key only the last. Rows whose keys are of different types are different keys.
fn newest_rows(mut rows: Vec<Stored>, key: usize) -> Result<Vec<Stored>, String> {
    let Some(first) = rows.first() else { return Ok(rows) };
    let types = |batch: &RecordBatch| -> Option<Vec<_>> {
        Some(batch.schema_ref().fields().get(..=key)?.iter().map(|f| f.data_type().clone()).collect())
    };
    let key_types = types(&first.batch).ok_or_else(|| format!("it has fewer than {key} key columns"))?;
    if rows.iter().any(|stored| types(&stored.batch).as_ref() != Some(&key_types)) {
        return Ok(rows);
    }
    let fields = key_types.into_iter().map(SortField::new).collect();
    let converter = RowConverter::new(fields).map_err(|e| e.to_string())?;
    let keys: Vec<Rows> = rows
        .iter()
        .map(|stored| converter.convert_columns(&stored.batch.columns()[..=key]))
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    let mut seen = HashSet::new();
    let mut keep: Vec<BooleanBuffer> = Vec::with_capacity(keys.len());
    for keys in keys.iter().rev() {
        let mut mask: Vec<bool> = (0..keys.num_rows()).rev().map(|row| seen.insert(keys.row(row))).collect();
        mask.reverse();
        keep.push(BooleanBuffer::from(mask));
    }
    for (stored, keep) in rows.iter_mut().zip(keep.into_iter().rev()) {
        stored.batch =
            filter_record_batch(&stored.batch, &BooleanArray::new(keep, None)).map_err(|e| e.to_string())?;
    }
    rows.retain(|stored| stored.batch.num_rows() > 0);
    Ok(rows)
}

#[cfg(test)]
mod tests;
