//! Windows whose key groups move, and what their checkpoints hold.

use arrow::array::{ArrayRef, Int64Array};
use thalweg_dataflow::{Age, Spec};
use thalweg_state::{Epoch, KeyGroup, KeyGroups, KeySpace, hash_keys};
use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size, where_key_groups_move};

use super::{INPUT, hop, nodes, nodes_of};
use crate::testing::{rows_and_barriers, schema, stream_behind};

#[test]
fn windows_move_with_their_key_groups_there_and_back() {
    let input = "k:int v:int? _timestamp:time";
    let stream = rows_and_barriers(input, |dice, time| format!("{} {} {time}", dice % 17, dice % 5));
    let split = ("k", "count(*), sum(v)", "k:int count:int sum:int? _timestamp:time");
    let global = ("", "count(*), sum(v)", "count:int sum:int? _timestamp:time");
    let whole = ("k", "median(v)", input);
    for (slide, width, kinds) in
        [(10, 10, vec![split, whole, global]), (5, 20, vec![split, global]), (7, 10, vec![split, whole])]
    {
        for (keys, calls, states) in kinds {
            let (before, behind) = nodes_of(hop(slide, width), &schema(input), keys, calls);
            let stream = stream_behind(&*before, states, &stream);
            at_every_batch_size(&behind, &stream).unwrap();
            let key = behind.shuffle_key().unwrap().unwrap_or_default();
            where_key_groups_move(&behind, &[key], &stream).unwrap();
        }
    }
}

#[test]
fn what_is_over_leaves_the_checkpoint() {
    let (_, behind) = nodes(&schema(INPUT), "k", "count(*)", 10);
    let mut driver = Driver::new(&behind, 8, OnBarrier::GoOn).unwrap();
    for window in 0..50 {
        let rows = format!("a 1 {0}9.999999999\nb 1 {0}9.999999999\nbarrier\nwm {0}9\n", window);
        driver.run(&format!("columns k:text? n:int _timestamp:time\n{rows}barrier\n")).unwrap();
    }
    assert_eq!(driver.past().rows("panes"), 2, "those of the one window that is open");
}

#[test]
fn a_fingerprint_tells_what_the_state_means_and_nothing_else() {
    let input = schema("k:int v:int? other:text? _timestamp:time");
    let of = |panes, keys: &str, calls: &str| nodes_of(panes, &input, keys, calls).1.fingerprint();
    let own = of(hop(5, 10), "k", "count(*), sum(v)");
    assert_eq!(own, of(hop(5, 10), "k", "count( * ) ,  SUM( v )"), "the same, written in another way");
    let elsewhere = schema("k:int v:int? _timestamp:time");
    assert_eq!(own, nodes_of(hop(5, 10), &elsewhere, "k", "count(*), sum(v)").1.fingerprint());
    let text = nodes_of(hop(5, 10), &schema("k:text v:int? _timestamp:time"), "k", "count(*), sum(v)");
    let others = [
        of(hop(5, 20), "k", "count(*), sum(v)"),
        of(hop(10, 10), "k", "count(*), sum(v)"),
        of(hop(5, 10), "k", "count(*), max(v)"),
        of(hop(5, 10), "k", "count(*), sum(v) FILTER (WHERE v > 1)"),
        of(hop(5, 10), "k", "count(*)"),
        of(hop(5, 10), "k, v", "count(*), sum(v)"),
        text.1.fingerprint(),
    ];
    for (number, other) in others.iter().enumerate() {
        assert_ne!(&own, other);
        assert!(!others[..number].contains(other), "{other}");
    }
    let expected =
        "window-aggregate; panes: 5000000000 ns, 10000000000 ns; keyed by window: false; keys: k Int64; ";
    assert!(own.starts_with(expected), "{own}");
}

/// Two owners whose watermarks differ, as an idle split can make them: what was given out is not given
/// out again, and what was not is.
#[test]
fn windows_that_one_owner_is_ahead_with_are_given_out_once() {
    let input = schema("k:int n:int _timestamp:time");
    let all = KeySpace::default().share(0, 1);
    let half = KeySpace::default().share(1, 2);
    for panes in [hop(10, 10), hop(5, 20)] {
        let (_, behind) = nodes_of(panes, &input, "k", "count(*)");
        let rows = |from: i64| -> String {
            (0..400).map(|row| format!("{} 1 {}.999999999\n", row % 20, from + row / 20)).collect()
        };
        let stream = format!("columns k:int n:int _timestamp:time\n{}", rows(0));
        let mut alone = Driver::new(&behind, 64, OnBarrier::GoOn).unwrap();
        let whole = alone.run(&(stream.clone() + "end")).unwrap();
        for (giver_at, taker_at) in [(8, 12), (12, 8), (15, 0)] {
            let mut giver = Driver::new(&behind, 64, OnBarrier::GoOn).unwrap();
            let mut taker = Driver::new(&behind, 64, OnBarrier::GoOn).unwrap();
            let mut output = giver.run(&format!("{stream}wm {giver_at}\nbarrier")).unwrap();
            // Keys of the half that moves are the giver's, all others the taker's.
            let snapshot = giver.snapshots()[0].select(&half);
            taker.operator().forget(&half).unwrap();
            let own = stream_of_groups(&stream, &all.without(&half));
            let own_output = taker.run(&format!("{own}wm {taker_at}")).unwrap();
            output = lines_of_groups(&output, &half) + &own_output;
            taker.operator().put(&half, snapshot, Age::Unsettled(Epoch(1))).unwrap();
            output += &taker.run("end").unwrap();
            assert_eq!(sorted_rows(&output), sorted_rows(&whole), "{panes:?} {giver_at} {taker_at}");
        }
    }
}

fn group_of(key: &str) -> KeyGroup {
    let key: i64 = key.parse().unwrap();
    let column: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![key]));
    let mut hashes = Vec::new();
    hash_keys(&[column], &mut hashes).unwrap();
    KeySpace::default().group_of(hashes[0])
}

/// The lines whose first cell is a key of these groups.
fn lines_of_groups(text: &str, groups: &KeyGroups) -> String {
    let own = |line: &&str| {
        let key = line.split(' ').next().unwrap_or_default();
        key.parse::<i64>().is_ok() && groups.contains(group_of(key))
    };
    text.lines().filter(own).map(|line| format!("{line}\n")).collect()
}

fn stream_of_groups(stream: &str, groups: &KeyGroups) -> String {
    let (columns, rows) = stream.split_once('\n').unwrap();
    format!("{columns}\n{}", lines_of_groups(rows, groups))
}

fn sorted_rows(output: &str) -> Vec<&str> {
    let is_row = |line: &&str| !line.starts_with("wm") && *line != "end";
    let mut rows: Vec<&str> = output.lines().filter(is_row).collect();
    rows.sort_unstable();
    rows
}
