//! Functions of a program in their places: what the engine's steps call, and where letters go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyString};
use thalweg_app::decode::{DecodeError, Decoder};
use thalweg_app::{Application, KeyedStream, SideOutput, State, Stream, Windows};
use thalweg_dataflow::spec::{SinkSpec, SourceSpec};
use thalweg_dataflow::{Error, Result};

use crate::aggregate::Methods;
use crate::attached::attached;
use crate::function::{Failure, Function, Given, Judged};
use crate::object::{Column, Object, write_key};
use crate::rows::{Rows, nanos};

/// Records, each with its key as bytes.
pub(crate) type Keyed = KeyedStream<Vec<u8>, Object>;

/// The state of a key; none until its first record comes, whose computation makes it.
pub(crate) type Slot = Option<Object>;

/// Most keys are no longer, and what holds them does not grow.
const KEY_BYTES: usize = 24;

/// A function, and where the letters go of records that it fails with, if they go anywhere.
pub(crate) struct Call {
    pub(crate) function: Arc<Function>,
    pub(crate) letters: Option<SideOutput<Object>>,
}

impl Call {
    /// Records of frames, by a decoder that gives one or `many`.
    pub(crate) fn source(
        self,
        application: &Application,
        name: &str,
        spec: Arc<dyn SourceSpec>,
        many: bool,
    ) -> Stream<Object> {
        let decode = Decode { function: self.function, many };
        match self.letters {
            Some(letters) => {
                let judged: Stream<Judged<Object>> = application.source(name, spec, decode);
                judged.divide(&letters)
            }
            None => application.source(name, spec, decode),
        }
    }

    pub(crate) fn map(self, stream: Stream<Object>) -> Stream<Object> {
        let Self { function, letters } = self;
        each(stream, letters, move |py, record| {
            let record = record.0.bind(py);
            match function.try_call(py, record) {
                Ok(result) => Ok((!result.is_none()).then(|| Ok(Object(result.unbind())))),
                Err(raised) => function.judge(raised, record),
            }
        })
    }

    pub(crate) fn filter(self, stream: Stream<Object>) -> Stream<Object> {
        let Self { function, letters } = self;
        each(stream, letters, move |py, record| {
            let bound = record.0.bind(py);
            match function.try_call(py, bound).and_then(|answer| answer.is_truthy()) {
                Ok(true) => Ok(Some(Ok(record))),
                Ok(false) => Ok(None),
                Err(raised) => function.judge(raised, bound),
            }
        })
    }

    pub(crate) fn flat_map(self, stream: Stream<Object>) -> Stream<Object> {
        let Self { function, letters } = self;
        let give = move |record: Object| {
            attached(|py| {
                let record = record.0.bind(py);
                Given::of(&function, function.try_call(py, record), record, true)
            })
        };
        match letters {
            Some(letters) => stream.try_flat_map(give).divide(&letters),
            None => stream.try_flat_map(move |record| Ok(give(record)?.records())),
        }
    }

    pub(crate) fn with_event_time(self, stream: Stream<Object>, delay: Duration) -> Stream<Object> {
        const WANTED: &str = "seconds since 1970 or a datetime with a time zone";
        let Self { function, letters } = self;
        let timed = each(stream, letters, move |py, record| {
            let bound = record.0.bind(py);
            let failure = match function.try_call(py, bound) {
                Ok(time) => match nanos(&time) {
                    Some(time) => return Ok(Some(Ok((time, record)))),
                    None if time.is_instance_of::<PyFloat>() || time.is_instance_of::<PyInt>() => {
                        Failure::gave(
                            &time,
                            "seconds since 1970 of the years 1678 to 2261: are these milliseconds?",
                        )
                    }
                    None => Failure::gave(&time, WANTED),
                },
                Err(raised) => Failure::Raised(raised),
            };
            function.judge(failure, bound)
        });
        timed.with_event_time(|(time, _)| *time, delay).map(|(_, record)| record)
    }

    pub(crate) fn key_by(self, stream: Stream<Object>) -> Keyed {
        let Self { function, letters } = self;
        let column = Arc::new(Column { step: Arc::clone(&function) });
        let pairs = each(stream, letters, move |py, record| {
            let (object, mut bytes) = (record.0.bind(py), Vec::with_capacity(KEY_BYTES));
            match function.try_call(py, object).and_then(|key| write_key(&key, &mut bytes)) {
                Ok(()) => Ok(Some(Ok((bytes, record)))),
                Err(raised) => function.judge(raised, object),
            }
        });
        pairs.keyed_in(column)
    }

    /// With states that `make` makes, by a computation that gives one record or `many`.
    pub(crate) fn stateful(
        self,
        keyed: Keyed,
        state: &State<Vec<u8>, Slot>,
        make: Function,
        many: bool,
    ) -> Stream<Object> {
        let Self { function, letters } = self;
        let compute = move |record: Object, state: &mut Slot| {
            attached(|py| {
                let record = record.0.bind(py);
                let state = match state {
                    Some(state) => state,
                    None => match make.try_make(py) {
                        Ok(made) => state.insert(Object(made.unbind())),
                        Err(raised) => return make.judge(raised, record).map(Given::One),
                    },
                };
                let result = function.try_call_with(py, record, state.0.bind(py));
                Given::of(&function, result, record, many)
            })
        };
        match letters {
            Some(letters) => {
                let judged = keyed.try_with_state(state, move |_, record, state| compute(record, state));
                judged.divide(&letters)
            }
            None => {
                keyed.try_with_state(state, move |_, record, state| Ok(compute(record, state)?.records()))
            }
        }
    }

