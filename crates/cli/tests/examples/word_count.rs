//! Word count, as a program and in SQL, against `tr`, `sort` and `uniq -c`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::process::{Collector, Process, connect, free_address, send};

const TEXT: &str = include_str!("../../../../examples/data/gettysburg.txt");
const SCRIPT: &str = include_str!("../../../../examples/word_count/word_count.sql");

/// How often the text is sent, each time by another peer.
const TIMES: u64 = 3;

type Totals = BTreeMap<String, u64>;

/// How often each word is in the text, by the tools that everybody has.
fn by_tools() -> Totals {
    let words =
        r"tr 'A-Z' 'a-z' | tr -s ' \n' '\n\n' | sed -E 's/^[[:punct:]]+//; s/[[:punct:]]+$//' | grep .";
    let mut tools = Command::new("sh")
        .args(["-c", &format!("{words} | sort | uniq -c")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    tools.stdin.take().expect("a pipe").write_all(TEXT.as_bytes()).expect("the shell reads");
    let counted = tools.wait_with_output().expect("the shell ends");
    let counted = String::from_utf8(counted.stdout).expect("words are text");
    let total = |line: &str| {
        let (total, word) = line.trim().split_once(' ').expect("a total and a word");
        (word.to_owned(), total.parse().expect("a number"))
    };
    counted.lines().map(total).collect()
}

fn words(totals: &Totals) -> u64 {
    totals.values().sum()
}

#[test]
fn the_tools_find_the_words_of_the_text() {
    let totals = by_tools();
    assert_eq!((words(&totals), totals["the"], totals["battle-field"]), (271, 11, 1));
}

#[test]
fn the_program_gives_a_line_for_each_word_and_the_totals_of_the_tools() {
    let totals = by_tools();
    for parallelism in ["1", "3"] {
        let input = free_address();
        let collector = Collector::listen();
        let (listen, output) = (input.to_string(), collector.address.to_string());
        let run = ["run", "--parallelism", parallelism, "--", "--in", &listen, "--out", &output];
        let program = Process::example("word_count", &run);
        for _ in 0..TIMES {
            let mut peer = connect(input);
            TEXT.lines().for_each(|line| send(&mut peer, line.as_bytes()));
            send(&mut peer, b"");
        }
        let mut found = Totals::new();
        for _ in 0..words(&totals) * TIMES {
            let line = collector.line();
            let (word, total) = line.split_once(" => ").expect("a word and its total");
            let before = found.insert(word.to_owned(), total.parse().expect("a number"));
            assert_eq!(found[word], before.unwrap_or(0) + 1, "each total of '{word}' comes, in order");
        }
        let expected: Totals = totals.iter().map(|(word, total)| (word.clone(), total * TIMES)).collect();
        assert_eq!(found, expected, "parallelism {parallelism}");
        program.interrupt();
    }
}

#[test]
fn the_script_comes_to_the_totals_of_the_tools() {
    let totals = by_tools();
    let collector = Collector::listen();
    let input = free_address();
    let script = SCRIPT
        .replace("127.0.0.1:7010", &input.to_string())
        .replace("127.0.0.1:7002", &collector.address.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    let process = Process::start(command.args(["run", "-e", &script]));
    connect(input).write_all(TEXT.as_bytes()).expect("the peer reads");
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    while found.values().sum::<i64>() < i64::try_from(words(&totals)).expect("few words") {
        let line = collector.line();
        for (part, sign) in [("before", -1), ("after", 1)] {
            let Some((word, total)) = total_of(&line, part) else { continue };
            *found.entry(word).or_default() += sign * total;
        }
    }
    let expected: BTreeMap<String, i64> =
        totals.into_iter().map(|(word, total)| (word, i64::try_from(total).expect("small"))).collect();
    assert_eq!(found, expected);
    process.interrupt();
}

/// What a change says of a word before or after it.
fn total_of(line: &str, part: &str) -> Option<(String, i64)> {
    let change: serde_json::Value = serde_json::from_str(line).expect("a change is JSON");
    let row = change.get(part)?;
    Some((row.get("word")?.as_str()?.to_owned(), row.get("total")?.as_i64()?))
}
