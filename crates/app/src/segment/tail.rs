//! Where a segment ends: Rust values become columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, TimestampNanosecondArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use thalweg_dataflow::{Error, Result, Step, columns};

use super::{Exit, Flow, Give, Next};
use crate::columns::{Layout, Record, VALUE, Write, WriteRows};
use crate::encode::Encode;

/// The column of keys.
const KEY: &str = "key";
/// The column of records.
const RECORD: &str = "record";

/// Which of the engine's columns go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    /// The event time alone: to a sink.
    Time,
    /// The event time, and the watermark of the row's split just before it.
    TimeAndWatermark,
}

/// These columns, with the engine's behind them.
pub(crate) fn schema_of(fields: impl IntoIterator<Item = FieldRef>, along: Along) -> SchemaRef {
    let time = |name| Arc::new(Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, None), false));
    let own = match along {
        Along::Time => vec![time(columns::TIMESTAMP)],
        Along::TimeAndWatermark => vec![time(columns::TIMESTAMP), time(columns::ROW_WATERMARK)],
    };
    Arc::new(Schema::new(fields.into_iter().chain(own).collect::<Vec<_>>()))
}

/// The engine's columns of the output.
struct Times {
    along: Along,
    times: Vec<i64>,
    watermarks: Vec<i64>,
}

impl Times {
    fn new(along: Along) -> Self {
        Self { along, times: Vec::new(), watermarks: Vec::new() }
    }

    #[inline]
    fn push(&mut self, flow: &Flow) {
        self.times.push(flow.time);
        match self.along {
            Along::Time => {}
            Along::TimeAndWatermark => self.watermarks.push(flow.watermark),
        }
    }

    /// Gives the batch of these columns and the times of their rows, if there are rows.
    fn give(
        &mut self,
        schema: &SchemaRef,
        columns: impl FnOnce() -> Result<Vec<ArrayRef>>,
        give: Give<'_>,
    ) -> Result<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let mut columns = columns()?;
        let column = |times: &mut Vec<i64>| -> ArrayRef {
            Arc::new(TimestampNanosecondArray::new(ScalarBuffer::from(std::mem::take(times)), None))
        };
        columns.push(column(&mut self.times));
        match self.along {
            Along::Time => {}
            Along::TimeAndWatermark => columns.push(column(&mut self.watermarks)),
        }
        let batch = RecordBatch::try_new(Arc::clone(schema), columns);
        give(Exit::Main, batch.map_err(|e| Error::internal("records do not fit their columns").because(e))?);
        Ok(())
    }
}

/// To a state: the key, the record, the times.
pub(crate) struct KeyedTail<K, T> {
    schema: SchemaRef,
    keys: Box<dyn Write<K>>,
    records: Box<dyn Write<T>>,
    times: Times,
}

impl<K: Record, T: Record> KeyedTail<K, T> {
    /// The columns that come out.
    pub(crate) fn schema(key: &Layout<K>, record: &Layout<T>) -> SchemaRef {
        schema_of([key.field(KEY), record.field(RECORD)], Along::TimeAndWatermark)
    }

    pub(crate) fn new(schema: SchemaRef, key: &Layout<K>, record: &Layout<T>) -> Result<Self> {
        let times = Times::new(Along::TimeAndWatermark);
        Ok(Self { schema, keys: key.writer()?, records: record.writer()?, times })
    }
}

impl<K: Record, T: Record> Next<(K, T)> for KeyedTail<K, T> {
    fn push(&mut self, (key, record): (K, T), flow: &mut Flow) -> Result<()> {
        let key_bytes = self.keys.push(&key)?;
        let record_bytes = self.records.push(&record)?;
        self.times.push(flow);
        flow.gave(key_bytes + record_bytes);
        Ok(())
    }

    fn resume(&mut self, _: &mut Flow) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self, _: &mut Flow) -> Result<Step> {
        Ok(Step::Done)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        let Self { schema, keys, records, times } = self;
        times.give(schema, || Ok(vec![keys.finish()?, records.finish()?]), give)
    }
}

