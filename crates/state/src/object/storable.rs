//! Rows in a form that Parquet gives back exactly, and back.
//!
//! Most types are kept as they are. Some have a stand-in: intervals and decimals
//! of negative scale are bytes or integers, dictionaries are their values, nulls
//! and empty structs are booleans. What has none (unions, run ends, list views)
//! is one Arrow IPC message per row: slow, and lossless.

use std::sync::Arc;

use arrow::array::types::{Int32Type, IntervalYearMonthType};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeListArray, GenericListArray, MapArray,
    OffsetSizeTrait, RecordBatch, RecordBatchOptions, StructArray, make_array, new_empty_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

/// Rows as they are stored, and the schema that they have in memory.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) logical: SchemaRef,
    pub(crate) batch: RecordBatch,
}

impl Stored {
    /// The stored form of a batch.
    pub(crate) fn from_rows(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let logical = batch.schema();
        let schema = stored_schema(&logical);
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .map(|column| match stand_in(column.data_type()) {
                Some(_) => store(column),
                None => to_messages(column),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { logical, batch: with_rows(schema, columns, batch.num_rows())? })
    }

    /// The rows as they were; more batches than one where the values of a
    /// dictionary, together, are more than its keys can count.
    pub(crate) fn into_rows(self) -> Result<Vec<RecordBatch>, ArrowError> {
        if self.batch.schema_ref() == &self.logical {
            return Ok(vec![self.batch]);
        }
        match load_batch(&self) {
            Err(ArrowError::DictionaryKeyOverflowError) if self.batch.num_rows() > 1 => {
                let middle = self.batch.num_rows() / 2;
                let mut rows = self.slice(0, middle).into_rows()?;
                rows.extend(self.slice(middle, self.batch.num_rows() - middle).into_rows()?);
                Ok(rows)
            }
            loaded => Ok(vec![loaded?]),
        }
    }

    fn slice(&self, offset: usize, length: usize) -> Self {
        Self { logical: Arc::clone(&self.logical), batch: self.batch.slice(offset, length) }
    }
}

/// The schema in which rows of this one are stored.
pub(super) fn stored_schema(logical: &SchemaRef) -> SchemaRef {
    let same = |field: &FieldRef| stand_in(field.data_type()).is_some_and(|t| t == *field.data_type());
    if logical.fields().iter().all(same) {
        return Arc::clone(logical);
    }
    let fields: Vec<FieldRef> = logical
        .fields()
        .iter()
        .map(|field| stored_field(field).unwrap_or_else(|| message_field(field)))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, logical.metadata().clone()))
}

fn message_field(field: &Field) -> FieldRef {
    Arc::new(Field::new(field.name(), DataType::Binary, false))
}

fn stored_field(field: &FieldRef) -> Option<FieldRef> {
    let stored = stand_in(field.data_type())?;
    if stored == *field.data_type() {
        return Some(Arc::clone(field));
    }
    // Nulls of a dictionary may be in its values, and those of a null column are not declared.
    let nullable =
        field.is_nullable() || matches!(field.data_type(), DataType::Dictionary(..) | DataType::Null);
    Some(Arc::new(Field::new(field.name(), stored, nullable)))
}

