//! The hash that decides where a key lives.
//!
//! It is ours and never changes: state is found again by it, across processes,
//! versions and upgrades of every library. A row is written down in a canonical
//! form and hashed by xxh3 with a fixed seed.
//!
//! ```text
//! row = value*                      value = tag, then:
//!   null      –                       integer   i64 LE (beyond it: u64 LE under a tag of its own)
//!   boolean   one byte                float     f64 LE, one NaN, no negative zero
//!   string    length, bytes           binary    length, bytes
//!   decimal   scale, i256 LE          date      milliseconds, i64 LE
//!   time      nanoseconds, i64 LE     timestamp, duration   nanoseconds, i128 LE
//!   interval  months, days, nanos     struct    every field      list   length, every element
//! ```
//!
//! The tag is that of the kind of value, not of its width or layout: the
//! integer 7 has one hash in every integer type, a string has one hash in every
//! string layout, an instant has one hash in every unit.

use arrow::array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalYearMonthType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit, i256};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Part of the hash. A change moves every key of every job.
const SEED: u64 = 0x7468_616c_7765_6731;
/// Which of the many NaNs stands for all.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

/// Why a key has no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Values of this type cannot be keys.
    #[error("values of type '{0}' cannot be keys")]
    Unsupported(DataType),
    /// A row without columns is no key.
    #[error("a key has at least one column")]
    NoColumns,
    /// The columns are not of one table.
    #[error("the columns of a key have different lengths")]
    UnequalLengths,
}

/// Puts the hash of each row of the key columns into `hashes`, in row order.
/// What was in `hashes` before is gone.
pub fn hash_keys(columns: &[ArrayRef], hashes: &mut Vec<u64>) -> Result<(), KeyError> {
    let rows = columns.first().ok_or(KeyError::NoColumns)?.len();
    if columns.iter().any(|c| c.len() != rows) {
        return Err(KeyError::UnequalLengths);
    }
    hashes.clear();
    hashes.reserve(rows);
    if let [column] = columns
        && hash_integers(column, hashes)
    {
        return Ok(());
    }
    let encoders = columns.iter().map(|c| encoder(c.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let mut row_bytes = Vec::with_capacity(64);
    hashes.extend((0..rows).map(|row| {
        row_bytes.clear();
        encoders.iter().for_each(|encode| encode(row, &mut row_bytes));
        xxh3_64_with_seed(&row_bytes, SEED)
    }));
    Ok(())
}

/// The common case without a buffer: one column of 64-bit integers, no nulls.
fn hash_integers(column: &ArrayRef, hashes: &mut Vec<u64>) -> bool {
    let Some(integers) = column.as_primitive_opt::<Int64Type>() else { return false };
    if integers.null_count() > 0 {
        return false;
    }
    hashes.extend(integers.values().iter().map(|&value| {
        let mut bytes = [INTEGER; 9];
        bytes[1..].copy_from_slice(&value.to_le_bytes());
        xxh3_64_with_seed(&bytes, SEED)
    }));
    true
}

const NULL: u8 = 0;
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const INTEGER_BEYOND_I64: u8 = 3;
const FLOAT: u8 = 4;
const STRING: u8 = 5;
const BINARY: u8 = 6;
const DECIMAL: u8 = 7;
const DATE: u8 = 8;
const TIME: u8 = 9;
const TIMESTAMP: u8 = 10;
const DURATION: u8 = 11;
const INTERVAL: u8 = 12;
const STRUCT: u8 = 13;
const LIST: u8 = 14;

/// Appends the canonical form of one row's value.
type Encoder<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

fn encoder(array: &dyn Array) -> Result<Encoder<'_>, KeyError> {
    let value = value_encoder(array)?;
    Ok(match array.nulls() {
        None => value,
        Some(nulls) => {
            Box::new(move |row, out| if nulls.is_valid(row) { value(row, out) } else { out.push(NULL) })
        }
    })
}

/// The encoder of rows that are not null.
fn value_encoder(array: &dyn Array) -> Result<Encoder<'_>, KeyError> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, out| out.push(NULL)),
        DataType::Boolean => {
            let values = array.as_boolean().values();
            Box::new(move |row, out| out.extend([BOOLEAN, u8::from(values.value(row))]))
        }
        DataType::Int8 => primitive::<Int8Type>(array, |v, out| put_integer(i64::from(v), out)),
        DataType::Int16 => primitive::<Int16Type>(array, |v, out| put_integer(i64::from(v), out)),
        DataType::Int32 => primitive::<Int32Type>(array, |v, out| put_integer(i64::from(v), out)),
        DataType::Int64 => primitive::<Int64Type>(array, put_integer),
        DataType::UInt8 => primitive::<UInt8Type>(array, |v, out| put_integer(i64::from(v), out)),
        DataType::UInt16 => primitive::<UInt16Type>(array, |v, out| put_integer(i64::from(v), out)),
        DataType::UInt32 => primitive::<UInt32Type>(array, |v, out| put_integer(i64::from(v), out)),
        DataType::UInt64 => primitive::<UInt64Type>(array, put_unsigned),
        DataType::Float16 => primitive::<Float16Type>(array, |v, out| put_float(v.to_f64(), out)),
        DataType::Float32 => primitive::<Float32Type>(array, |v, out| put_float(f64::from(v), out)),
        DataType::Float64 => primitive::<Float64Type>(array, put_float),
        DataType::Utf8 => strings(array.as_string::<i32>()),
        DataType::LargeUtf8 => strings(array.as_string::<i64>()),
        DataType::Utf8View => strings(array.as_string_view()),
        DataType::Binary => binaries(array.as_binary::<i32>()),
        DataType::LargeBinary => binaries(array.as_binary::<i64>()),
        DataType::BinaryView => binaries(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => binaries(array.as_fixed_size_binary()),
        DataType::Struct(_) | DataType::Dictionary(..) => nested_encoder(array)?,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Map(..) => {
            list_encoder(array)?
        }
        _ => scaled_encoder(array)?,
    })
}

