mod moving;

use arrow::array::RecordBatch;
use thalweg_dataflow::{OperatorSpec, Registry, Spec, Step, Watermark};
use thalweg_state::{Epoch, Restored, Snapshot};
use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size};

use arrow::datatypes::SchemaRef;

use super::*;
use crate::aggregate::Grouping;
use crate::aggregate::planned::{
    CALLS, EXTREMES, Instance, assert_same, by_datafusion, grouping, hard_floats, key_by_key, lines,
    random_rows,
};
use crate::row_policy::RowPolicy;
use crate::testing::schema;

const SECOND: i64 = 1_000_000_000;

fn tumble(width: i64) -> Panes {
    hop(width, width)
}

fn hop(slide: i64, width: i64) -> Panes {
    Panes::hop(slide * SECOND, width * SECOND).unwrap()
}

/// The two nodes of a window aggregate: before the shuffle, and behind it.
fn nodes(input: &SchemaRef, keys: &str, calls: &str, width: i64) -> (Box<dyn OperatorSpec>, WindowAggregate) {
    nodes_of(tumble(width), input, keys, calls)
}

fn nodes_of(
    panes: Panes,
    input: &SchemaRef,
    keys: &str,
    calls: &str,
) -> (Box<dyn OperatorSpec>, WindowAggregate) {
    let planned = grouping(input, keys, calls);
    if planned.splits() {
        return split_nodes(input, planned, panes);
    }
    let assign = WindowAssign::new(Assigner::Aligned(panes), SchemaRef::clone(input));
    let behind = grouping(&assign.output_schema(), keys, calls);
    let schema = assign.output_schema();
    let aggregate = WindowAggregate::of_rows(panes, behind, schema, Some("window"), RowPolicy::Fail).unwrap();
    (Box::new(assign), aggregate)
}

fn split_nodes(
    input: &SchemaRef,
    planned: Grouping,
    panes: Panes,
) -> (Box<dyn OperatorSpec>, WindowAggregate) {
    let partial = WindowPartial::new(panes, planned, SchemaRef::clone(input), RowPolicy::Fail).unwrap();
    let aggregate = partial.merged(Some("window")).unwrap();
    (Box::new(partial), aggregate)
}

/// What DataFusion makes of the windows of these rows.
fn expected(rows: &RecordBatch, keys: &str, calls: &str, width: i64) -> Vec<String> {
    let width = format!("INTERVAL '{width} seconds'");
    let window = format!("named_struct('start', w, 'end', w + {width})");
    let (selected, by) = if keys.is_empty() {
        (window, "w".into())
    } else {
        (format!("{keys}, {window}"), format!("{keys}, w"))
    };
    by_datafusion(
        rows,
        &format!(
            "SELECT {selected}, {calls}, w + {width} - INTERVAL '1 nanosecond'
             FROM (SELECT *, date_bin({width}, _timestamp) AS w FROM t) GROUP BY {by}"
        ),
    )
}

/// What DataFusion makes of these rows, each in all its windows.
fn expected_of_hop(rows: &RecordBatch, keys: &str, calls: &str, slide: i64, width: i64) -> Vec<String> {
    let (selected, by) = if keys.is_empty() {
        (String::new(), "w".to_owned())
    } else {
        (format!("{keys}, "), format!("{keys}, w"))
    };
    let time = |seconds: &str| format!("to_timestamp_nanos(({seconds}) * {SECOND})");
    let (start, end) = (time(&format!("w * {slide}")), time(&format!("w * {slide} + {width}")));
    by_datafusion(
        rows,
        &format!(
            "SELECT {selected}named_struct('start', {start}, 'end', {end}), {calls},
                    {end} - INTERVAL '1 nanosecond'
             FROM (SELECT *, unnest(generate_series(
                       (CAST(_timestamp AS BIGINT) / {SECOND} + 1000 * {slide} - {width}) / {slide} - 999,
                       CAST(_timestamp AS BIGINT) / {SECOND} / {slide})) AS w
                   FROM t)
             WHERE CAST(_timestamp AS BIGINT) / {SECOND} < w * {slide} + {width}
             GROUP BY {by}"
        ),
    )
}

