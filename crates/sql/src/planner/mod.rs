//! From a script to a graph.
//!
//! Statements are declared and planned in order. Then each query is optimised,
//! readers before what they read, so that it is known of every relation which
//! columns anybody reads ([`demand`]); and last, each relation is written into
//! the graph once, what is read before its readers ([`write`]).

mod aggregate;
mod demand;
mod expression;
mod fields;
mod filter;
mod graph;
mod insert;
mod join;
mod names;
mod over;
mod project;
mod row_windows;
mod scan;
mod top;
mod union;
mod unnest;
mod write;

use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::LogicalPlan;
use thalweg_dataflow::connector::Connector;
use thalweg_dataflow::sink::SinkGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Functions, Graph, NodeId, Outlet, Result, Span};
use thalweg_operators::RowPolicy;

use self::demand::Demands;
use self::graph::Writer;
use crate::catalog::{BROKEN, Catalog, Inlet, Relation, RelationId, Target, check_names};
use crate::context;
use crate::declare::{Declared, declare};
use crate::foreign::{ForeignFunctions, ScriptFunctions};
use crate::headings;
use crate::logical::Logical;
use crate::parser::{CreateTable, CreateView, Insert, Name, Script, Statement, parse};

/// What a planner writes into every graph.
#[derive(Clone, Debug)]
pub struct PlannerSettings {
    /// What becomes of a row that cannot be computed.
    pub row_policy: RowPolicy,
    /// How far ahead of the wall clock a row of a live source may push the watermark.
    pub max_future_skew: Duration,
}

impl Default for PlannerSettings {
    fn default() -> Self {
        Self { row_policy: RowPolicy::Fail, max_future_skew: Duration::from_secs(5 * 60) }
    }
}

/// A graph with what is to be said about it.
#[derive(Debug)]
pub struct Plan {
    /// What is to be run.
    pub graph: Graph,
    /// The sinks, in the order of the script.
    pub sinks: Vec<SinkPlan>,
    /// What the author should know, though nothing is wrong.
    pub warnings: Vec<String>,
    /// What computes the functions that the graph names.
    pub functions: Functions,
}

/// One sink of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlan {
    /// The table's name, or `stdout` for a bare `SELECT`.
    pub table: String,
    /// The connector's name.
    pub connector: String,
    /// The node that writes.
    pub node: NodeId,
    /// What kind of rows the queries give, before any upsert.
    pub rows: RowKind,
    /// What the sink itself can promise.
    pub guarantee: SinkGuarantee,
}

/// Plans scripts. Knows the connectors, and nothing of what runs.
pub struct Planner {
    connectors: Vec<Arc<dyn Connector>>,
    settings: PlannerSettings,
    functions: context::Functions,
    foreign: ForeignFunctions,
}

/// The stack on which a script is planned. Trees are walked by recursion; their depth is bounded by the parser.
const STACK_BYTES: usize = 64 << 20;

impl Planner {
    /// A planner for these connectors.
    pub fn new(connectors: Vec<Arc<dyn Connector>>, settings: PlannerSettings) -> Self {
        let (functions, foreign) = (context::Functions::new(), ForeignFunctions::default());
        Self { connectors, settings, functions, foreign }
    }

    /// The same, for scripts that may also call these functions.
    #[must_use]
    pub fn with_functions(self, foreign: ForeignFunctions) -> Self {
        Self { foreign, ..self }
    }

    /// The graph that a script means.
    ///
    /// Fails with all errors that can be told apart, in the order of the
    /// script. Every span is in bytes of `script`.
    pub fn plan(&self, script: &str) -> Result<Plan, Vec<Error>> {
        let script = Script::new(script).map_err(|e| vec![e])?;
        on_deep_stack(|| {
            let statements = parse(&script)?;
            let functions = self.foreign.of_script(&self.functions, &statements, "")?;
            let logical = Logical { script: &script, functions: &functions.known };
            let Planned { catalog, queries, demands } =
                self.plan_script(&logical, &functions, &statements, Catalog::default())?;
            let plan = write::write(self, &logical, &catalog, &queries, &demands).map_err(|e| vec![e])?;
            Ok(Plan { functions: functions.computations, ..plan })
        })
    }

