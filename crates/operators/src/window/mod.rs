//! Aggregates over windows.
//!
//! An [`Assigner`] says which windows there are. Those of event time that are
//! the same for all keys are made of *panes*: rows go into one table per pane,
//! so the pane is no part of a group's key, and a window merges its panes when
//! the watermark reaches its end. Sessions, and windows of so many rows, are
//! each key's own.
//!
//! ```text
//!  split:   rows ─► partial ─► shuffle by key ─► aggregate(states) ─► a row per key and window
//!  whole:   rows ─► assign  ─► shuffle by key ─► aggregate(rows)   ─► a row per key and window
//!  keyed:   rows ─► assign  ─► shuffle by key ─► sessions | counts ─► a row per key and window
//! ```
//!
//! * [`WindowPartial`] stands in the source's chain: it drops late rows and
//!   aggregates panes before the shuffle, for calls whose state is small.
//! * [`WindowAssign`] stands there for all other calls, and for windows of keys: it drops late rows.
//! * [`WindowAggregate`] stands behind the shuffle and holds the windows that are the same for all keys.
//! * [`SessionAggregate`] and [`CountAggregate`] stand there for the others.
//!
//! Lateness is judged row by row where rows still know the watermark of their
//! own split, `_watermark`; where there is no such column, rows come from
//! windows and none is late. A row that is late for some of its windows only is
//! a row of the others. Behind the assignment to panes `_timestamp` is the
//! row's *slot*: the last instant of its pane, less a nanosecond for each window
//! that it came too late for. So `_timestamp` is also the key of the shuffle
//! where there is no other, if windows do not overlap.
//!
//! Rows that come out of windows have the last instant of theirs as
//! `_timestamp`: [`Assigner::same_window`] puts them into that window again.
//!
//! *The law*: a closed window never opens again. A row for it, possible only
//! when an idle split comes back, is counted late.

mod aggregate;
mod assign;
mod assigner;
mod combine;
mod dictionary;
mod held;
mod keyed;
mod lateness;
mod open;
mod panes;
mod partial;
mod pieces;
mod reduction;
mod snapshot;
mod split;
mod tables;

pub use aggregate::WindowAggregate;
pub use assign::WindowAssign;
pub use assigner::{Assigner, Incomplete};
pub use keyed::{CountAggregate, SessionAggregate};
pub use panes::Panes;
pub(crate) use panes::duration;
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
