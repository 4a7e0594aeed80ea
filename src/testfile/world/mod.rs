//! One run of one script in one world, and what the run really did.
//!
//! Two kinds of world: those in which a job runs undisturbed, on threads as in
//! the product; and those in which it is killed, restored and rescaled, on one
//! thread whose clock stands still, so that a seed repeats what happened.

mod deeds;
mod lives;
mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use thalweg_cluster::How;
use thalweg_dataflow::{Code, Error};
use thalweg_world::World as Outside;

use super::connector::{Feed, Outputs, TestConnector};
use crate::engine::{self, ForeignFunctions, StdoutTarget};
use crate::settings::Settings;

pub use deeds::Deeds;
use deeds::check_identities;

/// How long one run may take before it counts as hanging.
const RUN_MAX: Duration = Duration::from_secs(120);

/// What is different from world to world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// Subtasks of each operator that does not fix its own number, at first.
    pub parallelism: u32,
    /// The most rows in a batch.
    pub batch_rows_max: usize,
    /// Whether channels are read in a shuffled order.
    pub shuffled: bool,
    /// What happens to the job.
    pub fate: Fate,
    /// The most lives that are ended by a kill.
    pub kills_max: u64,
}

/// What happens to a job in some world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Undisturbed,
    /// It is killed and goes on from its newest checkpoint, again and again.
    Killed,
    /// The same, and each time it goes on with another number of subtasks; some kills come in the
    /// middle of a rescale.
    Elsewhere,
    /// It is rescaled while rows flow, again and again.
    Rescaled,
}

impl World {
    /// One subtask, large batches.
    pub const ONE: World = World {
        name: "one",
        parallelism: 1,
        batch_rows_max: 8_192,
        shuffled: false,
        fate: Fate::Undisturbed,
        kills_max: 0,
    };
    /// Four subtasks, batches of three rows, shuffled interleaving.
    pub const FOUR: World =
        World { name: "four", parallelism: 4, batch_rows_max: 3, shuffled: true, ..World::ONE };
    /// One subtask, every row by itself.
    pub const ROW_BY_ROW: World = World { name: "changelog", batch_rows_max: 1, ..World::ONE };
    /// Two subtasks, killed and restored.
    pub const KILLED: World =
        World { name: "killed", parallelism: 2, kills_max: 5, fate: Fate::Killed, ..World::FOUR };
    /// Killed and restored at another parallelism.
    pub const ELSEWHERE: World =
        World { name: "elsewhere", parallelism: 1, kills_max: 5, fate: Fate::Elsewhere, ..World::FOUR };
    /// Rescaled while rows flow.
    pub const RESCALED: World =
        World { name: "rescaled", parallelism: 1, fate: Fate::Rescaled, ..World::FOUR };
    /// The worlds that must give one answer.
    pub const ALL: [World; 5] = [World::ONE, World::FOUR, World::KILLED, World::ELSEWHERE, World::RESCALED];

    /// Whether every row is processed once and counted once. A killed job reads rows again, and counts them again.
    pub fn counts_rows_once(self) -> bool {
        matches!(self.fate, Fate::Undisturbed | Fate::Rescaled)
    }
}

/// A run that went to its end.
#[derive(Debug)]
pub struct Outcome {
    /// What came to each sink.
    pub outputs: BTreeMap<String, Vec<RecordBatch>>,
    /// Late rows, in all lives together.
    pub late: u64,
    /// Rows refused and records dropped, in all lives together.
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
    functions: &ForeignFunctions,
    feeds: BTreeMap<String, Feed>,
    settings: &Settings,
    seed: u64,
) -> Result<Outcome, Vec<Error>> {
    let mut settings = settings.clone();
    settings.batch_rows_max = world.batch_rows_max.min(settings.batch_rows_max);
    let outcome = match world.fate {
        Fate::Undisturbed => undisturbed(world, script, functions, feeds, &settings, seed),
        Fate::Killed | Fate::Elsewhere | Fate::Rescaled => {
            lives::run(world, script, functions, feeds, &settings, seed)
        }
    };
    // Nobody could repeat a failure without it.
    outcome.map_err(|errors| match world.fate {
        Fate::Undisturbed => errors,
        Fate::Killed | Fate::Elsewhere | Fate::Rescaled => {
            errors.into_iter().map(|error| error.in_site(format!("seed {seed}"))).collect()
        }
    })
}

fn undisturbed(
    world: World,
    script: &str,
    functions: &ForeignFunctions,
    feeds: BTreeMap<String, Feed>,
    settings: &Settings,
    seed: u64,
) -> Result<Outcome, Vec<Error>> {
    let outputs = Outputs::default();
    let connectors = engine::connectors(settings, &StdoutTarget::process());
    let connectors = TestConnector::wrap_all(connectors, feeds, &outputs);
    let plan = engine::plan_with_functions(script, connectors, functions, settings)?;
    let control =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|why| broken(&why))?;
    control.block_on(async {
        let outside = Outside::real(Some(2)).map_err(|why| broken(&why))?;
        let seed = world.shuffled.then_some(seed);
        let job =
            engine::start(&plan, world.parallelism, settings, seed, &outside).await.map_err(|e| vec![e])?;
        let ended = tokio::time::timeout(RUN_MAX, job.wait())
            .await
            .map_err(|_| vec![hung()])?
            .map_err(|e| vec![e])?;
        if ended.how != How::Ended {
            return Err(vec![Error::internal("the job stopped though its input was not read to the end")]);
        }
        check_identities(&job.counters()).map_err(|e| vec![e])?;
        let mut deeds = Deeds::default();
        deeds.add_life(&job);
        deeds.add_shuffles(&plan.graph, world.parallelism, &job);
        let (late, refused) = (ended.late, ended.refused + ended.dropped);
        Ok(Outcome { outputs: all_published(&outputs)?, late, refused, deeds })
    })
}

fn broken(why: &std::io::Error) -> Vec<Error> {
    vec![Error::new(Code::Io, "no runtime can be started").because(why)]
}

fn hung() -> Error {
    Error::internal(format!("the job did not end within {RUN_MAX:?}"))
}

/// What can be seen of a job that is over: that must be all.
fn all_published(outputs: &Outputs) -> Result<BTreeMap<String, Vec<RecordBatch>>, Vec<Error>> {
    match outputs.rows_aside() {
        0 => Ok(outputs.tables()),
        rows => Err(vec![Error::internal(format!("{rows} rows were prepared and never published"))]),
    }
}
