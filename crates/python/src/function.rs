//! Functions of the program, and what a user reads when one fails.

use std::ptr::null_mut;
use std::sync::Arc;

use pyo3::exceptions::{PyException, PyMemoryError, PyTypeError};
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyString, PyTuple};
use thalweg_dataflow::{Code, Error, Result};

use crate::attached::attached;
use crate::object::Object;
use crate::supervise::Step;

/// So many letters of a record are shown.
const SHOWN_MAX: usize = 200;

/// A Python function in its place in the program.
pub(crate) struct Function {
    function: Py<PyAny>,
    /// The step, for people: `map 'split'`.
    step: String,
    mark: Step,
    /// What it is called with, for people.
    called_with: &'static str,
    /// Judges what fails, if that does not fail the job: a `thalweg.policies.Guard`.
    guard: Option<Py<PyAny>>,
}

/// What becomes of a record: something that goes on, or a letter, which leaves aside.
pub(crate) type Judged<T> = std::result::Result<T, Object>;

/// Why a function has nothing to go on with for a record.
pub(crate) enum Failure {
    /// An exception.
    Raised(PyErr),
    /// What is wrong with what it has done, in words that stand behind its name.
    Wrong(String),
}

impl Failure {
    /// A result that cannot be used, and what would have been.
    pub(crate) fn gave(result: &Bound<'_, PyAny>, wanted: &str) -> Self {
        let class = result.get_type().qualname().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        Failure::Wrong(format!("gave {} of type '{class}', not {wanted}", shown(result)))
    }
}

impl From<PyErr> for Failure {
    fn from(raised: PyErr) -> Self {
        Failure::Raised(raised)
    }
}

impl Function {
    pub(crate) fn new(function: &Bound<'_, PyAny>, kind: &str, name: &str) -> Self {
        let step = format!("{kind} '{name}'");
        Self {
            function: function.clone().unbind(),
            mark: Step::new(&step),
            step,
            called_with: "the record was",
            guard: None,
        }
    }

    /// The same, with a policy for records that fail.
    pub(crate) fn guarded_by(self, guard: Option<&Bound<'_, PyAny>>) -> Self {
        Self { guard: guard.map(|guard| guard.clone().unbind()), ..self }
    }

    /// Whether records that fail are no failure of the job.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// The same for a function that has arguments, and no record.
    pub(crate) fn of_arguments(self) -> Self {
        Self { called_with: "the arguments were", ..self }
    }

