//! Rows of SQL as Python's records: a `dict` for each row, and back.
//!
//! ```text
//!  BOOLEAN  BIGINT …  DOUBLE  DECIMAL  TEXT  BYTEA  DATE  TIME  TIMESTAMP                 INTERVAL   T[]   STRUCT, MAP
//!  bool     int       float   Decimal  str   bytes  date  time  datetime with a time zone  timedelta  list  dict
//! ```

mod write;

use std::sync::Arc;

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType, DurationMicrosecondType, FieldRef, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    SchemaRef, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList, PyString};
use thalweg::engine::sql_type;
use thalweg_app::WriteRows;
use thalweg_dataflow::{Code, Error, Result};

use crate::attached::attached;
use crate::object::Object;

pub(crate) use write::{Rows, Values, append, nanos, values};

/// The day 1970-01-01, as Python counts them.
const EPOCH_ORDINAL: i32 = 719_163;

pub(crate) type Objects<'py> = PyResult<Vec<Bound<'py, PyAny>>>;

/// A `dict` for each row, with a value for each column.
pub(crate) fn read(batch: &RecordBatch) -> Result<Vec<Object>> {
    attached(|py| {
        let schema = batch.schema_ref();
        let names: Vec<_> = schema.fields().iter().map(|field| PyString::intern(py, field.name())).collect();
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| {
            objects(py, column).map_err(|raised| {
                let what = format!("the column '{}' cannot be given to Python", field.name());
                Error::new(Code::TypeMismatch, what).because(raised)
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let rows = dicts(py, &names, &columns, batch.num_rows());
        let rows = rows.map_err(|raised| Error::internal("rows are no records").because(raised))?;
        Ok(rows.into_iter().map(|row| Object(row.unbind())).collect())
    })
}

/// Records as rows with these columns.
pub(crate) fn written(name: &str, columns: &SchemaRef, records: &[Object]) -> Result<RecordBatch> {
    let declared = |field: &FieldRef| {
        let never = if field.is_nullable() { "" } else { " NOT NULL" };
        (Arc::clone(field), Arc::from(format!("{}{never}", sql_type(field.data_type()))))
    };
    let declared: Vec<_> = columns.fields().iter().map(declared).collect();
    let mut rows = Rows::new(Arc::from(format!("table '{name}'")), &declared)?;
    records.iter().try_for_each(|record| rows.push(record).map(|_| ()))?;
    RecordBatch::try_new(Arc::clone(columns), rows.finish()?)
        .map_err(|why| Error::internal("rows do not fit their columns").because(why))
}

fn dicts<'py>(
    py: Python<'py>,
    names: &[Bound<'py, PyString>],
    columns: &[Vec<Bound<'py, PyAny>>],
    rows: usize,
) -> Objects<'py> {
    let row = |row: usize| {
        let record = PyDict::new(py);
        names.iter().zip(columns).try_for_each(|(name, column)| record.set_item(name, &column[row]))?;
        Ok(record.into_any())
    };
    (0..rows).map(row).collect()
}

/// The values of a column.
pub(crate) fn objects<'py>(py: Python<'py>, column: &ArrayRef) -> Objects<'py> {
    macro_rules! numbers {
        ($type:ty) => {
            each(py, column.as_primitive::<$type>(), |number| Ok(number.into_pyobject(py)?.into_any()))
        };
    }
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    match column.data_type() {
        DataType::Null => Ok(vec![py.None().into_bound(py); column.len()]),
        DataType::Boolean => {
            each(py, column.as_boolean(), |flag| Ok(PyBool::new(py, flag).to_owned().into_any()))
        }
        DataType::Int8 => numbers!(Int8Type),
        DataType::Int16 => numbers!(Int16Type),
        DataType::Int32 => numbers!(Int32Type),
        DataType::Int64 => numbers!(Int64Type),
        DataType::UInt8 => numbers!(UInt8Type),
        DataType::UInt16 => numbers!(UInt16Type),
        DataType::UInt32 => numbers!(UInt32Type),
        DataType::UInt64 => numbers!(UInt64Type),
        DataType::Float32 => each(py, column.as_primitive::<Float32Type>(), |number| {
            Ok(PyFloat::new(py, f64::from(number)).into_any())
        }),
        DataType::Float64 => {
            each(py, column.as_primitive::<Float64Type>(), |number| Ok(PyFloat::new(py, number).into_any()))
        }
        DataType::Utf8 => each(py, column.as_string::<i32>(), |text| Ok(PyString::new(py, text).into_any())),
        DataType::Binary => {
            each(py, column.as_binary::<i32>(), |bytes| Ok(PyBytes::new(py, bytes).into_any()))
        }
        DataType::Decimal128(precision, scale) => {
            let make = classes(py)?.decimal.bind(py);
            let text = |number| Decimal128Type::format_decimal(number, *precision, *scale);
            each(py, column.as_primitive::<Decimal128Type>(), |number| make.call1((text(number),)))
        }
        DataType::Date32 => {
            let make = classes(py)?.date.bind(py).getattr("fromordinal")?;
            each(py, column.as_primitive::<Date32Type>(), |days| {
                make.call1((i64::from(days) + i64::from(EPOCH_ORDINAL),))
            })
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let make = classes(py)?.time.bind(py);
            each(py, column.as_primitive::<Time64MicrosecondType>(), |micros| {
                let seconds = micros / 1_000_000;
                make.call1((seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000))
            })
        }
        data_type if *data_type == micros => {
            let epoch = classes(py)?.epoch.bind(py);
            let delta = classes(py)?.delta.bind(py);
            each(py, column.as_primitive::<TimestampMicrosecondType>(), |micros| {
                let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
                epoch.add(delta.call1((0, seconds, rest))?)
            })
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let delta = classes(py)?.delta.bind(py);
            each(py, column.as_primitive::<DurationMicrosecondType>(), |micros| delta.call1((0, 0, micros)))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let delta = classes(py)?.delta.bind(py);
            each(py, column.as_primitive::<IntervalMonthDayNanoType>(), |interval| match interval.months {
                0 => delta.call1((interval.days, 0, interval.nanoseconds / 1000)),
                months => Err(PyValueError::new_err(format!(
                    "an interval of {months} months has no length in days, and a timedelta has: \
                     give Python the months by date_part('month', …)"
                ))),
            })
        }
        DataType::Map(..) => {
            let maps = column.as_map();
            let spans = Spans::of(maps.offsets());
            let (keys, items) =
                (objects(py, &spans.cut(maps.keys()))?, objects(py, &spans.cut(maps.values()))?);
            let map = |row: usize| match maps.is_null(row) {
                true => Ok(py.None().into_bound(py)),
                false => {
                    let map = PyDict::new(py);
                    spans.at(row).try_for_each(|entry| map.set_item(&keys[entry], &items[entry]))?;
                    Ok(map.into_any())
                }
            };
            (0..column.len()).map(map).collect()
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let spans = Spans::of(lists.offsets());
            let items = objects(py, &spans.cut(lists.values()))?;
            let list = |row: usize| match lists.is_null(row) {
                true => Ok(py.None().into_bound(py)),
                false => Ok(PyList::new(py, &items[spans.at(row)])?.into_any()),
            };
            (0..column.len()).map(list).collect()
        }
        DataType::Struct(fields) => {
            let structs = column.as_struct();
            let names: Vec<_> = fields.iter().map(|field| PyString::intern(py, field.name())).collect();
            let columns = structs.columns().iter().map(|column| objects(py, column));
            let columns = columns.collect::<PyResult<Vec<_>>>()?;
            let mut rows = dicts(py, &names, &columns, structs.len())?;
            for (row, record) in rows.iter_mut().enumerate() {
                if structs.is_null(row) {
                    *record = py.None().into_bound(py);
                }
            }
            Ok(rows)
        }
        other => match plainer(other) {
            Some(plainer) => {
                objects(py, &cast(column, &plainer).map_err(|why| PyTypeError::new_err(why.to_string()))?)
            }
            None => Err(PyTypeError::new_err(format!("nothing in Python is as '{other}'"))),
        },
    }
}

/// Where the items of each row lie. A column that is a slice has the items of all rows still, of which only its
/// own are looked at.
struct Spans<'a>(&'a [i32]);

