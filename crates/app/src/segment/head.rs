//! Where a segment begins: columns become Rust values.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{FieldRef, TimestampNanosecondType};
use thalweg_dataflow::{Code, Error, Result, Step, columns};
use thalweg_operators::RowPolicy;

use super::steps::push_all;
use super::{Flow, Give, Lane, Next};
use crate::columns::{Layout, Record, Table, VALUE, Values};
use crate::decode::Decoder;
use crate::state::{Key, KeyedStates};

type BoxNext<T> = Box<dyn Next<T>>;

/// What is behind the head of a source's chain: whether a step there tells the time of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeFrom {
    /// The time at which a batch was taken.
    Processing,
    /// A step behind.
    Records,
}

impl TimeFrom {
    fn of_row(self, flow: &mut Flow) {
        match self {
            TimeFrom::Processing => flow.at(flow.now, flow.now),
            TimeFrom::Records => {}
        }
    }
}

/// Frames of a source, and the decoder that reads them.
pub(crate) struct Frames<T, D> {
    source: Arc<str>,
    decoder: Arc<D>,
    policy: RowPolicy,
    time: TimeFrom,
    frames: BinaryArray,
    row: usize,
    /// Frames that were decoded before this batch.
    decoded: u64,
    records: VecDeque<T>,
    next: BoxNext<T>,
}

impl<T, D: Decoder<T>> Frames<T, D> {
    pub(crate) fn new(
        source: Arc<str>,
        decoder: Arc<D>,
        policy: RowPolicy,
        time: TimeFrom,
        next: BoxNext<T>,
    ) -> Self {
        let frames = BinaryArray::from_iter_values([] as [&[u8]; 0]);
        Self { source, decoder, policy, time, frames, row: 0, decoded: 0, records: VecDeque::new(), next }
    }

    /// Decodes the next frame.
    fn decode(&mut self, flow: &mut Flow) -> Result<()> {
        let number = self.decoded + self.row as u64 + 1;
        let frame = self.frames.value(self.row);
        self.row += 1;
        let Err(why) = self.decoder.decode(frame, &mut self.records) else { return Ok(()) };
        self.records.clear();
        match self.policy {
            RowPolicy::Drop => {
                flow.refused += 1;
                Ok(())
            }
            RowPolicy::Fail => {
                let what = format!("record {number} of source '{}' cannot be decoded", self.source);
                let help = "correct the decoder, or let the application drop such records";
                Err(Error::new(Code::BadRecord, what).because(why).with_help(help))
            }
        }
    }
}

impl<S, T: Send, D: Decoder<T>> Lane<S> for Frames<T, D> {
    fn start(&mut self, batch: RecordBatch, _: &mut Flow) -> Result<()> {
        let frames = batch.column_by_name(VALUE).and_then(|column| column.as_binary_opt::<i32>());
        self.decoded += self.row as u64;
        self.row = 0;
        self.frames =
            frames.cloned().ok_or_else(|| Error::internal("a source of frames has no column 'value'"))?;
        Ok(())
    }

    fn work(&mut self, _: &mut S, flow: &mut Flow) -> Result<Step> {
        self.next.resume(flow)?;
        while !flow.is_full() {
            match self.records.pop_front() {
                Some(record) => {
                    self.time.of_row(flow);
                    self.next.push(record, flow)?;
                }
                None if self.row < self.frames.len() => self.decode(flow)?,
                None => return self.next.settle(flow),
            }
        }
        Ok(Step::More)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}

/// The engine's own columns of a batch.
#[derive(Default)]
struct Times {
    times: Option<ScalarBuffer<i64>>,
    watermarks: Option<ScalarBuffer<i64>>,
    row: usize,
}

impl Times {
    fn of(batch: &RecordBatch) -> Self {
        let values = |name| {
            let column: &ArrayRef = batch.column_by_name(name)?;
            Some(column.as_primitive_opt::<TimestampNanosecondType>()?.values().clone())
        };
        Self { times: values(columns::TIMESTAMP), watermarks: values(columns::ROW_WATERMARK), row: 0 }
    }

