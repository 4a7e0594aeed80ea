use thalweg_dataflow::text::{read_rows, write_rows};

use super::*;
use crate::testing::schema;

#[test]
fn rows_are_split_by_their_window_and_keep_their_order() {
    let columns = schema("a:int _timestamp:time");
    for (rows, expected) in [
        ("1 9\n2 19\n3 9\n", vec!["1 9\n3 9\n", "2 19\n"]),
        ("1 9\n2 9\n3 8\n", vec!["3 8\n", "1 9\n2 9\n"]),
        ("1 9\n2 9\n", vec!["1 9\n2 9\n"]),
    ] {
        let parts = by_instant(read_rows(&columns, rows).unwrap(), 1).unwrap();
        assert_eq!(parts.iter().map(|(_, part)| write_rows(part)).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_window_is_closed_right_behind_its_last_instant() {
    let closed = |instant, watermark| is_closed(EventTime(instant), Watermark(EventTime(watermark)));
    assert!(!closed(9, 9) && closed(9, 10));
    assert!(is_closed(EventTime(i64::MAX), Watermark::END), "time has an end");
}

#[test]
fn bytes_are_those_of_the_rows_however_they_are_joined() {
    let columns = schema("a:int? _timestamp:time");
    let tables = Tables { rows: "rows", progress: "progress" };
    for nulls in [0, 1] {
        let mut window = WindowRows::new(tables, &columns, vec![0]).unwrap();
        // Many small batches become one, which notes of each row whether it is null if any is.
        for row in 0..64 {
            let row = if row < nulls { "null 9\n" } else { "1 9\n" };
            window.keep(read_rows(&columns, row).unwrap(), Kept::Fresh).unwrap();
        }
        window.freeze(Epoch::FIRST).unwrap();
        assert_eq!(window.bytes(), window.open.values().map(Instant::bytes).sum::<usize>());
        let instant = window.first_open().unwrap();
        window.remove(instant).unwrap();
        assert_eq!(window.bytes(), 0);
    }
}
