//! Steps that have been declared and do not end yet.

use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use thalweg_dataflow::{Code, Error};

use crate::columns::Record;
use crate::plan::{LaneOf, Place, Plan, Steps, Work, inlets};
use crate::segment::head::{ReadBatch, Records, TimeFrom};
use crate::segment::tail::NoTail;
use crate::segment::{Behind, Lane, LaneFactory, Next, Remembered};
use crate::state::{Key, KeyedStates, State};

/// How steps end: what stands behind them, and what comes out there.
pub(crate) struct End<T> {
    pub(crate) behind: Behind<T>,
    pub(crate) output: SchemaRef,
    /// The name of the node, unless it has one.
    pub(crate) name: String,
    /// The steps for people, the last first.
    pub(crate) steps: Vec<String>,
    /// Whether a step gives records their event time.
    pub(crate) timed: bool,
}

/// Ends steps: adds what they come to to the plan, and says where it comes out.
pub(crate) type Close<T> = Box<dyn FnOnce(&mut Plan, End<T>) -> Place>;

/// A head and some steps. Whoever ends them makes them a part of the plan.
pub(crate) struct Open<T> {
    pub(crate) close: Close<T>,
    /// The name that a branch gets.
    pub(crate) origin: String,
    /// For a head without steps: what it reads, so that others can read it too.
    pub(crate) bare: Option<Vec<Place>>,
}

impl<T: 'static> Open<T> {
    /// Adds a step.
    pub(crate) fn then<U: 'static>(
        self,
        step: &'static str,
        make: impl Fn(Box<dyn Next<U>>) -> Box<dyn Next<T>> + Send + Sync + 'static,
    ) -> Open<U> {
        let Open { close, origin, .. } = self;
        let close = move |plan: &mut Plan, end: End<U>| close(plan, end.before(step, make));
        Open { close: Box::new(close), origin, bare: None }
    }

    /// Adds the step that gives records their event time.
    pub(crate) fn timed(
        self,
        make: impl Fn(Box<dyn Next<T>>) -> Box<dyn Next<T>> + Send + Sync + 'static,
    ) -> Open<T> {
        let Open { close, origin, .. } = self;
        let close = move |plan: &mut Plan, end: End<T>| {
            if end.timed {
                plan.errors.push(Error::new(
                    Code::InvalidWatermark,
                    "records get their event time twice: 'with_event_time' is called again",
                ));
            }
            close(plan, End { timed: true, ..end.before("with_event_time", make) })
        };
        Open { close: Box::new(close), origin, bare: None }
    }

    /// The first steps of a source's chain.
    pub(crate) fn first<R: Remembered + 'static>(
        source: Place,
        origin: String,
        head: impl Fn(TimeFrom, Box<dyn Next<T>>) -> Box<dyn Lane<R>> + Send + Sync + 'static,
        remembered: Arc<dyn Fn() -> R + Send + Sync>,
        reads: &'static str,
    ) -> Self {
        let close = move |plan: &mut Plan, end: End<T>| {
            let time = if end.timed { TimeFrom::Records } else { TimeFrom::Processing };
            let behind = end.behind;
            let lane: LaneFactory<R> = Arc::new(move || Ok(head(time, behind()?)));
            let steps = Steps { output: end.output, steps: label(end.steps, reads), lane, remembered };
            segment(plan, end.name, steps, &[source])
        };
        Open { close: Box::new(close), origin, bare: None }
    }
}

impl<T: Send + 'static> Open<T> {
    /// Steps behind what other nodes wrote as columns.
    pub(crate) fn records(from: Vec<Place>, read: ReadBatch<T>, origin: String) -> Self {
        let close = move |plan: &mut Plan, end: End<T>| {
            end.refuse_time(plan);
            let behind = end.behind;
            let lane: LaneFactory<()> =
                Arc::new(move || Ok(Box::new(Records::new(Arc::clone(&read), None, behind()?))));
            let steps = label(end.steps, "records");
            let steps = Steps { output: end.output, steps, lane, remembered: Arc::new(|| ()) };
            segment(plan, end.name, steps, &from)
        };
        Open { close: Box::new(close), origin, bare: None }
    }
}

impl<U: 'static> Open<U> {
    /// Steps behind a state computation: a new lane through its state, of this number.
    ///
    /// Until the steps end, which they need not, nobody reads what the computation gives.
    pub(crate) fn behind_state<K: Key, S: Record>(
        state: &State<K, S>,
        head: impl Fn(Box<dyn Next<U>>) -> Box<dyn Lane<KeyedStates<K, S>>> + Send + Sync + 'static,
    ) -> (u16, Self) {
        let head = Arc::new(head);
        let lanes = Rc::clone(&state.lanes);
        let unread = Arc::clone(&head);
        // What people read for the computation.
        let step = format!("state {}", state.name);
        let port = lanes.add(LaneOf {
            factory: Arc::new(move || Ok(unread(Box::new(NoTail)))),
            output: Arc::new(Schema::empty()),
            steps: vec![step.clone()],
        });
        let place = Place { node: state.node, port };
        let close = move |plan: &mut Plan, end: End<U>| {
            end.refuse_time(plan);
            let behind = end.behind;
            let factory: LaneFactory<_> = Arc::new(move || Ok(head(behind()?)));
            lanes.set(port, LaneOf { factory, output: end.output, steps: label(end.steps, &step) });
            place
        };
        (port, Open { close: Box::new(close), origin: state.name.to_string(), bare: None })
    }
}

impl<U: 'static> End<U> {
    /// The same end, seen from before a step.
    fn before<T: 'static>(
        mut self,
        step: &'static str,
        make: impl Fn(Box<dyn Next<U>>) -> Box<dyn Next<T>> + Send + Sync + 'static,
    ) -> End<T> {
        let behind = self.behind;
        self.steps.push(step.to_owned());
        End {
            behind: Arc::new(move || Ok(make(behind()?))),
            output: self.output,
            name: self.name,
            steps: self.steps,
            timed: self.timed,
        }
    }

    fn refuse_time(&self, plan: &mut Plan) {
        if self.timed {
            plan.errors.push(
                Error::new(
                    Code::InvalidWatermark,
                    "records have an event time before 'with_event_time' is called",
                )
                .because("a stream has its event time from its source on, and this one has left its source")
                .with_help("call 'with_event_time' before the stream is cloned, keyed, or read by SQL"),
            );
        }
    }
}

/// All steps, the first first.
fn label(mut steps: Vec<String>, first: &str) -> Vec<String> {
    steps.push(first.to_owned());
    steps.reverse();
    steps
}

fn segment<R: Remembered + 'static>(plan: &mut Plan, name: String, steps: Steps<R>, from: &[Place]) -> Place {
    let node = plan.add(name, Work::Segment(Rc::new(steps)), inlets(from, None, 0));
    Place { node, port: 0 }
}
