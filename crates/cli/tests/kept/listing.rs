//! `thalweg state`: what is kept, seen from outside while jobs run.

use serde_json::Value;

use crate::job::{COUNTS, Job, refused, stderr, stdout, thalweg};

fn json(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_str(&stdout(output)).expect("JSON")
}

#[test]
fn jobs_and_their_checkpoints_are_listed_while_they_run() {
    let job = Job::new(COUNTS);
    assert_eq!(job.state(&["ls", "state"]).status.code(), Some(4), "there is no such folder");
    let stopped = job.start(&["--name", "weather, daily", "--savepoint-on-stop", "monday"]);
    while !job.path("state/weather=2c=20daily/epochs/0000000002").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    stopped.interrupt();
    let running = job.start(&["--parallelism", "2"]);
    job.until_epoch(4);

    let jobs = json(&job.state(&["ls", "state", "--json"]));
    assert_eq!(jobs[0]["name"], "job");
    assert_eq!(jobs[0]["newest"]["parallelism"], 2);
    assert_eq!((&jobs[1]["name"], &jobs[1]["savepoints"][0]), (&"weather, daily".into(), &"monday".into()));
    let shown = stdout(&job.state(&["ls", "state"]));
    assert!(shown.contains("weather, daily") && shown.contains("monday") && !shown.contains('{'), "{shown}");

    let listing = json(&job.state(&["ls", "state", "--name", "job", "--json"]));
    let epochs = listing["epochs"].as_array().expect("epochs");
    assert!(!epochs.is_empty() && epochs.iter().all(|e| e["settled"] == "complete"), "{listing}");
    let shown = stdout(&job.state(&["ls", "state", "--name", "weather, daily"]));
    assert!(shown.contains("savepoint 'monday'") && shown.contains("complete"), "{shown}");

    running.kill();
    let again = job.start(&[]);
    job.until_epoch(job.epochs().pop().expect("some") + 1);
    let shown = stdout(&job.state(&["ls", "state", "--name", "job"]));
    assert!(shown.contains("aborted"), "the epoch that was under way when it was killed: {shown}");
    again.interrupt();
}

#[test]
fn a_checkpoint_is_shown_with_its_tables_and_positions() {
    let job = Job::stopped();
    let shown = stdout(&job.state(&["show", "state"]));
    for word in
        ["'job' in folder 'state': epoch ", "counts/window-aggregate", "numbers", "1 subtask", "life 1"]
    {
        assert!(shown.contains(word), "nothing of '{word}': {shown}");
    }
    assert!(!shown.contains('{'), "{shown}");
    let parsed = json(&job.state(&["show", "state", "--json"]));
    let operators = parsed["operators"].as_array().expect("operators");
    let source = operators.iter().find(|o| o["operator"] == "numbers/source").expect("the source");
    assert!(source["splits"][0]["position"].is_string(), "{source}");
    let sink = operators.iter().find(|o| o["committables"] == 1).expect("the file's length");
    assert_eq!(sink["operator"], "counts/sink");

    refused(&job.state(&["show", "state", "--epoch", "99999"]), 4, "checkpoint-not-found", &["99999"]);
    refused(&job.state(&["show", "state", "--savepoint", "x"]), 4, "checkpoint-not-found", &["'x'"]);
    refused(
        &job.state(&["show", "state", "--name", "jib"]),
        4,
        "checkpoint-not-found",
        &["did you mean 'job'?"],
    );
    assert_eq!(job.state(&["show", "state", "--epoch", "1", "--savepoint", "x"]).status.code(), Some(2));
}

