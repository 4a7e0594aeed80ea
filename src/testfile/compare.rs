//! What came out against what was expected.

use std::collections::BTreeMap;

use arrow::array::types::Int8Type;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Schema;
use serde_json::{Map, Value};
use thalweg_dataflow::{Code, Error, Result, columns};
use thalweg_formats::{Format, JsonOptions};

/// The relative error within which floats are equal.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// A row and whether it came (+1) or went (−1).
type Change = (i8, Value);

/// All changes of a result, in order.
pub fn changes(batches: &[RecordBatch]) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for batch in batches {
        let rows = json_rows(batch)?;
        let schema = batch.schema();
        let names: Vec<&str> = shown(&schema).map(|i| schema.field(i).name().as_str()).collect();
        if let Some(diff) = batch.column_by_name(columns::DIFF) {
            let diff = diff.as_primitive::<Int8Type>();
            changes.extend(diff.values().iter().copied().zip(rows));
        } else if names == ["before", "after", "op"] {
            rows.into_iter().for_each(|row| changes.extend(upsert_changes(row)));
        } else {
            changes.extend(rows.into_iter().map(|row| (1, row)));
        }
    }
    Ok(changes)
}

fn upsert_changes(row: Value) -> Vec<Change> {
    let Value::Object(mut fields) = row else { return Vec::new() };
    [(-1, "before"), (1, "after")]
        .into_iter()
        .filter_map(|(diff, side)| fields.remove(side).filter(|row| !row.is_null()).map(|row| (diff, row)))
        .collect()
}

/// The columns that are not the engine's own.
fn shown(schema: &Schema) -> impl Iterator<Item = usize> + '_ {
    let hidden = [columns::DIFF, columns::TIMESTAMP, columns::ROW_WATERMARK];
    (0..schema.fields().len()).filter(move |&i| !hidden.contains(&schema.field(i).name().as_str()))
}

/// The rows of a batch as JSON objects, less the columns that the engine adds.
fn json_rows(batch: &RecordBatch) -> Result<Vec<Value>> {
    let shown: Vec<usize> = shown(&batch.schema()).collect();
    let misfit = |why: &dyn std::fmt::Display| {
        Error::new(Code::InvalidTestFile, "the result cannot be compared as JSON").because(why)
    };
    let batch = batch.project(&shown).map_err(|why| misfit(&why))?;
    let format = Format::Json(JsonOptions::default());
    let mut encoder = format.encoder(&batch.schema()).map_err(|why| misfit(&why))?;
    let mut bytes = Vec::new();
    encoder.encode(&batch, &mut bytes).map_err(|why| misfit(&why))?;
    serde_json::Deserializer::from_slice(&bytes)
        .into_iter::<Value>()
        .collect::<Result<_, _>>()
        .map_err(|why| misfit(&why))
}

/// Asserts less retracts: the rows that stand at the end.
pub fn net(changes: &[Change]) -> Result<Vec<Value>> {
    let mut counts: BTreeMap<String, (i64, Value)> = BTreeMap::new();
    for (diff, row) in changes {
        let entry = counts.entry(row.to_string()).or_insert_with(|| (0, row.clone()));
        entry.0 += i64::from(*diff);
    }
    let mut rows = Vec::new();
    for (text, (count, row)) in counts {
        let times = usize::try_from(count)
            .map_err(|_| Error::internal(format!("row {text} was retracted more often than asserted")))?;
        rows.extend(std::iter::repeat_n(row, times));
    }
    Ok(rows)
}

/// Compares two sets of rows in any order; says what is missing and what is too many.
pub fn compare_sets(expected: &[String], found: &[Value]) -> Result<(), String> {
    let mut left: Vec<&Value> = found.iter().collect();
    let mut missing = Vec::new();
    for text in expected {
        let row = parse(text)?;
        match left.iter().position(|candidate| equal(&row, candidate)) {
            Some(at) => {
                left.swap_remove(at);
            }
            None => missing.push(text.clone()),
        }
    }
    if missing.is_empty() && left.is_empty() {
        return Ok(());
    }
    let mut report = String::new();
    missing.iter().for_each(|row| report.push_str(&format!("  missing    {row}\n")));
    left.iter().for_each(|row| report.push_str(&format!("  unexpected {row}\n")));
    Err(report)
}

/// Compares two changelogs in order.
pub fn compare_changes(expected: &[(char, String)], found: &[Change]) -> Result<(), String> {
    let sign = |diff: i8| if diff < 0 { '-' } else { '+' };
    let same = expected.len() == found.len()
        && expected.iter().zip(found).try_fold(true, |all, ((s, text), (diff, row))| {
            Ok::<_, String>(all && *s == sign(*diff) && equal(&parse(text)?, row))
        })?;
    if same {
        return Ok(());
    }
    let mut report = String::new();
    expected.iter().for_each(|(s, row)| report.push_str(&format!("  expected {s} {row}\n")));
    found.iter().for_each(|(diff, row)| report.push_str(&format!("  found    {} {row}\n", sign(*diff))));
    Err(report)
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|why| format!("  the expected row {text} is not JSON: {why}\n"))
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers_equal(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => objects_equal(a, b),
        (a, b) => a == b,
    }
}

fn objects_equal(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
}

fn numbers_equal(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return a == b;
    }
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= FLOAT_TOLERANCE * a.abs().max(b.abs()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_are_compared_in_any_order_and_by_multiplicity() {
        let expected = [r#"{"a": 1.0}"#.to_owned(), r#"{"a": 2}"#.to_owned()];
        assert_eq!(compare_sets(&expected, &[json!({"a": 2}), json!({"a": 1})]), Ok(()));
        assert!(compare_sets(&expected, &[json!({"a": 2}), json!({"a": 2})]).is_err());
        assert!(compare_sets(&expected, &[json!({"a": 2})]).is_err());
        assert!(compare_sets(&expected, &[json!({"a": 2}), json!({"a": 1.0001})]).is_err());
        assert!(compare_sets(&expected, &[json!({"a": 2}), json!({"a": 1, "b": null})]).is_err());
    }

    #[test]
    fn a_changelog_is_compared_in_order() {
        let expected = [('+', "{\"a\":1}".to_owned()), ('-', "{\"a\":1}".to_owned())];
        assert_eq!(compare_changes(&expected, &[(1, json!({"a": 1})), (-1, json!({"a": 1}))]), Ok(()));
        assert!(compare_changes(&expected, &[(-1, json!({"a": 1})), (1, json!({"a": 1}))]).is_err());
    }

    #[test]
    fn retracting_more_than_was_asserted_breaks_a_law() {
        let changes = [(1, json!({"a": 1})), (-1, json!({"a": 1})), (-1, json!({"a": 1}))];
        assert!(net(&changes).is_err());
        assert_eq!(net(&changes[..2]).expect("nothing left"), Vec::<Value>::new());
    }
}
