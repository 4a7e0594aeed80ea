//! Rows to the bytes of a file, of either format.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::column_type::sql_type;
use thalweg_dataflow::options::Options;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result};

use crate::row_writer::{RowWriter, Writing, written_columns};

/// The bytes of a row group, unless `parquet.row_group_size` says otherwise. Each open file holds one in memory.
const ROW_GROUP_BYTES: u64 = 16 << 20;

/// How rows are written, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum FileWriting {
    Lines(Writing),
    Parquet { options: ParquetOptions, schema: Schema },
}

/// How Parquet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ParquetOptions {
    compression: Codec,
    row_group_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Codec {
    Uncompressed,
    Snappy,
    Gzip,
    Zstd,
    Lz4,
}

impl ParquetOptions {
    pub(super) fn take(options: &mut Options) -> Result<Self> {
        let codecs = [
            ("zstd", Codec::Zstd),
            ("snappy", Codec::Snappy),
            ("gzip", Codec::Gzip),
            ("lz4", Codec::Lz4),
            ("lz4_raw", Codec::Lz4),
            ("uncompressed", Codec::Uncompressed),
        ];
        Ok(Self {
            compression: options.take_choice("parquet.compression", &codecs)?.unwrap_or(Codec::Zstd),
            row_group_bytes: options.take_size("parquet.row_group_size", 1)?.unwrap_or(ROW_GROUP_BYTES),
        })
    }

    fn properties(self) -> WriterProperties {
        let compression = match self.compression {
            Codec::Uncompressed => Compression::UNCOMPRESSED,
            Codec::Snappy => Compression::SNAPPY,
            Codec::Gzip => Compression::GZIP(Default::default()),
            Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
            Codec::Lz4 => Compression::LZ4_RAW,
        };
        WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_bytes(Some(self.row_group_bytes as usize))
            .build()
    }
}

impl FileWriting {
    /// Checks that the format can hold rows of this schema.
    pub(super) fn parquet(options: ParquetOptions, schema: &SchemaRef, rows: RowKind) -> Result<Self> {
        if rows == RowKind::Changelog {
            let what = "the rows change and the sink can only append";
            return Err(Error::new(Code::SinkNotUpdating, what).with_help("use format = 'debezium_json'"));
        }
        // The writer takes the schema, and fails at the first rows.
        if let Some(column) = schema.fields().iter().find(|field| has_interval(field.data_type())) {
            let is = sql_type(column.data_type());
            let what = format!("format 'parquet' has no form for column '{}' of type {is}", column.name());
            return Err(Error::new(Code::InvalidType, what)
                .with_help("write a number, as in date_part('epoch', x), or CAST it to TEXT"));
        }
        let writing = FileWriting::Parquet { options, schema: schema.as_ref().clone() };
        writing.encoder()?.begin()?;
        Ok(writing)
    }

    pub(super) fn accepts(&self, rows: RowKind) -> bool {
        match self {
            FileWriting::Lines(writing) => writing.accepts(rows),
            FileWriting::Parquet { .. } => rows == RowKind::Append,
        }
    }

    pub(super) fn format_name(&self) -> &'static str {
        match self {
            FileWriting::Lines(writing) => writing.format_name(),
            FileWriting::Parquet { .. } => "parquet",
        }
    }

    /// What names of files end with.
    pub(super) fn extension(&self) -> &'static str {
        match self {
            FileWriting::Lines(writing) if writing.format_name().ends_with("json") => "json",
            FileWriting::Lines(_) => "txt",
            FileWriting::Parquet { .. } => "parquet",
        }
    }

    pub(super) fn encoder(&self) -> Result<FileEncoder> {
        match self {
            FileWriting::Lines(writing) => Ok(FileEncoder::Lines(writing.writer()?)),
            FileWriting::Parquet { options, schema } => {
                let columns = written_columns(schema, false);
                let visible = schema.project(&columns);
                let visible =
                    visible.map_err(|e| Error::internal("a schema cannot be projected").because(e))?;
                let (schema, properties) = (Arc::new(visible), Box::new(options.properties()));
                Ok(FileEncoder::Parquet { columns, schema, properties })
            }
        }
    }
}

fn has_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_interval(field.data_type())),
        DataType::List(field) | DataType::Map(field, _) => has_interval(field.data_type()),
        _ => false,
    }
}

/// Encodes rows of one schema, for any number of files at once.
pub(super) enum FileEncoder {
    Lines(RowWriter),
    Parquet { columns: Vec<usize>, schema: SchemaRef, properties: Box<WriterProperties> },
}

/// What an encoder keeps of one file.
pub(super) enum Encoded {
    Lines,
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl FileEncoder {
    /// Begins a file.
    pub(super) fn begin(&self) -> Result<Encoded> {
        match self {
            FileEncoder::Lines(_) => Ok(Encoded::Lines),
            FileEncoder::Parquet { schema, properties, .. } => {
                let writer =
                    ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties.as_ref().clone()));
                let writer = writer.map_err(|e| {
                    Error::new(Code::InvalidType, "format 'parquet' has no form for a column")
                        .because(e)
                        .with_help("cast the column to another type")
                })?;
                Ok(Encoded::Parquet(Box::new(writer)))
            }
        }
    }

    /// Appends rows to a file; what of it can leave is appended to `out`.
    pub(super) fn write(
        &mut self,
        file: &mut Encoded,
        records: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match (self, file) {
            (FileEncoder::Lines(writer), Encoded::Lines) => writer.write(records, out),
            (FileEncoder::Parquet { columns, .. }, Encoded::Parquet(writer)) => {
                let visible = records.project(columns);
                let visible = visible.map_err(|e| Error::internal("a sink got other columns").because(e))?;
                writer.write(&visible).map_err(unwritable)?;
                out.append(writer.inner_mut());
                Ok(())
            }
            (FileEncoder::Lines(_), Encoded::Parquet(_)) | (FileEncoder::Parquet { .. }, Encoded::Lines) => {
                Err(Error::internal("a file is of another format than its encoder"))
            }
        }
    }
}

impl Encoded {
    /// Bytes that the file will have and that are not yet given out, about.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Encoded::Lines => 0,
            Encoded::Parquet(writer) => writer.in_progress_size(),
        }
    }

    /// Ends the file: appends what is left of it to `out`.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Encoded::Lines => Ok(()),
            Encoded::Parquet(writer) => {
                out.append(&mut writer.into_inner().map_err(unwritable)?);
                Ok(())
            }
        }
    }
}

fn unwritable(error: ParquetError) -> Error {
    Error::new(Code::OperatorFailed, "rows cannot be written as Parquet").because(error)
}
