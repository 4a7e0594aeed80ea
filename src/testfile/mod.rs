//! Tests as files: a script with rows in and rows out, run in several worlds
//! that must give one answer. The format is told in `docs/test-files.md`.

pub mod compare;
pub mod connector;
mod feed;
pub mod parse;
pub mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use thalweg_dataflow::{Code, Error, Result};

use crate::engine::ForeignFunctions;
use crate::report::{Script, render};
use crate::settings::Settings;
use connector::Feed;
use parse::{Expectation, TestFile};
use world::{Deeds, Fate, Outcome, World};

/// What became of one test file.
#[derive(Debug)]
pub struct Verdict {
    /// The file.
    pub path: PathBuf,
    /// A line for each world: what the run really did.
    pub deeds: Vec<String>,
    /// What is wrong; empty if the file passed.
    pub failures: Vec<String>,
}

/// Every test file below a folder, or the file itself, in order.
pub fn find(root: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |path: &Path, why: std::io::Error| {
        Error::new(Code::FileNotFound, format!("'{}' cannot be read", path.display())).because(why)
    };
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(path) = folders.pop() {
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        for entry in std::fs::read_dir(&path).map_err(|why| unreadable(&path, why))? {
            let path = entry.map_err(|why| unreadable(&path, why))?.path();
            if path.is_dir() || path.extension().is_some_and(|e| e == "sql") {
                folders.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        let what = format!("no test file lies below '{}'", root.display());
        return Err(Error::new(Code::FileNotFound, what).with_help("test files end in .sql"));
    }
    Ok(found)
}

/// Runs one test file, which may also call these functions, in all its worlds.
///
/// # Errors
/// If the file cannot be read or is malformed. A test that fails is a verdict.
pub fn run_file(path: &Path, functions: &ForeignFunctions) -> Result<Verdict> {
    run_file_again(path, functions, 0)
}

/// Runs one test file in all its worlds; each `round` brings other kills, rescales and interleavings.
///
/// # Errors
/// As [`run_file`].
pub fn run_file_again(path: &Path, functions: &ForeignFunctions, round: u64) -> Result<Verdict> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|why| Error::new(Code::FileNotFound, format!("'{name}' cannot be read")).because(why))?;
    let file = parse::parse(&name, &text)?;
    let mut settings = Settings::default();
    for (key, value) in &file.settings {
        settings.set(key, value).map_err(|error| error.in_site(name.as_str()))?;
    }
    let mut verdict = Verdict { path: path.to_owned(), deeds: Vec::new(), failures: Vec::new() };
    for world in worlds(&file) {
        let feeds = feeds(&file, &settings);
        let seed = seed(path, world).wrapping_add(round);
        let result = world::run(world, &file.script, functions, feeds, &settings, seed);
        let mut failures = Vec::new();
        match (&result, expected_error(&file)) {
            (Ok(outcome), None) => {
                let late = if outcome.late > 0 { format!(", {} late", outcome.late) } else { String::new() };
                verdict.deeds.push(format!("{:<10} {}{late}", world.name, outcome.deeds));
                check(&file, world, outcome, &mut failures);
            }
            (Ok(_), Some(code)) => failures.push(format!("expected error '{code}', but it ran\n")),
            (Err(errors), Some(code)) if errors.first().is_some_and(|e| e.code().as_str() == code) => {
                verdict.deeds.push(format!("{:<10} error {code}", world.name));
            }
            (Err(errors), _) => {
                let script = Script { name: &name, text: &text };
                failures.extend(errors.iter().map(|e| render(e, Some(script), false)));
            }
        }
        verdict.failures.extend(failures.into_iter().map(|f| format!("in world '{}':\n{f}", world.name)));
    }
    Ok(verdict)
}

fn worlds(file: &TestFile) -> Vec<World> {
    let mut worlds = World::ALL.to_vec();
    if file.expectations.iter().any(|e| matches!(e, Expectation::Changelog { .. })) {
        worlds.push(World::ROW_BY_ROW);
    }
    worlds
}

fn feeds(file: &TestFile, settings: &Settings) -> BTreeMap<String, Feed> {
    file.inputs.iter().map(|input| (input.table.clone(), feed::feed(input, settings.bad_data))).collect()
}

