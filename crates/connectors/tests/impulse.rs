//! A source that counts: at its rate, from any position, without end or to it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, TimestampNanosecondType, UInt64Type};
use driver::*;
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::{Code, SourceEvent, SourceSpec};

fn impulse(options: &[(&str, &str)], columns: &[usize], timestamp: bool) -> Arc<dyn SourceSpec> {
    let metadata: &[(String, &'static str)] = if timestamp { &[("ts".into(), "timestamp")] } else { &[] };
    let columns: Vec<_> = columns.iter().copied().map(SourceColumn::whole).collect();
    declare("impulse", options, None).unwrap().source(&columns, metadata).unwrap()
}

#[tokio::test]
async fn a_bounded_impulse_gives_all_rows_and_ends() {
    let options = [("event_rate", "100000"), ("message_count", "5"), ("event_time_interval", "1s")];
    let spec = impulse(&options, &[0, 1], true);
    let row = |n: u64| format!("{{\"counter\":{n},\"subtask_index\":0,\"ts\":\"2023-11-14T22:13:2{n}\"}}");
    let expected: Vec<_> = (0..5).map(row).collect();
    for spec in [&spec, &travelled_source(&spec)] {
        for batch_rows_max in [1, 3, 100] {
            let cx = context(batch_rows_max);
            assert_eq!(read_all(spec, &cx).await.unwrap(), expected);
            assert_eq!((cx.counters.records_read.get(), cx.counters.cells_decoded.get()), (5, 15));
        }
    }
    assert!(!spec.live() && impulse(&[("event_rate", "1")], &[], false).live());
}

#[tokio::test]
async fn only_columns_that_somebody_reads_are_made() {
    let options = [("event_rate", "1e6"), ("message_count", "10")];
    let cx = context(100);
    assert_eq!(read_all(&impulse(&options, &[1], false), &cx).await.unwrap()[0], "{\"subtask_index\":0}");
    assert_eq!(cx.counters.cells_decoded.get(), 10);
    let cx = context(100);
    let none = impulse(&options, &[], false);
    let mut source = open(&none, &cx, None).await.unwrap();
    let SourceEvent::Rows { records, .. } = source.next().await.unwrap() else { panic!("rows") };
    assert!(records.num_rows() > 0 && records.num_columns() == 0);
}

#[tokio::test]
async fn rows_come_at_their_rate() {
    let spec = impulse(&[("event_rate", "200"), ("message_count", "41")], &[0], false);
    let (cx, start) = (context(1000), Instant::now());
    let mut source = open(&spec, &cx, None).await.unwrap();
    let mut dropped = 0;
    let (mut rows, mut batches) = (0, 0);
    loop {
        let event = tokio::select! {
            event = source.next() => event.unwrap(),
            // Dropping what waits changes no time.
            () = tokio::time::sleep(Duration::from_millis(2)) => { dropped += 1; continue }
        };
        match event {
            SourceEvent::Rows { records, .. } => {
                rows += records.num_rows();
                batches += 1;
                let due = 1 + (start.elapsed().as_secs_f64() * 200.0) as usize;
                assert!(rows <= due, "{rows} rows when {due} were due");
            }
            SourceEvent::End => break,
            _ => {}
        }
    }
    assert_eq!(rows, 41);
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    assert!(batches > 1 && dropped > 1);
}

#[tokio::test]
async fn a_position_gives_the_same_rows_again() {
    let options = [("event_rate", "100000"), ("message_count", "20")];
    let spec = impulse(&options, &[0], true);
    let cx = context(3);
    let mut source = open(&spec, &cx, None).await.unwrap();
    let mut rest_of: Vec<(usize, Vec<_>)> = Vec::new();
    let mut all = Vec::new();
    while let SourceEvent::Rows { records, .. } = source.next().await.unwrap() {
        all.extend(rows(&records));
        rest_of.push((all.len(), source.positions()));
    }
    // Another clock: the start of event time is part of the position.
    let mut later = context(3);
    later.clock = Arc::new(|| thalweg_dataflow::ProcessingTime(NOW + 1_000_000_000_000));
    for (given, positions) in rest_of {
        let rest = drain(&mut *open(&spec, &later, Some(positions)).await.unwrap()).await.unwrap();
        assert_eq!(rest, all[given..]);
    }
    assert_eq!(all.len(), 20);
}

#[tokio::test]
async fn a_restored_split_does_not_wait_for_rows_that_were_given_out() {
    let fast = impulse(&[("event_rate", "100000")], &[0], false);
    let cx = context(50);
    let mut source = open(&fast, &cx, None).await.unwrap();
    while cx.counters.records_read.get() < 50 {
        source.next().await.unwrap();
    }
    let slow = impulse(&[("event_rate", "1")], &[0], false);
    let mut again = open(&slow, &cx, Some(source.positions())).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), again.next()).await.unwrap().unwrap();
    let SourceEvent::Rows { records, .. } = event else { panic!("rows") };
    assert_eq!(records.num_rows(), 1, "and makes up for none");
}

