//! Reading a file: every row once, from any position, whatever the input holds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use driver::*;
use tempfile::{NamedTempFile, TempDir};
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::{Code, Error, SourceEvent, SourceSpec};

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn ab() -> SchemaRef {
    schema(&[("a", DataType::Int64), ("b", DataType::Utf8)])
}

fn source_of(path: &Path, more: &[(&str, &str)], columns: SchemaRef) -> Arc<dyn SourceSpec> {
    let mut options = vec![("path", path.to_str().unwrap()), ("type", "source"), ("format", "json")];
    options.extend(more);
    let all: Vec<_> = (0..columns.fields().len()).map(SourceColumn::whole).collect();
    declare("single_file", &options, Some(columns)).unwrap().source(&all, &[]).unwrap()
}

const LINES: &str =
    "{\"a\":1,\"b\":\"one\"}\n\n{\"b\":\"two\",\"a\":2}\r\n{\"a\":3}\n   \n{\"a\":4,\"b\":\"é\",\"c\":0}";

#[tokio::test]
async fn rows_are_the_same_at_every_batch_size_and_after_a_journey_as_bytes() {
    let file = file(LINES.as_bytes());
    let table =
        declare("single_file", &[("path", file.path().to_str().unwrap()), ("format", "json")], Some(ab()));
    let metadata = [("l".to_string(), "line"), ("o".to_string(), "offset")];
    let spec = table.unwrap().source(&[SourceColumn::whole(1)], &metadata).unwrap();
    let expected = [
        r#"{"b":"one","l":1,"o":0}"#,
        r#"{"b":"two","l":3,"o":19}"#,
        r#"{"b":null,"l":4,"o":38}"#,
        r#"{"b":"é","l":6,"o":50}"#,
    ];
    for batch_rows_max in [1, 3, 8192] {
        for spec in [&spec, &travelled_source(&spec)] {
            let cx = context(batch_rows_max);
            assert_eq!(read_all(spec, &cx).await.unwrap(), expected, "{batch_rows_max} rows a batch");
            let counters = &cx.counters;
            assert_eq!((counters.records_read.get(), counters.cells_decoded.get()), (4, 4));
            assert_eq!((counters.dropped.get(), counters.failed.get()), (0, 0));
        }
    }
    assert_eq!((spec.parallelism_max(), spec.live()), (Some(1), false));
    assert_eq!(spec.output_schema().fields().len(), 3);
}