/// Slides and widths in seconds: dividing, not dividing, with gaps, and with many panes.
const HOPS: [(i64, i64); 6] = [(10, 40), (20, 50), (7, 10), (30, 12), (3, 90), (5, 143)];

#[test]
fn hops_give_what_datafusion_gives_of_rows_in_all_their_windows() {
    for (number, (slide, width)) in HOPS.into_iter().enumerate() {
        let rows = random_rows(number as u64, 300);
        for (keys, calls) in [
            ("k", "count(*), sum(v), max(s)"),
            ("", "avg(v), count(DISTINCT s), median(f)"),
            ("k, j", "sum(v)"),
        ] {
            let nodes = nodes_of(hop(slide, width), &rows.schema(), keys, calls);
            let expected = expected_of_hop(&rows, keys, calls, slide, width);
            for (batch_rows_max, restore) in [(8192, false), (1, true), (3, false), (8192, true)] {
                let answer = through_both(&nodes, &rows, batch_rows_max, restore);
                let how = format!("hop({slide}, {width}) {batch_rows_max} rows, restored: {restore}");
                assert_same(&answer, &expected, calls, &how);
            }
        }
    }
}

#[test]
fn keys_that_are_seen_once_are_forgotten() {
    let rows = random_rows(21, 4000);
    let nodes = nodes_of(hop(10, 200), &rows.schema(), "o", "count(*), sum(v)");
    let expected = expected_of_hop(&rows, "o", "count(*), sum(v)", 10, 200);
    let mut behind = Instance::new(&nodes.1, 8192, Restored::nothing());
    let mut before = Instance::new(&*nodes.0, 8192, Restored::nothing());
    let mut most = 0;
    for start in (0..4000).step_by(50) {
        before.rows(&rows.slice(start, 50));
        before.flush();
        before.output.drain(..).for_each(|batch| behind.rows(&batch));
        behind.watermark(start as i64 * SECOND);
        most = most.max(behind.counters.state_bytes.get());
    }
    behind.watermark(Watermark::END.nanos());
    assert_eq!(lines(&behind.output), expected);
    assert!(most < 150_000, "{most} bytes for some two hundred keys at a time");
}

/// Rows through both nodes, with a watermark in between and, if asked, barriers at which all is restored.
fn through_both(
    (before, behind): &(Box<dyn OperatorSpec>, WindowAggregate),
    rows: &RecordBatch,
    batch_rows_max: usize,
    restore: bool,
) -> Vec<String> {
    through(&**before, behind, rows, batch_rows_max, restore)
}

/// The same of any two nodes.
pub(super) fn through(
    before: &dyn OperatorSpec,
    behind: &dyn OperatorSpec,
    rows: &RecordBatch,
    batch_rows_max: usize,
    restore: bool,
) -> Vec<String> {
    let mut first = Instance::new(before, batch_rows_max, Restored::nothing());
    let mut second = Instance::new(behind, batch_rows_max, Restored::nothing());
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let parts = 4;
    for part in 0..parts {
        let start = rows.num_rows() * part / parts;
        first.rows(&rows.slice(start, rows.num_rows() * (part + 1) / parts - start));
        if restore {
            first.barrier(part as u64 + 1);
            first.output.drain(..).for_each(|batch| second.rows(&batch));
            snapshots.push(second.barrier(part as u64 + 1));
            let output = std::mem::take(&mut second.output);
            second = Instance::new(behind, batch_rows_max, snapshots.iter().cloned().collect());
            second.output = output;
        }
        let watermark = SECOND * (rows.num_rows() * part / parts) as i64;
        first.watermark(watermark);
        first.output.drain(..).for_each(|batch| second.rows(&batch));
        second.watermark(watermark);
    }
    first.watermark(Watermark::END.nanos());
    first.output.drain(..).for_each(|batch| second.rows(&batch));
    second.watermark(Watermark::END.nanos());
    assert_eq!(first.counters.late.get() + second.counters.late.get(), 0);
    assert_eq!(first.counters.taken.get() + first.counters.filtered.get(), rows.num_rows() as u64);
    assert_eq!(second.counters.open_windows.get(), 0);
    lines(&second.output)
}