    /// The next row's times. Rows without a watermark of their own are never late.
    #[inline]
    fn next(&mut self, flow: &mut Flow) {
        flow.time = self.times.as_ref().map_or(flow.now, |times| times[self.row]);
        flow.watermark = self.watermarks.as_ref().map_or(i64::MIN, |watermarks| watermarks[self.row]);
        self.row += 1;
    }
}

/// Reads the records of a batch.
pub(crate) type ReadBatch<T> = Arc<dyn Fn(&RecordBatch) -> Result<Values<T>> + Send + Sync>;

/// Records that lie in one column, by its index.
pub(crate) fn read_item<T: Record>(layout: Layout<T>, index: usize) -> ReadBatch<T> {
    Arc::new(move |batch| layout.read(batch.column(index)))
}

/// Records whose fields are columns of a table, by their names.
pub(crate) fn read_table<T: Record>(table: Table<T>) -> ReadBatch<T> {
    Arc::new(move |batch| {
        let schema = batch.schema_ref();
        let indices = table.columns_of(schema);
        let fields: Vec<FieldRef> = indices.iter().map(|&i| Arc::clone(&schema.fields()[i])).collect();
        let columns: Vec<ArrayRef> = indices.iter().map(|&i| Arc::clone(batch.column(i))).collect();
        table.read(&fields, &columns)
    })
}

/// Records that another node wrote as columns.
pub(crate) struct Records<T> {
    read: ReadBatch<T>,
    /// For the records of a source: who tells their times.
    source: Option<TimeFrom>,
    times: Times,
    values: Values<T>,
    next: BoxNext<T>,
}

impl<T: Send + 'static> Records<T> {
    pub(crate) fn new(read: ReadBatch<T>, source: Option<TimeFrom>, next: BoxNext<T>) -> Self {
        Self { read, source, times: Times::default(), values: Box::new(std::iter::empty()), next }
    }
}

impl<S, T: Send> Lane<S> for Records<T> {
    fn start(&mut self, batch: RecordBatch, _: &mut Flow) -> Result<()> {
        self.times = Times::of(&batch);
        self.values = (self.read)(&batch)?;
        Ok(())
    }

    fn work(&mut self, _: &mut S, flow: &mut Flow) -> Result<Step> {
        self.next.resume(flow)?;
        while !flow.is_full() {
            let Some(record) = self.values.next() else { return self.next.settle(flow) };
            match self.source {
                Some(time) => time.of_row(flow),
                None => self.times.next(flow),
            }
            self.next.push(record, flow)?;
        }
        Ok(Step::More)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}

/// Where the key and the record of a keyed row are.
pub(crate) const KEY_INDEX: usize = 0;
pub(crate) const RECORD_INDEX: usize = 1;

/// Keyed records, and a state computation that takes each with the state of its key.
pub(crate) struct Keyed<K, T, U, I: IntoIterator, F> {
    key: Layout<K>,
    record: Layout<T>,
    function: Arc<F>,
    times: Times,
    keys: Values<K>,
    records: Values<T>,
    /// What the computation still has to give for the record at hand.
    rest: Option<I::IntoIter>,
    next: BoxNext<U>,
}

impl<K: Record, T: Record, U, I: IntoIterator, F> Keyed<K, T, U, I, F> {
    pub(crate) fn new(key: Layout<K>, record: Layout<T>, function: Arc<F>, next: BoxNext<U>) -> Self {
        let (keys, records) = (Box::new(std::iter::empty()), Box::new(std::iter::empty()));
        Self { key, record, function, times: Times::default(), keys, records, rest: None, next }
    }
}

impl<K, T, S, U, I, F> Lane<KeyedStates<K, S>> for Keyed<K, T, U, I, F>
where
    K: Key,
    T: Record,
    S: Record,
    I: IntoIterator<Item = Result<U>, IntoIter: Send>,
    F: Fn(&K, T, &mut S) -> Result<I> + Send + Sync,
{
    fn start(&mut self, batch: RecordBatch, _: &mut Flow) -> Result<()> {
        self.times = Times::of(&batch);
        self.keys = self.key.read(batch.column(KEY_INDEX))?;
        self.records = self.record.read(batch.column(RECORD_INDEX))?;
        Ok(())
    }

    fn work(&mut self, states: &mut KeyedStates<K, S>, flow: &mut Flow) -> Result<Step> {
        self.next.resume(flow)?;
        if let Some(rest) = self.rest.take() {
            self.rest = push_all(rest, &mut *self.next, flow)?;
        }
        while !flow.is_full() {
            let (Some(key), Some(record)) = (self.keys.next(), self.records.next()) else {
                return self.next.settle(flow);
            };
            self.times.next(flow);
            let (key, state) = states.of(key);
            let records = (self.function)(key, record, state)?.into_iter();
            self.rest = push_all(records, &mut *self.next, flow)?;
        }
        Ok(Step::More)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}
