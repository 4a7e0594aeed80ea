//! `thalweg state export`: a checkpoint's rows as Parquet files.
//!
//! A table is read one slice of the key space after the other, so that memory
//! does not grow with it.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::errors::ParquetError;
use serde::Serialize;
use thalweg_cluster::store_error;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::{Change, History, KeyGroups, Manifest, OperatorRecord, TableRecord};

use super::place::{JobArgs, LOOKS_MAX, WhichArgs};
use super::{print_json, table};
use crate::commands::amounts::grouped;
use crate::standard_streams::print_line;

/// About so many bytes of a table's objects are decoded at a time.
const SLICE_BYTES: u64 = 32 << 20;

#[derive(Debug, Args)]
pub(in crate::commands) struct ExportArgs {
    #[command(flatten)]
    job: JobArgs,
    /// The folder that the files are put into; it is made if there is none
    #[arg(value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    which: WhichArgs,
    /// The tables of this operator alone; may be repeated
    #[arg(long, value_name = "ID")]
    operator: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One file that was written.
#[derive(Debug, Serialize)]
struct Exported {
    operator: String,
    table: String,
    rows: u64,
    file: String,
}

pub(super) async fn run(args: &ExportArgs) -> Result<()> {
    let history = args.job.history().await?;
    fs::create_dir_all(&args.out).map_err(|why| failed(&args.out, why))?;
    let mut looks = 0;
    let exported = loop {
        looks += 1;
        let manifest = args.which.manifest(&history).await?;
        let mut export = Export { folder: &args.out, files: Vec::new() };
        match export.all(&history, &manifest, &args.operator).await {
            Ok(()) => break export.files,
            // The job goes on and clears old checkpoints away, perhaps this one.
            Err(error)
                if error.code() == Code::CheckpointDamaged && args.which.is_newest() && looks < LOOKS_MAX =>
            {
                export.take_back();
            }
            Err(error) => {
                export.take_back();
                return Err(error);
            }
        }
    };
    if args.json {
        return print_json(&exported);
    }
    let mut listed = table(["operator", "table", "rows", "file"], &[2]);
    for file in exported {
        listed.add_row([file.operator, file.table, grouped(file.rows), file.file]);
    }
    print_line(listed)
}

/// The files of one checkpoint.
struct Export<'a> {
    folder: &'a Path,
    files: Vec<Exported>,
}

impl Export<'_> {
    async fn all(&mut self, history: &History, manifest: &Manifest, wanted: &[String]) -> Result<()> {
        if let Some(unknown) =
            wanted.iter().find(|name| !manifest.operators.keys().any(|id| id.as_str() == **name))
        {
            let known: Vec<&str> = manifest.operators.keys().map(|id| id.as_str()).collect();
            return Err(Error::new(
                Code::InvalidSetting,
                format!("epoch {} has no operator '{unknown}'", manifest.epoch),
            )
            .with_help(format!("its operators are {}", known.join(", "))));
        }
        for (id, record) in &manifest.operators {
            if wanted.is_empty() || wanted.iter().any(|name| name == id.as_str()) {
                for (name, held) in &record.tables {
                    let place = (id.as_str(), name.as_str());
                    self.one(history, place, record, held, manifest.key_groups).await?;
                }
            }
        }
        Ok(())
    }

    async fn one(
        &mut self,
        history: &History,
        (operator, name): (&str, &str),
        record: &OperatorRecord,
        held: &TableRecord,
        key_groups: u16,
    ) -> Result<()> {
        let alone = OperatorRecord {
            tables: [(name.to_owned(), held.clone())].into(),
            ..OperatorRecord { tables: Default::default(), ..record.clone() }
        };
        let mut open: Option<Writing> = None;
        for groups in slices(held, key_groups) {
            let mut batches = history.restore(&alone, &groups).await.map_err(store_error)?.take(name);
            if let Change::Upsert { key } = held.change {
                batches = newest_rows(batches, key).map_err(|why| unreadable(operator, name, why))?;
            }
            for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
                let form = form_of(&batch);
                // Rows of another form, which an earlier version of the operator wrote, are in a file of their own.
                if open.as_ref().is_none_or(|writing| writing.form != form)
                    && let Some(done) = open.replace(self.begin(operator, name, form)?)
                {
                    done.finish()?;
                }
                let writing = open.as_mut().expect("it was opened above");
                self.files.last_mut().expect("opening adds one").rows += batch.num_rows() as u64;
                writing.write(&batch)?;
            }
        }
        open.map_or(Ok(()), Writing::finish)
    }

    fn begin(&mut self, operator: &str, name: &str, form: SchemaRef) -> Result<Writing> {
        let (path, file) = self.create(&format!("{}.{}", file_name(operator), file_name(name)))?;
        let (operator, table) = (operator.to_owned(), name.to_owned());
        self.files.push(Exported { operator, table, rows: 0, file: path.display().to_string() });
        let writer = ArrowWriter::try_new(file, Arc::clone(&form), None).map_err(|why| failed(&path, why))?;
        Ok(Writing { path, form, writer })
    }

    /// Creates a file. A second one of the same name within this export gets a number; one that was there
    /// before is not touched.
    fn create(&self, stem: &str) -> Result<(PathBuf, File)> {
        let path_of = |number: usize| {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            self.folder.join(format!("{stem}{number}.parquet"))
        };
        let ours = |path: &Path| self.files.iter().any(|file| Path::new(&file.file) == path);
        let path = (1..=self.files.len() + 1).map(path_of).find(|path| !ours(path));
        let path = path.expect("there are fewer files than numbers");
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|why| {
            let help = "export into an empty folder";
            if why.kind() == io::ErrorKind::AlreadyExists {
                failed(&path, why).with_help(help)
            } else {
                failed(&path, why)
            }
        })?;
        Ok((path, file))
    }

    /// Deletes what was written of an export that cannot be had whole.
    fn take_back(&mut self) {
        for file in self.files.drain(..) {
            // What cannot be deleted was created by us all the same: nothing of anybody's is lost.
            let _ = fs::remove_file(file.file);
        }
    }
}

