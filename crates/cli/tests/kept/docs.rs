//! The commands in `docs/state.md` do what stands below them.

use std::path::Path;
use std::process::Command;

use crate::job::{Job, stderr, stdout};

/// The text of all fenced blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("\n```{language}\n");
    page.split(opening.as_str()).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0)).collect()
}

/// What does not depend on the moment: without numbers, units, and the widths of tables.
fn timeless(line: &str) -> String {
    let words =
        line.split(|c: char| c.is_whitespace() || "│┆┌┬┐└┴┘─╞═╪╡".contains(c)).filter(|w| !w.is_empty());
    let words = words.map(|word| {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            "N"
        } else {
            word.strip_suffix("s").unwrap_or(word)
        }
    });
    words.filter(|word| !["B", "KiB", "B,", "KiB,"].contains(word)).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_of_state_shows_what_happens() {
    let page = include_str!("../../../../docs/state.md");
    let script = blocks(page, "sql")[0];
    let job = Job::new("");
    job.write("counts.sql", script);
    let binary = Path::new(env!("CARGO_BIN_EXE_thalweg")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").expect("a path"));
    let mut commands = 0;
    for block in blocks(page, "console") {
        for part in block.split("$ ").filter(|part| !part.is_empty()) {
            let (line, expected) = part.split_once('\n').unwrap_or((part, ""));
            let output =
                Command::new("sh").args(["-c", line]).current_dir(job.folder()).env("PATH", &path).output();
            let output = output.expect("sh is there");
            // A shell says so, too.
            let said = (stderr(&output) + &stdout(&output)).replace("Killed\n", "");
            let status = output.status.code().unwrap_or(137);
            assert!(
                status == 0 || (line.starts_with("timeout") && [124, 137].contains(&status)),
                "{line}: {said}"
            );
            let of = |text: &str| text.lines().map(timeless).filter(|l| !l.is_empty()).collect::<Vec<_>>();
            if !expected.is_empty() {
                assert_eq!(of(&said), of(expected), "{line}:\n{said}");
            }
            commands += 1;
        }
    }
    assert_eq!(commands, 10, "the page has so many commands");
}
