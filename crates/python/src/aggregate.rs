//! Aggregations over windows, written in Python.

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::prelude::*;
use thalweg_app::{Aggregation, Incomplete, Window, Windows};
use thalweg_dataflow::{Code, Error, EventTime, Result};

use crate::attached::attached;
use crate::function::Function;
use crate::object::{Object, read};

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
    pub(crate) fn new(aggregation: &Bound<'_, PyAny>, window: &str) -> PyResult<Self> {
        let method = |name: &str| -> PyResult<Function> {
            Ok(Function::new(&aggregation.getattr(name)?, &format!("'{name}' of window"), window))
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
    type Accumulator = Object;
    /// A record, or none for `None`.
    type Output = Option<Object>;

    fn initial(&self) -> Result<Object> {
        attached(|py| Ok(Object(self.initial.make(py)?.unbind())))
    }

    fn update(&self, record: Object, accumulator: &mut Object) -> Result<()> {
        attached(|py| {
            let record = record.0.bind(py);
            let after = self.update.call_with(py, record, accumulator.0.bind(py))?;
            keep(&self.update, accumulator, after, record)
        })
    }

    fn combine(&self, accumulator: &mut Object, other: Object) -> Result<()> {
        attached(|py| {
            let (before, other) = (accumulator.0.bind(py), other.0.bind(py));
            let after = self.combine.call_with(py, before, other)?;
            keep(&self.combine, accumulator, after, other)
        })
    }

    fn output(&self, key: Vec<u8>, window: Window, accumulator: Object) -> Result<Option<Object>> {
        attached(|py| {
            let accumulator = accumulator.0.bind(py);
            let failed = |raised: PyErr| self.output.failed(py, &raised, accumulator);
            let key = read(py, &key).map_err(failed)?;
            let bounds = (seconds(window.start), seconds(window.end));
            let window = self.window.bind(py).call1(bounds).map_err(failed)?;
            let result = self.output.call_many((key, window, accumulator), accumulator)?;
            Ok((!result.is_none()).then(|| Object(result.unbind())))
        })
    }
}

/// Keeps what a method made of an accumulator. `shown` is what it was called with.
pub(crate) fn keep(
    method: &Function,
    accumulator: &mut Object,
    after: Bound<'_, PyAny>,
    shown: &Bound<'_, PyAny>,
) -> Result<()> {
    if after.is_none() && !accumulator.0.is_none(after.py()) {
        // What was changed in place and not given back would be lost without a word.
        return Err(method.wrong("gave None, and not the accumulator", shown));
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