/// Values whose number means something only with its scale or unit.
fn scaled_encoder(array: &dyn Array) -> Result<Encoder<'_>, KeyError> {
    Ok(match *array.data_type() {
        DataType::Decimal32(_, s) => {
            primitive::<Decimal32Type>(array, move |v, out| put_decimal(s, v.into(), out))
        }
        DataType::Decimal64(_, s) => {
            primitive::<Decimal64Type>(array, move |v, out| put_decimal(s, v.into(), out))
        }
        DataType::Decimal128(_, s) => {
            primitive::<Decimal128Type>(array, move |v, out| put_decimal(s, i256::from_i128(v), out))
        }
        DataType::Decimal256(_, s) => {
            primitive::<Decimal256Type>(array, move |v, out| put_decimal(s, v, out))
        }
        DataType::Date32 => {
            primitive::<Date32Type>(array, |v, out| put_i64(DATE, i64::from(v) * 86_400_000, out))
        }
        DataType::Date64 => primitive::<Date64Type>(array, |v, out| put_i64(DATE, v, out)),
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(array, |v, out| put_i64(TIME, i64::from(v) * 1_000_000_000, out))
        }
        DataType::Time32(_) => {
            primitive::<Time32MillisecondType>(array, |v, out| put_i64(TIME, i64::from(v) * 1_000_000, out))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(array, |v, out| put_i64(TIME, v.saturating_mul(1_000), out))
        }
        DataType::Time64(_) => primitive::<Time64NanosecondType>(array, |v, out| put_i64(TIME, v, out)),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => nanos::<TimestampSecondType>(array, TIMESTAMP, unit),
            TimeUnit::Millisecond => nanos::<TimestampMillisecondType>(array, TIMESTAMP, unit),
            TimeUnit::Microsecond => nanos::<TimestampMicrosecondType>(array, TIMESTAMP, unit),
            TimeUnit::Nanosecond => nanos::<TimestampNanosecondType>(array, TIMESTAMP, unit),
        },
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => nanos::<DurationSecondType>(array, DURATION, unit),
            TimeUnit::Millisecond => nanos::<DurationMillisecondType>(array, DURATION, unit),
            TimeUnit::Microsecond => nanos::<DurationMicrosecondType>(array, DURATION, unit),
            TimeUnit::Nanosecond => nanos::<DurationNanosecondType>(array, DURATION, unit),
        },
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitive::<IntervalYearMonthType>(array, |v, out| put_interval(v, 0, 0, out))
        }
        DataType::Interval(IntervalUnit::DayTime) => primitive::<IntervalDayTimeType>(array, |v, out| {
            put_interval(0, v.days, i64::from(v.milliseconds) * 1_000_000, out);
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType>(array, |v, out| {
                put_interval(v.months, v.days, v.nanoseconds, out);
            })
        }
        ref other => return Err(KeyError::Unsupported(other.clone())),
    })
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    put: impl Fn(T::Native, &mut Vec<u8>) + 'a,
) -> Encoder<'a> {
    let values = array.as_primitive::<T>().values();
    Box::new(move |row, out| put(values[row], out))
}

