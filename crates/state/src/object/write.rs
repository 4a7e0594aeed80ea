//! From rows to the bytes of objects.

use arrow::array::types::{Int64Type, TimestampNanosecondType};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Encoding, Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::SCHEMA_KEY;
use super::sort::{Sorted, covering, groups_of};
use super::storable::{Stored, schema_and_rows};
use crate::checksum::Checksum;
use crate::manifest::to_hex;
use crate::store::StoreError;
use crate::{FrozenTable, KEY_GROUP_COLUMN, KeyGroups};

/// An object is closed when it has reached this size; it is the unit of reading and of compaction.
const OBJECT_BYTES: usize = 32 << 20;
/// The rows of a row group, the unit of skipping.
const ROW_GROUP_ROWS: usize = 1 << 17;
/// The rows that are sorted and handed to the encoder at a time.
const CHUNK_ROWS: usize = 1 << 16;
/// The size of a page: what a reader decodes at a time.
const PAGE_BYTES: usize = 1 << 20;

/// An object that is not written yet.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    pub(crate) checksum: Checksum,
    pub(crate) rows: u64,
    pub(crate) groups: KeyGroups,
    pub(crate) latest: Option<i64>,
}

/// The objects of a table, one after the other: none if it has no rows, several if it is large.
pub(crate) fn encode(
    table: &FrozenTable,
) -> Result<impl Iterator<Item = Result<Encoded, StoreError>> + Send + use<>, StoreError> {
    let name = table.name.to_string();
    let refuse = move |reason: String| StoreError::Unstorable { table: name.clone(), reason };
    let filled = table.batches.iter().filter(|batch| batch.num_rows() > 0);
    let stored: Vec<Stored> =
        filled.map(Stored::from_rows).collect::<Result<_, _>>().map_err(|e| refuse(e.to_string()))?;
    let expiry = table.expiry.map(|expiry| expiry.column);
    let objects = objects(&stored, expiry).map_err(&refuse)?;
    Ok(objects.into_iter().flatten().map(move |encoded| encoded.map_err(&refuse)))
}

/// The objects of rows: at least one for each schema.
///
/// Batches of one table have one schema, unless their nullability or metadata differ.
pub(crate) fn objects(stored: &[Stored], expiry: Option<usize>) -> Result<Vec<Objects>, String> {
    let alike =
        |a: &Stored, b: &Stored| a.logical == b.logical && a.batch.schema_ref() == b.batch.schema_ref();
    stored.chunk_by(alike).map(|alike| Objects::new(alike, expiry)).collect()
}

/// The objects of rows of one schema. Each is encoded when it is asked for.
pub(crate) struct Objects {
    sorted: Sorted,
    stored: SchemaRef,
    logical: SchemaRef,
    expiry: Option<usize>,
    /// The first row that is in no object yet.
    next: usize,
}

impl Objects {
    fn new(alike: &[Stored], expiry: Option<usize>) -> Result<Self, String> {
        let first = alike.first().ok_or("no rows")?;
        let (stored, logical) = (first.batch.schema(), first.logical.clone());
        let sorted = Sorted::new(alike.iter().map(|s| s.batch.clone()).collect())
            .ok_or_else(|| format!("its first column is not '{KEY_GROUP_COLUMN}'"))?;
        Ok(Self { sorted, stored, logical, expiry, next: 0 })
    }

    fn encode_next(&mut self) -> Result<Encoded, String> {
        let mut object = Open::new(&self.stored, &self.logical)?;
        while self.next < self.sorted.rows() && object.bytes() < OBJECT_BYTES {
            let rows = self.next..self.sorted.rows().min(self.next + CHUNK_ROWS);
            self.next = rows.end;
            object.write(&self.sorted.chunk(rows).map_err(|e| e.to_string())?, self.expiry)?;
        }
        object.close()
    }
}

impl Iterator for Objects {
    type Item = Result<Encoded, String>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.next < self.sorted.rows()).then(|| self.encode_next())
    }
}

/// An object that rows are being added to.
struct Open {
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
    groups: Vec<u16>,
    /// None before the first row; then none inside if some row never expires.
    latest: Option<Option<i64>>,
}

impl Open {
    fn new(stored: &SchemaRef, logical: &SchemaRef) -> Result<Self, String> {
        let words = |e: &dyn std::error::Error| e.to_string();
        let mut properties = properties(stored)?;
        if stored != logical {
            let schema = schema_and_rows(logical, None).map_err(|e| words(&e))?;
            let entry = KeyValue::new(SCHEMA_KEY.to_owned(), to_hex(&schema));
            properties = properties.into_builder().set_key_value_metadata(Some(vec![entry])).build();
        }
        let options = ArrowWriterOptions::new().with_properties(properties);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), stored.clone(), options);
        Ok(Self { writer: writer.map_err(|e| words(&e))?, rows: 0, groups: Vec::new(), latest: None })
    }

    fn write(&mut self, chunk: &RecordBatch, expiry: Option<usize>) -> Result<(), String> {
        self.writer.write(chunk).map_err(|e| e.to_string())?;
        self.rows += chunk.num_rows() as u64;
        self.groups.extend(groups_of(chunk).unwrap_or_default());
        self.groups.dedup();
        let latest = expiry.and_then(|column| latest(chunk, column));
        self.latest = Some(match self.latest {
            None => latest,
            Some(before) => before.zip(latest).map(|(a, b)| a.max(b)),
        });
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    fn close(self) -> Result<Encoded, String> {
        let bytes = Bytes::from(self.writer.into_inner().map_err(|e| e.to_string())?);
        Ok(Encoded {
            checksum: Checksum::of(&bytes),
            bytes,
            rows: self.rows,
            groups: covering(self.groups.into_iter()),
            latest: self.latest.flatten(),
        })
    }
}

fn properties(stored: &SchemaRef) -> Result<WriterProperties, String> {
    let groups = ColumnPath::from(KEY_GROUP_COLUMN);
    let mut properties = WriterProperties::builder()
        .set_created_by("thalweg".to_owned())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(groups, EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(ROW_GROUP_ROWS);
    let columns = ArrowSchemaConverter::new().convert(stored).map_err(|e| e.to_string())?;
    for column in columns.columns() {
        if matches!(column.physical_type(), Type::INT32 | Type::INT64) {
            properties = properties.set_column_encoding(column.path().clone(), Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties.build())
}

/// The values of a column that decides about expiry.
pub(super) fn expiry_values(batch: &RecordBatch, column: usize) -> Option<(&ScalarBuffer<i64>, &dyn Array)> {
    let array = batch.columns().get(column)?;
    if let Some(integers) = array.as_primitive_opt::<Int64Type>() {
        return Some((integers.values(), integers));
    }
    let instants = array.as_primitive_opt::<TimestampNanosecondType>()?;
    Some((instants.values(), instants))
}

/// The highest value of the column, if every row has one.
fn latest(batch: &RecordBatch, column: usize) -> Option<i64> {
    let (values, array) = expiry_values(batch, column)?;
    if array.null_count() > 0 { None } else { values.iter().copied().max() }
}
