//! `thalweg run` is killed at random moments until it is through: no row is lost and none doubled.
//!
//! Each number of a file goes to another file, and into windows whose sums go to a third one. The
//! process gets SIGKILL, now and then Ctrl-C, at moments drawn from a seed, and begins again with
//! another parallelism. `THALWEG_SEED` runs one seed, `THALWEG_TEST_SCALE` more kills.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Lines of the input.
const ROWS: u64 = 300_000;
/// Kills of one test, and the most of a long one.
const KILLS: u64 = 25;
const KILLS_MAX: u64 = 300;
/// No job of one input lives more often: it would not come forward.
const LIVES_MAX: u32 = 400;
/// A life that nobody kills is over by then, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A small generator: the moments have to be the same for the same seed, and nothing else.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// A folder with a job: its input, its script, its results.
struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut input =
            std::io::BufWriter::new(fs::File::create(folder.path().join("in.jsonl")).expect("a file"));
        for n in 0..ROWS {
            // Every 50th row is late by up to half a minute, within the watermark's delay.
            let late = if n % 50 == 7 { n * 31 % 30_000 } else { 0 };
            writeln!(input, "{{\"n\":{n},\"t\":{}}}", 1_700_000_000_000 + n * 100 - late).expect("room");
        }
        input.flush().expect("room");
        let place = |name: &str| folder.path().join(name).display().to_string();
        let script = format!(
            "CREATE TABLE input (n BIGINT NOT NULL, t TIMESTAMP NOT NULL, WATERMARK FOR t AS t - INTERVAL '30 seconds')\n\
               WITH (connector = 'single_file', path = '{}', type = 'source', format = 'json');\n\
             CREATE TABLE copy (n BIGINT) WITH (connector = 'single_file', path = '{}', type = 'sink', format = 'json');\n\
             CREATE TABLE sums (begin TIMESTAMP, k BIGINT, rows BIGINT, sum BIGINT)\n\
               WITH (connector = 'single_file', path = '{}', type = 'sink', format = 'json');\n\
             INSERT INTO copy SELECT n FROM input;\n\
             INSERT INTO sums SELECT w.start, k, rows, sum FROM (\n\
               SELECT tumble(INTERVAL '1 minute') AS w, n % 13 AS k, count(*) AS rows, sum(n) AS sum\n\
               FROM input GROUP BY w, k);\n",
            place("in.jsonl"),
            place("copy.jsonl"),
            place("sums.jsonl"),
        );
        fs::write(folder.path().join("job.sql"), script).expect("room");
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
        command.args(["run".as_ref(), self.path("job.sql").as_os_str()]);
        for variable in ["THALWEG_PARALLELISM", "THALWEG_STATE_DIR", "THALWEG_NAME", "THALWEG_RETAIN"] {
            command.env_remove(variable);
        }
        command
    }

    /// One life with state, which ends by itself or by `end`.
    fn live(&self, parallelism: u64, end: Option<End>) -> Life {
        let log = fs::File::create(self.path("log")).expect("room");
        let mut child = self
            .command()
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(["--checkpoint-interval", "50ms", "--parallelism", &parallelism.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let born = Instant::now();
        let mut end = end;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if let Some(due) = end.take_if(|end| born.elapsed() >= end.after) {
                let sent = Command::new("kill").args([due.signal, &child.id().to_string()]).status();
                // It may have ended just now.
                sent.expect("kill runs");
            }
            assert!(born.elapsed() < PATIENCE, "a life does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        };
        Life { status, said: self.log() }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).expect("the sink's file");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// How a life ends that does not end by itself.
#[derive(Clone, Copy, Debug)]
struct End {
    after: Duration,
    signal: &'static str,
}

struct Life {
    status: ExitStatus,
    said: String,
}

impl Life {
    /// By SIGKILL, or by a Ctrl-C that came before it listened.
    fn killed(&self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        matches!(self.status.signal(), Some(9 | 2))
    }
}

/// Runs without a state folder and without an end: what has to come out, and how long it took.
fn uninterrupted() -> (Vec<String>, Duration) {
    let (job, began) = (Job::new(), Instant::now());
    let output = job.command().output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let took = began.elapsed();
    check_copy(&job, "uninterrupted");
    (job.lines("sums.jsonl"), took)
}

/// Every number once.
fn check_copy(job: &Job, what: &str) {
    let mut seen = vec![0_u32; ROWS as usize];
    for line in job.lines("copy.jsonl") {
        let n: usize = line.strip_prefix("{\"n\":").and_then(|l| l.strip_suffix('}')).map_or_else(
            || panic!("{what}: half a row: {line}"),
            |n| n.parse().unwrap_or_else(|_| panic!("{what}: half a row: {line}")),
        );
        seen[n] += 1;
    }
    let lost = seen.iter().filter(|&&count| count == 0).count();
    let doubled = seen.iter().filter(|&&count| count > 1).count();
    assert_eq!((lost, doubled), (0, 0), "{what}: lost and doubled rows");
}

/// Lets a job live until it is through; answers how often it was killed.
fn live_through(seed: u64, kills_max: u64, took: Duration, sums: &[String]) -> u64 {
    let (job, mut dice) = (Job::new(), Dice(seed));
    let (mut kills, mut lives) = (0, 0);
    loop {
        lives += 1;
        assert!(lives <= LIVES_MAX, "seed {seed}: {LIVES_MAX} lives and not through: {}", job.log());
        let parallelism = dice.roll(4) + 1;
        let after = took.mul_f64(dice.roll(1_000) as f64 / 1_000.0 * 0.45);
        let signal = if dice.roll(6) == 0 { "-INT" } else { "-KILL" };
        let end = (kills < kills_max).then_some(End { after, signal });
        let life = job.live(parallelism, end);
        let what = format!("seed {seed}, life {lives} with parallelism {parallelism} and {end:?}");
        assert!(!life.said.contains("error["), "{what}: {}", life.said);
        if life.killed() {
            kills += 1;
            continue;
        }
        match life.status.code() {
            Some(0) => break,
            Some(130) => {}
            other => panic!("{what}: exit {other:?}: {}", life.said),
        }
    }
    check_copy(&job, &format!("seed {seed}"));
    assert_eq!(job.lines("sums.jsonl"), sums, "seed {seed}: the windows are others");
    let again = job.live(1, None);
    assert!(again.said.contains("finished"), "seed {seed}: {}", again.said);
    check_copy(&job, &format!("seed {seed}, finished"));
    println!("seed {seed}: {kills} kills in {lives} lives");
    kills
}

#[test]
fn killed_at_random_moments_a_job_loses_and_doubles_nothing() {
    let scale: u64 = std::env::var("THALWEG_TEST_SCALE").map_or(1, |s| s.parse().expect("a number"));
    let wanted = (KILLS * scale).min(KILLS_MAX);
    let (sums, took) = uninterrupted();
    if let Ok(seed) = std::env::var("THALWEG_SEED") {
        live_through(seed.parse().expect("THALWEG_SEED is a number"), u64::MAX, took, &sums);
        return;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let mut seed = u64::from(now.subsec_nanos());
    let mut kills = 0;
    while kills < wanted {
        kills += live_through(seed, wanted - kills, took, &sums);
        seed += 1;
    }
}

/// The oracle sees what it is there for.
#[test]
#[should_panic(expected = "lost and doubled rows")]
fn a_doubled_row_is_seen() {
    let job = Job::new();
    let rows: String = (0..ROWS).map(|n| format!("{{\"n\":{}}}\n", n.max(1))).collect();
    fs::write(Path::new(&job.path("copy.jsonl")), rows).expect("room");
    check_copy(&job, "planted");
}
