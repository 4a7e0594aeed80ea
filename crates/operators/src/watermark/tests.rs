use std::time::Duration;

use thalweg_state::{KeyGroups, KeySpace};
use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size};

use super::*;
use crate::testing::{expression, schema};

/// The row watermark of a split that has said nothing.
const START: &str = "-9223372036.854775808";

fn spec(columns: &str, generator: Generator) -> Watermark {
    Watermark::new(&schema(columns), EventTimeFrom::Column(0), generator, RowPolicy::Fail)
        .unwrap()
        .with_row_watermark()
}

fn delayed(seconds: u64) -> Watermark {
    spec("t:time", Generator::Delay(Duration::from_secs(seconds)))
}

#[test]
fn each_row_knows_the_watermark_before_it() {
    let stream = "split a\ncolumns t:time\n10\n12\n11\nbarrier\n30\n29\nend";
    let expected = format!("10 10 {START}\n12 12 9\n11 11 11\nwm 11\n30 30 11\n29 29 29\nwm 29\nend\n");
    assert_eq!(at_every_batch_size(&delayed(1), stream).unwrap(), expected);
}

#[test]
fn splits_are_merged_by_the_least_and_ended_ones_hold_nothing_back() {
    let stream = "split a assigned\nsplit b assigned\ncolumns t:time\nsplit a\n10\nsplit b\n20\nbarrier\n\
                  split a\n30\n21\nsplit b end\nsplit a\n31\nsplit a end\n";
    let expected =
        format!("10 10 {START}\n20 20 {START}\nwm 9\n30 30 9\n21 21 29\nwm 19\nwm 29\n31 31 29\nwm 30\n");
    assert_eq!(at_every_batch_size(&delayed(1), stream).unwrap(), expected);
}

#[test]
fn an_idle_split_comes_back_without_moving_time_backward() {
    let stream = "split a assigned\nsplit b assigned\ncolumns t:time\nsplit a\n10\nsplit b\n20\n\
                  split a\n30\nsplit b idle\nsplit b\n21\n22\nsplit a\n40\nsplit b watermark 33\nsplit b\n50\n";
    let expected = format!(
        "10 10 {START}\n20 20 {START}\nwm 9\n30 30 9\nwm 19\nwm 29\n\
         21 21 29\n22 22 29\n40 40 29\nwm 33\n50 50 33\nwm 39\n"
    );
    assert_eq!(at_every_batch_size(&delayed(1), stream).unwrap(), expected);
}

#[test]
fn a_watermark_wakes_an_idle_split() {
    let stream = "split a assigned\nsplit b assigned\ncolumns t:time\nsplit a\n10\nsplit b idle\n\
                  split b watermark 4\nsplit a\n20\nsplit b watermark 12\n";
    let expected = format!("10 10 {START}\nwm 9\n20 20 9\nwm 12\n");
    assert_eq!(at_every_batch_size(&delayed(1), stream).unwrap(), expected);
}

#[test]
fn all_idle_is_the_highest_whoever_rests_first() {
    let before = "split a assigned\nsplit b assigned\ncolumns t:time\nsplit a\n10\nsplit b\n20\n";
    let after = "split b idle\nsplit a\n15\n16\n";
    let rows = |wms: &str| format!("10 10 {START}\n20 20 {START}\nwm 9\n{wms}idle\n15 15 19\n16 16 19\n");
    for (rests, wms) in
        [("split a idle\nsplit b idle\n", "wm 19\n"), ("split b idle\nsplit a idle\n", "wm 19\n")]
    {
        let answer = at_every_batch_size(&delayed(1), &format!("{before}{rests}{after}")).unwrap();
        assert_eq!(answer, rows(wms), "{rests}");
    }
}

#[test]
fn a_restored_split_that_was_idle_stands_where_time_went_without_it() {
    let spec = delayed(1);
    let stream = "split a assigned\nsplit b assigned\ncolumns t:time\nsplit b\n5\nsplit a\n30\nsplit b idle\n\
                  barrier\nsplit b\n7\n";
    for on_barrier in [OnBarrier::GoOn, OnBarrier::Restore] {
        let answer = Driver::new(&spec, 1, on_barrier).unwrap().run(stream).unwrap();
        assert!(answer.ends_with("7 7 29\n"), "{answer}");
    }
}

