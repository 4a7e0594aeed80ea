use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::{OperatorSpec, Watermark};
use thalweg_state::{Epoch, Restored, Snapshot};
use thalweg_testkit::{BATCH_SIZES, Driver, OnBarrier, at_every_batch_size, where_key_groups_move};

use super::super::tests::through;
use super::super::{Assigner, Incomplete, WindowAssign};
use super::*;
use crate::aggregate::planned::{CALLS, Instance, assert_same, by_datafusion, grouping, lines, random_rows};
use crate::row_policy::RowPolicy;
use crate::testing::{rows_and_barriers, schema};

const SECOND: i64 = 1_000_000_000;

/// The two nodes of sessions: before the shuffle, and behind it.
fn sessions(rows: &RecordBatch, keys: &str, calls: &str, gap: i64) -> (WindowAssign, SessionAggregate) {
    let assign = WindowAssign::new(Assigner::session(gap * SECOND).unwrap(), rows.schema());
    let schema = assign.output_schema();
    let grouping = grouping(&schema, keys, calls);
    let behind = SessionAggregate::new(gap * SECOND, grouping, schema, "window", RowPolicy::Fail).unwrap();
    (assign, behind)
}

/// What DataFusion makes of the islands between gaps.
fn expected(rows: &RecordBatch, keys: &str, calls: &str, gap: i64) -> Vec<String> {
    let (partition, selected) = match keys {
        "" => (String::new(), String::new()),
        keys => (format!("PARTITION BY {keys}"), format!("{keys}, ")),
    };
    let gap = format!("INTERVAL '{gap} seconds'");
    let ordered = format!("({partition} ORDER BY _timestamp)");
    by_datafusion(
        rows,
        &format!(
            "SELECT {selected}named_struct('start', min(_timestamp), 'end', max(_timestamp) + {gap}), {calls},
                    max(_timestamp) + {gap} - INTERVAL '1 nanosecond'
             FROM (SELECT *, sum(begins) OVER {ordered} AS island
                   FROM (SELECT *, CASE WHEN _timestamp - lag(_timestamp) OVER {ordered} < {gap}
                                        THEN 0 ELSE 1 END AS begins FROM t))
             GROUP BY {selected}island"
        ),
    )
}

/// Rows whose order is changed among those between the same two watermarks.
fn disordered(rows: &RecordBatch) -> RecordBatch {
    let count = rows.num_rows();
    let part = |part: usize| count * part / 4..count * (part + 1) / 4;
    let order = (0..4).flat_map(|p| {
        let mut rows: Vec<u32> = part(p).map(|row| row as u32).collect();
        rows.sort_by_key(|row| (row % 7, std::cmp::Reverse(*row)));
        rows
    });
    take_record_batch(rows, &UInt32Array::from_iter_values(order)).unwrap()
}

#[test]
fn sessions_give_what_datafusion_gives_of_islands_between_gaps() {
    for seed in 0..20 {
        let rows = random_rows(seed, 40 + 31 * seed as usize % 400);
        let keys = ["k", "", "k, j", "v"][seed as usize % 4];
        let calls = ["count(*), sum(v), max(s)", "avg(v), count(DISTINCT s), median(f)"][seed as usize % 2];
        let gap = [3, 1, 9, 20, 2][seed as usize % 5];
        let (before, behind) = sessions(&rows, keys, calls, gap);
        let expected = expected(&rows, keys, calls, gap);
        for (batch_rows_max, restore) in [(1, true), (3, false), (8192, seed % 2 == 0)] {
            let answer = through(&before, &behind, &disordered(&rows), batch_rows_max, restore);
            let how = format!("seed {seed}, gap {gap}, {batch_rows_max} rows a batch, restored: {restore}");
            assert_same(&answer, &expected, calls, &how);
        }
    }
}

#[test]
fn every_aggregate_of_datafusion_goes_over_sessions() {
    let rows = random_rows(1, 200);
    for call in CALLS {
        let (before, behind) = sessions(&rows, "k", call, 6);
        let expected = expected(&rows, "k", call, 6);
        for (batch_rows_max, restore) in [(8192, false), (3, true)] {
            let answer = through(&before, &behind, &rows, batch_rows_max, restore);
            assert_same(&answer, &expected, call, &format!("{batch_rows_max} rows, restored: {restore}"));
        }
    }
}