/// The type that a type is stored as, often itself; none if it has no stand-in.
fn stand_in(logical: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match logical {
        T::Null => T::Boolean,
        T::Interval(IntervalUnit::YearMonth) => T::Int32,
        T::Interval(IntervalUnit::DayTime) => T::FixedSizeBinary(8),
        T::Interval(IntervalUnit::MonthDayNano) => T::FixedSizeBinary(16),
        T::Decimal32(_, scale) if *scale < 0 => T::FixedSizeBinary(4),
        T::Decimal64(_, scale) if *scale < 0 => T::FixedSizeBinary(8),
        T::Decimal128(_, scale) if *scale < 0 => T::FixedSizeBinary(16),
        T::Decimal256(_, scale) if *scale < 0 => T::FixedSizeBinary(32),
        T::FixedSizeBinary(0) | T::FixedSizeList(_, 0) => return None,
        T::Dictionary(_, values) => {
            let stored = stand_in(values)?;
            if !can_cast_types(values, logical) || !can_cast_types(logical, values) {
                return None;
            }
            stored
        }
        T::Struct(fields) if fields.is_empty() => T::Boolean,
        T::Struct(fields) => T::Struct(stored_fields(fields)?),
        T::List(field) => T::List(stored_field(field)?),
        T::LargeList(field) => T::LargeList(stored_field(field)?),
        T::FixedSizeList(field, size) => T::FixedSizeList(stored_field(field)?, *size),
        T::Map(entries, sorted) => T::Map(stored_field(entries)?, *sorted),
        T::Union(..) | T::RunEndEncoded(..) | T::ListView(_) | T::LargeListView(_) => return None,
        T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::UInt8
        | T::UInt16
        | T::UInt32
        | T::UInt64
        | T::Float16
        | T::Float32
        | T::Float64
        | T::Timestamp(..)
        | T::Date32
        | T::Date64
        | T::Time32(_)
        | T::Time64(_)
        | T::Duration(_)
        | T::Binary
        | T::FixedSizeBinary(_)
        | T::LargeBinary
        | T::BinaryView
        | T::Utf8
        | T::LargeUtf8
        | T::Utf8View
        | T::Decimal32(..)
        | T::Decimal64(..)
        | T::Decimal128(..)
        | T::Decimal256(..) => logical.clone(),
    })
}

fn stored_fields(fields: &Fields) -> Option<Fields> {
    fields.iter().map(stored_field).collect()
}

/// The stand-in of an array whose type has one.
fn store(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let logical = array.data_type();
    let stored = stand_in(logical).ok_or_else(|| unexpected(logical, "a type with a stand-in"))?;
    if stored == *logical {
        return Ok(Arc::clone(array));
    }
    Ok(match logical {
        DataType::Null => Arc::new(BooleanArray::new_null(array.len())),
        DataType::Interval(IntervalUnit::YearMonth) => {
            Arc::new(array.as_primitive::<IntervalYearMonthType>().reinterpret_cast::<Int32Type>())
        }
        DataType::Dictionary(_, values) => store(&cast_exactly(array, values)?)?,
        DataType::Struct(fields) if fields.is_empty() => {
            Arc::new(BooleanArray::new(BooleanBuffer::new_set(array.len()), array.nulls().cloned()))
        }
        DataType::Struct(_)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Map(..) => rebuild(array, &stored, &|child, _| store(child))?,
        _ => reinterpret(array, &stored)?,
    })
}

/// The array of this type whose stand-in it is.
fn load(array: &ArrayRef, logical: &DataType) -> Result<ArrayRef, ArrowError> {
    let stored = stand_in(logical).ok_or_else(|| unexpected(logical, "a type with a stand-in"))?;
    if !array.data_type().equals_datatype(&stored) {
        return Err(unexpected(array.data_type(), &stored.to_string()));
    }
    if stored == *logical {
        return Ok(Arc::clone(array));
    }
    Ok(match logical {
        DataType::Null => make_array(arrow::array::ArrayData::new_null(logical, array.len())),
        DataType::Interval(IntervalUnit::YearMonth) => {
            Arc::new(array.as_primitive::<Int32Type>().reinterpret_cast::<IntervalYearMonthType>())
        }
        DataType::Dictionary(_, values) => cast_exactly(&load(array, values)?, logical)?,
        DataType::Struct(fields) if fields.is_empty() => {
            Arc::new(StructArray::new_empty_fields(array.len(), array.nulls().cloned()))
        }
        DataType::Struct(_)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Map(..) => rebuild(array, logical, &load)?,
        _ => reinterpret(array, logical)?,
    })
}

