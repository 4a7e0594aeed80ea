//! `thalweg run`: one job, self-contained, until its input ends or it is stopped.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thalweg_cluster::{How, Job, JobHandle, JobOutcome, Keeping, Progress};
use thalweg_dataflow::{Code, Error, Functions, Graph, Result};
use thalweg_world::World;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::amounts::counted;
use super::keep::Keep;
use super::screen::{FRAME, Screen};
use super::{Exit, Failed, RunArgs, script};
use crate::engine::{self, ForeignFunctions, StdoutRows, StdoutTarget};
use crate::settings::Settings;
use crate::standard_streams::tell;

/// Batches of results that wait to be drawn. A full screen is back-pressure like any sink.
const RESULTS_WAITING_MAX: usize = 16;

/// The exit code of a job that a second signal aborted.
const ABORTED: u8 = 131;

/// How long a stop may take before it is said what it waits for.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

type Results = mpsc::Receiver<StdoutRows>;

pub(super) fn run(args: &RunArgs, functions: &ForeignFunctions) -> Result<Exit, Failed> {
    let settings = args.keep.settings(&args.script.set)?;
    let keep = args.keep.keep(args.script.text.file_stem())?;
    let script = script::load(&args.script.text)?;
    let screen = Screen::new(keep.is_some());
    let (target, results) = if screen.shows_results() {
        let (sender, results) = mpsc::channel(RESULTS_WAITING_MAX);
        (StdoutTarget::Rows(sender), Some(results))
    } else {
        (StdoutTarget::process(), None)
    };
    let connectors = engine::connectors(&settings, &target);
    let plan = match engine::plan_with_functions(&script.text, connectors, functions, &settings) {
        Ok(plan) => plan,
        Err(errors) => return Err(Failed::in_script(errors, script)),
    };
    plan.warnings.iter().for_each(|warning| tell(format_args!("warning: {warning}")));
    let job = engine::job(plan.graph, plan.functions, args.parallelism.get(), &settings, None);
    block_on(kept(Job { script: script.text, ..job }, keep), settings.data_threads, screen, results)
}

/// Runs a program's graph until its input ends or it is stopped. Its rows go where its sinks say.
pub(crate) fn run_graph(
    graph: Graph,
    functions: Functions,
    parallelism: u32,
    settings: &Settings,
    keep: Option<Keep>,
) -> Result<Exit, Failed> {
    let screen = Screen::without_results(keep.is_some());
    let job = engine::job(graph, functions, parallelism, settings, None);
    block_on(kept(job, keep), settings.data_threads, screen, None)
}

/// A job with the place where it is kept, if it is.
fn kept(mut job: Job, keep: Option<Keep>) -> (Job, Option<Keep>) {
    if let Some(keep) = &keep {
        job.id = keep.id.clone();
        job.keeping = Keeping::Durable(keep.durable.clone());
    }
    (job, keep)
}

fn block_on(
    job: (Job, Option<Keep>),
    data_threads: Option<usize>,
    screen: Screen,
    results: Option<Results>,
) -> Result<Exit, Failed> {
    // Control runs here; data has threads of its own.
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Error::new(Code::Io, "no runtime can be started").because(why))?;
    let ended = control.block_on(async {
        let world = World::real(data_threads).map_err(unready)?;
        run_job(job, &world, screen, results).await
    });
    // A sink that is stuck in the system must not hold the process.
    control.shutdown_background();
    ended.map_err(Failed::from)
}

async fn run_job(
    (job, keep): (Job, Option<Keep>),
    world: &World,
    screen: Screen,
    results: Option<Results>,
) -> Result<Exit> {
    let mut signals = Stopper::new().map_err(unready)?;
    let begun = tokio::select! {
        begun = begin(job, keep.as_ref(), world) => begun,
        // Nothing runs yet.
        code = signals.next() => return Ok(Exit(code)),
    };
    let done = match begun {
        Ok(None) => Ok(Exit::SUCCESS),
        Ok(Some(job)) => watch(&job, keep.as_ref(), signals, screen, results).await,
        Err(error) => Err(error),
    };
    match (done, &keep) {
        (Err(error), Some(keep)) => Err(keep.advise(error).await),
        (done, _) => done,
    }
}

fn unready(why: io::Error) -> Error {
    Error::new(Code::Io, "the process cannot be set up").because(why)
}

/// Starts a job where it goes on, and says where that is. None: it is finished.
async fn begin(job: Job, keep: Option<&Keep>, world: &World) -> Result<Option<JobHandle>> {
    let Some(keep) = keep else { return job.prepare(world).await?.start().await.map(Some) };
    keep.check_label().await?;
    let graph = Arc::clone(&job.graph);
    let prepared = told_if_slow(job.prepare(world), keep).await?;
    let finished = prepared.recovery().is_some_and(|recovery| recovery.finished);
    if let Some(recovery) = prepared.recovery() {
        keep.words(recovery, &graph).iter().for_each(tell);
    }
    if finished {
        prepared.conclude().await?;
        return Ok(None);
    }
    prepared.start().await.map(Some)
}

