//! Every file below `tests/sql`, in all worlds.
//!
//! `THALWEG_TEST_FILE` runs only those whose path contains it, `THALWEG_TEST_SCALE` each that many
//! times with other kills, rescales and interleavings.

use std::path::Path;

use thalweg::engine::ForeignFunctions;
use thalweg::testfile;

#[test]
fn every_test_file_gives_one_answer_in_all_worlds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let wanted = std::env::var("THALWEG_TEST_FILE").unwrap_or_default();
    let rounds: u64 = std::env::var("THALWEG_TEST_SCALE").map_or(1, |s| s.parse().expect("a number"));
    let mut failed = Vec::new();
    for file in testfile::find(&root).expect("test files") {
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        if !name.contains(&wanted) {
            continue;
        }
        for round in 0..rounds {
            let verdict = testfile::run_file_again(&file, &ForeignFunctions::default(), round)
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            if verdict.failures.is_empty() {
                continue;
            }
            // Only what failed is printed: among hundreds of answers nobody would find it.
            println!("{name}, round {round}");
            verdict.deeds.iter().for_each(|deed| println!("    {deed}"));
            verdict.failures.iter().for_each(|failure| println!("{failure}"));
            failed.push(format!("{name}, round {round}"));
        }
    }
    assert!(failed.is_empty(), "these failed: {failed:#?}");
}