#[test]
fn a_row_from_the_far_future_moves_nothing() {
    let spec = delayed(1).with_max_future_skew(Duration::from_secs(10));
    let stream = "now 100\nsplit a\ncolumns t:time\n50\n111\n112\n60\n";
    let expected = format!("50 50 {START}\n111 111 49\n112 112 110\n60 60 110\nwm 110\n");
    assert_eq!(at_every_batch_size(&spec, stream).unwrap(), expected);
    let mut driver = Driver::new(&spec, 3, OnBarrier::GoOn).unwrap();
    driver.run(stream).unwrap();
    assert_eq!((driver.counters().ahead.get(), driver.counters().taken.get()), (1, 4));
}

#[test]
fn a_row_without_event_time_is_refused() {
    let stream = "split a\ncolumns t:time? v:int\n10 1\nnull 2\n5 3\n";
    let of = |policy| {
        let columns = schema("t:time? v:int");
        Watermark::new(&columns, EventTimeFrom::Column(0), Generator::Delay(Duration::ZERO), policy).unwrap()
    };
    assert_eq!(at_every_batch_size(&of(RowPolicy::Drop), stream).unwrap(), "10 1 10\n5 3 5\nwm 10\n");
    let error = at_every_batch_size(&of(RowPolicy::Fail), stream).unwrap_err();
    assert_eq!(error.code(), Code::RowFailed);
}

#[test]
fn a_generator_may_be_any_expression() {
    let columns = schema("t:time w:time?");
    let generator = Generator::Expression(expression(&columns, "w - INTERVAL '2 seconds'"));
    let event_time = EventTimeFrom::Expression(expression(&columns, "t + INTERVAL '1 second'"));
    let spec = Watermark::new(&columns, event_time, generator, RowPolicy::Fail).unwrap().with_row_watermark();
    let stream = "split a\ncolumns t:time w:time?\n10 8\n11 null\n12 7\n13 20\n";
    let expected = format!("10 8 11 {START}\n11 null 12 6\n12 7 13 6\n13 20 14 6\nwm 18\n");
    assert_eq!(at_every_batch_size(&spec, stream).unwrap(), expected);
}

#[test]
fn the_source_may_give_the_watermark() {
    let stream =
        "split a assigned\nsplit a\ncolumns t:time\n10\nsplit a watermark 7\nsplit a watermark 5\n11\n";
    let expected = format!("10 10 {START}\nwm 7\n11 11 7\n");
    assert_eq!(at_every_batch_size(&spec("t:time", Generator::Given), stream).unwrap(), expected);
}

#[test]
fn of_a_given_watermark_and_that_of_the_rows_the_greater_counts() {
    let stream = "split a assigned\nsplit a\ncolumns t:time\n10\nsplit a watermark 7\n11\nsplit a watermark 12\n\
                  12\n20\n";
    let expected = format!("10 10 {START}\nwm 9\n11 11 9\nwm 10\nwm 12\n12 12 12\n20 20 12\nwm 19\n");
    assert_eq!(at_every_batch_size(&delayed(1), stream).unwrap(), expected);
    let learnt = spec("t:time", Generator::Completeness(0.9));
    let expected = format!("10 10 {START}\nwm 7\n11 11 7\nwm 12\n12 12 12\n20 20 12\n");
    assert_eq!(at_every_batch_size(&learnt, stream).unwrap(), expected);
}

#[test]
fn the_time_of_seeing_is_an_event_time() {
    let generator = Generator::Delay(Duration::ZERO);
    let spec =
        Watermark::new(&schema("a:int"), EventTimeFrom::ProcessingTime, generator, RowPolicy::Fail).unwrap();
    let stream = "split a\ncolumns a:int\nnow 3\n1\n2\nnow 4\n3\n";
    assert_eq!(at_every_batch_size(&spec, stream).unwrap(), "1 3\n2 3\nwm 3\n3 4\nwm 4\n");
}

#[test]
fn the_ends_of_time_are_kept() {
    let stream = "split a\ncolumns t:time\n-9223372036\n9223372036.854775807\n5\n";
    let expected = format!(
        "-9223372036 -9223372036 {START}\n9223372036.854775807 9223372036.854775807 {START}\n\
         5 5 9223372035.854775807\nwm 9223372035.854775807\n"
    );
    assert_eq!(at_every_batch_size(&delayed(1), stream).unwrap(), expected);
    let answer = at_every_batch_size(&delayed(0), "split a\ncolumns t:time\n9223372036.854775807\n").unwrap();
    assert!(answer.ends_with("wm 9223372036.854775806\n"), "only the end of all input ends time: {answer}");
}

