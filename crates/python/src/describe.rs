//! From what a Python program declared to an application of the engine.
//!
//! The Python side keeps a list of steps in the order of their declaration, so
//! each step reads earlier ones. What is wrong with the pipelines as a whole
//! is for the application to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{FieldRef, Fields, Schema, SchemaRef};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use thalweg::connect;
use thalweg_app::decode::{DecodeError, Decoder};
use thalweg_app::{Application, KeyedStream, RowTime, Rows, State, Stream, WriteRows};
use thalweg_dataflow::spec::SinkSpec;
use thalweg_dataflow::{Code, Error, EventTime, Result};

use crate::aggregate::{Methods, windows};
use crate::attached::{attached, enter};
use crate::fields;
use crate::function::{Function, Given};
use crate::object::{Column, Object, write_key};
use crate::{async_map, batch, rows};

/// One step, as `thalweg.application.Step` holds it.
#[derive(FromPyObject)]
struct Step<'py> {
    kind: String,
    inputs: Vec<usize>,
    name: String,
    function: Bound<'py, PyAny>,
    options: BTreeMap<String, String>,
    /// The names of columns, and their types in SQL.
    columns: Vec<(String, String)>,
    /// Under which names SQL reads the inputs.
    tables: Vec<String>,
    /// Whether the function gives any number of records.
    many: bool,
    /// Seconds.
    max_delay: f64,
    /// Of a state: what its fields are, if its class says so.
    shape: Bound<'py, PyAny>,
    /// A column that says something of rows: their event time, or from which row each comes.
    column: Option<String>,
}

/// Records, each with its key as bytes.
type Keyed = KeyedStream<Vec<u8>, Object>;

/// What later steps read.
enum Open {
    Stream(Stream<Object>),
    Keyed(Keyed),
    State(State<Vec<u8>, Slot>),
    Rows(Rows),
    /// Everybody who reads it has taken it, or there is nothing to read.
    Taken,
}

/// Most keys are no longer, and what holds them does not grow.
const KEY_BYTES: usize = 24;

/// The state of a key; none until its first record comes, whose computation makes it.
type Slot = Option<Object>;

/// Where frames come from and go to.
#[derive(Clone, Copy)]
pub(crate) enum Ends {
    /// Connectors, by their options.
    Connectors,
    /// The hands of a driver.
    Hands,
}

/// The application that a `thalweg.Application` declares.
pub(crate) fn application(declared: &Bound<'_, PyAny>, ends: Ends) -> PyResult<Result<Application>> {
    let name: String = declared.getattr("name")?.extract()?;
    let steps: Vec<Step<'_>> = declared.getattr("steps")?.extract()?;
    let application = Application::new(&name);
    application.enter_with(enter);
    let mut readers = vec![0; steps.len()];
    steps.iter().flat_map(|step| &step.inputs).for_each(|&input| readers[input] += 1);
    let mut writer = Writer { application, ends, readers, open: Vec::new(), makers: Vec::new() };
    for step in &steps {
        match writer.step(step) {
            Ok(open) => writer.open.push(open),
            Err(error) => return Ok(Err(error.in_site(format!("'{}'", step.name)))),
        }
    }
    Ok(Ok(writer.application))
}

struct Writer {
    application: Application,
    ends: Ends,
    /// How many steps still read each.
    readers: Vec<usize>,
    open: Vec<Open>,
    /// What makes the states, by the steps that declare them.
    makers: Vec<(usize, Arc<Function>)>,
}