/// A file that is being written.
struct Writing {
    path: PathBuf,
    form: SchemaRef,
    writer: ArrowWriter<File>,
}

impl Writing {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().zip(self.form.fields()).map(|(column, field)| {
            if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { as_text(column) }
        });
        let whole = columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&self.form), columns));
        let whole = whole.map_err(|why| failed(&self.path, why))?;
        self.writer.write(&whole).map_err(|why| failed(&self.path, why))
    }

    fn finish(self) -> Result<()> {
        let Self { path, writer, .. } = self;
        let written = writer.into_inner().and_then(|file| file.sync_all().map_err(ParquetError::from));
        written.map_err(|why| failed(&path, why))
    }
}

/// The columns of a file: nullable, and text where Parquet has no such type.
fn form_of(batch: &RecordBatch) -> SchemaRef {
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| {
        let alone = Schema::new(vec![field.as_ref().clone()]);
        let data_type = match ArrowSchemaConverter::new().convert(&alone) {
            Ok(_) => field.data_type().clone(),
            Err(_) => DataType::Utf8,
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(column, &options)?;
    let values = (0..column.len()).map(|row| column.is_valid(row).then(|| shown.value(row).to_string()));
    Ok(Arc::new(values.collect::<StringArray>()))
}

/// The key space in parts of which each has about [`SLICE_BYTES`] of the table.
fn slices(held: &TableRecord, key_groups: u16) -> Vec<KeyGroups> {
    let bytes: u64 = held.objects.iter().map(|object| object.bytes).sum();
    let count = bytes.div_ceil(SLICE_BYTES).clamp(1, u64::from(key_groups));
    let cut = |slice: u64| (u64::from(key_groups) * slice / count) as u16;
    (0..count).map(|slice| KeyGroups::range(cut(slice), cut(slice + 1))).collect()
}

/// Of the rows of one key, which is the key group and `key` columns behind it, only the last.
fn newest_rows(batches: Vec<RecordBatch>, key: usize) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut seen: HashSet<(SchemaRef, Box<[u8]>)> = HashSet::new();
    let mut newest = Vec::with_capacity(batches.len());
    for batch in batches.iter().rev() {
        let keys = batch.project(&(0..=key).collect::<Vec<_>>())?;
        let fields = keys.schema().fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let rows = RowConverter::new(fields)?.convert_columns(keys.columns())?;
        let form = form_of(&keys);
        let mut keep: Vec<bool> = (0..rows.num_rows())
            .rev()
            .map(|row| seen.insert((Arc::clone(&form), rows.row(row).data().into())))
            .collect();
        keep.reverse();
        newest.push(filter_record_batch(batch, &BooleanArray::from(keep))?);
    }
    newest.reverse();
    Ok(newest)
}

/// An operator's or table's name as part of a file's.
fn file_name(name: &str) -> String {
    let part = |c: char| match c {
        '/' => '.',
        c if c.is_alphanumeric() || "-_".contains(c) => c,
        _ => '_',
    };
    name.chars().map(part).collect::<String>().trim_start_matches('.').to_owned()
}

fn failed(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(Code::Io, format!("'{}' cannot be written", path.display())).because(why)
}

fn unreadable(operator: &str, name: &str, why: ArrowError) -> Error {
    Error::internal(format!("table '{name}' of '{operator}' has no key")).because(why)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, UInt16Array};

    use super::*;

    fn rows(rows: &[(u16, i64, i64)]) -> RecordBatch {
        let column = |pick: fn(&(u16, i64, i64)) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(pick).collect::<Int64Array>())
        };
        let groups: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<UInt16Array>());
        RecordBatch::try_from_iter([("_key_group", groups), ("k", column(|r| r.1)), ("v", column(|r| r.2))])
            .expect("columns of one length")
    }

    #[test]
    fn of_rows_that_replace_each_other_the_last_is_left() {
        let batches = vec![rows(&[(1, 7, 1), (1, 8, 2), (2, 7, 3), (1, 7, 4)]), rows(&[(1, 8, 5)])];
        let newest = newest_rows(batches.clone(), 1).expect("it has a key");
        assert_eq!(newest, [rows(&[(2, 7, 3), (1, 7, 4)]), rows(&[(1, 8, 5)])]);
        let by_group = newest_rows(batches, 0).expect("it has a key");
        assert_eq!(by_group, [rows(&[(2, 7, 3)]), rows(&[(1, 8, 5)])]);
    }

    #[test]
    fn names_of_files_stay_in_their_folder() {
        let names = ["win/window-aggregate", "../../etc/x", "a b:c"].map(file_name);
        assert_eq!(names, ["win.window-aggregate", "__.__.etc.x", "a_b_c"]);
    }
}
