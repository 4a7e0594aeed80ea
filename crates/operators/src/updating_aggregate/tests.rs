use arrow::array::RecordBatch;
use thalweg_dataflow::{Registry, Watermark};
use thalweg_state::{Epoch, Restored, Snapshot};
use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size, consolidated, where_key_groups_move};

use super::*;
use crate::aggregate::planned::{
    CALLS, EXTREMES, Instance, assert_same, by_datafusion, grouping, hard_floats, key_by_key, lines, query,
    random_rows,
};
use crate::testing::{rows_and_barriers, schema};

fn spec(input: &SchemaRef, keys: &str, calls: &str) -> UpdatingAggregate {
    UpdatingAggregate::new(grouping(input, keys, calls), SchemaRef::clone(input), RowPolicy::Fail).unwrap()
}

/// The rows that are left, without their times; each retract must equal an assert before it.
fn left(changes: &[RecordBatch]) -> Vec<String> {
    let mut left: Vec<String> = Vec::new();
    for batch in changes {
        for row in 0..batch.num_rows() {
            let line = lines(&[batch.slice(row, 1)]).remove(0);
            let (row, diff) = line.rsplit_once(" | ").unwrap();
            match diff {
                "1" => left.push(row.to_owned()),
                _ => {
                    let at = left.iter().position(|l| l == row);
                    left.swap_remove(
                        at.unwrap_or_else(|| panic!("'{row}' is retracted and was not asserted")),
                    );
                }
            }
        }
    }
    let mut left: Vec<String> = left.iter().map(|l| l.rsplit_once(" | ").unwrap().0.to_owned()).collect();
    left.sort_unstable();
    left
}

fn run(spec: &UpdatingAggregate, rows: &RecordBatch, batch_rows_max: usize, restore: bool) -> Vec<String> {
    let mut instance = Instance::new(spec, batch_rows_max, Restored::nothing());
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let parts = 4;
    for part in 0..parts {
        let start = rows.num_rows() * part / parts;
        instance.rows(&rows.slice(start, rows.num_rows() * (part + 1) / parts - start));
        if restore {
            snapshots.push(instance.barrier(part as u64 + 1));
            let output = std::mem::take(&mut instance.output);
            instance = Instance::new(spec, batch_rows_max, snapshots.iter().cloned().collect());
            instance.output = output;
        }
    }
    instance.watermark(Watermark::END.nanos());
    left(&instance.output)
}

#[test]
fn every_aggregate_of_datafusion_gives_what_it_gives_there() {
    let rows = random_rows(2, 200);
    for call in CALLS {
        let spec = spec(&rows.schema(), "k", call);
        let expected = by_datafusion(&rows, &query("k", call, "t"));
        for (batch_rows_max, restore) in [(8192, false), (3, false), (64, true)] {
            let answer = run(&spec, &rows, batch_rows_max, restore);
            assert_same(
                &answer,
                &expected,
                call,
                &format!("{batch_rows_max} rows a batch, restored: {restore}"),
            );
        }
    }
}

#[test]
fn extremes_of_floats_depend_on_no_order() {
    for seed in 0..40 {
        let rows = hard_floats(seed, 3 + 3 * seed as usize);
        let keys = if seed % 2 == 0 { "k" } else { "" };
        let spec = spec(&rows.schema(), keys, EXTREMES);
        let expected = key_by_key(&rows, keys, EXTREMES);
        for (batch_rows_max, restore) in [(1, false), (3, true), (8192, false)] {
            let answer = run(&spec, &rows, batch_rows_max, restore);
            assert_eq!(answer, expected, "seed {seed}, {batch_rows_max} rows a batch");
        }
    }
}

