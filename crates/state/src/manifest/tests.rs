//! What is sealed is told from everything else, and manifests evolve.

use super::*;
use crate::checksum::Checksum;
use crate::store::StoreError;
use crate::{Expiry, KeyGroup};

fn object(name: &str, epoch: u64, latest: Option<i64>) -> ObjectEntry {
    ObjectEntry {
        name: name.to_owned(),
        epoch: Epoch(epoch),
        rows: 1,
        bytes: 100,
        checksum: Checksum::of(name.as_bytes()),
        groups: [1, 7].map(KeyGroup).into_iter().collect(),
        latest,
    }
}

fn head(epoch: u64) -> Head {
    Head {
        job: JobId::new("orders"),
        epoch: Epoch(epoch),
        incarnation: Incarnation(2),
        writer: "w-1".to_owned(),
        created_ms: 1_700_000_000_000,
        key_groups: 1024,
        parallelism: 2,
        finished: false,
        script: "SELECT 'ä'".to_owned(),
    }
}

fn part(change: Change, expiry: Option<Expiry>, objects: Vec<ObjectEntry>) -> OperatorPart {
    let table = TablePart { name: "t".to_owned(), change, expiry, objects };
    OperatorPart {
        kind: "sum".to_owned(),
        fingerprint: "f".to_owned(),
        label: "a sum".to_owned(),
        tables: vec![table],
        ..OperatorPart::default()
    }
}

fn next(previous: Option<&Manifest>, epoch: u64, parts: Vec<OperatorPart>) -> Manifest {
    Manifest::next(previous, head(epoch), parts.into_iter().map(|part| (OperatorId::new("op"), part)), &[])
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.objects().map(|object| object.name.as_str()).collect()
}

fn sample() -> Manifest {
    let mut full =
        part(Change::Upsert { key: 2 }, None, vec![object("a", 1, Some(-5)), object("b", 1, None)]);
    full.splits = vec![
        SplitPosition { split: SplitId::new("file-1"), position: Some(Bytes::from_static(&[0, 255, 7])) },
        SplitPosition { split: SplitId::new("file-0"), position: None },
    ];
    full.committables = vec![Bytes::from_static(b""), Bytes::from_static(b"\xff tx")];
    next(None, 1, vec![full])
}

#[test]
fn what_is_sealed_opens_as_it_was() {
    for settlement in [
        Settlement::Complete(sample()),
        Settlement::Aborted { incarnation: Incarnation(4), writer: "w".to_owned() },
    ] {
        let bytes = seal(Kind::Settlement, "epochs/1", &settlement).unwrap();
        assert_eq!(open::<Settlement>(Kind::Settlement, "epochs/1", &bytes).unwrap(), settlement);
    }
}

