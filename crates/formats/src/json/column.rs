//! One column under construction, and the columns of plain values.

use std::sync::Arc;

use arrow::array::builder::{BooleanBufferBuilder, NullBufferBuilder};
use arrow::array::{ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::error::ArrowError;

use super::cursor::{Cursor, Reason};
use super::nested::{Lists, Structs};
use super::{JsonOptions, number, time};
use crate::format::FormatError;

/// Values on their way into an array.
///
/// After an error in [`read`](Column::read) the column may hold part of a
/// value; the caller cuts it off with [`truncate`](Column::truncate).
pub(super) trait Column: Send {
    /// Appends the value at the cursor, which is not `null`.
    fn read(&mut self, input: &mut Cursor<'_>) -> Result<(), Reason>;
    /// Appends a null.
    fn null(&mut self);
    /// The values so far.
    fn len(&self) -> usize;
    /// Forgets all but the first `len` values.
    fn truncate(&mut self, len: usize);
    /// Gives all values and begins anew.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// An empty column for `field`. `path` is the field's name with those around it, for errors.
pub(super) fn column(
    field: &Field,
    path: &str,
    options: &JsonOptions,
) -> Result<Box<dyn Column>, FormatError> {
    let data_type = field.data_type();
    let unit = options.timestamp_unit;
    macro_rules! primitive {
        ($type:ty, $read:expr) => {
            Box::new(Primitives::<$type, _>::new(data_type.clone(), $read))
        };
    }
    Ok(match data_type {
        DataType::Boolean => Box::new(Booleans::default()),
        DataType::Int8 => primitive!(Int8Type, |input| number::integer(input, "TINYINT")),
        DataType::Int16 => primitive!(Int16Type, |input| number::integer(input, "SMALLINT")),
        DataType::Int32 => primitive!(Int32Type, |input| number::integer(input, "INT")),
        DataType::Int64 => primitive!(Int64Type, |input| number::integer(input, "BIGINT")),
        DataType::UInt8 => primitive!(UInt8Type, |input| number::integer(input, "TINYINT UNSIGNED")),
        DataType::UInt16 => primitive!(UInt16Type, |input| number::integer(input, "SMALLINT UNSIGNED")),
        DataType::UInt32 => primitive!(UInt32Type, |input| number::integer(input, "INT UNSIGNED")),
        DataType::UInt64 => primitive!(UInt64Type, |input| number::integer(input, "BIGINT UNSIGNED")),
        DataType::Float32 => primitive!(Float32Type, |input| number::float(input, "FLOAT")),
        DataType::Float64 => primitive!(Float64Type, |input| number::float(input, "DOUBLE")),
        &DataType::Decimal128(precision, scale) => {
            primitive!(Decimal128Type, move |input| number::decimal(input, precision, scale))
        }
        DataType::Date32 => primitive!(Date32Type, time::date),
        DataType::Time64(TimeUnit::Nanosecond) => primitive!(Time64NanosecondType, time::time_of_day),
        DataType::Timestamp(TimeUnit::Second, _) => {
            primitive!(TimestampSecondType, move |input| time::timestamp(input, unit, 0))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive!(TimestampMillisecondType, move |input| time::timestamp(input, unit, 3))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive!(TimestampMicrosecondType, move |input| time::timestamp(input, unit, 6))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitive!(TimestampNanosecondType, move |input| time::timestamp(input, unit, 9))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Box::new(Bytes::new(data_type.clone(), Form::Text))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Box::new(Bytes::new(data_type.clone(), Form::Hex))
        }
        DataType::Struct(fields) => Box::new(Structs::try_new(fields, path, options)?),
        DataType::List(item) => Box::new(Lists::try_new(item, path, options)?),
        _ => {
            let (column, data_type) = (path.to_owned(), data_type.clone());
            return Err(FormatError::UnsupportedType { format: "json", column, data_type });
        }
    })
}

/// Values of a fixed width, each read by `F`.
struct Primitives<T: ArrowPrimitiveType, F> {
    data_type: DataType,
    read: F,
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType, F: Fn(&mut Cursor<'_>) -> Result<T::Native, Reason>> Primitives<T, F> {
    fn new(data_type: DataType, read: F) -> Self {
        Self { data_type, read, values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl<T, F> Column for Primitives<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(&mut Cursor<'_>) -> Result<T::Native, Reason> + Send,
{
    fn read(&mut self, input: &mut Cursor<'_>) -> Result<(), Reason> {
        let value = (self.read)(input)?;
        self.values.push(value);
        self.nulls.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let capacity = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(capacity));
        let array = PrimitiveArray::<T>::try_new(values.into(), self.nulls.finish())?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }
}

struct Booleans {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

impl Default for Booleans {
    fn default() -> Self {
        Self { values: BooleanBufferBuilder::new(0), nulls: NullBufferBuilder::new(0) }
    }
}

impl Column for Booleans {
    fn read(&mut self, input: &mut Cursor<'_>) -> Result<(), Reason> {
        let value = input.take_literal(b"true");
        if !value && !input.take_literal(b"false") {
            return Err(input.expected("true or false"));
        }
        self.values.append(value);
        self.nulls.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.values.append(false);
        self.nulls.append_null();
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(BooleanArray::new(self.values.finish(), self.nulls.finish())))
    }
}

/// What the text of a [`Bytes`] column stands for.
enum Form {
    Text,
    Hex,
}

/// Values of any length: text, or binary as hexadecimal text.
struct Bytes {
    data_type: DataType,
    form: Form,
    values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Bytes {
    fn new(data_type: DataType, form: Form) -> Self {
        Self { data_type, form, values: Vec::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    /// The offset of the end of the values, if an array can have it.
    fn end(&self) -> Result<i32, Reason> {
        i32::try_from(self.values.len()).map_err(|_| Reason::new("more than 2 GiB of text in one batch"))
    }
}

impl Column for Bytes {
    fn read(&mut self, input: &mut Cursor<'_>) -> Result<(), Reason> {
        match self.form {
            Form::Text => self.values.extend_from_slice(input.text()?),
            Form::Hex => {
                let at = input.next_at();
                let valid = extend_from_hex(&mut self.values, input.text()?);
                valid.ok_or_else(|| input.expected_at(at, "text in hexadecimal"))?;
            }
        }
        self.offsets.push(self.end()?);
        self.nulls.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.offsets.push(self.offsets[self.offsets.len() - 1]);
        self.nulls.append_null();
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, len: usize) {
        // A read that failed may have left bytes without an offset.
        self.offsets.truncate(len + 1);
        self.values.truncate(self.offsets[self.offsets.len() - 1] as usize);
        self.nulls.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let (bytes, count) = (self.values.len(), self.offsets.len());
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(bytes));
        let mut first = Vec::with_capacity(count);
        first.push(0);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, first)));
        let (values, nulls) = (Buffer::from_vec(values), self.nulls.finish());
        let (array, plain): (ArrayRef, _) = match self.form {
            Form::Text => (Arc::new(StringArray::try_new(offsets, values, nulls)?), DataType::Utf8),
            Form::Hex => (Arc::new(BinaryArray::try_new(offsets, values, nulls)?), DataType::Binary),
        };
        if self.data_type == plain { Ok(array) } else { cast(&array, &self.data_type) }
    }
}

fn extend_from_hex(values: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_chunks::<2>();
    for &[high, low] in pairs {
        values.push((digit(high)? << 4 | digit(low)?) as u8);
    }
    rest.is_empty().then_some(())
}
