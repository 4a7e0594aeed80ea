//! The binary as a user runs it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn thalweg() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.env_remove("THALWEG_PARALLELISM");
    command
}

fn run(arguments: &[&str]) -> Output {
    thalweg().args(arguments).stdin(Stdio::null()).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A source of lines in a file, as a table `t`.
fn table(path: &Path, columns: &str, more: &str) -> String {
    format!(
        "CREATE TABLE t ({columns}) WITH (connector = 'single_file', path = '{}', type = 'source', format = 'json'{more});\n",
        path.display()
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        path
    }
}

/// Runs a script over a file with these bytes.
fn over(bytes: impl AsRef<[u8]>, columns: &str, options: &str, query: &str, arguments: &[&str]) -> Output {
    let folder = Folder::new();
    let path = folder.file("in.jsonl", bytes);
    let script = table(&path, columns, options) + query;
    let mut all = vec!["run", "-e", script.as_str()];
    all.extend(arguments);
    run(&all)
}

#[test]
fn the_main_job_ends_by_itself_with_rows() {
    let output = run(&["run", "examples/weather.sql"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(rows.len(), 42, "14 weeks (the first and last in part) at three airports");
    assert!(rows[0].starts_with("{\"week\":\"2012-12-27T00:00:00\""), "{}", rows[0]);
}

#[test]
fn results_do_not_depend_on_parallelism_or_batch_size() {
    let rows = |arguments: &[&str]| {
        let output = run(&[&["run", "examples/weather.sql"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let mut rows: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
        rows.sort();
        rows
    };
    let expected = rows(&[]);
    for arguments in [
        ["--parallelism", "4", "--set", "batch-rows-max=1"],
        ["--parallelism", "4", "--set", "batch-rows-max=3"],
        ["--parallelism", "1", "--set", "batch-rows-max=3"],
        ["--parallelism", "4", "--set", "batch-rows-max=8192"],
    ] {
        assert_eq!(rows(&arguments), expected, "{arguments:?}");
    }
}

#[test]
fn late_rows_are_the_same_at_every_batch_size_and_parallelism() {
    // A jagged sequence: every seventh row is up to two minutes old.
    let lines: String = (0..5_000i64)
        .map(|i| {
            let age = if i % 7 == 3 { (i * 31) % 120 } else { 0 };
            format!("{{\"k\": {}, \"time\": {}}}\n", i % 13, 1_700_000_000_000 + (i - age) * 1_000)
        })
        .collect();
    let columns = "k BIGINT, time TIMESTAMP NOT NULL, WATERMARK FOR time AS time - INTERVAL '10 seconds'";
    let query = "SELECT w.start AS s, k, n FROM (SELECT tumble(INTERVAL '30 seconds') AS w, k, count(*) AS n FROM t GROUP BY w, k)";
    let mut seen = Vec::new();
    for (parallelism, batch) in [("1", "8192"), ("1", "3"), ("1", "1"), ("4", "8192"), ("4", "3"), ("4", "1")]
    {
        let batch = format!("batch-rows-max={batch}");
        let output = over(&lines, columns, "", query, &["--parallelism", parallelism, "--set", &batch]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let mut rows: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
        rows.sort();
        let late = stderr(&output).lines().find(|l| l.contains("late")).map(str::to_owned);
        seen.push((rows, late.expect("late rows are told")));
    }
    assert!(
        seen.windows(2).all(|pair| pair[0] == pair[1]),
        "{:?}",
        seen.iter().map(|s| &s.1).collect::<Vec<_>>()
    );
}

#[test]
fn usage_script_and_missing_files_have_their_exit_codes() {
    for (arguments, code) in [
        (vec!["fly"], 2),
        (vec!["run"], 2),
        (vec!["run", "-e", "SELECT 1 AS a", "--set", "batch-rows=1"], 2),
        (vec!["run", "-e", "SELECT 1 AS a", "--parallelism", "0"], 2),
        (vec!["check", "-e", "SELECT x FROM y"], 3),
        (vec!["run", "no/such/file.sql"], 4),
        (vec!["test", "no/such/folder"], 4),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_program_in_python_is_not_read_as_sql() {
    let folder = Folder::new();
    let program = folder.file("app.py", "\"\"\"Words.\"\"\"\nimport thalweg\n");
    let program = program.to_str().expect("UTF-8");
    for word in ["run", "check", "explain"] {
        let output = run(&[word, program]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        for words in ["error[invalid-program]", "app.py' is a program in Python", "python -m thalweg run "] {
            assert!(said.contains(words), "nothing of '{words}': {said}");
        }
    }
}

#[test]
fn a_script_comes_from_standard_input_too() {
    let mut child = thalweg()
        .args(["run", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let script = "CREATE TABLE n WITH (connector = 'impulse', event_rate = '100000', message_count = '3'); SELECT counter FROM n";
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(stdout(&output), "{\"counter\":0}\n{\"counter\":1}\n{\"counter\":2}\n");
}

#[test]
fn the_first_signal_stops_without_firing_windows() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let script = "CREATE TABLE n WITH (connector = 'impulse', event_rate = '1000');\n\
             CREATE VIEW v AS SELECT counter FROM n;\n\
             SELECT counter FROM v;\n\
             CREATE TABLE sink (w STRUCT<start TIMESTAMP, end TIMESTAMP>, n BIGINT) WITH (connector = 'stdout', format = 'json');\n\
             INSERT INTO sink SELECT tumble(INTERVAL '30 days') AS w, count(*) AS n FROM n GROUP BY w;";
        let mut child = thalweg()
            .args(["run", "-e", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert!(lines.next().expect("a first row").expect("UTF-8").starts_with("{\"counter\":"));
        let started = Instant::now();
        let killed = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
        let rest: Vec<String> = lines.map(|l| l.expect("UTF-8")).collect();
        let output = child.wait_with_output().expect("it ends");
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(rest.iter().all(|row| !row.contains("\"n\":")), "a window fired");
        assert!(stderr(&output).contains("stopped; 1 open window did not fire"), "{}", stderr(&output));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_job_in_silence() {
    let mut child = thalweg()
        .args([
            "run",
            "-e",
            "CREATE TABLE n WITH (connector = 'impulse', event_rate = '100000'); SELECT counter FROM n",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut String::new()).expect("a row");
    drop(reader);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

const ONE_NUMBER: &str = "\
CREATE TABLE n WITH (connector = 'impulse', event_rate = '1', message_count = '1');
SELECT counter FROM n;
";

/// A stream whose reader has gone before anything is written.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[test]
fn a_command_whose_output_nobody_reads_ends_in_silence() {
    for arguments in [
        &["check", "-e", ONE_NUMBER][..],
        &["explain", "-e", ONE_NUMBER],
        &["explain", "--json", "-e", ONE_NUMBER],
        &["run", "-e", ONE_NUMBER],
        &["test", "tests/sql/rows"],
        &["bench", "nexmark", "--query", "q0", "--events", "1"],
        &["bench", "nexmark", "--query", "q0", "--events", "1", "--json"],
        &["--help"],
    ] {
        let output = thalweg().args(arguments).env("THALWEG_LOG", "off").stdout(unread()).output();
        let output = output.expect("the binary runs");
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn an_error_that_nobody_reads_still_has_its_exit_code() {
    for (arguments, code) in [
        (&["check", "-e", "SELEC"][..], 3),
        (&["run", "nowhere.sql", "--what"], 2),
        (&["run", "-e", ONE_NUMBER], 0),
    ] {
        let mut command = thalweg();
        command.args(arguments).env("THALWEG_LOG", "trace").stderr(unread());
        let status = command.stdout(Stdio::null()).status().expect("the binary runs");
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}

/// Colours are for people who look: a file would keep their codes.
#[test]
fn a_log_in_a_file_has_no_colors() {
    let output =
        thalweg().args(["run", "-e", ONE_NUMBER]).env("THALWEG_LOG", "debug").output().expect("it runs");
    let said = stderr(&output);
    assert!(said.contains("DEBUG") && !said.contains('\x1b'), "{said}");
}

#[test]
fn a_fresh_start_empties_the_sink() {
    let folder = Folder::new();
    let sink = folder.file("out.jsonl", "old\n");
    let script = format!(
        "CREATE TABLE n WITH (connector = 'impulse', event_rate = '100000', message_count = '2');\n\
         CREATE TABLE out WITH (connector = 'single_file', path = '{}', type = 'sink', format = 'json');\n\
         INSERT INTO out SELECT counter FROM n",
        sink.display()
    );
    let output = run(&["run", "-e", &script]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&sink).expect("the sink"), "{\"counter\":0}\n{\"counter\":1}\n");
}

#[test]
fn files_that_are_missing_empty_or_without_a_last_newline() {
    let missing = run(&["run", "-e", &(table(Path::new("/no/such"), "a BIGINT", "") + "SELECT a FROM t")]);
    assert_eq!(missing.status.code(), Some(4), "{}", stderr(&missing));
    assert!(stderr(&missing).contains("/no/such"), "{}", stderr(&missing));
    let empty = over("", "a BIGINT", "", "SELECT a FROM t", &[]);
    assert_eq!((empty.status.code(), stdout(&empty)), (Some(0), String::new()));
    let cut = over("{\"a\":1}\n{\"a\":2}", "a BIGINT", "", "SELECT a FROM t", &[]);
    assert_eq!(stdout(&cut), "{\"a\":1}\n{\"a\":2}\n");
}

/// A bad record between two good ones: the job fails and names line and reason, or drops just that one.
#[test]
fn a_bad_record_is_named_or_dropped_and_spoils_no_neighbour() {
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_ignored = format!("{{\"a\": 7, \"x\": {}", "[".repeat(100_000));
    let cases: Vec<(Vec<u8>, &str, &str)> = vec![
        (b"{\"a\": \"x\"}".to_vec(), "a BIGINT", "a"),
        (b"{\"a\": 9223372036854775808}".to_vec(), "a BIGINT", "a"),
        (b"{\"a\": 1e400}".to_vec(), "a DOUBLE", "a"),
        (b"{\"a\": tru".to_vec(), "a BIGINT", ""),
        (b"{\"a\": \"\xff\"}".to_vec(), "a TEXT", "UTF-8"),
        (b"{\"a\": \"99999-01-01T00:00:00Z\"}".to_vec(), "a TIMESTAMP", "a"),
        (b"{\"a\": \"1500-01-01T00:00:00Z\"}".to_vec(), "a TIMESTAMP", "a"),
        (b"{}".to_vec(), "a BIGINT NOT NULL", "a"),
        (b"{\"a\": {}}".to_vec(), "a BIGINT", "a"),
        (b"[1]".to_vec(), "a BIGINT", ""),
        (deep.into_bytes(), "a BIGINT", ""),
        (deep_ignored.into_bytes(), "a BIGINT", ""),
    ];
    for (bad, columns, named) in cases {
        let good = match columns {
            "a TEXT" => "{\"a\": \"good\"}",
            "a TIMESTAMP" => "{\"a\": \"2024-01-01T00:00:00Z\"}",
            _ => "{\"a\": 5}",
        };
        let bytes = [good.as_bytes(), b"\n", &bad, b"\n", good.as_bytes(), b"\n"].concat();
        let shown = String::from_utf8_lossy(&bad[..bad.len().min(40)]).into_owned();
        let failed = over(&bytes, columns, "", "SELECT a FROM t", &[]);
        let said = stderr(&failed);
        assert_eq!(failed.status.code(), Some(1), "{shown}: {said}");
        assert!(
            said.contains("bad-record") && said.contains(":2") && said.contains(named),
            "{shown}: {said}"
        );
        for (options, arguments) in [(", bad_data = 'drop'", vec![]), ("", vec!["--set", "bad-data=drop"])] {
            let dropped = over(&bytes, columns, options, "SELECT a FROM t", &arguments);
            assert_eq!(dropped.status.code(), Some(0), "{shown}: {}", stderr(&dropped));
            assert_eq!(stdout(&dropped).lines().count(), 2, "{shown}");
            assert!(stderr(&dropped).contains("1 row was not readable"), "{shown}: {}", stderr(&dropped));
        }
    }
}

#[test]
fn of_duplicate_keys_the_last_wins() {
    let output = over("{\"a\": 1, \"a\": 2}\n", "a BIGINT", "", "SELECT a FROM t", &[]);
    assert_eq!(stdout(&output), "{\"a\":2}\n");
}

#[test]
fn a_row_that_cannot_be_computed_fails_or_is_dropped() {
    for query in
        ["SELECT 10 / a AS q FROM t", "SELECT CAST(s AS INT) AS q FROM t", "SELECT a FROM t WHERE 10 / a > 1"]
    {
        let bytes = "{\"a\": 5, \"s\": \"2\"}\n{\"a\": 0, \"s\": \"x\"}\n{\"a\": 2, \"s\": \"5\"}\n";
        let failed = over(bytes, "a BIGINT, s TEXT", "", query, &[]);
        assert_eq!(failed.status.code(), Some(1), "{query}: {}", stderr(&failed));
        assert!(stderr(&failed).contains("row-failed"), "{query}: {}", stderr(&failed));
        let dropped = over(bytes, "a BIGINT, s TEXT", "", query, &["--set", "bad-data=drop"]);
        assert_eq!(dropped.status.code(), Some(0), "{query}: {}", stderr(&dropped));
        assert_eq!(stdout(&dropped).lines().count(), 2, "{query}");
        assert!(stderr(&dropped).contains("1 row was not computable"), "{query}: {}", stderr(&dropped));
    }
}

#[test]
fn a_script_of_ten_megabytes_is_refused() {
    let folder = Folder::new();
    let path = folder.file("large.sql", "-- nothing but words\n".repeat(500_000));
    let output = run(&["check", path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("script-too-large"), "{}", stderr(&output));
}

/// The peak of resident memory of a finished child, by `/proc` while it runs.
fn peak_memory_kib(child: &std::process::Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn a_line_of_a_gibibyte_is_refused_with_flat_memory() {
    let folder = Folder::new();
    let path = folder.0.path().join("huge.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a temporary file"));
    let piece = vec![b'x'; 1 << 20];
    file.write_all(b"{\"a\": 1}\n{\"a\": \"").expect("room");
    (0..1024).for_each(|_| file.write_all(&piece).expect("room"));
    file.write_all(b"\"}\n{\"a\": 3}\n").expect("room");
    file.flush().expect("room");
    let script = table(&path, "a BIGINT", "") + "SELECT a FROM t";
    let refused = run(&["run", "-e", &script]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("record-too-long"), "{}", stderr(&refused));
    let mut child = thalweg()
        .args(["run", "-e", &script, "--set", "bad-data=drop"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut peak = 0;
    while child.try_wait().expect("a child").is_none() {
        peak = peak.max(peak_memory_kib(&child));
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(stdout(&output), "{\"a\":1}\n{\"a\":3}\n", "{}", stderr(&output));
    assert!(peak > 0 && peak < 200 * 1024, "peak of resident memory: {peak} KiB");
}
