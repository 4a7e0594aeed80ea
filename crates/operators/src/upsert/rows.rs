//! Rows between columns, bytes and the durable form.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StructArray, UInt16Array, UInt64Array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, UInt16Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::{FrozenTable, KEY_GROUP_COLUMN, KeyGroup, Snapshot};

use super::data_columns;
use super::multiset::{Count, Key, Keys, Row};

/// The table's name.
pub(super) const TABLE: &str = "rows";

/// Writes rows down as bytes that are equal when the rows are, and reads them again.
pub(super) struct RowCodec {
    data: Vec<usize>,
    key: Vec<usize>,
    /// The key columns' places among the data columns.
    key_in_data: Vec<usize>,
    fields: Fields,
    rows: RowConverter,
    keys: RowConverter,
    /// A row of nulls, to stand where there is none.
    nothing: Box<[u8]>,
}

impl RowCodec {
    /// Fails if a column's type has no row format, or a key column is the engine's own.
    pub(super) fn new(input: &Schema, key: &[usize]) -> Result<Self> {
        let data = data_columns(input);
        let fields: Fields = data.iter().map(|&index| Arc::clone(&input.fields()[index])).collect();
        let key_in_data = key
            .iter()
            .map(|index| data.iter().position(|i| i == index))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::internal("a primary key names a column of the engine"))?;
        let rows = converter(&fields)?;
        let keys = converter(&key_in_data.iter().map(|&i| Arc::clone(&fields[i])).collect())?;
        let nulls: Vec<ArrayRef> = fields.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let nothing = rows.convert_columns(&nulls).map_err(broken)?.row(0).data().into();
        Ok(Self { data, key: key.to_vec(), key_in_data, fields, rows, keys, nothing })
    }

    /// The key of each row.
    pub(super) fn keys(&mut self, records: &RecordBatch) -> Result<Rows> {
        let columns: Vec<_> = self.key.iter().map(|&index| Arc::clone(records.column(index))).collect();
        self.keys.convert_columns(&columns).map_err(broken)
    }

    /// Each row without the engine's own columns.
    pub(super) fn rows(&mut self, records: &RecordBatch) -> Result<Rows> {
        let columns: Vec<_> = self.data.iter().map(|&index| Arc::clone(records.column(index))).collect();
        self.rows.convert_columns(&columns).map_err(broken)
    }

    /// Rows as structs; null where there is none.
    pub(super) fn decode<'a>(&self, rows: impl Iterator<Item = Option<&'a [u8]>>) -> Result<StructArray> {
        let rows: Vec<Option<&[u8]>> = rows.collect();
        let parser = self.rows.parser();
        let parsed = rows.iter().map(|row| parser.parse(row.unwrap_or(&self.nothing)));
        let columns = self.rows.convert_rows(parsed).map_err(broken)?;
        // A dictionary comes back as its values.
        let columns = columns
            .into_iter()
            .zip(&self.fields)
            .map(|(column, field)| match column.data_type() == field.data_type() {
                true => Ok(column),
                false => cast(&column, field.data_type()),
            })
            .collect::<Result<Vec<_>, ArrowError>>()
            .map_err(broken)?;
        let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
        StructArray::try_new(self.fields.clone(), columns, Some(nulls)).map_err(broken)
    }
}

fn converter(fields: &Fields) -> Result<RowConverter> {
    let sort_fields = fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
    RowConverter::new(sort_fields).map_err(|e| {
        Error::new(Code::NotSupported, "a column of this type cannot be kept by primary key").because(e)
    })
}

fn broken(error: ArrowError) -> Error {
    Error::internal("rows by primary key cannot be converted").because(error)
}

/// All rows of these keys as one table.
///
/// The row shown is not written: between batches it is the last live one.
pub(super) fn freeze<'a>(keys: impl Iterator<Item = &'a Key>, codec: &RowCodec) -> Result<Snapshot> {
    let rows: Vec<(KeyGroup, &Row, Count)> =
        keys.flat_map(|key| key.rows.iter().map(|(row, count)| (key.group, row, *count))).collect();
    let data = codec.decode(rows.iter().map(|(_, row, _)| Some(&*row.data)))?;
    let columns: Vec<(&str, ArrayRef)> = vec![
        (KEY_GROUP_COLUMN, Arc::new(UInt16Array::from_iter_values(rows.iter().map(|(group, ..)| group.0)))),
        ("row", Arc::new(data)),
        ("timestamp", Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, row, _)| row.timestamp)))),
        ("count", Arc::new(Int64Array::from_iter_values(rows.iter().map(|(.., count)| count.count)))),
        ("asserted", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(.., count)| count.asserted)))),
    ];
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), false);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::new(schema), columns).map_err(broken)?;
    Ok(Snapshot { tables: vec![FrozenTable::full(TABLE, vec![batch])] })
}

/// Reads what [`freeze`] wrote.
pub(super) fn thaw(batch: &RecordBatch, codec: &mut RowCodec, keys: &mut Keys) -> Result<()> {
    thaw_batch(batch, codec, keys)?.ok_or_else(|| Error::internal("rows by primary key cannot be read"))
}

fn thaw_batch(batch: &RecordBatch, codec: &mut RowCodec, keys: &mut Keys) -> Result<Option<()>> {
    let Some((groups, data, timestamps, counts, asserted)) = frozen_columns(batch) else { return Ok(None) };
    if data.data_type() != &DataType::Struct(codec.fields.clone()) {
        return Ok(None);
    }
    let rows = codec.rows.convert_columns(data.columns()).map_err(broken)?;
    let key_columns: Vec<_> = codec.key_in_data.iter().map(|&index| Arc::clone(data.column(index))).collect();
    let names = codec.keys.convert_columns(&key_columns).map_err(broken)?;
    for i in 0..batch.num_rows() {
        let row = Row { data: rows.row(i).data().into(), timestamp: timestamps.value(i) };
        let count = Count { count: counts.value(i), asserted: asserted.value(i) };
        keys.restore(names.row(i).data(), KeyGroup(groups.value(i)), row, count);
    }
    Ok(Some(()))
}

type FrozenColumns<'a> = (&'a UInt16Array, &'a StructArray, &'a Int64Array, &'a Int64Array, &'a UInt64Array);

fn frozen_columns(batch: &RecordBatch) -> Option<FrozenColumns<'_>> {
    let column = |name| batch.column_by_name(name);
    Some((
        column(KEY_GROUP_COLUMN)?.as_primitive_opt::<UInt16Type>()?,
        column("row")?.as_struct_opt()?,
        column("timestamp")?.as_primitive_opt::<Int64Type>()?,
        column("count")?.as_primitive_opt::<Int64Type>()?,
        column("asserted")?.as_primitive_opt::<UInt64Type>()?,
    ))
}