/// What is exported holds the counts of the windows that are open, to be read by any tool: by this one too.
#[test]
fn tables_are_exported_as_parquet_while_the_job_runs() {
    let job = Job::new(&COUNTS.replace("'1 second'", "'10 days'"));
    let running = job.start(&["--parallelism", "2", "--retain", "1"]);
    job.until_epoch(4);
    let exported =
        json(&job.state(&["export", "state", "out", "--operator", "counts/window-aggregate", "--json"]));
    running.interrupt();
    let files = exported.as_array().expect("files");
    let panes = files.iter().find(|file| file["table"] == "panes").expect("a file");
    let rows = panes["rows"].as_u64().expect("a count");
    assert!(rows >= 7, "one window, seven keys, added up from epoch to epoch: {exported}");
    let bytes = std::fs::read(job.path(panes["file"].as_str().expect("a path"))).expect("the file");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));

    let again = job.state(&["export", "state", "out"]);
    refused(&again, 1, "io", &["cannot be written", "an empty folder"]);
    let none = job.state(&["export", "state", "more", "--operator", "nobody"]);
    refused(&none, 2, "invalid-setting", &["'nobody'", "counts/window-aggregate"]);
    let whole = job.state(&["export", "state", "whole"]);
    assert!(stdout(&whole).contains("counts.window-aggregate."), "{}{}", stdout(&whole), stderr(&whole));
}

#[test]
fn what_is_damaged_is_listed_beside_what_is_not() {
    let job = Job::stopped();
    let epoch = *job.epochs().last().expect("some");
    std::fs::write(job.manifest(epoch), "nonsense").expect("room");
    let listing = job.state(&["ls", "state", "--name", "job"]);
    assert!(listing.status.success(), "{}", stderr(&listing));
    let shown = stdout(&listing);
    assert!(
        shown.contains("unreadable") && shown.contains("is damaged") && shown.contains("complete"),
        "{shown}"
    );
    let jobs = job.state(&["ls", "state"]);
    assert!(jobs.status.success() && stdout(&jobs).contains("is damaged"), "{}", stdout(&jobs));
    refused(&job.state(&["show", "state"]), 1, "checkpoint-damaged", &[&format!("epochs/{epoch:010}")]);
}

#[test]
fn a_listing_that_nobody_reads_ends_in_silence() {
    let job = Job::stopped();
    std::fs::create_dir(job.path("empty")).expect("room");
    for arguments in [
        &["ls", "empty"][..],
        &["ls", "state"],
        &["ls", "state", "--json"],
        &["ls", "state", "--name", "job"],
        &["ls", "state", "--name", "job", "--json"],
        &["show", "state"],
        &["show", "state", "--json"],
        &["export", "state", "out"],
        &["export", "state", "more", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = thalweg(job.folder()).arg("state").args(arguments).stdout(writer).output();
        let output = output.expect("the binary runs");
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn a_savepoint_is_given_up() {
    let job = Job::new(COUNTS);
    let running = job.start(&["--savepoint-on-stop", "once"]);
    job.until_epoch(2);
    running.interrupt();
    assert!(job.state(&["delete-savepoint", "state", "once"]).status.success());
    refused(&job.state(&["delete-savepoint", "state", "once"]), 4, "checkpoint-not-found", &["'once'"]);
    refused(&job.run(&["--restore", "once"]), 4, "checkpoint-not-found", &["'once'"]);
}

#[test]
fn reading_makes_nothing() {
    let job = Job::new(COUNTS);
    job.write("file", "no folder");
    for location in ["nowhere", "file:///nowhere/at/all"] {
        refused(&job.state(&["ls", location]), 4, "file-not-found", &["there is no folder"]);
    }
    refused(&job.state(&["ls", "file"]), 3, "store-unfit", &["is a file"]);
    std::fs::create_dir(job.path("empty")).expect("room");
    assert!(stdout(&job.state(&["ls", "empty"])).contains("no jobs in folder 'empty'"));
    refused(&job.state(&["show", "empty"]), 4, "checkpoint-not-found", &["no job"]);
    let help = thalweg(job.folder()).args(["state", "--help"]).output().expect("the binary runs");
    assert!(stdout(&help).contains("delete-savepoint"));
    assert_eq!(
        std::fs::read_dir(job.folder()).expect("the folder").count(),
        3,
        "a script, a file and a folder"
    );
}
