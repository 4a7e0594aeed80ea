//! Text to events.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_state::SplitId;

use super::Event;
use super::cells::{column_of, seconds, split_outside, type_of};
use crate::message::{Port, columns};
use crate::source::SplitEvent;
use crate::time::{EventTime, ProcessingTime, Watermark};

/// What is wrong with a text, and in which line.
type Result<T> = std::result::Result<T, String>;

/// Reads a stream. The error names the line.
pub fn read(text: &str) -> Result<Vec<Event>> {
    let mut reader = Reader::default();
    for (number, line) in text.lines().enumerate() {
        reader.line(line.trim()).map_err(|why| format!("line {} '{}': {why}", number + 1, line.trim()))?;
    }
    reader.finish_rows()?;
    Ok(reader.events)
}

/// Reads a `columns` line, with or without the word.
pub fn read_schema(line: &str) -> Result<SchemaRef> {
    let line = line.trim();
    let fields = words(line.strip_prefix("columns").unwrap_or(line))?;
    Ok(Arc::new(Schema::new(fields.into_iter().map(field_of).collect::<Result<Vec<_>>>()?)))
}

/// Reads rows, one per line.
pub fn read_rows(schema: &SchemaRef, text: &str) -> Result<RecordBatch> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    batch_of(schema, &lines.map(words).collect::<Result<Vec<_>>>()?)
}

fn field_of(text: &str) -> Result<Field> {
    if text == columns::DIFF {
        return Ok(Field::new(columns::DIFF, DataType::Int8, false));
    }
    let (name, data_type) = text.split_once(':').ok_or_else(|| format!("column '{text}' has no type"))?;
    let (data_type, nullable) = match data_type.strip_suffix('?') {
        Some(data_type) => (data_type, true),
        None => (data_type, false),
    };
    Ok(Field::new(name, type_of(data_type)?, nullable))
}

fn batch_of(schema: &SchemaRef, rows: &[Vec<&str>]) -> Result<RecordBatch> {
    let width = schema.fields().len();
    if let Some(row) = rows.iter().find(|row| row.len() != width) {
        return Err(format!("a row has {} cells for {width} columns", row.len()));
    }
    let column = |(index, field): (usize, &Arc<Field>)| {
        let cells: Vec<Option<&str>> = rows.iter().map(|row| Some(row[index])).collect();
        column_of(field, &cells)
    };
    let arrays = schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(|e| e.to_string())
}

fn words(line: &str) -> Result<Vec<&str>> {
    let words = split_outside(line, ' ')?;
    Ok(words.into_iter().map(str::trim).filter(|word| !word.is_empty()).collect())
}

#[derive(Default)]
struct Reader<'a> {
    events: Vec<Event>,
    schema: Option<SchemaRef>,
    port: u16,
    split: Option<SplitId>,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) -> Result<()> {
        let words = words(line)?;
        match words[..] {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["columns", ..] => {
                self.finish_rows()?;
                self.schema = Some(read_schema(line)?);
            }
            ["in", port] => {
                self.finish_rows()?;
                self.port = port.parse().map_err(|_| "a port is a number")?;
            }
            ["split", split] => {
                self.finish_rows()?;
                self.split = Some(SplitId::new(split));
            }
            ["split", split, "idle"] => self.event(Event::Split(SplitId::new(split), SplitEvent::Idle))?,
            ["split", split, "end"] => self.event(Event::Split(SplitId::new(split), SplitEvent::End))?,
            ["split", split, "assigned"] => {
                self.event(Event::Split(SplitId::new(split), SplitEvent::Assigned))?;
            }
            ["split", split, "watermark", time] => {
                let watermark = SplitEvent::Watermark(EventTime(seconds(time)?));
                self.event(Event::Split(SplitId::new(split), watermark))?;
            }
            ["wm", time] => self.event(Event::Watermark(Watermark(EventTime(seconds(time)?))))?,
            ["now", time] => self.event(Event::Now(ProcessingTime(seconds(time)?)))?,
            ["flush"] => self.event(Event::Flush)?,
            ["barrier"] => self.event(Event::Barrier)?,
            ["end"] => self.event(Event::Watermark(Watermark::END))?,
            _ => self.rows.push(words),
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<()> {
        self.finish_rows()?;
        self.events.push(event);
        Ok(())
    }

    fn finish_rows(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let schema = self.schema.as_ref().ok_or("rows come before a line of columns")?;
        let records = batch_of(schema, &std::mem::take(&mut self.rows))?;
        self.events.push(Event::Rows { port: Port(self.port), split: self.split.clone(), records });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::write_rows;
    use super::*;

    #[test]
    fn what_is_read_is_written_alike() {
        let columns = "columns a:int? b:text? c:[{x:int,y:[text]}]? d:float e:bool t:time z:timez _diff";
        let rows = "1 x [{1,[a,null]},{null,[]}] 1.5 true 10 1.25 +\n\
                    null \"\" null -0.0 false -0.000000001 0 -\n\
                    -7 \"a b\" [] NaN true 1700000000 3 +\n\
                    8 \"null\" [null] inf true 0 0 +\n";
        let batch = read_rows(&read_schema(columns).unwrap(), rows).unwrap();
        assert_eq!(write_rows(&batch), rows);
    }

    #[test]
    fn lines_become_events() {
        let text =
            "columns a:int\n1\n2\nsplit s\n3\n# note\nsplit s end\nin 1\n4\nwm 5\nflush\nbarrier\nnow 7\nend";
        let shown: Vec<String> = read(text)
            .unwrap()
            .into_iter()
            .map(|event| match event {
                Event::Rows { port, split, records } => {
                    let split = split.map(|s| s.to_string()).unwrap_or_default();
                    format!("{}{split}:{}", port.0, write_rows(&records).replace('\n', ","))
                }
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(shown[0], "0:1,2,");
        assert_eq!(shown[1], "0s:3,");
        assert!(shown[2].contains("End"));
        assert_eq!(shown[3], "1s:4,");
        assert_eq!(shown[4], "Watermark(Watermark(EventTime(5000000000)))");
        assert_eq!(shown[5..7], ["Flush", "Barrier"]);
        assert_eq!(shown.len(), 9);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, why) in [
            ("1", "rows come before a line of columns"),
            ("columns a:what", "line 1 'columns a:what': no type 'what'"),
            ("columns a:int\n1 2\nflush", "line 3 'flush': a row has 2 cells for 1 columns"),
            ("columns a:int\nx\nflush", "line 3 'flush': 'x' is no value of Int64"),
            ("wm x", "line 1 'wm x': 'x' is no time in seconds"),
        ] {
            assert_eq!(read(text).unwrap_err(), why);
        }
    }
}
