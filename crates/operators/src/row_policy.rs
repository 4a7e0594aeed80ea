//! What becomes of a row that cannot be computed: a division by zero, a cast
//! that fails, an overflow.
//!
//! Batches are computed as a whole, which costs nothing while all goes well.
//! When a batch fails, halving it finds the rows at fault; no other row is
//! spoiled by them.

use arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow::compute::{concat, concat_batches};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::utils::collect_columns;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Result};

use crate::expression::Expression;
use crate::functions::own;

/// The most characters of one value that an error shows.
const VALUE_CHARS_MAX: usize = 40;
/// The most values of a row that an error shows.
const VALUES_MAX: usize = 8;

/// What becomes of a row that cannot be computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowPolicy {
    /// The job fails with `row-failed`, which names the expression and the row.
    #[default]
    Fail,
    /// The row is dropped and counted as refused.
    Drop,
}

/// What could be computed.
#[derive(Debug)]
pub struct Computed {
    /// The rows that are left: all of them, unless some were refused.
    pub records: RecordBatch,
    /// One column per expression, for the rows that are left.
    pub columns: Vec<ArrayRef>,
    /// How many rows could not be computed.
    pub refused: usize,
}

/// Computes `expressions` over `records`, row failures by `policy`.
///
/// A row is judged by itself, whatever rows it comes with: DataFusion may
/// fail on `b <> 0 AND a / b > 1` for a batch where it does not for each row.
pub fn compute(expressions: &[Expression], records: RecordBatch, policy: RowPolicy) -> Result<Computed> {
    if let Ok(columns) = evaluate_all(expressions, &records) {
        return Ok(Computed { records, columns, refused: 0 });
    }
    let mut parts = Vec::new();
    let refused = compute_parts(expressions, &records, policy, &mut parts)?;
    let joined = |e: ArrowError| not_of_a_row(e.into());
    let kept = concat_batches(&records.schema(), parts.iter().map(|(rows, _)| rows)).map_err(joined)?;
    let column = |(index, expression): (usize, &Expression)| {
        let columns: Vec<&dyn Array> = parts.iter().map(|(_, columns)| columns[index].as_ref()).collect();
        match columns.is_empty() {
            true => Ok(new_empty_array(expression.data_type())),
            false => concat(&columns),
        }
    };
    let columns = expressions.iter().enumerate().map(column).collect::<Result<_, _>>().map_err(joined)?;
    Ok(Computed { records: kept, columns, refused })
}

fn evaluate_all(expressions: &[Expression], records: &RecordBatch) -> Result<Vec<ArrayRef>, DataFusionError> {
    expressions.iter().map(|expression| expression.evaluate(records)).collect()
}

/// Computes what can be, by halves, and gives the number of rows that cannot.
fn compute_parts(
    expressions: &[Expression],
    records: &RecordBatch,
    policy: RowPolicy,
    parts: &mut Vec<(RecordBatch, Vec<ArrayRef>)>,
) -> Result<usize> {
    let failure = match evaluate_all(expressions, records) {
        Ok(columns) => {
            parts.push((records.clone(), columns));
            return Ok(0);
        }
        Err(failure) => failure,
    };
    match (records.num_rows(), policy) {
        (0, _) => Err(not_of_a_row(failure)),
        (1, RowPolicy::Fail) => Err(row_failed(expressions, records, failure)),
        (1, RowPolicy::Drop) => Ok(1),
        (rows, _) => {
            let half = rows / 2;
            let first = compute_parts(expressions, &records.slice(0, half), policy, parts)?;
            let second = compute_parts(expressions, &records.slice(half, rows - half), policy, parts)?;
            Ok(first + second)
        }
    }
}

fn not_of_a_row(failure: DataFusionError) -> Error {
    if let Some(own) = own(&failure) {
        return own;
    }
    Error::new(Code::OperatorFailed, "an expression cannot be computed").because(failure.strip_backtrace())
}

