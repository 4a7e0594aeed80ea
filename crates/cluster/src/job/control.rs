//! Runs a job's epochs and watches over its subtasks. Never touches rows.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::sink::{Close, Committer};
use thalweg_dataflow::{Code, Committable, Error, NodeId, Result};
use thalweg_runtime::{Answer, Command, Failure, Report, RuntimeSettings, Site, Word, Worker};
use thalweg_state::{Epoch, OperatorId};
use thalweg_world::World;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::handle::{Reply, Request, Said, Shared, locked};
use super::recovery::in_background;
use super::rescale::Rescales;
use super::{Job, JobOutcome};
use crate::controller::epochs::{Action, EpochMachine, Event};
use crate::controller::rescale;
use crate::keeping::{Described, EpochStore, Kept, Proposal, SubtaskPart, Verdict, Written, carry};

/// How long a failed job waits for its subtasks to be dropped.
const ABORT_GRACE: Duration = Duration::from_secs(3);
/// How long the cause may come behind the news that a peer is gone.
const CAUSE_GRACE: Duration = Duration::from_secs(1);
/// The pause before the store is asked again how an epoch is settled: it grows up to the most.
const SETTLE_PAUSE: Duration = Duration::from_millis(250);
const SETTLE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long an epoch may take before it is said who is awaited, and the most that are named.
const EPOCH_PATIENCE: Duration = Duration::from_secs(30);
const AWAITED_NAMES_MAX: usize = 8;
/// How often a life of a job looks whether a later one has begun, where the store excludes nobody.
const RENEWAL: Duration = Duration::from_secs(1);

/// What a future in the background came to.
pub(super) enum Done {
    Event(Result<Event>),
    Written {
        member: usize,
        epoch: Epoch,
        result: Result<Written>,
    },
    Tidied(Result<()>),
    /// Whether this is still the last life of the job.
    Renewed(Result<()>),
    Kept(Reply<Epoch>, Epoch, Result<()>),
    /// The job may close: what was to be kept of its end is kept, or why not.
    MayClose(Close, Result<()>),
    Rescale(rescale::Event),
}

/// Who publishes the rows of each sink, and how errors name it.
type Committers = BTreeMap<NodeId, (Site, Arc<dyn Committer>)>;

pub(super) struct Control {
    pub(super) world: World,
    settings: RuntimeSettings,
    store: Arc<dyn EpochStore>,
    pub(super) kept: Option<Arc<Kept>>,
    pub(super) machine: EpochMachine,
    pub(super) worker: Worker,
    described: Vec<Described>,
    committers: Committers,
    requests: mpsc::UnboundedReceiver<Request>,
    pub(super) shared: Said,
    /// The parts of the epoch in progress.
    parts: Vec<Written>,
    /// What its sinks have prepared.
    prepared: BTreeMap<NodeId, Vec<Committable>>,
    /// What sinks prepared for epochs that were aborted since the last complete one.
    carried: BTreeMap<NodeId, Vec<Committable>>,
    pub(super) working: FuturesUnordered<BoxFuture<'static, Done>>,
    /// When the barrier of the last epoch was sent, by the monotonic clock.
    sent: Duration,
    tidying: bool,
    renewing: bool,
    closed: Vec<bool>,
    /// Who waits for the first complete epoch from this one on, to be kept under a name.
    asked: Vec<(Epoch, Option<String>, Reply<Epoch>)>,
    /// The names under which the last epoch is kept.
    keep_last: BTreeSet<String>,
    pub(super) rescales: Rescales,
    why: Close,
}

/// What happens next in the life of a job.
enum Wake {
    Report(Option<Report>),
    Request(Option<Request>),
    Done(Done),
    Tick,
    Watch,
    Lease,
}

