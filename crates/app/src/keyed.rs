//! Records in groups, and what is computed for each group.

use std::rc::Rc;
use std::sync::Arc;

use thalweg_dataflow::Result;

use crate::columns::{Layout, Record};
use crate::open::Open;
use crate::plan::{Place, SharedPlan, inlets};
use crate::segment::head::{KEY_INDEX, Keyed};
use crate::segment::tail::KeyedTail;
use crate::segment::{Lane, Next};
use crate::state::{Key, KeyedStates, State};
use crate::stream::Stream;
use crate::window::{WindowedStream, Windows};

/// A stream whose records are grouped by keys of type `K`: all records of one
/// key come to one subtask, in the order in which they left the one before.
#[must_use = "a stream leads somewhere, or to 'discard'"]
pub struct KeyedStream<K, T> {
    stream: Stream<(K, T)>,
    /// How key and record lie in their columns.
    layout: (Layout<K>, Layout<T>),
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    pub(crate) fn new(stream: Stream<(K, T)>, record: Layout<T>) -> Self {
        Self { stream, layout: (Layout::find(), record) }
    }

    /// Computes with a state of its own, one for each key, made by `S::default()`
    /// when the key is first seen. The computation may give nothing, one record or many.
    pub fn stateful<S, I, F>(self, name: &str, function: F) -> Stream<I::Item>
    where
        S: Record + Default,
        I: IntoIterator<Item: Send, IntoIter: Send> + 'static,
        F: Fn(&K, T, &mut S) -> I + Send + Sync + 'static,
    {
        self.stateful_with(name, |_| S::default(), function)
    }

    /// Like [`stateful`](Self::stateful), with states made by `init`.
    pub fn stateful_with<S, I, N, F>(self, name: &str, init: N, function: F) -> Stream<I::Item>
    where
        S: Record,
        I: IntoIterator<Item: Send, IntoIter: Send> + 'static,
        N: Fn(&K) -> S + Send + Sync + 'static,
        F: Fn(&K, T, &mut S) -> I + Send + Sync + 'static,
    {
        let state = self.stream.plan.borrow_mut().private_state(name, Arc::new(init));
        self.with_state(&state, function)
    }

    /// Computes with a state that other pipelines may use too. Each
    /// computation sees all that any of them did with the key before, in the
    /// order in which records came to the key's subtask.
    pub fn with_state<S, I, F>(self, state: &State<K, S>, function: F) -> Stream<I::Item>
    where
        S: Record,
        I: IntoIterator<Item: Send, IntoIter: Send> + 'static,
        F: Fn(&K, T, &mut S) -> I + Send + Sync + 'static,
    {
        self.try_with_state(state, move |key, record, state| {
            Ok(function(key, record, state).into_iter().map(Ok))
        })
    }

    /// Like [`with_state`](Self::with_state), by a computation that may fail, before it gives anything
    /// or in between. A failure fails the job; what checkpoints hold is not lost.
    pub fn try_with_state<S, U, I, F>(self, state: &State<K, S>, function: F) -> Stream<U>
    where
        S: Record,
        U: Send + 'static,
        I: IntoIterator<Item = Result<U>, IntoIter: Send> + 'static,
        F: Fn(&K, T, &mut S) -> Result<I> + Send + Sync + 'static,
    {
        let plan = Rc::clone(&self.stream.plan);
        let (key, record) = self.layout();
        if let Err(error) = key.check_key() {
            plan.borrow_mut().errors.push(error.in_site(format!("state '{}'", state.name)));
        }
        let places = self.close(&state.name, &key, &record);
        let function = Arc::new(function);
        let head = move |next: Box<dyn Next<U>>| -> Box<dyn Lane<KeyedStates<K, S>>> {
            Box::new(Keyed::<K, T, U, I, F>::new(key.clone(), record.clone(), Arc::clone(&function), next))
        };
        let (port, open) = Open::behind_state(state, head);
        plan.borrow_mut().nodes[state.node].inputs.extend(inlets(&places, Some(vec![KEY_INDEX]), port));
        Stream::new(plan, open)
    }

    /// The records of both, under their keys.
    pub fn merge(self, other: KeyedStream<K, T>) -> KeyedStream<K, T> {
        Self { stream: self.stream.merge(other.stream), layout: self.layout }
    }

    /// Groups the records of each key into windows.
    pub fn window(self, windows: Windows) -> WindowedStream<K, T> {
        WindowedStream { keyed: self, windows }
    }

    pub(crate) fn layout(&self) -> (Layout<K>, Layout<T>) {
        self.layout.clone()
    }

    pub(crate) fn plan(&self) -> &SharedPlan {
        &self.stream.plan
    }

    pub(crate) fn close(self, name: &str, key: &Layout<K>, record: &Layout<T>) -> Vec<Place> {
        let schema = KeyedTail::<K, T>::schema(key, record);
        let (output, key, record) = (Arc::clone(&schema), key.clone(), record.clone());
        self.stream.close(name, "write", output, move || {
            Ok(Box::new(KeyedTail::new(Arc::clone(&schema), &key, &record)?))
        })
    }
}

impl<K: Key, T: Record> Clone for KeyedStream<K, T> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone(), layout: self.layout.clone() }
    }
}