#[tokio::test]
async fn reading_goes_on_from_the_position_behind_every_row() {
    let file = file(LINES.as_bytes());
    let spec = source_of(file.path(), &[], ab());
    let cx = context(1);
    let all = read_all(&spec, &cx).await.unwrap();
    let mut source = open(&spec, &cx, None).await.unwrap();
    let mut given = 0;
    loop {
        let rest = drain(&mut *open(&spec, &cx, Some(source.positions())).await.unwrap()).await.unwrap();
        assert_eq!(rest, all[given..]);
        match source.next().await.unwrap() {
            SourceEvent::Rows { .. } => given += 1,
            SourceEvent::SplitEnd { .. } => {}
            SourceEvent::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(given, 4);
}

#[tokio::test]
async fn a_split_moves_with_its_position() {
    let file = file(LINES.as_bytes());
    let spec = source_of(file.path(), &[], ab());
    let cx = context(1);
    let all = read_all(&spec, &cx).await.unwrap();
    let mut from = open(&spec, &cx, None).await.unwrap();
    let mut to = open(&spec, &cx, Some(vec![])).await.unwrap();
    let SourceEvent::Rows { split, .. } = from.next().await.unwrap() else { panic!("rows") };
    let moved = from.revoke(&[split]).await.unwrap();
    assert!(from.positions().is_empty());
    to.assign(moved).await.unwrap();
    assert_eq!(drain(&mut *to).await.unwrap(), all[1..]);
    let waits = tokio::time::timeout(Duration::from_millis(20), from.next()).await;
    assert!(waits.is_err(), "who gave its split away may get another");
}

/// A pipe, and what `write` is to do with its writing end.
fn pipe(write: impl FnOnce(std::fs::File) + Send + 'static) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let end = path.clone();
    std::thread::spawn(move || write(std::fs::File::options().write(true).open(end).unwrap()));
    (folder, path)
}

#[tokio::test]
async fn futures_that_are_dropped_lose_nothing() {
    let (_folder, path) = pipe(|mut pipe| {
        let lines: String = (0..200).map(|a| format!("{{\"a\":{a}}}\n")).collect();
        for piece in lines.as_bytes().chunks(7) {
            std::thread::sleep(Duration::from_micros(200));
            pipe.write_all(piece).unwrap();
        }
    });
    let spec = source_of(&path, &[], schema(&[("a", DataType::Int64)]));
    let cx = context(100);
    let mut source = open(&spec, &cx, None).await.unwrap();
    let (mut all, mut dropped) = (Vec::new(), 0);
    loop {
        let event = tokio::select! {
            biased;
            event = source.next() => event.unwrap(),
            () = tokio::task::yield_now() => { dropped += 1; continue }
        };
        match event {
            SourceEvent::Rows { records, .. } => all.extend(rows(&records)),
            SourceEvent::End => break,
            _ => {}
        }
    }
    let expected: Vec<_> = (0..200).map(|a| format!("{{\"a\":{a}}}")).collect();
    assert_eq!(all, expected);
    assert!(dropped > 50, "{dropped}");
}

#[tokio::test]
async fn a_pipe_gives_each_line_as_it_comes() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (_folder, path) = pipe(move |pipe| sender.send(pipe).unwrap());
    let spec = source_of(&path, &[], schema(&[("a", DataType::Int64)]));
    let cx = context(100);
    let mut source = open(&spec, &cx, None).await.unwrap();
    let mut pipe = receiver.recv().unwrap();
    for a in 0..3 {
        writeln!(pipe, "{{\"a\":{a}}}").unwrap();
        let event = tokio::time::timeout(Duration::from_secs(5), source.next()).await.unwrap().unwrap();
        let SourceEvent::Rows { records, .. } = event else { panic!("rows") };
        assert_eq!(rows(&records), [format!("{{\"a\":{a}}}")]);
        let silent = tokio::time::timeout(Duration::from_millis(10), source.next()).await;
        assert!(silent.is_err());
    }
    drop(pipe);
    assert!(drain(&mut *source).await.unwrap().is_empty());
}

/// What comes of this file when bad data fails: rows given out, and the error.
async fn fails(content: &[u8], columns: SchemaRef, batch_rows_max: usize) -> (Vec<String>, Error) {
    let file = file(content);
    let spec = source_of(file.path(), &[("bad_data", "fail")], columns);
    let cx = context(batch_rows_max);
    let mut source = open(&spec, &cx, None).await.unwrap();
    let mut given = Vec::new();
    loop {
        match source.next().await {
            Ok(SourceEvent::Rows { records, .. }) => given.extend(rows(&records)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                let counters = &cx.counters;
                assert_eq!(counters.records_read.get(), given.len() as u64 + 1);
                assert_eq!(counters.failed.get(), 1);
                assert_eq!(error.site().unwrap().rsplit_once(':').unwrap().0, file.path().to_str().unwrap());
                return (given, error);
            }
        }
    }
}

#[tokio::test]
async fn every_kind_of_bad_input_fails_with_line_and_reason_or_is_dropped() {
    let timestamp = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let columns = schema(&[("a", DataType::Int64), ("d", DataType::Float64), ("t", timestamp)]);
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    let cases: [(&[u8], &str); 11] = [
        (b"{\"a\":\"x\"}", "column 'a': expected a number"),
        (b"{\"a\":9223372036854775808}", "does not fit into BIGINT"),
        (b"{\"d\":1e400}", "does not fit into DOUBLE"),
        (b"{\"t\":\"9999-01-01T00:00:00Z\"}", "outside of what its column can hold"),
        (b"{\"t\":\"yesterday\"}", "expected a timestamp"),
        (b"{\"z\":\"\xff\"}", "not valid UTF-8 at byte 6"),
        (b"{\"a\":1", "expected ',' or '}', found the end of the line"),
        (b"{\"a\":1}{\"a\":2}", "expected the end of the line"),
        (b"\0\0\0\0", "expected an object"),
        (b"NaN", "expected an object"),
        (deep.as_bytes(), "nested deeper than"),
    ];
    for (line, reason) in cases {
        let mut content = b"{\"a\":1}\n{\"a\":2}\n".to_vec();
        content.extend_from_slice(line);
        content.extend_from_slice(b"\n{\"a\":4}\n");
        for batch_rows_max in [1, 3, 8192] {
            let (given, error) = fails(&content, columns.clone(), batch_rows_max).await;
            assert_eq!(given.len(), 2, "rows before the bad one are given out");
            assert_eq!(error.code(), Code::BadRecord);
            assert!(error.site().unwrap().ends_with(":3"), "{error}");
            assert!(error.why().unwrap().contains(reason), "{error}");
        }
        let file = file(&content);
        let spec = source_of(file.path(), &[("bad_data", "drop")], columns.clone());
        let cx = context(8192);
        assert_eq!(read_all(&spec, &cx).await.unwrap().len(), 3, "{reason}");
        assert_eq!((cx.counters.records_read.get(), cx.counters.dropped.get()), (4, 1));
    }
}

#[tokio::test]
async fn the_position_before_a_bad_record_is_not_behind_it() {
    let file = file(b"{\"a\":1}\nbad\n{\"a\":3}\n");
    let spec = source_of(file.path(), &[], schema(&[("a", DataType::Int64)]));
    let cx = context(100);
    let mut source = open(&spec, &cx, None).await.unwrap();
    assert!(matches!(source.next().await.unwrap(), SourceEvent::Rows { .. }));
    let position = source.positions();
    assert_eq!(source.next().await.unwrap_err().code(), Code::BadRecord);
    let mut again = open(&spec, &cx, Some(position)).await.unwrap();
    let error = again.next().await.unwrap_err();
    assert!(error.site().unwrap().ends_with(":2"), "{error}");
}

#[tokio::test]
async fn of_duplicate_keys_the_last_wins() {
    let file = file(b"{\"a\":1,\"a\":2}\n");
    let spec = source_of(file.path(), &[], schema(&[("a", DataType::Int64)]));
    assert_eq!(read_all(&spec, &context(10)).await.unwrap(), ["{\"a\":2}"]);
}

#[tokio::test]
async fn a_huge_line_is_refused_at_the_limit_or_skipped() {
    let mut huge = NamedTempFile::new().unwrap();
    huge.write_all(b"{\"a\":1}\n").unwrap();
    let piece = vec![b'['; 1 << 20];
    (0..64).for_each(|_| huge.write_all(&piece).unwrap());
    huge.write_all(b"\n{\"a\":3}\n").unwrap();
    let columns = schema(&[("a", DataType::Int64)]);

    let cx = context(100);
    let mut source = open(&source_of(huge.path(), &[], columns.clone()), &cx, None).await.unwrap();
    assert!(matches!(source.next().await.unwrap(), SourceEvent::Rows { .. }));
    let error = source.next().await.unwrap_err();
    assert_eq!(error.code(), Code::RecordTooLong);
    assert!(error.site().unwrap().ends_with(":2"), "{error}");

    let cx = context(100);
    let dropping = source_of(huge.path(), &[("bad_data", "drop")], columns.clone());
    assert_eq!(read_all(&dropping, &cx).await.unwrap(), ["{\"a\":1}", "{\"a\":3}"]);
    assert_eq!((cx.counters.records_read.get(), cx.counters.dropped.get()), (3, 1));

    let short = source_of(huge.path(), &[("framing.newline.max_length", "6")], columns);
    assert_eq!(read_all(&short, &context(1)).await.unwrap_err().code(), Code::RecordTooLong);
}

#[tokio::test]
async fn files_that_are_empty_missing_or_no_files() {
    let columns = schema(&[("a", DataType::Int64)]);
    for content in ["", "\n", "\n\n  \n"] {
        let file = file(content.as_bytes());
        let spec = source_of(file.path(), &[], columns.clone());
        assert!(read_all(&spec, &context(10)).await.unwrap().is_empty());
    }
    let folder = TempDir::new().unwrap();
    let missing = source_of(&folder.path().join("none.json"), &[], columns.clone());
    let error = read_all(&missing, &context(10)).await.unwrap_err();
    assert_eq!(error.code(), Code::FileNotFound);
    assert!(error.what().contains("none.json") && error.help().is_some(), "{error}");
    let error = read_all(&source_of(folder.path(), &[], columns), &context(10)).await.unwrap_err();
    assert_eq!((error.code(), error.help().is_some()), (Code::Io, true), "{error}");
}

#[tokio::test]
async fn raw_strings_need_no_columns() {
    let file = file(b"one\ntwo {\n");
    let options = [("path", file.path().to_str().unwrap()), ("format", "raw_string")];
    let table = declare("single_file", &options, None).unwrap();
    let spec = table.source(&[SourceColumn::whole(0)], &[]).unwrap();
    assert_eq!(
        read_all(&spec, &context(10)).await.unwrap(),
        ["{\"value\":\"one\"}", "{\"value\":\"two {\"}"]
    );
    let counted = table.source(&[], &[]).unwrap();
    assert_eq!(
        open(&counted, &context(10), None)
            .await
            .unwrap()
            .next()
            .await
            .map(|event| match event {
                SourceEvent::Rows { records, .. } => (records.num_rows(), records.num_columns()),
                other => panic!("{other:?}"),
            })
            .unwrap(),
        (2, 0)
    );
}

#[test]
fn options_that_are_wrong_say_how() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Code, &'a str);
    let cases: [Case<'_>; 8] = [
        (&[("format", "json")], Code::InvalidOption, "option 'path' is missing"),
        (&[("path", "x")], Code::InvalidOption, "option 'format' is missing"),
        (&[("path", "x"), ("formt", "json")], Code::UnknownOption, "did you mean 'format'?"),
        (&[("path", "x"), ("format", "jsn")], Code::InvalidOption, "'json', 'debezium_json', 'raw_string'"),
        (
            &[("path", "x"), ("format", "json"), ("bad_date", "drop")],
            Code::UnknownOption,
            "did you mean 'bad_data'?",
        ),
        (&[("path", "x"), ("format", "json"), ("bad_data", "skip")], Code::InvalidOption, "'fail', 'drop'"),
        (
            &[("path", "x"), ("format", "json"), ("framing.newline.max_length", "0")],
            Code::InvalidOption,
            "at least 1",
        ),
        (
            &[("path", "x"), ("format", "debezium_json"), ("type", "source")],
            Code::InvalidOption,
            "can only be written",
        ),
    ];
    for (options, code, words) in cases {
        let error = declare("single_file", options, Some(ab())).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let sink_only =
        declare("single_file", &[("path", "x"), ("format", "json"), ("type", "sink")], Some(ab())).unwrap();
    assert!(sink_only.as_source().is_none() && sink_only.as_sink().is_some());
    let both = declare(
        "single_file",
        &[("path", "x"), ("format", "json"), ("wait_for_control", "true")],
        Some(ab()),
    );
    let both = both.unwrap();
    assert!(both.as_source().is_some() && both.as_sink().is_some());
}
