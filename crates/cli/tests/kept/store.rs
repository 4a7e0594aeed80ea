//! Stores that cannot be used, are full, or do not answer.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::job::{COUNTS, Job, Running, refused, stderr, thalweg};

fn run_in(job: &Job, location: &str) -> std::process::Output {
    thalweg(job.folder()).args(["run", "job.sql", "--state-dir", location]).output().expect("the binary runs")
}

#[test]
fn a_state_folder_that_cannot_be_one_is_refused() {
    let job = Job::new(COUNTS);
    job.write("file", "no folder");
    refused(&run_in(&job, "file"), 3, "store-unfit", &["'file' is a file"]);
    refused(&run_in(&job, ""), 2, "invalid-setting", &["no name"]);
    refused(&run_in(&job, "ftp://somewhere/x"), 3, "store-unfit", &["ftp"]);
    refused(&run_in(&job, "s3://"), 3, "store-unfit", &["bucket"]);
    // Nobody can make a folder there, root neither.
    refused(&run_in(&job, "/sys/thalweg-state"), 1, "store-failed", &["/sys/thalweg-state"]);
    assert!(!job.path("counts.jsonl").exists(), "nothing ran");
}

/// More keys come with each epoch, so that state grows.
const GROWING: &str = "\
CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '20000');
CREATE TABLE seen (k BIGINT PRIMARY KEY, n BIGINT) WITH (connector = 'blackhole');
INSERT INTO seen SELECT counter AS k, count(*) AS n FROM numbers GROUP BY counter;
";

/// Checkpoints fail visibly while rows flow on; the job goes back to the last one that was made.
#[test]
fn a_disk_that_fills_up_fails_checkpoints_and_not_the_job() {
    let job = Job::new(GROWING);
    let thalweg = env!("CARGO_BIN_EXE_thalweg");
    let run = format!("exec '{thalweg}' run job.sql --state-dir state --checkpoint-interval 50ms 2>said");
    let small_disk = format!("mkdir -p state && mount -t tmpfs -o size=512k tmpfs state && {run}");
    // The mount is seen by this process alone, and goes with it.
    let may_mount = ["unshare -m true", "unshare -m mount -t tmpfs tmpfs state"];
    fs::create_dir(job.path("state")).expect("room");
    let may_mount = may_mount.iter().all(|line| {
        let done = Command::new("sh").args(["-c", line]).current_dir(job.folder()).output();
        done.is_ok_and(|done| done.status.success())
    });
    let mut command = if may_mount {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &small_disk]);
        command
    } else {
        eprintln!("mounting is not allowed here: files that must not grow stand in for a full disk");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f 64; {run}")]);
        command
    };
    command.current_dir(job.folder());
    let running = Running::start(command);
    for words in ["a fresh start", "warning: checkpoints fail", "the store is full"] {
        job.until_said("said", words);
    }
    running.signal("-INT");
    // The last checkpoint waits for room.
    let said = job.until_said("said", "the last checkpoint cannot be written yet");
    running.signal("-INT");
    assert_eq!(running.wait().status.code(), Some(131), "{said}");
    job.until_said("said", "aborted; 'job' goes on");
    if !may_mount {
        let again = job.start(&[]);
        job.until_epoch(job.epochs().pop().expect("some were made") + 1);
        let again = stderr(&again.interrupt());
        assert!(again.contains("goes on from epoch "), "{said}\n{again}");
    }
}

#[test]
fn a_service_that_nobody_runs_is_told_within_bounded_time() {
    let job = Job::new(COUNTS);
    let began = Instant::now();
    let output = thalweg(job.folder())
        .args([
            "run",
            "job.sql",
            "--state-dir",
            "s3://bucket/prefix?endpoint=http://127.0.0.1:9&allow_http=true",
        ])
        .envs([
            ("AWS_ACCESS_KEY_ID", "nobody"),
            ("AWS_SECRET_ACCESS_KEY", "secret-word"),
            ("AWS_REGION", "x"),
        ])
        .output()
        .expect("the binary runs");
    refused(&output, 1, "store-failed", &["'job' waits for s3://bucket/prefix"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(!stderr(&output).contains("secret-word"));
}
