//! Puts the pieces together: connectors, planner, runtime.

use std::sync::Arc;

use thalweg_cluster::{Job, JobHandle, RuntimeSettings};
use thalweg_connectors::Defaults;
use thalweg_dataflow::connector::Connector;
use thalweg_dataflow::{Error, Functions, Graph, Registry, Result};
use thalweg_operators::RowPolicy;
use thalweg_sql::{Plan, Planner, PlannerSettings};
use thalweg_world::World;

use crate::settings::{BadData, Settings};

pub use thalweg_connectors::{StdoutRows, StdoutTarget};
pub use thalweg_operators::aggregate::{DataFusionError, EmitTo, GroupsAccumulator, RunningAccumulator};
pub use thalweg_operators::expression::sql_type;
pub use thalweg_sql::{
    Argument, Computation, ForeignFunction, ForeignFunctions, FunctionLanguage, FunctionSignature,
    ProgramAggregate, ProgramFunction,
};

/// Every KIND that a graph of this version may name.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    thalweg_operators::register(&mut registry);
    thalweg_app::register(&mut registry);
    thalweg_connectors::register(&mut registry);
    registry
}

/// Every connector, with `stdout` going to `target`.
pub fn connectors(settings: &Settings, target: &StdoutTarget) -> Vec<Arc<dyn Connector>> {
    let defaults = Defaults { bad_data: settings.bad_data };
    thalweg_connectors::connectors(defaults, target)
}

/// Plans a script.
pub fn plan(
    script: &str,
    connectors: Vec<Arc<dyn Connector>>,
    settings: &Settings,
) -> std::result::Result<Plan, Vec<Error>> {
    plan_with_functions(script, connectors, &ForeignFunctions::default(), settings)
}

/// Plans a script that may also call these functions.
pub fn plan_with_functions(
    script: &str,
    connectors: Vec<Arc<dyn Connector>>,
    functions: &ForeignFunctions,
    settings: &Settings,
) -> std::result::Result<Plan, Vec<Error>> {
    planner(connectors, functions, settings).plan(script)
}

/// A planner with these settings, of scripts that may also call these functions.
pub fn planner(
    connectors: Vec<Arc<dyn Connector>>,
    functions: &ForeignFunctions,
    settings: &Settings,
) -> Planner {
    let row_policy = match settings.bad_data {
        BadData::Fail => RowPolicy::Fail,
        BadData::Drop => RowPolicy::Drop,
    };
    let settings = PlannerSettings { row_policy, max_future_skew: settings.max_future_skew };
    Planner::new(connectors, settings).with_functions(functions.clone())
}

/// Starts a planned script in this process, as [`start_graph`] does.
pub async fn start(
    plan: &Plan,
    parallelism: u32,
    settings: &Settings,
    shuffle_seed: Option<u64>,
    world: &World,
) -> Result<JobHandle> {
    start_graph(plan.graph.clone(), plan.functions.clone(), parallelism, settings, shuffle_seed, world).await
}

/// Starts a graph in this process; its specs find their functions in `functions`.
///
/// # Errors
/// If a piece cannot be built: a file that is not there, say.
pub async fn start_graph(
    graph: Graph,
    functions: Functions,
    parallelism: u32,
    settings: &Settings,
    shuffle_seed: Option<u64>,
    world: &World,
) -> Result<JobHandle> {
    let job = job(graph, functions, parallelism, settings, shuffle_seed);
    job.prepare(world).await?.start().await
}

/// A graph as a job that is not kept anywhere; its specs find their functions in `functions`.
pub fn job(
    graph: Graph,
    functions: Functions,
    parallelism: u32,
    settings: &Settings,
    shuffle_seed: Option<u64>,
) -> Job {
    let settings = RuntimeSettings {
        batch_rows_max: settings.batch_rows_max,
        queue_rows_max: settings.queue_rows_max,
        queue_bytes_max: settings.queue_bytes_max,
        queue_time_max: settings.queue_time_max,
        idle_timeout: settings.idle_timeout,
        checkpoint_interval: settings.checkpoint_interval,
        shuffle_seed,
        ..RuntimeSettings::default()
    };
    Job { settings, functions: Arc::new(functions), ..Job::new(Arc::new(graph), parallelism) }
}
