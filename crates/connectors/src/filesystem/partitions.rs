//! Which folder a row goes to: `day=2026-11-20/city=berlin`.

use std::collections::BTreeMap;
use std::fmt::Write;

use arrow::array::{Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{can_cast_types, cast, take_record_batch};
use arrow::datatypes::{DataType, Schema};
use arrow::temporal_conversions::timestamp_ns_to_datetime;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::options::Options;
use thalweg_dataflow::{Code, Error, Result, columns};

/// The folder of rows without a value, as Hive names it.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// What a partition is made of, as plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partitioning {
    /// Columns, each of which gives a folder `name=value`.
    fields: Vec<String>,
    /// A pattern of `strftime` for the event time, in UTC. It may hold slashes.
    time_pattern: Option<String>,
}

impl Partitioning {
    pub(super) fn take(options: &mut Options) -> Result<Self> {
        let fields = options.take_text("partitioning.fields");
        let fields = fields.iter().flat_map(|fields| fields.split(',')).map(|field| field.trim().to_owned());
        let fields = fields.filter(|field| !field.is_empty()).collect();
        let time_pattern = options.take_text("partitioning.time_pattern");
        if let Some(pattern) = &time_pattern {
            check_pattern(pattern)?;
        }
        Ok(Self { fields, time_pattern })
    }

    /// Checks that rows of this schema can be told apart.
    pub(super) fn check(&self, schema: &Schema) -> Result<()> {
        for field in &self.fields {
            let invalid = |what: String| {
                Err(Error::new(Code::InvalidOption, what).with_help("partition by columns of simple values"))
            };
            match schema.field_with_name(field) {
                Ok(column) if can_cast_types(column.data_type(), &DataType::Utf8) => {}
                Ok(column) => {
                    let is = column.data_type();
                    return invalid(format!("'partitioning.fields' names '{field}', which is a {is}"));
                }
                Err(_) => {
                    return invalid(format!("'partitioning.fields' names '{field}', which is no column"));
                }
            }
        }
        Ok(())
    }

    /// The rows of each folder; its name ends with a slash, unless there is but one.
    pub(super) fn split(&self, records: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        if self.fields.is_empty() && self.time_pattern.is_none() {
            return Ok(vec![(String::new(), records.clone())]);
        }
        let folders = self.folders(records)?;
        let mut rows: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (row, folder) in folders.into_iter().enumerate() {
            rows.entry(folder).or_default().push(row as u32);
        }
        let taken = rows.into_iter().map(|(folder, rows)| {
            let taken = take_record_batch(records, &UInt32Array::from(rows));
            Ok((folder, taken.map_err(|e| Error::internal("rows cannot be taken apart").because(e))?))
        });
        taken.collect()
    }

    /// The folder of each row.
    fn folders(&self, records: &RecordBatch) -> Result<Vec<String>> {
        let mut folders = vec![String::new(); records.num_rows()];
        if let Some(pattern) = &self.time_pattern {
            let times = records.column_by_name(columns::TIMESTAMP);
            let times = times.and_then(|times| times.as_any().downcast_ref::<TimestampNanosecondArray>());
            let times = times.ok_or_else(|| Error::internal("rows have no event time"))?;
            for (folder, nanos) in folders.iter_mut().zip(times.values()) {
                format_time(pattern, *nanos, folder)?;
                folder.push('/');
            }
        }
        for field in &self.fields {
            let column = records.column_by_name(field);
            let column = column.ok_or_else(|| Error::internal(format!("rows have no column '{field}'")))?;
            let texts = cast(column, &DataType::Utf8);
            let texts = texts.map_err(|e| Error::internal("a column has no text").because(e))?;
            let texts = texts.as_any().downcast_ref::<StringArray>();
            let texts = texts.ok_or_else(|| Error::internal("a cast to text gave no text"))?;
            for (folder, text) in folders.iter_mut().zip(texts) {
                escape(field, folder);
                folder.push('=');
                escape(text.filter(|text| !text.is_empty()).unwrap_or(NULL), folder);
                folder.push('/');
            }
        }
        Ok(folders)
    }
}

/// Appends the time; a pattern that means nothing is an error.
fn format_time(pattern: &str, nanos: i64, out: &mut String) -> Result<()> {
    let invalid = || {
        let what = format!("option 'partitioning.time_pattern' is '{pattern}', which is no pattern of times");
        Error::new(Code::InvalidOption, what).with_help("write it as in strftime: '%Y/%m/%d/%H'")
    };
    let time = timestamp_ns_to_datetime(nanos).ok_or_else(invalid)?;
    write!(out, "{}", time.format(pattern)).map_err(|_| invalid())
}

/// A pattern must give a path below the location, and none that is hidden.
fn check_pattern(pattern: &str) -> Result<()> {
    let mut sample = String::new();
    format_time(pattern, 0, &mut sample)?;
    if sample.split('/').any(|part| part.is_empty() || part.starts_with(['.', '_'])) {
        let what = format!("option 'partitioning.time_pattern' is '{pattern}', which does not name folders");
        return Err(Error::new(Code::InvalidOption, what)
            .with_help("let no part between slashes be empty or begin with '.' or '_'"));
    }
    Ok(())
}

/// Appends `text` so that it is one part of a path or key, whatever it holds.
pub(super) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b'+' | b' ' => {
                out.push(char::from(byte));
            }
            // Not with a percent sign: a key with one has two readings.
            _ => write!(out, "~{byte:02X}").expect("a text takes all that is written to it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn rows_go_to_folders_of_time_and_values() {
        let records = RecordBatch::try_from_iter_with_nullable([
            ("city", Arc::new(StringArray::from(vec![Some("a/b"), None, Some("a/b"), Some("")])) as _, true),
            ("n", Arc::new(Int64Array::from(vec![1, 2, 1, 2])) as _, true),
            (
                "_timestamp",
                Arc::new(TimestampNanosecondArray::from(vec![0, 0, 0, 86_400_000_000_000])) as _,
                false,
            ),
        ]);
        let records = records.expect("columns of one length");
        let partitioning = Partitioning {
            fields: vec!["city".into(), "n".into()],
            time_pattern: Some("day=%Y-%m-%d".into()),
        };
        let split = partitioning.split(&records).expect("rows that can be split");
        let split: Vec<_> = split.iter().map(|(folder, rows)| (folder.as_str(), rows.num_rows())).collect();
        assert_eq!(
            split,
            [
                ("day=1970-01-01/city=__HIVE_DEFAULT_PARTITION__/n=2/", 1),
                ("day=1970-01-01/city=a~2Fb/n=1/", 2),
                ("day=1970-01-02/city=__HIVE_DEFAULT_PARTITION__/n=2/", 1),
            ]
        );
    }

    #[test]
    fn patterns_that_lead_elsewhere_are_refused() {
        for pattern in ["%Q", "/%Y", "../%Y", "%Y//%m", "_%Y", ".%Y", "%Y/"] {
            assert!(check_pattern(pattern).is_err(), "{pattern}");
        }
        assert!(check_pattern("year=%Y/%m").is_ok());
    }
}
