//! What a person reads when a script is wrong: code, line, column, caret, help.
//!
//! Each script below `tests/sql/errors` has its report beside it. Set
//! `THALWEG_BLESS=1` to write them, and read what was written.

use std::path::{Path, PathBuf};

use thalweg::engine::{self, StdoutTarget};
use thalweg::report::{Script, render};
use thalweg::settings::Settings;
use thalweg::testfile;

fn report(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a script");
    let settings = Settings::default();
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).expect("a file has a name");
    match engine::plan(&text, engine::connectors(&settings, &StdoutTarget::process()), &settings) {
        Ok(_) => panic!("{name} has no error"),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{}\n", render(error, Some(Script { name: &name, text: &text }), false)))
            .collect(),
    }
}

#[test]
fn every_error_is_reported_as_it_was_agreed() {
    let scripts: Vec<PathBuf> =
        testfile::find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql/errors")).expect("scripts");
    let bless = std::env::var_os("THALWEG_BLESS").is_some();
    let (mut complete, mut differ) = (0, Vec::new());
    for script in scripts {
        let shown = report(&script);
        let expected = script.with_extension("txt");
        if bless {
            std::fs::write(&expected, &shown).expect("a report is writable");
        }
        let agreed = std::fs::read_to_string(&expected).unwrap_or_default();
        if shown != agreed {
            differ.push(format!("{}:\n{shown}", script.display()));
        }
        let has = |part: &str| shown.contains(part);
        complete += usize::from(has("error[") && has("--> ") && has("^") && has("help: "));
    }
    assert!(differ.is_empty(), "reports differ; look, then run with THALWEG_BLESS=1\n{}", differ.join("\n"));
    assert!(complete >= 20, "only {complete} reports have code, place, caret and help");
}
