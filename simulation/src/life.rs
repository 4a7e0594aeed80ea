//! One life of the job's process: the product's own job, from claim to end.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use thalweg_cluster::{Durable, How, Job, JobHandle, Keeping, OperatorReading, RestoreFrom, Role, Savepoint};
use thalweg_dataflow::Result;
use thalweg_dataflow::error::Error;
use thalweg_state::JobId;
use thalweg_state::store::{Creation, Hold, Listed, Store, StoreError};
use thalweg_world::{SeededRandom, SystemClock, TcpNetwork, World};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fate::{Fate, RuledExecutors};
use crate::ground::Ground;
use crate::swarm::Swarm;

/// How often a life shows how far it is.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// What is asked of a life.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Rescale(u32),
    Stop(Option<String>),
    Keep(String),
}

/// How a life begins.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) number: u64,
    pub(crate) parallelism: u32,
    pub(crate) restore: RestoreFrom,
    pub(crate) seed: u64,
}

/// How a life ends, unless it is killed.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The job is over.
    Finished,
    Stopped,
    Failed(Error),
}

/// What a life shows.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) runs: bool,
    pub(crate) parallelism: u32,
    pub(crate) epochs: u64,
    pub(crate) rescales: u64,
    /// The labels of checkpoints of which it was said that they are kept.
    pub(crate) kept: Vec<String>,
    pub(crate) failing: u64,
    pub(crate) rows_read: u64,
    pub(crate) end: Option<End>,
    pub(crate) violations: Vec<String>,
}

/// Shared by a life and who watches it.
pub(crate) type Window = Arc<Mutex<Shown>>;

/// Each change is whole.
pub(crate) fn look(window: &Window) -> MutexGuard<'_, Shown> {
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store as a life sees it that may freeze on the verge of settling an epoch.
struct Drowsy {
    inner: Arc<dyn Store>,
    fate: Arc<Fate>,
}

impl fmt::Debug for Drowsy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Store for Drowsy {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        Box::pin(async move {
            if name.contains("/epochs/") && self.fate.is_settling() {
                tokio::task::yield_now().await;
            }
            self.inner.create(name, bytes).await
        })
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.inner.read(name)
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        self.inner.list(folder)
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.delete(name)
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        self.inner.hold(folder)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// One life.
pub(crate) struct Life {
    pub(crate) ground: Arc<Ground>,
    pub(crate) swarm: Arc<Swarm>,
    pub(crate) birth: Birth,
    pub(crate) fate: Arc<Fate>,
    pub(crate) window: Window,
    pub(crate) orders: UnboundedReceiver<Order>,
}

impl Life {
    /// Lives until the job is over, fails or is stopped.
    pub(crate) async fn live(mut self) {
        let end = match self.run().await {
            Ok(end) => end,
            Err(error) => End::Failed(error),
        };
        let note = Arc::clone(&self.ground.note);
        note(format_args!("life {} ends: {end:?}", self.birth.number));
        look(&self.window).end = Some(end);
    }

    fn job(&self) -> Result<Job> {
        let Swarm { work, inputs, settings, retain, .. } = &*self.swarm;
        let (graph, functions) = work.graph(inputs, &self.ground.ledger, &self.fate)?;
        let durable = Durable {
            store: Arc::new(Drowsy {
                inner: Arc::clone(&self.ground.store) as _,
                fate: Arc::clone(&self.fate),
            }),
            retain: *retain,
            restore: self.birth.restore.clone(),
            allow_dropped_state: false,
        };
        Ok(Job {
            id: JobId::new("job"),
            settings: settings.clone(),
            functions: Arc::new(functions),
            keeping: Keeping::Durable(durable),
            ..Job::new(Arc::new(graph), self.birth.parallelism)
        })
    }