impl Writer {
    fn step(&mut self, step: &Step<'_>) -> Result<Open> {
        let function = Arc::new(Function::new(&step.function, &step.kind, &step.name));
        let stream = match step.kind.as_str() {
            "source" => {
                let spec = match self.ends {
                    Ends::Connectors => connect::source(&step.name, &step.options)?,
                    Ends::Hands => thalweg_app::driver::frames(),
                };
                let many = step.many;
                self.application.source(&step.name, spec, Decode { function, many })
            }
            "map" => self.stream(step)?.try_filter_map(move |record: Object| {
                attached(|py| {
                    let result = function.call(py, record.0.bind(py))?;
                    Ok((!result.is_none()).then(|| Object(result.unbind())))
                })
            }),
            "filter" => self.stream(step)?.try_filter(move |record| {
                attached(|py| {
                    let record = record.0.bind(py);
                    let answer = function.call(py, record)?;
                    answer.is_truthy().map_err(|raised| function.failed(py, &raised, record))
                })
            }),
            "flat_map" => self.stream(step)?.try_flat_map(move |record: Object| {
                attached(|py| {
                    let record = record.0.bind(py);
                    Given::many(&function, function.call(py, record)?, record)
                })
            }),
            "async_map" => {
                let in_flight = step.options.get("in_flight").and_then(|calls| calls.parse().ok());
                let in_flight = in_flight.ok_or_else(|| misread("'in_flight' is no number of calls"))?;
                async_map::map(self.stream(step)?, function, in_flight)
            }
            "with_event_time" => {
                let delay = delay(step)?;
                self.stream(step)?.try_with_event_time(
                    move |record| {
                        attached(|py| {
                            let record = record.0.bind(py);
                            let time = function.call(py, record)?;
                            nanos(&time).ok_or_else(|| {
                                function.gave(
                                    &time,
                                    "seconds since 1970 or a datetime with a time zone",
                                    record,
                                )
                            })
                        })
                    },
                    delay,
                )
            }
            "merge" => {
                let first = self.read(step.inputs[0])?;
                let second = self.read(step.inputs[1])?;
                match (first, second) {
                    (Open::Stream(first), Open::Stream(second)) => first.merge(second),
                    (Open::Keyed(first), Open::Keyed(second)) => return Ok(Open::Keyed(first.merge(second))),
                    _ => return Err(misread("a stream and a keyed stream cannot be merged")),
                }
            }
            "key_by" => {
                let column = Arc::new(Column { step: Arc::clone(&function) });
                let pairs = self.stream(step)?.try_map(move |record: Object| {
                    attached(|py| {
                        let object = record.0.bind(py);
                        let (key, mut bytes) = (function.call(py, object)?, Vec::with_capacity(KEY_BYTES));
                        write_key(&key, &mut bytes).map_err(|raised| function.failed(py, &raised, object))?;
                        Ok((bytes, record))
                    })
                });
                return Ok(Open::Keyed(pairs.keyed_in(column)));
            }
            "state" => {
                self.makers.push((self.open.len(), function));
                let column = fields::Columns::new(&step.name, &step.shape)
                    .map_err(|raised| misread("this is no shape of a state").because(raised))?;
                return Ok(Open::State(self.application.state_in(&step.name, Arc::new(column))));
            }
            "stateful" => {
                let many = step.many;
                let Open::Keyed(keyed) = self.read(step.inputs[0])? else {
                    return Err(misread("a state computation reads a keyed stream"));
                };
                let maker = self.makers.iter().find(|(at, _)| *at == step.inputs[1]);
                let make = maker.map(|(_, make)| Arc::clone(make));
                let (Open::State(state), Some(make)) = (self.read(step.inputs[1])?, make) else {
                    return Err(misread("a state computation uses a state"));
                };
                keyed.try_with_state(&state, move |_, record: Object, state: &mut Slot| {
                    attached(|py| {
                        let record = record.0.bind(py);
                        let state = match state {
                            Some(state) => state,
                            None => state.insert(Object(make.make(py)?.unbind())),
                        };
                        let result = function.call_with(py, record, state.0.bind(py))?;
                        match many {
                            true => Given::many(&function, result, record),
                            false => Ok(Given::one(result)),
                        }
                    })
                })
            }
            "aggregate" => {
                let Open::Keyed(keyed) = self.read(step.inputs[0])? else {
                    return Err(misread("windows read a keyed stream"));
                };
                let methods = Methods::new(&step.function, &step.name)
                    .map_err(|raised| misread("this is no aggregation").because(raised))?;
                let results = keyed.window(windows(&step.options)?).aggregate(&step.name, methods);
                results.filter_map(|result| result)
            }
            "rows" => {
                let columns = columns(&step.columns)?;
                let (fields, name) = (fields(&columns), Arc::from(format!("rows '{}'", step.name)));
                let make = move || -> Result<Box<dyn WriteRows<Object>>> {
                    Ok(Box::new(rows::Rows::new(Arc::clone(&name), &columns)?))
                };
                return Ok(Open::Rows(self.stream(step)?.rows_with(fields, make)));
            }
            "table" => {
                let columns = columns(&step.columns)?;
                let schema = Arc::new(Schema::new(fields(&columns)));
                let spec = match self.ends {
                    Ends::Connectors => connect::source_rows(&step.name, &step.options, schema)?,
                    Ends::Hands => thalweg_app::driver::table(schema),
                };
                let time = match &step.column {
                    Some(column) => RowTime::Column(column.clone(), delay(step)?),
                    None => RowTime::Seen,
                };
                return Ok(Open::Rows(self.application.rows(&step.name, spec, time)));
            }
            "map_batches" => {
                let columns = columns(&step.columns)?;
                let rows = self.rows(step)?;
                return Ok(Open::Rows(batch::map(rows, &step.name, function, columns, step.column.clone())));
            }
            "records" => self.rows(step)?.records_with(rows::read),
            "sql" => {
                let mut tables = Vec::new();
                for (name, &input) in step.tables.iter().zip(&step.inputs) {
                    match self.read(input)? {
                        Open::Rows(rows) => tables.push((name.as_str(), rows)),
                        _ => return Err(misread("SQL reads rows")),
                    }
                }
                let text = step.options.get("text").map_or("", String::as_str);
                self.application.sql_with(text, &tables, rows::read)
            }
            "sink" => {
                let spec = match self.ends {
                    Ends::Connectors => connect::sink(&step.name, &step.options)?,
                    Ends::Hands => thalweg_app::driver::kept(),
                };
                let encode = move |record: &Object, frame: &mut Vec<u8>| encode(&function, record, frame);
                self.stream(step)?.try_sink(&step.name, spec, encode);
                return Ok(Open::Taken);
            }
            "sink_of_rows" => {
                self.rows(step)?.sink(&step.name, sink_of_rows(step, self.ends));
                return Ok(Open::Taken);
            }
            "sink_rows" => {
                let columns = columns(&step.columns)?;
                let (fields, name) = (fields(&columns), Arc::from(format!("sink '{}'", step.name)));
                let spec = sink_of_rows(step, self.ends);
                let make = move || -> Result<Box<dyn WriteRows<Object>>> {
                    Ok(Box::new(rows::Rows::new(Arc::clone(&name), &columns)?))
                };
                self.stream(step)?.sink_rows_with(&step.name, fields, spec, make);
                return Ok(Open::Taken);
            }
            "discard" => {
                // A step may do something that nobody sees in its records, so it is done.
                let (name, nowhere) = (format!("{}-{}", step.name, self.open.len()), blackhole());
                let spec = match self.ends {
                    Ends::Connectors => connect::sink(&name, &nowhere)?,
                    Ends::Hands => thalweg_app::driver::kept(),
                };
                self.stream(step)?.sink(&name, spec, |_, _| {});
                return Ok(Open::Taken);
            }
            other => return Err(misread(&format!("there is no step '{other}'"))),
        };
        Ok(Open::Stream(stream))
    }

