//! Values that serde describes, and values that it cannot.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use serde::de::DeserializeOwned;
use serde_arrow::ArrayBuilder;
use serde_arrow::schema::{SchemaLike, TracingOptions};
use serde_arrow::utils::{Item, Items};
use thalweg_dataflow::{Error, Result};

use super::{Record, Values, Write, unfit};

/// serde_arrow's name for the one field of a value without fields.
const ITEM: &str = "item";

/// How many variants and levels of a type are looked at before it is called opaque.
const TRACES_MAX: usize = 1000;

fn options() -> TracingOptions {
    TracingOptions::default()
        .allow_null_fields(true)
        .map_as_struct(false)
        .sequence_as_large_list(false)
        .strings_as_large_utf8(false)
        .bytes_as_large_binary(false)
        .enums_without_data_as_strings(true)
        .from_type_budget(TRACES_MAX)
}

/// The one column of a type; none if serde cannot describe the type ahead of its values.
pub(super) fn item<T: DeserializeOwned>() -> Option<FieldRef> {
    let fields = Vec::<FieldRef>::from_type::<Item<T>>(options()).ok()?;
    plain(fields.first()?)
}

/// The columns of a type's fields; none if it has none, or serde cannot describe them.
pub(super) fn fields<T: DeserializeOwned>() -> Option<Vec<FieldRef>> {
    let fields = Vec::<FieldRef>::from_type::<T>(options()).ok()?;
    let fields: Vec<FieldRef> = fields.iter().map(plain).collect::<Option<_>>()?;
    (!fields.is_empty()).then_some(fields)
}

/// The field with types that every store and kernel knows: the names of
/// variants as texts, and none where there is a union.
fn plain(field: &FieldRef) -> Option<FieldRef> {
    let data_type = match field.data_type() {
        DataType::Union(..) => return None,
        DataType::Struct(fields) if fields.is_empty() => return None,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect::<Option<_>>()?),
        DataType::List(element) => DataType::List(plain(element)?),
        DataType::LargeList(element) => DataType::LargeList(plain(element)?),
        DataType::FixedSizeList(element, size) => DataType::FixedSizeList(plain(element)?, *size),
        DataType::Map(entries, sorted) => DataType::Map(plain(entries)?, *sorted),
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    };
    Some(Arc::new(field.as_ref().clone().with_data_type(data_type)))
}

/// What a record is taken to be before any was measured.
const RECORD_BYTES: usize = 4 << 10;

/// How large records are, as told by those of the last batch: serde_arrow
/// keeps to itself how much it holds.
struct Size {
    record_bytes: usize,
    records: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { record_bytes: RECORD_BYTES, records: 0 }
    }
}

impl Size {
    /// About how many bytes one more record takes.
    fn add(&mut self) -> usize {
        self.records += 1;
        self.record_bytes
    }

    /// The records that were added are in these columns.
    fn measure(&mut self, columns: &[ArrayRef]) {
        let bytes: usize = columns.iter().map(|column| column.get_array_memory_size()).sum();
        self.record_bytes = bytes / std::mem::take(&mut self.records).max(1);
    }
}

/// Writes values into one column of their own type.
pub(super) struct ItemWriter {
    builder: ArrayBuilder,
    size: Size,
}

impl ItemWriter {
    pub(super) fn new(field: &FieldRef) -> Result<Self> {
        Ok(Self { builder: builder(std::slice::from_ref(field))?, size: Size::default() })
    }
}

impl<T: Record> Write<T> for ItemWriter {
    fn push(&mut self, value: &T) -> Result<usize> {
        self.builder.push(Item(value)).map_err(|e| unfit::<T>("written", e))?;
        Ok(self.size.add())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let arrays = self.builder.to_arrow().map_err(|e| unfit::<T>("written", e))?;
        self.size.measure(&arrays);
        arrays.into_iter().next().ok_or_else(|| Error::internal("an item has no column"))
    }
}

/// Writes values into one column for each of their fields.
pub(crate) struct FieldsWriter {
    builder: ArrayBuilder,
    size: Size,
}

impl FieldsWriter {
    pub(super) fn new(fields: &[FieldRef]) -> Result<Self> {
        Ok(Self { builder: builder(fields)?, size: Size::default() })
    }

    pub(super) fn push<T: Record>(&mut self, value: &T) -> Result<usize> {
        self.builder.push(value).map_err(|e| unfit::<T>("written", e))?;
        Ok(self.size.add())
    }

    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        let columns = self.builder.to_arrow();
        let columns = columns.map_err(|e| Error::internal("records have no columns").because(e))?;
        self.size.measure(&columns);
        Ok(columns)
    }
}

fn builder(fields: &[FieldRef]) -> Result<ArrayBuilder> {
    ArrayBuilder::from_arrow(fields)
        .map_err(|e| Error::internal("a type that was described has no columns").because(e))
}

/// The values of one column.
pub(super) fn read_items<T: Record>(field: &FieldRef, column: &ArrayRef) -> Result<Values<T>> {
    match field.name() == ITEM {
        true => read_as(Arc::clone(field), column),
        false => read_others(column),
    }
}

/// The values of one column of whatever type.
pub(super) fn read_others<T: Record>(column: &ArrayRef) -> Result<Values<T>> {
    read_as(Arc::new(Field::new(ITEM, column.data_type().clone(), true)), column)
}

fn read_as<T: Record>(field: FieldRef, column: &ArrayRef) -> Result<Values<T>> {
    let Items(values): Items<Vec<T>> =
        serde_arrow::from_arrow(&[field], std::slice::from_ref(column)).map_err(|e| unfit::<T>("read", e))?;
    Ok(Box::new(values.into_iter()))
}

/// The values whose fields are in these columns. Columns that the type does not name are passed over.
pub(super) fn read_fields<T: Record>(fields: &[FieldRef], columns: &[ArrayRef]) -> Result<Values<T>> {
    let values: Vec<T> = serde_arrow::from_arrow(fields, columns).map_err(|e| unfit::<T>("read", e))?;
    Ok(Box::new(values.into_iter()))
}

/// Writes values as JSON.
#[derive(Default)]
pub(super) struct OpaqueWriter {
    builder: BinaryBuilder,
    bytes: Vec<u8>,
}

impl<T: Record> Write<T> for OpaqueWriter {
    fn push(&mut self, value: &T) -> Result<usize> {
        self.bytes.clear();
        serde_json::to_writer(&mut self.bytes, value).map_err(|e| unfit::<T>("written", e))?;
        self.builder.append_value(&self.bytes);
        Ok(self.bytes.len())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(self.builder.finish()))
    }
}

/// The values of a column of JSON.
pub(super) fn read_opaque<T: Record>(column: &ArrayRef) -> Result<Values<T>> {
    let bytes = column.as_binary_opt::<i32>().filter(|bytes| bytes.null_count() == 0);
    let bytes = bytes.ok_or_else(|| unfit::<T>("read", "its column does not hold bytes"))?;
    let values =
        bytes.iter().flatten().map(|bytes| T::deserialize(&mut serde_json::Deserializer::from_slice(bytes)));
    let values: Vec<T> = values.collect::<Result<_, _>>().map_err(|e| unfit::<T>("read", e))?;
    Ok(Box::new(values.into_iter()))
}