#[tokio::test]
async fn splits_share_the_rate_and_move() {
    let spec = impulse(&[("event_rate", "100000"), ("message_count", "3")], &[0, 1], true);
    let splits = spec.splits(4).unwrap();
    assert_eq!(splits.len(), 4);
    let cx = context(100);
    let mut source = open(&spec, &cx, Some(splits.into_iter().flatten().collect())).await.unwrap();
    let mut ended = 0;
    let mut seen = vec![0; 4];
    loop {
        match source.next().await.unwrap() {
            SourceEvent::Rows { split, records } => {
                let index: usize = split.as_str().split('/').next().unwrap().parse().unwrap();
                assert_eq!(records.column(1).as_primitive::<UInt64Type>().value(0), index as u64);
                let times = records.column(2).as_primitive::<TimestampNanosecondType>();
                assert_eq!(times.value(0), NOW + seen[index] * 40_000);
                seen[index] += times.len() as i64;
            }
            SourceEvent::SplitEnd { .. } => ended += 1,
            SourceEvent::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((ended, seen), (4, vec![3; 4]));

    let mut from = open(&spec, &cx, Some(spec.splits(2).unwrap().concat())).await.unwrap();
    let mut to = open(&spec, &cx, Some(vec![])).await.unwrap();
    let split = from.positions()[1].split.clone();
    let moved = from.revoke(&[split]).await.unwrap();
    to.assign(moved).await.unwrap();
    let (left, right) = (drain(&mut *to).await.unwrap(), from.positions());
    assert_eq!((left.len(), right.len()), (3, 1));
    assert!(left[0].contains("\"subtask_index\":1"));
}

#[test]
fn options_that_are_wrong_say_how() {
    for (options, code) in [
        (&[][..], Code::InvalidOption),
        (&[("event_rate", "0")], Code::InvalidOption),
        (&[("event_rate", "fast")], Code::InvalidOption),
        (&[("event_rate", "1"), ("event_time_interval", "soon")], Code::InvalidOption),
        (&[("event_rate", "1"), ("message_cuont", "1")], Code::UnknownOption),
        (&[("event_rate", "1"), ("type", "sink")], Code::InvalidOption),
    ] {
        assert_eq!(declare("impulse", options, None).unwrap_err().code(), code, "{options:?}");
    }
    let nanos = declare("impulse", &[("event_rate", "1"), ("event_time_interval", "1000000")], None);
    assert!(nanos.unwrap().as_sink().is_none());
    let wrong = schema(&[("counter", DataType::Int64)]);
    let error = declare("impulse", &[("event_rate", "1")], Some(wrong)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidColumn);
    let some = schema(&[("subtask_index", DataType::UInt64)]);
    assert!(declare("impulse", &[("event_rate", "1")], Some(some)).is_ok());
}