    fn stream(&mut self, step: &Step<'_>) -> Result<Stream<Object>> {
        match self.read(step.inputs[0])? {
            Open::Stream(stream) => Ok(stream),
            Open::Keyed(_) | Open::State(_) | Open::Rows(_) | Open::Taken => {
                Err(misread(&format!("'{}' reads a stream that is not keyed", step.kind)))
            }
        }
    }

    fn rows(&mut self, step: &Step<'_>) -> Result<Rows> {
        match self.read(step.inputs[0])? {
            Open::Rows(rows) => Ok(rows),
            Open::Stream(_) | Open::Keyed(_) | Open::State(_) | Open::Taken => {
                Err(misread(&format!("'{}' reads rows", step.kind)))
            }
        }
    }

    /// What a step gave: as it is for the last who reads it, for others a branch.
    fn read(&mut self, input: usize) -> Result<Open> {
        self.readers[input] -= 1;
        Ok(match (self.readers[input], &self.open[input]) {
            (0, _) => std::mem::replace(&mut self.open[input], Open::Taken),
            (_, Open::Stream(stream)) => Open::Stream(stream.clone()),
            (_, Open::Keyed(keyed)) => Open::Keyed(keyed.clone()),
            (_, Open::State(state)) => Open::State(state.clone()),
            (_, Open::Rows(rows)) => Open::Rows(rows.clone()),
            (_, Open::Taken) => return Err(misread("there is nothing to read")),
        })
    }
}

