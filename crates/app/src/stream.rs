//! Records on their way through a program, as the program declares it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Fields, Schema, SchemaRef};
use thalweg_dataflow::spec::SinkSpec;
use thalweg_dataflow::{Code, Error, EventTime, Result};

use crate::columns::{Columnar, Layout, Record, Table, WriteRows};
use crate::encode::{Always, Encode, EncodeError, Fallible};
use crate::keyed::KeyedStream;
use crate::open::{End, Open};
use crate::plan::{Inlet, Place, Plan, SharedPlan, Work, inlets};
use crate::rows::Rows;
use crate::segment::Next;
use crate::segment::head::read_item;
use crate::segment::steps::{FilterMap, FlatMap, Map, Timed};
use crate::segment::tail::{Along, FrameTail, NoTail, RecordTail, TableTail, schema_of};
use crate::segment::together::Together;
use crate::side::SideOutput;
use crate::state::Key;

/// A stream of records of type `T`.
///
/// Steps are functions; those that follow each other are composed, and a record
/// stays a Rust value between them. A clone is a branch: the steps before it
/// run once, and both go on from there. That asks for a [`Record`], since the
/// records of a branching point are written down once for all that read them.
#[must_use = "a stream leads somewhere, or to 'discard'"]
pub struct Stream<T> {
    pub(crate) plan: SharedPlan,
    opens: RefCell<Vec<Open<T>>>,
}

