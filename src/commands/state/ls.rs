//! `thalweg state ls`: jobs, or one job's checkpoints.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use thalweg_cluster::store_error;
use thalweg_dataflow::Result;
use thalweg_state::store::StoreError;
use thalweg_state::{Epoch, History, Settlement};

use super::checkpoint::Checkpoint;
use super::place::JobArgs;
use super::{print_json, table};
use crate::commands::amounts::size;
use crate::standard_streams::print_line;

#[derive(Debug, Args)]
pub(in crate::commands) struct LsArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &LsArgs) -> Result<()> {
    if args.job.names_a_job() {
        let listing = Listing::of(&args.job.history().await?).await?;
        return if args.json { print_json(&listing) } else { listing.print() };
    }
    let store = args.job.store()?;
    let mut jobs = Vec::new();
    for id in History::jobs(&*store).await.map_err(store_error)? {
        jobs.push(Job::of(&History::new(Arc::clone(&store), id)).await?);
    }
    match args.json {
        true => print_json(&jobs),
        false => print_jobs(&jobs, &store.describe()),
    }
}

/// One job of a listing.
#[derive(Debug, Serialize)]
struct Job {
    name: String,
    /// How many lives it had.
    lives: u64,
    newest: Option<Checkpoint>,
    savepoints: Vec<String>,
    /// Why its newest checkpoint cannot be read.
    problem: Option<String>,
}

impl Job {
    async fn of(history: &History) -> Result<Self> {
        let lives = history.incarnations().await.map_err(store_error)?.last().map_or(0, |newest| newest.0);
        let (newest, problem) = match history.newest_complete().await {
            Ok(newest) => (newest.as_ref().map(Checkpoint::of), None),
            Err(error) => (None, Some(problem(error)?)),
        };
        let savepoints = history.savepoints().await.map_err(store_error)?;
        Ok(Self { name: history.job().to_string(), lives, newest, savepoints, problem })
    }
}

/// What is wrong with one object spoils a listing of others as little as can be.
fn problem(error: StoreError) -> Result<String> {
    match error {
        StoreError::Damaged { .. } | StoreError::Foreign { .. } => Ok(error.to_string()),
        other => Err(store_error(other)),
    }
}

fn print_jobs(jobs: &[Job], store: &str) -> Result<()> {
    if jobs.is_empty() {
        return print_line(format_args!("no jobs in {store}"));
    }
    let header = ["job", "epoch", "age", "size", "subtasks", "lives", "savepoints", ""];
    let mut table = table(header, &[1, 2, 3, 4, 5]);
    for job in jobs {
        let cells = match &job.newest {
            Some(newest) => cells(newest),
            None => ["–", "–", "–", "–"].map(str::to_owned),
        };
        let [epoch, age, bytes, subtasks] = cells;
        let end = job.newest.as_ref().is_some_and(|newest| newest.finished).then(|| "finished".to_owned());
        let note = job.problem.clone().or(end).unwrap_or_default();
        let savepoints = job.savepoints.join(", ");
        table.add_row([
            job.name.clone(),
            epoch,
            age,
            bytes,
            subtasks,
            job.lives.to_string(),
            savepoints,
            note,
        ]);
    }
    print_line(table)
}

/// Epoch, age, size and subtasks.
fn cells(of: &Checkpoint) -> [String; 4] {
    [of.epoch.to_string(), of.age(), size(of.bytes), of.parallelism.to_string()]
}

/// What is kept of one job.
#[derive(Debug, Serialize)]
struct Listing {
    job: String,
    epochs: Vec<EpochLine>,
    savepoints: Vec<SavepointLine>,
}

#[derive(Debug, Serialize)]
struct EpochLine {
    epoch: u64,
    /// `complete`, `aborted` or `unreadable`.
    settled: &'static str,
    checkpoint: Option<Checkpoint>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct SavepointLine {
    label: String,
    checkpoint: Option<Checkpoint>,
    problem: Option<String>,
}

impl Listing {
    async fn of(history: &History) -> Result<Self> {
        let mut epochs = Vec::new();
        for epoch in history.epochs().await.map_err(store_error)? {
            epochs.extend(EpochLine::of(history, epoch).await?);
        }
        let mut savepoints = Vec::new();
        for label in history.savepoints().await.map_err(store_error)? {
            let (checkpoint, problem) = match history.savepoint_at(&label).await {
                Ok(Some(manifest)) => (Some(Checkpoint::of(&manifest)), None),
                // Given up while we looked.
                Ok(None) => continue,
                Err(error) => (None, Some(problem(error)?)),
            };
            savepoints.push(SavepointLine { label, checkpoint, problem });
        }
        Ok(Self { job: history.job().to_string(), epochs, savepoints })
    }

    fn print(&self) -> Result<()> {
        let header = ["checkpoint", "epoch", "age", "size", "subtasks", "life", ""];
        let mut table = table(header, &[1, 2, 3, 4, 5]);
        let epochs = self.epochs.iter().map(|line| {
            let note = line.problem.clone().unwrap_or_default();
            (line.settled.to_owned(), line.epoch.to_string(), &line.checkpoint, note)
        });
        let savepoints = self.savepoints.iter().map(|line| {
            let note = line.problem.clone().unwrap_or_default();
            (format!("savepoint '{}'", line.label), "–".to_owned(), &line.checkpoint, note)
        });
        for (what, epoch, checkpoint, note) in epochs.chain(savepoints) {
            let none = || "–".to_owned();
            let (cells, life) = match checkpoint {
                Some(checkpoint) => (cells(checkpoint), checkpoint.incarnation.to_string()),
                None => ([epoch, none(), none(), none()], none()),
            };
            let [epoch, age, bytes, subtasks] = cells;
            let end = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.finished);
            let note = if end { "all input read".to_owned() } else { note };
            table.add_row([what, epoch, age, bytes, subtasks, life, note]);
        }
        print_line(table)
    }
}

impl EpochLine {
    /// None: the job has cleared it away while we looked.
    async fn of(history: &History, epoch: Epoch) -> Result<Option<Self>> {
        let line = |settled, checkpoint, problem| Some(Self { epoch: epoch.0, settled, checkpoint, problem });
        Ok(match history.settled(epoch).await {
            Ok(None) => None,
            Ok(Some(Settlement::Complete(manifest))) => {
                line("complete", Some(Checkpoint::of(&manifest)), None)
            }
            Ok(Some(Settlement::Aborted { .. })) => line("aborted", None, None),
            Err(error) => line("unreadable", None, Some(problem(error)?)),
        })
    }
}
