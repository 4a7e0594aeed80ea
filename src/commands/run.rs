//! `thalweg run`: one job, self-contained, until its input ends or it is stopped.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use thalweg_dataflow::{Code, Error, Functions, Graph, Result};
use thalweg_cluster::{How, JobHandle, JobOutcome};
use thalweg_world::World;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::screen::{FRAME, Screen};
use super::{Failed, RunArgs, script};
use crate::engine::{self, StdoutRows, StdoutTarget};
use crate::settings::Settings;

/// Batches of results that wait to be drawn. A full screen is back-pressure like any sink.
const RESULTS_WAITING_MAX: usize = 16;

/// The exit code of a job that a second signal aborted.
const ABORTED: u8 = 131;

/// How long a stop may take before it is said what it waits for.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

type Results = mpsc::Receiver<StdoutRows>;

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Failed> {
    let settings = args.script.settings()?;
    let script = script::load(&args.script.text)?;
    let screen = Screen::new();
    let (target, results) = if screen.shows_results() {
        let (sender, results) = mpsc::channel(RESULTS_WAITING_MAX);
        (StdoutTarget::Rows(sender), Some(results))
    } else {
        (StdoutTarget::process(), None)
    };
    let connectors = engine::connectors(&settings, &target);
    let plan = match engine::plan(&script.text, connectors, &settings) {
        Ok(plan) => plan,
        Err(errors) => return Err(Failed::in_script(errors, script)),
    };
    plan.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let job = Work { graph: plan.graph, functions: Functions::default() };
    block_on(job, args.parallelism.get(), &settings, screen, results)
}

/// Runs a program's graph until its input ends or it is stopped. Its rows go where its sinks say.
pub(crate) fn run_graph(
    graph: Graph,
    functions: Functions,
    parallelism: u32,
    settings: &Settings,
) -> Result<ExitCode, Failed> {
    block_on(Work { graph, functions }, parallelism, settings, Screen::without_results(), None)
}

/// What a job is to do.
struct Work {
    graph: Graph,
    functions: Functions,
}

fn block_on(
    work: Work,
    parallelism: u32,
    settings: &Settings,
    screen: Screen,
    results: Option<Results>,
) -> Result<ExitCode, Failed> {
    // Control runs here; data has threads of its own.
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Error::new(Code::Io, "no runtime can be started").because(why))?;
    let ended = control.block_on(run_job(work, parallelism, settings, screen, results));
    // A sink that is stuck in the system must not hold the process.
    control.shutdown_background();
    ended.map_err(Failed::from)
}

async fn run_job(
    work: Work,
    parallelism: u32,
    settings: &Settings,
    mut screen: Screen,
    mut results: Option<Results>,
) -> Result<ExitCode> {
    let io_error = |why: io::Error| Error::new(Code::Io, "the process cannot be set up").because(why);
    let mut interrupt = Stopper::new().map_err(io_error)?;
    let world = World::real(None).map_err(io_error)?;
    let job = engine::start_graph(work.graph, work.functions, parallelism, settings, None, &world).await?;
    let mut frames = tokio::time::interval(FRAME);
    let mut stopped_by: Option<Stopped> = None;
    let outcome = loop {
        tokio::select! {
            outcome = job.wait() => break outcome,
            code = interrupt.next() => {
                if stopped_by.is_some() {
                    return Ok(ExitCode::from(ABORTED));
                }
                stopped_by = Some(Stopped { code, at: Instant::now(), told: false });
                job.stop();
            }
            Some(rows) = next_result(&mut results) => screen.add(&rows.table, &rows.records),
            _ = frames.tick() => {
                screen.frame(job.progress()).map_err(io_error)?;
                stopped_by.iter_mut().for_each(Stopped::say_what_is_awaited);
            }
        }
    };
    while let Some(rows) = results.as_mut().and_then(|r| r.try_recv().ok()) {
        screen.add(&rows.table, &rows.records);
    }
    screen.finish().map_err(io_error)?;
    match outcome {
        Ok(outcome) => {
            report(&outcome);
            Ok(ExitCode::from(stopped_by.map_or(0, |stopped| stopped.code)))
        }
        // Whoever read our output has gone, `head` say: nothing is wrong.
        Err(error) if error.code() == Code::OutputClosed => Ok(ExitCode::SUCCESS),
        Err(error) => Err(with_progress(error, &job)),
    }
}

async fn next_result(results: &mut Option<Results>) -> Option<StdoutRows> {
    match results {
        Some(results) => results.recv().await,
        None => None,
    }
}

/// Says on standard error what the rows alone do not show.
fn report(outcome: &JobOutcome) {
    if let How::Stopped { open_windows } = outcome.how {
        match open_windows {
            0 => eprintln!("stopped"),
            1 => eprintln!("stopped; 1 open window did not fire"),
            n => eprintln!("stopped; {n} open windows did not fire"),
        }
    }
    let counts = [
        (outcome.late, "late, behind the watermark of their split, and left out"),
        (outcome.dropped, "not readable as records, and left out"),
        (outcome.refused, "not computable, and left out"),
        (outcome.ahead, "too far ahead of the wall clock to move the watermark"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        eprintln!("{count} {} {what}", if count == 1 { "row was" } else { "rows were" });
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
    /// A sink that takes no rows holds a stop up for as long as it likes: says so, once.
    fn say_what_is_awaited(&mut self) {
        if !self.told && self.at.elapsed() > STOP_PATIENCE {
            self.told = true;
            eprintln!(
                "stopping: rows on their way wait for a sink that does not take them; a second signal aborts"
            );
        }
    }
}

/// Ctrl-C and the polite kill.
struct Stopper {
    interrupt: Signal,
    terminate: Signal,
}

impl Stopper {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal and answers the exit code of a process that it stopped.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}
