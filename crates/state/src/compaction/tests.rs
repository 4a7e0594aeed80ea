//! Which layers are rewritten, and how often.

use super::*;
use crate::checksum::Checksum;
use crate::manifest::OperatorRecord;
use crate::{Incarnation, JobId, KeyGroups};

impl Compaction {
    /// A compaction of a whole table, due or not.
    pub(crate) fn of_whole(manifest: &Manifest, operator: &str, table: &str) -> Self {
        Self::from_object(manifest, operator, table, 0)
    }

    /// A compaction of a table from some object on, due or not, a few rows at a time.
    pub(crate) fn from_object(manifest: &Manifest, operator: &str, table: &str, first: usize) -> Self {
        let operator = OperatorId::new(operator);
        let mut inputs = manifest.operators[&operator].tables[table].clone();
        inputs.objects.drain(..first.min(inputs.objects.len()));
        Self { operator, table: table.to_owned(), epoch: manifest.epoch, inputs, slice_bytes: 2000 }
    }
}

fn table(change: Change, layers: &[u64]) -> TableRecord {
    let object = |(epoch, &bytes): (u64, &u64)| ObjectEntry {
        name: format!("o{epoch}"),
        epoch: Epoch(epoch),
        rows: bytes,
        bytes,
        checksum: Checksum::of(b""),
        groups: KeyGroups::range(0, 16),
        latest: None,
    };
    TableRecord { change, expired: None, objects: (1..).zip(layers).map(object).collect() }
}

fn first(layers: &[u64]) -> Option<usize> {
    first_input(&table(Change::Merge, layers))
}

#[test]
fn few_layers_are_left_alone() {
    assert_eq!(first(&[]), None);
    assert_eq!(first(&[5]), None);
    assert_eq!(first(&[1; LAYERS_MAX]), None);
    assert_eq!(first(&[1 << 20, 5, 5]), None);
}

#[test]
fn many_layers_are_rewritten_but_not_a_base_that_outweighs_them() {
    let after = |old: &[u64]| first(&[old, &vec![1; LAYERS_MAX + 1 - old.len()]].concat());
    assert_eq!(after(&[]), Some(0));
    assert_eq!(after(&[100]), Some(1));
    assert_eq!(after(&[100, 20]), Some(2));
    assert_eq!(after(&[100, 2]), Some(1));
    assert_eq!(after(&[100, 10]), Some(2), "outweighed, but not twice");
    let halves: Vec<u64> = (0..=LAYERS_MAX).rev().map(|layer| 1 << layer).collect();
    assert_eq!(first(&halves), Some(LAYERS_MAX - 1), "the least that helps");
}

#[test]
fn a_base_is_rewritten_when_it_is_outweighed() {
    let base = 4 << 20;
    let of_upsert = |layers: &[u64]| first_input(&table(Change::Upsert { key: 1 }, layers));
    assert_eq!(of_upsert(&[base, base / 2, base / 2 - 1]), None);
    assert_eq!(of_upsert(&[base, base / 2, base / 2]), Some(0));
    assert_eq!(first(&[base, base / 2, base / 2]), None, "no row replaces another");
    let small = OUTWEIGHING_BYTES_MIN / 2;
    assert_eq!(of_upsert(&[small, small, small - 1]), None, "not worth it");
    assert_eq!(of_upsert(&[small, small, small]), Some(0));
}

#[test]
fn objects_of_one_epoch_are_one_layer() {
    let mut wide = table(Change::Merge, &[1; LAYERS_MAX + 1]);
    wide.objects.iter_mut().for_each(|object| object.epoch = Epoch(1));
    assert_eq!(first_input(&wide), None);

    let mut of_two = table(Change::Merge, &[&[1, 100], &[1; LAYERS_MAX][..]].concat());
    of_two.objects[0].epoch = of_two.objects[1].epoch;
    assert_eq!(first_input(&of_two), Some(2), "a base of 101 outweighs what is newer");
}

#[test]
fn a_table_that_is_replaced_each_time_is_never_rewritten() {
    assert_eq!(first_input(&table(Change::Full, &[1; 100])), None);
}

/// Each epoch adds a layer; how much is written for a long life, against the rows themselves?
#[test]
fn rows_are_rewritten_a_few_times_in_a_long_life() {
    let (base, increment, epochs) = (100_000_u64, 1_000_u64, 2_000);
    let mut layers = vec![base];
    let (mut written, mut most) = (0, 0);
    for _ in 0..epochs {
        layers.push(increment);
        if let Some(first) = first(&layers) {
            // At worst no row replaces another, until there is one for each key.
            let merged = layers.drain(first..).sum::<u64>().min(base);
            written += merged;
            layers.push(merged);
        }
        most = most.max(layers.len());
    }
    let times = written as f64 / (epochs * increment) as f64;
    println!("each row is rewritten {times:.1} times; at most {most} layers");
    assert!(times < 2.0 && most <= LAYERS_MAX + 1, "{times} {most}");
}

fn manifest(record: TableRecord) -> Manifest {
    let operator = OperatorRecord { tables: [("t".to_owned(), record)].into(), ..OperatorRecord::default() };
    Manifest {
        format: 1,
        job: JobId::new("j"),
        epoch: Epoch(20),
        incarnation: Incarnation(1),
        writer: String::new(),
        created_ms: 0,
        key_groups: 16,
        parallelism: 1,
        finished: false,
        script: String::new(),
        operators: [(OperatorId::new("op"), operator)].into(),
    }
}

#[test]
fn a_result_replaces_its_inputs_only_where_they_are_as_they_were() {
    let layers = |ones: usize| table(Change::Merge, &[&[100], &vec![1; ones][..]].concat());
    let before = manifest(layers(LAYERS_MAX));
    let compaction = before.compactions().remove(0);
    assert_eq!((compaction.objects(), compaction.bytes()), (LAYERS_MAX, LAYERS_MAX as u64));
    assert_eq!(compaction.newest_input(), Epoch(LAYERS_MAX as u64 + 1));
    let last = compaction.inputs.objects[LAYERS_MAX - 1].clone();
    let output = ObjectEntry { name: "new".to_owned(), ..last };
    let done = Compacted::new(compaction, vec![output], Lease::new(&Arc::default()));
    let names = |table: &TableRecord| table.objects.iter().map(|o| o.name.clone()).collect::<Vec<_>>();

    let mut grown = layers(LAYERS_MAX + 1);
    done.replace_in(&mut grown);
    assert_eq!(names(&grown), ["o1".to_owned(), "new".to_owned(), format!("o{}", LAYERS_MAX + 2)]);

    let mut another = layers(LAYERS_MAX);
    another.objects[5].name = "another".to_owned();
    for mut changed in [layers(4), another] {
        let as_it_was = changed.clone();
        done.replace_in(&mut changed);
        assert_eq!(changed, as_it_was);
    }
}
