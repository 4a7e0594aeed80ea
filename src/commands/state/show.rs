//! `thalweg state show`: what one checkpoint is made of.

use clap::Args;
use serde::Serialize;
use thalweg_dataflow::Result;
use thalweg_state::{Change, Manifest, OperatorRecord, SplitPosition, TableRecord};

use super::checkpoint::Checkpoint;
use super::place::{JobArgs, WhichArgs};
use super::{print_json, table};
use crate::commands::amounts::{grouped, size};
use crate::standard_streams::print_line;

/// The most characters of a position on a line; JSON has all of it.
const POSITION_CHARS_MAX: usize = 60;

#[derive(Debug, Args)]
pub(in crate::commands) struct ShowArgs {
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &ShowArgs) -> Result<()> {
    let history = args.job.history().await?;
    let shown = Shown::of(&args.which.manifest(&history).await?);
    if args.json {
        return print_json(&shown);
    }
    let (store, words) = (history.store().describe(), shown.checkpoint.words());
    print_line(format_args!("'{}' in {store}: {words}", shown.job))?;
    shown.print()
}

#[derive(Debug, Serialize)]
struct Shown {
    job: String,
    checkpoint: Checkpoint,
    operators: Vec<Operator>,
}

#[derive(Debug, Serialize)]
struct Operator {
    operator: String,
    kind: String,
    label: String,
    fingerprint: String,
    tables: Vec<Contents>,
    splits: Vec<Split>,
    /// How many things of a sink any process can publish.
    committables: usize,
}

/// One table.
#[derive(Debug, Serialize)]
struct Contents {
    table: String,
    change: String,
    objects: usize,
    rows: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Split {
    split: String,
    /// None: not begun.
    position: Option<String>,
}

impl Shown {
    fn of(manifest: &Manifest) -> Self {
        let operators = manifest.operators.iter().map(|(id, record)| Operator::of(id.as_str(), record));
        Self {
            job: manifest.job.to_string(),
            checkpoint: Checkpoint::of(manifest),
            operators: operators.collect(),
        }
    }

    fn print(&self) -> Result<()> {
        let mut tables =
            table(["operator", "what", "table", "rows are", "objects", "rows", "size"], &[4, 5, 6]);
        let mut splits = table(["source", "split", "read up to"], &[]);
        for operator in &self.operators {
            for held in &operator.tables {
                tables.add_row([
                    operator.operator.clone(),
                    operator.kind.clone(),
                    held.table.clone(),
                    held.change.clone(),
                    held.objects.to_string(),
                    grouped(held.rows),
                    size(held.bytes),
                ]);
            }
            for split in &operator.splits {
                let position = split.position.as_deref().unwrap_or("not begun");
                splits.add_row([operator.operator.clone(), split.split.clone(), shortened(position)]);
            }
        }
        [tables, splits].into_iter().filter(|table| table.row_count() > 0).try_for_each(print_line)?;
        for sink in self.operators.iter().filter(|operator| operator.committables > 0) {
            let prepared = things(sink.committables);
            print_line(format_args!("'{}' has prepared {prepared} to be published", sink.operator))?;
        }
        Ok(())
    }
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing".to_owned() } else { format!("{count} things") }
}

impl Operator {
    fn of(id: &str, record: &OperatorRecord) -> Self {
        Self {
            operator: id.to_owned(),
            kind: record.kind.clone(),
            label: record.label.clone(),
            fingerprint: record.fingerprint.clone(),
            tables: record.tables.iter().map(|(name, table)| Contents::of(name, table)).collect(),
            splits: record.splits.iter().map(Split::of).collect(),
            committables: record.committables.len(),
        }
    }
}

impl Contents {
    fn of(name: &str, table: &TableRecord) -> Self {
        Self {
            table: name.to_owned(),
            change: match table.change {
                Change::Full => "the whole".to_owned(),
                Change::Upsert { key: 0 } => "replaced by key group".to_owned(),
                Change::Upsert { key: 1 } => "replaced by 1 key column".to_owned(),
                Change::Upsert { key } => format!("replaced by {key} key columns"),
                Change::Merge => "added".to_owned(),
            },
            objects: table.objects.len(),
            rows: table.objects.iter().map(|object| object.rows).sum(),
            bytes: table.objects.iter().map(|object| object.bytes).sum(),
        }
    }
}

impl Split {
    fn of(of: &SplitPosition) -> Self {
        let position = of.position.as_ref().map(|bytes| readable(bytes));
        Self { split: of.split.to_string(), position }
    }
}

/// A source's own word for a place, for people. Sources of ours write JSON, others what they like.
fn readable(position: &[u8]) -> String {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(position) {
        return words(&value);
    }
    match std::str::from_utf8(position) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => position.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn words(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.escape_debug().to_string(),
        Value::Array(values) => format!("({})", values.iter().map(words).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| match value {
                Value::Object(_) => format!("{name} ({})", words(value)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    format!("{name} {}", words(value))
                }
            });
            members.collect::<Vec<_>>().join(", ")
        }
    }
}

fn shortened(position: &str) -> String {
    match position.char_indices().nth(POSITION_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &position[..end]),
        None => position.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_by_people() {
        for (bytes, shown) in [
            (
                &br#"{"offset":120,"line":4,"ended":false,"head":null}"#[..],
                "ended no, head –, line 4, offset 120",
            ),
            (br#"{"at":{"a":1},"files":["x",2]}"#, "at (a 1), files (x, 2)"),
            (b"42", "42"),
            (b"topic-1\n", "topic-1\\n"),
            (b"\xff\x00", "ff00"),
        ] {
            assert_eq!(readable(bytes), shown);
        }
        assert_eq!(shortened(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
    }
}
