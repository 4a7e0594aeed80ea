//! Rows as plain values, compared as multisets with a tolerance for floats.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int8Type, TimeUnit};
use thalweg_dataflow::columns;

const TOLERANCE: f64 = 1e-9;

/// One value. Lists are sorted: the order of rows within an aggregate means nothing.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Cell {
    Null,
    Float(f64),
    Other(String),
    List(Vec<Cell>),
}

pub(crate) type Row = Vec<Cell>;

/// The rows of a result.
pub(crate) fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    batches
        .iter()
        .flat_map(|batch| {
            let columns: Vec<Vec<Cell>> = batch.columns().iter().map(|c| cells(c)).collect();
            (0..batch.num_rows()).map(move |row| columns.iter().map(|c| c[row].clone()).collect())
        })
        .collect()
}

/// The rows that stand after all asserts and retracts.
pub(crate) fn net(batches: &[RecordBatch]) -> Result<Vec<Row>, String> {
    let mut counts: BTreeMap<String, (i64, Row)> = BTreeMap::new();
    for batch in batches {
        let shown: Vec<usize> = (0..batch.num_columns())
            .filter(|&i| {
                let schema = batch.schema();
                let name = schema.field(i).name();
                ![columns::DIFF, columns::TIMESTAMP, columns::ROW_WATERMARK].contains(&name.as_str())
            })
            .collect();
        let diffs =
            batch.column_by_name(columns::DIFF).map(|c| c.as_primitive::<Int8Type>().values().to_vec());
        let shown = batch.project(&shown).expect("columns of the batch");
        for (i, row) in rows(&[shown]).into_iter().enumerate() {
            let diff = diffs.as_ref().map_or(1, |d| i64::from(d[i]));
            counts.entry(format!("{row:?}")).or_insert_with(|| (0, row)).0 += diff;
        }
    }
    let mut standing = Vec::new();
    for (text, (count, row)) in counts {
        let times =
            usize::try_from(count).map_err(|_| format!("{text} was retracted more often than asserted"))?;
        standing.extend(std::iter::repeat_n(row, times));
    }
    Ok(standing)
}

fn cells(column: &dyn Array) -> Vec<Cell> {
    let list = |values: &dyn Fn(usize) -> arrow::array::ArrayRef| {
        (0..column.len())
            .map(|i| {
                if column.is_null(i) {
                    return Cell::Null;
                }
                let mut items = cells(&values(i));
                items.sort_by(order);
                Cell::List(items)
            })
            .collect()
    };
    match column.data_type() {
        DataType::List(_) => list(&|i| column.as_list::<i32>().value(i)),
        DataType::LargeList(_) => list(&|i| column.as_list::<i64>().value(i)),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let floats = cast(column, &DataType::Float64).expect("a float");
            floats.as_primitive::<Float64Type>().iter().map(|v| v.map_or(Cell::Null, Cell::Float)).collect()
        }
        DataType::Timestamp(_, _) => {
            let nanos = cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None)).expect("a timestamp");
            texts(&cast(&nanos, &DataType::Int64).expect("nanoseconds"))
        }
        _ => texts(column),
    }
}

fn texts(column: &dyn Array) -> Vec<Cell> {
    let texts = cast(column, &DataType::Utf8).expect("every type of the tables has a text form");
    texts.as_string::<i32>().iter().map(|v| v.map_or(Cell::Null, |v| Cell::Other(v.to_owned()))).collect()
}

/// A total order in which floats that are equal within the tolerance lie side by side.
fn order(a: &Cell, b: &Cell) -> Ordering {
    match (a, b) {
        (Cell::Float(a), Cell::Float(b)) => a.total_cmp(b),
        (a, b) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    }
}

fn same(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Float(a), Cell::Float(b)) => {
            let near = || {
                a.is_finite() && b.is_finite() && (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
            };
            a == b || (a.is_nan() && b.is_nan()) || near()
        }
        (Cell::List(a), Cell::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b,
    }
}

/// Compares as multisets; says what is missing and what is too many.
pub(crate) fn compare(expected: &[Row], found: &[Row]) -> Result<(), String> {
    let mut left: Vec<&Row> = found.iter().collect();
    let mut missing = Vec::new();
    for row in expected {
        let matches =
            |other: &&Row| row.len() == other.len() && row.iter().zip(other.iter()).all(|(a, b)| same(a, b));
        match left.iter().position(matches) {
            Some(at) => {
                left.swap_remove(at);
            }
            None => missing.push(row),
        }
    }
    if missing.is_empty() && left.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} rows expected, {} found\nmissing:    {missing:?}\nunexpected: {left:?}",
        expected.len(),
        found.len()
    ))
}
