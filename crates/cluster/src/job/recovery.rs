//! Where a job goes on, and the right to go on there.
//!
//! ```text
//!  hold the folder ─► claim incarnation n+1 ─► settle the next epoch ─► read the newest complete one
//!                     (fences all earlier)      (aborted, unless the life before completed it)
//!                 ─► compare with the graph ─► fence sinks, publish what that epoch prepared, run
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::{Code, Committable, Error, Graph, Result};
use thalweg_runtime::{Past, Site};
use thalweg_state::store::{Hold, StoreError, probe};
use thalweg_state::{Claim, Claimed, Epoch, History, Incarnation, Manifest, Settlement, planted};
use thalweg_world::World;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Durable, Job, Prepared, RestoreFrom};
use crate::controller::inheritance::{Dropped, Inheritance, Why};
use crate::keeping::{Inherited, Kept, Life, failed, fenced};

/// How long the life before may go on where the store excludes nobody: it looks that often whether it is the last.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// How often the store is asked before a job does not start, and the pause in between.
const ATTEMPTS_MAX: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);
/// After this time it is not asked again; an answer that is under way is awaited.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many others may claim a life before us, or settle an epoch.
const RACES_MAX: u32 = 16;

/// What was found out before a job starts.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Which life of the job begins.
    pub incarnation: Incarnation,
    /// Where it goes on; none: it begins.
    pub restored: Option<Restored>,
    /// What becomes of state.
    pub inheritance: Inheritance,
    /// Whether there is nothing left to do: all input was read to its end.
    pub finished: bool,
}

/// The checkpoint that a job goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its epoch.
    pub epoch: Epoch,
    /// How old it is by the wall clock.
    pub age: Duration,
    /// How many subtasks the job had.
    pub parallelism: u32,
    /// The bytes of its objects.
    pub bytes: u64,
    /// The savepoint it is, if it is one.
    pub savepoint: Option<String>,
    /// Whether the job ran another script when it made it.
    pub script_changed: bool,
}

/// A job whose past is known.
pub(super) struct Recovered {
    pub(super) recovery: Recovery,
    pub(super) past: Option<Arc<dyn Past>>,
    pub(super) kept: Arc<Kept>,
    manifest: Option<Manifest>,
}

/// Runs a future where stores may block.
pub(super) async fn in_background<T: Send + 'static>(
    world: &World,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = oneshot::channel();
    let work: BoxFuture<'static, ()> = Box::pin(async move {
        // Whoever waited may be gone.
        let _ = send.send(work.await);
    });
    world.executors.spawn_background(work);
    receive.await.map_err(|_| Error::internal("work in the background panicked"))
}

pub(super) async fn recover(job: Job, durable: Durable, world: &World) -> Result<Prepared> {
    let steps = Steps {
        history: History::new(Arc::clone(&durable.store), job.id.clone()),
        world: world.clone(),
        writer: writer(world),
        graph: Arc::clone(&job.graph),
        key_groups: job.settings.key_space.len(),
        durable,
    };
    let parallelism = job.parallelism;
    let (steps, found) = in_background(world, async move {
        let found = steps.find(parallelism).await;
        (steps, found)
    })
    .await?;
    let Found { incarnation, settled, manifest, hold } = found?;
    let inheritance = manifest.as_ref().map(|m| Inheritance::of(m, &job.graph)).unwrap_or_default();
    let recovery = Recovery {
        incarnation,
        restored: manifest.as_ref().map(|m| steps.restored(m, &job.script)),
        finished: manifest.as_ref().is_some_and(|m| m.finished),
        inheritance: inheritance.clone(),
    };
    let manifest = manifest.map(|manifest| inheritance.of_what_is_kept(manifest));
    let life = Life {
        incarnation,
        writer: steps.writer.clone(),
        key_groups: job.settings.key_space.len(),
        script: job.script.clone(),
    };
    let Steps { history, durable, .. } = steps;
    let clock = Arc::clone(&world.clock);
    let kept = Arc::new(Kept::new(history.clone(), clock, life, durable.retain, manifest.clone(), hold));
    let past = manifest.clone().map(|m| {
        let converted = inheritance.converted.iter().map(|converted| converted.operator.clone()).collect();
        Arc::new(Inherited::new(history, incarnation, m, converted)) as Arc<dyn Past>
    });
    info!(job = %job.id, incarnation = incarnation.0, epoch = settled.map(|e| e.0), "job recovered");
    Ok(Prepared {
        first: settled.map_or(Epoch::FIRST, Epoch::next),
        store: Arc::clone(&kept) as _,
        recovered: Some(Recovered { recovery, past, kept, manifest }),
        world: world.clone(),
        incarnation,
        job,
    })
}