impl Control {
    /// Takes over a job whose pieces are built, and starts them.
    pub(super) fn new(
        job: Job,
        world: World,
        mut worker: Worker,
        (store, kept): (Arc<dyn EpochStore>, Option<Arc<Kept>>),
        first: Epoch,
        shared: Shared,
    ) -> Self {
        let sources: Vec<bool> = worker.members().iter().map(|member| member.source).collect();
        let committers = job.graph.nodes().filter_map(|(id, node)| match &node.piece {
            Piece::Sink(spec) => Some((id, (Site::committer(&node.id), spec.committer()))),
            Piece::Source(_) | Piece::Operator(_) => None,
        });
        worker.start();
        let (requests, said) = shared.split();
        Self {
            settings: job.settings,
            store,
            kept,
            machine: EpochMachine::new(sources.iter().copied(), first),
            described: Described::all(&job.graph),
            committers: committers.collect(),
            requests,
            shared: said,
            parts: Vec::new(),
            prepared: BTreeMap::new(),
            carried: BTreeMap::new(),
            working: FuturesUnordered::new(),
            sent: Duration::ZERO,
            tidying: false,
            renewing: false,
            closed: vec![false; sources.len()],
            asked: Vec::new(),
            keep_last: BTreeSet::new(),
            rescales: Rescales::new(worker.parallelism()),
            why: Close::End,
            worker,
            world,
        }
    }

    /// Watches over the job until all subtasks are gone, and says how it ended.
    pub(super) async fn live(mut self) {
        let result = self.supervise().await;
        if let Err(error) = &result {
            debug!(%error, "job fails");
            self.worker.abort();
        }
        let clock = Arc::clone(&self.world.clock);
        tokio::select! {
            () = self.worker.gone() => {}
            () = clock.sleep(ABORT_GRACE) => warn!("a subtask does not end: it is busy outside of any await"),
        }
        // What still works in the background holds the job's folder.
        tokio::select! {
            () = self.rest() => {}
            () = clock.sleep(ABORT_GRACE) => warn!("work in the background does not end"),
        }
        let outcome = result.map(|()| JobOutcome::of(self.worker.readings(), self.why == Close::Stop));
        // What this life holds in the store goes before anybody hears that it is over.
        let said = self.shared.clone();
        drop(self);
        said.over(outcome);
    }

    async fn rest(&mut self) {
        while self.working.next().await.is_some() {}
    }

    async fn supervise(&mut self) -> Result<()> {
        let clock = Arc::clone(&self.world.clock);
        let mut tick = clock.sleep(self.settings.checkpoint_interval);
        let mut watch = clock.sleep(self.settings.watchdog_interval);
        let leased = self.kept.as_ref().is_some_and(|kept| kept.is_leased());
        let mut lease = clock.sleep(RENEWAL);
        while self.closed.iter().any(|closed| !closed) {
            let wake = tokio::select! {
                biased;
                report = self.worker.report() => Wake::Report(report),
                request = self.requests.recv() => Wake::Request(request),
                done = next_done(&mut self.working) => Wake::Done(done),
                () = &mut tick => Wake::Tick,
                () = &mut watch => Wake::Watch,
                () = &mut lease, if leased => Wake::Lease,
            };
            match wake {
                Wake::Report(Some(report)) => self.hear(report).await?,
                Wake::Report(None) => return Err(Error::internal("all subtasks went without a word")),
                Wake::Request(Some(request)) => self.obey(request)?,
                Wake::Request(None) => return Err(aborted()),
                Wake::Done(done) => self.take(done)?,
                Wake::Tick => {
                    tick = clock.sleep(self.settings.checkpoint_interval);
                    self.step(Event::Tick)?;
                }
                Wake::Watch => {
                    watch = clock.sleep(self.settings.watchdog_interval);
                    if let Some(words) = self.worker.look() {
                        warn!("{words}");
                    }
                    self.say_who_is_awaited();
                }
                Wake::Lease => {
                    lease = clock.sleep(RENEWAL);
                    self.renew();
                }
            }
            self.rescale(rescale::Event::Turn)?;
        }
        Ok(())
    }

