//! Rows between columns, bytes and the durable form.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StructArray, UInt16Array, UInt64Array,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, UInt16Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::{FrozenTable, KEY_GROUP_COLUMN};

use super::data_columns;
use super::multiset::{Count, KeyRows, Keys, Name, Row};

/// The table's name.
pub(super) const TABLE: &str = "rows";
/// The column of the rows of a key.
const ROWS: &str = "_rows";

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

    /// What is written of each row.
    fn item(&self) -> Fields {
        Fields::from(vec![
            Field::new("row", DataType::Struct(self.fields.clone()), false),
            Field::new("timestamp", DataType::Int64, false),
            Field::new("count", DataType::Int64, false),
            Field::new("asserted", DataType::UInt64, false),
        ])
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

/// Keys with all their rows as one table: `key group │ primary key… │ _rows`, a list of row, event time,
/// count, and number of the last assert. A key without rows has an empty list.
///
/// The row shown is not written: between batches it is the last live one.
pub(super) fn table(keys: &[KeyRows], codec: &RowCodec) -> Result<FrozenTable> {
    if keys.is_empty() {
        return Ok(FrozenTable::upsert(TABLE, codec.key.len(), Vec::new()));
    }
    let rows = || keys.iter().flat_map(|(_, rows)| rows);
    let data = codec.decode(rows().map(|(row, _)| Some(&*row.data)))?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(data),
        Arc::new(Int64Array::from_iter_values(rows().map(|(row, _)| row.timestamp))),
        Arc::new(Int64Array::from_iter_values(rows().map(|(_, count)| count.count))),
        Arc::new(UInt64Array::from_iter_values(rows().map(|(_, count)| count.asserted))),
    ];
    let item = codec.item();
    let item_rows = StructArray::try_new(item.clone(), columns, None).map_err(broken)?;
    let lengths = OffsetBuffer::from_lengths(keys.iter().map(|(_, rows)| rows.len()));
    let field = Arc::new(Field::new_list_field(DataType::Struct(item), false));
    let lists = ListArray::try_new(field, lengths, Arc::new(item_rows), None).map_err(broken)?;
    let groups = UInt16Array::from_iter_values(keys.iter().map(|((group, _), _)| *group));
    let parser = codec.keys.parser();
    let names =
        codec.keys.convert_rows(keys.iter().map(|((_, name), _)| parser.parse(name))).map_err(broken)?;
    let key_fields = codec.key_in_data.iter().map(|&index| &codec.fields[index]);
    let mut fields = vec![Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(groups)];
    for (field, column) in key_fields.zip(names) {
        fields.push(Field::new(field.name(), field.data_type().clone(), true));
        columns.push(cast(&column, field.data_type()).map_err(broken)?);
    }
    fields.push(Field::new(ROWS, lists.data_type().clone(), false));
    columns.push(Arc::new(lists));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(broken)?;
    Ok(FrozenTable::upsert(TABLE, codec.key.len(), vec![batch]))
}

/// Reads what [`table`] wrote, in place of what is known of these keys. Answers the keys.
pub(super) fn thaw(batch: &RecordBatch, codec: &RowCodec, keys: &mut Keys) -> Result<Vec<Name>> {
    let unreadable = || Error::internal("rows by primary key cannot be read");
    let frozen = frozen_columns(batch).ok_or_else(unreadable)?;
    if frozen.data.data_type() != &DataType::Struct(codec.fields.clone()) {
        return Err(unreadable());
    }
    let data = codec.rows.convert_columns(frozen.data.columns()).map_err(broken)?;
    let names = codec.keys.convert_columns(&batch.columns()[1..=codec.key.len()]).map_err(broken)?;
    let mut thawed = Vec::with_capacity(batch.num_rows());
    for (i, range) in frozen.offsets.windows(2).enumerate() {
        let row = |at: usize| {
            let row = Row { data: data.row(at).data().into(), timestamp: frozen.timestamps.value(at) };
            (row, Count { count: frozen.counts.value(at), asserted: frozen.asserted.value(at) })
        };
        let name: Name = (frozen.groups.value(i), names.row(i).data().into());
        keys.restore(name.clone(), (range[0] as usize..range[1] as usize).map(row).collect());
        thawed.push(name);
    }
    Ok(thawed)
}

/// The columns of the table, and of the rows in its lists.
struct Frozen<'a> {
    groups: &'a UInt16Array,
    offsets: &'a [i32],
    data: &'a StructArray,
    timestamps: &'a Int64Array,
    counts: &'a Int64Array,
    asserted: &'a UInt64Array,
}

fn frozen_columns(batch: &RecordBatch) -> Option<Frozen<'_>> {
    let lists = batch.column_by_name(ROWS)?.as_list_opt::<i32>()?;
    let [data, timestamps, counts, asserted] = lists.values().as_struct_opt()?.columns() else { return None };
    Some(Frozen {
        groups: batch.column(0).as_primitive_opt::<UInt16Type>()?,
        offsets: lists.offsets(),
        data: data.as_struct_opt()?,
        timestamps: timestamps.as_primitive_opt::<Int64Type>()?,
        counts: counts.as_primitive_opt::<Int64Type>()?,
        asserted: asserted.as_primitive_opt::<UInt64Type>()?,
    })
}
