//! Runs a job's epochs and watches over its subtasks. Never touches data.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use thalweg_dataflow::sink::Close;
use thalweg_dataflow::{Code, Committable, Error, NodeId, Result};
use thalweg_state::{Epoch, OperatorId, Subtask as SubtaskIndex};
use thalweg_world::{Task, World};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::wire::{Committers, ReadySubtask, Wired};
use super::{Job, JobOutcome, OperatorReading};
use crate::chain::Answer;
use crate::channel::Probe;
use crate::epochs::{Action, EpochMachine, Event};
use crate::guard::Failure;
use crate::settings::RuntimeSettings;
use crate::store::{Checkpoint, EpochStore, Verdict};
use crate::subtask::{Command, Report, Word, run};
use crate::watchdog::Watchdog;

/// How long a failed job waits for its subtasks to be dropped.
const ABORT_GRACE: Duration = Duration::from_secs(3);
/// How long the cause may come behind the news that a peer is gone.
const CAUSE_GRACE: Duration = Duration::from_secs(1);
/// How often the store is asked to settle one epoch, and the pause in between.
const SETTLE_ATTEMPTS_MAX: u32 = 10;
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// What the holder of a job asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    Stop,
    Abort,
}

pub(super) struct Control {
    world: World,
    settings: RuntimeSettings,
    store: Arc<dyn EpochStore>,
    machine: EpochMachine,
    members: Vec<Member>,
    readings: Vec<OperatorReading>,
    committers: Committers,
    reports: mpsc::UnboundedReceiver<Report>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// What the epoch in progress has collected.
    checkpoint: Checkpoint,
    /// The answer of the store or of the committers that is being waited for.
    awaited: Option<BoxFuture<'static, Result<Event>>>,
    watchdog: Watchdog,
    epochs_complete: Arc<AtomicU64>,
    why: Close,
}

struct Member {
    task: Task,
    commands: mpsc::UnboundedSender<Command>,
    name: (OperatorId, SubtaskIndex),
    closed: bool,
}

/// What happens next in the life of a job.
enum Wake {
    Report(Option<Report>),
    Request(Option<Request>),
    Event(Result<Event>),
    Tick,
    Watch,
}

impl Control {
    /// Starts all subtasks.
    pub(super) fn new(
        job: Job,
        world: World,
        wired: Wired,
        requests: mpsc::UnboundedReceiver<Request>,
        epochs_complete: Arc<AtomicU64>,
    ) -> Self {
        let Wired { subtasks, readings, probes, committers, reports } = wired;
        let sources = subtasks.iter().map(|s| s.is_source());
        let machine = EpochMachine::new(sources.collect::<Vec<_>>(), Epoch::FIRST);
        let watchdog = watchdog(&job, &subtasks, probes);
        let start = |ready: ReadySubtask| {
            let task = world.executors.spawn_data(ready.executor, Box::pin(run(ready.subtask, ready.feed)));
            Member { task, commands: ready.commands, name: ready.name, closed: false }
        };
        let members = subtasks.into_iter().map(start).collect();
        Self {
            settings: job.settings,
            store: job.store,
            machine,
            members,
            readings,
            committers,
            reports,
            requests,
            checkpoint: Checkpoint::default(),
            awaited: None,
            watchdog,
            epochs_complete,
            why: Close::End,
            world,
        }
    }

    /// Watches over the job until all subtasks are gone.
    pub(super) async fn run(mut self) -> Result<JobOutcome> {
        let result = self.supervise().await;
        if let Err(error) = &result {
            debug!(%error, "job fails");
            self.members.iter().for_each(|m| m.task.abort());
        }
        let gone = join_all(self.members.iter_mut().map(|m| &mut m.task));
        tokio::select! {
            _ = gone => {}
            () = self.world.clock.sleep(ABORT_GRACE) => warn!("a subtask does not end: it is busy outside of any await"),
        }
        result.map(|()| JobOutcome::of(&self.readings, self.why == Close::Stop))
    }

    async fn supervise(&mut self) -> Result<()> {
        let clock = Arc::clone(&self.world.clock);
        let mut tick = clock.sleep(self.settings.checkpoint_interval);
        let mut watch = clock.sleep(self.settings.watchdog_interval);
        while self.members.iter().any(|m| !m.closed) {
            let wake = tokio::select! {
                biased;
                report = self.reports.recv() => Wake::Report(report),
                request = self.requests.recv() => Wake::Request(request),
                event = awaited(&mut self.awaited) => Wake::Event(event),
                () = &mut tick => Wake::Tick,
                () = &mut watch => Wake::Watch,
            };
            match wake {
                Wake::Report(Some(report)) => self.hear(report).await?,
                Wake::Report(None) => return Err(Error::internal("all subtasks went without a word")),
                Wake::Request(Some(Request::Stop)) => self.step(Event::StopAsked)?,
                Wake::Request(Some(Request::Abort) | None) => {
                    return Err(Error::new(Code::Aborted, "the job was aborted"));
                }
                Wake::Event(event) => {
                    self.awaited = None;
                    self.step(event?)?;
                }
                Wake::Tick => {
                    tick = clock.sleep(self.settings.checkpoint_interval);
                    self.step(Event::Tick)?;
                }
                Wake::Watch => {
                    watch = clock.sleep(self.settings.watchdog_interval);
                    if let Some(words) = self.watchdog.look() {
                        warn!("{words}");
                    }
                }
            }
        }
        Ok(())
    }