impl<T: Send + 'static> Stream<T> {
    pub(crate) fn new(plan: SharedPlan, open: Open<T>) -> Self {
        Self { plan, opens: RefCell::new(vec![open]) }
    }

    /// One record for each.
    pub fn map<U, F>(self, function: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(T) -> U + Send + Sync + 'static,
    {
        self.try_map(move |record| Ok(function(record)))
    }

    /// Like [`map`](Self::map), by a function that may fail, which fails the job.
    pub fn try_map<U, F>(self, function: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(T) -> Result<U> + Send + Sync + 'static,
    {
        self.mapped("map", function)
    }

    /// The records for which `function` answers true.
    pub fn filter<F>(self, function: F) -> Stream<T>
    where
        F: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.try_filter(move |record| Ok(function(record)))
    }

    /// Like [`filter`](Self::filter), by a function that may fail, which fails the job.
    pub fn try_filter<F>(self, function: F) -> Stream<T>
    where
        F: Fn(&T) -> Result<bool> + Send + Sync + 'static,
    {
        self.filter_mapped("filter", move |record: T| Ok(function(&record)?.then_some(record)))
    }

    /// One record for each, or none.
    pub fn filter_map<U, F>(self, function: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(T) -> Option<U> + Send + Sync + 'static,
    {
        self.try_filter_map(move |record| Ok(function(record)))
    }

    /// Like [`filter_map`](Self::filter_map), by a function that may fail, which fails the job.
    pub fn try_filter_map<U, F>(self, function: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(T) -> Result<Option<U>> + Send + Sync + 'static,
    {
        self.filter_mapped("filter_map", function)
    }

    /// Any number of records for each: a list, an option, an iterator. They
    /// keep the event time of the one that they are made of. An iterator is
    /// asked for the next record only when there is room for it.
    pub fn flat_map<I, F>(self, function: F) -> Stream<I::Item>
    where
        I: IntoIterator<Item: Send, IntoIter: Send> + 'static,
        F: Fn(T) -> I + Send + Sync + 'static,
    {
        self.try_flat_map(move |record| Ok(function(record).into_iter().map(Ok)))
    }

    /// Like [`flat_map`](Self::flat_map), by a function that may fail, before it gives anything or in
    /// between, which fails the job.
    pub fn try_flat_map<U, I, F>(self, function: F) -> Stream<U>
    where
        U: Send + 'static,
        I: IntoIterator<Item = Result<U>, IntoIter: Send> + 'static,
        F: Fn(T) -> Result<I> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        self.then("flat_map", move |next| Box::new(FlatMap::<T, U, I, F>::new(Arc::clone(&function), next)))
    }

    /// One record for each, or none, by a function that gets up to `records_max` of them at once and answers for
    /// each: for calls that wait, and can wait at the same time. They are those of one batch, so none waits
    /// for records that have yet to come.
    pub fn try_map_together<U, F>(self, records_max: usize, function: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(Vec<T>) -> Result<Vec<Option<U>>> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        self.then("map_together", move |next| {
            Box::new(Together::new(Arc::clone(&function), records_max, next))
        })
    }

    /// The same records, after `function` has seen them.
    pub fn inspect<F>(self, function: F) -> Stream<T>
    where
        F: Fn(&T) + Send + Sync + 'static,
    {
        self.mapped("inspect", move |record: T| {
            function(&record);
            Ok(record)
        })
    }

    /// Gives each record its event time. No record is taken to come more than
    /// `max_delay` behind the newest of its split: one that does is late.
    ///
    /// Only between a source and the first exchange, and only once; without
    /// it the event time of a record is the time at which its frame was read.
    pub fn with_event_time<F>(self, function: F, max_delay: Duration) -> Stream<T>
    where
        F: Fn(&T) -> EventTime + Send + Sync + 'static,
    {
        self.try_with_event_time(move |record| Ok(function(record)), max_delay)
    }

    /// Like [`with_event_time`](Self::with_event_time), by a function that may fail, which fails the job.
    pub fn try_with_event_time<F>(self, function: F, max_delay: Duration) -> Stream<T>
    where
        F: Fn(&T) -> Result<EventTime> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        let delay = i64::try_from(max_delay.as_nanos()).unwrap_or(i64::MAX);
        let make = move |next| -> Box<dyn Next<T>> {
            Box::new(Timed { function: Arc::clone(&function), delay, next })
        };
        self.each(|open| open.timed(make.clone()))
    }

    /// The records of both, in the order in which they come.
    pub fn merge(self, other: Stream<T>) -> Stream<T> {
        if !Rc::ptr_eq(&self.plan, &other.plan) {
            let what = "streams of two applications cannot be merged";
            self.plan.borrow_mut().errors.push(Error::new(Code::InvalidQuery, what));
        }
        self.opens.borrow_mut().extend(other.opens.take());
        self
    }

    /// Groups the records: what follows has a state, or windows, for each key.
    pub fn key_by<K, F>(self, function: F) -> KeyedStream<K, T>
    where
        T: Record,
        K: Key,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        self.mapped("key_by", move |record: T| Ok((function(&record), record))).keyed()
    }

    /// Writes each record as one frame: `encoder` appends its bytes.
    ///
    /// `spec` is a sink of one binary column, `value`.
    pub fn sink<F>(self, name: &str, spec: Arc<dyn SinkSpec>, encoder: F)
    where
        F: Fn(&T, &mut Vec<u8>) + Send + Sync + 'static,
    {
        self.sink_frames(name, spec, Always(encoder));
    }

    /// Like [`sink`](Self::sink), by an encoder that may refuse a record, which fails the job.
    pub fn try_sink<E, F>(self, name: &str, spec: Arc<dyn SinkSpec>, encoder: F)
    where
        E: Into<EncodeError>,
        F: Fn(&T, &mut Vec<u8>) -> Result<(), E> + Send + Sync + 'static,
    {
        self.sink_frames(name, spec, Fallible(name.to_owned(), encoder));
    }

    fn sink_frames(self, name: &str, spec: Arc<dyn SinkSpec>, encoder: impl Encode<T>) {
        let encoder = Arc::new(encoder);
        let plan = Rc::clone(&self.plan);
        let behind = move || Ok(Box::new(FrameTail::new(Arc::clone(&encoder))) as Box<dyn Next<T>>);
        let places = self.close(name, "encode", FrameTail::<()>::schema(), behind);
        plan.borrow_mut().add_named(name, "sink", Work::Sink(spec), inlets(&places, None, 0));
    }

    /// Lets nobody have the records: the pipeline ends in the state that it has gone through, and where it divides.
    pub fn discard(self) {
        let divided: Vec<_> = self.opens.take().into_iter().filter(|open| open.divides).collect();
        let name = format!("{}/discard", divided.first().map_or("stream", |open| open.origin.as_str()));
        let output = Arc::new(Schema::empty());
        close(divided, &mut self.plan.borrow_mut(), &name, "discard", output, || Ok(Box::new(NoTail)));
    }

    /// Like [`rows`](Self::rows), with columns that the program chooses: `make` makes what writes them, once for
    /// each subtask.
    pub fn rows_with<F>(self, columns: Fields, make: F) -> Rows
    where
        F: Fn() -> Result<Box<dyn WriteRows<T>>> + Send + Sync + 'static,
    {
        let plan = Rc::clone(&self.plan);
        let places = self.close_rows("sql", &columns, Along::TimeAndWatermark, make);
        let place = match places[..] {
            [place] => place,
            _ => {
                let inputs = places.iter().zip(0..);
                let inputs = inputs.map(|(&from, port)| Inlet { from, port, key: None }).collect();
                let node = plan.borrow_mut().add("sql/union".into(), Work::Union, inputs);
                Place::of(node)
            }
        };
        Rows { plan, place }
    }

    /// Like [`sink_rows`](Self::sink_rows), with columns that the program chooses: `write` makes what writes them,
    /// once for each subtask.
    pub fn sink_rows_with<F, W>(self, name: &str, columns: Fields, make: F, write: W)
    where
        F: FnOnce(SchemaRef) -> Result<Arc<dyn SinkSpec>>,
        W: Fn() -> Result<Box<dyn WriteRows<T>>> + Send + Sync + 'static,
    {
        let plan = Rc::clone(&self.plan);
        let spec = make(schema_of(columns.iter().cloned(), Along::Time));
        let places = self.close_rows(name, &columns, Along::Time, write);
        let mut plan = plan.borrow_mut();
        match spec {
            Ok(spec) => {
                plan.add_named(name, "sink", Work::Sink(spec), inlets(&places, None, 0));
            }
            Err(error) => plan.errors.push(error.in_site(format!("sink '{name}'"))),
        }
    }

    fn close_rows(
        self,
        name: &str,
        columns: &Fields,
        along: Along,
        make: impl Fn() -> Result<Box<dyn WriteRows<T>>> + Send + Sync + 'static,
    ) -> Vec<Place> {
        refuse_own(&mut self.plan.borrow_mut(), columns);
        let schema = schema_of(columns.iter().cloned(), along);
        let output = Arc::clone(&schema);
        self.close(name, "rows", output, move || {
            Ok(Box::new(TableTail::new(Arc::clone(&schema), make()?, along)))
        })
    }

    fn mapped<U, F>(self, step: &'static str, function: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(T) -> Result<U> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        self.then(step, move |next| Box::new(Map { function: Arc::clone(&function), next }))
    }

    fn filter_mapped<U, F>(self, step: &'static str, function: F) -> Stream<U>
    where
        U: Send + 'static,
        F: Fn(T) -> Result<Option<U>> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        self.then(step, move |next| Box::new(FilterMap { function: Arc::clone(&function), next }))
    }

    /// Adds a step to every branch.
    fn then<U, M>(self, step: &'static str, make: M) -> Stream<U>
    where
        U: Send + 'static,
        M: Fn(Box<dyn Next<U>>) -> Box<dyn Next<T>> + Clone + Send + Sync + 'static,
    {
        self.each(|open| open.then(step, make.clone()))
    }

    fn each<U>(self, add: impl Fn(Open<T>) -> Open<U>) -> Stream<U> {
        let opens = self.opens.into_inner().into_iter().map(add).collect();
        Stream { plan: self.plan, opens: RefCell::new(opens) }
    }

    /// Ends every branch alike: what comes out of each, and where.
    pub(crate) fn close(
        self,
        name: &str,
        last: &str,
        output: SchemaRef,
        behind: impl Fn() -> Result<Box<dyn Next<T>>> + Send + Sync + 'static,
    ) -> Vec<Place> {
        let mut plan = self.plan.borrow_mut();
        close(self.opens.take(), &mut plan, name, last, output, behind)
    }
}

