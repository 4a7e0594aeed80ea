//! The one currency of every edge.
//!
//! Order on a channel is the law: no message overtakes a barrier, and a
//! watermark speaks of all rows behind it. Between channels nothing is
//! promised.

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thalweg_state::{Epoch, SplitId};

use crate::routing::RoutingTable;
use crate::time::Watermark;

/// Names of the columns that the engine adds. A user's column never begins
/// with an underscore followed by one of these names.
pub mod columns {
    /// Event time of the row, `Timestamp(Nanosecond, None)`, not null. On every edge behind a watermark operator.
    pub const TIMESTAMP: &str = "_timestamp";
    /// The watermark of the row's own split just before the row,
    /// `Timestamp(Nanosecond, None)`, not null. From the watermark operator to
    /// the first window assignment, where lateness is judged row by row.
    pub const ROW_WATERMARK: &str = "_watermark";
    /// +1 assert, −1 retract; `Int8`, not null. On changelog edges only.
    pub const DIFF: &str = "_diff";
}

/// A numbered input or output of an operator. Input 0 and output 0 are the main ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port(pub u16);

impl Port {
    /// The main input or output.
    pub const MAIN: Port = Port(0);
}

/// Rows on their way. Never empty when the runtime hands it to an operator.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The rows as columns.
    pub records: RecordBatch,
    /// The split that all rows come from; set by a source, gone behind the
    /// watermark operator, never mixed within one batch.
    pub split: Option<SplitId>,
}

impl Batch {
    /// Rows that no longer know their split.
    pub fn new(records: RecordBatch) -> Self {
        Self { records, split: None }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.records.num_rows()
    }

    /// The bytes that the rows hold in memory, as counted against queue bounds.
    pub fn bytes(&self) -> usize {
        self.records.get_array_memory_size()
    }
}

/// The message that cuts the stream.
#[derive(Clone, Debug)]
pub struct Barrier {
    /// The number of the cut.
    pub epoch: Epoch,
    /// New routing tables that hold for every row behind this barrier.
    pub tables: Arc<[RoutingTable]>,
    /// The sources stop behind this barrier: a `Retire` follows, no window closes.
    pub stop: bool,
}

impl Barrier {
    /// A barrier that changes nothing else.
    pub fn plain(epoch: Epoch) -> Self {
        Self { epoch, tables: Arc::from([]), stop: false }
    }

    /// The barrier behind which sources stop.
    pub fn stopping(epoch: Epoch) -> Self {
        Self { stop: true, ..Self::plain(epoch) }
    }
}

/// Why somebody for now holds no watermark back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It was silent for as long as the idle timeout. Others go on without it, and what it has to say
    /// later may be late.
    Silent,
    /// It reads no split. It ends when the others do, so what has ended may wait for it.
    Empty,
}

/// All that may cross an edge.
#[derive(Clone, Debug)]
pub enum Message {
    /// Rows.
    Batch(Batch),
    /// No more rows before this time on this channel.
    Watermark(Watermark),
    /// This channel for now holds no watermark back. Ends with the next batch or watermark.
    Idle(Rest),
    /// A cut.
    Barrier(Barrier),
    /// This channel ends, and says nothing about time.
    Retire,
    /// This channel ends because its input was read to the end.
    End,
}