    /// Calls it with a record.
    pub(crate) fn call<'py>(&self, py: Python<'py>, record: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        self.try_call(py, record).map_err(|raised| self.failed(py, &raised, record))
    }

    /// Calls it with a record, whose failure is still to be [judged](Self::judge).
    #[inline]
    pub(crate) fn try_call<'py>(
        &self,
        py: Python<'py>,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.mark.call(record, || call(self.function.bind(py), record, None))
    }

    /// Calls it with a record and a state, or another value. Its failure is still to be judged.
    #[inline]
    pub(crate) fn try_call_with<'py>(
        &self,
        py: Python<'py>,
        record: &Bound<'py, PyAny>,
        state: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.mark.call(record, || call(self.function.bind(py), record, Some(state)))
    }

    /// Calls it with several arguments, one of which is shown where it fails.
    pub(crate) fn call_many<'py>(
        &self,
        arguments: impl pyo3::call::PyCallArgs<'py>,
        shown: &Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyAny>> {
        self.try_call_many(arguments, shown).map_err(|raised| self.failed(shown.py(), &raised, shown))
    }

    /// The same. Its failure is still to be judged.
    pub(crate) fn try_call_many<'py>(
        &self,
        arguments: impl pyo3::call::PyCallArgs<'py>,
        shown: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.mark.call(shown, || self.function.bind(shown.py()).call1(arguments))
    }

    /// Calls it with nothing.
    pub(crate) fn make<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        self.try_make(py).map_err(|raised| {
            let what = format!("{} raised {}", self.step, in_a_line(py, &raised));
            Error::new(Code::FunctionFailed, what).because(traceback(py, &raised))
        })
    }

    /// Calls it with nothing. Its failure is still to be judged.
    pub(crate) fn try_make<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let nothing = py.None().into_bound(py);
        self.mark.call(&nothing, || self.function.bind(py).call0())
    }

    /// The words for a failure that nothing judges.
    #[cold]
    pub(crate) fn end<T>(&self, failure: Failure, record: &Bound<'_, PyAny>) -> Result<T> {
        Err(match failure {
            Failure::Raised(raised) => self.failed(record.py(), &raised, record),
            Failure::Wrong(what) => self.wrong(&what, record),
        })
    }

    /// What becomes of a record that has failed, by the policy of the step: a letter, nothing, or the end of the job.
    #[cold]
    pub(crate) fn judge<'py, T>(
        &self,
        failure: impl Into<Failure>,
        record: &Bound<'py, PyAny>,
    ) -> Result<Option<Judged<T>>> {
        let py = record.py();
        let failure = failure.into();
        let Some(guard) = &self.guard else { return self.end(failure, record) };
        let raised = match failure {
            Failure::Raised(raised) => raised,
            Failure::Wrong(what) => PyTypeError::new_err(format!("it {what}")),
        };
        if !raised.is_instance_of::<PyException>(py) || raised.is_instance_of::<PyMemoryError>(py) {
            return Err(self.failed(py, &raised, record));
        }
        // With its traceback, which lies beside the value until it is asked for.
        let value = raised.clone_ref(py).into_value(py);
        let judged = || guard.bind(py).call_method1("failed", (value, record));
        let letter = self.mark.call(record, judged);
        let letter = letter.map_err(|raised| self.failed(py, &raised, record))?;
        Ok((!letter.is_none()).then(|| Err(Object(letter.unbind()))))
    }

    /// What becomes of letters that have waited in a window, by the policy of the step: since they were written
    /// it may have become another. Beyond them there were `more`.
    #[cold]
    pub(crate) fn waited(
        &self,
        py: Python<'_>,
        letters: Vec<Bound<'_, PyAny>>,
        more: u64,
    ) -> Result<Vec<Object>> {
        let Some(guard) = &self.guard else {
            let what = format!("{} has no 'on_error', and a window that is kept has dead letters", self.step);
            let first = letters.first().map_or_else(String::new, shown);
            return Err(Error::new(Code::FunctionFailed, what).because(format!("the first is {first}")));
        };
        let failed = |raised: PyErr| self.failed(py, &raised, &py.None().into_bound(py));
        let letters = PyList::new(py, letters).map_err(failed)?;
        let judged = guard.bind(py).call_method1("waited", (&letters, more)).map_err(failed)?;
        let judged = judged.cast_into::<PyList>().map_err(|why| failed(why.into()))?;
        Ok(judged.iter().map(|letter| Object(letter.unbind())).collect())
    }

    /// The words for an exception that the function raised, or that what it gave has led to.
    pub(crate) fn failed(&self, py: Python<'_>, raised: &PyErr, record: &Bound<'_, PyAny>) -> Error {
        let what = format!("{} raised {}", self.step, in_a_line(py, raised));
        let why = format!("{}\n{} {}", traceback(py, raised), self.called_with, shown(record));
        Error::new(Code::FunctionFailed, what).because(why)
    }

    /// The words for what it has done wrong, as they stand behind the name of the step.
    pub(crate) fn wrong(&self, what: &str, record: &Bound<'_, PyAny>) -> Error {
        let why = format!("{} {}", self.called_with, shown(record));
        Error::new(Code::FunctionFailed, format!("{} {what}", self.step)).because(why)
    }

    /// The words for a record that the step has sent, and that cannot be opened where it came to.
    pub(crate) fn unread(&self, py: Python<'_>, raised: &PyErr) -> Error {
        let what = format!("a record behind {} cannot be read: {}", self.step, in_a_line(py, raised));
        Error::new(Code::FunctionFailed, what).because(traceback(py, raised))
    }
}

/// What a function gave for one record: the rest of many, or one, or nothing; or what its policy made of it.
pub(crate) enum Given {
    /// At most one.
    One(Option<Judged<Object>>),
    /// Items of a list or tuple, the last first.
    Items(Vec<Object>),
    /// An iterator that is asked for one at a time, of this function and record.
    Lazy { iterator: Py<PyIterator>, function: Arc<Function>, record: Object },
}

