use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Age, Result};
use thalweg_operators::fingerprint::Fingerprint;
use thalweg_state::{Epoch, KeyGroups, KeySpace, Restored, Snapshot};

use crate::columns::{Layout, Record};
use crate::segment::Remembered;
use crate::state::{Key, KeyedStates};

/// As a program was at first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct First {
    count: u32,
    name: String,
    spots: Vec<Spot>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Spot {
    x: i64,
    at: (u8, u8),
}

/// The same, some versions later: one field has gone, one has come, one has grown, and none is where it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Later {
    #[serde(default = "seven")]
    extra: u8,
    spots: Vec<LaterSpot>,
    count: u64,
    #[serde(default)]
    tags: HashMap<String, u64>,
    maybe: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LaterSpot {
    at: (u8, u8),
    #[serde(default)]
    y: i64,
    x: i64,
}

/// What no type says ahead: JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Opaque {
    count: u32,
    #[serde(default = "point")]
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
}

fn seven() -> u8 {
    7
}

fn point() -> Shape {
    Shape::Point
}

fn states<S: Record>(new: fn() -> S) -> KeyedStates<String, S> {
    KeyedStates::new((Layout::find(), Layout::find()), Arc::new(move |_| new()))
}

fn fingerprint<K: Key, S: Record>() -> String {
    let states =
        KeyedStates::<K, S>::new((Layout::find(), Layout::find()), Arc::new(|_| panic!("none is made")));
    states.fingerprint(Fingerprint::new("computation")).finish()
}

/// What is said when `New` goes on from what `Old` kept.
fn changes<Old: Record, New: Record>() -> Result<String, Option<String>> {
    let evolution = states::<New>(|| panic!("none is made")).evolution(Fingerprint::new("computation"));
    evolution.expect("states evolve").changes(&fingerprint::<String, Old>())
}

fn refusal<Old: Record, New: Record>() -> String {
    changes::<Old, New>().expect_err("it is refused").expect("and why is known")
}

#[test]
fn fields_come_and_go_by_name() {
    let said = changes::<First, Later>().expect("it can be read");
    let words = [
        "field 'extra' is new",
        "field 'spots.y' is new",
        "field 'count' was INT UNSIGNED and is BIGINT UNSIGNED",
        "field 'tags' is new",
        "field 'maybe' is new",
        "field 'name' is dropped",
    ];
    assert_eq!(said.split(", ").collect::<Vec<_>>(), words);
    assert_eq!(changes::<First, First>().expect("it is the same"), "it is kept in other columns");
}

#[test]
fn other_types_are_refused_by_field() {
    #[derive(Serialize, Deserialize)]
    struct Text {
        count: String,
    }
    #[derive(Serialize, Deserialize)]
    struct Nested {
        spots: Vec<Wide>,
    }
    #[derive(Serialize, Deserialize)]
    struct Wide {
        x: f64,
    }
    #[derive(Serialize, Deserialize)]
    struct Mapped {
        spots: HashMap<String, Wide>,
    }
    assert_eq!(refusal::<First, Text>(), "field 'count' was kept as INT UNSIGNED and is TEXT now");
    assert_eq!(refusal::<First, Nested>(), "field 'spots.x' was kept as BIGINT and is DOUBLE now");
    let said = refusal::<Mapped, First>();
    assert!(said.starts_with("field 'spots' was kept as MAP("), "{said}");
    assert_eq!(refusal::<u64, String>(), "the state was kept as BIGINT UNSIGNED and is TEXT now");
    let back = refusal::<Opaque, First>();
    assert!(back.starts_with("the state was kept as BYTEA and is STRUCT<count INT UNSIGNED, "), "{back}");
    assert_eq!(refusal::<f64, f32>(), "the state was kept as DOUBLE and is REAL now");
    assert!(refusal::<u64, First>().contains("is STRUCT<count INT UNSIGNED, name TEXT, spots STRUCT<"));
    assert_eq!(changes::<f32, f64>().expect("it widens"), "the state was REAL and is DOUBLE");
}