#[test]
fn random_groupings_give_what_datafusion_gives() {
    for seed in 0..30 {
        let rows = random_rows(seed, 1 + 37 * seed as usize % 400);
        let keys = ["", "k", "j", "k, j", "b, f"][seed as usize % 5];
        let calls =
            ["count(*), sum(v), max(s)", "avg(v), count(DISTINCT s), sum(DISTINCT v)", "min(f), stddev(v)"];
        let calls = calls[seed as usize % 3];
        let spec = spec(&rows.schema(), keys, calls);
        let expected = by_datafusion(&rows, &query(keys, calls, "t"));
        for (batch_rows_max, restore) in [(1, true), (3, false), (8192, seed % 2 == 0)] {
            let answer = run(&spec, &rows, batch_rows_max, restore);
            let how = format!("seed {seed}, {batch_rows_max} rows a batch, restored: {restore}");
            assert_same(&answer, &expected, calls, &how);
        }
    }
}

const INPUT: &str = "k:text? v:int? _timestamp:time";

#[test]
fn a_changed_result_is_retracted_as_it_was_asserted() {
    let spec = spec(&schema(INPUT), "k", "count(*), sum(v), avg(v)");
    let stream = format!("columns {INPUT}\na 1 5\nflush\na 2 3\nb null 1\nflush\nnull 7 9\nb 1 2\n");
    let mut driver = Driver::new(&spec, 8192, OnBarrier::GoOn).unwrap();
    let answer = driver.run(&stream).unwrap();
    assert_eq!(
        answer,
        "a 1 1 1.0 5 +\n\
         a 1 1 1.0 5 -\n\
         a 2 3 1.5 5 +\n\
         b 1 null null 1 +\n\
         b 1 null null 1 -\n\
         b 2 1 1.0 2 +\n\
         null 1 7 7.0 9 +\n"
    );
    for size in [1, 3, 8192] {
        let mut driver = Driver::new(&spec, size, OnBarrier::GoOn).unwrap();
        driver.run(&stream).unwrap();
        assert_eq!(consolidated(driver.output()), "a 2 3 1.5 5\nb 2 1 1.0 2\nnull 1 7 7.0 9\n");
    }
}

#[test]
fn an_unchanged_result_is_not_said_again() {
    let spec = spec(&schema(INPUT), "k", "max(v)");
    let stream = format!("columns {INPUT}\na 5 1\nflush\na 4 2\na null 3\nbarrier\nflush\na 6 2\n");
    assert_eq!(at_every_batch_size(&spec, &stream).unwrap(), "a 5 1 +\na 5 1 -\na 6 2 +\n");
}

#[test]
fn without_calls_each_key_is_asserted_once() {
    let spec = spec(&schema(INPUT), "k, v", "");
    let stream =
        format!("columns {INPUT}\na 1 1\nbarrier\na 1 3\nnull null 4\nbarrier\nnull null 5\na 2 6\n");
    assert_eq!(at_every_batch_size(&spec, &stream).unwrap(), "a 1 1 +\nnull null 4 +\na 2 6 +\n");
    assert_eq!(spec.shuffle_key().unwrap(), [0, 1]);
}

#[test]
fn distinct_values_count_once_also_after_a_restore() {
    let spec = spec(&schema(INPUT), "k", "count(DISTINCT v), sum(DISTINCT v) FILTER (WHERE v > 1), count(v)");
    let stream = format!(
        "columns {INPUT}\na 1 1\nbarrier\na 1 2\nbarrier\na 2 3\nbarrier\na null 3\nb 1 4\nbarrier\na 2 5\n"
    );
    assert_eq!(
        at_every_batch_size(&spec, &stream).unwrap(),
        "a 1 null 1 1 +\n\
         a 1 null 1 1 -\n\
         a 1 null 2 2 +\n\
         a 1 null 2 2 -\n\
         a 2 2 3 3 +\n\
         b 1 null 1 4 +\n\
         a 2 2 3 3 -\n\
         a 2 2 4 5 +\n"
    );
}

