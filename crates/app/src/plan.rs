//! What a program has declared so far: nodes, and who reads whom.
//!
//! Pipelines are declared in any order, and a state may get one more input
//! after its outputs are read, so the graph is written only at the end.

use std::any::{Any, type_name};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::spec::{SinkSpec, SourceSpec};
use thalweg_dataflow::{Code, Error, Functions, OperatorSpec, Outlet, Result};
use thalweg_operators::RowPolicy;
use thalweg_operators::fingerprint::Fingerprint;

use crate::columns::{Layout, Record};
use crate::segment::{
    Enter, Exit, LaneFactory, OperatorFactory, Remembered, SegmentOperator, SegmentSpec, SkewMax,
};
use crate::state::{Evolution, Init, Key, KeyedStates, State};

/// The plan of one application, shared by the streams that are still being declared.
pub(crate) type SharedPlan = Rc<RefCell<Plan>>;

/// A node's output: what others read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: usize,
    /// Of a state, the number of the pipeline's way through it.
    pub(crate) lane: u16,
    pub(crate) exit: Exit,
}

impl Place {
    /// The output of a node that has one.
    pub(crate) fn of(node: usize) -> Self {
        Self { node, lane: 0, exit: Exit::Main }
    }
}

/// A node's input.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    pub(crate) from: Place,
    pub(crate) port: u16,
    /// By which columns rows are dealt out; none: as they come.
    pub(crate) key: Option<Vec<usize>>,
}

/// All of these outputs into one port.
pub(crate) fn inlets(places: &[Place], key: Option<Vec<usize>>, port: u16) -> Vec<Inlet> {
    places.iter().map(|&from| Inlet { from, port, key: key.clone() }).collect()
}

/// What a node is to be.
pub(crate) enum Work {
    Source(Arc<dyn SourceSpec>),
    /// Steps, or a state and the steps behind it.
    Segment(Rc<dyn Segment>),
    /// An operator of the engine's own, and the functions of the program that it knows by name.
    Operator {
        spec: MakeOperator,
        functions: AddFunctions,
    },
    /// All inputs as one.
    Union,
    /// The same, of the side outputs of any steps.
    Aside,
    /// SQL that reads the inputs under these names, and what its rows must be fit for.
    Sql {
        text: String,
        tables: Vec<String>,
        fits: Fits,
    },
    Sink(Arc<dyn SinkSpec>),
    /// A sink of rows whose columns are known when what gives them is written.
    SinkOfRows(MakeSink),
}

/// Makes a sink of rows with these columns.
pub(crate) type MakeSink = Box<dyn Fn(SchemaRef) -> Result<Arc<dyn SinkSpec>>>;

/// Fails if rows are not fit for their reader.
pub(crate) type Fits = Box<dyn Fn(&Outlet) -> Result<()>>;

/// Makes an operator, when all is known that was said to the application.
pub(crate) type MakeOperator = Box<dyn Fn() -> Arc<dyn OperatorSpec>>;

/// Makes functions known, and what stands around their calls.
pub(crate) type AddFunctions = Box<dyn Fn(&mut Functions, &Enter)>;

/// A node with its inputs.
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) work: Work,
    pub(crate) inputs: Vec<Inlet>,
}

/// What leaves a lane: the columns of its exits.
#[derive(Clone)]
pub(crate) struct Exits {
    pub(crate) main: SchemaRef,
    /// Those of the side outputs, by number.
    pub(crate) sides: Vec<SchemaRef>,
}

/// What leaves a segment, by lanes. Its ports are the main exits in the order of the lanes, and behind them
/// the side outputs of the first lane, of the second, and so on.
pub(crate) struct Outputs(pub(crate) Vec<Exits>);

impl Outputs {
    /// The columns of each port, and the lane that it belongs to.
    pub(crate) fn ports(&self) -> Vec<(SchemaRef, u16)> {
        let mains = self.0.iter().zip(0..).map(|(exits, lane)| (Arc::clone(&exits.main), lane));
        let sides = |(exits, lane): (&Exits, u16)| -> Vec<_> {
            exits.sides.iter().map(|side| (Arc::clone(side), lane)).collect()
        };
        mains.chain(self.0.iter().zip(0..).flat_map(sides)).collect()
    }

    /// The port of the first side output of each lane.
    pub(crate) fn first_sides(&self) -> Vec<u16> {
        let mut next = self.0.len();
        let mut firsts = Vec::with_capacity(next);
        for exits in &self.0 {
            firsts.push(u16::try_from(next).expect("a program does not spell out 65,536 outputs"));
            next += exits.sides.len();
        }
        firsts
    }

