//! Types of columns: what SQL calls them, and which values of one can be meant as values of another.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use crate::{Code, Error, Result};

/// The same values as a column of this type, if none of them is lost: whole numbers of another width, texts
/// and bytes of another layout, instants of another unit. Floats are rounded to the nearest of their width.
///
/// # Errors
/// If the types have no values in common, or one of these values has no like: a number or instant that is too
/// large or too fine.
pub fn fitted(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let given = column.data_type();
    if given == wanted {
        return Ok(Arc::clone(column));
    }
    if !is_of_kind(given, wanted) {
        return Err(Error::new(Code::TypeMismatch, format!("'{given}' is something else")));
    }
    let unfit = || Error::new(Code::TypeMismatch, "a value does not fit");
    let fitted = strictly_cast(column, wanted).map_err(|why| unfit().because(why))?;
    match is_kept(column, &fitted) {
        true => Ok(fitted),
        false => Err(unfit().because(format!("it is no '{}'", sql_type(wanted)))),
    }
}

fn strictly_cast(column: &ArrayRef, wanted: &DataType) -> std::result::Result<ArrayRef, ArrowError> {
    cast_with_options(column, wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Whether each value is still what it was before a cast, which rounds some without a word.
fn is_kept(given: &ArrayRef, fitted: &ArrayRef) -> bool {
    use DataType::{
        Date32, Date64, Dictionary, FixedSizeList, LargeList, List, Map, Struct, Time32, Time64, Timestamp,
    };
    let all = |given: &[ArrayRef], fitted: &[ArrayRef]| given.iter().zip(fitted).all(|(g, f)| is_kept(g, f));
    match (given.data_type(), fitted.data_type()) {
        (given, fitted) if given == fitted => true,
        (DataType::Null, _) => true,
        (Dictionary(_, values), _) => {
            strictly_cast(given, values).is_ok_and(|values| is_kept(&values, fitted))
        }
        (List(_) | LargeList(_) | FixedSizeList(..), List(_)) => is_kept(&items(given), &items(fitted)),
        (Map(..), Map(..)) => {
            let (given, fitted) = (given.as_map(), fitted.as_map());
            all(given.entries().columns(), fitted.entries().columns())
        }
        (Struct(_), Struct(fields)) => {
            let (given, fitted) = (given.as_struct(), fitted.as_struct());
            fields.iter().zip(fitted.columns()).all(|(field, fitted)| {
                given.column_by_name(field.name()).is_some_and(|given| is_kept(given, fitted))
            })
        }
        (given_type, fitted_type) if given_type.is_floating() && fitted_type.is_floating() => {
            infinite(given) == infinite(fitted)
        }
        // Without its zone an instant is another number: both are taken without.
        (Timestamp(unit, _), Timestamp(_, zone)) => {
            let fine = Timestamp(*unit, zone.clone());
            strictly_cast(given, &fine).is_ok_and(|given| is_back(&given, fitted))
        }
        (_, DataType::Float16 | DataType::Float32 | DataType::Float64)
        | (Time32(_) | Time64(_), Time64(_))
        | (Date64, Date32) => is_back(given, fitted),
        _ => true,
    }
}

/// Whether the values of one column come back from the other.
fn is_back(given: &ArrayRef, fitted: &ArrayRef) -> bool {
    strictly_cast(fitted, given.data_type()).is_ok_and(|back| back.to_data() == given.to_data())
}

/// The items of all lists, one behind the other.
fn items(lists: &ArrayRef) -> ArrayRef {
    match lists.data_type() {
        DataType::List(_) => Arc::clone(lists.as_list::<i32>().values()),
        DataType::LargeList(_) => Arc::clone(lists.as_list::<i64>().values()),
        _ => Arc::clone(lists.as_fixed_size_list().values()),
    }
}

/// How many values are infinite.
fn infinite(floats: &ArrayRef) -> usize {
    let Ok(floats) = strictly_cast(floats, &DataType::Float64) else { return 0 };
    let floats = floats.as_primitive::<arrow::datatypes::Float64Type>();
    floats.iter().flatten().filter(|value| value.is_infinite()).count()
}

/// Whether values of one type can be meant as values of another.
pub fn is_of_kind(given: &DataType, wanted: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Dictionary,
        Duration, FixedSizeBinary, FixedSizeList, Interval, LargeBinary, LargeList, LargeUtf8, List, Map,
        Null, Struct, Time32, Time64, Timestamp, Utf8, Utf8View,
    };
    match (given, wanted) {
        (given, wanted) if given == wanted => true,
        (Null, _) => true,
        (Dictionary(_, values), _) => is_of_kind(values, wanted),
        (Utf8 | LargeUtf8 | Utf8View, Utf8)
        | (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary)
        | (Date32 | Date64, Date32)
        | (Time32(_) | Time64(_), Time64(_))
        | (Duration(_), Interval(_))
        | (Timestamp(..), Timestamp(..)) => true,
        (List(item) | LargeList(item) | FixedSizeList(item, _), List(inner)) => {
            is_of_kind(item.data_type(), inner.data_type())
        }
        (Struct(fields), Struct(inner)) => {
            fields.len() == inner.len()
                && inner.iter().all(|inner| {
                    let mut fields = fields.iter().filter(|field| field.name() == inner.name());
                    fields.next().is_some_and(|field| is_of_kind(field.data_type(), inner.data_type()))
                })
        }
        // What the two columns of its entries are called is not part of a map.
        (Map(entries, _), Map(inner, _)) => match (entries.data_type(), inner.data_type()) {
            (Struct(entry), Struct(inner)) => {
                entry.len() == inner.len()
                    && entry.iter().zip(inner).all(|(e, i)| is_of_kind(e.data_type(), i.data_type()))
            }
            _ => false,
        },
        (given, wanted) if given.is_integer() => wanted.is_numeric(),
        (given, wanted) if given.is_floating() => wanted.is_floating(),
        // Digits behind the point would be rounded away.
        (
            Decimal32(_, scale) | Decimal64(_, scale) | Decimal128(_, scale) | Decimal256(_, scale),
            Decimal128(_, wanted),
        ) => scale <= wanted,
        _ => false,
    }
}

/// The name of a type in SQL; of a type that has none, Arrow's.
pub fn sql_type(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INT UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Timestamp(TimeUnit::Second, None) => "TIMESTAMP(0)",
        DataType::Timestamp(TimeUnit::Millisecond, None) => "TIMESTAMP(3)",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP(6)",
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            return format!("DECIMAL({precision}, {scale})");
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => {
            return format!("{}[]", sql_type(item.data_type()));
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|f| format!("{} {}", f.name(), sql_type(f.data_type())));
            return format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "));
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) if entry.len() == 2 => {
                let (key, value) = (sql_type(entry[0].data_type()), sql_type(entry[1].data_type()));
                return format!("MAP({key}, {value})");
            }
            other => return other.to_string(),
        },
        other => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Decimal128Array, Float32Array, Float64Array, Int64Array, ListArray, StructArray,
        TimestampMicrosecondArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;

    use super::*;

    fn field(name: &str, data_type: DataType) -> Arc<Field> {
        Arc::new(Field::new(name, data_type, true))
    }

    fn map(key: &str, value: &str, of: DataType) -> DataType {
        let entry = DataType::Struct(vec![field(key, DataType::Utf8), field(value, of)].into());
        DataType::Map(field("entries", entry), false)
    }

    #[test]
    fn types_read_as_they_are_declared() {
        let map = map("k", "v", DataType::Int64);
        assert_eq!(sql_type(&DataType::List(field("item", map))), "MAP(TEXT, BIGINT)[]");
    }

    #[test]
    fn values_are_taken_for_what_they_can_mean_and_for_nothing_else() {
        use DataType::{Boolean, Float64, Int8, Int64, LargeUtf8, List, Struct, UInt64, Utf8};
        let of = |fields: &[(&str, DataType)]| {
            Struct(fields.iter().map(|(name, of)| field(name, of.clone())).collect())
        };
        for (given, wanted, can) in [
            (Int8, Int64, true),
            (UInt64, Int8, true),
            (Int64, Float64, true),
            (LargeUtf8, Utf8, true),
            (List(field("element", Int8)), List(field("item", Int64)), true),
            (of(&[("b", Utf8), ("a", Int8)]), of(&[("a", Int64), ("b", Utf8)]), true),
            (map("key", "value", Int8), map("keys", "values", Int64), true),
            (Float64, Int64, false),
            (Utf8, Int64, false),
            (Int64, Utf8, false),
            (Int64, Boolean, false),
            (Boolean, Int64, false),
            (DataType::Binary, Utf8, false),
            (DataType::Date32, DataType::Timestamp(TimeUnit::Nanosecond, None), false),
            (of(&[("a", Float64)]), of(&[("a", Int64)]), false),
            (of(&[("a", Int64)]), of(&[("b", Int64)]), false),
            (map("key", "value", Float64), map("key", "value", Int64), false),
        ] {
            assert_eq!(is_of_kind(&given, &wanted), can, "{given} as {wanted}");
        }
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![300]));
        assert!(fitted(&whole, &Int8).is_err() && fitted(&whole, &DataType::Int16).is_ok());
        let half: ArrayRef = Arc::new(Float64Array::from(vec![3.25]));
        assert!(fitted(&half, &Int64).is_err());
    }

    #[test]
    fn what_a_cast_would_round_or_cut_off_does_not_fit() {
        use DataType::{Float32, Float64, Timestamp};
        let whole = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![Some(1), None, Some(value)])) };
        assert!(fitted(&whole(1 << 53), &Float64).is_ok());
        for (value, wanted) in [((1 << 53) + 1, Float64), (i64::MAX, Float64), ((1 << 24) + 1, Float32)] {
            let error = fitted(&whole(value), &wanted).expect_err("no float is equal").to_string();
            assert!(error.contains("a value does not fit"), "{error}");
        }
        let real = |value: f64| fitted(&(Arc::new(Float64Array::from(vec![value])) as ArrayRef), &Float32);
        assert_eq!(real(0.1).expect("rounded").to_data(), Float32Array::from(vec![0.1_f32]).to_data());
        assert!(real(f64::INFINITY).is_ok() && real(f64::NAN).is_ok() && real(1e300).is_err());
        let micros = |value| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![value])) };
        assert!(fitted(&micros(1_500_000), &Timestamp(TimeUnit::Millisecond, None)).is_ok());
        assert!(fitted(&micros(1_500_001), &Timestamp(TimeUnit::Millisecond, None)).is_err());
    }

    #[test]
    fn nor_does_it_within_lists_and_structs() {
        use DataType::{Float64, Int64, List, Struct};
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, (1 << 53) + 1]));
        let lists = |numbers: ArrayRef| -> ArrayRef {
            let offsets = OffsetBuffer::from_lengths([1, numbers.len() - 1]);
            Arc::new(ListArray::new(field("item", Int64), offsets, numbers, None))
        };
        let floats = List(field("item", Float64));
        assert!(fitted(&lists(Arc::clone(&numbers)), &floats).is_err());
        assert!(fitted(&lists(numbers.slice(0, 1)), &floats).is_ok());
        let rows: ArrayRef = Arc::new(StructArray::from(vec![(field("n", Int64), numbers)]));
        assert!(fitted(&rows, &Struct(vec![field("n", Float64)].into())).is_err());
        assert!(fitted(&rows.slice(0, 1), &Struct(vec![field("n", Float64)].into())).is_ok());
    }

    #[test]
    fn a_decimal_keeps_its_digits() {
        let cents = Decimal128Array::from(vec![125]).with_precision_and_scale(10, 2).expect("it fits");
        let cents: ArrayRef = Arc::new(cents);
        assert!(fitted(&cents, &DataType::Decimal128(20, 4)).is_ok());
        assert!(fitted(&cents, &DataType::Decimal128(20, 1)).is_err(), "1.25 is not 1.3");
    }
}
