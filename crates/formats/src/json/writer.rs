//! Values to JSON text, one writer a column, made anew for each batch.
//!
//! What JSON has no form for is `null`: NaN, the infinities, and timestamps
//! that no calendar has.

use std::fmt::Write as _;

use arrow::array::types::*;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, OffsetSizeTrait, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;

use super::scan::special_byte;
use super::time::write_timestamp;
use super::{DecimalEncoding, JsonOptions, TimestampFormat};

type Write = Box<dyn Fn(usize, &mut Vec<u8>)>;

/// Writes the values of one array.
pub(crate) struct Writer {
    /// `"name":` where the array is a field, or nothing.
    key: Vec<u8>,
    nulls: Option<NullBuffer>,
    write: Write,
}

impl Writer {
    /// Appends the value of `row`, without the key.
    #[inline]
    pub(crate) fn value(&self, row: usize, out: &mut Vec<u8>) {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => out.extend_from_slice(b"null"),
            Some(_) | None => (self.write)(row, out),
        }
    }
}

/// One writer a field.
pub(crate) fn struct_writers(
    fields: &Fields,
    columns: &[ArrayRef],
    options: &JsonOptions,
) -> Result<Vec<Writer>, ArrowError> {
    let writer_of = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| {
        let mut key = Vec::new();
        write_text(field.name(), &mut key);
        key.push(b':');
        Ok(Writer { key, ..writer(column, options)? })
    };
    fields.iter().zip(columns).map(writer_of).collect()
}

/// Appends `row` as an object.
#[inline]
pub(crate) fn write_object(writers: &[Writer], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, writer) in writers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&writer.key);
        writer.value(row, out);
    }
    out.push(b'}');
}

/// The column within `data_type` that JSON has no form for, if there is one.
pub(super) fn unsupported(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::Struct(fields) => fields.iter().find_map(|field| unsupported(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            unsupported(item.data_type())
        }
        DataType::Dictionary(_, value) => unsupported(value),
        DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeBinary(_)
        | DataType::Union(..)
        | DataType::Map(..)
        | DataType::RunEndEncoded(..) => Some(data_type),
        _ => None,
    }
}

fn writer(array: &ArrayRef, options: &JsonOptions) -> Result<Writer, ArrowError> {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    Ok(Writer { key: Vec::new(), nulls, write: write_of(array, options)? })
}

fn write_of(array: &ArrayRef, options: &JsonOptions) -> Result<Write, ArrowError> {
    let of = |data_type: &DataType| write_of(&cast(array, data_type)?, options);
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, out| out.extend_from_slice(b"null")),
        DataType::Boolean => {
            let array = array.as_boolean().clone();
            Box::new(move |row, out| out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => number::<Int8Type>(array),
        DataType::Int16 => number::<Int16Type>(array),
        DataType::Int32 => number::<Int32Type>(array),
        DataType::Int64 => number::<Int64Type>(array),
        DataType::UInt8 => number::<UInt8Type>(array),
        DataType::UInt16 => number::<UInt16Type>(array),
        DataType::UInt32 => number::<UInt32Type>(array),
        DataType::UInt64 => number::<UInt64Type>(array),
        DataType::Float32 => number::<Float32Type>(array),
        DataType::Float64 => number::<Float64Type>(array),
        DataType::Float16 => of(&DataType::Float32)?,
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array, options.decimal_encoding),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array, options.decimal_encoding),
        &DataType::Decimal32(precision, scale) | &DataType::Decimal64(precision, scale) => {
            of(&DataType::Decimal128(precision, scale))?
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>().clone();
            Box::new(move |row, out| write_text(array.value(row), out))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>().clone();
            Box::new(move |row, out| write_text(array.value(row), out))
        }
        DataType::Utf8View => {
            let array = array.as_string_view().clone();
            Box::new(move |row, out| write_text(array.value(row), out))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>().clone();
            Box::new(move |row, out| write_hex(array.value(row), out))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>().clone();
            Box::new(move |row, out| write_hex(array.value(row), out))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view().clone();
            Box::new(move |row, out| write_hex(array.value(row), out))
        }
        DataType::Timestamp(TimeUnit::Second, _) => timestamp::<TimestampSecondType>(array, 1, options),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            timestamp::<TimestampMillisecondType>(array, 1_000, options)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            timestamp::<TimestampMicrosecondType>(array, 1_000_000, options)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            timestamp::<TimestampNanosecondType>(array, 1_000_000_000, options)
        }
        DataType::Struct(fields) => {
            let writers = struct_writers(fields, array.as_struct().columns(), options)?;
            Box::new(move |row, out| write_object(&writers, row, out))
        }
        DataType::List(_) => list::<i32>(array, options)?,
        DataType::LargeList(_) => list::<i64>(array, options)?,
        DataType::FixedSizeList(item, _) => of(&DataType::List(item.clone()))?,
        DataType::Dictionary(_, value) => of(value)?,
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_)
        | DataType::Interval(_) => displayed(array)?,
        DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeBinary(_)
        | DataType::Union(..)
        | DataType::Map(..)
        | DataType::RunEndEncoded(..) => {
            let what = format!("{} has no form in JSON", array.data_type());
            return Err(ArrowError::NotYetImplemented(what));
        }
    })
}