    async fn run(&mut self) -> Result<End> {
        let world = World {
            clock: Arc::new(SystemClock::start()),
            random: Arc::new(SeededRandom::new(self.birth.seed)),
            executors: Arc::new(RuledExecutors::new(Arc::clone(&self.fate))),
            network: Arc::new(TcpNetwork),
        };
        let prepared = self.job()?.prepare(&world).await?;
        let recovery = prepared.recovery().cloned();
        let restored = recovery.as_ref().and_then(|r| r.restored.as_ref()).map_or(0, |r| r.epoch.0);
        let incarnation = recovery.as_ref().map_or(0, |r| r.incarnation.0);
        let visible = self.ground.ledger.newest();
        let note = &self.ground.note;
        note(format_args!("life {} goes on from epoch {restored}, {visible} is visible", self.birth.number));
        // One who slept since it looked may be behind: it changes nothing any more.
        if restored < visible && incarnation > self.ground.ledger.fenced() {
            let what =
                format!("a life goes on from epoch {restored} though rows of epoch {visible} are visible");
            look(&self.window).violations.push(what);
        }
        if recovery.is_some_and(|recovery| recovery.finished) {
            prepared.conclude().await?;
            return Ok(End::Finished);
        }
        let handle = prepared.start().await?;
        look(&self.window).runs = true;
        note(format_args!("life {} runs", self.birth.number));
        self.watch(&handle).await
    }

    /// Does what is asked until the job is over.
    async fn watch(&mut self, handle: &JobHandle) -> Result<End> {
        let note = Arc::clone(&self.ground.note);
        let mut wishes: FuturesUnordered<LocalBoxFuture<'_, (Order, Result<()>)>> = FuturesUnordered::new();
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = handle.wait() => break outcome?,
                Some(order) = self.orders.recv() => {
                    note(format_args!("asked: {order:?}"));
                    wishes.extend(wish(handle, order));
                }
                Some((order, granted)) = wishes.next() => {
                    note(format_args!("granted: {order:?} {:?}", granted.as_ref().map_err(Error::code)));
                    self.granted(&order, &granted);
                }
                () = tokio::time::sleep(SHOWN_EVERY) => {}
            }
            self.show(handle);
        };
        self.show(handle);
        look(&self.window).violations.extend(broken_identities(&handle.counters()));
        Ok(match outcome.how {
            How::Ended => End::Finished,
            How::Stopped { .. } => End::Stopped,
        })
    }

    fn granted(&self, order: &Order, granted: &Result<()>) {
        let mut shown = look(&self.window);
        match (order, granted) {
            (Order::Rescale(_), Ok(())) => shown.rescales += 1,
            (Order::Keep(label), Ok(())) => shown.kept.push(label.clone()),
            (Order::Rescale(_) | Order::Keep(_) | Order::Stop(_), _) => {}
        }
    }

    fn show(&self, handle: &JobHandle) {
        let progress = handle.progress();
        let mut shown = look(&self.window);
        shown.parallelism = handle.parallelism();
        shown.epochs = progress.epochs_complete;
        shown.failing = progress.failing;
        shown.rows_read = progress.rows_read;
    }
}

/// What takes a while to be granted.
fn wish(handle: &JobHandle, order: Order) -> Option<LocalBoxFuture<'_, (Order, Result<()>)>> {
    match order.clone() {
        Order::Rescale(parallelism) => {
            Some(async move { (order, handle.rescale(parallelism).await) }.boxed_local())
        }
        Order::Keep(label) => Some(
            async move { (order, handle.checkpoint(Some(Savepoint(label))).await.map(drop)) }.boxed_local(),
        ),
        Order::Stop(None) => {
            handle.stop();
            None
        }
        Order::Stop(Some(label)) => {
            handle.stop_with_savepoint(Savepoint(label));
            None
        }
    }
}

/// The laws of counting: every row that came in went somewhere.
fn broken_identities(readings: &[OperatorReading]) -> Vec<String> {
    let broken = |reading: &OperatorReading| {
        let c = &reading.counters;
        let (left, right) = match reading.role {
            Role::Source => (c.records_read.get(), c.rows_out.get() + c.dropped.get() + c.failed.get()),
            Role::Operator | Role::Sink => {
                (c.rows_in.get(), c.taken.get() + c.filtered.get() + c.late.get() + c.refused.get())
            }
        };
        let what = || format!("'{}' {} counts {left} in and {right} done", reading.operator, reading.subtask);
        (left != right).then(what)
    };
    readings.iter().filter_map(broken).collect()
}
