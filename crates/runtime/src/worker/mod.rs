//! The subtasks of one job that run in this process.
//!
//! A worker is told and tells; it decides nothing. Its members keep their
//! numbers for life: those that a rescale adds come behind, and those that it
//! ends leave a gap.

mod connect;
mod reading;
mod rescale;
mod wire;

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Functions, Graph, NodeId, Result};
use thalweg_state::{Incarnation, JobId, KeyGroups, OperatorId, Restored, Subtask as SubtaskIndex};
use thalweg_world::{Task, World};
use tokio::sync::{mpsc, oneshot};

use crate::channel::{ChannelReading, Probe};
use crate::plan::Plan;
use crate::settings::RuntimeSettings;
use crate::subtask::{Command, Report, be_born, run};
use crate::watchdog::Watchdog;
use connect::Added;
use wire::{Ready, Wiring};

pub use reading::{OperatorReading, Role};
pub use rescale::Grown;

/// What a job finds when it goes on from a checkpoint.
pub trait Past: Send + Sync {
    /// Where a source's splits go on; none if the checkpoint does not know the source.
    fn splits(&self, source: &OperatorId) -> Option<Vec<Assignment>>;

    /// What the tables of an operator hold of these key groups.
    fn restore<'a>(
        &'a self,
        operator: &'a OperatorId,
        groups: &'a KeyGroups,
    ) -> BoxFuture<'a, Result<Restored>>;
}

/// What to run, and how.
#[derive(Clone)]
pub struct Deployment {
    /// The operators and edges.
    pub graph: Arc<Graph>,
    /// The subtasks of each node that does not fix its own number.
    pub parallelism: u32,
    /// Bounds and intervals.
    pub settings: RuntimeSettings,
    /// What the graph knows by name.
    pub functions: Arc<Functions>,
    /// Whose subtasks these are.
    pub job: JobId,
    /// In which life of the job.
    pub incarnation: Incarnation,
    /// Where the job goes on; none: it begins.
    pub past: Option<Arc<dyn Past>>,
}

/// Holds the subtasks of a job. Dropped, it leaves them running.
pub struct Worker {
    deployment: Deployment,
    world: World,
    plan: Plan,
    wiring: Wiring,
    members: Vec<Member>,
    /// Built, and not started yet.
    ready: Vec<Ready>,
    /// What was added to inboxes since their subtasks were last told.
    added: Added,
    reports: mpsc::UnboundedReceiver<Report>,
    watchdog: Watchdog,
}

/// One subtask.
pub struct Member {
    /// The head's name, and which parallel instance this is.
    pub name: (OperatorId, SubtaskIndex),
    /// Whether a source feeds it.
    pub source: bool,
    nodes: Vec<NodeId>,
    commands: mpsc::UnboundedSender<Command>,
    task: Option<Task>,
    gone: bool,
}

impl Member {
    /// The nodes of its chain, senders first.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }
}

impl Worker {
    /// Builds every piece of a job. Nothing runs yet.
    ///
    /// # Errors
    /// If the graph breaks a law or a piece cannot be built.
    pub fn build(deployment: Deployment, world: &World) -> Result<Self> {
        let plan = Plan::new(&deployment.graph, deployment.parallelism)?;
        let (report, reports) = mpsc::unbounded_channel();
        let watchdog = Watchdog::new(Arc::clone(&deployment.graph));
        let wiring = Wiring::new(&deployment, world, report);
        let mut worker = Self {
            deployment,
            world: world.clone(),
            plan: Plan::none(),
            wiring,
            members: Vec::new(),
            ready: Vec::new(),
            added: Added::new(),
            reports,
            watchdog,
        };
        worker.build_for(plan)?;
        Ok(worker)
    }

    /// Starts all members that do not run yet.
    pub fn start(&mut self) {
        let executors = &self.world.executors;
        for Ready { subtask, feed, executor, member, newborn } in self.ready.drain(..) {
            let future: BoxFuture<'static, ()> = if newborn {
                let (born, awaited) = oneshot::channel();
                executors.spawn_background(Box::pin(async move {
                    // It may have been taken back before it was born.
                    let _ = born.send(be_born(subtask, feed).await);
                }));
                Box::pin(async move {
                    if let Ok(Some((subtask, feed))) = awaited.await {
                        run(subtask, feed).await;
                    }
                })
            } else {
                Box::pin(run(subtask, feed))
            };
            self.members[member].task = Some(executors.spawn_data(executor, future));
        }
    }

    /// All members, those that are gone among them; a member's number is its index.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Tells a member something. One that is gone has reported why; the report is on its way.
    pub fn tell(&self, member: usize, command: Command) {
        let _ = self.members[member].commands.send(command);
    }

    /// What a member says next; none when all are gone.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Ends all members at their next await.
    pub fn abort(&self) {
        self.members.iter().filter_map(|m| m.task.as_ref()).for_each(Task::abort);
    }

    /// Waits until all members are gone.
    pub async fn gone(&mut self) {
        join_all(self.members.iter_mut().filter_map(|m| m.task.as_mut())).await;
    }

    /// The counters of every operator and subtask, in the order in which they were made.
    pub fn readings(&self) -> &[OperatorReading] {
        self.wiring.readings()
    }

    /// The state of every channel.
    pub fn channels(&self) -> Vec<ChannelReading> {
        self.wiring.probes().flat_map(Probe::channels).collect()
    }

    /// For those who look at channels from elsewhere.
    pub fn probes(&self) -> Vec<Probe> {
        self.wiring.probes().cloned().collect()
    }

    /// If nothing has moved since the last look though rows wait, says who waits for whom.
    pub fn look(&mut self) -> Option<String> {
        let probes: Vec<Probe> = self.probes();
        self.watchdog.look(&probes)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("members", &self.members.len()).finish_non_exhaustive()
    }
}
