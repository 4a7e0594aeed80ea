//! One run of one script in one world, and what the run really did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::RecordBatch;
use thalweg_cluster::{How, JobHandle, OperatorReading, Role};
use thalweg_dataflow::{Code, Distribution, Error, Graph, NodeId};
use thalweg_world::World as Outside;

use super::connector::{Feed, Outputs, TestConnector};
use crate::engine::{self, StdoutTarget};
use crate::settings::Settings;

/// How long one run may take before it counts as hanging.
const RUN_MAX: Duration = Duration::from_secs(120);

/// What is different from world to world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// Subtasks of each operator that does not fix its own number.
    pub parallelism: u32,
    /// The most rows in a batch.
    pub batch_rows_max: usize,
    /// Whether channels are read in a shuffled order.
    pub shuffled: bool,
}

impl World {
    /// One subtask, large batches.
    pub const ONE: World = World { name: "one", parallelism: 1, batch_rows_max: 8_192, shuffled: false };
    /// Four subtasks, batches of three rows, shuffled interleaving.
    pub const FOUR: World = World { name: "four", parallelism: 4, batch_rows_max: 3, shuffled: true };
    /// One subtask, every row by itself.
    pub const ROW_BY_ROW: World =
        World { name: "changelog", parallelism: 1, batch_rows_max: 1, shuffled: false };
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Subtasks of all nodes.
    pub subtasks: usize,
    /// Batches that crossed between subtasks or were read.
    pub rows_read: u64,
    /// For each shuffle into several subtasks that saw rows: rows, and how many subtasks they reached.
    pub shuffles: Vec<(u64, usize)>,
}

/// A run that went to its end.
#[derive(Debug)]
pub struct Outcome {
    /// What came to each sink.
    pub outputs: BTreeMap<String, Vec<RecordBatch>>,
    /// Late rows.
    pub late: u64,
    /// Rows refused and records dropped.
    pub refused: u64,
    /// What the run did.
    pub deeds: Deeds,
}

/// Runs a script to the end of its input.
///
/// # Errors
/// What planning or running says; that a run hangs; that counts do not add up.
pub fn run(
    world: World,
    script: &str,
    feeds: BTreeMap<String, Feed>,
    settings: &Settings,
    seed: u64,
) -> Result<Outcome, Vec<Error>> {
    let mut settings = settings.clone();
    settings.batch_rows_max = world.batch_rows_max.min(settings.batch_rows_max);
    let outputs = Outputs::default();
    let connectors = engine::connectors(&settings, &StdoutTarget::process());
    let plan = engine::plan(script, TestConnector::wrap_all(connectors, feeds, &outputs), &settings)?;
    let broken = |why: std::io::Error| vec![Error::new(Code::Io, "no runtime can be started").because(why)];
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    control.block_on(async {
        let outside = Outside::real(Some(2)).map_err(broken)?;
        let seed = world.shuffled.then_some(seed);
        let job =
            engine::start(&plan, world.parallelism, &settings, seed, &outside).await.map_err(|e| vec![e])?;
        let hung = || vec![Error::internal(format!("the job did not end within {RUN_MAX:?}"))];
        let ended =
            tokio::time::timeout(RUN_MAX, job.wait()).await.map_err(|_| hung())?.map_err(|e| vec![e])?;
        if ended.how != How::Ended {
            return Err(vec![Error::internal("the job stopped though its input was not read to the end")]);
        }
        check_identities(&job.counters()).map_err(|e| vec![e])?;
        let deeds = deeds(&plan.graph, world.parallelism, &job);
        Ok(Outcome {
            outputs: outputs.tables(),
            late: ended.late,
            refused: ended.refused + ended.dropped,
            deeds,
        })
    })
}

/// The two laws of counting.
fn check_identities(readings: &[OperatorReading]) -> Result<(), Error> {
    for reading in readings {
        let c = &reading.counters;
        let (left, right, law) = match reading.role {
            Role::Source => (
                c.records_read.get(),
                c.rows_out.get() + c.dropped.get() + c.failed.get(),
                "records read = rows out + dropped + failed",
            ),
            Role::Operator | Role::Sink => (
                c.rows_in.get(),
                c.taken.get() + c.filtered.get() + c.late.get() + c.refused.get(),
                "rows in = taken + filtered + late + refused",
            ),
        };
        if left != right {
            let (operator, subtask) = (&reading.operator, reading.subtask);
            let what = format!("'{operator}', subtask {subtask}, counts {left} and {right} where {law}");
            return Err(Error::internal(what).because(format!("{c:?}")));
        }
    }
    Ok(())
}

fn deeds(graph: &Graph, parallelism: u32, job: &JobHandle) -> Deeds {
    let rows_in = |node: NodeId| -> Vec<u64> {
        let counters = job.counters();
        let of_node = counters.iter().filter(|r| r.node == node);
        of_node.map(|r| r.counters.rows_in.get()).collect()
    };
    let shuffled: BTreeSet<NodeId> = graph
        .edges()
        .iter()
        .filter(|e| {
            matches!(e.distribution, Distribution::Shuffle(_)) && graph.parallelism(e.to.0, parallelism) > 1
        })
        .map(|e| e.to.0)
        .collect();
    let shuffles = shuffled
        .into_iter()
        .map(|node| {
            let rows = rows_in(node);
            (rows.iter().sum(), rows.iter().filter(|&&n| n > 0).count())
        })
        .filter(|&(rows, _)| rows > 0)
        .collect();
    Deeds { subtasks: job.counters().len(), rows_read: job.progress().rows_read, shuffles }
}
