//! One job in this process: wired, supervised, and held by a handle.

mod control;
mod outcome;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use thalweg_dataflow::{Error, Functions, Graph, Result};
use thalweg_world::World;
use tokio::sync::{mpsc, watch};

use crate::channel::{ChannelReading, Probe};
use crate::settings::RuntimeSettings;
use crate::store::{EpochStore, NullStore};
use control::{Control, Request};

pub use outcome::{How, JobOutcome, OperatorReading, Progress, Role};

/// What to run, and how.
#[derive(Clone)]
pub struct Job {
    /// The operators and edges.
    pub graph: Arc<Graph>,
    /// The subtasks of each node that does not fix its own number.
    pub parallelism: u32,
    /// Bounds and intervals.
    pub settings: RuntimeSettings,
    /// Where epochs are settled.
    pub store: Arc<dyn EpochStore>,
    /// What the graph knows by name.
    pub functions: Arc<Functions>,
}

impl Job {
    /// A job with default settings that keeps no checkpoints.
    pub fn new(graph: Arc<Graph>, parallelism: u32) -> Self {
        Self {
            graph,
            parallelism,
            settings: RuntimeSettings::default(),
            store: Arc::new(NullStore),
            functions: Arc::default(),
        }
    }

    /// Builds every piece and starts every subtask.
    ///
    /// # Errors
    /// If the graph breaks a law or a piece cannot be built. Nothing runs then.
    pub fn start(self, world: &World) -> Result<JobHandle> {
        let wired = wire::wire(&self, world)?;
        let (requests, asked) = mpsc::unbounded_channel();
        let (say, outcome) = watch::channel(None);
        let epochs_complete = Arc::new(AtomicU64::new(0));
        let handle = JobHandle {
            requests,
            outcome,
            readings: wired.readings.clone().into(),
            probes: wired.probes.clone().into(),
            epochs_complete: Arc::clone(&epochs_complete),
        };
        let control = Control::new(self, world.clone(), wired, asked, epochs_complete);
        world.executors.spawn_control(Box::pin(async move {
            let result = control.run().await;
            // Nobody may be left to hear it.
            let _ = say.send(Some(result));
        }));
        Ok(handle)
    }
}

/// Holds a running job. When the handle is dropped, the job is aborted.
pub struct JobHandle {
    requests: mpsc::UnboundedSender<Request>,
    outcome: watch::Receiver<Option<Result<JobOutcome>>>,
    readings: Arc<[OperatorReading]>,
    probes: Arc<[Probe]>,
    epochs_complete: Arc<AtomicU64>,
}

impl JobHandle {
    /// Waits until the job is over: all of its subtasks are gone.
    ///
    /// # Errors
    /// The first error of any subtask, or that the job was aborted.
    pub async fn wait(&self) -> Result<JobOutcome> {
        let mut outcome = self.outcome.clone();
        let gone = || Error::internal("the control of the job is gone");
        let result = outcome.wait_for(Option::is_some).await.map_err(|_| gone())?;
        result.clone().unwrap_or_else(|| Err(gone()))
    }

    /// Stops the job: sources stop, rows in flight reach the sinks, no window closes.
    pub fn stop(&self) {
        // A job that is over has stopped.
        let _ = self.requests.send(Request::Stop);
    }

    /// Ends the job at once; rows in flight are lost.
    pub fn abort(&self) {
        let _ = self.requests.send(Request::Abort);
    }

    /// The counters of every operator and subtask. They go on counting.
    pub fn counters(&self) -> &[OperatorReading] {
        &self.readings
    }

    /// The state of every channel between subtasks.
    pub fn channels(&self) -> Vec<ChannelReading> {
        self.probes.iter().flat_map(Probe::channels).collect()
    }

    /// How far the job is, in sum.
    pub fn progress(&self) -> Progress {
        Progress::of(&self.readings, self.epochs_complete.load(Relaxed))
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("progress", &self.progress()).finish_non_exhaustive()
    }
}
