//! A test file as data: the script, what flows in, what must come out.
//!
//! Lines that begin with `--#` are directives; to SQL they are comments, so a
//! test file is a script that runs as it stands. Blocks end with `--# end`.

use thalweg_dataflow::{Code, Error, Result};

/// One line of an input block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputLine {
    /// A row as JSON.
    Row(String),
    /// No rows before this time, nanoseconds since 1970.
    Watermark(i64),
}

/// The rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The table, in lower case.
    pub table: String,
    /// What flows in, in order.
    pub lines: Vec<InputLine>,
}

/// One thing that must hold at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The rows that stand at the end, in any order.
    Final {
        /// The sink, in lower case; none: the only one there is.
        table: Option<String>,
        /// Rows as JSON.
        rows: Vec<String>,
    },
    /// Every assert (`+`) and retract (`-`) in order, when each input row comes by itself.
    Changelog {
        /// The sink, in lower case; none: the only one there is.
        table: Option<String>,
        /// `+` or `-`, and a row as JSON.
        rows: Vec<(char, String)>,
    },
    /// The number of late rows, over all operators.
    Late(u64),
    /// The number of rows and records that were refused or dropped, over all operators and sources.
    Refused(u64),
    /// The script, or the run, fails with this code.
    Error(String),
}

/// A test file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFile {
    /// The whole text, with blocks blanked out so that offsets and lines stay true.
    pub script: String,
    /// What flows in.
    pub inputs: Vec<Input>,
    /// What must hold.
    pub expectations: Vec<Expectation>,
    /// `key=value` settings, as for `--set`.
    pub settings: Vec<(String, String)>,
    /// Why this file need not reach two subtasks, if it says so.
    pub one_key: Option<String>,
}

/// Reads a test file; `name` is only for errors.
pub fn parse(name: &str, text: &str) -> Result<TestFile> {
    let mut file = TestFile {
        script: String::with_capacity(text.len()),
        inputs: Vec::new(),
        expectations: Vec::new(),
        settings: Vec::new(),
        one_key: None,
    };
    let mut lines = text.split_inclusive('\n').enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(directive) = line.trim_start().strip_prefix("--#") else {
            file.script.push_str(line);
            continue;
        };
        blank(&mut file.script, line);
        let site = format!("{name}:{}", index + 1);
        let mut block = || -> Result<Vec<(usize, String)>> {
            let mut rows = Vec::new();
            for (index, line) in lines.by_ref() {
                blank(&mut file.script, line);
                match line.trim() {
                    "" => {}
                    row if row.starts_with("--#") && row[3..].trim() == "end" => return Ok(rows),
                    row => rows.push((index + 1, row.to_owned())),
                }
            }
            Err(invalid(&site, "the block has no '--# end'"))
        };
        let words: Vec<&str> = directive.split_whitespace().collect();
        match words.as_slice() {
            ["input", table] => {
                let lines = block()?
                    .into_iter()
                    .map(|(line, row)| input_line(&format!("{name}:{line}"), row))
                    .collect::<Result<_>>()?;
                file.inputs.push(Input { table: table.to_lowercase(), lines });
            }
            ["expect", "final", table @ ..] if table.len() < 2 => {
                let rows = block()?.into_iter().map(|(_, row)| row).collect();
                file.expectations.push(Expectation::Final { table: table_name(table), rows });
            }
            ["expect", "changelog", table @ ..] if table.len() < 2 => {
                let rows = block()?
                    .into_iter()
                    .map(|(line, row)| change(&format!("{name}:{line}"), &row))
                    .collect::<Result<_>>()?;
                file.expectations.push(Expectation::Changelog { table: table_name(table), rows });
            }
            ["expect", "late", n] => file.expectations.push(Expectation::Late(count(&site, n)?)),
            ["expect", "refused", n] => file.expectations.push(Expectation::Refused(count(&site, n)?)),
            ["error", code] => file.expectations.push(Expectation::Error((*code).to_owned())),
            ["set", setting] => {
                let (key, value) =
                    setting.split_once('=').ok_or_else(|| invalid(&site, "'--# set' takes key=value"))?;
                file.settings.push((key.to_owned(), value.to_owned()));
            }
            ["one-key", why @ ..] if !why.is_empty() => file.one_key = Some(why.join(" ")),
            _ => {
                return Err(invalid(&site, format!("'--#{}' is no directive", directive.trim_end())).with_help(
                    "write input TABLE, expect final|changelog [TABLE], expect late|refused N, error CODE, set KEY=VALUE, one-key REASON",
                ));
            }
        }
    }
    if file.expectations.is_empty() {
        return Err(invalid(name, "the file expects nothing, so it could not fail")
            .with_help("add '--# expect …' or '--# error CODE'"));
    }
    Ok(file)
}

/// Keeps line numbers and byte offsets of the script true.
fn blank(script: &mut String, line: &str) {
    let kept = line.trim_end_matches('\n').len();
    script.extend(std::iter::repeat_n(' ', kept));
    script.push_str(&line[kept..]);
}

fn invalid(site: &str, what: impl Into<String>) -> Error {
    Error::new(Code::InvalidTestFile, what).in_site(site)
}

fn table_name(words: &[&str]) -> Option<String> {
    words.first().map(|word| word.to_lowercase())
}

fn count(site: &str, word: &str) -> Result<u64> {
    word.parse().map_err(|_| invalid(site, format!("'{word}' is not a count")))
}

fn input_line(site: &str, row: String) -> Result<InputLine> {
    let Some(time) = row.strip_prefix("watermark ") else { return Ok(InputLine::Row(row)) };
    arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(time.trim())
        .map(InputLine::Watermark)
        .map_err(|why| invalid(site, format!("'{}' is not a time", time.trim())).because(why))
}

fn change(site: &str, row: &str) -> Result<(char, String)> {
    match row.split_at_checked(1) {
        Some(("+", json)) => Ok(('+', json.trim().to_owned())),
        Some(("-", json)) => Ok(('-', json.trim().to_owned())),
        _ => Err(invalid(site, "a change begins with '+' or '-'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
--# input T
{\"a\": 1}
watermark 1970-01-01T00:00:01Z
--# end
SELECT a FROM t;
--# expect final
{\"a\": 1}
--# end
--# expect late 2
";

    #[test]
    fn blocks_are_read_and_offsets_stay_true() {
        let file = parse("t.sql", FILE).expect("a valid file");
        assert_eq!(
            file.inputs,
            [Input {
                table: "t".into(),
                lines: vec![InputLine::Row("{\"a\": 1}".into()), InputLine::Watermark(1_000_000_000)],
            }]
        );
        assert_eq!(file.script.len(), FILE.len());
        assert_eq!(file.script.find("SELECT"), FILE.find("SELECT"));
        assert_eq!(file.expectations.len(), 2);
    }

    #[test]
    fn what_is_malformed_is_named_with_its_line() {
        for (text, site) in [
            ("SELECT 1;\n", "t.sql"),
            ("--# expect final\n{}\n", "t.sql:1"),
            ("\n--# expects final\n", "t.sql:2"),
            ("--# input t\nwatermark soon\n--# end\n", "t.sql:2"),
            ("--# expect changelog\n{}\n--# end\n", "t.sql:2"),
        ] {
            let error = parse("t.sql", text).expect_err(text);
            assert_eq!((error.code(), error.site()), (Code::InvalidTestFile, Some(site)), "{text}");
        }
    }
}