    /// Writes into `graph` what a script means whose last statement is a `SELECT`, and which reads
    /// `streams` by name. Gives the graph and the rows of that `SELECT`, and adds to `functions` those that
    /// the graph calls. New nodes are named under `name`.
    ///
    /// The graph is not checked: who asked goes on writing it.
    pub fn extend(
        &self,
        graph: Graph,
        functions: &mut Functions,
        name: &str,
        script: &str,
        streams: &[(String, Outlet)],
    ) -> Result<(Graph, Outlet), Vec<Error>> {
        let script = Script::new(script).map_err(|e| vec![e])?;
        on_deep_stack(|| {
            let statements = parse(&script)?;
            let prefix = format!("{name}/");
            let own = self.foreign.of_script(&self.functions, &statements, &prefix)?;
            let logical = Logical { script: &script, functions: &own.known };
            let mut catalog = Catalog::default();
            for (name, outlet) in streams {
                let inlet = Inlet::new(name, outlet.clone()).map_err(|e| vec![e])?;
                catalog.add(&name.to_lowercase(), Relation::Stream(Arc::new(inlet)));
            }
            let Planned { catalog, queries, demands } =
                self.plan_script(&logical, &own, &statements, catalog)?;
            only_last_is_asked_for(&queries).map_err(|e| vec![e])?;
            let writer = Writer::behind(graph, name);
            let written = write::write_behind(self, &logical, &catalog, &queries, &demands, writer);
            let written = written.map_err(|e| vec![e])?;
            functions.add_all(own.computations);
            Ok(written)
        })
    }

    fn plan_script(
        &self,
        logical: &Logical<'_>,
        functions: &ScriptFunctions<'_>,
        statements: &[Statement],
        catalog: Catalog,
    ) -> Result<Planned, Vec<Error>> {
        let known = functions.known.clone();
        let mut session =
            Session { planner: self, script: logical.script, functions: known, catalog, queries: vec![] };
        let mut errors = Vec::new();
        for (place, statement) in statements.iter().enumerate() {
            functions.replace_at(place, &mut session.functions);
            if let Err(error) = session.execute(statement) {
                session.note_broken(statement);
                errors.push(error);
            }
        }
        errors.retain(|error| error.why() != Some(BROKEN) || error.code() != Code::UnknownTable);
        if !errors.is_empty() {
            return Err(errors);
        }
        if session.queries.is_empty() {
            return Err(vec![
                Error::new(Code::EmptyScript, "the script holds no query: it only declares")
                    .with_help("add INSERT INTO … SELECT, or a SELECT to see rows"),
            ]);
        }
        let Session { catalog, queries, .. } = session;
        let demands = demand::find(logical, &catalog, &queries).map_err(|e| vec![e])?;
        Ok(Planned { catalog, queries, demands })
    }
}

/// A script whose queries are optimised, and nothing of it written.
struct Planned {
    catalog: Catalog,
    queries: Vec<Query>,
    demands: Demands,
}

/// Runs a planning on a thread with room for deep trees.
fn on_deep_stack<T: Send>(plan: impl FnOnce() -> Result<T, Vec<Error>> + Send) -> Result<T, Vec<Error>> {
    std::thread::scope(|scope| {
        let planning = std::thread::Builder::new()
            .name("thalweg-plan".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, plan);
        match planning.map(|thread| thread.join()) {
            Ok(Ok(planned)) => planned,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(e) => Err(vec![Error::new(Code::Io, "no thread can be started for planning").because(e)]),
        }
    })
}

/// A script within a program gives rows by its last statement alone.
fn only_last_is_asked_for(queries: &[Query]) -> Result<()> {
    let selects: Vec<usize> =
        (0..queries.len()).filter(|&index| matches!(queries[index].target, Output::Stdout)).collect();
    if selects == [queries.len() - 1] {
        return Ok(());
    }
    let at = selects.first().map_or(queries[queries.len() - 1].at, |&index| queries[index].at);
    Err(Error::new(
        Code::NotSupported,
        "SQL within a program ends with its one SELECT, and this script does not",
    )
    .at(at)
    .with_help("declare tables and views first, and write one SELECT as the last statement"))
}

/// A query whose rows leave the job.
pub(crate) struct Query {
    /// Coerced to the sink's columns where it has some.
    pub(crate) plan: LogicalPlan,
    pub(crate) target: Output,
    pub(crate) at: Span,
}

