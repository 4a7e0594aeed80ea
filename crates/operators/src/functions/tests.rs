use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::compute::kernels::numeric::add;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::prelude::{SessionContext, col};
use std::sync::Mutex;
use thalweg_dataflow::text::read_rows;

use super::*;
use crate::expression::Expression;
use crate::row_policy::{RowPolicy, compute};
use crate::testing::schema;

fn argument(name: &str, takes_null: bool) -> Argument {
    Argument { name: name.into(), data_type: DataType::Int64, takes_null }
}

fn signature(takes_null: bool, nullable: bool) -> FunctionSignature {
    let arguments = vec![argument("a", takes_null), argument("b", takes_null)];
    FunctionSignature { name: "plus".into(), arguments, result: DataType::Int64, nullable }
}

fn id() -> FunctionId {
    FunctionId("sql/plus".into())
}

/// `plus(a, b)`, as it comes out of a plan.
fn call(signature: FunctionSignature) -> Expression {
    let input = schema("a:int? b:int?");
    let columns = DFSchema::try_from(Arc::clone(&input)).unwrap();
    let logical = scalar(id(), signature).call(vec![col("a"), col("b")]);
    let physical = SessionContext::new().create_physical_expr(logical, &columns).unwrap();
    Expression::new(physical, input).unwrap()
}

/// The functions of a process, and how many rows each call was for.
fn functions(
    compute: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> (Functions, Arc<Mutex<Vec<usize>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (mut functions, seen) = (Functions::default(), Arc::clone(&calls));
    functions.add(
        id(),
        ProgramFunction::new(move |columns, rows| {
            seen.lock().unwrap().push(rows);
            compute(columns)
        }),
    );
    (functions, calls)
}

fn plus(columns: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(add(&columns[0], &columns[1]).unwrap())
}

fn rows(text: &str) -> RecordBatch {
    read_rows(&schema("a:int? b:int?"), text).unwrap()
}

#[test]
fn a_call_that_travelled_finds_its_function_where_it_is_built() {
    let planned = call(signature(false, false));
    let travelled: Expression = serde_json::from_slice(&serde_json::to_vec(&planned).unwrap()).unwrap();
    assert_eq!(travelled.to_string(), "plus(a, b)");
    assert!(planned.evaluate(&rows("1 2\n")).unwrap_err().to_string().contains("not bound"));
    assert!(travelled.bound(&Functions::default()).is_err(), "another program");
    let (functions, _) = functions(plus);
    let sums = travelled.bound(&functions).unwrap().evaluate(&rows("1 2\n3 4\n")).unwrap();
    assert_eq!(sums.as_primitive::<Int64Type>().values(), &[3, 7]);
}

#[test]
fn a_null_that_is_not_taken_gives_null_without_a_call() {
    let (functions, calls) = functions(|columns| {
        assert!(columns.iter().all(|column| column.null_count() == 0));
        plus(columns)
    });
    let call = call(signature(false, false)).bound(&functions).unwrap();
    assert!(call.nullable(), "for its arguments are");
    let sums = call.evaluate(&rows("1 2\nnull 5\n3 4\n6 null\nnull null\n")).unwrap();
    let expected = Int64Array::from(vec![Some(3), None, Some(7), None, None]);
    assert_eq!(sums.as_primitive::<Int64Type>(), &expected);
    let nothing = call.evaluate(&rows("null 5\n")).unwrap();
    assert_eq!((nothing.len(), nothing.null_count()), (1, 1));
    assert_eq!(*calls.lock().unwrap(), [2], "rows that are called for, and no call for none");
}

#[test]
fn a_null_that_is_taken_is_given() {
    let (functions, calls) = functions(plus);
    let call = call(signature(true, true)).bound(&functions).unwrap();
    assert_eq!(call.evaluate(&rows("1 2\nnull 5\n")).unwrap().null_count(), 1);
    assert_eq!(*calls.lock().unwrap(), [2]);
}

#[test]
fn what_a_function_gives_wrongly_is_told() {
    let wrong = |given: ArrayRef, nullable: bool| {
        let (functions, _) = functions(move |_| Ok(Arc::clone(&given)));
        let call = call(signature(true, nullable)).bound(&functions).unwrap();
        super::super::own(&call.evaluate(&rows("1 2\n")).unwrap_err()).unwrap().what().to_owned()
    };
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    assert_eq!(wrong(text, true), "function 'plus' gave values of type 'Utf8', not 'Int64'");
    assert_eq!(
        wrong(Arc::new(Int64Array::from(vec![1, 2])), true),
        "function 'plus' gave 2 values for 1 rows"
    );
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    assert_eq!(wrong(null, false), "function 'plus' gave NULL, which it is declared not to give");
}

#[test]
fn a_row_with_which_a_function_fails_is_told_in_its_own_words_or_dropped_alone() {
    let (functions, _) =
        functions(|columns| match columns[0].as_primitive::<Int64Type>().values().contains(&3) {
            true => Err(Error::new(Code::FunctionFailed, "three")),
            false => plus(columns),
        });
    let call = [call(signature(false, false)).bound(&functions).unwrap()];
    let records = rows("1 2\n3 4\n5 6\n");
    let error = compute(&call, records.clone(), RowPolicy::Fail).unwrap_err();
    assert_eq!((error.code(), error.what()), (Code::FunctionFailed, "three"));
    let computed = compute(&call, records, RowPolicy::Drop).unwrap();
    assert_eq!(computed.refused, 1);
    assert_eq!(computed.columns[0].as_primitive::<Int64Type>().values(), &[3, 11]);
}

#[test]
fn a_call_is_repeatable_and_is_not_made_while_it_is_planned() {
    assert!(call(signature(false, false)).is_repeatable());
    assert_eq!(signature(false, false).planned().volatility, Volatility::Volatile);
}

#[test]
fn arguments_are_cast_where_that_is_meant() {
    let signature = signature(false, false);
    let wanted = vec![DataType::Int64; 2];
    assert_eq!(signature.coerce(&[DataType::UInt64, DataType::Null]).unwrap(), wanted);
    for (given, count) in [
        (vec![DataType::Int64], Some(": 1 in place of 2")),
        (vec![DataType::Int64, DataType::Utf8], None),
        (vec![DataType::Int64; 3], Some(": 3 in place of 2")),
    ] {
        let why = signature.coerce(&given).unwrap_err().strip_backtrace();
        assert!(why.contains("plus() takes (a BIGINT, b BIGINT), and is called with (BIGINT"), "{why}");
        assert_eq!(why.contains(" in place of "), count.is_some(), "{why}");
        assert!(why.ends_with(count.unwrap_or(")")), "{why}");
    }
}