fn row_failed(expressions: &[Expression], row: &RecordBatch, failure: DataFusionError) -> Error {
    for expression in expressions {
        if let Err(failure) = expression.evaluate(row) {
            if let Some(own) = own(&failure) {
                // A program's function failed, and said what it was given.
                return own;
            }
            return Error::new(
                Code::RowFailed,
                format!("expression '{expression}' cannot be computed for {}", describe(expression, row)),
            )
            .because(failure.strip_backtrace())
            .with_help("guard the expression, as with nullif or try_cast, or let such rows be dropped");
        }
    }
    not_of_a_row(failure)
}

/// The values of a single row that `expression` reads: `the row (a = 1, b = 0)`.
fn describe(expression: &Expression, row: &RecordBatch) -> String {
    let mut read: Vec<usize> = collect_columns(expression.physical()).iter().map(|c| c.index()).collect();
    read.sort_unstable();
    let more = if read.len() > VALUES_MAX { ", …" } else { "" };
    let values: Vec<String> = read
        .iter()
        .take(VALUES_MAX)
        .map(|&index| format!("{} = {}", row.schema_ref().field(index).name(), short(row.column(index))))
        .collect();
    format!("the row ({}{more})", values.join(", "))
}

fn short(column: &ArrayRef) -> String {
    if column.is_null(0) {
        return "null".into();
    }
    let text = array_value_to_string(column, 0).unwrap_or_else(|_| "?".into());
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use thalweg_dataflow::text::{read_rows, write_rows};

    use super::*;
    use crate::testing::{expression, schema};

    fn rows(of: impl Fn(usize) -> i64, count: usize) -> RecordBatch {
        let text: String = (0..count).map(|row| format!("{row} {}\n", of(row))).collect();
        read_rows(&schema("a:int b:int"), &text).unwrap()
    }

    #[test]
    fn a_row_at_fault_is_dropped_and_no_other() {
        let divide = [expression(&schema("a:int b:int"), "a / b")];
        for count in [1, 2, 3, 7, 100, 1000] {
            for bad in [1, 2, 3, 5, 1000] {
                let batch = rows(|row| if row % bad == 0 { 0 } else { 1 }, count);
                let computed = compute(&divide, batch, RowPolicy::Drop).unwrap();
                let good: Vec<i64> = (0..count).filter(|row| row % bad != 0).map(|row| row as i64).collect();
                assert_eq!(computed.refused, count - good.len());
                assert_eq!(computed.records.num_rows(), good.len());
                let text: String = good.iter().map(|row| format!("{row} 1\n")).collect();
                assert_eq!(write_rows(&computed.records), text);
                assert_eq!(computed.columns[0].len(), good.len());
            }
        }
    }

    #[test]
    fn a_row_is_judged_by_itself() {
        let guarded = [expression(&schema("a:int b:int"), "b <> 0 AND 10 / b > 1")];
        let computed = compute(&guarded, rows(|row| row as i64 % 2, 9), RowPolicy::Fail).unwrap();
        assert_eq!(computed.columns[0].as_boolean().true_count(), 4);
        assert_eq!(computed.records.num_rows(), 9);
    }

    #[test]
    fn the_error_names_expression_and_row() {
        let columns = schema("a:int b:int");
        let both = [expression(&columns, "a + b"), expression(&columns, "a / b")];
        let batch = rows(|row| if row == 5 || row == 7 { 0 } else { 1 }, 10);
        let error = compute(&both, batch, RowPolicy::Fail).unwrap_err();
        assert_eq!(error.code(), Code::RowFailed);
        assert_eq!(error.what(), "expression 'a / b' cannot be computed for the row (a = 5, b = 0)");
        assert!(error.why().unwrap().contains("Divide by zero"), "{error}");
    }

    #[test]
    fn a_cast_that_fails_shows_a_short_value() {
        let columns = schema("s:text");
        let cast = [expression(&columns, "CAST(s AS BIGINT)")];
        let text = format!("12\n{}\n", "x".repeat(100));
        let error = compute(&cast, read_rows(&columns, &text).unwrap(), RowPolicy::Fail).unwrap_err();
        assert!(error.what().ends_with(&format!("(s = {}…)", "x".repeat(VALUE_CHARS_MAX))), "{error}");
    }
}