/// The same nesting with other children.
fn rebuild(
    array: &ArrayRef,
    into: &DataType,
    child: &dyn Fn(&ArrayRef, &DataType) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    Ok(match into {
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().zip(fields).map(|(c, f)| child(c, f.data_type()));
            let columns = columns.collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?)
        }
        DataType::List(field) => Arc::new(rebuild_list(array.as_list::<i32>(), field, child)?),
        DataType::LargeList(field) => Arc::new(rebuild_list(array.as_list::<i64>(), field, child)?),
        DataType::FixedSizeList(field, size) => {
            let array = array.as_fixed_size_list();
            let values = child(array.values(), field.data_type())?;
            Arc::new(FixedSizeListArray::try_new(Arc::clone(field), *size, values, array.nulls().cloned())?)
        }
        DataType::Map(field, sorted) => {
            let array = array.as_map();
            let entries: ArrayRef = Arc::new(array.entries().clone());
            let entries = child(&entries, field.data_type())?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Arc::new(MapArray::try_new(
                Arc::clone(field),
                offsets,
                entries.as_struct().clone(),
                nulls,
                *sorted,
            )?)
        }
        other => return Err(unexpected(other, "a nested type")),
    })
}

fn rebuild_list<O: OffsetSizeTrait>(
    array: &GenericListArray<O>,
    field: &FieldRef,
    child: &dyn Fn(&ArrayRef, &DataType) -> Result<ArrayRef, ArrowError>,
) -> Result<GenericListArray<O>, ArrowError> {
    let values = child(array.values(), field.data_type())?;
    GenericListArray::try_new(Arc::clone(field), array.offsets().clone(), values, array.nulls().cloned())
}

/// The same bytes under another type of the same width.
fn reinterpret(array: &ArrayRef, into: &DataType) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data().into_builder().data_type(into.clone()).align_buffers(true).build()?;
    Ok(make_array(data))
}

fn cast_exactly(array: &ArrayRef, into: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, into, &CastOptions { safe: false, ..CastOptions::default() })
}

fn load_batch(stored: &Stored) -> Result<RecordBatch, ArrowError> {
    let (logical, batch) = (&stored.logical, &stored.batch);
    if logical.fields().len() != batch.num_columns() {
        return Err(ArrowError::SchemaError("the number of columns differs from the schema's".to_owned()));
    }
    let columns = logical.fields().iter().zip(batch.columns()).map(|(field, column)| {
        match stand_in(field.data_type()) {
            Some(_) => load(column, field.data_type()),
            None => from_messages(column, field),
        }
    });
    with_rows(Arc::clone(logical), columns.collect::<Result<_, _>>()?, batch.num_rows())
}

fn with_rows(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

/// One IPC stream with one value for each row.
fn to_messages(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let schema = Arc::new(Schema::new(vec![Field::new("value", column.data_type().clone(), true)]));
    let messages = (0..column.len()).map(|row| {
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column.slice(row, 1)])?;
        schema_and_rows(&schema, Some(&batch))
    });
    let messages: Vec<Vec<u8>> = messages.collect::<Result<_, _>>()?;
    Ok(Arc::new(BinaryArray::from_iter_values(messages)))
}

fn from_messages(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let messages = column.as_binary_opt::<i32>().ok_or_else(|| unexpected(column.data_type(), "Binary"))?;
    let mut values = Vec::with_capacity(messages.len());
    for message in messages.iter() {
        let mut reader = StreamReader::try_new(message.unwrap_or_default(), None)?;
        let batch = reader.next().transpose()?.filter(|b| b.num_columns() == 1 && b.num_rows() == 1);
        let batch = batch.ok_or_else(|| ArrowError::IpcError("a message is not one value".to_owned()))?;
        values.push(Arc::clone(batch.column(0)));
    }
    if values.is_empty() {
        return Ok(new_empty_array(field.data_type()));
    }
    concat(&values.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// An IPC stream with these rows or none.
pub(super) fn schema_and_rows(schema: &Schema, rows: Option<&RecordBatch>) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    if let Some(rows) = rows {
        writer.write(rows)?;
    }
    writer.into_inner()
}

/// The schema of an IPC stream.
pub(super) fn schema_of(stream: &[u8]) -> Result<SchemaRef, ArrowError> {
    StreamReader::try_new(stream, None).map(|reader| reader.schema())
}

fn unexpected(found: &DataType, expected: &str) -> ArrowError {
    ArrowError::SchemaError(format!("a column is of type '{found}', not '{expected}'"))
}