/// Records that have gone well, and others.
impl<T: Send + 'static, L: Record> Stream<std::result::Result<T, L>> {
    /// The records that are `Ok`. What is `Err` leaves by the side output.
    pub fn divide(self, aside: &SideOutput<L>) -> Stream<T> {
        if !aside.is_of(&self.plan) {
            return self.filter_map(std::result::Result::ok);
        }
        self.each(|open| open.divided(aside.clone()))
    }
}

/// Pairs of a key and a record.
impl<K: Key, T: Record> Stream<(K, T)> {
    /// Groups the records by the keys that stand before them.
    pub fn keyed(self) -> KeyedStream<K, T> {
        KeyedStream::new(self, Layout::find())
    }

    /// The same, with records in a column that the program describes.
    pub fn keyed_in(self, record: Arc<dyn Columnar<T>>) -> KeyedStream<K, T> {
        KeyedStream::new(self, Layout::given(record))
    }
}

/// A stream whose records can be written down.
impl<T: Record> Stream<T> {
    /// Writes records as rows: `make` gets the columns, and gives a sink of such rows.
    pub fn sink_rows<F>(self, name: &str, make: F)
    where
        F: FnOnce(SchemaRef) -> Result<Arc<dyn SinkSpec>>,
    {
        let table = Table::<T>::find();
        self.sink_rows_with(name, table.fields().into(), make, move || Ok(Box::new(table.writer()?)));
    }