    fn obey(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Stop(savepoint) => {
                self.keep_last.extend(savepoint);
                self.step(Event::StopAsked)
            }
            Request::Abort => Err(aborted()),
            Request::Checkpoint(savepoint, reply) => {
                self.asked.push((self.machine.next(), savepoint, reply));
                self.step(Event::Tick)
            }
            Request::Rescale(parallelism, reply) => self.ask_rescale(parallelism, reply),
        }
    }

    async fn hear(&mut self, report: Report) -> Result<()> {
        let member = report.member;
        match report.word {
            Word::Answer(epoch, answer) => {
                self.collect(member, epoch, answer);
                Ok(())
            }
            Word::Holding { hold, over, splits } => {
                self.rescale(rescale::Event::Holds { rescale: hold, member, over, splits })
            }
            Word::Loaded(rescale) => self.rescale(rescale::Event::Loaded { rescale, member }),
            Word::Moved(epoch) => self.rescale(rescale::Event::Moved { epoch, member }),
            Word::Finished(why) => self.step(Event::Finished { subtask: member, why }),
            Word::Closed(Ok(())) => {
                self.closed[member] = true;
                Ok(())
            }
            // It has no part in the job yet: the job goes on without it.
            Word::Closed(Err(Failure::Own(error))) if member >= self.machine.members() => {
                self.rescale(rescale::Event::Failed(error))
            }
            Word::Closed(Err(Failure::Own(error))) => Err(error),
            Word::Closed(Err(Failure::PeerGone)) => Err(self.cause(member).await),
        }
    }

    /// A subtask lost a peer. The peer knows why, and said or will say so.
    async fn cause(&mut self, member: usize) -> Error {
        let mut patience = self.world.clock.sleep(CAUSE_GRACE);
        loop {
            tokio::select! {
                biased;
                report = self.worker.report() => match report {
                    Some(Report { word: Word::Closed(Err(Failure::Own(error))), .. }) => return error,
                    Some(_) => {}
                    None => break,
                },
                () = &mut patience => break,
            }
        }
        let (operator, subtask) = &self.worker.members()[member].name;
        Error::internal(format!(
            "the chain of '{operator}', subtask {subtask}, lost a peer that gave no reason"
        ))
    }

    /// Takes a subtask's part of an epoch and has it written in the background.
    fn collect(&mut self, member: usize, epoch: Epoch, answer: Answer) {
        for (node, committable) in &answer.committables {
            self.prepared.entry(*node).or_default().push(committable.clone());
        }
        let described = &self.described;
        let own = &self.worker.members()[member];
        let operators = own.nodes().iter().map(|node| described[node.0 as usize].clone()).collect();
        let part = SubtaskPart { subtask: own.name.1, operators, answer };
        let store = Arc::clone(&self.store);
        self.spawn(async move { store.write(epoch, &part).await }, move |result| Done::Written {
            member,
            epoch,
            result,
        });
    }

    /// Does something where it may block, and takes what it came to.
    pub(super) fn spawn<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = Result<T>> + Send + 'static,
        done: impl FnOnce(Result<T>) -> Done + Send + 'static,
    ) {
        let world = self.world.clone();
        let work = async move { done(in_background(&world, work).await.flatten()) };
        self.working.push(work.boxed());
    }

    fn take(&mut self, done: Done) -> Result<()> {
        match done {
            Done::Event(event) => self.step(event?),
            Done::Written { member, epoch, result } => {
                let written = result.is_ok();
                match result {
                    Ok(part) => self.parts.push(part),
                    Err(error) => warn!(epoch = epoch.0, %error, "part of a checkpoint not written"),
                }
                self.step(Event::Answered { subtask: member, epoch, written })
            }
            Done::Tidied(result) => {
                self.tidying = false;
                match result {
                    Err(error) if error.code() == Code::Fenced => Err(error),
                    Err(error) => {
                        warn!(%error, "old checkpoints not cleared away");
                        Ok(())
                    }
                    Ok(()) => Ok(()),
                }
            }
            // While the store does not answer nothing can be published, by anybody.
            Done::Renewed(Err(error)) if error.code() == Code::Fenced => Err(error),
            Done::Renewed(_) => {
                self.renewing = false;
                Ok(())
            }
            Done::Kept(reply, epoch, result) => {
                // Who asked may be gone.
                let _ = reply.send(result.map(|()| epoch));
                Ok(())
            }
            Done::MayClose(why, result) => {
                result?;
                self.close(why);
                Ok(())
            }
            Done::Rescale(event) => self.rescale(event),
        }
    }

    pub(super) fn step(&mut self, event: Event) -> Result<()> {
        let actions = self.machine.step(event);
        self.act_all(actions)
    }

    pub(super) fn act_all(&mut self, actions: Vec<Action>) -> Result<()> {
        actions.into_iter().try_for_each(|action| self.act(action))
    }

    fn act(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Send { to, barrier } => {
                debug!(epoch = barrier.epoch.0, stop = barrier.stop, "barrier");
                self.sent = self.world.clock.monotonic();
                to.into_iter().for_each(|m| self.worker.tell(m, Command::Barrier(barrier.clone())));
            }
            Action::Settle { epoch, complete } => self.settle(epoch, complete),
            Action::Commit(epoch) => self.commit(epoch),
            Action::Announce { epoch, complete } => self.announce(epoch, complete)?,
            Action::Dismiss(members) => {
                for member in members {
                    self.worker.tell(member, Command::Close(Close::Stop));
                    self.worker.bury(member);
                }
                self.show();
            }
            Action::Close(why) => {
                let (store, labels) = (Arc::clone(&self.store), std::mem::take(&mut self.keep_last));
                let keep = async move {
                    for label in &labels {
                        store.keep(label).await?;
                    }
                    Ok(())
                };
                self.spawn(keep, move |kept| Done::MayClose(why, kept));
            }
            Action::GiveUp => {
                return Err(Error::new(Code::StoreFailed, "the last checkpoint could not be made")
                    .with_help("the job goes on from the newest complete one when it is started again"));
            }
        }
        Ok(())
    }

    fn close(&mut self, why: Close) {
        self.why = why;
        for member in 0..self.worker.members().len() {
            self.tell_alive(member, Command::Close(why));
        }
    }

    fn tell_alive(&self, member: usize, command: Command) {
        if self.worker.members()[member].is_alive() {
            self.worker.tell(member, command);
        }
    }

    fn announce(&mut self, epoch: Epoch, complete: bool) -> Result<()> {
        info!(epoch = epoch.0, complete, "epoch settled");
        self.shared.settled(epoch, complete);
        for member in 0..self.worker.members().len() {
            self.tell_alive(member, Command::Settled { epoch, complete });
        }
        if complete {
            self.keep_asked(epoch);
            self.tidy();
        } else {
            std::mem::take(&mut self.prepared)
                .into_iter()
                .for_each(|(node, c)| self.carried.entry(node).or_default().extend(c));
        }
        self.rescale(rescale::Event::Settled { epoch, complete })
    }

    /// Proposes what was collected until the store knows what lies there.
    fn settle(&mut self, epoch: Epoch, complete: bool) {
        let mut parts = std::mem::take(&mut self.parts);
        let described = &self.described;
        let named = |(node, committables): (&NodeId, &Vec<Committable>)| {
            let bytes = committables.iter().map(|c| Bytes::from(c.0.clone())).collect();
            (described[node.0 as usize].id.clone(), bytes)
        };
        let carried: BTreeMap<OperatorId, Vec<Bytes>> = self.carried.iter().map(named).collect();
        carry(&mut parts, &carried);
        let proposal = Proposal {
            parts: complete.then_some(parts),
            parallelism: self.worker.parallelism(),
            finished: self.machine.at_end(),
        };
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        let shared = self.shared.clone();
        let work = async move {
            let mut pause = SETTLE_PAUSE;
            loop {
                match store.settle(epoch, &proposal).await {
                    Ok(verdict) => {
                        return Ok(Event::Settled { epoch, complete: verdict == Verdict::Complete });
                    }
                    Err(error) if error.code() != Code::StoreFailed => return Err(error),
                    Err(error) => warn!(epoch = epoch.0, %error, "epoch not settled yet"),
                }
                shared.waits();
                clock.sleep(pause).await;
                pause = (pause * 2).min(SETTLE_PAUSE_MAX);
            }
        };
        self.spawn(work, Done::Event);
    }

    /// Publishes everything that is prepared: the epoch that holds it is complete.
    fn commit(&mut self, epoch: Epoch) {
        let mut committables = std::mem::take(&mut self.carried);
        for (node, prepared) in std::mem::take(&mut self.prepared) {
            committables.entry(node).or_default().extend(prepared);
        }
        let committer =
            |(node, c): (NodeId, Vec<Committable>)| Some((self.committers.get(&node)?.clone(), c));
        let work: Vec<_> = committables.into_iter().filter_map(committer).collect();
        let commit = async move {
            for ((site, committer), committables) in work {
                site.wait(async { committer.commit(epoch, &committables).await }).await?;
            }
            Ok(Event::Committed { epoch })
        };
        self.spawn(commit, Done::Event);
    }

    /// Answers those who waited for a checkpoint.
    fn keep_asked(&mut self, epoch: Epoch) {
        for (_, label, reply) in self.asked.extract_if(.., |(from, ..)| *from <= epoch).collect::<Vec<_>>() {
            let store = Arc::clone(&self.store);
            let keep = async move {
                match label {
                    Some(label) => store.keep(&label).await,
                    None => Ok(()),
                }
            };
            self.spawn(keep, move |result| Done::Kept(reply, epoch, result));
        }
    }

    fn tidy(&mut self) {
        if !std::mem::replace(&mut self.tidying, true) {
            let store = Arc::clone(&self.store);
            self.spawn(async move { store.tidy().await }, Done::Tidied);
        }
    }

    /// An epoch is long in coming: whose part is missing?
    fn say_who_is_awaited(&self) {
        let awaited = self.machine.awaited();
        let waited = self.world.clock.monotonic().saturating_sub(self.sent);
        if awaited.is_empty() || waited < EPOCH_PATIENCE {
            return;
        }
        let name = |&member: &usize| {
            let (operator, subtask) = &self.worker.members()[member].name;
            format!("'{operator}' {subtask}")
        };
        let names: Vec<String> = awaited.iter().take(AWAITED_NAMES_MAX).map(name).collect();
        let (seconds, missing, of) = (waited.as_secs(), awaited.len(), names.join(", "));
        warn!(
            seconds,
            missing, of, "a checkpoint is long in coming: barriers have not passed, or parts are not written"
        );
    }

    /// Looks whether a later life has begun.
    fn renew(&mut self) {
        if let Some(kept) = &self.kept
            && !std::mem::replace(&mut self.renewing, true)
        {
            let kept = Arc::clone(kept);
            self.spawn(async move { kept.renew().await }, Done::Renewed);
        }
    }

    /// Shows the members as they are now.
    pub(super) fn show(&mut self) {
        self.closed.resize(self.worker.members().len(), false);
        let mut shown = locked(&self.shared.shown);
        shown.readings = self.worker.readings().to_vec();
        shown.probes = self.worker.probes();
        shown.parallelism = self.worker.parallelism();
    }
}

fn aborted() -> Error {
    Error::new(Code::Aborted, "the job was aborted")
}

async fn next_done(working: &mut FuturesUnordered<BoxFuture<'static, Done>>) -> Done {
    match working.next().await {
        Some(done) => done,
        None => pending().await,
    }
}