/// A store that is far or does not answer lets people wait: says so, once.
async fn told_if_slow<T>(work: impl Future<Output = T>, keep: &Keep) -> T {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(STOP_PATIENCE) => tell(keep.words_of_patience()),
    }
    work.await
}

/// Shows a running job until it is over.
async fn watch(
    job: &JobHandle,
    keep: Option<&Keep>,
    mut signals: Stopper,
    mut screen: Screen,
    mut results: Option<Results>,
) -> Result<Exit> {
    let mut frames = tokio::time::interval(FRAME);
    let mut stopped_by: Option<Stopped> = None;
    let outcome = loop {
        tokio::select! {
            outcome = job.wait() => break outcome,
            code = signals.next() => {
                if stopped_by.is_some() {
                    keep.iter().for_each(|keep| tell(keep.words_of_abort(&job.progress())));
                    return Ok(Exit(ABORTED));
                }
                stopped_by = Some(Stopped { code, at: Instant::now(), told: false });
                match keep.and_then(|keep| keep.savepoint_on_stop.clone()) {
                    Some(savepoint) => job.stop_with_savepoint(savepoint),
                    None => job.stop(),
                }
            }
            Some(rows) = next_result(&mut results) => screen.add(&rows.table, &rows.records),
            _ = frames.tick() => {
                let progress = job.progress();
                screen.frame(progress).map_err(unready)?;
                if let Some(words) = stopped_by.as_mut().and_then(|stopped| stopped.what_is_awaited(&progress)) {
                    screen.say(words).map_err(unready)?;
                }
            }
        }
    };
    while let Some(rows) = results.as_mut().and_then(|r| r.try_recv().ok()) {
        screen.add(&rows.table, &rows.records);
    }
    screen.finish().map_err(unready)?;
    match outcome {
        Ok(outcome) => {
            report(&outcome, keep, &job.progress());
            // A signal that came when all was done has stopped nothing.
            let stopped = stopped_by.filter(|_| outcome.how != How::Ended);
            Ok(Exit(stopped.map_or(0, |stopped| stopped.code)))
        }
        // Nothing is wrong, or it has never begun.
        Err(error) if matches!(error.code(), Code::OutputClosed | Code::CheckpointDamaged) => Err(error),
        Err(error) => Err(with_progress(error, job)),
    }
}

async fn next_result(results: &mut Option<Results>) -> Option<StdoutRows> {
    match results {
        Some(results) => results.recv().await,
        None => None,
    }
}

/// Says on standard error what the rows alone do not show.
fn report(outcome: &JobOutcome, keep: Option<&Keep>, progress: &Progress) {
    if let How::Stopped { open_windows } = outcome.how {
        let windows = counted(open_windows.unsigned_abs(), "open window");
        let kept = keep.map(|keep| keep.words_of_stop(progress));
        match (open_windows, kept) {
            (0, kept) => tell(format_args!("stopped{}", kept.unwrap_or_default())),
            (_, Some(kept)) => tell(format_args!("stopped{kept}; {windows} kept with it")),
            (_, None) => tell(format_args!("stopped; {windows} did not fire")),
        }
    }
    let counts = [
        (outcome.late, "late, behind the watermark of their split, and left out"),
        (outcome.dropped, "not readable as records, and left out"),
        (outcome.refused, "not computable, and left out"),
        (outcome.ahead, "too far ahead of the wall clock to move the watermark"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        tell(format_args!("{count} {} {what}", if count == 1 { "row was" } else { "rows were" }));
    }
}

fn with_progress(error: Error, job: &JobHandle) -> Error {
    let progress = job.progress();
    error.with_help(format!(
        "{} rows were read and {} written before",
        progress.rows_read, progress.rows_written
    ))
}

/// A job that was asked to stop.
struct Stopped {
    code: u8,
    at: Instant,
    told: bool,
}

impl Stopped {
    /// A sink that takes no rows, or a store that fails, holds a stop up for as long as it likes: what
    /// is to be said of that, once.
    fn what_is_awaited(&mut self, progress: &Progress) -> Option<&'static str> {
        if self.told || self.at.elapsed() < STOP_PATIENCE {
            return None;
        }
        self.told = true;
        Some(match progress.failing {
            0 => {
                "stopping: rows are on their way still, behind a sink that does not take them or a function that takes long; a second signal aborts"
            }
            _ => "stopping: the last checkpoint cannot be written yet; a second signal aborts without it",
        })
    }
}

/// Signals so close to each other are one: `timeout` and some shells send theirs to a process and to
/// its group, and nobody presses a key twice so fast.
const ECHO: Duration = Duration::from_millis(200);

/// Ctrl-C and the polite kill.
struct Stopper {
    interrupt: Signal,
    terminate: Signal,
    last: Option<Instant>,
}

impl Stopper {
    fn new() -> io::Result<Self> {
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, last: None })
    }

    /// Waits for a signal and answers the exit code of a process that it stopped.
    async fn next(&mut self) -> u8 {
        loop {
            let code = tokio::select! {
                _ = self.interrupt.recv() => 130,
                _ = self.terminate.recv() => 143,
            };
            if self.last.replace(Instant::now()).is_none_or(|last| last.elapsed() > ECHO) {
                return code;
            }
        }
    }
}
