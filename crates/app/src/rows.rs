//! Streams that stay columns: tables for SQL, and batches for functions of batches.
//!
//! ```text
//!  source of columns ─► event times ┐
//!  records ─► rows ─────────────────┼─► map_batches ─► map_batches ─► SQL, records, sink of columns
//!                                   ┘
//! ```
//!
//! No value leaves its column on the way: what a row costs is what the program's functions make of it.

mod map;

pub use map::Mapped;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, SchemaRef};
use thalweg_dataflow::spec::{SinkSpec, SourceSpec};
use thalweg_dataflow::{Code, Error, OperatorSpec, Result};
use thalweg_operators::watermark::{EventTimeFrom, Generator, Watermark};

use crate::columns::{Values, without_own};
use crate::open::Open;
use crate::plan::{Place, SharedPlan, Work, inlets};
use crate::segment::head::ReadBatch;
use crate::segment::tail::{Along, schema_of};
use crate::stream::{Stream, refuse_own};
use map::MapBatches;

/// A stream as a table. A clone is a branch: both get every row.
#[must_use = "a table that nobody reads does nothing"]
#[derive(Clone)]
pub struct Rows {
    pub(crate) plan: SharedPlan,
    pub(crate) place: Place,
    /// The columns, with the engine's own behind them.
    pub(crate) schema: SchemaRef,
}

/// Where the event times of the rows of a source come from.
#[derive(Clone, Debug)]
pub enum RowTime {
    /// The time at which a row is seen.
    Seen,
    /// A column, and how far behind the newest of its split no row is taken to come.
    Column(String, Duration),
}

impl Rows {
    /// Rows that a function of whole batches makes of these. It is called once for each batch, however few rows
    /// that has, gets the columns without the engine's own, and gives these columns; see [`Mapped`].
    pub fn map_batches<F>(self, name: &str, columns: Fields, function: F) -> Rows
    where
        F: Fn(&RecordBatch) -> Result<Mapped> + Send + Sync + 'static,
    {
        let mut plan = self.plan.borrow_mut();
        refuse_own(&mut plan, &columns);
        let schema = schema_of(columns.iter().cloned(), Along::TimeAndWatermark);
        let segment = Rc::new(MapBatches::new(name, Arc::clone(&schema), Arc::new(function)));
        let node =
            plan.add(format!("{name}/batches"), Work::Segment(segment), inlets(&[self.place], None, 0));
        drop(plan);
        Rows { plan: self.plan, place: Place { node, port: 0 }, schema }
    }

    /// The rows as records that `read` makes of them, in their order. It gets the columns without the
    /// engine's own.
    pub fn records_with<U, F>(self, read: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(&RecordBatch) -> Result<Vec<U>> + Send + Sync + 'static,
    {
        let read: ReadBatch<U> = Arc::new(move |batch| {
            let records: Values<U> = Box::new(read(&without_own(batch)?)?.into_iter());
            Ok(records)
        });
        Stream::new(self.plan, Open::records(vec![self.place], read, "records".to_owned()))
    }

    /// Writes the rows: `make` gets the columns, and gives a sink of such rows.
    pub fn sink<F>(self, name: &str, make: F)
    where
        F: FnOnce(SchemaRef) -> Result<Arc<dyn SinkSpec>>,
    {
        let spec = make(self.schema);
        let mut plan = self.plan.borrow_mut();
        match spec {
            Ok(spec) => {
                plan.add_named(name, "sink", Work::Sink(spec), inlets(&[self.place], None, 0));
            }
            Err(error) => plan.errors.push(error.in_site(format!("sink '{name}'"))),
        }
    }
}

/// The rows of a source, and the operator that tells their event times.
pub(crate) fn source(plan: &SharedPlan, name: &str, spec: Arc<dyn SourceSpec>, time: RowTime) -> Rows {
    let input = spec.output_schema();
    let mut open = plan.borrow_mut();
    let timed = event_times(&input, &time, open.policy).map(|watermark| match spec.live() {
        true => watermark.with_max_future_skew(open.skew_max),
        false => watermark,
    });
    let node = open.add_named(name, "source", Work::Source(spec), Vec::new());
    let source = Place { node, port: 0 };
    let (place, schema) = match timed {
        Ok(watermark) => {
            let schema = watermark.output_schema();
            let work = Work::Operator { spec: Arc::new(watermark), functions: Box::new(|_, _| ()) };
            let node = open.add(format!("{name}/times"), work, inlets(&[source], None, 0));
            (Place { node, port: 0 }, schema)
        }
        Err(error) => {
            open.errors.push(error.in_site(format!("source '{name}'")));
            (source, input)
        }
    };
    drop(open);
    Rows { plan: Rc::clone(plan), place, schema }
}

fn event_times(input: &SchemaRef, time: &RowTime, policy: thalweg_operators::RowPolicy) -> Result<Watermark> {
    let (event_time, delay) = match time {
        RowTime::Seen => (EventTimeFrom::ProcessingTime, Duration::ZERO),
        RowTime::Column(column, delay) => {
            let index = input.index_of(column).map_err(|_| {
                Error::new(Code::UnknownColumn, format!("there is no column '{column}' for the event time"))
            })?;
            (EventTimeFrom::Column(index), *delay)
        }
    };
    Ok(Watermark::new(input, event_time, Generator::Delay(delay), policy)?.with_row_watermark())
}