    /// The port of an exit.
    pub(crate) fn port_of(&self, place: Place) -> u16 {
        match place.exit {
            Exit::Main => place.lane,
            Exit::Side(number) => self.first_sides()[usize::from(place.lane)] + number,
        }
    }
}

/// What the graph must know of a segment.
pub(crate) trait Segment {
    fn outputs(&self) -> Outputs;
    fn label(&self) -> String;
    /// Whether it is a state that pipelines name.
    fn is_state(&self) -> bool;
    /// Whether anything is remembered from batch to batch.
    fn stateful(&self) -> bool;
    /// What the state means, without the name under which it is found.
    fn fingerprint(&self) -> String;
    /// What else than its own state it goes on from.
    fn evolution(&self) -> Option<Evolution> {
        None
    }
    fn factory(&self) -> OperatorFactory;
}

/// A state that pipelines share, as declared first.
struct Declared {
    /// The [`State`].
    state: Box<dyn Any>,
    /// The types, for people.
    types: String,
}

pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) nodes: Vec<Planned>,
    pub(crate) errors: Vec<Error>,
    shared: BTreeMap<String, Declared>,
    pub(crate) policy: RowPolicy,
    pub(crate) skew_max: SkewMax,
    /// What stands around all calls of the program's functions.
    pub(crate) enter: Enter,
    names: BTreeSet<String>,
}

impl Plan {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            nodes: Vec::new(),
            errors: Vec::new(),
            shared: BTreeMap::new(),
            policy: RowPolicy::Fail,
            skew_max: SkewMax::default(),
            enter: Enter::default(),
            names: BTreeSet::new(),
        }
    }

    /// Adds a node under a name that the program gave; says so if it gave it twice.
    pub(crate) fn add_named(&mut self, name: &str, role: &str, work: Work, inputs: Vec<Inlet>) -> usize {
        self.add_once(format!("{name}/{role}"), name, role, work, inputs)
    }

    /// Adds a node of the name `full`; says so if the program gave `name` twice to such a thing.
    pub(crate) fn add_once(
        &mut self,
        full: String,
        name: &str,
        role: &str,
        work: Work,
        inputs: Vec<Inlet>,
    ) -> usize {
        if self.names.contains(&full) {
            let what = format!("two {role}s have the name '{name}'");
            self.errors.push(
                Error::new(Code::DuplicateName, what)
                    .because("state and positions are found again by name")
                    .with_help("give one of them another name"),
            );
        }
        self.add(full, work, inputs)
    }

    /// A state that one pipeline uses.
    pub(crate) fn private_state<K: Key, S: Record>(&mut self, name: &str, init: Init<K, S>) -> State<K, S> {
        self.state_in(name, Layout::find(), init)
    }

    /// A state that lies in a column of this layout.
    pub(crate) fn state_in<K: Key, S: Record>(
        &mut self,
        name: &str,
        layout: Layout<S>,
        init: Init<K, S>,
    ) -> State<K, S> {
        let layout = (Layout::find(), layout);
        let remembered = move || KeyedStates::new(layout.clone(), Arc::clone(&init));
        let lanes = Rc::new(Lanes::new(Arc::new(remembered)));
        let segment: Rc<dyn Segment> = lanes.clone();
        let node = self.add_named(name, "state", Work::Segment(segment), Vec::new());
        State { name: name.into(), node, lanes }
    }

    /// The state of this name: the one that was declared before, if it was.
    pub(crate) fn shared_state<K: Key, S: Record>(&mut self, name: &str, init: Init<K, S>) -> State<K, S> {
        let types = format!("'{}' by '{}'", type_name::<S>(), type_name::<K>());
        if let Some(declared) = self.shared.get(name) {
            if let Some(state) = declared.state.downcast_ref::<State<K, S>>() {
                return state.clone();
            }
            let what = format!("the state '{name}' is declared with two types");
            let why = format!("once it is {}, once {types}", declared.types);
            let help = "give one of them another name";
            self.errors.push(Error::new(Code::DuplicateName, what).because(why).with_help(help));
        }
        let state = self.private_state(name, init);
        self.shared.insert(name.to_owned(), Declared { state: Box::new(state.clone()), types });
        state
    }

    /// Leads what leaves somewhere aside to its node.
    pub(crate) fn add_aside(&mut self, from: Place, to: usize) {
        let inputs = &mut self.nodes[to].inputs;
        let port = u16::try_from(inputs.len()).expect("a program does not spell out 65,536 pipelines");
        inputs.push(Inlet { from, port, key: None });
    }

    /// Adds a node under a name that is made up from those of its neighbours.
    pub(crate) fn add(&mut self, name: String, work: Work, inputs: Vec<Inlet>) -> usize {
        let mut unique = name.clone();
        for number in 2.. {
            if self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{name}-{number}");
        }
        self.nodes.push(Planned { name: unique, work, inputs });
        self.nodes.len() - 1
    }
}

