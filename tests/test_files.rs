//! Every file below `tests/sql`, in all worlds.

use std::path::Path;

use thalweg::testfile;

#[test]
fn every_test_file_gives_one_answer_in_all_worlds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut failed = 0;
    for file in testfile::find(&root).expect("test files") {
        let verdict = testfile::run_file(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        println!("{}", file.strip_prefix(&root).unwrap_or(&file).display());
        verdict.deeds.iter().for_each(|deed| println!("    {deed}"));
        verdict.failures.iter().for_each(|failure| println!("{failure}"));
        failed += usize::from(!verdict.failures.is_empty());
    }
    assert_eq!(failed, 0, "test files failed");
}
