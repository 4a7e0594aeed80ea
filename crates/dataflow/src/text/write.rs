//! Output to text.

use arrow::array::RecordBatch;

use super::cells::{cell_text, seconds_text};
use crate::message::Port;
use crate::operator::Output;
use crate::time::Watermark;

/// Writes what an operator gave out, one line each.
pub fn write(output: &[Output]) -> String {
    let mut text = String::new();
    let mut last = Port::MAIN;
    for output in output {
        match output {
            Output::Batch(port, records) => {
                if *port != last {
                    text.push_str(&format!("out {}\n", port.0));
                    last = *port;
                }
                text.push_str(&write_rows(records));
            }
            Output::Watermark(Watermark::END) => text.push_str("end\n"),
            Output::Watermark(watermark) => {
                text.push_str(&format!("wm {}\n", seconds_text(watermark.nanos())));
            }
            Output::Idle => text.push_str("idle\n"),
        }
    }
    text
}

/// Writes rows, one line each.
pub fn write_rows(records: &RecordBatch) -> String {
    let schema = records.schema_ref();
    let line = |row: usize| {
        let cells = records.columns().iter().zip(schema.fields());
        let cells: Vec<String> = cells.map(|(column, field)| cell_text(field.name(), column, row)).collect();
        cells.join(" ") + "\n"
    };
    (0..records.num_rows()).map(line).collect()
}