    /// The records that can be rows. Without a policy they are all, and the first that cannot fails the job.
    pub(crate) fn fitting(self, stream: Stream<Object>, rows: Rows) -> Stream<Object> {
        let Self { function, letters } = self;
        if !function.is_guarded() {
            return stream;
        }
        // All subtasks of this process try their records on one, within the interpreter, one at a time.
        let rows = Mutex::new(rows);
        each(stream, letters, move |py, record| {
            let misfit =
                rows.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner).misfit(record.0.bind(py));
            match misfit {
                None => Ok(Some(Ok(record))),
                Some(what) => {
                    let what = format!("has no place among the rows: {what}");
                    function.judge(Failure::Wrong(what), record.0.bind(py))
                }
            }
        })
    }

    pub(crate) fn sink(self, stream: Stream<Object>, name: &str, spec: Arc<dyn SinkSpec>) {
        let Self { function, letters } = self;
        if function.is_guarded() {
            let frames = each(stream, letters, move |py, record| {
                let (record, mut frame) = (record.0.bind(py), Vec::new());
                match encode(&function, record, &mut frame) {
                    Ok(()) => Ok(Some(Ok(frame))),
                    Err(failure) => function.judge(failure, record),
                }
            });
            return frames.sink(name, spec, |frame, line| line.extend_from_slice(frame));
        }
        stream.try_sink(name, spec, move |record: &Object, frame: &mut Vec<u8>| {
            let encoded = attached(|py| {
                let record = record.0.bind(py);
                encode(&function, record, frame).or_else(|failure| function.end(failure, record))
            });
            encoded.map_err(in_full)
        });
    }
}

/// What an aggregation gives for windows of records, and its letters.
pub(crate) fn aggregate(
    keyed: Keyed,
    windows: Windows,
    name: &str,
    methods: Methods,
    letters: Option<SideOutput<Object>>,
) -> Stream<Object> {
    let results = keyed.window(windows).aggregate(name, methods);
    match letters {
        Some(letters) => results.flat_map(|results| results).divide(&letters),
        None => results.flat_map(|results| results.into_iter().filter_map(Judged::ok)),
    }
}

/// A decoder: a function of the frame's bytes.
struct Decode {
    function: Arc<Function>,
    many: bool,
}

impl Decode {
    fn given(&self, py: Python<'_>, frame: &[u8]) -> Result<Given> {
        let frame = PyBytes::new(py, frame).into_any();
        Given::of(&self.function, self.function.try_call(py, &frame), &frame, self.many)
    }
}

impl Decoder<Object> for Decode {
    fn decode(&self, frame: &[u8], records: &mut VecDeque<Object>) -> Result<(), DecodeError> {
        let mut given = attached(|py| self.given(py, frame)).map_err(in_full)?.records();
        given.try_for_each(|record| record.map(|record| records.push_back(record))).map_err(in_full)
    }
}

impl Decoder<Judged<Object>> for Decode {
    fn decode(&self, frame: &[u8], records: &mut VecDeque<Judged<Object>>) -> Result<(), DecodeError> {
        let mut given = attached(|py| self.given(py, frame)).map_err(in_full)?;
        given.try_for_each(|record| record.map(|record| records.push_back(record))).map_err(in_full)
    }
}

/// A step that gives at most one record for each: `step` answers what goes on, or a letter, or nothing.
fn each<U: Send + 'static>(
    stream: Stream<Object>,
    letters: Option<SideOutput<Object>>,
    step: impl Fn(Python<'_>, Object) -> Result<Option<Judged<U>>> + Send + Sync + 'static,
) -> Stream<U> {
    let step = move |record| attached(|py| step(py, record));
    match letters {
        Some(letters) => stream.try_filter_map(step).divide(&letters),
        None => stream.try_filter_map(move |record| Ok(step(record)?.and_then(Judged::ok))),
    }
}

/// Appends what an encoder gives for a record: bytes, or text.
fn encode(
    function: &Function,
    record: &Bound<'_, PyAny>,
    frame: &mut Vec<u8>,
) -> std::result::Result<(), Failure> {
    let result = function.try_call(record.py(), record)?;
    if let Ok(bytes) = result.cast::<PyBytes>() {
        frame.extend_from_slice(bytes.as_bytes());
    } else if let Ok(text) = result.cast::<PyString>() {
        frame.extend_from_slice(text.to_str()?.as_bytes());
    } else {
        return Err(Failure::gave(&result, "bytes or str"));
    }
    Ok(())
}

/// What a function has done wrong, with its traceback.
fn in_full(error: Error) -> DecodeError {
    match error.why() {
        Some(why) => format!("{}\n{why}", error.what()).into(),
        None => error.what().into(),
    }
}