/// The form is kept for ever: a change of it is a new format.
#[test]
fn the_form_stands() {
    let aborted = Settlement::Aborted { incarnation: Incarnation(4), writer: "w".to_owned() };
    let bytes = seal(Kind::Settlement, "epochs/1", &aborted).unwrap();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        "thalweg 1 settlement 0748e4193ca03aa3676a5c181f885b21\n{\"aborted\":{\"incarnation\":4,\"writer\":\"w\"}}"
    );
    let bytes = seal(Kind::Settlement, "epochs/1", &Settlement::Complete(sample())).unwrap();
    let body = std::str::from_utf8(&bytes).unwrap().split_once('\n').unwrap().1;
    assert!(
        body.contains(
            r#""splits":[{"split":"file-0","position":null},{"split":"file-1","position":"00ff07"}]"#
        ),
        "{body}"
    );
    assert!(body.contains(r#""committables":["","ff207478"]"#), "{body}");
    assert!(body.contains(r#""change":{"Upsert":{"key":2}}"#), "{body}");
}

fn refusal(bytes: &[u8]) -> StoreError {
    open::<Settlement>(Kind::Settlement, "epochs/0000000001", bytes).unwrap_err()
}

#[test]
fn every_damaged_byte_is_seen() {
    let whole = seal(Kind::Settlement, "epochs/1", &Settlement::Complete(sample())).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.to_vec();
            flipped[at] ^= 1 << bit;
            let error = refusal(&flipped);
            let damaged =
                matches!(&error, StoreError::Damaged { object, .. } if object == "epochs/0000000001");
            assert!(damaged, "byte {at}, bit {bit}: {error}");
        }
        assert!(matches!(refusal(&whole[..at]), StoreError::Damaged { .. }), "cut at {at}");
    }
    assert_eq!(refusal(b"").to_string(), "'epochs/0000000001' is damaged: it is empty");
    let mut longer = whole.to_vec();
    longer.push(b' ');
    assert!(matches!(refusal(&longer), StoreError::Damaged { .. }));
}

#[test]
fn another_format_and_another_kind_are_told_from_damage() {
    let body = b"{\"new\":\"things\"}";
    let line = "thalweg 2 settlement";
    let checksum = Checksum::of(&[line.as_bytes(), b"\n", body].concat());
    let future = [format!("{line} {checksum}\n").as_bytes(), body].concat();
    assert_eq!(
        refusal(&future).to_string(),
        "'epochs/0000000001' cannot be used: it is of format 2, and this version reads format 1"
    );
    let claim = seal(Kind::Claim, "x", &"y").unwrap();
    assert_eq!(
        refusal(&claim).to_string(),
        "'epochs/0000000001' cannot be used: it is a claim, not a settlement"
    );
}

#[test]
fn a_whole_body_of_another_shape_is_damage() {
    let strange = seal(Kind::Settlement, "x", &["neither", "of", "them"]).unwrap();
    assert!(matches!(refusal(&strange), StoreError::Damaged { .. }));
}

proptest::proptest! {
    #[test]
    fn garbage_is_damage(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let damaged = matches!(refusal(&bytes), StoreError::Damaged { .. });
        proptest::prop_assert!(damaged);
    }
}

#[test]
fn increments_are_added_behind_and_whole_tables_replace() {
    let first = next(None, 1, vec![part(Change::Merge, None, vec![object("a", 1, None)])]);
    let second = next(
        Some(&first),
        2,
        vec![
            part(Change::Merge, None, vec![object("b", 2, None)]),
            part(Change::Merge, None, vec![object("c", 2, None)]),
        ],
    );
    assert_eq!(names(&second), ["a", "b", "c"]);
    let silent =
        next(Some(&second), 3, vec![OperatorPart { tables: vec![], ..part(Change::Merge, None, vec![]) }]);
    assert_eq!(names(&silent), ["a", "b", "c"], "a table that nobody names stays");
    let whole = next(
        Some(&silent),
        4,
        vec![
            part(Change::Full, None, vec![object("d", 4, None)]),
            part(Change::Full, None, vec![object("e", 4, None)]),
        ],
    );
    assert_eq!(names(&whole), ["d", "e"]);
    let emptied = next(Some(&whole), 5, vec![part(Change::Full, None, vec![])]);
    assert_eq!(names(&emptied), [""; 0], "no rows are a table too");
}

#[test]
fn operators_that_are_gone_or_differ_leave_their_tables() {
    let first = next(None, 1, vec![part(Change::Merge, None, vec![object("a", 1, None)])]);
    let other =
        OperatorPart { fingerprint: "g".to_owned(), ..part(Change::Merge, None, vec![object("b", 2, None)]) };
    assert_eq!(names(&next(Some(&first), 2, vec![other])), ["b"]);
    assert!(next(Some(&first), 2, vec![]).operators.is_empty());
}

#[test]
fn objects_go_when_all_subtasks_are_past_them() {
    let through = |through: i64| Some(Expiry { column: 1, through });
    let merge = |expiry, objects| part(Change::Merge, expiry, objects);
    let first = next(
        None,
        1,
        vec![
            merge(through(0), vec![object("a", 1, Some(10))]),
            merge(through(0), vec![object("b", 1, Some(20)), object("c", 1, None)]),
        ],
    );
    assert_eq!(names(&first), ["a", "b", "c"]);
    let held_back = next(Some(&first), 2, vec![merge(through(15), vec![]), merge(through(9), vec![])]);
    assert_eq!(names(&held_back), ["a", "b", "c"], "one subtask is at 9");
    let one_is_silent = next(Some(&held_back), 3, vec![merge(through(15), vec![]), merge(None, vec![])]);
    assert_eq!(names(&one_is_silent), ["a", "b", "c"], "one subtask does not say");
    let past = next(Some(&one_is_silent), 4, vec![merge(through(15), vec![]), merge(through(10), vec![])]);
    assert_eq!(names(&past), ["b", "c"]);
    // What a later epoch writes is not over because an earlier one said so.
    let late = next(Some(&past), 5, vec![merge(None, vec![object("d", 5, Some(3))]), merge(None, vec![])]);
    assert_eq!(names(&late), ["b", "c", "d"]);
    let all = next(Some(&late), 6, vec![merge(through(100), vec![]), merge(through(100), vec![])]);
    assert_eq!(names(&all), ["c"], "a row of 'c' never expires");
}
