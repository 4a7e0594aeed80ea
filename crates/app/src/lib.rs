//! What graph does this program mean?
//!
//! Pipelines of Rust functions, written as a dataflow graph. Consecutive steps
//! are composed as functions: a record becomes columns where it crosses to
//! another subtask, goes into a state or into SQL, and nowhere else.
//!
//! ```text
//!  source ─► decode, flat_map, key_by ─shuffle─► state, map, encode ─► sink
//!            └──── one segment ─────┘            └── one segment ─┘
//! ```
//!
//! * [`Application`]: pipelines that are deployed together, with their sources, states and SQL.
//! * [`Stream`], [`KeyedStream`], [`State`]: what pipelines are made of.
//! * [`SideOutput`]: what leaves pipelines aside.
//! * [`Rows`]: streams that stay columns, through functions of whole batches.
//! * [`Windows`], [`Aggregation`]: what is computed over windows.
//! * [`decode`], [`encode`]: from frames to records, and back.
//! * [`Driver`]: a program in a test, by hand and without a clock.
//!
//! Counting words:
//!
//! ```
//! use thalweg_app::driver::{frames, kept};
//! use thalweg_app::{Application, Driver, decode};
//!
//! let application = Application::new("word-count");
//! application
//!     .source("text", frames(), decode::utf8())
//!     .flat_map(|text: String| text.split(' ').map(str::to_lowercase).collect::<Vec<_>>())
//!     .key_by(|word| word.clone())
//!     .stateful("counts", |_, word, count: &mut u64| {
//!         *count += 1;
//!         Some((word, *count))
//!     })
//!     .sink("out", kept(), |(word, count), line| line.extend(format!("{word} => {count}\n").bytes()));
//!
//! let mut driver = Driver::new(application).map_err(|errors| errors[0].clone())?;
//! driver.frame("text", "the pool and the river")?;
//! assert_eq!(driver.text("out"), "the => 1\npool => 1\nand => 1\nthe => 2\nriver => 1\n");
//! # Ok::<(), thalweg_dataflow::Error>(())
//! ```

mod application;
mod arguments;
mod build;
mod columns;
pub mod decode;
pub mod driver;
pub mod encode;
mod float;
mod keyed;
mod open;
mod plan;
mod rows;
mod segment;
mod side;
mod sql;
mod state;
mod stream;
mod window;

pub use application::{Application, Program};
pub use arguments::Arguments;
pub use columns::{Columnar, Readable, ReadableField, ReadableFields, Record, Values, Write, WriteRows};
pub use driver::Driver;
pub use float::Float;
pub use keyed::KeyedStream;
pub use rows::{Mapped, RowTime, Rows};
pub use side::SideOutput;
pub use sql::{NoSql, SqlPlanner};
pub use state::{Key, State};
pub use stream::Stream;
pub use thalweg_dataflow::{EventTime, Outlet};
pub use thalweg_operators::RowPolicy;
pub use thalweg_operators::window::Incomplete;
pub use window::{Aggregation, Window, WindowedStream, Windows};

use thalweg_dataflow::Registry;

/// Makes every operator of this crate known under its kind.
pub fn register(registry: &mut Registry) {
    registry
        .add_operator(segment::SegmentSpec::KIND, thalweg_operators::spec::decode::<segment::SegmentSpec>);
}