const INPUT: &str = "k:text? v:int? _timestamp:time";

fn counted_sessions(gap: i64) -> SessionAggregate {
    let input = schema(INPUT);
    let grouping = grouping(&input, "k", "count(*), sum(v)");
    SessionAggregate::new(gap * SECOND, grouping, input, "window", RowPolicy::Fail).unwrap()
}

#[test]
fn a_row_in_between_makes_two_sessions_into_one() {
    let stream = format!(
        "columns {INPUT}\n\
         a 1 0\na 2 15\nnull 5 3\n\
         wm 3\n\
         barrier\n\
         # less than ten behind the first, less than ten before the last\n\
         a 4 7\n\
         barrier\n\
         # exactly the gap behind the last: another session\n\
         a 8 25\n\
         wm 13\n\
         wm 25\n\
         barrier\n\
         # closed sessions stay closed after a restore; a row before the watermark is late\n\
         a 16 24\n\
         end\n"
    );
    let aggregate = counted_sessions(10);
    let answer = at_every_batch_size(&aggregate, &stream).unwrap();
    assert_eq!(
        answer,
        "wm 3\n\
         null {3,13} 1 5 12.999999999\n\
         wm 13\n\
         a {0,25} 3 7 24.999999999\n\
         wm 25\n\
         a {25,35} 1 8 34.999999999\n\
         end\n"
    );
    let mut driver = Driver::new(&aggregate, 3, OnBarrier::Restore).unwrap();
    driver.run(&stream).unwrap();
    assert_eq!((driver.counters().late.get(), driver.counters().taken.get()), (1, 5));
}

#[test]
fn a_row_before_the_watermark_of_its_split_is_late_for_its_session() {
    let columns = "k:text? v:int? _timestamp:time _watermark:time";
    let assign = WindowAssign::new(Assigner::session(10 * SECOND).unwrap(), schema(columns));
    let stream = format!("columns {columns}\na 1 5 0\na 2 5 5\na 3 5 6\nb null 12 12\n");
    assert_eq!(at_every_batch_size(&assign, &stream).unwrap(), "a 1 5\na 2 5\nb null 12\n");
}

#[test]
fn a_long_session_of_single_rows_is_kept_short() {
    let aggregate = counted_sessions(10);
    let mut instance = Instance::new(&aggregate, 1, Restored::nothing());
    let rows = 70_000;
    let input = schema(INPUT);
    for time in 0..rows {
        let row = thalweg_dataflow::text::read_rows(&input, &format!("a 1 {time}\n")).unwrap();
        instance.rows(&row);
        if time % 30_000 == 0 {
            instance.barrier(1 + time / 30_000);
        }
    }
    instance.watermark(0);
    let bytes = instance.counters.state_bytes.get();
    assert!(bytes < 5_000_000, "{bytes}");
    instance.watermark(Watermark::END.nanos());
    assert_eq!(instance.counters.state_bytes.get() / 1000, 0);
    let line = lines(&instance.output).pop().unwrap();
    assert!(line.contains("| 70000 | 70000 |"), "{line}");
}

fn counts(size: u64, incomplete: Incomplete) -> CountAggregate {
    let input = schema(INPUT);
    let grouping = grouping(&input, "k", "count(*), sum(v)");
    CountAggregate::new(size, incomplete, grouping, input, RowPolicy::Fail).unwrap()
}

#[test]
fn a_count_window_comes_out_with_the_row_that_makes_it_full() {
    let stream = format!(
        "columns {INPUT}\n\
         a 1 1\nb 1 9\na 2 7\n\
         barrier\n\
         a 4 3\na 8 4\na 16 5\na 32 6\na 64 8\n\
         wm 9\n\
         barrier\n\
         b 2 8\n\
         barrier\n\
         a 1 20\nb 4 20\nnull 7 1\n\
         end\n"
    );
    let full = "a 3 7 7\na 3 56 6\nwm 9\nb 3 7 20\n";
    let dropped = at_every_batch_size(&counts(3, Incomplete::Drop), &stream).unwrap();
    assert_eq!(dropped, format!("{full}end\n"));
    let emitted = at_every_batch_size(&counts(3, Incomplete::Emit), &stream).unwrap();
    assert_eq!(emitted, format!("{full}null 1 7 1\na 2 65 20\nend\n"));
    let ones = at_every_batch_size(&counts(1, Incomplete::Drop), &stream).unwrap();
    assert_eq!(ones.lines().filter(|line| !line.starts_with("wm")).count(), 13);
}