fn nanos<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array, tag: u8, unit: TimeUnit) -> Encoder<'_> {
    let unit_nanos: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    primitive::<T>(array, move |v, out| {
        out.push(tag);
        out.extend((i128::from(v) * unit_nanos).to_le_bytes());
    })
}

fn strings<'a>(array: impl arrow::array::ArrayAccessor<Item = &'a str> + 'a) -> Encoder<'a> {
    Box::new(move |row, out| put_bytes(STRING, array.value(row).as_bytes(), out))
}

fn binaries<'a>(array: impl arrow::array::ArrayAccessor<Item = &'a [u8]> + 'a) -> Encoder<'a> {
    Box::new(move |row, out| put_bytes(BINARY, array.value(row), out))
}

fn nested_encoder(array: &dyn Array) -> Result<Encoder<'_>, KeyError> {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let keys = dictionary.normalized_keys();
        let values = encoder(dictionary.values().as_ref())?;
        return Ok(Box::new(move |row, out| values(keys[row], out)));
    }
    let fields =
        array.as_struct().columns().iter().map(|c| encoder(c.as_ref())).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |row, out| {
        out.push(STRUCT);
        fields.iter().for_each(|encode| encode(row, out));
    }))
}

fn list_encoder(array: &dyn Array) -> Result<Encoder<'_>, KeyError> {
    fn elements<'a>(
        values: &'a dyn Array,
        range: impl Fn(usize) -> (usize, usize) + 'a,
    ) -> Result<Encoder<'a>, KeyError> {
        let element = encoder(values)?;
        Ok(Box::new(move |row, out| {
            let (start, end) = range(row);
            put_i64(LIST, (end - start) as i64, out);
            (start..end).for_each(|i| element(i, out));
        }))
    }
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            elements(list.values().as_ref(), |row| (offsets[row] as usize, offsets[row + 1] as usize))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            elements(list.values().as_ref(), |row| (offsets[row] as usize, offsets[row + 1] as usize))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let offsets = map.value_offsets();
            elements(map.entries(), |row| (offsets[row] as usize, offsets[row + 1] as usize))
        }
        _ => {
            let list = array.as_fixed_size_list();
            let size = list.value_length() as usize;
            elements(list.values().as_ref(), move |row| (row * size, (row + 1) * size))
        }
    }
}

fn put_i64(tag: u8, value: i64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend(value.to_le_bytes());
}

fn put_integer(value: i64, out: &mut Vec<u8>) {
    put_i64(INTEGER, value, out);
}

fn put_unsigned(value: u64, out: &mut Vec<u8>) {
    match i64::try_from(value) {
        Ok(value) => put_integer(value, out),
        Err(_) => {
            out.push(INTEGER_BEYOND_I64);
            out.extend(value.to_le_bytes());
        }
    }
}

fn put_float(value: f64, out: &mut Vec<u8>) {
    let bits = match value {
        v if v.is_nan() => NAN_BITS,
        0.0 => 0,
        v => v.to_bits(),
    };
    out.push(FLOAT);
    out.extend(bits.to_le_bytes());
}

fn put_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    put_i64(tag, bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

fn put_decimal(scale: i8, value: i256, out: &mut Vec<u8>) {
    out.extend([DECIMAL, scale as u8]);
    out.extend(value.to_le_bytes());
}

fn put_interval(months: i32, days: i32, nanos: i64, out: &mut Vec<u8>) {
    out.push(INTERVAL);
    out.extend(months.to_le_bytes());
    out.extend(days.to_le_bytes());
    out.extend(nanos.to_le_bytes());
}

#[cfg(test)]
mod tests;
