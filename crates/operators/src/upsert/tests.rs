use std::collections::BTreeMap;

use thalweg_dataflow::operator::Output;
use thalweg_dataflow::text;
use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size, where_key_groups_move};

use super::*;
use crate::testing::{rows_and_barriers, schema};

const COLUMNS: &str = "columns k:int v:text? _timestamp:time _diff";

fn upsert() -> Upsert {
    Upsert::new(schema(COLUMNS), vec![0]).unwrap()
}

/// What came out, with batches of at most `rows_max` rows.
fn run(rows_max: usize, rows: &str) -> String {
    let spec = upsert();
    let mut driver = Driver::new(&spec, rows_max, OnBarrier::Restore).unwrap();
    driver.run(&format!("{COLUMNS}\n{rows}")).unwrap()
}

/// The table that changes come to, each checked against the one before.
fn table(output: &[Output]) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for line in text::write(output).lines() {
        let [before, after, op, _] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
        let key_of = |row: &str| row.trim_matches(['{', '}']).split(',').next().unwrap().to_owned();
        let key = key_of(if op == "d" { before } else { after });
        let was = if op == "d" { table.remove(&key) } else { table.insert(key, after.to_owned()) };
        assert_eq!(was.as_deref().unwrap_or("null"), before, "{line}");
    }
    table
}

#[test]
fn one_row_per_changed_key_and_batch() {
    let rows =
        "1 a 10 +\n2 b 11 +\nflush\n1 a 10 -\n1 c 12 +\n2 b 11 -\n3 d 13 +\nflush\n3 d 13 -\n3 d 14 +\n";
    let expected = "null {1,a} c 10\nnull {2,b} c 11\n{1,a} {1,c} u 12\n{2,b} null d 11\nnull {3,d} c 13\n";
    assert_eq!(run(8192, rows), expected, "a new event time alone is no change");
}

#[test]
fn what_comes_and_goes_within_a_batch_is_not_told() {
    assert_eq!(run(8192, "1 a 10 +\n1 a 10 -\n"), "");
    assert_eq!(run(1, "1 a 10 +\n1 a 10 -\n"), "null {1,a} c 10\n{1,a} null d 10\n");
}

#[test]
fn a_retract_may_come_before_its_assert() {
    let rows = "1 b 11 -\nbarrier\n1 a 10 +\nflush\n1 b 11 +\nflush\n1 a 10 -\n";
    for rows_max in [1, 8192] {
        assert_eq!(run(rows_max, rows), "null {1,a} c 10\n{1,a} null d 10\n");
    }
}

#[test]
fn of_several_live_rows_the_last_asserted_is_shown() {
    let rows = "1 a 10 +\n1 b 11 +\nbarrier\n1 b 11 +\n1 c 12 +\nflush\n1 c 12 -\nflush\n1 b 11 -\nflush\n1 b 11 -\n";
    let expected = "null {1,b} c 11\n{1,b} {1,c} u 12\n{1,c} {1,b} u 11\n{1,b} {1,a} u 10\n";
    assert_eq!(run(8192, rows), expected);
}

#[test]
fn the_table_is_the_same_at_every_batch_size() {
    let mut rows = String::new();
    let mut live: Vec<String> = Vec::new();
    for i in 0..500_u64 {
        let dice = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        if dice % 3 == 0 && !live.is_empty() {
            let row = live.remove(dice as usize % live.len());
            rows.push_str(&format!("{row} -\n"));
        } else {
            live.push(format!("{} v{} {i}", dice % 7, dice % 4));
            rows.push_str(&format!("{} +\n", live[live.len() - 1]));
        }
        if i % 50 == 49 {
            rows.push_str("barrier\n");
        }
    }
    let spec = upsert();
    let mut answers = Vec::new();
    for rows_max in [1, 3, 8192] {
        for on_barrier in [OnBarrier::GoOn, OnBarrier::Restore] {
            let mut driver = Driver::new(&spec, rows_max, on_barrier).unwrap();
            driver.run(&format!("{COLUMNS}\n{rows}")).unwrap();
            answers.push(table(driver.output()));
        }
    }
    assert!(answers[0].len() > 3);
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
}

#[test]
fn over_rows_that_stay_the_last_one_wins() {
    let spec = Upsert::new(schema("k:int v:text?"), vec![0]).unwrap();
    assert_eq!(spec.emits(RowKind::Append), RowKind::Append);
    let stream =
        "columns k:int v:text?\n1 a\nflush\n2 b\nflush\n1 null\nbarrier\n1 null\nflush\n1 c\nwm 5\nend";
    let expected = "null {1,a} c\nnull {2,b} c\n{1,a} {1,null} u\n{1,null} {1,c} u\nwm 5\nend\n";
    assert_eq!(at_every_batch_size(&spec, stream).unwrap(), expected);
}

#[test]
fn keys_move_with_their_key_groups_there_and_back() {
    let changes = rows_and_barriers(COLUMNS.trim_start_matches("columns "), |dice, time| {
        let sign = if dice % 3 == 0 { '-' } else { '+' };
        format!("{} v{} {} {sign}", dice % 23, dice % 2, time / 20)
    });
    where_key_groups_move(&upsert(), &[vec![0]], &changes).unwrap();
    let appends = "k:int v:text? _timestamp:time";
    let spec = Upsert::new(schema(appends), vec![0]).unwrap();
    let stream = rows_and_barriers(appends, |dice, time| format!("{} v{} {time}", dice % 23, dice % 4));
    where_key_groups_move(&spec, &[vec![0]], &stream).unwrap();
}

#[test]
fn an_increment_holds_only_keys_that_changed_and_a_checkpoint_each_key_once() {
    let spec = upsert();
    let mut driver = Driver::new(&spec, 8, OnBarrier::GoOn).unwrap();
    driver
        .run(&format!("{COLUMNS}\n1 a 1 +\n2 a 1 +\n3 a 1 +\nbarrier\n2 a 1 -\nbarrier\nbarrier\n"))
        .unwrap();
    let rows: Vec<usize> = driver.snapshots().iter().map(|snapshot| snapshot.tables[0].rows()).collect();
    assert_eq!(rows, [3, 1, 0]);
    for change in 0..50 {
        driver.run(&format!("{COLUMNS}\n1 {change} 1 +\nbarrier\n1 {change} 1 -\nbarrier\n")).unwrap();
    }
    assert_eq!(driver.past().rows("rows"), 3, "however often they changed");
}

#[test]
fn nested_columns_are_kept() {
    let spec = Upsert::new(schema("k:text l:[int]? s:{x:int,y:[text]}?"), vec![0]).unwrap();
    let stream = "columns k:text l:[int]? s:{x:int,y:[text]}?\na [1,null] {1,[p]}\nbarrier\nb null null\nflush\na [2] {2,null}\n";
    let expected =
        "null {a,[1,null],{1,[p]}} c\nnull {b,null,null} c\n{a,[1,null],{1,[p]}} {a,[2],{2,null}} u\n";
    assert_eq!(at_every_batch_size(&spec, stream).unwrap(), expected);
}
