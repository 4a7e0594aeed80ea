//! Aggregates of a program over windows: the engine's own windows, the program's own accumulators.
//!
//! ```text
//!  records ─► key, record ─► part of a window ─shuffle─► window ─► output(key, window, accumulator)
//!             (a segment)    (before the shuffle where windows are the same for all keys)
//! ```

mod accumulator;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Field, SchemaRef, TimestampNanosecondType};
use thalweg_dataflow::{Error, EventTime, FunctionId, OperatorSpec, Result, columns};
use thalweg_operators::aggregate::{
    AggregateCall, Grouping, GroupsAccumulator, ProgramAggregate, ProgramCall,
};
use thalweg_operators::window::{
    Assigner, CountAggregate, Incomplete, SessionAggregate, WindowAssign, WindowPartial,
};
use thalweg_operators::{Expression, RowPolicy};

use crate::columns::{Layout, Record, Values};
use crate::keyed::KeyedStream;
use crate::open::Open;
use crate::plan::{AddFunctions, Inlet, Place, Plan, Work, inlets};
use crate::segment::Next;
use crate::segment::head::{KEY_INDEX, RECORD_INDEX, ReadBatch};
use crate::segment::steps::Map;
use crate::segment::tail::KeyedTail;
use crate::state::Key;
use crate::stream::Stream;
use accumulator::Groups;

/// What is computed over the records of a window.
///
/// A window is aggregated in parts, whose number and bounds depend on how rows
/// happen to come; so `combine` must give what `update` would have given, and
/// an accumulator of no records must change nothing. A failure fails the job.
///
/// ```
/// use thalweg_app::{Aggregation, Window};
/// use thalweg_dataflow::Result;
///
/// struct Total;
///
/// impl Aggregation<String, u64> for Total {
///     type Accumulator = u64;
///     type Output = (String, u64);
///
///     fn initial(&self) -> Result<u64> {
///         Ok(0)
///     }
///
///     fn update(&self, record: u64, total: &mut u64) -> Result<()> {
///         *total += record;
///         Ok(())
///     }
///
///     fn combine(&self, total: &mut u64, other: u64) -> Result<()> {
///         *total += other;
///         Ok(())
///     }
///
///     fn output(&self, key: String, _: Window, total: u64) -> Result<(String, u64)> {
///         Ok((key, total))
///     }
/// }
/// ```
pub trait Aggregation<K, T>: Send + Sync + 'static {
    /// What is known of the records of one key in one window.
    type Accumulator: Record;
    /// What comes of it.
    type Output: Send + 'static;

    /// The accumulator of no records.
    fn initial(&self) -> Result<Self::Accumulator>;

    /// Takes a record in.
    fn update(&self, record: T, accumulator: &mut Self::Accumulator) -> Result<()>;

    /// Takes in what is known of other records of the same key and window. Which of both came first is not promised.
    fn combine(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator) -> Result<()>;

    /// The result of a window that is closed. Its event time is the last instant of the window.
    fn output(&self, key: K, window: Window, accumulator: Self::Accumulator) -> Result<Self::Output>;
}

/// An interval of event time: all instants from `start` to before `end`. Of a
/// window of so many records both are the event time of the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first instant within.
    pub start: EventTime,
    /// The first instant behind.
    pub end: EventTime,
}

/// Which windows there are.
#[derive(Clone, Copy, Debug)]
pub struct Windows(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Hop { slide: Duration, width: Duration },
    Session { gap: Duration },
    Count { records: u64, incomplete: Incomplete },
}

impl Windows {
    /// Windows of one width that touch and never overlap, aligned to 1970.
    pub fn tumble(width: Duration) -> Self {
        Self::hop(width, width)
    }

    /// Windows that begin at every multiple of the slide.
    pub fn hop(slide: Duration, width: Duration) -> Self {
        Self(Kind::Hop { slide, width })
    }

    /// For each key, a window from the first record to the gap behind the last.
    pub fn session(gap: Duration) -> Self {
        Self(Kind::Session { gap })
    }

