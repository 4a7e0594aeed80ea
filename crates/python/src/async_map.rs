//! `async def` functions: the records of a batch together, as many calls in flight as may be.
//!
//! What awaits them is on Python's side, `thalweg.asynchronous`: one loop on a thread of its own. The thread
//! that asks waits without holding the interpreter.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyInt, PyList, PyString};
use thalweg_app::Stream;
use thalweg_dataflow::{Error, Result};

use crate::attached::attached;
use crate::call::Call;
use crate::function::{Function, Judged};
use crate::object::Object;

/// So many times the calls in flight are handed over at once: when a call ends, the next begins, and whoever
/// watches over the time that functions take sees them come back.
const ROUNDS: usize = 4;

/// The results of the calls, in the order of the records, and the calls that failed: whose they were and what
/// they raised.
type Answers<'py> = (Bound<'py, PyList>, Vec<(usize, Bound<'py, PyAny>)>);

/// One record or none for each, with so many calls in flight.
pub(crate) fn map(stream: Stream<Object>, call: Call, in_flight: usize) -> Stream<Object> {
    let Call { function, letters } = call;
    let records_max = in_flight.saturating_mul(ROUNDS);
    let stream = stream.try_map(|record| attached(|py| own(record.0.into_bound(py))));
    let call = move |records: Vec<Object>| attached(|py| answers(py, &function, &records));
    match letters {
        Some(letters) => stream.try_map_together(records_max, call).divide(&letters),
        None => stream.try_map_together(records_max, move |records| {
            Ok(call(records)?.into_iter().map(|answer| answer.and_then(Judged::ok)).collect())
        }),
    }
}

/// A record of which nobody else has a part. While it waits for its call the steps before it go on, and one of
/// them may change what it gave: a state, say. What cannot be copied is taken as it is.
fn own(record: Bound<'_, PyAny>) -> Result<Object> {
    static DEEPCOPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = record.py();
    if record.is_exact_instance_of::<PyString>() || record.is_exact_instance_of::<PyInt>() {
        return Ok(Object(record.unbind()));
    }
    let copy = || Ok::<_, PyErr>(py.import("copy")?.getattr("deepcopy")?.unbind());
    let copy = DEEPCOPY.get_or_try_init(py, copy);
    let copy = copy.map_err(|raised| Error::internal("Python has no 'copy.deepcopy'").because(raised))?;
    let copied = copy.bind(py).call1((&record,));
    Ok(Object(copied.unwrap_or(record).unbind()))
}

fn answers(py: Python<'_>, function: &Function, records: &[Object]) -> Result<Vec<Option<Judged<Object>>>> {
    let broken = |raised: PyErr| Error::internal("calls do not answer as they should").because(raised);
    let list = PyList::new(py, records.iter().map(|record| record.0.bind(py))).map_err(broken)?;
    let answers = function.call(py, list.as_any())?;
    let (results, failed): Answers<'_> = answers.extract().map_err(broken)?;
    let given = results.iter().map(|result| (!result.is_none()).then(|| Ok(Object(result.unbind()))));
    let mut given: Vec<_> = given.collect();
    for (at, raised) in failed {
        if let (Some(record), Some(answer)) = (records.get(at), given.get_mut(at)) {
            *answer = function.judge(PyErr::from_value(raised), record.0.bind(py))?;
        }
    }
    Ok(given)
}
