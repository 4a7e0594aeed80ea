//! Streams that stay columns, and functions of whole batches.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};
use thalweg_app::driver::{kept, table};
use thalweg_app::{Application, Driver, Mapped, RowTime, Rows};
use thalweg_dataflow::{Error, Result};

fn number() -> Fields {
    vec![Field::new("number", DataType::Int64, false)].into()
}

fn columns() -> SchemaRef {
    let at = Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, None), true);
    Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false), at]))
}

/// Rows, each with its number as its time.
fn rows(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(numbers);
    let times = TimestampNanosecondArray::new(numbers.values().clone(), None);
    RecordBatch::try_new(columns(), vec![Arc::new(numbers), Arc::new(times)]).unwrap()
}

fn numbers(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn of_numbers(numbers: Vec<i64>, origins: Option<Vec<u32>>) -> Result<Mapped> {
    let column: ArrayRef = Arc::new(Int64Array::from(numbers));
    let rows = RecordBatch::try_new(Arc::new(Schema::new(number())), vec![column]).unwrap();
    Ok(Mapped { rows, origins: origins.map(UInt32Array::from) })
}

/// The table `in`, whose rows go through `steps` to the sink `out`.
fn driver(steps: impl FnOnce(Rows) -> Rows) -> Driver {
    let application = Application::new("rows");
    let time = RowTime::Column("at".to_owned(), Duration::ZERO);
    steps(application.rows("in", table(columns()), time)).sink("out", |_| Ok(kept()));
    Driver::new(application).unwrap()
}

fn refused(function: impl Fn(Vec<i64>) -> Result<Mapped> + Send + Sync + 'static) -> Error {
    let mut driver = driver(|rows| rows.map_batches("f", number(), move |batch| function(numbers(batch))));
    driver.feed_rows("in", "0", &rows(0..3)).unwrap_err()
}

#[test]
fn a_function_is_called_once_for_each_batch_and_sees_only_its_columns() {
    let mut driver = driver(|rows| {
        rows.map_batches("f", number(), |batch| {
            assert_eq!(batch.schema_ref().fields().len(), 2);
            let sum: i64 = numbers(batch).iter().sum();
            of_numbers(vec![sum; batch.num_rows()], None)
        })
    });
    driver.feed_rows("in", "0", &rows([1, 2])).unwrap();
    driver.restart().unwrap();
    driver.feed_rows("in", "0", &rows([3])).unwrap();
    let out: Vec<Vec<i64>> = driver.rows("out").unwrap().iter().map(numbers).collect();
    assert_eq!(out, [vec![3, 3], vec![3]]);
}

/// A row, with the columns of the engine.
#[derive(Serialize, Deserialize)]
struct Timed {
    number: i64,
    #[serde(rename = "_timestamp")]
    time: i64,
    #[serde(rename = "_watermark")]
    watermark: i64,
}

#[test]
fn rows_keep_the_times_of_those_that_they_come_from() {
    // Numbers are times, so the records of the next function show them.
    let application = Application::new("times");
    let time = RowTime::Column("at".to_owned(), Duration::ZERO);
    let backwards = |batch: &RecordBatch| {
        let given = numbers(batch);
        let origins: Vec<u32> = (0..given.len() as u32).rev().flat_map(|row| [row, row]).collect();
        of_numbers(origins.iter().map(|&row| given[row as usize]).collect(), Some(origins))
    };
    let rows_out = application.rows("in", table(columns()), time).map_batches("f", number(), backwards);
    rows_out.sink("out", |schema| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["number", "_timestamp", "_watermark"]);
        Ok(kept())
    });
    let mut driver = Driver::new(application).unwrap();
    driver.set_batch_rows_max(3);
    driver.feed_rows("in", "0", &rows([5, 7, 6])).unwrap();
    let sizes: Vec<usize> = driver.rows("out").unwrap().iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [3, 3], "in pieces that are no larger than batches may be");
    let out: Vec<Timed> = driver.output("out").unwrap();
    let out: Vec<_> = out.iter().map(|row| (row.number, row.time, row.watermark)).collect();
    // The watermark is that just before each row.
    let [five, seven, six] = [(5, 5, i64::MIN), (7, 7, 5), (6, 6, 7)];
    assert_eq!(out, [six, six, seven, seven, five, five]);
}

#[test]
fn what_does_not_say_where_it_comes_from_is_refused() {
    let cases: [(Error, &str); 3] = [
        (refused(|numbers| of_numbers(numbers[1..].to_vec(), None)), "gave 2 rows for a batch of 3"),
        (
            refused(|numbers| of_numbers(numbers, Some(vec![0, 1, 3]))),
            "gave a row from row 3 of a batch of 3 rows",
        ),
        (
            refused(|numbers| of_numbers(numbers, Some(vec![0]))),
            "does not say of every row from which row it comes",
        ),
    ];
    for (error, words) in cases {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn other_columns_than_were_declared_are_refused() {
    let mut driver = driver(|rows| {
        rows.map_batches("f", number(), |batch| Ok(Mapped { rows: batch.clone(), origins: None }))
    });
    let error = driver.feed_rows("in", "0", &rows(0..3)).unwrap_err();
    assert!(error.to_string().contains("not the columns that were declared"), "{error}");
}

#[test]
fn a_time_that_is_no_column_and_a_name_of_the_engine_are_told() {
    let application = Application::new("wrong");
    let time = RowTime::Column("when".to_owned(), Duration::ZERO);
    application.rows("in", table(columns()), time).sink("out", |_| Ok(kept()));
    let own: Fields = vec![Field::new("_timestamp", DataType::Int64, false)].into();
    let rows = application.rows("other", table(columns()), RowTime::Seen);
    rows.map_batches("f", own, |batch| of_numbers(numbers(batch), None)).sink("more", |_| Ok(kept()));
    let Err(errors) = Driver::new(application) else { panic!("it is not refused") };
    let told: Vec<&str> = errors.iter().map(Error::what).collect();
    assert!(told[0].contains("no column 'when'") && told[1].contains("'_timestamp'"), "{told:?}");
}