    /// For each key, windows of so many records in the order in which they come.
    pub fn count(records: u64, incomplete: Incomplete) -> Self {
        Self(Kind::Count { records, incomplete })
    }

    fn assigner(self) -> Result<Assigner> {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match self.0 {
            Kind::Hop { slide, width } => Assigner::hop(nanos(slide), nanos(width)),
            Kind::Session { gap } => Assigner::session(nanos(gap)),
            Kind::Count { records, incomplete } => Assigner::count(records, incomplete),
        }
    }
}

/// Records by key and window.
#[must_use = "windows without an aggregation do nothing"]
pub struct WindowedStream<K, T> {
    pub(crate) keyed: KeyedStream<K, T>,
    pub(crate) windows: Windows,
}

impl<K: Key, T: Record> WindowedStream<K, T> {
    /// One record for each key and window, when the window closes.
    pub fn aggregate<A: Aggregation<K, T>>(self, name: &str, aggregation: A) -> Stream<A::Output> {
        let plan = Rc::clone(self.keyed.plan());
        let (key, record) = self.keyed.layout();
        if let Err(error) = key.check_key() {
            plan.borrow_mut().errors.push(error.in_site(format!("window '{name}'")));
        }
        let (aggregation, accumulator) = (Arc::new(aggregation), Layout::<A::Accumulator>::find());
        let function = FunctionId(format!("{}/{name}/aggregate", plan.borrow().name));
        let writer = Writer {
            name,
            function: function.clone(),
            result: accumulator.field("accumulator").as_ref().clone().with_nullable(true),
            input: KeyedTail::schema(&key, &record),
        };
        let places = self.keyed.close(name, &key, &record);
        let functions = functions::<K, T, A>(function, Arc::clone(&aggregation), record, accumulator.clone());
        let written = self.windows.assigner().and_then(|assigner| writer.operators(assigner));
        let place = match written {
            Ok(operators) => writer.write(&mut plan.borrow_mut(), &places, operators, functions),
            Err(error) => {
                plan.borrow_mut().errors.push(error.in_site(format!("window '{name}'")));
                places[0]
            }
        };
        let open = Open::records(vec![place], read_windows(key, accumulator), name.to_owned());
        let output = Arc::new(move |(key, window, accumulator)| aggregation.output(key, window, accumulator));
        let open = open.then("output", move |next| -> Box<dyn Next<_>> {
            Box::new(Map { function: Arc::clone(&output), next })
        });
        Stream::new(plan, open)
    }
}

/// Makes an aggregation known as the function of this name.
fn functions<K: Key, T: Record, A: Aggregation<K, T>>(
    name: FunctionId,
    aggregation: Arc<A>,
    record: Layout<T>,
    accumulator: Layout<A::Accumulator>,
) -> AddFunctions {
    Box::new(move |functions, enter| {
        let (aggregation, record, accumulator) =
            (Arc::clone(&aggregation), record.clone(), accumulator.clone());
        let enter = enter.clone();
        let make = move || -> Result<Box<dyn GroupsAccumulator>> {
            let (aggregation, enter) = (Arc::clone(&aggregation), enter.clone());
            Ok(Box::new(Groups::new(aggregation, record.clone(), accumulator.clone(), enter)))
        };
        functions.add(name.clone(), ProgramAggregate::new(make));
    })
}

/// What stands before the shuffle, what behind it.
struct Operators {
    before: Arc<dyn OperatorSpec>,
    behind: Arc<dyn OperatorSpec>,
}

/// The name of the column of windows.
const WINDOW: &str = "window";

struct Writer<'a> {
    name: &'a str,
    function: FunctionId,
    /// The column of accumulators, which are results and states.
    result: Field,
    input: SchemaRef,
}

