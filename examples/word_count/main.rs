//! Word count: how often has each word been seen?
//!
//! Text comes in over TCP, in frames of a four-byte length and that many bytes
//! of UTF-8 with zero or more words. The totals are kept in 26 partitions, one
//! for each letter that words begin with, and one, `!`, for all others. For
//! every word one line goes out: `word => total`.
//!
//! ```text
//! text ─► split into words ─► by first letter ─► count ─► lines
//! ```
//!
//! Run it beside a listener, and send it text:
//!
//! ```sh
//! nc -lk 7002 &
//! cargo run --example word_count -- run -- --in 127.0.0.1:7010 --out 127.0.0.1:7002
//! ```

use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

use thalweg::app::{Application, Arguments, decode};
use thalweg::connectors::tcp;

fn main() -> ExitCode {
    thalweg::main(application)
}

fn application(arguments: &Arguments) -> thalweg::Result<Application> {
    let listen = arguments.get("in").unwrap_or("127.0.0.1:7010");
    let connect = arguments.get("out").unwrap_or("127.0.0.1:7002");
    let application = Application::new("word count");
    application
        .source("text", tcp::listen(listen).length_framed(4).source()?, decode::utf8())
        .flat_map(words)
        .key_by(|word: &String| first_letter(word))
        .stateful("totals", count)
        .try_sink("lines", tcp::connect(connect).sink()?, |(word, total), line| {
            writeln!(line, "{word} => {total}")
        });
    Ok(application)
}

/// The words of a text, in small letters and without punctuation around them.
fn words(text: String) -> Vec<String> {
    let word = |part: &str| part.trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase();
    text.split_whitespace().map(word).filter(|word| !word.is_empty()).collect()
}

/// The partition of a word.
fn first_letter(word: &str) -> char {
    word.chars().next().filter(char::is_ascii_lowercase).unwrap_or('!')
}

/// Counts a word among those of its partition.
fn count(_: &char, word: String, totals: &mut HashMap<String, u64>) -> Option<(String, u64)> {
    let total = totals.entry(word.clone()).or_default();
    *total += 1;
    Some((word, *total))
}
