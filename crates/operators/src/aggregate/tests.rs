use super::planned::{CALLS, grouping, random_schema};
use super::*;

#[test]
fn every_call_survives_its_way_through_bytes() {
    for call in CALLS {
        let before = grouping(&random_schema(), "k", call);
        let bytes = serde_json::to_vec(&before).unwrap();
        let after: Grouping = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(after.label(), before.label());
        let (before, after) = (&before.calls()[0], &after.calls()[0]);
        assert_eq!((before.field(), before.strategy), (after.field(), after.strategy), "{call}");
        assert_eq!(before.state_fields().unwrap(), after.state_fields().unwrap(), "{call}");
    }
}

#[test]
fn only_small_states_that_know_no_order_are_split() {
    let splits: Vec<&str> =
        CALLS.iter().copied().filter(|call| grouping(&random_schema(), "k", call).splits()).collect();
    let expected = [
        "count(*)",
        "count(v)",
        "sum(v)",
        "sum(f) FILTER (WHERE v > 3)",
        "avg(v)",
        "min(s)",
        "max(s)",
        "min(f)",
        "max(v) FILTER (WHERE b)",
        "stddev(f)",
        "stddev_pop(f)",
        "var_samp(v)",
        "var_pop(f)",
        "corr(f, v)",
        "bit_and(v)",
        "bit_or(v)",
        "max(DISTINCT v)",
        "bool_and(b)",
        "bool_or(b)",
    ];
    assert_eq!(splits, expected);
    assert!(!grouping(&random_schema(), "k", "count(*), median(v)").splits());
}

#[test]
fn rows_are_kept_for_functions_that_cannot_order_or_tell_them_apart() {
    let strategy = |call| grouping(&random_schema(), "k", call).calls()[0].strategy;
    assert_eq!(strategy("nth_value(v, 2 ORDER BY o)"), Strategy::Kept);
    assert_eq!(strategy("avg(f ORDER BY v)"), Strategy::Kept);
    assert_eq!(strategy("stddev(DISTINCT f)"), Strategy::Kept);
    assert_eq!(strategy("array_agg(v ORDER BY o DESC)"), Strategy::Native);
    assert_eq!(strategy("string_agg(DISTINCT s, ',' ORDER BY s)"), Strategy::Native);
}