/// Rows one second apart, of which every tenth is up to 20 seconds late.
fn late_rows(count: i64) -> String {
    let late = |row: i64| if row % 10 == 7 { row * 7919 % 20 } else { 0 };
    (0..count).map(|row| format!("{}\n", 1000 + row - late(row))).collect()
}

#[test]
fn completeness_keeps_its_share_of_rows_on_time() {
    for (share, least) in [(0.95, 0.94), (0.99, 0.985), (0.999, 0.998)] {
        let rows = late_rows(6000);
        let half = rows.match_indices('\n').nth(2500).unwrap().0 + 1;
        let stream = format!("split a\ncolumns t:time\n{}barrier\n{}", &rows[..half], &rows[half..]);
        let answer = at_every_batch_size(&spec("t:time", Generator::Completeness(share)), &stream).unwrap();
        let cells = |line: &str| line.split(' ').map(|c| c.parse::<f64>().unwrap()).collect::<Vec<_>>();
        let rows: Vec<_> = answer.lines().filter(|line| !line.starts_with("wm")).map(cells).collect();
        let on_time = rows.iter().filter(|row| row[1] >= row[2]).count() as f64 / rows.len() as f64;
        assert!(on_time >= least, "{on_time} of {share}");
        let last = answer.lines().last().unwrap();
        let watermark: f64 = last.strip_prefix("wm ").unwrap().parse().unwrap();
        assert!(watermark > 6999.0 - 21.0, "the watermark hangs back: {last}");
    }
}

#[test]
fn a_split_takes_its_state_along() {
    for generator in [Generator::Delay(Duration::from_secs(1)), Generator::Completeness(0.5)] {
        let spec = spec("t:time", generator);
        let (mut giver, mut taker) = (
            Driver::new(&spec, 3, OnBarrier::GoOn).unwrap(),
            Driver::new(&spec, 3, OnBarrier::GoOn).unwrap(),
        );
        let mut stays = Driver::new(&spec, 3, OnBarrier::GoOn).unwrap();
        let (before, after) =
            ("split a\ncolumns t:time\n10\n12\n9\n14\n", "split a\ncolumns t:time\n11\n16\n");
        giver.run(before).unwrap();
        stays.run(before).unwrap();
        giver.run("barrier").unwrap();
        let all = KeyGroups::range(0, 1024);
        taker.operator().put(&all, giver.snapshots()[0].clone(), Age::Unsettled(Epoch(1))).unwrap();
        let rows = |answer: String| -> Vec<String> {
            answer.lines().filter(|line| !line.starts_with("wm")).map(str::to_owned).collect()
        };
        assert_eq!(rows(taker.run(after).unwrap()), rows(stays.run(after).unwrap()));
    }
}

#[test]
fn what_cannot_be_a_watermark_is_refused() {
    let columns = schema("t:time a:int");
    let delay = || Generator::Delay(Duration::ZERO);
    let new = |columns: &arrow::datatypes::Schema, event_time, generator| {
        Watermark::new(columns, event_time, generator, RowPolicy::Fail).unwrap_err().code()
    };
    assert_eq!(new(&columns, EventTimeFrom::Column(1), delay()), Code::InvalidWatermark);
    let number = Generator::Expression(expression(&columns, "a + 1"));
    assert_eq!(new(&columns, EventTimeFrom::Column(0), number), Code::InvalidWatermark);
    for share in [0.0, 1.0, f64::NAN] {
        let code = new(&columns, EventTimeFrom::Column(0), Generator::Completeness(share));
        assert_eq!(code, Code::InvalidWatermark);
    }
    let taken = schema("t:time _timestamp:time");
    assert_eq!(new(&taken, EventTimeFrom::Column(0), delay()), Code::InvalidColumn);
}

#[test]
fn a_snapshot_gives_splits_back_exactly() {
    let mut learnt = split::Split::starting_at(i64::MIN);
    let mut advance = Advance { bound: i64::MAX, row_watermarks: None, ahead: 0 };
    learnt.advance_by_lateness(&[10, 15, 11, 12, 20, 13], 0.5, &mut advance);
    let plain = split::Split::starting_at(7);
    let splits = [(SplitId::new("a"), learnt), (SplitId::new("b"), plain)];
    let frozen = snapshot::freeze(splits.iter().map(|(id, split)| (id, split)), KeySpace::default()).unwrap();
    assert_eq!(snapshot::thaw(frozen.tables[0].batches.clone()).unwrap(), splits);
}
