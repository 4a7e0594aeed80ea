//! Aggregates over windows of event time.
//!
//! An *assigner* says which panes there are and which windows read them; rows
//! go into one table per pane, so the pane is no part of a group's key. A
//! window closes when the watermark reaches its end.
//!
//! ```text
//!  split:   rows ─► partial ─► shuffle by key ─► aggregate(states) ─► a row per key and window
//!  whole:   rows ─► assign  ─► shuffle by key ─► aggregate(rows)   ─► a row per key and window
//! ```
//!
//! * [`WindowPartial`] stands in the source's chain: it drops late rows and
//!   aggregates panes before the shuffle, for calls whose state is small.
//! * [`WindowAssign`] stands there for all other calls: it drops late rows.
//! * [`WindowAggregate`] stands behind the shuffle and holds the windows.
//!
//! Lateness is judged row by row where rows still know the watermark of their
//! own split, `_watermark`; where there is no such column, rows come from
//! windows and none is late. Behind the assignment `_timestamp` is the last
//! instant of the row's pane, so `_timestamp` is also the key of the shuffle
//! where there is no other.
//!
//! *The law*: a closed window never opens again. A row for it, possible only
//! when an idle split comes back, is counted late.

mod aggregate;
mod assign;
mod assigner;
mod lateness;
mod partial;
mod pieces;
mod reduction;
mod snapshot;
mod split;

pub use aggregate::WindowAggregate;
pub use assign::WindowAssign;
pub use assigner::Assigner;
pub(crate) use assigner::duration;
pub use partial::WindowPartial;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit, TimestampNanosecondType};
use std::sync::Arc;
use thalweg_dataflow::{Error, Result, columns};

/// The type of every time that the engine writes.
pub(crate) const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// The column [`columns::TIMESTAMP`].
pub(crate) fn timestamp_field() -> FieldRef {
    Arc::new(Field::new(columns::TIMESTAMP, TIME, false))
}

/// Where a schema has its event time.
pub(crate) fn timestamp_index(input: &Schema) -> Result<usize> {
    let index = input.index_of(columns::TIMESTAMP);
    match index {
        Ok(index) if input.field(index).data_type() == &TIME => Ok(index),
        Ok(_) | Err(_) => Err(Error::internal("the input of an aggregate has no event time")),
    }
}

/// The times in a column of type [`TIME`].
pub(crate) fn times(records: &RecordBatch, index: usize) -> Result<&[i64]> {
    let column = records.column(index);
    match column.as_primitive_opt::<TimestampNanosecondType>() {
        Some(times) if column.null_count() == 0 => Ok(times.values()),
        Some(_) | None => Err(Error::internal("a column of event times holds something else")),
    }
}

#[cfg(test)]
mod tests;
