//! A program: pipelines that are deployed together.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use thalweg_dataflow::spec::SourceSpec;
use thalweg_dataflow::{Code, Error, Functions, Graph, Result};
use thalweg_operators::RowPolicy;

use crate::columns::{Columnar, Layout, Record, Table, VALUE};
use crate::decode::Decoder;
use crate::open::Open;
use crate::plan::{Place, Plan, SharedPlan, Work};
use crate::rows::{RowTime, Rows};
use crate::segment::head::{Frames, Records, TimeFrom, read_table};
use crate::segment::{Enter, Lane, Next, SourceTime};
use crate::side::SideOutput;
use crate::sql::SqlPlanner;
use crate::state::{Key, State};
use crate::stream::Stream;

/// A set of pipelines that are deployed together.
///
/// Pipelines begin at [`source`](Self::source), [`table`](Self::table) or
/// [`view`](Self::view); what they compute is said with the steps of a
/// [`Stream`]. A mistake is kept until [`build`](Self::build), which tells all of them.
pub struct Application {
    plan: SharedPlan,
}

/// What a program comes to: a graph, and the functions that the graph knows by name.
#[derive(Clone, Debug)]
pub struct Program {
    /// The application's name.
    pub name: String,
    /// Operators and edges.
    pub graph: Graph,
    /// The program's own functions.
    pub functions: Functions,
    /// Whether they are called [within something](Application::enter_with) that may let in one thread at a time.
    pub is_entered: bool,
}

impl Application {
    /// An application without pipelines.
    pub fn new(name: &str) -> Self {
        Self { plan: Rc::new(RefCell::new(Plan::new(name.to_owned()))) }
    }

    /// What becomes of a frame that its decoder refuses: the job fails, as is the default,
    /// or the frame is dropped and counted. Holds for the sources that are declared after it.
    pub fn set_bad_records(&self, policy: RowPolicy) {
        self.plan.borrow_mut().policy = policy;
    }

    /// Puts something around the calls of the program's functions: an interpreter that must be entered,
    /// say. `around` gets the work of a batch, or of another call of the engine, and does it before it returns.
    pub fn enter_with(&self, around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) {
        self.plan.borrow_mut().enter = Enter::new(around);
    }

    /// Records from frames: `spec` is a source with a binary column `value`.
    pub fn source<T, D>(&self, name: &str, spec: Arc<dyn SourceSpec>, decoder: D) -> Stream<T>
    where
        T: Send + 'static,
        D: Decoder<T>,
    {
        let field = spec.output_schema().field_with_name(VALUE).ok().map(|field| field.data_type().clone());
        if field != Some(DataType::Binary) {
            let what = format!("the source '{name}' gives no frames: it has no binary column 'value'");
            let help = "read a source of columns with 'table'";
            self.plan.borrow_mut().errors.push(Error::new(Code::TypeMismatch, what).with_help(help));
        }
        let (policy, source, decoder) =
            (self.plan.borrow().policy, Arc::<str>::from(name), Arc::new(decoder));
        let head = move |time, next: Box<dyn Next<T>>| -> Box<dyn Lane<SourceTime>> {
            Box::new(Frames::new(Arc::clone(&source), Arc::clone(&decoder), policy, time, next))
        };
        self.begin(name, spec, head, "decode")
    }

    /// Records from the columns of a source, by the names of the fields of `T`.
    pub fn table<T: Record>(&self, name: &str, spec: Arc<dyn SourceSpec>) -> Stream<T> {
        let table = Table::<T>::find();
        if let Err(error) = table.check(&spec.output_schema()) {
            self.plan.borrow_mut().errors.push(error.in_site(format!("source '{name}'")));
        }
        let read = read_table(table);
        let head = move |time, next| -> Box<dyn Lane<SourceTime>> {
            Box::new(Records::new(Arc::clone(&read), Some(time), next))
        };
        self.begin(name, spec, head, "read")
    }

