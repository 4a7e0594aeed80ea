//! Steps that have been declared and do not end yet.

use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use thalweg_dataflow::{Code, Error, Result};

use crate::columns::Record;
use crate::plan::{Exits, LaneOf, Place, Plan, Steps, Work, inlets};
use crate::segment::divide::Divide;
use crate::segment::head::{ReadBatch, Records, TimeFrom};
use crate::segment::tail::{NoTail, RecordTail};
use crate::segment::{Behind, Exit, Lane, LaneFactory, Next, Remembered};
use crate::side::SideOutput;
use crate::state::{Key, KeyedStates, State};

/// How steps end: what stands behind them, and what comes out there.
pub(crate) struct End<T> {
    pub(crate) behind: Behind<T>,
    pub(crate) output: SchemaRef,
    /// What leaves aside on the way there.
    pub(crate) sides: Vec<Side>,
    /// The name of the node, unless it has one.
    pub(crate) name: String,
    /// The steps for people, the last first.
    pub(crate) steps: Vec<String>,
    /// Whether a step gives records their event time.
    pub(crate) timed: bool,
}

/// A side output: its columns, and the node where it goes.
pub(crate) struct Side {
    columns: SchemaRef,
    to: usize,
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
    /// Whether records leave aside, so that the steps do something even if nobody reads what they give.
    pub(crate) divides: bool,
}

impl<T: 'static> Open<T> {
    /// Adds a step.
    pub(crate) fn then<U: 'static>(
        self,
        step: &'static str,
        make: impl Fn(Box<dyn Next<U>>) -> Box<dyn Next<T>> + Send + Sync + 'static,
    ) -> Open<U> {
        let Open { close, origin, divides, .. } = self;
        let close =
            move |plan: &mut Plan, end: End<U>| close(plan, end.before(step, move |next| Ok(make(next))));
        Open { close: Box::new(close), origin, bare: None, divides }
    }

    /// Adds the step that gives records their event time.
    pub(crate) fn timed(
        self,
        make: impl Fn(Box<dyn Next<T>>) -> Box<dyn Next<T>> + Send + Sync + 'static,
    ) -> Open<T> {
        let Open { close, origin, divides, .. } = self;
        let close = move |plan: &mut Plan, end: End<T>| {
            if end.timed {
                plan.errors.push(Error::new(
                    Code::InvalidWatermark,
                    "records get their event time twice: 'with_event_time' is called again",
                ));
            }
            close(plan, End { timed: true, ..end.before("with_event_time", move |next| Ok(make(next))) })
        };
        Open { close: Box::new(close), origin, bare: None, divides }
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
            let (exits, sides, behind) = (end.exits(), end.sides, end.behind);
            let lane: LaneFactory<R> = Arc::new(move || Ok(head(time, behind()?)));
            let steps = Steps { exits, steps: label(end.steps, reads), lane, remembered };
            segment(plan, end.name, steps, &sides, &[source])
        };
        Open { close: Box::new(close), origin, bare: None, divides: false }
    }
}

impl<U: Send + 'static, L: Record> Open<std::result::Result<U, L>> {
    /// Adds the step behind which records part.
    pub(crate) fn divided(self, aside: SideOutput<L>) -> Open<U> {
        let Open { close, origin, .. } = self;
        let close = move |plan: &mut Plan, end: End<U>| close(plan, end.divided(aside));
        Open { close: Box::new(close), origin, bare: None, divides: true }
    }
}

impl<T: Send + 'static> Open<T> {
    /// Steps behind what other nodes wrote as columns.
    pub(crate) fn records(from: Vec<Place>, read: ReadBatch<T>, origin: String) -> Self {
        let close = move |plan: &mut Plan, end: End<T>| {
            end.refuse_time(plan);
            let (exits, sides, behind) = (end.exits(), end.sides, end.behind);
            let lane: LaneFactory<()> =
                Arc::new(move || Ok(Box::new(Records::new(Arc::clone(&read), None, behind()?))));
            let steps = label(end.steps, "records");
            let steps = Steps { exits, steps, lane, remembered: Arc::new(|| ()) };
            segment(plan, end.name, steps, &sides, &from)
        };
        Open { close: Box::new(close), origin, bare: None, divides: false }
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
            exits: Exits { main: Arc::new(Schema::empty()), sides: Vec::new() },
            steps: vec![step.clone()],
        });
        let place = Place { lane: port, ..Place::of(state.node) };
        let close = move |plan: &mut Plan, end: End<U>| {
            end.refuse_time(plan);
            let (exits, sides, behind) = (end.exits(), end.sides, end.behind);
            let factory: LaneFactory<_> = Arc::new(move || Ok(head(behind()?)));
            lanes.set(port, LaneOf { factory, exits, steps: label(end.steps, &step) });
            lead(plan, place, &sides);
            place
        };
        let origin = state.name.to_string();
        (port, Open { close: Box::new(close), origin, bare: None, divides: false })
    }
}

impl<U: 'static> End<U> {
    /// The same end, seen from before a step.
    fn before<T: 'static>(
        mut self,
        step: &'static str,
        make: impl Fn(Box<dyn Next<U>>) -> Result<Box<dyn Next<T>>> + Send + Sync + 'static,
    ) -> End<T> {
        let behind = self.behind;
        self.steps.push(step.to_owned());
        End {
            behind: Arc::new(move || make(behind()?)),
            output: self.output,
            sides: self.sides,
            name: self.name,
            steps: self.steps,
            timed: self.timed,
        }
    }

    fn exits(&self) -> Exits {
        let sides = self.sides.iter().map(|side| Arc::clone(&side.columns)).collect();
        Exits { main: Arc::clone(&self.output), sides }
    }

    fn refuse_time(&self, plan: &mut Plan) {
        if self.timed {
            plan.errors.push(
                Error::new(
                    Code::InvalidWatermark,
                    "records have an event time before 'with_event_time' is called",
                )
                .because("a stream has its event time from its source on, and this one has left its source")
                .with_help("call 'with_event_time' before the stream branches, is keyed, or is read by SQL"),
            );
        }
    }
}

impl<U: Send + 'static> End<U> {
    /// The same end, seen from before the step behind which records part.
    fn divided<L: Record>(mut self, aside: SideOutput<L>) -> End<std::result::Result<U, L>> {
        let number = u16::try_from(self.sides.len()).expect("a program does not spell out 65,536 outputs");
        let (columns, timed_later) = (RecordTail::schema(&aside.layout), self.timed);
        self.sides.push(Side { columns: Arc::clone(&columns), to: aside.node });
        self.before("divide", move |next| {
            let aside = Box::new(RecordTail::new(Arc::clone(&columns), &aside.layout)?);
            Ok(Box::new(Divide { next, aside, number, timed_later }))
        })
    }
}

/// All steps, the first first.
fn label(mut steps: Vec<String>, first: &str) -> Vec<String> {
    steps.push(first.to_owned());
    steps.reverse();
    steps
}

fn segment<R: Remembered + 'static>(
    plan: &mut Plan,
    name: String,
    steps: Steps<R>,
    sides: &[Side],
    from: &[Place],
) -> Place {
    let node = plan.add(name, Work::Segment(Rc::new(steps)), inlets(from, None, 0));
    lead(plan, Place::of(node), sides);
    Place::of(node)
}

/// Leads the side outputs of a lane where they go.
fn lead(plan: &mut Plan, lane: Place, sides: &[Side]) {
    for (side, number) in sides.iter().zip(0..) {
        plan.add_aside(Place { exit: Exit::Side(number), ..lane }, side.to);
    }
}