#[test]
fn over_nothing_there_is_one_result_at_the_end() {
    let spec = spec(&schema(INPUT), "", "count(*), sum(v), count(DISTINCT k)");
    assert!(spec.shuffle_key().unwrap().is_empty());
    let nothing = format!("columns {INPUT}\nwm 10\nbarrier\nend\n");
    assert_eq!(at_every_batch_size(&spec, &nothing).unwrap(), "wm 10\n0 null 0 0 +\nend\n");
    let something = format!("columns {INPUT}\na 1 1\nbarrier\nend\n");
    assert_eq!(at_every_batch_size(&spec, &something).unwrap(), "1 1 1 1 +\nend\n");
    let keyed = self::spec(&schema(INPUT), "k", "count(*)");
    assert_eq!(at_every_batch_size(&keyed, &nothing).unwrap(), "wm 10\nend\n");
}

/// DataFusion's own plan panics here.
#[test]
fn an_order_that_changes_nothing_is_taken() {
    let rows = random_rows(4, 200);
    let spec = spec(&rows.schema(), "k", "avg(f ORDER BY v), count(v ORDER BY o), sum(v ORDER BY o)");
    assert_eq!(
        run(&spec, &rows, 7, true),
        by_datafusion(&rows, &query("k", "avg(f), count(v), sum(v)", "t"))
    );
}

#[test]
fn a_row_that_cannot_be_computed_goes_by_the_policy() {
    let input = schema(INPUT);
    let grouping = grouping(&input, "k", "sum(10 / v)");
    let stream = format!("columns {INPUT}\na 5 1\na 0 2\na 2 3\n");
    let spec = |policy| UpdatingAggregate::new(grouping.clone(), SchemaRef::clone(&input), policy).unwrap();
    assert!(Driver::new(&spec(RowPolicy::Fail), 3, OnBarrier::GoOn).unwrap().run(&stream).is_err());
    let dropping = spec(RowPolicy::Drop);
    let mut driver = Driver::new(&dropping, 3, OnBarrier::GoOn).unwrap();
    assert_eq!(driver.run(&stream).unwrap(), "a 7 3 +\n");
    assert_eq!((driver.counters().taken.get(), driver.counters().refused.get()), (2, 1));
}

#[test]
fn an_increment_holds_only_what_changed() {
    let spec = spec(&schema(INPUT), "k", "sum(v), count(DISTINCT v)");
    let mut driver = Driver::new(&spec, 8, OnBarrier::GoOn).unwrap();
    driver.run(&format!("columns {INPUT}\na 1 1\nb 1 1\nc 1 1\nbarrier\nb 2 2\nbarrier\nbarrier\n")).unwrap();
    let rows: Vec<Vec<usize>> =
        driver.snapshots().iter().map(|s| s.tables.iter().map(|table| table.rows()).collect()).collect();
    assert_eq!(rows, [[3, 3], [1, 1], [0, 0]]);
}

#[test]
fn groups_move_with_their_key_groups_there_and_back() {
    let columns = "k:int v:int? s:text? _timestamp:time";
    let stream =
        rows_and_barriers(columns, |dice, time| format!("{} {} s{} {time}", dice % 23, dice % 5, dice % 3));
    let calls = "count(*), count(DISTINCT s), avg(v), max(v) FILTER (WHERE v > 2), sum(DISTINCT v)";
    let by_key = spec(&schema(columns), "k", calls);
    where_key_groups_move(&by_key, &[vec![0]], &stream).unwrap();
    let global = spec(&schema(columns), "", calls);
    where_key_groups_move(&global, &[vec![]], &stream).unwrap();
    where_key_groups_move(&global, &[vec![]], &format!("columns {columns}\nbarrier\nbarrier\nend")).unwrap();
}

