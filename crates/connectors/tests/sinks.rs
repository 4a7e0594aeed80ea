//! Writing: what arrives, when, and what the errors say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::sync::Arc;

use arrow::array::{Int8Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use driver::*;
use tempfile::TempDir;
use thalweg_connectors::StdoutTarget;
use thalweg_dataflow::sink::Close;
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Code, Result, SinkSpec};
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, mpsc};

/// Two rows with the engine's columns.
fn batch(changelog: bool) -> RecordBatch {
    let mut columns: Vec<(&str, arrow::array::ArrayRef)> = vec![
        ("a", Arc::new(Int64Array::from(vec![1, 2]))),
        ("b", Arc::new(StringArray::from(vec![Some("x"), None]))),
        ("_timestamp", Arc::new(TimestampNanosecondArray::from(vec![0, 1]))),
    ];
    if changelog {
        columns.push(("_diff", Arc::new(Int8Array::from(vec![1, -1]))));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

fn file_sink(path: &str, format: &str, schema: SchemaRef, rows: RowKind) -> Result<Arc<dyn SinkSpec>> {
    let options = [("path", path), ("type", "sink"), ("format", format)];
    declare("single_file", &options, None).unwrap().sink(schema, rows)
}

async fn write(spec: &Arc<dyn SinkSpec>, cx: PieceContext, batches: &[RecordBatch]) -> Result<()> {
    let mut sink = spec.build(cx)?;
    sink.open().await?;
    for batch in batches {
        sink.write(batch.clone()).await?;
    }
    sink.flush().await?;
    sink.close(Close::End).await
}

#[tokio::test]
async fn a_fresh_file_begins_empty_and_another_goes_on() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.json");
    std::fs::write(&path, "old\n".repeat(100)).unwrap();
    let spec = file_sink(path.to_str().unwrap(), "json", batch(false).schema(), RowKind::Append).unwrap();
    let lines = "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n";
    let cx = context(10);
    write(&travelled_sink(&spec), cx.clone(), &[batch(false)]).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
    assert_eq!(cx.counters.taken.get(), 2);
    write(&spec, PieceContext { fresh: false, ..context(10) }, &[batch(false)]).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lines.repeat(2));
}

#[tokio::test]
async fn flush_makes_rows_visible() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.json");
    let spec = file_sink(path.to_str().unwrap(), "json", batch(false).schema(), RowKind::Append).unwrap();
    let mut sink = spec.build(context(10)).unwrap();
    sink.open().await.unwrap();
    sink.write(batch(false)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    sink.flush().await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_changelog_needs_a_format_that_can_write_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.json");
    let path = path.to_str().unwrap();
    let error = file_sink(path, "json", batch(true).schema(), RowKind::Changelog).unwrap_err();
    assert_eq!(error.code(), Code::SinkNotUpdating);
    assert!(error.help().unwrap().contains("debezium_json"), "{error}");
    let spec = file_sink(path, "debezium_json", batch(true).schema(), RowKind::Changelog).unwrap();
    write(&travelled_sink(&spec), context(10), &[batch(true)]).await.unwrap();
    let expected = "{\"before\":null,\"after\":{\"a\":1,\"b\":\"x\"},\"op\":\"c\"}\n\
        {\"before\":{\"a\":2,\"b\":null},\"after\":null,\"op\":\"d\"}\n";
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected);

    let table = |format, key: &[String]| {
        let options = [("path", "x"), ("format", format)];
        declare_with("single_file", &options, None, key, &StdoutTarget::process()).unwrap().as_sink().unwrap()
    };
    assert_eq!(table("json", &[]).changelog, Err("format = 'debezium_json'".into()));
    assert!(table("debezium_json", &["a".into()]).upsert && !table("debezium_json", &[]).upsert);
}