#[test]
fn other_keys_and_other_operators_are_others() {
    let evolution = states(|| later(0)).evolution(Fingerprint::new("computation")).expect("states evolve");
    for other in ["", "computation", "window; panes: hop(5s, 10s)", &fingerprint::<i64, First>()] {
        assert_eq!(evolution.changes(other), Err(None), "{other}");
    }
    // A type that cannot be read back as it was told is not guessed at.
    let odd = fingerprint::<String, First>().replace("\"name\"", "\"na\\u{301}me\"");
    assert_eq!(evolution.changes(&odd), Err(None));
    let cut = fingerprint::<String, First>().replace("Utf8", "Utf");
    assert_eq!(evolution.changes(&cut), Err(None));
}

#[test]
fn all_types_can_be_told_and_read_back() {
    #[derive(Serialize, Deserialize)]
    struct All {
        flag: Option<bool>,
        pair: (u8, (i16, String)),
        map: BTreeMap<String, Vec<Option<Spot>>>,
        letter: char,
        bytes: Vec<u8>,
        unit: Plain,
        #[serde(rename = "with spaces, (and) \"quotes\" é")]
        odd: f32,
        many: [i64; 2],
    }
    #[derive(Serialize, Deserialize)]
    enum Plain {
        One,
        Two,
    }
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Grown {
        letter: char,
        new: u8,
    }
    let _ = (Plain::One, Plain::Two);
    let said = changes::<All, Grown>();
    // Quotes are the one thing that nobody reads back.
    assert_eq!(said, Err(None));
    #[derive(Serialize, Deserialize)]
    struct Most {
        flag: Option<bool>,
        pair: (u8, (i16, String)),
        map: BTreeMap<String, Vec<Option<Spot>>>,
        letter: char,
        bytes: Vec<u8>,
        unit: Plain,
        #[serde(rename = "with spaces, (and) 'quotes' é")]
        odd: f32,
        many: [i64; 2],
    }
    let said = changes::<Most, Grown>().expect("it can be read");
    assert!(said.starts_with("field 'new' is new, field 'flag' is dropped"), "{said}");
}

fn first(count: u32) -> First {
    First { count, name: "x".into(), spots: vec![Spot { x: 1, at: (2, 3) }, Spot::default()] }
}

fn later(count: u64) -> Later {
    let spot = |x, at| LaterSpot { at, y: 0, x };
    let spots = vec![spot(1, (2, 3)), spot(0, (0, 0))];
    Later { extra: 7, spots, count, tags: HashMap::new(), maybe: None }
}

/// What epochs of the first version hold: two keys, one of them twice.
fn kept() -> Restored {
    let mut before = KeyedStates::new((Layout::find(), Layout::find()), Arc::new(|_: &String| first(1)));
    let mut snapshots = Vec::new();
    for (epoch, keys) in [(1, &["a", "b"][..]), (2, &["a"])] {
        keys.iter().for_each(|key| before.of((*key).to_owned()).1.count += 1);
        snapshots.push(frozen(&mut before, epoch));
        before.settle(Epoch(epoch), true);
    }
    snapshots.into_iter().collect()
}

fn frozen<S: Record>(states: &mut KeyedStates<String, S>, epoch: u64) -> Snapshot {
    let mut snapshot = states.freeze(Epoch(epoch)).unwrap();
    while let Some(more) = states.copy_frozen(1).unwrap() {
        snapshot.extend(more);
    }
    snapshot
}