impl Writer<'_> {
    /// By key, over rows of `input`.
    fn grouping(&self, input: &SchemaRef, split: bool) -> Grouping {
        let key = (Expression::column(input, KEY_INDEX), input.field(KEY_INDEX).name().clone());
        let record = vec![Expression::column(input, RECORD_INDEX)];
        let call = ProgramCall::new(self.function.clone(), record, self.result.clone());
        let call = call.with_state(self.result.data_type().clone());
        let call = if split { call.split() } else { call };
        Grouping::new(vec![key], vec![AggregateCall::program(call)])
    }

    fn operators(&self, assigner: Assigner) -> Result<Operators> {
        let input = || Arc::clone(&self.input);
        if let Assigner::Aligned(panes) = assigner {
            let grouping = self.grouping(&self.input, true);
            let before = WindowPartial::new(panes, grouping, input(), RowPolicy::Fail)?;
            let behind = before.merged(Some(WINDOW))?;
            return Ok(Operators { before: Arc::new(before), behind: Arc::new(behind) });
        }
        let before = WindowAssign::new(assigner, input());
        let assigned = before.output_schema();
        let grouping = self.grouping(&assigned, false);
        let behind: Arc<dyn OperatorSpec> = match assigner {
            Assigner::Session { gap_nanos } => {
                Arc::new(SessionAggregate::new(gap_nanos, grouping, assigned, WINDOW, RowPolicy::Fail)?)
            }
            Assigner::Count { rows, incomplete } => {
                Arc::new(CountAggregate::new(rows, incomplete, grouping, assigned, RowPolicy::Fail)?)
            }
            Assigner::Aligned(_) => return Err(Error::internal("aligned windows are split")),
        };
        Ok(Operators { before: Arc::new(before), behind })
    }

    fn write(
        &self,
        plan: &mut Plan,
        places: &[Place],
        operators: Operators,
        functions: AddFunctions,
    ) -> Place {
        let mut inputs: Vec<Inlet> = Vec::new();
        for place in places {
            let spec = Arc::clone(&operators.before);
            let spec = Box::new(move || Arc::clone(&spec));
            let work = Work::Operator { spec, functions: Box::new(|_, _| ()) };
            let before = plan.add(format!("{}/before", self.name), work, inlets(&[*place], None, 0));
            inputs.extend(inlets(&[Place::of(before)], Some(vec![KEY_INDEX]), 0));
        }
        let spec = Box::new(move || Arc::clone(&operators.behind));
        let work = Work::Operator { spec, functions };
        Place::of(plan.add_named(self.name, "window", work, inputs))
    }
}

/// Reads the results of windows: the key, the window if there is one, the accumulator.
fn read_windows<K: Record, A: Record>(key: Layout<K>, accumulator: Layout<A>) -> ReadBatch<(K, Window, A)> {
    Arc::new(move |batch| {
        let keys = key.read(batch.column(KEY_INDEX))?;
        let last_but_one = batch.num_columns() - 2;
        let accumulators = accumulator.read(batch.column(last_but_one))?;
        let windows = windows_of(batch)?;
        let rows = keys.zip(windows).zip(accumulators);
        let values: Values<(K, Window, A)> =
            Box::new(rows.map(|((key, window), accumulator)| (key, window, accumulator)));
        Ok(values)
    })
}

fn windows_of(batch: &RecordBatch) -> Result<impl Iterator<Item = Window> + Send + use<>> {
    let (starts, ends) = match batch.column_by_name(WINDOW).and_then(|column| column.as_struct_opt()) {
        Some(windows) => (Arc::clone(windows.column(0)), Arc::clone(windows.column(1))),
        None => {
            let times = batch.column_by_name(columns::TIMESTAMP);
            let times = times.ok_or_else(|| Error::internal("the results of windows have no time"))?;
            (Arc::clone(times), Arc::clone(times))
        }
    };
    let times = |column: ArrayRef| {
        let times =
            column.as_primitive_opt::<TimestampNanosecondType>().filter(|times| times.null_count() == 0);
        times
            .map(|times| times.values().clone())
            .ok_or_else(|| Error::internal("a window is no interval of time"))
    };
    let (starts, ends) = (times(starts)?, times(ends)?);
    let window = move |row: usize| Window { start: EventTime(starts[row]), end: EventTime(ends[row]) };
    Ok((0..batch.num_rows()).map(window))
}