/// Where a query's rows go.
pub(crate) enum Output {
    Table(RelationId),
    Stdout,
}

/// The statements of one script so far.
struct Session<'a> {
    planner: &'a Planner,
    script: &'a Script<'a>,
    /// Those that hold where the script has come to.
    functions: context::Functions,
    catalog: Catalog,
    queries: Vec<Query>,
}

impl Session<'_> {
    fn logical(&self) -> Logical<'_> {
        Logical { script: self.script, functions: &self.functions }
    }

    fn execute(&mut self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::CreateTable(create) => self.create_table(create),
            Statement::CreateView(create) => self.create_view(create),
            // Functions are known before anything is planned.
            Statement::CreateFunction(_) => Ok(()),
            Statement::Insert(insert) => self.insert(insert),
            Statement::Select(select) => {
                let plan = self.logical().query(&self.catalog, &select.query, select.span)?;
                let plan = headings::name(plan, &select.query).map_err(|e| e.at(select.span))?;
                check_columns(&plan).map_err(|e| e.at(select.span))?;
                self.queries.push(Query { plan, target: Output::Stdout, at: select.span });
                Ok(())
            }
        }
    }

    /// What refers to a failed declaration has no error of its own.
    fn note_broken(&mut self, statement: &Statement) {
        match statement {
            Statement::CreateTable(create) => self.catalog.add_broken(&create.name.text),
            Statement::CreateView(create) => self.catalog.add_broken(&create.name.text),
            Statement::Insert(insert) => self.catalog.break_memory(&insert.table.text),
            Statement::CreateFunction(_) | Statement::Select(_) => {}
        }
    }

    /// Whether the name is still to be declared.
    fn declares(&self, name: &Name, if_not_exists: bool) -> Result<bool> {
        if self.catalog.is_free(&name.text) {
            return Ok(true);
        }
        if if_not_exists {
            return Ok(false);
        }
        Err(Error::new(Code::DuplicateName, format!("'{}' is declared already", name.text))
            .at(name.span)
            .with_help("choose another name, or write IF NOT EXISTS"))
    }

    fn create_table(&mut self, create: &CreateTable) -> Result<()> {
        if !self.declares(&create.name, create.if_not_exists)? {
            return Ok(());
        }
        match declare(create, &self.planner.connectors, &self.logical())? {
            Declared::Table(table) => {
                self.catalog.add(&create.name.text, Relation::Table(Arc::from(table)));
            }
            Declared::Memory(schema) => self.catalog.add_memory(&create.name.text, schema),
        }
        Ok(())
    }

    fn create_view(&mut self, create: &CreateView) -> Result<()> {
        if !self.declares(&create.name, create.if_not_exists)? {
            return Ok(());
        }
        let mut plan = self.logical().query(&self.catalog, &create.query, create.span)?;
        if !create.columns.is_empty() {
            plan = insert::rename(plan, create)?;
        }
        check_columns(&plan).map_err(|e| e.at(create.span))?;
        let name = create.name.text.clone();
        self.catalog.add(&create.name.text, Relation::Query { name, plan: Box::new(plan), at: create.span });
        Ok(())
    }

    fn insert(&mut self, insert: &Insert) -> Result<()> {
        let target = self.catalog.writable(&insert.table.text).map_err(|e| e.at(insert.table.span))?;
        let plan = self.logical().query(&self.catalog, &insert.query, insert.span)?;
        match target {
            Target::Memory(schema) => {
                let plan = insert::fit(&self.logical(), plan, &schema, insert)?;
                self.catalog.fill(&insert.table.text, plan, insert.span);
            }
            Target::Table(id, table) => {
                let columns = table.sink.as_ref().and_then(|sink| sink.columns.as_ref());
                let plan = match columns {
                    Some(schema) => insert::fit(&self.logical(), plan, schema, insert)?,
                    None => insert::infer(plan, &self.queries, id, insert)?,
                };
                self.queries.push(Query { plan, target: Output::Table(id), at: insert.span });
            }
        }
        Ok(())
    }
}

fn check_columns(plan: &LogicalPlan) -> Result<()> {
    check_names(plan.schema().fields().iter().map(|field| field.name().as_str()))
}
