//! Aggregations over windows, written in Python.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use pyo3::prelude::*;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thalweg_app::{Aggregation, Incomplete, Window, Windows};
use thalweg_dataflow::{Code, Error, EventTime, Result};

use crate::attached::attached;
use crate::function::{Failure, Function, Judged, shown};
use crate::letters::Letters;
use crate::object::{BytesOf, Object, read, write};

/// The methods of an aggregation, each a function in its place. An accumulator is any object.
pub(crate) struct Methods {
    initial: Function,
    update: Function,
    combine: Function,
    output: Function,
    /// Makes a `thalweg.Window` of its bounds.
    window: Py<PyAny>,
}

impl Methods {
    pub(crate) fn new(
        aggregation: &Bound<'_, PyAny>,
        window: &str,
        guard: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let method = |name: &str| -> PyResult<Function> {
            let method = Function::new(&aggregation.getattr(name)?, &format!("'{name}' of window"), window);
            Ok(method.guarded_by(guard))
        };
        Ok(Self {
            initial: method("initial")?,
            update: method("update")?,
            combine: method("combine")?,
            output: method("output")?,
            window: aggregation.py().import("thalweg.windows")?.getattr("Window")?.unbind(),
        })
    }
}

impl Aggregation<Vec<u8>, Object> for Methods {
    type Accumulator = Accumulated;
    /// The letters of the window, and behind them a record, or none for `None`.
    type Output = Vec<Judged<Object>>;

    fn initial(&self) -> Result<Accumulated> {
        // With a policy it is made for the first record, which is the one that fails with it.
        match self.initial.is_guarded() {
            true => Ok(Accumulated::default()),
            false => attached(|py| Ok(Accumulated::of(self.initial.make(py)?))),
        }
    }

    fn update(&self, record: Object, accumulated: &mut Accumulated) -> Result<()> {
        let judged = attached(|py| {
            let record = record.0.bind(py);
            let (mut accumulator, holds_records) = match accumulated.accumulator.take() {
                Some(accumulator) => (accumulator, true),
                None => match self.initial.try_make(py) {
                    Ok(made) => (Object(made.unbind()), false),
                    Err(raised) => return self.initial.judge(raised, record),
                },
            };
            let after = self.update.try_call_with(py, record, accumulator.0.bind(py));
            let kept = keep(&mut accumulator, after);
            // Where no record was taken in there is still nothing to give out.
            accumulated.accumulator = (kept.is_ok() || holds_records).then_some(accumulator);
            kept.map_or_else(|failure| self.update.judge(failure, record), |()| Ok(None))
        })?;
        accumulated.keep(judged)
    }

    fn combine(&self, accumulated: &mut Accumulated, other: Accumulated) -> Result<()> {
        accumulated.letters.append(&other.letters).map_err(unkept)?;
        let (Some(accumulator), Some(other)) = (&mut accumulated.accumulator, &other.accumulator) else {
            accumulated.accumulator = accumulated.accumulator.take().or(other.accumulator);
            return Ok(());
        };
        let judged = attached(|py| {
            let other = other.0.bind(py);
            let after = self.combine.try_call_with(py, accumulator.0.bind(py), other);
            keep(accumulator, after).map_or_else(|failure| self.combine.judge(failure, other), |()| Ok(None))
        })?;
        accumulated.keep(judged)
    }

    fn output(&self, key: Vec<u8>, window: Window, accumulated: Accumulated) -> Result<Vec<Judged<Object>>> {
        let mut given = Vec::new();
        if !accumulated.letters.is_empty() {
            attached(|py| {
                let (letters, more) = accumulated.letters.open(py).map_err(unkept)?;
                given.extend(self.update.waited(py, letters, more)?.into_iter().map(Err));
                Ok::<_, Error>(())
            })?;
        }
        let Some(accumulator) = accumulated.accumulator else { return Ok(given) };
        attached(|py| {
            let accumulator = accumulator.0.bind(py);
            let failed = |raised: PyErr| self.output.failed(py, &raised, accumulator);
            let key = read(py, &key).map_err(failed)?;
            let bounds = (seconds(window.start), seconds(window.end));
            let window = self.window.bind(py).call1(bounds).map_err(failed)?;
            given.extend(match self.output.try_call_many((key, window, accumulator), accumulator) {
                Ok(result) => (!result.is_none()).then(|| Ok(Object(result.unbind()))),
                Err(raised) => self.output.judge(raised, accumulator)?,
            });
            Ok(given)
        })
    }
}