/// The options of a sink that keeps nothing.
fn blackhole() -> BTreeMap<String, String> {
    BTreeMap::from([("connector".to_owned(), "blackhole".to_owned())])
}

fn delay(step: &Step<'_>) -> Result<Duration> {
    Duration::try_from_secs_f64(step.max_delay)
        .map_err(|why| misread("'max_delay' is no number of seconds").because(why))
}

/// Makes the sink of a step for rows with these columns.
fn sink_of_rows(step: &Step<'_>, ends: Ends) -> impl FnOnce(SchemaRef) -> Result<Arc<dyn SinkSpec>> {
    move |schema| match ends {
        Ends::Connectors => connect::sink_rows(&step.name, &step.options, schema),
        Ends::Hands => Ok(thalweg_app::driver::kept()),
    }
}

/// Columns as a program declares them: each with its type, as the program wrote it.
fn columns(declared: &[(String, String)]) -> Result<Vec<(FieldRef, Arc<str>)>> {
    let column = |(name, declared): &(String, String)| {
        let field =
            connect::column(name, declared).map_err(|error| error.in_site(format!("column '{name}'")))?;
        Ok((FieldRef::new(field), Arc::from(declared.as_str())))
    };
    declared.iter().map(column).collect()
}

fn fields(columns: &[(FieldRef, Arc<str>)]) -> Fields {
    columns.iter().map(|(field, _)| Arc::clone(field)).collect()
}

/// The Python side has let something through that it should not have.
fn misread(what: &str) -> Error {
    Error::new(Code::InvalidProgram, what)
}

/// An instant: seconds since 1970, or a `datetime` that knows its time zone.
pub(crate) fn nanos(time: &Bound<'_, PyAny>) -> Option<EventTime> {
    const PER_SECOND: i64 = 1_000_000_000;
    if let Ok(seconds) = time.extract::<i64>() {
        return seconds.checked_mul(PER_SECOND).map(EventTime);
    }
    let seconds = match time.extract::<f64>() {
        Ok(seconds) => seconds,
        Err(_) if time.getattr("tzinfo").is_ok_and(|zone| !zone.is_none()) => {
            time.call_method0("timestamp").ok()?.extract().ok()?
        }
        Err(_) => return None,
    };
    // Doubles hold seconds of these years to about a microsecond, so that is what is kept.
    let micros = (seconds * 1e6).round();
    (micros.abs() < 9.2e15).then(|| EventTime(micros as i64 * 1_000))
}

/// A decoder: a function of the frame's bytes.
struct Decode {
    function: Arc<Function>,
    many: bool,
}

impl Decoder<Object> for Decode {
    fn decode(
        &self,
        frame: &[u8],
        records: &mut std::collections::VecDeque<Object>,
    ) -> Result<(), DecodeError> {
        attached(|py| {
            let frame = PyBytes::new(py, frame).into_any();
            let result = self.function.call(py, &frame).map_err(in_full)?;
            let given = match self.many {
                true => Given::many(&self.function, result, &frame).map_err(in_full)?,
                false => Given::one(result),
            };
            for record in given {
                records.push_back(record.map_err(in_full)?);
            }
            Ok(())
        })
    }
}

/// Appends what an encoder gives for a record: bytes, or text.
fn encode(function: &Function, record: &Object, frame: &mut Vec<u8>) -> Result<(), DecodeError> {
    attached(|py| {
        let record = record.0.bind(py);
        let result = function.call(py, record).map_err(in_full)?;
        if let Ok(bytes) = result.cast::<PyBytes>() {
            frame.extend_from_slice(bytes.as_bytes());
        } else if let Ok(text) = result.cast::<PyString>() {
            frame.extend_from_slice(
                text.to_str().map_err(|raised| in_full(function.failed(py, &raised, record)))?.as_bytes(),
            );
        } else {
            return Err(in_full(function.gave(&result, "bytes or str", record)));
        }
        Ok(())
    })
}

/// What a function has done wrong, with its traceback.
fn in_full(error: Error) -> DecodeError {
    match error.why() {
        Some(why) => format!("{}\n{why}", error.what()).into(),
        None => error.what().into(),
    }
}