#[tokio::test]
async fn errors_name_the_path() {
    let schema = batch(false).schema();
    let full = file_sink("/dev/full", "json", schema.clone(), RowKind::Append).unwrap();
    let error = write(&full, context(10), &[batch(false)]).await.unwrap_err();
    assert_eq!(error.code(), Code::Io);
    assert!(error.what().contains("/dev/full") && error.help().unwrap().contains("room"), "{error}");
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("none/out.json");
    let missing = file_sink(missing.to_str().unwrap(), "json", schema.clone(), RowKind::Append).unwrap();
    assert_eq!(write(&missing, context(10), &[]).await.unwrap_err().code(), Code::FileNotFound);
    let directory = file_sink(folder.path().to_str().unwrap(), "json", schema, RowKind::Append).unwrap();
    assert_eq!(write(&directory, context(10), &[]).await.unwrap_err().code(), Code::Io);
}

fn stdout_sink(target: &StdoutTarget, options: &[(&str, &str)], rows: RowKind) -> Arc<dyn SinkSpec> {
    let changelog = rows == RowKind::Changelog;
    declare_with("stdout", options, None, &[], target).unwrap().sink(batch(changelog).schema(), rows).unwrap()
}

#[tokio::test]
async fn stdout_gives_lines_to_a_pipe() {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let target = StdoutTarget::Lines(Arc::new(Mutex::new(near)));
    let spec = stdout_sink(&target, &[], RowKind::Append);
    assert_eq!(travelled_sink(&spec).encode().unwrap(), spec.encode().unwrap());
    write(&spec, context(10), &[batch(false)]).await.unwrap();
    drop((spec, target));
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n");
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_has_its_own_code() {
    let (near, far) = tokio::io::duplex(16);
    drop(far);
    let spec = stdout_sink(&StdoutTarget::Lines(Arc::new(Mutex::new(near))), &[], RowKind::Append);
    let error = write(&spec, context(10), &[batch(false)]).await.unwrap_err();
    assert_eq!(error.code(), Code::OutputClosed);
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let spec = stdout_sink(&StdoutTarget::Rows(sender), &[], RowKind::Append);
    assert_eq!(write(&spec, context(10), &[batch(false)]).await.unwrap_err().code(), Code::OutputClosed);
}

#[tokio::test]
async fn stdout_gives_batches_to_a_live_table() {
    let (sender, mut receiver) = mpsc::channel(10);
    let target = StdoutTarget::Rows(sender);
    write(&stdout_sink(&target, &[], RowKind::Append), context(10), &[batch(false)]).await.unwrap();
    let debezium = stdout_sink(&target, &[("format", "debezium_json")], RowKind::Changelog);
    write(&debezium, context(10), &[batch(true)]).await.unwrap();
    let names =
        |rows: &RecordBatch| rows.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let first = receiver.recv().await.unwrap();
    assert_eq!((&*first.table, names(&first.records)), ("t", vec!["a".into(), "b".into()]));
    let second = receiver.recv().await.unwrap();
    assert_eq!(names(&second.records), ["a", "b", "_diff"]);
}

#[tokio::test]
async fn a_blackhole_counts() {
    let table = declare("blackhole", &[("format", "json")], None).unwrap();
    let spec = table.sink(batch(true).schema(), RowKind::Changelog).unwrap();
    let cx = context(10);
    write(&travelled_sink(&spec), cx.clone(), &[batch(true), batch(true)]).await.unwrap();
    assert_eq!(cx.counters.taken.get(), 4);
    assert_eq!((spec.parallelism_max(), spec.accepts(RowKind::Changelog)), (None, true));
    assert!(table.as_source().is_none());
    let error = declare("blackhole", &[("path", "x")], None).unwrap_err();
    assert_eq!(error.code(), Code::UnknownOption);
    assert_eq!(table.source(&[], &[]).unwrap_err().code(), Code::WrongRole);
}

#[test]
fn columns_that_a_format_cannot_write_are_refused_up_front() {
    let fixed = schema(&[("f", DataType::FixedSizeBinary(3))]);
    assert_eq!(file_sink("x", "json", fixed, RowKind::Append).unwrap_err().code(), Code::InvalidType);
    let two = schema(&[("value", DataType::Utf8), ("w", DataType::Utf8)]);
    assert_eq!(file_sink("x", "raw_string", two, RowKind::Append).unwrap_err().code(), Code::InvalidColumn);
}