    /// The rows of a source of columns, which stay columns. `time` says where their event times come from.
    pub fn rows(&self, name: &str, spec: Arc<dyn SourceSpec>, time: RowTime) -> Rows {
        crate::rows::source(&self.plan, name, spec, time)
    }

    fn begin<T: Send + 'static>(
        &self,
        name: &str,
        spec: Arc<dyn SourceSpec>,
        head: impl Fn(TimeFrom, Box<dyn Next<T>>) -> Box<dyn Lane<SourceTime>> + Send + Sync + 'static,
        reads: &'static str,
    ) -> Stream<T> {
        let mut plan = self.plan.borrow_mut();
        let skew = spec.live().then(|| plan.skew_max.clone());
        let node = plan.add_named(name, "source", Work::Source(spec), Vec::new());
        let remembered = Arc::new(move || SourceTime::new(skew.clone()));
        let open = Open::first(Place::of(node), name.to_owned(), head, remembered, reads);
        Stream::new(Rc::clone(&self.plan), open)
    }

    /// A named state that several pipelines may share; see
    /// [`with_state`](crate::KeyedStream::with_state). The same name with the
    /// same types is the same state.
    pub fn state<K: Key, S: Record + Default>(&self, name: &str) -> State<K, S> {
        self.state_with(name, |_| S::default())
    }

    /// Like [`state`](Self::state), with states made by `init`.
    pub fn state_with<K, S, N>(&self, name: &str, init: N) -> State<K, S>
    where
        K: Key,
        S: Record,
        N: Fn(&K) -> S + Send + Sync + 'static,
    {
        self.plan.borrow_mut().shared_state(name, Arc::new(init))
    }

    /// A state of a name that is given once, made by `S::default()`, in a column that the program describes.
    pub fn state_in<K: Key, S: Record + Default>(
        &self,
        name: &str,
        column: Arc<dyn Columnar<S>>,
    ) -> State<K, S> {
        self.plan.borrow_mut().state_in(name, Layout::given(column), Arc::new(|_| S::default()))
    }

    /// A stream to which any steps give what leaves there, by [`Stream::divide`].
    pub fn side_output<L: Record>(&self, name: &str) -> SideOutput<L> {
        SideOutput::new(&self.plan, name)
    }

    /// The rows that SQL answers, as records of type `U`. `text` ends with one `SELECT`, which may read these
    /// streams as tables by their names.
    pub fn sql<U: Record>(&self, text: &str, tables: &[(&str, Rows)]) -> Stream<U> {
        crate::sql::sql(&self.plan, text, tables)
    }

    /// Like [`sql`](Self::sql), with rows that stay columns: those that the `SELECT` names.
    pub fn sql_rows(&self, text: &str, tables: &[(&str, Rows)]) -> Rows {
        crate::sql::rows(&self.plan, None, text, tables, |_| Ok(()))
    }

    /// The same for a query with a name, by which its state is found again in a changed program. One without is known by
    /// how many stand before it.
    pub fn sql_rows_named(&self, name: &str, text: &str, tables: &[(&str, Rows)]) -> Rows {
        crate::sql::rows(&self.plan, Some(name), text, tables, |_| Ok(()))
    }

    /// The rows of a table or view that a script declares, as records of type `U`.
    pub fn view<U: Record>(&self, script: &str, view: &str) -> Stream<U> {
        let script = script.trim_end().trim_end_matches(';');
        self.sql(&format!("{script};\nSELECT * FROM {view}"), &[])
    }

    /// The graph of all pipelines. A record of a live source that is further ahead of the wall clock than
    /// `max_future_skew` moves no watermark.
    ///
    /// # Errors
    /// All that is wrong with what was declared, and with its SQL.
    pub fn build(self, planner: &dyn SqlPlanner, max_future_skew: Duration) -> Result<Program, Vec<Error>> {
        let name = self.plan.borrow().name.clone();
        let plan = self.plan.replace(Plan::new(name));
        plan.skew_max.set(max_future_skew);
        crate::build::build(plan, planner)
    }
}
