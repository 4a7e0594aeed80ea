use std::collections::BTreeMap;

use super::*;

fn states() -> KeyedStates<String, u64> {
    KeyedStates::new((Layout::find(), Layout::find()), Arc::new(|_| 0))
}

fn count(states: &mut KeyedStates<String, u64>, key: &str) {
    *states.of(key.to_owned()).1 += 1;
}

/// What a table holds.
fn rows(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let batches = snapshot.tables.iter().flat_map(|table| &table.batches);
    let (keys, states) = (Layout::<String>::find(), Layout::<u64>::find());
    let rows = |batch: &RecordBatch| -> Vec<(String, u64)> {
        keys.read(batch.column(1)).unwrap().zip(states.read(batch.column(2)).unwrap()).collect()
    };
    batches.flat_map(rows).collect()
}

fn of(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
}

#[test]
fn an_epoch_writes_what_changed_since_the_last_complete_one() {
    let mut states = states();
    ["a", "b"].iter().for_each(|key| count(&mut states, key));
    assert_eq!(rows(&states.freeze(Epoch(1)).unwrap()), of(&[("a", 1), ("b", 1)]));
    states.settle(Epoch(1), true);
    count(&mut states, "b");
    assert_eq!(rows(&states.freeze(Epoch(2)).unwrap()), of(&[("b", 2)]));
    states.settle(Epoch(2), true);
    assert_eq!(states.freeze(Epoch(3)).unwrap().tables[0].rows(), 0);
}

#[test]
fn what_an_aborted_or_unsettled_epoch_wrote_is_written_again() {
    let mut states = states();
    count(&mut states, "a");
    states.freeze(Epoch(1)).unwrap();
    count(&mut states, "b");
    // Nobody knows yet how epoch 1 ends.
    assert_eq!(rows(&states.freeze(Epoch(2)).unwrap()), of(&[("a", 1), ("b", 1)]));
    states.settle(Epoch(1), false);
    states.settle(Epoch(2), false);
    count(&mut states, "c");
    assert_eq!(rows(&states.freeze(Epoch(3)).unwrap()), of(&[("a", 1), ("b", 1), ("c", 1)]));
    states.settle(Epoch(3), true);
    assert_eq!(states.freeze(Epoch(4)).unwrap().tables[0].rows(), 0);
}

#[test]
fn a_restore_takes_the_last_of_each_key_and_owes_nothing() {
    let mut before = states();
    ["a", "b"].iter().for_each(|key| count(&mut before, key));
    let first = before.freeze(Epoch(1)).unwrap();
    before.settle(Epoch(1), true);
    count(&mut before, "a");
    let second = before.freeze(Epoch(2)).unwrap();
    let mut after = states();
    after.open([first, second].into_iter().collect(), KeySpace::default()).unwrap();
    assert_eq!(after.freeze(Epoch(3)).unwrap().tables[0].rows(), 0);
    assert_eq!((*after.of("a".into()).1, *after.of("b".into()).1, *after.of("c".into()).1), (2, 1, 0));
}

#[test]
fn states_move_by_key_group_with_what_they_owe() {
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let (mut left, mut right) = (states(), states());
    keys.iter().for_each(|key| count(&mut left, key));
    left.freeze(Epoch(1)).unwrap();
    left.settle(Epoch(1), true);
    keys[..50].iter().for_each(|key| count(&mut left, key));
    let half = KeyGroups::range(0, 512);
    right.put(left.take(&half).unwrap()).unwrap();
    assert!(left.take(&half).unwrap().tables[0].rows() == 0, "what was given away is gone");
    assert!(!left.entries.is_empty() && !right.entries.is_empty());
    assert_eq!(left.entries.len() + right.entries.len(), 100);
    let owed = rows(&left.freeze(Epoch(2)).unwrap());
    assert!(!owed.is_empty() && owed.values().all(|&count| count == 2), "only what changed: {owed:?}");
    // The new owner cannot know what is durable, so it writes all.
    assert_eq!(rows(&right.freeze(Epoch(2)).unwrap()).len(), right.entries.len());
    keys.iter().for_each(|key| {
        let here = left.entries.iter().any(|entry| entry.key == *key);
        count(if here { &mut left } else { &mut right }, key);
    });
    assert_eq!(left.entries.len() + right.entries.len(), 100, "every key is found where it lies");
    let all = left.entries.iter().chain(&right.entries).map(|entry| entry.state).sum::<u64>();
    assert_eq!(all, 250);
}