/// To another segment: the record, the times.
pub(crate) struct RecordTail<T> {
    schema: SchemaRef,
    records: Box<dyn Write<T>>,
    times: Times,
}

impl<T: Record> RecordTail<T> {
    /// The columns that come out.
    pub(crate) fn schema(record: &Layout<T>) -> SchemaRef {
        schema_of([record.field(RECORD)], Along::TimeAndWatermark)
    }

    pub(crate) fn new(schema: SchemaRef, record: &Layout<T>) -> Result<Self> {
        Ok(Self { schema, records: record.writer()?, times: Times::new(Along::TimeAndWatermark) })
    }
}

impl<T: Record> Next<T> for RecordTail<T> {
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        let bytes = self.records.push(&record)?;
        self.times.push(flow);
        flow.gave(bytes);
        Ok(())
    }

    fn resume(&mut self, _: &mut Flow) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self, _: &mut Flow) -> Result<Step> {
        Ok(Step::Done)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        let Self { schema, records, times } = self;
        times.give(schema, || Ok(vec![records.finish()?]), give)
    }
}

/// To SQL, or to a sink of columns: the fields of the record, the times.
pub(crate) struct TableTail<T> {
    schema: SchemaRef,
    rows: Box<dyn WriteRows<T>>,
    times: Times,
}

impl<T> TableTail<T> {
    pub(crate) fn new(schema: SchemaRef, rows: Box<dyn WriteRows<T>>, along: Along) -> Self {
        Self { schema, rows, times: Times::new(along) }
    }
}

impl<T> Next<T> for TableTail<T> {
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        let bytes = self.rows.push(&record)?;
        self.times.push(flow);
        flow.gave(bytes);
        Ok(())
    }

    fn resume(&mut self, _: &mut Flow) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self, _: &mut Flow) -> Result<Step> {
        Ok(Step::Done)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        let Self { schema, rows, times } = self;
        times.give(schema, || rows.finish(), give)
    }
}

/// To a sink of frames: one column of bytes.
pub(crate) struct FrameTail<E> {
    schema: SchemaRef,
    encoder: Arc<E>,
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl<E> FrameTail<E> {
    /// The column that comes out.
    pub(crate) fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Binary, false)]))
    }

    pub(crate) fn new(encoder: Arc<E>) -> Self {
        Self { schema: Self::schema(), encoder, bytes: Vec::new(), ends: vec![0] }
    }
}

impl<T, E: Encode<T>> Next<T> for FrameTail<E> {
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        let before = self.bytes.len();
        self.encoder.encode(&record, &mut self.bytes)?;
        if self.bytes.len() < before {
            return Err(Error::internal("an encoder took bytes away that were not its own"));
        }
        let end = i32::try_from(self.bytes.len());
        self.ends.push(end.map_err(|_| crate::encode::too_long(self.bytes.len() - before))?);
        flow.gave(self.bytes.len() - before);
        Ok(())
    }

    fn resume(&mut self, _: &mut Flow) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self, _: &mut Flow) -> Result<Step> {
        Ok(Step::Done)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        if self.ends.len() == 1 {
            return Ok(());
        }
        let ends = ScalarBuffer::from(std::mem::replace(&mut self.ends, vec![0]));
        let bytes = Buffer::from_vec(std::mem::take(&mut self.bytes));
        let frames = BinaryArray::try_new(OffsetBuffer::new(ends), bytes, None);
        let broken = |e| Error::internal("frames do not fit their column").because(e);
        let frames: ArrayRef = Arc::new(frames.map_err(broken)?);
        give(Exit::Main, RecordBatch::try_new(Arc::clone(&self.schema), vec![frames]).map_err(broken)?);
        Ok(())
    }
}

/// To nobody.
pub(crate) struct NoTail;

impl<T> Next<T> for NoTail {
    fn push(&mut self, _: T, _: &mut Flow) -> Result<()> {
        Ok(())
    }

    fn resume(&mut self, _: &mut Flow) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self, _: &mut Flow) -> Result<Step> {
        Ok(Step::Done)
    }

    fn take(&mut self, _: Give<'_>) -> Result<()> {
        Ok(())
    }
}
