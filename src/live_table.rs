//! Results as a table that a person watches: the rows that stand now.
//!
//! Rows are added and, by a changelog, taken back. What is kept is bounded:
//! beyond [`ROWS_KEPT_MAX`] the oldest rows leave the table and are only counted.

use std::collections::{HashMap, VecDeque};

use arrow::array::{Array, Int8Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use thalweg_dataflow::columns;

/// The most rows that are remembered.
pub const ROWS_KEPT_MAX: usize = 10_000;

/// The rows of one result that stand now.
#[derive(Debug, Default)]
pub struct LiveTable {
    header: Vec<String>,
    rows: VecDeque<Vec<String>>,
    /// Retracts that came before their assert.
    owed: HashMap<Vec<String>, u64>,
    total: u64,
}

impl LiveTable {
    /// Adds and takes back the rows of a batch.
    pub fn apply(&mut self, records: &RecordBatch) {
        let schema = records.schema();
        let shown: Vec<usize> = (0..schema.fields().len())
            .filter(|&i| {
                ![columns::DIFF, columns::TIMESTAMP, columns::ROW_WATERMARK]
                    .contains(&schema.field(i).name().as_str())
            })
            .collect();
        if self.header.is_empty() {
            self.header = shown.iter().map(|&i| schema.field(i).name().clone()).collect();
        }
        let options = FormatOptions::default().with_null("null");
        let formatters: Vec<_> =
            shown.iter().map(|&i| ArrayFormatter::try_new(records.column(i).as_ref(), &options)).collect();
        let diff = records.column_by_name(columns::DIFF).and_then(|c| c.as_any().downcast_ref::<Int8Array>());
        for row in 0..records.num_rows() {
            let cells = formatters
                .iter()
                .map(|formatter| match formatter {
                    Ok(formatter) => formatter.value(row).to_string(),
                    Err(why) => format!("<{why}>"),
                })
                .collect();
            match diff.map(|d| d.value(row)) {
                Some(-1) => self.retract(cells),
                _ => self.assert(cells),
            }
        }
    }

    fn assert(&mut self, cells: Vec<String>) {
        if let Some(owed) = self.owed.get_mut(&cells) {
            *owed -= 1;
            if *owed == 0 {
                self.owed.remove(&cells);
            }
            return;
        }
        self.total += 1;
        self.rows.push_back(cells);
        if self.rows.len() > ROWS_KEPT_MAX {
            self.rows.pop_front();
        }
    }

    fn retract(&mut self, cells: Vec<String>) {
        match self.rows.iter().rposition(|row| *row == cells) {
            Some(at) => {
                self.rows.remove(at);
                self.total -= 1;
            }
            // It left the table as one of the oldest, or its assert is still to come.
            None if self.total > self.rows.len() as u64 => self.total -= 1,
            None => *self.owed.entry(cells).or_default() += 1,
        }
    }

    /// How many rows stand, shown or not.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The newest rows that fit into `height` lines, or all that are kept.
    pub fn render(&self, width: u16, height: Option<u16>) -> String {
        const FRAME_LINES: usize = 5;
        let room = height.map_or(self.rows.len(), |h| usize::from(h).saturating_sub(FRAME_LINES).max(1));
        let first = self.rows.len().saturating_sub(room);
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width).set_header(&self.header);
        self.rows.iter().skip(first).for_each(|row| {
            table.add_row(row);
        });
        let shown = (self.rows.len() - first) as u64;
        let note = match self.total {
            1 => "1 row".to_owned(),
            total if shown < total => format!("{total} rows, the newest {shown} shown"),
            total => format!("{total} rows"),
        };
        format!("{table}\n{note}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    fn batch(values: &[i64], diffs: &[i8]) -> RecordBatch {
        let columns: [(&str, ArrayRef); 2] = [
            ("v", Arc::new(Int64Array::from(values.to_vec()))),
            (columns::DIFF, Arc::new(Int8Array::from(diffs.to_vec()))),
        ];
        RecordBatch::try_from_iter(columns).expect("two columns of one length")
    }

    #[test]
    fn a_changelog_leaves_the_rows_that_stand() {
        let mut table = LiveTable::default();
        table.apply(&batch(&[1, 1, 2, 3], &[1, -1, 1, -1]));
        assert_eq!(table.total(), 1);
        table.apply(&batch(&[3, 3], &[1, 1]));
        assert_eq!(table.total(), 2, "a retract that came first cancels one assert");
        let shown = table.render(80, None);
        assert!(shown.contains("│ 2 │") && shown.contains("│ 3 │") && !shown.contains("│ 1 │"), "{shown}");
        assert!(shown.ends_with("2 rows\n"), "{shown}");
    }

    #[test]
    fn what_is_kept_and_shown_is_bounded() {
        let mut table = LiveTable::default();
        let values: Vec<i64> = (0..ROWS_KEPT_MAX as i64 + 5).collect();
        table.apply(&batch(&values, &vec![1; values.len()]));
        assert_eq!((table.rows.len(), table.total()), (ROWS_KEPT_MAX, values.len() as u64));
        assert_eq!(table.render(80, Some(12)).lines().count(), 12);
    }
}
