//! Functions of the program, and what a user reads when one fails.

use std::ptr::null_mut;

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
}

impl Function {
    pub(crate) fn new(function: &Bound<'_, PyAny>, kind: &str, name: &str) -> Self {
        let step = format!("{kind} '{name}'");
        Self {
            function: function.clone().unbind(),
            mark: Step::new(&step),
            step,
            called_with: "the record was",
        }
    }

    /// The same for a function that has arguments, and no record.
    pub(crate) fn of_arguments(self) -> Self {
        Self { called_with: "the arguments were", ..self }
    }

    /// Calls it with a record.
    pub(crate) fn call<'py>(&self, py: Python<'py>, record: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        let result = self.mark.call(record, || call(self.function.bind(py), record, None));
        result.map_err(|raised| self.failed(py, &raised, record))
    }

    /// Calls it with a record and a state.
    pub(crate) fn call_with<'py>(
        &self,
        py: Python<'py>,
        record: &Bound<'py, PyAny>,
        state: &Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyAny>> {
        let result = self.mark.call(record, || call(self.function.bind(py), record, Some(state)));
        result.map_err(|raised| self.failed(py, &raised, record))
    }

    /// Calls it with several arguments, one of which is shown where it fails.
    pub(crate) fn call_many<'py>(
        &self,
        arguments: impl pyo3::call::PyCallArgs<'py>,
        shown: &Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyAny>> {
        let py = shown.py();
        let result = self.mark.call(shown, || self.function.bind(py).call1(arguments));
        result.map_err(|raised| self.failed(py, &raised, shown))
    }

    /// Calls it with nothing.
    pub(crate) fn make<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        let nothing = py.None().into_bound(py);
        self.mark.call(&nothing, || self.function.bind(py).call0()).map_err(|raised| {
            let what = format!("{} raised {}", self.step, in_a_line(py, &raised));
            Error::new(Code::FunctionFailed, what).because(traceback(py, &raised))
        })
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

    /// The words for a result that cannot be used.
    pub(crate) fn gave(&self, result: &Bound<'_, PyAny>, wanted: &str, record: &Bound<'_, PyAny>) -> Error {
        let class = result.get_type().qualname().map_or_else(|_| "?".to_owned(), |name| name.to_string());
        let what = format!("{} gave {} of type '{class}', not {wanted}", self.step, shown(result));
        Error::new(Code::FunctionFailed, what).because(format!("{} {}", self.called_with, shown(record)))
    }
}

/// What a function gave for one record: the rest of many, or one, or nothing.
pub(crate) enum Given {
    /// At most one.
    One(Option<Object>),
    /// Items of a list or tuple, the last first.
    Items(Vec<Object>),
    /// An iterator that is asked for one at a time, of this function and record.
    Lazy { iterator: Py<PyIterator>, function: std::sync::Arc<Function>, record: Object },
}

impl Given {
    /// One record, or nothing for `None`.
    pub(crate) fn one(result: Bound<'_, PyAny>) -> Self {
        Given::One((!result.is_none()).then(|| Object(result.unbind())))
    }

    /// What can be iterated, or nothing for `None`.
    pub(crate) fn many(
        function: &std::sync::Arc<Function>,
        result: Bound<'_, PyAny>,
        record: &Bound<'_, PyAny>,
    ) -> Result<Self> {
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
            return Err(function.gave(&result, "a list or another iterable", record));
        }
        match result.try_iter() {
            Ok(iterator) => Ok(Given::Lazy {
                iterator: iterator.unbind(),
                function: std::sync::Arc::clone(function),
                record: Object(record.clone().unbind()),
            }),
            Err(raised) if raised.is_instance_of::<pyo3::exceptions::PyTypeError>(py) => {
                Err(function.gave(&result, "a list or another iterable", record))
            }
            Err(raised) => Err(function.failed(py, &raised, record)),
        }
    }
}

impl Iterator for Given {
    type Item = Result<Object>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Given::One(one) => one.take().map(Ok),
            Given::Items(items) => items.pop().map(Ok),
            Given::Lazy { iterator, function, record } => attached(|py| {
                let of = record.0.bind(py);
                let item = function.mark.call(of, || iterator.bind(py).clone().next())?;
                Some(match item {
                    Ok(item) => Ok(Object(item.unbind())),
                    Err(raised) => Err(function.failed(py, &raised, of)),
                })
            }),
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
    // In the stable interface since Python 3.12; the same symbol with the same meaning since 3.9.
    unsafe extern "C" {
        fn PyObject_Vectorcall(
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
        let result = PyObject_Vectorcall(function.as_ptr(), from, count | PLACE_BEFORE, null_mut());
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