/// What is known of the records of a window: the program's accumulator, and the letters of those records that it
/// could not take in, which wait for the end of the window with it.
///
/// Without letters it is written as the accumulator is, so a program may take up a policy and go on.
///
/// ```text
///  accumulator  │  L  letters  accumulator or nothing
/// ```
#[derive(Default)]
pub(crate) struct Accumulated {
    /// None before the first record, and where none could be made.
    accumulator: Option<Object>,
    letters: Letters,
}

impl Accumulated {
    fn of(accumulator: Bound<'_, PyAny>) -> Self {
        Self { accumulator: Some(Object(accumulator.unbind())), letters: Letters::default() }
    }

    /// Keeps what has become of a record that failed.
    fn keep(&mut self, judged: Option<Judged<Infallible>>) -> Result<()> {
        match judged {
            Some(Err(letter)) => attached(|py| self.letters.push(letter.0.bind(py))).map_err(unkept),
            None => Ok(()),
        }
    }

    fn write(&self, py: Python<'_>, to: &mut Vec<u8>) -> PyResult<()> {
        if self.letters.is_empty()
            && let Some(accumulator) = &self.accumulator
        {
            return write(accumulator.0.bind(py), to);
        }
        to.push(LETTERS);
        self.letters.write(to)?;
        self.accumulator.as_ref().map_or(Ok(()), |accumulator| write(accumulator.0.bind(py), to))
    }

    fn read(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let Some((&LETTERS, mut rest)) = bytes.split_first() else {
            return Ok(Self::of(read(py, bytes)?));
        };
        let letters = Letters::take(&mut rest)?;
        let accumulator = (!rest.is_empty()).then(|| read(py, rest).map(|object| Object(object.unbind())));
        Ok(Self { accumulator: accumulator.transpose()?, letters })
    }
}

/// Letters that cannot be kept with their window, or opened at its end.
fn unkept(raised: PyErr) -> Error {
    Error::new(Code::FunctionFailed, "the dead letters of a window cannot be kept").because(raised)
}

/// Stands before letters, and before no object.
const LETTERS: u8 = b'L';

impl Serialize for Accumulated {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        attached(|py| {
            self.write(py, &mut bytes).map_err(|raised| {
                let shown = self.accumulator.as_ref().map(|object| shown(object.0.bind(py)));
                S::Error::custom(format!("{raised}; it was {}", shown.unwrap_or_default()))
            })
        })?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Accumulated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesOf(|py, bytes| match bytes {
            // What stands where the form of a type is asked for.
            [] => Ok(Self::default()),
            bytes => Self::read(py, bytes),
        }))
    }
}

/// Keeps what a method made of an accumulator.
pub(crate) fn keep(
    accumulator: &mut Object,
    after: PyResult<Bound<'_, PyAny>>,
) -> std::result::Result<(), Failure> {
    let after = after?;
    if after.is_none() && !accumulator.0.is_none(after.py()) {
        // What was changed in place and not given back would be lost without a word.
        return Err(Failure::Wrong("gave None, and not the accumulator".to_owned()));
    }
    accumulator.0 = after.unbind();
    Ok(())
}

fn seconds(time: EventTime) -> f64 {
    time.0 as f64 / 1e9
}

/// The windows that a step names.
pub(crate) fn windows(options: &BTreeMap<String, String>) -> Result<Windows> {
    let option = |name: &str| options.get(name).map_or("", String::as_str);
    let duration = |name: &str| {
        let seconds = option(name).parse::<f64>().ok();
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.ok_or_else(|| {
            let what = format!("'{name}' is {}, and no number of seconds", option(name));
            Error::new(Code::InvalidWindow, what)
        })
    };
    match option("windows") {
        "hop" => Ok(Windows::hop(duration("slide")?, duration("width")?)),
        "session" => Ok(Windows::session(duration("gap")?)),
        "count" => {
            let records = option("records").parse().map_err(|why| {
                Error::new(Code::InvalidWindow, "a window has a number of records").because(why)
            })?;
            let incomplete = if option("incomplete") == "true" { Incomplete::Emit } else { Incomplete::Drop };
            Ok(Windows::count(records, incomplete))
        }
        other => Err(Error::new(Code::InvalidWindow, format!("there are no windows '{other}'"))),
    }
}
