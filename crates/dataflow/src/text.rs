//! Streams as text, for tests: one line, one thing.
//!
//! ```text
//! columns key:text value:int? _timestamp:time _diff      the columns of the rows below, `?` where null may be
//! a 1 10 +                                               a row: cells in order
//! "b c" null 10.5 -                                      quotes where a cell has blanks; times are seconds
//! in 1                                                   rows below come in on port 1
//! split s                                                rows below come from split s
//! split s idle|end|assigned|watermark 7                  what happens to a split
//! wm 12                                                  no more rows before second 12
//! now 30                                                 the processing time; timers that are due fire
//! flush                                                  the input is empty
//! barrier                                                a cut
//! end                                                    all inputs were read to their end
//! # a comment
//! ```
//!
//! Types are `int`, `int8`, `int16`, `int32`, `uint64`, `float`, `bool`,
//! `text`, `bytes`, `time`, `timez` (UTC), `[type]` for lists, whose cells are
//! `[1,null]`, and `{name:type,name:type}` for structs, whose cells are
//! `{1,x}`. `_diff` needs no type; its cells are `+` and `-`.
//!
//! Output is written in the same form: rows, `wm`, `idle`, and `out 1` before
//! what leaves on another port than the line above it.
//!
//! ```
//! use thalweg_dataflow::operator::Output;
//! use thalweg_dataflow::text::{self, Event};
//! use thalweg_dataflow::{EventTime, Port, Watermark};
//!
//! let events = text::read("columns a:int b:[text]\n1 [x,null]\n2 []\nwm 3").unwrap();
//! let [Event::Rows { records, .. }, Event::Watermark(watermark)] = &events[..] else { panic!() };
//! assert_eq!(records.num_rows(), 2);
//! assert_eq!(*watermark, Watermark(EventTime(3_000_000_000)));
//!
//! let output = [Output::Batch(Port::MAIN, records.clone()), Output::Watermark(*watermark)];
//! assert_eq!(text::write(&output), "1 [x,null]\n2 []\nwm 3\n");
//! ```

mod cells;
mod read;
mod write;

use arrow::array::RecordBatch;
use thalweg_state::SplitId;

use crate::message::Port;
use crate::source::SplitEvent;
use crate::time::{ProcessingTime, Watermark};

pub use read::{read, read_rows, read_schema};
pub use write::{write, write_rows};

/// One thing that happens to an operator.
#[derive(Clone, Debug)]
pub enum Event {
    /// Rows, all of one port and split. How many make a batch is for the reader to say.
    Rows {
        /// The input that they come in on.
        port: Port,
        /// The split that they come from.
        split: Option<SplitId>,
        /// The rows.
        records: RecordBatch,
    },
    /// No more rows before this; [`Watermark::END`] for `end`.
    Watermark(Watermark),
    /// Something happens to a split.
    Split(SplitId, SplitEvent),
    /// The processing time is now this.
    Now(ProcessingTime),
    /// The input is empty.
    Flush,
    /// A cut.
    Barrier,
}