#[test]
fn what_an_aborted_epoch_held_is_part_of_the_next() {
    let rows = random_rows(5, 100);
    let calls = "sum(v), count(DISTINCT s)";
    let spec = spec(&rows.schema(), "k", calls);
    let mut instance = Instance::new(&spec, 10, Restored::nothing());
    let mut complete = Vec::new();
    for epoch in 1..=5 {
        instance.rows(&rows.slice(20 * (epoch as usize - 1), 20));
        let snapshot = instance.barrier(epoch);
        instance.operator.on_settled(Epoch(epoch), epoch % 2 == 1);
        complete.extend((epoch % 2 == 1).then_some(snapshot));
    }
    let mut restored = Instance::new(&spec, 10, complete.into_iter().collect());
    restored.rows(&rows);
    let mut output = std::mem::take(&mut instance.output);
    output.append(&mut restored.output);
    let twice = arrow::compute::concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
    assert_eq!(left(&output), by_datafusion(&twice, &query("k", calls, "t")));
}

#[test]
fn rows_that_come_while_a_checkpoint_is_copied_are_not_in_it() {
    let rows = random_rows(7, 200);
    let calls = "sum(v), count(DISTINCT s), min(f)";
    let spec = spec(&rows.schema(), "k", calls);
    let mut instance = Instance::new(&spec, 3, Restored::nothing());
    instance.rows(&rows.slice(0, 100));
    instance.flush();
    let mut snapshot = Snapshot::empty();
    instance.call(|operator, cx| {
        snapshot = operator.on_barrier(Epoch(1), cx).unwrap();
        Step::Done
    });
    let before = instance.output.len();
    for start in (100..200).step_by(5) {
        instance.rows(&rows.slice(start, 5));
        instance.copy(&mut snapshot);
    }
    while instance.copy(&mut snapshot) {}
    // What came behind the barrier is lost, and comes again.
    instance.output.truncate(before);
    let mut restored = Instance::new(&spec, 10, [snapshot].into_iter().collect());
    restored.rows(&rows.slice(100, 100));
    let mut output = std::mem::take(&mut instance.output);
    output.append(&mut restored.output);
    assert_eq!(left(&output), by_datafusion(&rows, &query("k", calls, "t")));
}

/// A store gives rows by key group, not as they were written.
#[test]
fn groups_come_back_in_any_order() {
    let rows = random_rows(7, 100);
    let calls = "sum(v), count(DISTINCT s)";
    let spec = spec(&rows.schema(), "k", calls);
    let mut instance = Instance::new(&spec, 10, Restored::nothing());
    let mut past = Vec::new();
    for (epoch, (start, end)) in (1..).zip([(0, 2), (2, 6), (6, 20), (20, 100)]) {
        instance.rows(&rows.slice(start, end - start));
        let mut snapshot = instance.barrier(epoch);
        instance.operator.on_settled(Epoch(epoch), true);
        for batch in snapshot.tables.iter_mut().flat_map(|table| &mut table.batches) {
            let backward: arrow::array::UInt32Array = (0..batch.num_rows() as u32).rev().collect();
            *batch = arrow::compute::take_record_batch(batch, &backward).unwrap();
        }
        past.push(snapshot);
    }
    let mut restored = Instance::new(&spec, 10, past.into_iter().collect());
    restored.rows(&rows);
    let mut output = std::mem::take(&mut instance.output);
    output.append(&mut restored.output);
    let twice = arrow::compute::concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
    assert_eq!(left(&output), by_datafusion(&twice, &query("k", calls, "t")));
}

#[test]
fn the_spec_survives_its_way_through_bytes() {
    let mut registry = Registry::default();
    crate::register(&mut registry);
    let rows = random_rows(3, 100);
    let spec = spec(&rows.schema(), "k, j", "count(DISTINCT v), nth_value(v, 2 ORDER BY o)");
    let again = registry.operator(UpdatingAggregate::KIND, &spec.encode().unwrap()).unwrap();
    let mut instances =
        [&spec as &dyn OperatorSpec, &*again].map(|spec| Instance::new(spec, 8, Restored::nothing()));
    instances.iter_mut().for_each(|instance| instance.rows(&rows));
    let [one, other] = instances.map(|instance| instance.output);
    assert_eq!(one, other);
}