    async fn hear(&mut self, report: Report) -> Result<()> {
        let subtask = report.subtask;
        match report.word {
            Word::Answer(epoch, answer) => {
                self.collect(subtask, answer);
                self.step(Event::Answered { subtask, epoch })
            }
            Word::Finished(why) => self.step(Event::Finished { subtask, why }),
            Word::Closed(Ok(())) => {
                self.members[subtask].closed = true;
                Ok(())
            }
            Word::Closed(Err(Failure::Own(error))) => Err(error),
            Word::Closed(Err(Failure::PeerGone)) => Err(self.cause(subtask).await),
        }
    }

    /// A subtask lost a peer. The peer knows why, and said or will say so.
    async fn cause(&mut self, subtask: usize) -> Error {
        let mut patience = self.world.clock.sleep(CAUSE_GRACE);
        loop {
            tokio::select! {
                biased;
                report = self.reports.recv() => match report {
                    Some(Report { word: Word::Closed(Err(Failure::Own(error))), .. }) => return error,
                    Some(_) => {}
                    None => break,
                },
                () = &mut patience => break,
            }
        }
        let (operator, subtask) = &self.members[subtask].name;
        Error::internal(format!(
            "the chain of '{operator}', subtask {subtask}, lost a peer that gave no reason"
        ))
    }

    /// Puts a subtask's answer to those of the epoch in progress.
    fn collect(&mut self, subtask: usize, answer: Answer) {
        let (head, index) = &self.members[subtask].name;
        let checkpoint = &mut self.checkpoint;
        checkpoint.snapshots.extend(answer.snapshots.into_iter().map(|(id, s)| (id, *index, s)));
        checkpoint.positions.extend(answer.positions.into_iter().map(|p| (head.clone(), p)));
        for (node, committable) in answer.committables {
            checkpoint.committables.entry(node).or_default().push(committable);
        }
    }

    fn step(&mut self, event: Event) -> Result<()> {
        self.machine.step(event).into_iter().try_for_each(|action| self.act(action))
    }

    fn act(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Send { to, barrier } => {
                debug!(epoch = barrier.epoch.0, stop = barrier.stop, "barrier");
                to.into_iter().for_each(|subtask| self.tell(subtask, Command::Barrier(barrier.clone())));
            }
            Action::Settle(epoch) => self.awaited = Some(Box::pin(self.settle(epoch))),
            Action::Commit(epoch) => self.awaited = Some(Box::pin(self.commit(epoch))),
            Action::Announce { epoch, complete } => {
                info!(epoch = epoch.0, complete, "epoch settled");
                self.epochs_complete.fetch_add(u64::from(complete), Relaxed);
                (0..self.members.len()).for_each(|s| self.tell(s, Command::Settled { epoch, complete }));
            }
            Action::Close(why) => {
                self.why = why;
                (0..self.members.len()).for_each(|s| self.tell(s, Command::Close(why)));
            }
            Action::GiveUp => return Err(Error::new(Code::Io, "the last epoch was aborted too often")),
        }
        Ok(())
    }

    /// A subtask that is gone has reported why; the report is on its way.
    fn tell(&self, subtask: usize, command: Command) {
        let _ = self.members[subtask].commands.send(command);
    }

    /// Proposes the collected checkpoint until the store knows what lies there.
    /// Committables stay collected until an epoch that holds them is complete.
    fn settle(&mut self, epoch: Epoch) -> impl Future<Output = Result<Event>> + use<> {
        let collected = std::mem::take(&mut self.checkpoint);
        self.checkpoint.committables.clone_from(&collected.committables);
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.world.clock));
        async move {
            for _ in 1..SETTLE_ATTEMPTS_MAX {
                match store.settle(epoch, &collected).await {
                    Ok(verdict) => return Ok(settled(epoch, verdict)),
                    Err(error) => warn!(epoch = epoch.0, %error, "epoch not settled yet"),
                }
                clock.sleep(SETTLE_PAUSE).await;
            }
            Ok(settled(epoch, store.settle(epoch, &collected).await?))
        }
    }

    /// Publishes everything that is collected: the epoch that holds it is complete.
    fn commit(&mut self, epoch: Epoch) -> impl Future<Output = Result<Event>> + use<> {
        let committables = std::mem::take(&mut self.checkpoint.committables);
        let committer =
            |(node, c): (NodeId, Vec<Committable>)| Some((self.committers.get(&node)?.clone(), c));
        let work: Vec<_> = committables.into_iter().filter_map(committer).collect();
        async move {
            for ((site, committer), committables) in work {
                site.wait(async { committer.commit(epoch, &committables).await }).await?;
            }
            Ok(Event::Committed { epoch })
        }
    }
}

fn settled(epoch: Epoch, verdict: Verdict) -> Event {
    Event::Settled { epoch, complete: verdict == Verdict::Complete }
}

async fn awaited(future: &mut Option<BoxFuture<'static, Result<Event>>>) -> Result<Event> {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

fn watchdog(job: &Job, subtasks: &[ReadySubtask], probes: Vec<Probe>) -> Watchdog {
    let place_of = |subtask: &ReadySubtask| {
        let (head, index) = &subtask.name;
        let place = format!("'{head}' {index}");
        subtask.nodes.iter().map(|&node| ((node, *index), place.clone())).collect::<Vec<_>>()
    };
    Watchdog::new(Arc::clone(&job.graph), subtasks.iter().flat_map(place_of).collect(), probes)
}