/// A name unlike that of any other process that ever was.
fn writer(world: &World) -> String {
    format!("{:016x}{:016x}", world.random.next_u64(), world.random.next_u64())
}

struct Steps {
    history: History,
    world: World,
    writer: String,
    graph: Arc<Graph>,
    key_groups: u16,
    durable: Durable,
}

/// What lies in the store, now that the life before can add nothing.
struct Found {
    incarnation: Incarnation,
    /// The newest settled epoch.
    settled: Option<Epoch>,
    manifest: Option<Manifest>,
    hold: Hold,
}

impl Steps {
    async fn find(&self, parallelism: u32) -> Result<Found> {
        let hold = self.history.hold().await.map_err(failed)?;
        self.repeat(|s| probe(&*s.durable.store).boxed()).await?;
        // Who may not go on with what is there leaves the life that does alone.
        if let Some(manifest) = self.wanted().await? {
            self.admit(&manifest)?;
        }
        let incarnation = self.claim(parallelism).await?;
        if matches!(hold, Hold::Lease) && incarnation > Incarnation(1) {
            // The life before looks that often whether it is the last.
            self.world.clock.sleep(LEASE).await;
        }
        let settled = self.settle(incarnation).await?;
        let manifest = self.wanted().await?;
        if let Some(manifest) = &manifest {
            self.admit(manifest)?;
        }
        Ok(Found { incarnation, settled, manifest, hold })
    }

    /// The checkpoint to go on from.
    async fn wanted(&self) -> Result<Option<Manifest>> {
        match &self.durable.restore {
            RestoreFrom::Newest => self.repeat(|s| s.history.newest_complete().boxed()).await,
            RestoreFrom::Savepoint(label) => {
                let found = self.repeat(|s| s.history.savepoint_at(label).boxed()).await?;
                Ok(Some(found.ok_or_else(|| self.no_savepoint(label))?))
            }
        }
    }

    /// Whether the graph may go on from a checkpoint.
    fn admit(&self, manifest: &Manifest) -> Result<()> {
        if manifest.key_groups != self.key_groups {
            let what = format!(
                "the checkpoint has {} key groups, and this job has {}",
                manifest.key_groups, self.key_groups
            );
            return Err(Error::new(Code::CheckpointForeign, what)
                .with_help("the number is fixed for the life of a job"));
        }
        let inheritance = Inheritance::of(manifest, &self.graph);
        match inheritance.dropped.is_empty() || self.durable.allow_dropped_state {
            true => Ok(()),
            false => Err(would_drop(&inheritance)),
        }
    }

    /// Begins a life that is later than all others.
    async fn claim(&self, parallelism: u32) -> Result<Incarnation> {
        let started_ms = u64::try_from(self.world.clock.wall_nanos() / 1_000_000).unwrap_or(0);
        let claim = &Claim { writer: self.writer.clone(), parallelism, started_ms };
        for _ in 0..RACES_MAX {
            let known = self.repeat(|s| s.history.incarnations().boxed()).await?;
            let next = Incarnation(known.last().map_or(1, |newest| newest.0 + 1));
            match self.repeat(|s| s.history.claim(next, claim).boxed()).await? {
                Claimed::Ours => return Ok(next),
                Claimed::Taken => {
                    warn!(incarnation = next.0, "another process begins a life of this job too")
                }
            }
        }
        Err(Error::new(Code::JobInUse, "other processes begin lives of this job all the time"))
    }

    /// Settles the epoch that the life before may still be at, so that it never will be otherwise.
    /// Gives the newest settled epoch.
    async fn settle(&self, incarnation: Incarnation) -> Result<Option<Epoch>> {
        let epochs = self.repeat(|s| s.history.epochs().boxed()).await?;
        // A job without a past has nothing that could be completed behind our back, but its first epoch.
        let mut next = epochs.last().map_or(Epoch::FIRST, |newest| newest.next());
        let aborted = Settlement::Aborted { incarnation, writer: self.writer.clone() };
        for _ in 0..RACES_MAX {
            if incarnation == Incarnation(1) {
                return Ok(None);
            }
            match self.repeat(|s| s.history.settle(next, &aborted).boxed()).await? {
                Settlement::Aborted { writer, .. } if writer == self.writer => {
                    self.expect_last(incarnation).await?;
                    return Ok(Some(next));
                }
                // It was faster: what it completed is the newest, and what it aborted does not stop it.
                Settlement::Aborted { .. } | Settlement::Complete(_) => next = next.next(),
            }
        }
        Err(Error::new(Code::JobInUse, "another process completes epochs of this job all the time"))
    }

