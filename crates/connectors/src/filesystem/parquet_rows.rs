//! The rows of Parquet files.
//!
//! Columns are found by name and become those of the declared type, if no value
//! can be another by that; those that a file lacks are null. Of a file the footer and one row group at a time are in memory,
//! and of that only the columns that somebody reads. The position is the number
//! of rows given out: of the row groups before it only the footer is read again.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{
    AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use thalweg_dataflow::column_type::{fitted, is_of_kind, sql_type};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::source::RowsMax;
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{Code, Error, Result};

use super::store::{Found, Store};

/// Gives rows of the declared columns.
pub(super) struct ParquetDecoder {
    schema: SchemaRef,
    counters: Arc<OperatorCounters>,
    /// The most rows that are decoded at once.
    batch_rows_max: usize,
    rows_max: RowsMax,
}

/// A file while it is read.
pub(super) struct ParquetFile {
    name: String,
    stream: ParquetRecordBatchStream<Ranges>,
    /// Rows that were decoded and not yet given out.
    decoded: Option<RecordBatch>,
    /// How many rows were given out.
    pub(super) row: u64,
}

impl ParquetDecoder {
    pub(super) fn new(schema: SchemaRef, cx: &PieceContext) -> Self {
        let (batch_rows_max, rows_max) = (cx.settings.batch_rows_max, cx.rows_max.clone());
        Self { schema, counters: Arc::clone(&cx.counters), batch_rows_max, rows_max }
    }

    /// Opens a file to go on at `row`.
    pub(super) async fn open(&self, store: Arc<Store>, file: Found, row: u64) -> Result<ParquetFile> {
        let name = file.name.clone();
        let failed = |error| unreadable(&name, error);
        let builder = caught(&name, ParquetRecordBatchStreamBuilder::new(Ranges { store, file })).await?;
        let builder = builder.map_err(failed)?;
        let wanted = self.wanted(&name, builder.schema())?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let (groups, skip) = remaining(builder.metadata(), row);
        let builder = builder.with_projection(mask).with_row_groups(groups).with_offset(skip);
        let stream = builder.with_batch_size(self.batch_rows_max).build().map_err(failed)?;
        Ok(ParquetFile { name, stream, decoded: None, row })
    }

    /// The indices of the declared columns among those of the file.
    fn wanted(&self, name: &str, file: &Schema) -> Result<Vec<usize>> {
        let mut wanted = Vec::new();
        for declared in self.schema.fields() {
            match file.column_with_name(declared.name()) {
                Some((index, column)) if is_of_kind(column.data_type(), declared.data_type()) => {
                    wanted.push(index);
                }
                Some((_, column)) => return Err(other_type(name, declared, column)),
                None if declared.is_nullable() => {}
                None => {
                    let what = format!("'{name}' has no column '{}'", declared.name());
                    return Err(Error::new(Code::BadRecord, what)
                        .because("the column is declared NOT NULL")
                        .with_help("declare the column without NOT NULL, or leave the file out"));
                }
            }
        }
        Ok(wanted)
    }

    /// The next rows, or none at the end. May be dropped while it waits.
    pub(super) async fn next(&self, file: &mut ParquetFile) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(decoded) = file.decoded.take() {
                let rows = decoded.num_rows().min(self.rows_max.get());
                let rest = decoded.slice(rows, decoded.num_rows() - rows);
                file.decoded = (rest.num_rows() > 0).then_some(rest);
                file.row += rows as u64;
                self.counters.records_read.add(rows);
                return Ok(Some(decoded.slice(0, rows)));
            }
            let Some(read) = caught(&file.name, file.stream.next()).await? else { return Ok(None) };
            let read = read.map_err(|e| unreadable(&file.name, e))?;
            let rows = read.num_rows();
            if rows == 0 {
                continue;
            }
            let records = self.declared(&read).map_err(|error| {
                self.counters.failed.add(rows);
                self.counters.records_read.add(rows);
                let site = format!("{}: rows {} to {}", file.name, file.row + 1, file.row + rows as u64);
                error.in_site(site)
            })?;
            self.counters.cells_decoded.add(rows * records.num_columns());
            file.decoded = Some(records);
        }
    }

    /// The rows as they were declared.
    fn declared(&self, read: &RecordBatch) -> Result<RecordBatch> {
        let column = |declared: &Arc<Field>| -> Result<ArrayRef> {
            match read.column_by_name(declared.name()) {
                Some(column) => fitted(column, declared.data_type())
                    .map_err(|error| no_value(declared, column.data_type(), &error)),
                None => Ok(new_null_array(declared.data_type(), read.num_rows())),
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
        let columns = self.schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|e| {
            Error::new(Code::BadRecord, "rows are not of the columns that were declared")
                .because(e)
                .with_help("correct the columns of the table")
        })
    }
}

/// The row groups that hold `row` and what follows, and how many rows of the first come before it.
fn remaining(metadata: &ParquetMetaData, row: u64) -> (Vec<usize>, usize) {
    let mut before = 0;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let rows = group.num_rows().max(0) as u64;
        if row < before + rows {
            return ((index..metadata.num_row_groups()).collect(), (row - before) as usize);
        }
        before += rows;
    }
    (Vec::new(), 0)
}

fn other_type(name: &str, declared: &Field, column: &Field) -> Error {
    let (is, declared_as) = (sql_type(column.data_type()), sql_type(declared.data_type()));
    Error::new(Code::BadRecord, format!("column '{}' of '{name}' is {is}", declared.name()))
        .because(format!("it is declared as {declared_as}, and values would be lost or mean something else"))
        .with_help("declare the column with the type that it has, and CAST it in the query")
}

fn no_value(declared: &Field, is: &DataType, error: &Error) -> Error {
    let (is, declared_as) = (sql_type(is), sql_type(declared.data_type()));
    let what = format!("column '{}' is {is}, and a value of it is no {declared_as}", declared.name());
    Error::new(Code::BadRecord, what)
        .because(error.why().unwrap_or(error.what()))
        .with_help("declare the column with the type that it has")
}

/// A file that is not Parquet, or could not be read.
fn unreadable(name: &str, error: ParquetError) -> Error {
    match error {
        ParquetError::External(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => damaged(name, &error.to_string()),
        },
        error => damaged(name, &error.to_string()),
    }
}

fn damaged(name: &str, why: &str) -> Error {
    Error::new(Code::BadRecord, format!("'{name}' cannot be read as Parquet"))
        .because(why)
        .with_help("check that the file is whole, or leave it out with source.regex_pattern")
}

/// The reader of Parquet panics at some files that are damaged: that is an error like the others.
async fn caught<T>(name: &str, read: impl Future<Output = T>) -> Result<T> {
    AssertUnwindSafe(read).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        damaged(name, text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("its reader panicked"))
    })
}

/// The bytes of one version of a file.
struct Ranges {
    store: Arc<Store>,
    file: Found,
}

impl AsyncFileReader for Ranges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let read = self.store.read(&self.file, range);
        read.map(|read| read.map_err(|e| ParquetError::External(Box::new(e)))).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.file.stamp.bytes;
            ParquetMetaDataReader::new().load_and_finish(self, bytes).await.map(Arc::new)
        }
        .boxed()
    }
}
