//! What the holder of a job sees of it and can ask of it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thalweg_dataflow::{Code, Error, Result};
use thalweg_runtime::{ChannelReading, OperatorReading, Probe, Worker};
use thalweg_state::Epoch;
use tokio::sync::{mpsc, oneshot, watch};

use super::outcome::Epochs;
use super::{JobOutcome, Progress};

/// Who waits for an answer to a request.
pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// What the holder of a job asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Stop, and keep the last epoch under this name.
    Stop(Option<String>),
    Abort,
    /// Make a checkpoint now, and keep it under this name.
    Checkpoint(Option<String>, Reply<Epoch>),
    /// Go on with so many subtasks.
    Rescale(u32, Reply<()>),
}

/// A checkpoint that is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Savepoint(pub String);

/// What a running job shows.
pub(super) struct Shown {
    pub(super) readings: Vec<OperatorReading>,
    pub(super) probes: Vec<Probe>,
    pub(super) epochs: Epochs,
    pub(super) parallelism: u32,
}

/// What control has of its holder.
pub(super) struct Shared {
    requests: mpsc::UnboundedReceiver<Request>,
    said: Said,
}

/// Where control says what its holder sees.
#[derive(Clone)]
pub(super) struct Said {
    say: watch::Sender<Option<Result<JobOutcome>>>,
    pub(super) shown: Arc<Mutex<Shown>>,
}

impl Shared {
    pub(super) fn split(self) -> (mpsc::UnboundedReceiver<Request>, Said) {
        (self.requests, self.said)
    }
}

impl Said {
    /// The job is over.
    pub(super) fn over(&self, outcome: Result<JobOutcome>) {
        // Nobody may be left to hear it.
        let _ = self.say.send(Some(outcome));
    }

    pub(super) fn settled(&self, epoch: Epoch, complete: bool) {
        let epochs = &mut locked(&self.shown).epochs;
        if complete {
            *epochs = Epochs { complete: epochs.complete + 1, newest: Some(epoch), failing: 0 };
        } else {
            epochs.failing += 1;
        }
    }

    /// The store does not answer.
    pub(super) fn waits(&self) {
        locked(&self.shown).epochs.failing += 1;
    }
}

/// Holds a running job. When the handle is dropped, the job is aborted.
pub struct JobHandle {
    requests: mpsc::UnboundedSender<Request>,
    outcome: watch::Receiver<Option<Result<JobOutcome>>>,
    shown: Arc<Mutex<Shown>>,
}

pub(super) fn handle(worker: &Worker) -> (JobHandle, Shared) {
    let (requests, asked) = mpsc::unbounded_channel();
    let (say, outcome) = watch::channel(None);
    let shown = Arc::new(Mutex::new(Shown {
        readings: worker.readings().to_vec(),
        probes: worker.probes(),
        epochs: Epochs::default(),
        parallelism: worker.parallelism(),
    }));
    let said = Said { say, shown: Arc::clone(&shown) };
    let shared = Shared { requests: asked, said };
    (JobHandle { requests, outcome, shown }, shared)
}

/// What is shown is replaced whole: a panic in between leaves what was shown before.
pub(super) fn locked(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

impl JobHandle {
    /// Waits until the job is over: all of its subtasks are gone.
    ///
    /// # Errors
    /// The first error of any subtask, that a later life of the job has begun, or that it was aborted.
    pub async fn wait(&self) -> Result<JobOutcome> {
        let mut outcome = self.outcome.clone();
        let gone = || Error::internal("the control of the job is gone");
        let result = outcome.wait_for(Option::is_some).await.map_err(|_| gone())?;
        result.clone().unwrap_or_else(|| Err(gone()))
    }

    /// Stops the job: sources stop, rows in flight reach the sinks, no window closes, and a last
    /// epoch keeps everything.
    pub fn stop(&self) {
        self.ask(Request::Stop(None));
    }

    /// Stops the job, and keeps its last epoch under a name.
    pub fn stop_with_savepoint(&self, savepoint: Savepoint) {
        self.ask(Request::Stop(Some(savepoint.0)));
    }

    /// Ends the job at once; rows in flight are lost, what is in a checkpoint is not.
    pub fn abort(&self) {
        self.ask(Request::Abort);
    }

    /// Makes a checkpoint now; with a name, one that is kept.
    ///
    /// # Errors
    /// If it cannot be kept under the name, or the job ended first. An epoch that is aborted is followed
    /// by another.
    pub async fn checkpoint(&self, savepoint: Option<Savepoint>) -> Result<Epoch> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Checkpoint(savepoint.map(|s| s.0), reply));
        answer.await.unwrap_or_else(|_| Err(over()))
    }

    /// Goes on with another number of subtasks, while rows flow.
    ///
    /// # Errors
    /// If the job has no store to move state by, its input is over, it stops, or another rescale is
    /// under way. The job goes on as it was then.
    pub async fn rescale(&self, parallelism: u32) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Rescale(parallelism, reply));
        answer.await.unwrap_or_else(|_| Err(over()))
    }

    fn ask(&self, request: Request) {
        // A job that is over does nothing any more; who waits for an answer learns that.
        let _ = self.requests.send(request);
    }

    /// The counters of every operator and subtask, as they were made. They go on counting.
    pub fn counters(&self) -> Vec<OperatorReading> {
        locked(&self.shown).readings.clone()
    }

    /// The state of every channel between subtasks.
    pub fn channels(&self) -> Vec<ChannelReading> {
        let probes = locked(&self.shown).probes.clone();
        probes.iter().flat_map(Probe::channels).collect()
    }

    /// How many subtasks each node has that does not fix its own number.
    pub fn parallelism(&self) -> u32 {
        locked(&self.shown).parallelism
    }

    /// How far the job is, in sum.
    pub fn progress(&self) -> Progress {
        let shown = locked(&self.shown);
        Progress::of(&shown.readings, shown.epochs)
    }
}

fn over() -> Error {
    Error::new(Code::Conflict, "the job is over")
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("progress", &self.progress()).finish_non_exhaustive()
    }
}