    /// The rows that SQL answers, as records of type `U`. This stream is the table `stream`.
    ///
    /// Its columns are the fields of `T`, or one column `value` if `T` has none.
    pub fn sql<U: Record>(self, text: &str) -> Stream<U> {
        let plan = Rc::clone(&self.plan);
        let rows = self.rows();
        crate::sql::sql(&plan, text, &[("stream", rows)])
    }

    /// The stream as a table for [`Application::sql`](crate::Application::sql).
    pub fn rows(self) -> Rows {
        let table = Table::<T>::find();
        self.rows_with(table.fields().into(), move || Ok(Box::new(table.writer()?)))
    }

    /// Ends every branch, so that any number of others can read what comes out.
    fn branch(&self) -> Vec<Place> {
        let mut opens = self.opens.borrow_mut();
        if let [Open { bare: Some(places), .. }] = &opens[..] {
            return places.clone();
        }
        let layout = Layout::<T>::find();
        let schema = RecordTail::schema(&layout);
        let output = Arc::clone(&schema);
        let taken = std::mem::take(&mut *opens);
        let name = format!("{}/branch", taken.first().map_or("stream", |open| open.origin.as_str()));
        let mut plan = self.plan.borrow_mut();
        close(taken, &mut plan, &name, "branch", output, move || {
            Ok(Box::new(RecordTail::new(Arc::clone(&schema), &layout)?))
        })
    }
}

impl<T: Record> Clone for Stream<T> {
    fn clone(&self) -> Self {
        let places = self.branch();
        let open = || {
            let open = Open::records(places.clone(), read_item(Layout::find(), 0), "branch".to_owned());
            Open { bare: Some(places.clone()), ..open }
        };
        *self.opens.borrow_mut() = vec![open()];
        Self::new(Rc::clone(&self.plan), open())
    }
}

/// Columns of a program have names that are not the engine's own.
pub(crate) fn refuse_own(plan: &mut Plan, columns: &Fields) {
    for field in columns {
        let reserved = [thalweg_dataflow::columns::TIMESTAMP, thalweg_dataflow::columns::ROW_WATERMARK];
        if reserved.contains(&field.name().as_str()) {
            let what = format!("the field '{}' has a name that is the engine's own", field.name());
            plan.errors.push(Error::new(Code::InvalidColumn, what));
        }
    }
}

fn close<T: 'static>(
    opens: Vec<Open<T>>,
    plan: &mut Plan,
    name: &str,
    last: &str,
    output: SchemaRef,
    behind: impl Fn() -> Result<Box<dyn Next<T>>> + Send + Sync + 'static,
) -> Vec<Place> {
    let behind: crate::segment::Behind<T> = Arc::new(behind);
    let end = |_| End {
        behind: Arc::clone(&behind),
        output: Arc::clone(&output),
        sides: Vec::new(),
        name: format!("{name}/computation"),
        steps: vec![last.to_owned()],
        timed: false,
    };
    let ends: Vec<End<T>> = opens.iter().map(end).collect();
    opens.into_iter().zip(ends).map(|(open, end)| (open.close)(plan, end)).collect()
}