impl<'a> Spans<'a> {
    fn of(offsets: &'a [i32]) -> Self {
        Self(offsets)
    }

    /// The items of these rows.
    fn cut(&self, items: &ArrayRef) -> ArrayRef {
        let (start, end) = (self.offset(0), self.offset(self.0.len() - 1));
        items.slice(start, end - start)
    }

    /// Those of one row, counted from the first of all.
    fn at(&self, row: usize) -> std::ops::Range<usize> {
        let first = self.offset(0);
        self.offset(row) - first..self.offset(row + 1) - first
    }

    fn offset(&self, at: usize) -> usize {
        self.0[at] as usize
    }
}

/// The type of the same values that is read here.
fn plainer(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Some(DataType::Binary),
        DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            Some(DataType::Decimal128(*precision, *scale))
        }
        DataType::Date64 => Some(DataType::Date32),
        DataType::Time32(_) | DataType::Time64(_) => Some(DataType::Time64(TimeUnit::Microsecond)),
        DataType::Timestamp(..) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        DataType::Duration(_) => Some(DataType::Duration(TimeUnit::Microsecond)),
        DataType::Interval(IntervalUnit::DayTime | IntervalUnit::YearMonth) => {
            Some(DataType::Interval(IntervalUnit::MonthDayNano))
        }
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(DataType::List(Arc::clone(item)))
        }
        _ => None,
    }
}

fn each<'py, A: ArrayAccessor>(
    py: Python<'py>,
    array: A,
    make: impl Fn(A::Item) -> PyResult<Bound<'py, PyAny>>,
) -> Objects<'py> {
    let object = |row| match array.is_null(row) {
        true => Ok(py.None().into_bound(py)),
        false => make(array.value(row)),
    };
    (0..array.len()).map(object).collect()
}

/// Python's own classes of values.
pub(crate) struct Classes {
    decimal: Py<PyAny>,
    pub(crate) date: Py<PyAny>,
    pub(crate) datetime: Py<PyAny>,
    pub(crate) time: Py<PyAny>,
    pub(crate) delta: Py<PyAny>,
    /// The instant 1970-01-01 00:00 in UTC.
    epoch: Py<PyAny>,
    pub(crate) utc: Py<PyAny>,
}

pub(crate) fn classes(py: Python<'_>) -> PyResult<&Classes> {
    static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
    CLASSES.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let class = |name: &str| module.getattr(name).map(Bound::unbind);
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let epoch = module.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, &utc))?;
        Ok(Classes {
            decimal: py.import("decimal")?.getattr("Decimal")?.unbind(),
            date: class("date")?,
            datetime: class("datetime")?,
            time: class("time")?,
            delta: class("timedelta")?,
            epoch: epoch.unbind(),
            utc: utc.unbind(),
        })
    })
}
