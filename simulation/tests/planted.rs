//! The yardstick: bugs that are planted on purpose are found, each within 200 seeds.

use thalweg_simulation::Simulation;

/// A bug, and the work that shows it best, if not any.
const PLANTED: [(&str, Option<&str>); 13] = [
    ("shared object names", None),
    ("manifest overwritten", None),
    ("error taken as success", None),
    ("already exists taken as mine", Some("rows")),
    ("commit skipped on restore", None),
    ("barrier overtaken", None),
    ("routing switched one message early", Some("program")),
    ("dirty mark lost after an abort", Some("updating")),
    ("frozen row written before it was copied", Some("tally")),
    ("position taken after the barrier", None),
    ("watermark passed while a group travels", Some("hop")),
    ("hold-back replayed after the watermark", Some("hop")),
    ("split watermark lost in a move", Some("tumble")),
];
const SEEDS_MAX: u64 = 200;

/// The first seed that finds it, and only because it is planted.
fn found(planted: &str, work: Option<&str>) -> Option<u64> {
    (0..SEEDS_MAX).find(|&seed| {
        let sound = Simulation { work: work.map(str::to_owned), ..Simulation::of(seed) };
        let broken = Simulation { planted: Some(planted.to_owned()), ..sound.clone() };
        !broken.run().violations.is_empty() && sound.run().violations.is_empty()
    })
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for (planted, work) in PLANTED {
        match found(planted, work) {
            Some(seed) => println!("'{planted}' is found by seed {seed}"),
            None => missed.push(planted),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}