/// Whole numbers in digits, floats in the shortest digits that read back the same.
fn number<T: ArrowPrimitiveType<Native: Serialize>>(array: &ArrayRef) -> Write {
    let array = array.as_primitive::<T>().clone();
    Box::new(move |row, out| {
        serde_json::to_writer(out, &array.value(row)).expect("memory takes every number");
    })
}

fn decimal<T: DecimalType>(array: &ArrayRef, encoding: DecimalEncoding) -> Write {
    let array: PrimitiveArray<T> = array.as_primitive::<T>().clone();
    let quote: &[u8] = match encoding {
        DecimalEncoding::Number => b"",
        DecimalEncoding::String => b"\"",
    };
    Box::new(move |row, out| {
        out.extend_from_slice(quote);
        out.extend_from_slice(array.value_as_string(row).as_bytes());
        out.extend_from_slice(quote);
    })
}

fn timestamp<T: ArrowPrimitiveType<Native = i64>>(
    array: &ArrayRef,
    units_a_second: i64,
    options: &JsonOptions,
) -> Write {
    let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let array = array.as_primitive::<T>().clone();
    let parts = move |row| {
        let value: i64 = array.value(row);
        (
            value.div_euclid(units_a_second),
            value.rem_euclid(units_a_second) * (1_000_000_000 / units_a_second),
        )
    };
    match options.timestamp_format {
        TimestampFormat::Rfc3339 => Box::new(move |row, out| {
            let (seconds, nanos) = parts(row);
            write_timestamp(seconds, nanos as u32, zoned, out);
        }),
        TimestampFormat::UnixMillis => Box::new(move |row, out| {
            let (seconds, nanos) = parts(row);
            let millis = i128::from(seconds) * 1000 + i128::from(nanos / 1_000_000);
            serde_json::to_writer(out, &millis).expect("memory takes every number");
        }),
    }
}

fn list<O: OffsetSizeTrait>(array: &ArrayRef, options: &JsonOptions) -> Result<Write, ArrowError> {
    let array = array.as_list::<O>();
    let offsets = array.offsets().clone();
    let items = writer(array.values(), options)?;
    Ok(Box::new(move |row, out| {
        out.push(b'[');
        let (start, end) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
        for item in start..end {
            if item > start {
                out.push(b',');
            }
            items.value(item, out);
        }
        out.push(b']');
    }))
}

/// Types that people rarely write: as Arrow shows them, in quotes.
fn displayed(array: &ArrayRef) -> Result<Write, ArrowError> {
    let array = array.clone();
    // Whether the type can be shown is asked here; a formatter borrows its array, so each value makes its own.
    ArrayFormatter::try_new(&array, &FormatOptions::default())?;
    Ok(Box::new(move |row, out| {
        let mut text = String::new();
        if let Ok(formatter) = ArrayFormatter::try_new(&array, &FormatOptions::default())
            && write!(text, "{}", formatter.value(row)).is_ok()
        {
            write_text(&text, out);
        } else {
            out.extend_from_slice(b"null");
        }
    }))
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if special_byte(text.as_bytes(), 0) < text.len() {
        serde_json::to_writer(out, text).expect("memory takes every text");
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}
