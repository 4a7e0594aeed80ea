//! Where a job goes on, and what it says of that.

use std::fs;
use std::io::Write;

use crate::job::{COUNTS, Job, refused, stderr};

#[test]
fn a_job_goes_on_where_it_stopped_or_died_and_says_where_that_is() {
    let job = Job::new(COUNTS);
    let running = job.start(&["--parallelism", "2"]);
    job.until_epoch(3);
    let said = stderr(&running.interrupt());
    let newest = job.epochs().pop().expect("it made some");
    assert!(said.starts_with("'job' in folder 'state': a fresh start\n"), "{said}");
    assert!(said.contains(&format!("stopped at epoch {newest}")), "{said}");

    let running = job.start(&["--parallelism", "3"]);
    job.until_epoch(newest + 3);
    let said = stderr(&running.kill());
    assert!(said.contains(&format!("goes on from epoch {newest}, ")), "{said}");
    assert!(said.contains(" s old, ") && said.contains("iB, 2 subtasks before\n"), "{said}");

    let running = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    let said = stderr(&running.interrupt());
    assert!(said.contains("3 subtasks before\n"), "{said}");
    assert!(said.lines().count() == 2, "an unchanged script needs no words: {said}");
}

#[test]
fn one_folder_and_name_is_run_by_one_process() {
    let job = Job::new(COUNTS);
    let first = job.start(&[]);
    job.until_epoch(2);
    let second = job.run(&[]);
    refused(&second, 5, "job-in-use", &[&format!("process {}", first.id()), "state/job", "another --name"]);
    let newest = job.epochs().pop().expect("it made some");
    job.until_epoch(newest + 2);
    let beside = job.start(&["--name", "beside"]);
    while !job.path("state/beside/epochs").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    beside.interrupt();
    first.interrupt();
}

#[test]
fn a_savepoint_is_kept_when_the_job_stops_and_is_restored() {
    let job = Job::new(COUNTS);
    let running = job.start(&["--savepoint-on-stop", "before the change"]);
    job.until_epoch(2);
    let said = stderr(&running.interrupt());
    assert!(said.contains("kept as savepoint 'before the change'"), "{said}");
    let kept = job.epochs().pop().expect("some");
    let counts = fs::metadata(job.path("counts.jsonl")).expect("the sink").len();

    let taken = job.run(&["--savepoint-on-stop", "before the change"]);
    refused(&taken, 5, "conflict", &["'before the change' already"]);

    let running = job.start(&["--retain", "1"]);
    job.until_epoch(kept + 8);
    running.interrupt();
    let running = job.start(&["--restore", "before the change"]);
    job.until_epoch(job.epochs().pop().expect("some") + 1);
    let said = stderr(&running.interrupt());
    assert!(said.contains(&format!("savepoint 'before the change' of epoch {kept}, ")), "{said}");
    assert!(fs::metadata(job.path("counts.jsonl")).expect("the sink").len() >= counts);

    refused(&job.run(&["--restore", "never"]), 4, "checkpoint-not-found", &["'never'"]);
}

#[test]
fn a_finished_job_says_so_and_undoes_what_came_behind_its_end() {
    let script = COUNTS.replace("'2000'", "'100000', message_count = '5000'").replace("1 second", "100 days");
    let job = Job::new(&script);
    assert!(job.run(&[]).status.success());
    let counts = job.read("counts.jsonl");
    assert_eq!(counts.lines().count(), 7, "one window, seven keys: {counts}");

    let mut file = fs::OpenOptions::new().append(true).open(job.path("counts.jsonl")).expect("the sink");
    writeln!(file, "written by a process that died before it could be counted").expect("room");
    let again = job.run(&["--parallelism", "2"]);
    assert!(again.status.success(), "{}", stderr(&again));
    let said = stderr(&again);
    let how_long = said.split_once("'job' in folder 'state': finished ").map(|(_, rest)| rest);
    let (seconds, _) =
        how_long.and_then(|rest| rest.split_once(" s ago; all input was read by epoch ")).expect(&said);
    assert!(seconds.parse::<u64>().is_ok(), "{said}");
    assert_eq!(job.read("counts.jsonl"), counts);
}

#[test]
fn a_changed_script_is_told_what_is_kept_new_and_dropped() {
    let job = Job::stopped();
    // The same operators, another text.
    job.write("job.sql", &format!("-- counts\n{COUNTS}"));
    let running = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    let said = stderr(&running.interrupt());
    assert!(said.contains("the script has changed; all state is kept\n"), "{said}");

    // One more query.
    let more = format!(
        "{COUNTS}CREATE TABLE sums (begin TIMESTAMP, s BIGINT) WITH (connector = 'single_file', path = 'sums.jsonl', type = 'sink', format = 'json');\n\
         INSERT INTO sums SELECT w.start, s FROM (SELECT tumble(INTERVAL '1 second') AS w, sum(counter) AS s FROM numbers GROUP BY w);\n"
    );
    job.write("job.sql", &more);
    let running = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    let said = stderr(&running.interrupt());
    assert!(said.contains("  kept     'numbers/source'"), "{said}");
    assert!(said.contains("  kept     'counts/window-aggregate'"), "{said}");
    assert!(said.contains("  new      'sums/window-aggregate'"), "{said}");
    assert!(!said.contains("dropped"), "{said}");

    // And without it again: its state has no place.
    job.write("job.sql", COUNTS);
    let gone = job.run(&[]);
    refused(
        &gone,
        5,
        "state-dropped",
        &["'sums/window-aggregate'", "no operator stands", "--allow-dropped-state"],
    );
    let running = job.start(&["--allow-dropped-state"]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    let said = stderr(&running.interrupt());
    assert!(said.contains("  dropped  'sums/window-aggregate'"), "{said}");
    let running = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    running.interrupt();
}

#[test]
fn a_script_whose_types_changed_does_not_take_what_it_cannot_read() {
    let job = Job::stopped();
    job.write(
        "job.sql",
        &COUNTS.replace("counter % 7 AS k", "CAST(counter % 7 AS TEXT) AS k").replace("k BIGINT", "k TEXT"),
    );
    let before = job.read("counts.jsonl");
    let changed = job.run(&[]);
    refused(&changed, 5, "state-dropped", &["'counts/window-aggregate'", "keeps something else"]);
    assert_eq!(job.read("counts.jsonl"), before, "nothing is written");
    // What it was still goes on.
    job.write("job.sql", COUNTS);
    let running = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 2);
    running.interrupt();
}

/// `timeout`, for one, sends its signal to the process and to its group.
#[test]
fn two_signals_at_once_are_one() {
    let job = Job::new(COUNTS);
    for _ in 0..3 {
        let running = job.start(&[]);
        job.until_epoch(job.epochs().pop().unwrap_or_default() + 2);
        running.signal("-INT");
        let output = running.interrupt();
        assert!(stderr(&output).contains("stopped at epoch "), "{}", stderr(&output));
    }
}
