//! One job: prepared, started, and held by a handle.

mod control;
mod handle;
mod outcome;
mod recovery;
mod rescale;

use std::fmt;
use std::sync::Arc;

use thalweg_dataflow::{Functions, Graph, Result};
use thalweg_runtime::{Deployment, RuntimeSettings, Worker};
use thalweg_state::store::Store;
use thalweg_state::{Epoch, Incarnation, JobId};
use thalweg_world::World;

use crate::keeping::{EpochStore, NullStore};
use control::Control;

pub use handle::{JobHandle, Savepoint};
pub use outcome::{How, JobOutcome, Progress};
pub use recovery::{Recovery, Restored};

/// What to run, and how.
#[derive(Clone)]
pub struct Job {
    /// The job's name.
    pub id: JobId,
    /// The operators and edges.
    pub graph: Arc<Graph>,
    /// The subtasks of each node that does not fix its own number.
    pub parallelism: u32,
    /// Bounds and intervals.
    pub settings: RuntimeSettings,
    /// What the graph knows by name.
    pub functions: Arc<Functions>,
    /// The text that the graph was made of, for those who look at a checkpoint; empty for a program.
    pub script: String,
    /// Where epochs are kept.
    pub keeping: Keeping,
}

/// Where a job's epochs are kept.
#[derive(Clone)]
pub enum Keeping {
    /// Nowhere: they run all the same, into nothing.
    Nowhere,
    /// In a store, from which the job goes on.
    Durable(Durable),
    /// With somebody who only watches: for tests.
    Watched(Arc<dyn EpochStore>),
}

/// A job that outlives its processes.
#[derive(Clone, Debug)]
pub struct Durable {
    /// The store; the job's objects lie under its name.
    pub store: Arc<dyn Store>,
    /// How many complete epochs are kept.
    pub retain: usize,
    /// Where the job goes on.
    pub restore: RestoreFrom,
    /// Whether state may be lost that the graph has no place for.
    pub allow_dropped_state: bool,
}

/// Where a job goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreFrom {
    /// At its newest complete epoch; anew, if there is none.
    Newest,
    /// At a savepoint of this name.
    Savepoint(String),
}

/// A job that knows where it goes on, and holds the right to do so.
pub struct Prepared {
    job: Job,
    world: World,
    incarnation: Incarnation,
    first: Epoch,
    store: Arc<dyn EpochStore>,
    recovered: Option<recovery::Recovered>,
}

impl Job {
    /// A job with default settings that keeps no checkpoints.
    pub fn new(graph: Arc<Graph>, parallelism: u32) -> Self {
        Self {
            id: JobId::new("job"),
            graph,
            parallelism,
            settings: RuntimeSettings::default(),
            functions: Arc::default(),
            script: String::new(),
            keeping: Keeping::Nowhere,
        }
    }

    /// Finds out where the job goes on. A job that is kept becomes the one life of its name: the life
    /// before it can publish nothing any more, and its last epoch is settled.
    ///
    /// # Errors
    /// If another process runs the job, the store cannot be used, a checkpoint is damaged or foreign,
    /// or state would be lost without consent.
    pub async fn prepare(self, world: &World) -> Result<Prepared> {
        let nothing = |job: Job, store: Arc<dyn EpochStore>| Prepared {
            job,
            world: world.clone(),
            incarnation: Incarnation(1),
            first: Epoch::FIRST,
            store,
            recovered: None,
        };
        match self.keeping.clone() {
            Keeping::Nowhere => Ok(nothing(self, Arc::new(NullStore))),
            Keeping::Watched(store) => Ok(nothing(self, store)),
            Keeping::Durable(durable) => recovery::recover(self, durable, world).await,
        }
    }
}

impl Prepared {
    /// Where the job goes on, and with what. None for a job that is not kept.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovered.as_ref().map(|recovered| &recovered.recovery)
    }

    /// Brings sinks to where the job ended, and starts nothing: the process that finished it may have
    /// died before it published its last epoch.
    ///
    /// # Errors
    /// If a sink cannot be brought there.
    pub async fn conclude(self) -> Result<()> {
        recovery::restore_sinks(&self.job, self.incarnation, self.recovered.as_ref(), &self.world).await
    }

    /// Brings sinks to where the job goes on, builds every piece and starts every subtask.
    ///
    /// # Errors
    /// If a sink cannot be brought there, the graph breaks a law or a piece cannot be built. Nothing runs then.
    pub async fn start(self) -> Result<JobHandle> {
        let Self { job, world, incarnation, first, store, recovered } = self;
        recovery::restore_sinks(&job, incarnation, recovered.as_ref(), &world).await?;
        let deployment = Deployment {
            graph: Arc::clone(&job.graph),
            parallelism: job.parallelism,
            settings: job.settings.clone(),
            functions: Arc::clone(&job.functions),
            job: job.id.clone(),
            incarnation,
            past: recovered.as_ref().and_then(|recovered| recovered.past.clone()),
        };
        let worker = Worker::build(deployment, &world)?;
        let (handle, shared) = handle::handle(&worker);
        let kept = recovered.map(|recovered| recovered.kept);
        let control = Control::new(job, world.clone(), worker, (store, kept), first, shared);
        world.executors.spawn_control(Box::pin(control.live()));
        Ok(handle)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("job", &self.job.id).finish_non_exhaustive()
    }
}
