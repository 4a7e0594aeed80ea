//! Flags that make no sense, and where they come from.

use crate::job::{COUNTS, Job, refused, stderr, thalweg};

#[test]
fn a_job_that_is_kept_needs_a_name() {
    let job = Job::new(COUNTS);
    let run =
        |words: &[&str]| thalweg(job.folder()).arg("run").args(words).output().expect("the binary runs");
    for words in [&["-e", COUNTS, "--state-dir", "state"][..], &["-", "--state-dir", "state"]] {
        refused(&run(words), 2, "invalid-setting", &["needs a name", "--name"]);
    }
    for name in ["", "  ", "a\nb", &"x".repeat(200)] {
        refused(&run(&["job.sql", "--state-dir", "state", "--name", name]), 2, "invalid-setting", &["name"]);
    }
    assert!(!job.path("state").exists(), "nothing is made of what is refused");
}

#[test]
fn flags_without_a_state_folder_or_against_each_other_are_refused() {
    let job = Job::new(COUNTS);
    for flags in [
        &["--name", "x"][..],
        &["--retain", "2"],
        &["--savepoint-on-stop", "x"],
        &["--restore", "x"],
        &["--allow-dropped-state"],
    ] {
        let output = thalweg(job.folder()).args(["run", "job.sql"]).args(flags).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains("--state-dir"), "{flags:?}: {}", stderr(&output));
    }
    for (flags, word) in [
        (&["--checkpoint-interval", "0s"][..], "checkpoint-interval"),
        (&["--checkpoint-interval", "often"], "often"),
        (&["--checkpoint-interval", "1s", "--set", "checkpoint-interval=2s"], "the same thing"),
        (&["--restore", ""], "--restore"),
        (&["--savepoint-on-stop", "a\tb"], "--savepoint-on-stop"),
    ] {
        refused(&job.run(flags), 2, "invalid-setting", &[word]);
    }
    assert_eq!(job.run(&["--retain", "0"]).status.code(), Some(2));
    assert!(!job.path("state").exists(), "nothing is made of what is refused");
}

#[test]
fn the_environment_says_the_same_as_flags() {
    let job = Job::new(&COUNTS.replace("'2000'", "'100000', message_count = '100'"));
    let output = thalweg(job.folder())
        .args(["run", "job.sql"])
        .envs([
            ("THALWEG_STATE_DIR", "elsewhere"),
            ("THALWEG_NAME", "named"),
            ("THALWEG_CHECKPOINT_INTERVAL", "1s"),
        ])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(job.path("elsewhere/named/epochs").is_dir(), "{}", stderr(&output));
}