fn expected_error(file: &TestFile) -> Option<&str> {
    file.expectations.iter().find_map(|e| match e {
        Expectation::Error(code) => Some(code.as_str()),
        Expectation::Final { .. }
        | Expectation::Changelog { .. }
        | Expectation::Late(_)
        | Expectation::Refused(_) => None,
    })
}

/// A seed of the file's own in this world, the same wherever it lies (FNV-1a of names).
fn seed(path: &Path, world: World) -> u64 {
    let last: Vec<_> = path.components().rev().take(2).map(|c| c.as_os_str().to_string_lossy()).collect();
    let bytes = last.iter().flat_map(|part| part.bytes()).chain(world.name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What a world must have done to prove anything.
fn check_deeds(file: &TestFile, world: World, deeds: &Deeds) -> Result<(), String> {
    let lonely = deeds.shuffles.iter().find(|(_, destinations)| *destinations < 2);
    if let (World::FOUR, None, Some((rows, _))) = (world, &file.one_key, lonely) {
        return Err(format!(
            "  a shuffle of {rows} rows reached one subtask only, so it proves nothing: use more keys\n"
        ));
    }
    // Where rows come from elsewhere, the gate does not hold them.
    if file.inputs.iter().all(|input| input.lines.is_empty()) || deeds.refused_rescales > 0 {
        return Ok(());
    }
    let done = match world.fate {
        Fate::Undisturbed => true,
        Fate::Killed | Fate::Elsewhere => deeds.kills > 0 && deeds.restores > 0,
        Fate::Rescaled => deeds.rescales > 0,
    };
    if done { Ok(()) } else { Err(format!("  nothing happened to the job: {deeds}\n")) }
}

fn check(file: &TestFile, world: World, outcome: &Outcome, failures: &mut Vec<String>) {
    failures.extend(check_deeds(file, world, &outcome.deeds).err());
    for expectation in &file.expectations {
        if let Err(why) = check_one(expectation, world, outcome) {
            failures.push(why);
        }
    }
}

fn check_one(expectation: &Expectation, world: World, outcome: &Outcome) -> Result<(), String> {
    // A killed job judges rows again that it reads again: each at least once, and never otherwise than before.
    let count = |what: &str, expected: u64, found: u64| {
        let repeated = !world.counts_rows_once() && expected > 0 && found > expected;
        if expected == found || repeated {
            Ok(())
        } else {
            Err(format!("  expected {expected} {what} rows, found {found}\n"))
        }
    };
    match expectation {
        Expectation::Final { table, rows } => {
            let changes =
                compare::changes(output(outcome, table.as_deref())?).map_err(|e| format!("  {e}\n"))?;
            let net = compare::net(&changes).map_err(|e| format!("  {e}\n"))?;
            compare::compare_sets(rows, &net)
        }
        Expectation::Changelog { table, rows } if world == World::ROW_BY_ROW => {
            let changes =
                compare::changes(output(outcome, table.as_deref())?).map_err(|e| format!("  {e}\n"))?;
            compare::compare_changes(rows, &changes)
        }
        Expectation::Late(expected) => count("late", *expected, outcome.late),
        Expectation::Refused(expected) => count("refused", *expected, outcome.refused),
        // Checked in another world, and before.
        Expectation::Changelog { .. } | Expectation::Error(_) => Ok(()),
    }
}

fn output<'a>(outcome: &'a Outcome, table: Option<&str>) -> Result<&'a [RecordBatch], String> {
    let tables = || outcome.outputs.keys().map(|t| format!("'{t}'")).collect::<Vec<_>>().join(", ");
    match (table, outcome.outputs.len()) {
        (Some(table), _) => outcome
            .outputs
            .get(table)
            .map(Vec::as_slice)
            .ok_or_else(|| format!("  no sink is named '{table}'; there are {}\n", tables())),
        (None, 1) => Ok(outcome.outputs.values().next().map(Vec::as_slice).unwrap_or_default()),
        (None, _) => Err(format!("  there are several sinks, so name one: {}\n", tables())),
    }
}
