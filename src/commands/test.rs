//! `thalweg test`: runs test files and says which failed and why.

use std::path::Path;

use super::{Exit, Failed};
use crate::engine::ForeignFunctions;
use crate::testfile;

pub(super) fn run(path: &Path, functions: &ForeignFunctions, verbose: bool) -> Result<Exit, Failed> {
    let (mut passed, mut failed) = (0, 0);
    for file in testfile::find(path)? {
        let verdict = testfile::run_file(&file, functions)?;
        let ok = verdict.failures.is_empty();
        println!("{} {}", if ok { "ok    " } else { "FAILED" }, file.display());
        if verbose || !ok {
            verdict.deeds.iter().for_each(|deed| println!("         {deed}"));
        }
        verdict.failures.iter().for_each(|failure| println!("{failure}"));
        if ok { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { Exit::SUCCESS } else { Exit::FAILURE })
}
