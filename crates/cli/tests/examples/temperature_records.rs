//! Temperature records: a SQL view as a stream of a program.

use std::collections::BTreeMap;
use std::path::Path;

use crate::process::example;

const WEATHER: &str = include_str!("../../../../examples/data/nyc_weather_2013q1.jsonl");

#[test]
fn the_last_record_of_each_airport_is_its_warmest_hour() {
    let mut warmest: BTreeMap<String, f64> = BTreeMap::new();
    for line in WEATHER.lines() {
        let hour: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let Some(temperature) = hour["temp_f"].as_f64() else { continue };
        let airport = hour["airport"].as_str().expect("an airport").to_owned();
        let known = warmest.entry(airport).or_insert(f64::NEG_INFINITY);
        *known = known.max(temperature);
    }
    for parallelism in ["1", "3"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let output = example("temperature_records")
            .args(["run", "--parallelism", parallelism])
            .current_dir(root)
            .output()
            .expect("the example runs");
        assert!(output.status.success(), "{output:?}");
        let mut last: BTreeMap<String, f64> = BTreeMap::new();
        for line in String::from_utf8(output.stdout).expect("text").lines() {
            let mut words = line.rsplit(' ');
            let temperature = words.next().and_then(|word| word.parse().ok()).expect("a temperature");
            let before = last.insert(words.next().expect("an airport").to_owned(), temperature);
            assert!(before.is_none_or(|before| before < temperature), "{line}");
        }
        assert_eq!(last.len(), 3);
        let close = |airport: &str| (last[airport] - warmest[airport]).abs() < 0.01;
        assert!(last.keys().all(|airport| close(airport)), "{last:?} {warmest:?}");
    }
}

/// A program has the flags of a script: its job is kept under the application's name.
#[test]
fn a_program_that_is_kept_knows_that_it_is_finished() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let state = tempfile::tempdir().expect("a temporary folder");
    let run = || {
        let output = example("temperature_records")
            .args(["run", "--state-dir"])
            .arg(state.path())
            .current_dir(&root)
            .output()
            .expect("the example runs");
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8(output.stdout).expect("text"), String::from_utf8(output.stderr).expect("text"))
    };
    let (records, said) = run();
    assert!(!records.is_empty() && said.contains("'temperature records' in folder"), "{said}");
    let (records, said) = run();
    assert!(records.is_empty() && said.contains("finished "), "{said}");
}
