//! The columns of a batch in the making, one field after another.
//!
//! A struct's fields carry the nulls of the struct itself: who takes a field
//! out of it sees a null where the event is of another kind.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use thalweg_dataflow::{Error, Result};

use super::model::Model;
use super::random::{Draw, Stream};
use super::rounds::{Event, Kind, Run};

/// Whole numbers.
pub(super) const NUMBER: DataType = DataType::Int64;

/// Texts.
pub(super) const TEXT: DataType = DataType::Utf8;

/// Times.
pub(super) const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// A field of a struct: what it is called, and how it is made.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) data_type: DataType,
    pub(super) make: fn(&Rows<'_>) -> Result<ArrayRef>,
}

/// When the event happens, which every kind says.
pub(super) const DATETIME: Field = Field {
    name: "datetime",
    data_type: TIME,
    make: |rows| {
        let time = rows.model.clock.reader();
        rows.times(|event| time(event.number()))
    },
};

/// The rows of one kind in a batch of events.
pub(super) struct Rows<'a> {
    pub(super) model: &'a Model,
    kind: Kind,
    runs: &'a [Run],
    count: usize,
    nulls: NullBuffer,
}

impl<'a> Rows<'a> {
    /// Those among the `count` events of `runs`.
    pub(super) fn new(model: &'a Model, kind: Kind, runs: &'a [Run], count: usize) -> Self {
        let mut valid = BooleanBufferBuilder::new(count);
        for run in runs {
            let (before, mut rows) = (valid.len(), run.of(kind).map(|(row, _)| row));
            if let Some(first) = rows.next() {
                valid.append_n(first - before, false);
                valid.append_n(1 + rows.count(), true);
            }
            valid.append_n(before + run.len() - valid.len(), false);
        }
        Self { model, kind, runs, count, nulls: NullBuffer::new(valid.finish()) }
    }

    /// Which rows are of the kind.
    pub(super) fn nulls(&self) -> &NullBuffer {
        &self.nulls
    }

    /// How many rows there are, of all kinds.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The random numbers of a draw.
    pub(super) fn stream(&self, draw: Draw) -> Stream {
        self.model.stream(draw)
    }

    /// A column of whole numbers.
    pub(super) fn numbers(&self, value: impl Fn(Event) -> i64) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::new(self.values(value), Some(self.nulls.clone()))))
    }

    /// A column of times.
    pub(super) fn times(&self, value: impl Fn(Event) -> i64) -> Result<ArrayRef> {
        Ok(Arc::new(TimestampNanosecondArray::new(self.values(value), Some(self.nulls.clone()))))
    }

    fn values(&self, value: impl Fn(Event) -> i64) -> ScalarBuffer<i64> {
        let mut values = vec![0; self.count];
        for (row, event) in self.events() {
            values[row] = value(event);
        }
        values.into()
    }

    /// A column of texts: `write` appends one of about `bytes` bytes in UTF-8.
    pub(super) fn texts(&self, bytes: usize, mut write: impl FnMut(Event, &mut Vec<u8>)) -> Result<ArrayRef> {
        let valid = self.count - self.nulls.null_count();
        let mut text = Vec::with_capacity(valid * bytes);
        let mut offsets: Vec<i32> = Vec::with_capacity(self.count + 1);
        for (row, event) in self.events() {
            // The rows between are of another kind, and empty.
            offsets.resize(row + 1, text.len() as i32);
            write(event, &mut text);
        }
        offsets.resize(self.count + 1, text.len() as i32);
        let offsets = OffsetBuffer::new(offsets.into());
        let array = StringArray::try_new(offsets, Buffer::from_vec(text), Some(self.nulls.clone()))
            .map_err(|e| Error::internal("a text of 'nexmark' is no text").because(e))?;
        Ok(Arc::new(array))
    }

    fn events(&self) -> impl Iterator<Item = (usize, Event)> {
        self.runs.iter().flat_map(|run| run.of(self.kind))
    }
}