#[test]
fn every_aggregate_of_datafusion_gives_what_it_gives_there() {
    let rows = random_rows(1, 300);
    for call in CALLS {
        let nodes = nodes(&rows.schema(), "k", call, 70);
        let expected = expected(&rows, "k", call, 70);
        for (batch_rows_max, restore) in [(8192, false), (3, false), (8192, true)] {
            let answer = through_both(&nodes, &rows, batch_rows_max, restore);
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
fn random_groupings_give_what_datafusion_gives() {
    for seed in 0..30 {
        let rows = random_rows(seed, 1 + 37 * seed as usize % 400);
        let keys = ["", "k", "j", "k, j", "b, f"][seed as usize % 5];
        let calls =
            if seed % 3 == 0 { "count(*), sum(v), max(s)" } else { "avg(v), count(DISTINCT s), median(f)" };
        let width = 1 + (seed as i64 * 13) % 90;
        let nodes = nodes(&rows.schema(), keys, calls, width);
        let expected = expected(&rows, keys, calls, width);
        for (batch_rows_max, restore) in [(1, true), (3, false), (8192, seed % 2 == 0)] {
            let answer = through_both(&nodes, &rows, batch_rows_max, restore);
            let how = format!("seed {seed}, {batch_rows_max} rows a batch, restored: {restore}");
            assert_same(&answer, &expected, calls, &how);
        }
    }
}

#[test]
fn extremes_of_floats_depend_on_no_order() {
    for seed in 0..40 {
        let rows = hard_floats(seed, 3 + 3 * seed as usize);
        let keys = if seed % 2 == 0 { "k" } else { "" };
        let nodes = nodes(&rows.schema(), keys, EXTREMES, 1_000_000);
        let expected = key_by_key(&rows, keys, EXTREMES);
        for (batch_rows_max, restore) in [(1, false), (3, true), (8192, false)] {
            let without_times = |line: String| {
                let cells: Vec<&str> = line.split(" | ").filter(|cell| !cell.contains("1970-01")).collect();
                cells.join(" | ")
            };
            let answer = through_both(&nodes, &rows, batch_rows_max, restore);
            let mut answer: Vec<String> = answer.into_iter().map(without_times).collect();
            answer.sort_unstable();
            assert_eq!(answer, expected, "seed {seed}, {batch_rows_max} rows a batch");
        }
    }
}

const INPUT: &str = "k:text? v:int? _timestamp:time _watermark:time";

#[test]
fn a_row_is_late_by_the_watermark_of_its_own_split() {
    let (partial, _) = nodes(&schema(INPUT), "k", "count(*), sum(v)", 10);
    let stream = format!(
        "columns {INPUT}\n\
         a 1 3 0\n\
         null 2 3 0\n\
         a 3 9 9\n\
         # its window ends at its own watermark\n\
         a 100 9 10\n\
         # and so it does here, though it comes before a row whose watermark is lower\n\
         b 100 0 50\n\
         b 4 11 0\n\
         a null 12 1\n\
         flush\n"
    );
    let answer = at_every_batch_size(&*partial, &stream).unwrap();
    let mut sorted: Vec<&str> = answer.lines().collect();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        ["a 1 null 19.999999999", "a 2 4 9.999999999", "b 1 4 19.999999999", "null 1 2 9.999999999"]
    );
    let mut driver = Driver::new(&*partial, 3, OnBarrier::GoOn).unwrap();
    driver.run(&stream).unwrap();
    assert_eq!((driver.counters().late.get(), driver.counters().taken.get()), (2, 5));
}

/// Windows of 40 every 10, and a row at 32 whose split is at 45, 50 or 70: late
/// for the windows that end at 40, 50, 60 and 70, by turns.
#[test]
fn a_row_that_is_late_for_some_windows_counts_in_the_others() {
    let panes = Panes::hop(10 * SECOND, 40 * SECOND).unwrap();
    for calls in ["count(*), sum(v)", "count(*), median(v)"] {
        let (before, behind) = nodes_of(panes, &schema(INPUT), "k", calls);
        let stream = format!(
            "columns {INPUT}\n\
             a 1 32 0\n\
             a 1 32 39\n\
             a 1 32 45\n\
             a 1 32 50\n\
             a 1 32 69\n\
             # its last window ended at 70\n\
             a 1 32 70\n\
             flush\n"
        );
        let mut driver = Driver::new(&*before, 3, OnBarrier::GoOn).unwrap();
        let given = driver.run(&stream).unwrap();
        assert_eq!((driver.counters().late.get(), driver.counters().taken.get()), (1, 5), "{calls}");
        let types = if calls.contains("sum") { "k:text? n:int s:int?" } else { "k:text? v:int?" };
        let stream = format!("columns {types} _timestamp:time\n{given}barrier\nwm 40\nbarrier\nwm 60\nend\n");
        let answer = at_every_batch_size(&behind, &stream).unwrap();
        let last = if calls.contains("sum") { ["2", "3", "4", "5"] } else { ["1.0"; 4] };
        let expected = format!(
            "a {{0,40}} 2 {} 39.999999999\nwm 40\n\
             a {{10,50}} 3 {} 49.999999999\na {{20,60}} 4 {} 59.999999999\nwm 60\n\
             a {{30,70}} 5 {} 69.999999999\nend\n",
            last[0], last[1], last[2], last[3]
        );
        assert_eq!(answer, expected, "{calls}");
    }
}

#[test]
fn panes_that_a_window_has_read_are_kept_for_the_others() {
    let (_, behind) = nodes_of(hop(10, 30), &schema(INPUT), "k", "count(*)");
    let stream = "columns k:text n:int _timestamp:time\n\
                  a 1 9.999999999\nb 2 9.999999999\n\
                  barrier\n\
                  a 4 19.999999999\nb 8 9.999999999\n\
                  wm 10\n\
                  barrier\n\
                  wm 20\n\
                  barrier\n\
                  end\n";
    let answer = at_every_batch_size(&behind, stream).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(
        sorted(&answer),
        sorted(
            "a {-20,10} 1 9.999999999\nb {-20,10} 10 9.999999999\nwm 10\n\
             a {-10,20} 5 19.999999999\nb {-10,20} 10 19.999999999\nwm 20\n\
             a {0,30} 5 29.999999999\nb {0,30} 10 29.999999999\n\
             a {10,40} 4 39.999999999\nend"
        )
    );
}

#[test]
fn rows_between_two_windows_are_filtered_out() {
    let panes = Panes::hop(10 * SECOND, 4 * SECOND).unwrap();
    let (before, _) = nodes_of(panes, &schema(INPUT), "k", "count(*)");
    let stream = format!("columns {INPUT}\na 1 3 0\na 1 4 0\na 1 9 0\nb 1 10 0\nb 1 2 5\nflush\n");
    let mut driver = Driver::new(&*before, 3, OnBarrier::GoOn).unwrap();
    assert_eq!(driver.run(&stream).unwrap(), "a 1 3.999999999\nb 1 13.999999999\n");
    let counters = driver.counters();
    assert_eq!((counters.taken.get(), counters.filtered.get(), counters.late.get()), (2, 2, 1));
}

#[test]
fn hops_without_keys_go_to_one_subtask() {
    let (_, behind) = nodes_of(hop(10, 40), &schema(INPUT), "", "sum(v)");
    assert_eq!(behind.shuffle_key().unwrap(), None);
    let (_, behind) = nodes_of(hop(40, 10), &schema(INPUT), "", "sum(v)");
    assert_eq!(behind.shuffle_key().unwrap(), Some(vec![1]));
}

/// Rows that come behind a watermark that closed some of their windows, as when an idle split comes back.
#[test]
fn what_comes_behind_the_watermark_counts_in_the_windows_that_are_open() {
    let (_, behind) = nodes_of(hop(10, 200), &schema(INPUT), "k", "count(*)");
    let mut stream = String::from("columns k:text n:int _timestamp:time\n");
    for pane in 0..30 {
        stream += &format!("a 1 {}.999999999\nwm {}\n", pane * 10 + 9, pane * 10 + 10);
        if pane == 25 {
            stream += "a 100 159.999999999\n";
        }
    }
    let mut driver = Driver::new(&behind, 3, OnBarrier::GoOn).unwrap();
    let answer = driver.run(&(stream + "end\n")).unwrap();
    let counts: Vec<i64> = answer
        .lines()
        .filter(|line| line.starts_with('a'))
        .map(|line| line.split(' ').nth(2).unwrap().parse().unwrap())
        .collect();
    let expected = |end: i64| {
        let panes = (end - 20).max(0)..end.min(30);
        panes.end - panes.start + if end > 26 && end - 20 <= 15 { 100 } else { 0 }
    };
    assert_eq!(counts, (1..50).map(expected).collect::<Vec<_>>());
}

#[test]
fn rows_of_windows_go_into_the_same_window_by_their_instant() {
    let input = schema("k:text? n:int? _timestamp:time");
    let panes = Panes::Instants { width_nanos: 40 * SECOND };
    let (before, behind) = nodes_of(panes, &input, "", "max(n)");
    let rows = "columns k:text? n:int? _timestamp:time\n\
                a 3 39.999999999\nb 4 39.999999999\nwm 40\na 1 49.999999999\nwm 50\nend\n";
    let states = at_every_batch_size(&*before, rows).unwrap();
    assert_eq!(states, "4 39.999999999\nwm 40\n1 49.999999999\nwm 50\nend\n");
    let answer = at_every_batch_size(&behind, &format!("columns n:int? _timestamp:time\n{states}")).unwrap();
    assert_eq!(answer, "{0,40} 4 39.999999999\nwm 40\n{10,50} 1 49.999999999\nwm 50\nend\n");
}

#[test]
fn states_leave_before_the_watermark_that_closes_their_window() {
    let (partial, _) = nodes(&schema(INPUT), "k", "count(*)", 10);
    let stream = format!("columns {INPUT}\na 1 1 0\na 1 11 0\nwm 9\na 1 2 0\nwm 10\nend\n");
    let answer = at_every_batch_size(&*partial, &stream).unwrap();
    assert_eq!(answer, "wm 9\na 2 9.999999999\nwm 10\na 1 19.999999999\nend\n");
}

#[test]
fn assignment_drops_late_rows_and_the_watermark_column() {
    let (assign, _) = nodes(&schema(INPUT), "k", "median(v)", 10);
    let stream = format!("columns {INPUT}\na 1 3 0\na 2 9 10\nb null 12 11\n");
    assert_eq!(at_every_batch_size(&*assign, &stream).unwrap(), "a 1 9.999999999\nb null 19.999999999\n");
}

#[test]
fn windows_come_out_in_the_order_of_time_when_the_watermark_reaches_their_end() {
    let (_, aggregate) = nodes(&schema(INPUT), "k", "count(v), max(v)", 10);
    assert_eq!(aggregate.shuffle_key().unwrap(), Some(vec![0]));
    let stream = "columns k:text? count:int max:int? _timestamp:time\n\
                  b 1 5 19.999999999\n\
                  a 2 7 9.999999999\n\
                  wm 9.999999999\n\
                  barrier\n\
                  a 1 9 9.999999999\n\
                  null 0 null 9.999999999\n\
                  wm 10\n\
                  barrier\n\
                  # it is closed, and stays so after a restore\n\
                  a 1 9 9.999999999\n\
                  b 1 6 19.999999999\n\
                  end\n";
    let answer = at_every_batch_size(&aggregate, stream).unwrap();
    assert_eq!(
        answer,
        "wm 9.999999999\n\
         a {0,10} 3 9 9.999999999\n\
         null {0,10} 0 null 9.999999999\n\
         wm 10\n\
         b {10,20} 2 6 19.999999999\n\
         end\n"
    );
    let mut driver = Driver::new(&aggregate, 3, OnBarrier::Restore).unwrap();
    driver.run(stream).unwrap();
    assert_eq!((driver.counters().late.get(), driver.counters().taken.get()), (1, 5));
}

#[test]
fn without_keys_the_window_is_the_key_of_the_shuffle() {
    let (partial, aggregate) = nodes(&schema(INPUT), "", "sum(v)", 10);
    assert_eq!(aggregate.shuffle_key().unwrap(), Some(vec![1]));
    assert_eq!(partial.output_schema().field(1).name(), columns::TIMESTAMP);
}

#[test]
fn windows_of_windows_judge_no_row() {
    let input = schema("k:text? v:int? _timestamp:time");
    let (partial, _) = nodes(&input, "k", "sum(v)", 20);
    let stream = "columns k:text? v:int? _timestamp:time\nwm 10\na 1 9.999999999\na 2 19.999999999\nend\n";
    assert_eq!(at_every_batch_size(&*partial, stream).unwrap(), "wm 10\na 3 19.999999999\nend\n");
}

#[test]
fn keys_of_their_own_pass_by_the_table_and_the_result_is_the_same() {
    let rows = random_rows(7, 200_000);
    let nodes = nodes(&rows.schema(), "o", "count(*), sum(v) FILTER (WHERE b), avg(f)", 1_000_000);
    let expected = expected(&rows, "o", "count(*), sum(v) FILTER (WHERE b), avg(f)", 1_000_000);
    let mut partial = Instance::new(&*nodes.0, 8192, Restored::nothing());
    partial.rows(&rows);
    let given: usize = partial.output.iter().map(RecordBatch::num_rows).sum();
    assert!(given > 100_000, "rows passed by without a flush: {given}");
    assert_eq!(through_both(&nodes, &rows, 8192, false), expected);
}

#[test]
fn specs_survive_their_way_through_bytes() {
    let mut registry = Registry::default();
    crate::register(&mut registry);
    let rows = random_rows(3, 100);
    for calls in ["count(*), avg(v)", "median(v), string_agg(s, ',' ORDER BY o)"] {
        let (before, behind) = nodes(&rows.schema(), "k, j", calls, 30);
        let read = |spec: &dyn Spec| registry.operator(spec.kind(), &spec.encode().unwrap()).unwrap();
        let again = read(&*before);
        let mut instances = [&*before, &*again].map(|spec| Instance::new(spec, 8, Restored::nothing()));
        instances.iter_mut().for_each(|i| i.rows(&rows));
        instances.iter_mut().for_each(|i| i.flush());
        let [one, other] = instances.map(|i| i.output);
        assert_eq!(one, other);
        let again = read(&behind);
        let mut instances =
            [&behind as &dyn OperatorSpec, &*again].map(|spec| Instance::new(spec, 8, Restored::nothing()));
        for instance in &mut instances {
            one.iter().for_each(|batch| instance.rows(batch));
            instance.watermark(Watermark::END.nanos());
        }
        let [one, other] = instances.map(|i| i.output);
        assert_eq!(one, other);
    }
}

#[test]
fn what_an_aborted_epoch_held_is_part_of_the_next() {
    let rows = random_rows(5, 100);
    let (partial, aggregate) = nodes(&rows.schema(), "k", "count(*), sum(v)", 1000);
    let mut before = Instance::new(&*partial, 10, Restored::nothing());
    let mut windows = Instance::new(&aggregate, 10, Restored::nothing());
    let mut complete = Vec::new();
    for epoch in 1..=5 {
        before.rows(&rows.slice(20 * (epoch as usize - 1), 20));
        before.flush();
        before.output.drain(..).for_each(|batch| windows.rows(&batch));
        let snapshot = windows.barrier(epoch);
        let settled = epoch % 2 == 1;
        windows.operator.on_settled(Epoch(epoch), settled);
        complete.extend(settled.then_some(snapshot));
    }
    let mut restored = Instance::new(&aggregate, 10, complete.into_iter().collect());
    restored.watermark(Watermark::END.nanos());
    assert_eq!(lines(&restored.output), expected(&rows, "k", "count(*), sum(v)", 1000));
}

#[test]
fn rows_keep_their_order_across_barriers() {
    let input = schema("k:text v:int _timestamp:time");
    let (_, behind) = nodes(&input, "k", "string_agg(CAST(v AS VARCHAR), '-')", 10);
    let stream = "columns k:text v:int _timestamp:time\n\
                  a 1 9.999999999\nbarrier\na 2 9.999999999\nbarrier\na 3 9.999999999\nwm 10\nend\n";
    let answer = at_every_batch_size(&behind, stream).unwrap();
    assert!(answer.contains("1-2-3"), "{answer}");
}

/// A window of two million groups, given out piece by piece to someone who
/// does not take the next: never more than twice its state.
#[test]
fn a_large_window_that_fires_stays_under_twice_its_state() {
    const GROUPS: i64 = 2_000_000;
    let input = schema("k:int v:int _timestamp:time");
    let (_, aggregate) = nodes(&input, "k", "count(*), sum(v), max(v)", 10);
    let mut windows = Instance::new(&aggregate, 8192, Restored::nothing());
    let state_schema =
        split_nodes(&input, grouping(&input, "k", "count(*), sum(v), max(v)"), tumble(10)).0.output_schema();
    for start in (0..GROUPS).step_by(8192) {
        let keys: Vec<i64> = (start..GROUPS.min(start + 8192)).collect();
        let column = || Arc::new(arrow::array::Int64Array::from(keys.clone())) as arrow::array::ArrayRef;
        let times = Arc::new(arrow::array::TimestampNanosecondArray::from_value(0, keys.len()));
        let states = vec![column(), column(), column(), column(), times];
        windows.rows(&RecordBatch::try_new(SchemaRef::clone(&state_schema), states).unwrap());
    }
    windows.watermark(0);
    let state = windows.counters.state_bytes.get();
    assert!(state > GROUPS * 4 * 8, "{state}");
    let mut pieces = 0;
    let mut step = windows.once(|operator, cx| operator.on_watermark(Watermark::END, cx).unwrap());
    let mut held = 0;
    loop {
        let piece = windows.output.pop().expect("each call gives a piece");
        assert!(piece.num_rows() <= 8192 && windows.output.is_empty());
        held = held.max(bytes_behind(&piece));
        pieces += 1;
        if step == Step::Done {
            break;
        }
        step = windows.once(|operator, cx| operator.resume(cx).unwrap());
    }
    assert_eq!(pieces, (GROUPS as usize).div_ceil(8192));
    let kept = windows.counters.state_bytes.get();
    assert!(
        held as i64 + kept < 2 * state,
        "{held} bytes of results and {kept} of tables against {state} of state"
    );
}

/// The memory that a slice holds on to.
fn bytes_behind(piece: &RecordBatch) -> usize {
    piece.columns().iter().map(|column| column.to_data().get_buffer_memory_size()).sum()
}