    /// Who slept behind its claim may have settled an epoch of a later life, which bears that: it ends here.
    async fn expect_last(&self, incarnation: Incarnation) -> Result<()> {
        let known = self.repeat(|s| s.history.incarnations().boxed()).await?;
        match known.last() {
            Some(&newer) if newer > incarnation => Err(fenced(newer)),
            Some(_) | None => Ok(()),
        }
    }

    /// Asks until the store knows.
    async fn repeat<'a, T>(
        &'a self,
        ask: impl Fn(&'a Self) -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Result<T> {
        let clock = &self.world.clock;
        let (began, mut attempts) = (clock.monotonic(), 0);
        loop {
            attempts += 1;
            let again = attempts < ATTEMPTS_MAX && clock.monotonic() - began < PATIENCE;
            match ask(self).await {
                Err(error) if again && error.may_pass() => {
                    warn!(%error, "the store does not answer yet");
                    clock.sleep(PAUSE).await;
                }
                decided => return decided.map_err(failed),
            }
        }
    }

    fn restored(&self, manifest: &Manifest, script: &str) -> Restored {
        let now_ms = u64::try_from(self.world.clock.wall_nanos() / 1_000_000).unwrap_or(0);
        let savepoint = match &self.durable.restore {
            RestoreFrom::Newest => None,
            RestoreFrom::Savepoint(label) => Some(label.clone()),
        };
        Restored {
            epoch: manifest.epoch,
            age: Duration::from_millis(now_ms.saturating_sub(manifest.created_ms)),
            parallelism: manifest.parallelism,
            bytes: manifest.bytes(),
            savepoint,
            script_changed: manifest.script != script,
        }
    }

    fn no_savepoint(&self, label: &str) -> Error {
        let what = format!("'{}' has no savepoint named '{label}'", self.history.job());
        Error::new(Code::CheckpointNotFound, what).with_help("'thalweg state ls' names all that there are")
    }
}

fn would_drop(inheritance: &Inheritance) -> Error {
    let dropped: Vec<String> = inheritance.dropped.iter().map(ToString::to_string).collect();
    let what = format!("state would be lost: {}", dropped.join("; "));
    let consent = "--allow-dropped-state goes on without it; another --name begins a new job beside this one";
    let is_unreadable = |dropped: &Dropped| matches!(dropped.why, Why::Unreadable(_));
    Error::new(Code::StateDropped, what).with_help(match inheritance.dropped.iter().any(is_unreadable) {
        true => format!("give fields the types that they had, and new ones a default; {consent}"),
        false => consent.to_owned(),
    })
}

/// Fences every sink, publishes what the checkpoint's epoch prepared, and undoes what came behind it.
pub(super) async fn restore_sinks(
    job: &Job,
    incarnation: Incarnation,
    recovered: Option<&Recovered>,
    world: &World,
) -> Result<()> {
    let Some(recovered) =
        recovered.filter(|recovered| incarnation > Incarnation(1) || recovered.manifest.is_some())
    else {
        return Ok(());
    };
    let mut sinks = Vec::new();
    for (_, node) in job.graph.nodes() {
        if let Piece::Sink(spec) = &node.piece {
            let record = recovered.manifest.as_ref().and_then(|m| m.operators.get(&node.id));
            let committables = record.iter().flat_map(|r| &r.committables);
            let committables: Vec<_> = committables.map(|bytes| Committable(bytes.to_vec())).collect();
            // A sink that the checkpoint does not know begins.
            let epoch = recovered.manifest.as_ref().filter(|_| record.is_some()).map(|m| m.epoch);
            sinks.push((Site::committer(&node.id), spec.committer(), epoch, committables));
        }
    }
    let id = job.id.clone();
    in_background(world, async move {
        for (site, committer, epoch, committables) in sinks {
            site.wait(async { committer.fence(&id, incarnation).await }).await?;
            if !planted("commit skipped on restore") {
                site.wait(async { committer.restore(epoch, &committables).await }).await?;
            }
        }
        Ok(())
    })
    .await?
}
