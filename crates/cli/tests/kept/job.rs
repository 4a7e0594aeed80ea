//! A job in a folder of its own, and its processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers that come without an end, counted by remainder and window.
pub(crate) const COUNTS: &str = "\
CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '2000');
CREATE TABLE counts (begin TIMESTAMP, k BIGINT, n BIGINT) WITH (connector = 'single_file', path = 'counts.jsonl', type = 'sink', format = 'json');
INSERT INTO counts SELECT w.start, k, n FROM (SELECT tumble(INTERVAL '1 second') AS w, counter % 7 AS k, count(*) AS n FROM numbers GROUP BY w, k);
";

pub(crate) fn thalweg(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.current_dir(folder).stdin(Stdio::null());
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("THALWEG_")) {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// That a command failed with this exit code and error, and said each of these words.
#[track_caller]
pub(crate) fn refused(output: &Output, exit: i32, code: &str, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    assert!(said.contains(&format!("error[{code}]")), "not '{code}': {said}");
    for word in words {
        assert!(said.contains(word), "nothing of '{word}': {said}");
    }
}

/// A folder with the script `job.sql` and the state folder `state`.
pub(crate) struct Job(tempfile::TempDir);

impl Job {
    pub(crate) fn new(script: &str) -> Self {
        let job = Self(tempfile::tempdir().expect("a temporary folder"));
        job.write("job.sql", script);
        job
    }

    /// A job of [`COUNTS`] that has made a few checkpoints and was stopped.
    pub(crate) fn stopped() -> Self {
        let job = Self::new(COUNTS);
        let running = job.start(&[]);
        job.until_epoch(3);
        running.interrupt();
        job
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("room");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    /// `thalweg run job.sql --state-dir state`, with more.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = thalweg(self.folder());
        command.args(["run", "job.sql", "--state-dir", "state"]);
        if !more.contains(&"--checkpoint-interval") {
            command.args(["--checkpoint-interval", "50ms"]);
        }
        command.args(more);
        command
    }

    /// Runs it until it ends by itself.
    #[track_caller]
    pub(crate) fn run(&self, more: &[&str]) -> Output {
        self.start(more).wait()
    }

    pub(crate) fn start(&self, more: &[&str]) -> Running {
        Running::start(self.command(more))
    }

    /// `thalweg state …` in the job's folder.
    pub(crate) fn state(&self, words: &[&str]) -> Output {
        thalweg(self.folder()).arg("state").args(words).output().expect("the binary runs")
    }

    /// The numbers of the epochs that are settled.
    pub(crate) fn epochs(&self) -> Vec<u64> {
        let listed = fs::read_dir(self.path("state/job/epochs")).map(|entries| {
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect::<Vec<u64>>()
        });
        let mut epochs = listed.unwrap_or_default();
        epochs.sort_unstable();
        epochs
    }

    #[track_caller]
    pub(crate) fn until_epoch(&self, epoch: u64) {
        let began = Instant::now();
        while self.epochs().last().is_none_or(|&newest| newest < epoch) {
            assert!(began.elapsed() < PATIENCE, "epoch {epoch} does not come");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for words in a file, and gives all that is in it.
    #[track_caller]
    pub(crate) fn until_said(&self, file: &str, words: &str) -> String {
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(self.path(file)).unwrap_or_default();
            if said.contains(words) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "nothing of '{words}': {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The file of an epoch.
    pub(crate) fn manifest(&self, epoch: u64) -> PathBuf {
        self.path(&format!("state/job/epochs/{epoch:010}"))
    }
}

/// A process of a job. It is killed when it goes out of scope.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.as_ref().expect("it runs").id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// What it said, once it has ended.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Output {
        let began = Instant::now();
        let mut child = self.0.take().expect("it runs");
        while child.try_wait().expect("a child").is_none() {
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                let output = child.wait_with_output().expect("a child");
                panic!("it does not end: {}", stderr(&output));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().expect("a child")
    }

    /// Stops it as Ctrl-C does.
    #[track_caller]
    pub(crate) fn interrupt(self) -> Output {
        self.signal("-INT");
        let output = self.wait();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        output
    }

    #[track_caller]
    pub(crate) fn kill(self) -> Output {
        self.signal("-KILL");
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
