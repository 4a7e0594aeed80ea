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

use crate::columns::{Record, Values, without_own};
use crate::open::Open;
use crate::plan::{Exits, Place, SharedPlan, Work, inlets};
use crate::segment::Exit;
use crate::segment::head::ReadBatch;
use crate::segment::tail::{Along, RecordTail, schema_of};
use crate::side::SideOutput;
use crate::stream::{Stream, refuse_own};
use map::{BatchFunction, MapBatches, Parted};

/// A stream as a table. A clone is a branch: both get every row.
#[must_use = "a table that nobody reads does nothing"]
#[derive(Clone)]
pub struct Rows {
    pub(crate) plan: SharedPlan,
    pub(crate) place: Place,
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
        let function = move |batch: &RecordBatch| Ok(Parted::Rows(function(batch)?));
        self.batches(name, columns, None, Arc::new(function))
    }

    /// The same, of a function that answers `Err` for a batch that it cannot go on with. What it answers leaves by
    /// the side output, with the event time of the last row.
    pub fn map_batches_divided<L, F>(
        self,
        name: &str,
        columns: Fields,
        aside: &SideOutput<L>,
        function: F,
    ) -> Rows
    where
        L: Record,
        F: Fn(&RecordBatch) -> Result<std::result::Result<Mapped, L>> + Send + Sync + 'static,
    {
        if !aside.is_of(&self.plan) {
            return self;
        }
        let (layout, schema) = (aside.layout.clone(), RecordTail::schema(&aside.layout));
        let function = move |batch: &RecordBatch| {
            Ok(match function(batch)? {
                Ok(mapped) => Parted::Rows(mapped),
                Err(letter) => {
                    let mut writer = layout.writer()?;
                    writer.push(&letter)?;
                    Parted::Aside(writer.finish()?)
                }
            })
        };
        self.batches(name, columns, Some((schema, aside.node)), Arc::new(function))
    }

    fn batches(
        self,
        name: &str,
        columns: Fields,
        aside: Option<(SchemaRef, usize)>,
        function: Arc<BatchFunction>,
    ) -> Rows {
        let mut plan = self.plan.borrow_mut();
        refuse_own(&mut plan, &columns);
        let schema = schema_of(columns.iter().cloned(), Along::TimeAndWatermark);
        let sides = aside.iter().map(|(schema, _)| Arc::clone(schema)).collect();
        let exits = Exits { main: schema, sides };
        let segment = Rc::new(MapBatches::new(name, exits, function));
        let node =
            plan.add(format!("{name}/batches"), Work::Segment(segment), inlets(&[self.place], None, 0));
        if let Some((_, to)) = aside {
            plan.add_aside(Place { exit: Exit::Side(0), ..Place::of(node) }, to);
        }
        drop(plan);
        Rows { plan: self.plan, place: Place::of(node) }
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

    /// Writes the rows: `make` gets the columns, once they are known, and gives a sink of such rows.
    pub fn sink<F>(self, name: &str, make: F)
    where
        F: Fn(SchemaRef) -> Result<Arc<dyn SinkSpec>> + 'static,
    {
        let work = Work::SinkOfRows(Box::new(make));
        self.plan.borrow_mut().add_named(name, "sink", work, inlets(&[self.place], None, 0));
    }
}

/// The rows of a source, and the operator that tells their event times.
pub(crate) fn source(plan: &SharedPlan, name: &str, spec: Arc<dyn SourceSpec>, time: RowTime) -> Rows {
    let input = spec.output_schema();
    let mut open = plan.borrow_mut();
    let timed = event_times(&input, &time, open.policy);
    let skew_max = spec.live().then(|| open.skew_max.clone());
    let node = open.add_named(name, "source", Work::Source(spec), Vec::new());
    let source = Place::of(node);
    let place = match timed {
        Ok(watermark) => {
            let timed = move || -> Arc<dyn OperatorSpec> {
                let watermark = watermark.clone();
                Arc::new(match &skew_max {
                    Some(skew) => watermark.with_max_future_skew(skew.duration()),
                    None => watermark,
                })
            };
            let work = Work::Operator { spec: Box::new(timed), functions: Box::new(|_, _| ()) };
            let node = open.add(format!("{name}/times"), work, inlets(&[source], None, 0));
            Place::of(node)
        }
        Err(error) => {
            open.errors.push(error.in_site(format!("source '{name}'")));
            source
        }
    };
    drop(open);
    Rows { plan: Rc::clone(plan), place }
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