impl Given {
    /// What comes of a call: any number of records, or one, or nothing for `None`.
    pub(crate) fn of<'py>(
        function: &Arc<Function>,
        result: PyResult<Bound<'py, PyAny>>,
        record: &Bound<'py, PyAny>,
        many: bool,
    ) -> Result<Self> {
        match (result, many) {
            (Ok(result), false) => Ok(Given::One((!result.is_none()).then(|| Ok(Object(result.unbind()))))),
            (Ok(result), true) => Self::many(function, result, record),
            (Err(raised), _) => function.judge(raised, record).map(Given::One),
        }
    }

    /// What can be iterated, or nothing for `None`.
    fn many<'py>(
        function: &Arc<Function>,
        result: Bound<'py, PyAny>,
        record: &Bound<'py, PyAny>,
    ) -> Result<Self> {
        const WANTED: &str = "a list or another iterable";
        let py = result.py();
        if result.is_none() {
            return Ok(Given::One(None));
        }
        if let Ok(list) = result.cast_exact::<PyList>() {
            return Ok(Given::Items(list.iter().rev().map(|item| Object(item.unbind())).collect()));
        }
        if let Ok(tuple) = result.cast_exact::<PyTuple>() {
            return Ok(Given::Items(tuple.iter().rev().map(|item| Object(item.unbind())).collect()));
        }
        // A text can be iterated, and nobody means it.
        if result.is_instance_of::<PyString>() || result.is_instance_of::<PyBytes>() {
            return function.judge(Failure::gave(&result, WANTED), record).map(Given::One);
        }
        match result.try_iter() {
            Ok(iterator) => Ok(Given::Lazy {
                iterator: iterator.unbind(),
                function: Arc::clone(function),
                record: Object(record.clone().unbind()),
            }),
            Err(raised) if raised.is_instance_of::<PyTypeError>(py) => {
                function.judge(Failure::gave(&result, WANTED), record).map(Given::One)
            }
            Err(raised) => function.judge(raised, record).map(Given::One),
        }
    }

    /// The records, where nobody has asked for letters, so that there are none.
    pub(crate) fn records(self) -> impl Iterator<Item = Result<Object>> {
        self.filter_map(|item| match item {
            Ok(judged) => judged.ok().map(Ok),
            Err(error) => Some(Err(error)),
        })
    }
}

impl Iterator for Given {
    type Item = Result<Judged<Object>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Given::One(one) => one.take().map(Ok),
            Given::Items(items) => items.pop().map(|item| Ok(Ok(item))),
            Given::Lazy { iterator, function, record } => {
                let item = attached(|py| {
                    let record = record.0.bind(py);
                    let item = function.mark.call(record, || iterator.bind(py).clone().next())?;
                    Some(match item {
                        Ok(item) => Ok(Object(item.unbind())),
                        Err(raised) => Err(function.judge(raised, record).transpose()),
                    })
                })?;
                match item {
                    Ok(item) => Some(Ok(Ok(item))),
                    Err(judged) => {
                        *self = Given::One(None);
                        judged
                    }
                }
            }
        }
    }
}

/// Calls a function without making a tuple of its arguments.
#[inline]
#[allow(unsafe_code)]
fn call<'py>(
    function: &Bound<'py, PyAny>,
    first: &Bound<'py, PyAny>,
    second: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    // Not in the stable interface, as `PyObject_Vectorcall` is since Python 3.12. But it is a symbol of all from 3.9
    // on, which that is not before 3.11.
    unsafe extern "C" {
        fn PyObject_VectorcallDict(
            callable: *mut PyObject,
            arguments: *const *mut PyObject,
            count: usize,
            names: *mut PyObject,
        ) -> *mut PyObject;
    }
    // The callee may use the place before the first argument, for `self`.
    const PLACE_BEFORE: usize = 1 << (usize::BITS - 1);
    let mut arguments = [null_mut(), first.as_ptr(), second.map_or(null_mut(), Bound::as_ptr)];
    let count = 1 + usize::from(second.is_some());
    // SAFETY: the arguments are held here, there are as many as are said, and what is given is ours.
    unsafe {
        let from = arguments.as_mut_ptr().add(1);
        let result = PyObject_VectorcallDict(function.as_ptr(), from, count | PLACE_BEFORE, null_mut());
        Bound::from_owned_ptr_or_err(function.py(), result)
    }
}

pub(crate) fn in_a_line(py: Python<'_>, raised: &PyErr) -> String {
    let class = raised.get_type(py).qualname().map_or_else(|_| "an exception".to_owned(), |n| n.to_string());
    match raised.value(py).str() {
        Ok(text) if !text.to_string_lossy().is_empty() => {
            format!("{class}: {}", cut(&text.to_string_lossy()))
        }
        Ok(_) | Err(_) => class,
    }
}

/// As Python prints it.
pub(crate) fn traceback(py: Python<'_>, raised: &PyErr) -> String {
    let lines = || -> PyResult<String> {
        let raised = raised.clone_ref(py).into_value(py);
        let lines = py.import("traceback")?.call_method1("format_exception", (raised,))?;
        Ok(PyString::new(py, "").call_method1("join", (lines,))?.extract::<String>()?.trim_end().to_owned())
    };
    lines().unwrap_or_else(|_| raised.to_string())
}

/// A record, for people.
pub(crate) fn shown(record: &Bound<'_, PyAny>) -> String {
    match record.repr() {
        Ok(text) => cut(&text.to_string_lossy()),
        Err(_) => "one that cannot be shown".to_owned(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
