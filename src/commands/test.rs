//! `thalweg test`: runs test files and says which failed and why.

use std::path::Path;

use super::{Exit, Failed};
use crate::engine::ForeignFunctions;
use crate::standard_streams::print_line;
use crate::testfile;

pub(super) fn run(path: &Path, functions: &ForeignFunctions, verbose: bool) -> Result<Exit, Failed> {
    let (mut passed, mut failed) = (0, 0);
    for file in testfile::find(path)? {
        let verdict = testfile::run_file(&file, functions)?;
        let ok = verdict.failures.is_empty();
        print_line(format_args!("{} {}", if ok { "ok    " } else { "FAILED" }, file.display()))?;
        if verbose || !ok {
            verdict.deeds.iter().try_for_each(|deed| print_line(format_args!("         {deed}")))?;
        }
        verdict.failures.iter().try_for_each(print_line)?;
        if ok { passed += 1 } else { failed += 1 }
    }
    print_line(format_args!("{passed} passed, {failed} failed"))?;
    Ok(if failed == 0 { Exit::SUCCESS } else { Exit::FAILURE })
}
