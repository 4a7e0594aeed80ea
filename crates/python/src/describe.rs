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
use thalweg::connect;
use thalweg_app::{Application, RowTime, Rows, SideOutput, State, Stream, WriteRows};
use thalweg_dataflow::spec::SinkSpec;
use thalweg_dataflow::{Code, Error, Result};

use crate::aggregate::{Methods, windows};
use crate::attached::enter;
use crate::call::{Call, Keyed, Slot, aggregate};
use crate::fields;
use crate::function::Function;
use crate::object::Object;
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
    /// What judges a record that fails, if that does not fail the job.
    guard: Option<Bound<'py, PyAny>>,
    /// The step whose side output gets what the guard makes of it.
    letters: Option<usize>,
}

/// What later steps read.
enum Open {
    Stream(Stream<Object>),
    Keyed(Keyed),
    State(State<Vec<u8>, Slot>),
    Rows(Rows),
    /// Everybody who reads it has taken it, or there is nothing to read.
    Taken,
}

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
    let (makers, letters) = (BTreeMap::new(), BTreeMap::new());
    let mut writer = Writer { application, ends, readers, open: Vec::new(), makers, letters };
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
    makers: BTreeMap<usize, Py<PyAny>>,
    /// Where dead letters go, by the steps that declare it.
    letters: BTreeMap<usize, SideOutput<Object>>,
}

impl Writer {
    fn step(&mut self, step: &Step<'_>) -> Result<Open> {
        let call = self.call(step)?;
        let stream = match step.kind.as_str() {
            "source" => {
                let spec = match self.ends {
                    Ends::Connectors => connect::source(&step.name, &step.options)?,
                    Ends::Hands => thalweg_app::driver::frames(),
                };
                call.source(&self.application, &step.name, spec, step.many)
            }
            "map" => call.map(self.stream(step)?),
            "filter" => call.filter(self.stream(step)?),
            "flat_map" => call.flat_map(self.stream(step)?),
            "async_map" => {
                let in_flight = step.options.get("in_flight").and_then(|calls| calls.parse().ok());
                let in_flight = in_flight.ok_or_else(|| misread("'in_flight' is no number of calls"))?;
                async_map::map(self.stream(step)?, call, in_flight)
            }
            "with_event_time" => call.with_event_time(self.stream(step)?, delay(step)?),
            "merge" => {
                let first = self.read(step.inputs[0])?;
                let second = self.read(step.inputs[1])?;
                match (first, second) {
                    (Open::Stream(first), Open::Stream(second)) => first.merge(second),
                    (Open::Keyed(first), Open::Keyed(second)) => return Ok(Open::Keyed(first.merge(second))),
                    _ => return Err(misread("a stream and a keyed stream cannot be merged")),
                }
            }
            "key_by" => return Ok(Open::Keyed(call.key_by(self.stream(step)?))),
            "dead letters" => {
                let letters = self.application.side_output(&step.name);
                let stream = letters.stream();
                self.letters.insert(self.open.len(), letters);
                stream
            }
            "state" => {
                self.makers.insert(self.open.len(), step.function.clone().unbind());
                let column = fields::Columns::new(&step.name, &step.shape)
                    .map_err(|raised| misread("this is no shape of a state").because(raised))?;
                return Ok(Open::State(self.application.state_in(&step.name, Arc::new(column))));
            }
            "stateful" => {
                let keyed = self.keyed(step)?;
                let make = self.makers.get(&step.inputs[1]).map(|make| {
                    let make = Function::new(make.bind(step.function.py()), "state", &step.name);
                    make.guarded_by(step.guard.as_ref())
                });
                let (Open::State(state), Some(make)) = (self.read(step.inputs[1])?, make) else {
                    return Err(misread("a state computation uses a state"));
                };
                call.stateful(keyed, &state, make, step.many)
            }
            "aggregate" => {
                let (keyed, windows) = (self.keyed(step)?, windows(&step.options)?);
                let methods = Methods::new(&step.function, &step.name, step.guard.as_ref())
                    .map_err(|raised| misread("this is no aggregation").because(raised))?;
                aggregate(keyed, windows, &step.name, methods, call.letters)
            }
            "rows" => {
                let columns = columns(&step.columns)?;
                let (fields, name) = (fields(&columns), Arc::from(format!("rows '{}'", step.name)));
                let stream = call.fitting(self.stream(step)?, rows::Rows::new(Arc::clone(&name), &columns)?);
                let make = move || -> Result<Box<dyn WriteRows<Object>>> {
                    Ok(Box::new(rows::Rows::new(Arc::clone(&name), &columns)?))
                };
                return Ok(Open::Rows(stream.rows_with(fields, make)));
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
                let origin = step.column.clone();
                return Ok(Open::Rows(batch::map(rows, &step.name, call, columns, origin)));
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
                return Ok(Open::Rows(match step.options.get("name") {
                    Some(name) => self.application.sql_rows_named(name, text, &tables),
                    None => self.application.sql_rows(text, &tables),
                }));
            }
            "sink" => {
                let spec = match self.ends {
                    Ends::Connectors => connect::sink(&step.name, &step.options)?,
                    Ends::Hands => thalweg_app::driver::kept(),
                };
                call.sink(self.stream(step)?, &step.name, spec);
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
                let stream = call.fitting(self.stream(step)?, rows::Rows::new(Arc::clone(&name), &columns)?);
                let make = move || -> Result<Box<dyn WriteRows<Object>>> {
                    Ok(Box::new(rows::Rows::new(Arc::clone(&name), &columns)?))
                };
                stream.sink_rows_with(&step.name, fields, spec, make);
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

    /// The step's function, in its place.
    fn call(&self, step: &Step<'_>) -> Result<Call> {
        let function = Function::new(&step.function, &step.kind, &step.name);
        let function = Arc::new(function.guarded_by(step.guard.as_ref()));
        let letters = step.letters.map(|at| self.letters.get(&at).cloned());
        let letters = letters.map(|found| found.ok_or_else(|| misread("there are no such letters")));
        Ok(Call { function, letters: letters.transpose()? })
    }

    fn keyed(&mut self, step: &Step<'_>) -> Result<Keyed> {
        match self.read(step.inputs[0])? {
            Open::Keyed(keyed) => Ok(keyed),
            Open::Stream(_) | Open::State(_) | Open::Rows(_) | Open::Taken => {
                Err(misread(&format!("'{}' reads a keyed stream", step.kind)))
            }
        }
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
fn sink_of_rows(
    step: &Step<'_>,
    ends: Ends,
) -> impl Fn(SchemaRef) -> Result<Arc<dyn SinkSpec>> + use<> + 'static {
    let (name, options) = (step.name.clone(), step.options.clone());
    move |schema| match ends {
        Ends::Connectors => connect::sink_rows(&name, &options, schema),
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