/// Steps without state: one lane, whatever stands behind the head.
pub(crate) struct Steps<R> {
    pub(crate) exits: Exits,
    pub(crate) steps: Vec<String>,
    pub(crate) lane: LaneFactory<R>,
    pub(crate) remembered: Arc<dyn Fn() -> R + Send + Sync>,
}

impl<R: Remembered + 'static> Segment for Steps<R> {
    fn outputs(&self) -> Outputs {
        Outputs(vec![self.exits.clone()])
    }

    fn label(&self) -> String {
        self.steps.join(", ")
    }

    fn is_state(&self) -> bool {
        false
    }

    fn stateful(&self) -> bool {
        R::STATEFUL
    }

    fn fingerprint(&self) -> String {
        (self.remembered)().fingerprint(Fingerprint::new(SegmentSpec::KIND)).finish()
    }

    fn factory(&self) -> OperatorFactory {
        let (lane, remembered) = (Arc::clone(&self.lane), Arc::clone(&self.remembered));
        let sides = self.outputs().first_sides();
        OperatorFactory::new(move || {
            Ok(Box::new(SegmentOperator::new(vec![lane()?], sides.clone(), remembered())))
        })
    }
}

/// A state and the pipelines that use it: a lane for each.
pub(crate) struct Lanes<R> {
    lanes: RefCell<Vec<LaneOf<R>>>,
    remembered: Arc<dyn Fn() -> R + Send + Sync>,
}

impl<R> Lanes<R> {
    fn new(remembered: Arc<dyn Fn() -> R + Send + Sync>) -> Self {
        Self { lanes: RefCell::default(), remembered }
    }

    /// Adds a lane; gives the number of its ports.
    pub(crate) fn add(&self, lane: LaneOf<R>) -> u16 {
        let mut lanes = self.lanes.borrow_mut();
        lanes.push(lane);
        u16::try_from(lanes.len() - 1).expect("a program does not spell out 65,536 pipelines")
    }

    /// Replaces a lane.
    pub(crate) fn set(&self, port: u16, lane: LaneOf<R>) {
        self.lanes.borrow_mut()[usize::from(port)] = lane;
    }
}

/// One pipeline's way through a state.
pub(crate) struct LaneOf<R> {
    pub(crate) factory: LaneFactory<R>,
    pub(crate) exits: Exits,
    pub(crate) steps: Vec<String>,
}

impl<R: Remembered + 'static> Segment for Lanes<R> {
    fn outputs(&self) -> Outputs {
        Outputs(self.lanes.borrow().iter().map(|lane| lane.exits.clone()).collect())
    }

    fn label(&self) -> String {
        let lanes = self.lanes.borrow();
        lanes.iter().map(|lane| lane.steps.join(", ")).collect::<Vec<_>>().join(" | ")
    }

    fn is_state(&self) -> bool {
        true
    }

    fn stateful(&self) -> bool {
        R::STATEFUL
    }

    fn fingerprint(&self) -> String {
        (self.remembered)().fingerprint(Fingerprint::new(SegmentSpec::KIND)).finish()
    }

    fn evolution(&self) -> Option<Evolution> {
        (self.remembered)().evolution(Fingerprint::new(SegmentSpec::KIND))
    }

    fn factory(&self) -> OperatorFactory {
        let lanes: Vec<LaneFactory<R>> =
            self.lanes.borrow().iter().map(|lane| Arc::clone(&lane.factory)).collect();
        let (sides, remembered) = (self.outputs().first_sides(), Arc::clone(&self.remembered));
        OperatorFactory::new(move || {
            let lanes = lanes.iter().map(|lane| lane()).collect::<Result<Vec<_>>>()?;
            Ok(Box::new(SegmentOperator::new(lanes, sides.clone(), remembered())))
        })
    }
}