#[test]
fn sessions_and_counts_move_with_their_key_groups_there_and_back() {
    let columns = "k:int v:int? _timestamp:time";
    let input = schema(columns);
    let stream = rows_and_barriers(columns, |dice, time| format!("{} {} {time}", dice % 17, dice % 5));
    for calls in ["count(*), sum(v)", "median(v)"] {
        let planned = || grouping(&input, "k", calls);
        let session = |gap: i64| {
            let (gap, input) = (gap * SECOND, SchemaRef::clone(&input));
            SessionAggregate::new(gap, planned(), input, "window", RowPolicy::Fail).unwrap()
        };
        let count = |rows: u64| {
            let input = SchemaRef::clone(&input);
            CountAggregate::new(rows, Incomplete::Emit, planned(), input, RowPolicy::Fail).unwrap()
        };
        let specs: [Box<dyn OperatorSpec>; 4] =
            [Box::new(session(3)), Box::new(session(40)), Box::new(count(3)), Box::new(count(7))];
        for spec in specs {
            where_key_groups_move(&*spec, &[vec![0]], &stream).unwrap();
            for size in BATCH_SIZES {
                let answer = |on_barrier| {
                    let mut driver = Driver::new(&*spec, size, on_barrier).unwrap();
                    let answer = driver.run(&stream).unwrap();
                    let mut rows: Vec<String> = answer.lines().map(str::to_owned).collect();
                    rows.sort_unstable();
                    rows
                };
                assert_eq!(answer(OnBarrier::Restore), answer(OnBarrier::GoOn));
                assert_eq!(answer(OnBarrier::RestoreAfterAbort), answer(OnBarrier::GoOn));
            }
        }
    }
}

#[test]
fn what_is_over_leaves_the_checkpoint() {
    let columns = format!("columns {INPUT}\n");
    let by_sessions = counted_sessions(3);
    let mut sessions = Driver::new(&by_sessions, 8, OnBarrier::GoOn).unwrap();
    let counts = counts(3, Incomplete::Drop);
    let mut counts = Driver::new(&counts, 8, OnBarrier::GoOn).unwrap();
    for time in 0..50 {
        let rows = format!("{columns}a 1 {time}0\nb 1 {time}1\nbarrier\nwm {time}6\nbarrier\n");
        sessions.run(&rows).unwrap();
        counts.run(&rows).unwrap();
    }
    assert_eq!(sessions.past().rows("sessions"), 0, "all are closed");
    assert_eq!(counts.past().rows("counts"), 2, "one for each key");
}

#[test]
fn what_an_aborted_epoch_held_of_keyed_windows_is_part_of_the_next() {
    let rows = random_rows(5, 100);
    let (before, by_sessions) = sessions(&rows, "k", "count(*), sum(v)", 30);
    let schema = before.output_schema();
    let planned = grouping(&schema, "k", "count(*), sum(v)");
    let by_counts = CountAggregate::new(9, Incomplete::Emit, planned, schema, RowPolicy::Fail).unwrap();
    let all: [&dyn OperatorSpec; 2] = [&by_sessions, &by_counts];
    for behind in all {
        let mut assigned = Instance::new(&before, 10, Restored::nothing());
        assigned.rows(&rows);
        let mut whole = Instance::new(behind, 10, Restored::nothing());
        let mut windows = Instance::new(behind, 10, Restored::nothing());
        let mut complete: Vec<Snapshot> = Vec::new();
        for (batch, epoch) in assigned.output.iter().zip(1..) {
            whole.rows(batch);
            windows.rows(batch);
            let snapshot = windows.barrier(epoch);
            let settled = epoch % 2 == 0;
            windows.operator.on_settled(Epoch(epoch), settled);
            complete.extend(settled.then_some(snapshot));
        }
        let mut restored = Instance::new(behind, 10, complete.into_iter().collect());
        restored.output = windows.output;
        restored.watermark(Watermark::END.nanos());
        whole.watermark(Watermark::END.nanos());
        assert_eq!(lines(&restored.output), lines(&whole.output));
    }
}
