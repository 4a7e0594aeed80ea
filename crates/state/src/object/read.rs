//! From the bytes of an object back to rows. The bytes may be anything.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::SCHEMA_KEY;
use super::sort::groups_of;
use super::storable::{Stored, schema_of};
use super::write::expiry_values;
use crate::checksum::Checksum;
use crate::manifest::ObjectEntry;
use crate::store::StoreError;
use crate::{KEY_GROUP_COLUMN, KeyGroup, KeyGroups};

/// The rows of a batch that is read.
const BATCH_ROWS: usize = 1 << 16;
/// Wanted rows are cut out of a batch without a copy, up to this number of cuts.
const SLICES_MAX: usize = 16;

/// Which rows of an object are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// Rows of other groups are left out.
    pub(crate) groups: &'a KeyGroups,
    /// Rows whose value of this column is at or below this are left out.
    pub(crate) expired: Option<(usize, i64)>,
}

/// Compares the bytes with what the manifest says about them.
pub(crate) fn check(entry: &ObjectEntry, bytes: Option<Bytes>) -> Result<Bytes, StoreError> {
    let damaged = |reason: String| Err(StoreError::damaged(&entry.name, reason));
    match bytes {
        None => damaged("it is not there".to_owned()),
        Some(bytes) if bytes.is_empty() => damaged("it is empty".to_owned()),
        Some(bytes) if bytes.len() as u64 != entry.bytes => {
            damaged(format!("it has {} bytes, not {}", bytes.len(), entry.bytes))
        }
        Some(bytes) if Checksum::of(&bytes) != entry.checksum => {
            damaged("its checksum does not match its bytes".to_owned())
        }
        Some(bytes) => Ok(bytes),
    }
}

/// The wanted rows, as operators know them.
pub(crate) fn read(object: &str, bytes: Bytes, wanted: &Wanted<'_>) -> Result<Vec<RecordBatch>, StoreError> {
    guarded(object, || {
        let mut rows = Vec::new();
        for stored in read_rows(bytes, wanted)? {
            rows.extend(stored.into_rows().map_err(|e| e.to_string())?);
        }
        Ok(rows)
    })
}

/// The wanted rows, as they are stored.
pub(crate) fn read_stored(
    object: &str,
    bytes: Bytes,
    wanted: &Wanted<'_>,
) -> Result<Vec<Stored>, StoreError> {
    guarded(object, || read_rows(bytes, wanted))
}

/// The checksum has been compared, so what does not parse was forged or is a bug of a
/// library: neither may take the process with it.
fn guarded<T>(object: &str, read: impl FnOnce() -> Result<T, String>) -> Result<T, StoreError> {
    let outcome = catch_unwind(AssertUnwindSafe(read));
    outcome
        .unwrap_or_else(|_| Err("its reader broke down".to_owned()))
        .map_err(|reason| StoreError::damaged(object, reason))
}

fn read_rows(bytes: Bytes, wanted: &Wanted<'_>) -> Result<Vec<Stored>, String> {
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new()).map_err(|e| e.to_string())?;
    let logical = logical_schema(&metadata)?;
    let row_groups = metadata.metadata().row_groups().iter().enumerate();
    let row_groups = row_groups.filter(|(_, group)| may_hold(group, wanted.groups)).map(|(index, _)| index);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata.clone())
        .with_row_groups(row_groups.collect())
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| e.to_string())?;
        for batch in select(batch, wanted)? {
            rows.push(Stored { logical: logical.clone(), batch });
        }
    }
    Ok(rows)
}

fn logical_schema(metadata: &ArrowReaderMetadata) -> Result<SchemaRef, String> {
    let entries = metadata.metadata().file_metadata().key_value_metadata();
    let entry = entries.into_iter().flatten().find(|entry| entry.key == SCHEMA_KEY);
    match entry.and_then(|entry| entry.value.as_deref()) {
        None => Ok(metadata.schema().clone()),
        Some(hex) => schema_of(&crate::manifest::from_hex(hex)?).map_err(|e| e.to_string()),
    }
}

/// Whether a row group may hold rows of these key groups.
fn may_hold(row_group: &RowGroupMetaData, groups: &KeyGroups) -> bool {
    let column = row_group.columns().first().filter(|c| c.column_path().string() == KEY_GROUP_COLUMN);
    let Some(Statistics::Int32(bounds)) = column.and_then(|c| c.statistics()) else { return true };
    let (Some(&low), Some(&high)) = (bounds.min_opt(), bounds.max_opt()) else { return true };
    groups.ranges().iter().any(|&(start, end)| i32::from(start) <= high && low < i32::from(end))
}

/// The wanted rows of a batch, in pieces.
fn select(batch: RecordBatch, wanted: &Wanted<'_>) -> Result<Vec<RecordBatch>, String> {
    let live = match wanted.expired {
        None => batch,
        Some((column, through)) => live_rows(batch, column, through)?,
    };
    let groups = groups_of(&live).ok_or_else(|| format!("its first column is not '{KEY_GROUP_COLUMN}'"))?;
    let (Some(&low), Some(&high)) = (groups.first(), groups.last()) else { return Ok(Vec::new()) };
    if !groups.is_sorted() {
        return Err("its rows are not sorted by key group".to_owned());
    }
    if wanted.groups.ranges().iter().any(|&(start, end)| start <= low && high < end) {
        return Ok(vec![live]);
    }
    let cuts: Vec<_> = wanted
        .groups
        .ranges()
        .iter()
        .map(|&(start, end)| groups.partition_point(|&g| g < start)..groups.partition_point(|&g| g < end))
        .filter(|rows| !rows.is_empty())
        .collect();
    if cuts.len() <= SLICES_MAX {
        return Ok(cuts.into_iter().map(|rows| live.slice(rows.start, rows.len())).collect());
    }
    let keep = BooleanBuffer::collect_bool(groups.len(), |row| wanted.groups.contains(KeyGroup(groups[row])));
    let kept = filter_record_batch(&live, &BooleanArray::new(keep, None)).map_err(|e| e.to_string())?;
    Ok(vec![kept])
}

fn live_rows(batch: RecordBatch, column: usize, through: i64) -> Result<RecordBatch, String> {
    let Some((values, array)) = expiry_values(&batch, column) else { return Ok(batch) };
    let nulls = array.nulls();
    let keep = BooleanBuffer::collect_bool(values.len(), |row| {
        values[row] > through || nulls.is_some_and(|nulls| nulls.is_null(row))
    });
    if keep.count_set_bits() == keep.len() {
        return Ok(batch);
    }
    filter_record_batch(&batch, &BooleanArray::new(keep, None)).map_err(|e| e.to_string())
}