fn rows<S: Record>(snapshot: &Snapshot) -> Vec<(String, S)> {
    let layout = (Layout::<String>::find(), Layout::<S>::find());
    let mut rows: Vec<(String, S)> = Vec::new();
    for batch in snapshot.batches_of("state") {
        assert_eq!(batch.column(2).data_type(), layout.1.field("state").data_type(), "it is of today's type");
        let values = layout.1.read(batch.column(2)).unwrap();
        rows.extend(layout.0.read(batch.column(1)).unwrap().zip(values));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

#[test]
fn the_first_epochs_of_a_new_version_hold_all_until_one_is_complete() {
    let mut states = states(|| later(0));
    states.open(kept().of_another(), KeySpace::default()).unwrap();
    let all = [("a".to_owned(), later(3)), ("b".to_owned(), later(2))];
    assert_eq!(rows::<Later>(&frozen(&mut states, 3)), all);
    states.settle(Epoch(3), false);
    assert_eq!(rows::<Later>(&frozen(&mut states, 4)), all);
    // Nobody knows yet how the epoch before ends.
    assert_eq!(rows::<Later>(&frozen(&mut states, 5)), all);
    states.settle(Epoch(4), true);
    states.settle(Epoch(5), true);
    assert_eq!(rows::<Later>(&frozen(&mut states, 6)), []);
}

#[test]
fn a_state_of_the_same_version_is_not_written_again() {
    let mut states = states(|| first(0));
    states.open(kept(), KeySpace::default()).unwrap();
    assert_eq!(rows::<First>(&frozen(&mut states, 3)), []);
}

#[test]
fn what_moves_before_the_first_epoch_is_complete_may_be_of_either_type() {
    let everything = KeyGroups::range(0, KeySpace::default().len());
    let mut old = states(|| later(0));
    old.open(kept().of_another(), KeySpace::default()).unwrap();
    let given = frozen(&mut old, 3);
    let mut new = states(|| later(0));
    let of_first =
        Snapshot { tables: vec![thalweg_state::FrozenTable::upsert("state", 1, kept().take("state"))] };
    new.put(&everything, &of_first, Age::Durable).unwrap();
    new.put(&everything, &given, Age::Unsettled(Epoch(3))).unwrap();
    new.settle(Epoch(3), false);
    assert_eq!(rows::<Later>(&frozen(&mut new, 4)).len(), 2, "what nothing complete holds is written");
    assert_eq!(*new.of("a".into()).1, later(3));
}

#[test]
fn numbers_that_lie_directly_widen() {
    let mut before = KeyedStates::new((Layout::find(), Layout::find()), Arc::new(|_: &String| 40_u8));
    before.of("a".to_owned());
    let kept: Restored = [frozen(&mut before, 1)].into_iter().collect();
    let mut states = states(|| 0_u64);
    states.open(kept.of_another(), KeySpace::default()).unwrap();
    assert_eq!(*states.of("a".into()).1, 40);
}

#[test]
fn what_has_no_columns_any_more_is_read_of_those_that_it_had() {
    assert_eq!(changes::<First, Opaque>().expect("reading tells"), "it is kept in other columns");
    let mut states = states(|| Opaque { count: 0, shape: Shape::Point });
    states.open(kept().of_another(), KeySpace::default()).unwrap();
    assert_eq!(*states.of("a".into()).1, Opaque { count: 3, shape: Shape::Point });
    assert_eq!(rows::<Opaque>(&frozen(&mut states, 3)).len(), 2);
}

#[test]
fn a_field_without_a_default_is_named() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Needy {
        count: u32,
        needed: u32,
    }
    let refused =
        states(|| Needy { count: 0, needed: 0 }).open(kept().of_another(), KeySpace::default()).unwrap_err();
    assert!(refused.to_string().contains("missing field `needed`"), "{refused}");
    assert!(refused.help().is_some_and(|help| help.starts_with("nothing is lost")), "{refused}");
    #[derive(Debug, Serialize, Deserialize)]
    struct Narrow {
        count: i8,
    }
    let mut many = KeyedStates::new((Layout::find(), Layout::find()), Arc::new(|_: &String| first(300)));
    many.of("a".to_owned());
    let kept: Restored = [frozen(&mut many, 1)].into_iter().collect();
    let refused = states(|| Narrow { count: 0 }).open(kept.of_another(), KeySpace::default()).unwrap_err();
    assert!(refused.to_string().contains("count"), "{refused}");
}
