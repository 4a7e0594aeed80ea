//! SQL's names of types, as the types of columns.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, StructField, TimezoneInfo,
};
use thalweg_dataflow::options::nearest;
use thalweg_dataflow::{Code, Error, Span};

use super::statement::normalise;

/// The names that are offered for a misspelt one.
const NAMES: [&str; 27] = [
    "bigint",
    "boolean",
    "bytea",
    "char",
    "date",
    "datetime",
    "decimal",
    "double",
    "float",
    "int",
    "integer",
    "interval",
    "json",
    "map",
    "numeric",
    "real",
    "smallint",
    "string",
    "struct",
    "text",
    "time",
    "timestamp",
    "tinyint",
    "unsigned",
    "varchar",
    "array",
    "binary",
];

/// The type of a column that is declared as `sql`.
pub(crate) fn arrow_type(sql: &SqlType, at: Span) -> Result<DataType, Error> {
    Ok(match sql {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::TinyInt(_) => DataType::Int8,
        SqlType::SmallInt(_) | SqlType::Int2(_) => DataType::Int16,
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => DataType::Int32,
        SqlType::BigInt(_) | SqlType::Int8(_) => DataType::Int64,
        SqlType::TinyIntUnsigned(_) | SqlType::UTinyInt => DataType::UInt8,
        SqlType::SmallIntUnsigned(_) | SqlType::Int2Unsigned(_) | SqlType::USmallInt => DataType::UInt16,
        SqlType::IntUnsigned(_) | SqlType::IntegerUnsigned(_) | SqlType::Int4Unsigned(_) => DataType::UInt32,
        SqlType::UnsignedInteger => DataType::UInt32,
        SqlType::BigIntUnsigned(_) | SqlType::Int8Unsigned(_) | SqlType::UBigInt => DataType::UInt64,
        SqlType::Float(_) | SqlType::Real | SqlType::Float4 => DataType::Float32,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 => DataType::Float64,
        SqlType::Decimal(info) | SqlType::Numeric(info) | SqlType::Dec(info) => decimal(info, at)?,
        SqlType::Char(_) | SqlType::Character(_) | SqlType::CharVarying(_) | SqlType::CharacterVarying(_) => {
            DataType::Utf8
        }
        SqlType::Varchar(_) | SqlType::Text | SqlType::String(_) | SqlType::JSON => DataType::Utf8,
        SqlType::Bytea | SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Blob(_) => DataType::Binary,
        SqlType::Date => DataType::Date32,
        SqlType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time64(TimeUnit::Nanosecond)
        }
        SqlType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            timestamp(*precision, at)?
        }
        SqlType::Datetime(precision) => timestamp(*precision, at)?,
        SqlType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            return Err(invalid(sql, at).with_help("use TIMESTAMP: times are in UTC and carry no zone"));
        }
        SqlType::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Struct(fields, _) => DataType::Struct(struct_fields(fields, at)?),
        SqlType::Map(key, value) => map_of(arrow_type(key, at)?, arrow_type(value, at)?),
        SqlType::Array(element) => match element {
            ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::SquareBracket(inner, None)
            | ArrayElemTypeDef::Parenthesis(inner) => {
                DataType::List(Arc::new(Field::new_list_field(arrow_type(inner, at)?, true)))
            }
            ArrayElemTypeDef::SquareBracket(_, Some(_)) => {
                return Err(invalid(sql, at).with_help("write T[]: the length of a list is not fixed"));
            }
            ArrayElemTypeDef::None => {
                return Err(invalid(sql, at).with_help("name the type of the elements, as in BIGINT[]"));
            }
        },
        other => return Err(unknown(other, at)),
    })
}

fn decimal(info: &ExactNumberInfo, at: Span) -> Result<DataType, Error> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (38, 10),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let fits = (1..=u64::from(DECIMAL128_MAX_PRECISION)).contains(&precision)
        && i64::try_from(precision).is_ok_and(|precision| (0..=precision).contains(&scale));
    if !fits {
        let what = format!("there is no type DECIMAL({precision}, {scale})");
        return Err(Error::new(Code::InvalidType, what).at(at).with_help(
            "a decimal has 1 to 38 digits, and no more of them behind the point than it has in all",
        ));
    }
    Ok(DataType::Decimal128(precision as u8, scale as i8))
}

fn timestamp(precision: Option<u64>, at: Span) -> Result<DataType, Error> {
    let unit = match precision {
        None | Some(9) => TimeUnit::Nanosecond,
        Some(0) => TimeUnit::Second,
        Some(3) => TimeUnit::Millisecond,
        Some(6) => TimeUnit::Microsecond,
        Some(digits) => {
            return Err(Error::new(Code::InvalidType, format!("there is no type TIMESTAMP({digits})"))
                .at(at)
                .with_help("a timestamp has 0, 3, 6 or 9 digits of a second"));
        }
    };
    Ok(DataType::Timestamp(unit, None))
}

/// A map as DataFusion's own functions make it, so that no cast lies between.
fn map_of(key: DataType, value: DataType) -> DataType {
    let entry = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

fn struct_fields(fields: &[StructField], at: Span) -> Result<Fields, Error> {
    fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let name = field.field_name.as_ref().map_or_else(|| format!("c{index}"), normalise);
            Ok(Field::new(name, arrow_type(&field.field_type, at)?, true))
        })
        .collect()
}

fn invalid(sql: &SqlType, at: Span) -> Error {
    Error::new(Code::InvalidType, format!("type '{sql}' is not supported")).at(at)
}

fn unknown(sql: &SqlType, at: Span) -> Error {
    let name = sql.to_string();
    match nearest(&name, NAMES) {
        Some(near) => Error::new(Code::InvalidType, format!("there is no type '{name}'"))
            .at(at)
            .with_help(format!("did you mean {}?", near.to_uppercase())),
        None => invalid(sql, at).with_help(
            "types are BOOLEAN, TINYINT to BIGINT (also UNSIGNED), FLOAT, DOUBLE, DECIMAL(p, s), TEXT, BYTEA, DATE, \
             TIME, TIMESTAMP, INTERVAL, JSON, STRUCT<…>, MAP(K, V) and T[]",
        ),
    }
}
