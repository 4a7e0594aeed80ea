//! The durable form of splits: one row each.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray, UInt16Array, UInt64Array,
};
use arrow::datatypes::{Field, Int64Type, Schema, UInt64Type};
use thalweg_dataflow::{Error, Result};
use thalweg_state::{FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeySpace, Snapshot, SplitId, hash_keys};

use super::lateness::LatenessSketch;
use super::split::{Lateness, Split};

/// The table's name.
pub(super) const TABLE: &str = "splits";

/// The key group under which a split's state is kept.
fn group_of(id: &SplitId, space: KeySpace) -> KeyGroup {
    let name: ArrayRef = Arc::new(StringArray::from_iter_values([id.as_str()]));
    let mut hashes = Vec::new();
    hash_keys(&[name], &mut hashes).expect("a text is a key");
    space.group_of(hashes[0])
}

/// All splits as one table, whole at every epoch.
pub(super) fn freeze<'a>(
    splits: impl Iterator<Item = (&'a SplitId, &'a Split)>,
    space: KeySpace,
) -> Result<Snapshot> {
    let splits: Vec<_> = splits.collect();
    let learnt = || splits.iter().map(|(_, split)| split.lateness.as_ref());
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            KEY_GROUP_COLUMN,
            Arc::new(UInt16Array::from_iter_values(splits.iter().map(|(id, _)| group_of(id, space).0))),
        ),
        ("split", Arc::new(StringArray::from_iter_values(splits.iter().map(|(id, _)| id.as_str())))),
        (
            "watermark",
            Arc::new(Int64Array::from_iter_values(splits.iter().map(|(_, split)| split.watermark))),
        ),
        ("newest", Arc::new(learnt().map(|l| l.map(|l| l.newest)).collect::<Int64Array>())),
        ("rows", Arc::new(learnt().map(|l| l.map(|l| l.rows)).collect::<UInt64Array>())),
        ("allowed_lateness", Arc::new(learnt().map(|l| l.and_then(|l| l.allowed)).collect::<Int64Array>())),
        ("lateness", Arc::new(learnt().map(|l| l.map(|l| l.sketch.to_bytes())).collect::<BinaryArray>())),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|e| Error::internal("the state of splits cannot be frozen").because(e))?;
    Ok(Snapshot { tables: vec![FrozenTable::full(TABLE, vec![batch])] })
}

/// Reads what [`freeze`] wrote; of several rows of one split the last holds.
pub(super) fn thaw(batches: Vec<RecordBatch>) -> Result<Vec<(SplitId, Split)>> {
    let mut splits = Vec::new();
    for batch in &batches {
        splits
            .extend(thaw_batch(batch).ok_or_else(|| Error::internal("the state of splits cannot be read"))?);
    }
    Ok(splits)
}

fn thaw_batch(batch: &RecordBatch) -> Option<Vec<(SplitId, Split)>> {
    let column = |name| batch.column_by_name(name);
    let ids = column("split")?.as_string_opt::<i32>()?;
    let watermarks = column("watermark")?.as_primitive_opt::<Int64Type>()?;
    let newest = column("newest")?.as_primitive_opt::<Int64Type>()?;
    let rows = column("rows")?.as_primitive_opt::<UInt64Type>()?;
    let allowed = column("allowed_lateness")?.as_primitive_opt::<Int64Type>()?;
    let sketches = column("lateness")?.as_binary_opt::<i32>()?;
    let thaw_row = |row: usize| {
        let lateness = match sketches.is_valid(row) {
            true => Some(Lateness {
                newest: newest.value(row),
                rows: rows.value(row),
                allowed: allowed.is_valid(row).then(|| allowed.value(row)),
                sketch: LatenessSketch::from_bytes(sketches.value(row))?,
            }),
            false => None,
        };
        Some((SplitId::new(ids.value(row)), Split { watermark: watermarks.value(row), lateness }))
    };
    (0..batch.num_rows()).map(thaw_row).collect()
}
