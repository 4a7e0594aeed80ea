use std::collections::BTreeMap;

use super::*;

fn states() -> KeyedStates<String, u64> {
    KeyedStates::new((Layout::find(), Layout::find()), Arc::new(|_| 0))
}

fn count(states: &mut KeyedStates<String, u64>, key: &str) {
    *states.of(key.to_owned()).1 += 1;
}

/// What an epoch gets that is written down at once.
fn frozen(states: &mut KeyedStates<String, u64>, epoch: u64) -> Snapshot {
    let mut snapshot = states.freeze(Epoch(epoch)).unwrap();
    while let Some(more) = states.copy_frozen(1).unwrap() {
        snapshot.extend(more);
    }
    snapshot
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
    assert_eq!(rows(&frozen(&mut states, 1)), of(&[("a", 1), ("b", 1)]));
    states.settle(Epoch(1), true);
    count(&mut states, "b");
    assert_eq!(rows(&frozen(&mut states, 2)), of(&[("b", 2)]));
    states.settle(Epoch(2), true);
    assert_eq!(frozen(&mut states, 3).tables[0].rows(), 0);
}

#[test]
fn what_an_aborted_or_unsettled_epoch_wrote_is_written_again() {
    let mut states = states();
    count(&mut states, "a");
    frozen(&mut states, 1);
    count(&mut states, "b");
    // Nobody knows yet how epoch 1 ends.
    assert_eq!(rows(&frozen(&mut states, 2)), of(&[("a", 1), ("b", 1)]));
    states.settle(Epoch(1), false);
    states.settle(Epoch(2), false);
    count(&mut states, "c");
    assert_eq!(rows(&frozen(&mut states, 3)), of(&[("a", 1), ("b", 1), ("c", 1)]));
    states.settle(Epoch(3), true);
    assert_eq!(frozen(&mut states, 4).tables[0].rows(), 0);
}

#[test]
fn a_restore_takes_the_last_of_each_key_and_owes_nothing() {
    let mut before = states();
    ["a", "b"].iter().for_each(|key| count(&mut before, key));
    let first = frozen(&mut before, 1);
    before.settle(Epoch(1), true);
    count(&mut before, "a");
    let second = frozen(&mut before, 2);
    let mut after = states();
    after.open([first, second].into_iter().collect(), KeySpace::default()).unwrap();
    assert_eq!(frozen(&mut after, 3).tables[0].rows(), 0);
    assert_eq!((*after.of("a".into()).1, *after.of("b".into()).1, *after.of("c".into()).1), (2, 1, 0));
}

fn half() -> KeyGroups {
    KeySpace::default().share(0, 2)
}

/// Where a key lives.
fn moves(states: &KeyedStates<String, u64>, key: &str) -> bool {
    let mut keys = states.layout.0.writer().unwrap();
    keys.push(&key.to_owned()).unwrap();
    half().contains(states.groups(&keys.finish().unwrap()).unwrap()[0])
}

#[test]
fn states_move_by_key_group_there_and_back_with_what_they_owe() {
    for complete in [true, false] {
        let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let (mut left, mut right) = (states(), states());
        keys.iter().for_each(|key| count(&mut left, key));
        let first = frozen(&mut left, 1);
        left.settle(Epoch(1), true);
        keys[..50].iter().for_each(|key| count(&mut left, key));
        let second = frozen(&mut left, 2);
        right.put(&half(), &first.select(&half()), Age::Durable).unwrap();
        right.put(&half(), &second.select(&half()), Age::Unsettled(Epoch(2))).unwrap();
        left.forget(&half());
        [&mut left, &mut right].into_iter().for_each(|states| states.settle(Epoch(2), complete));
        // Of what left nothing is written, whether it was cleared away or not.
        for tidy in [false, true] {
            let epoch = Epoch(3 + u64::from(tidy));
            let (own, moved) = (rows(&frozen(&mut left, epoch.0)), rows(&frozen(&mut right, epoch.0)));
            let owed = |states: &BTreeMap<String, u64>| states.values().all(|&count| count == 2);
            assert!(own.keys().all(|key| !moves(&left, key)) && moved.keys().all(|key| moves(&right, key)));
            assert_eq!(own.len() + moved.len(), if complete { 0 } else { 50 });
            assert!(owed(&own) && owed(&moved));
            [&mut left, &mut right].into_iter().for_each(|states| states.settle(epoch, false));
            if tidy {
                left.tidy().unwrap();
                assert_eq!(left.index.len() + right.index.len(), 100);
            }
        }
        for key in &keys {
            let here = moves(&left, key);
            count(if here { &mut right } else { &mut left }, key);
        }
        // And back, where some of the places were given to others.
        for key in (1000..1040).map(|n| n.to_string()) {
            if !moves(&left, &key) {
                count(&mut left, &key);
            }
        }
        let third = frozen(&mut right, 5);
        right.mark(0..right.entries.len() as u32);
        let all = frozen(&mut right, 6);
        left.put(&half(), &all, Age::Durable).unwrap();
        left.put(&half(), &third, Age::Unsettled(Epoch(5))).unwrap();
        right.forget(&half());
        let sum = keys.iter().map(|key| *left.of(key.clone()).1).sum::<u64>();
        assert_eq!(sum, 250);
        [5, 6].into_iter().for_each(|epoch| right.settle(Epoch(epoch), false));
        assert_eq!(frozen(&mut right, 7).tables[0].rows(), 0, "nothing is left to write");
    }
}

#[test]
fn keys_come_back_before_the_first_stay_was_cleared_away() {
    let mut states = states();
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    keys.iter().for_each(|key| count(&mut states, key));
    let first = frozen(&mut states, 1);
    states.settle(Epoch(1), true);
    keys.iter().for_each(|key| count(&mut states, key));
    states.forget(&half());
    states.put(&half(), &first.select(&half()), Age::Durable).unwrap();
    for key in &keys {
        let expected = if moves(&states, key) { 1 } else { 2 };
        assert_eq!(*states.of(key.clone()).1, expected);
    }
}

#[test]
fn a_fingerprint_tells_the_types_of_key_and_state() {
    fn of<K: Key, S: Record + Default>() -> String {
        let states = KeyedStates::<K, S>::new((Layout::find(), Layout::find()), Arc::new(|_| S::default()));
        states.fingerprint(Fingerprint::new("computation")).finish()
    }
    assert_eq!(of::<String, u64>(), of::<String, u64>());
    assert_ne!(of::<String, u64>(), of::<String, String>());
    assert_ne!(of::<String, u64>(), of::<i64, u64>());
}

#[test]
fn what_is_written_down_late_is_as_it_was_at_the_barrier() {
    let mut states = states();
    ["a", "b", "c", "d"].iter().for_each(|key| count(&mut states, key));
    let mut snapshot = states.freeze(Epoch(1)).unwrap();
    ["e", "d", "d"].iter().for_each(|key| count(&mut states, key));
    snapshot.extend(states.copy_frozen(2).unwrap().unwrap());
    ["a", "c"].iter().for_each(|key| count(&mut states, key));
    // Keys that leave were frozen too, and their places may go to others.
    states.forget(&KeySpace::default().share(0, 1));
    states.tidy().unwrap();
    count(&mut states, "f");
    while let Some(more) = states.copy_frozen(1).unwrap() {
        snapshot.extend(more);
    }
    assert_eq!(rows(&snapshot), of(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]));
    assert_eq!(snapshot.tables.iter().map(FrozenTable::rows).sum::<usize>(), 4);
}
