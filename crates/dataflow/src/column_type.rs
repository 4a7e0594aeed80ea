//! Types of columns: what SQL calls them, and which values of one can be meant as values of another.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};

use crate::{Code, Error, Result};

/// The same values as a column of this type, if none of them is lost: whole numbers of another width, texts
/// and bytes of another layout, instants of another unit.
pub fn fitted(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    let given = column.data_type();
    if given == wanted {
        return Ok(Arc::clone(column));
    }
    if !is_of_kind(given, wanted) {
        return Err(Error::new(Code::TypeMismatch, format!("'{given}' is something else")));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, wanted, &options)
        .map_err(|why| Error::new(Code::TypeMismatch, "a value does not fit").because(why))
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
    use arrow::array::{Decimal128Array, Float64Array, Int64Array};
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
    fn a_decimal_keeps_its_digits() {
        let cents = Decimal128Array::from(vec![125]).with_precision_and_scale(10, 2).expect("it fits");
        let cents: ArrayRef = Arc::new(cents);
        assert!(fitted(&cents, &DataType::Decimal128(20, 4)).is_ok());
        assert!(fitted(&cents, &DataType::Decimal128(20, 1)).is_err(), "1.25 is not 1.3");
    }
}
