//! Which job of which state folder, and which of its checkpoints.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use thalweg_cluster::store_error;
use thalweg_dataflow::options::nearest;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::store::{Store, StoreError};
use thalweg_state::{Epoch, History, JobId, Manifest, Settlement};

use crate::commands::keep;
use crate::standard_streams::tell;

/// How often the newest checkpoint is looked up anew when the job has cleared it away meanwhile.
pub(super) const LOOKS_MAX: u32 = 5;

#[derive(Debug, Args)]
pub(super) struct JobArgs {
    /// The state folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "DIR|URL")]
    location: String,
    /// The job; needed where there are several
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// The newest checkpoint, unless another is named.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct WhichArgs {
    /// The checkpoint of this epoch, rather than the newest
    #[arg(long, value_name = "E")]
    epoch: Option<u64>,
    /// The savepoint of this label, rather than the newest checkpoint
    #[arg(long, value_name = "LABEL")]
    savepoint: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::commands) struct SavepointArgs {
    #[command(flatten)]
    job: JobArgs,
    /// Its label
    #[arg(value_name = "LABEL")]
    label: String,
}

impl JobArgs {
    /// The history of the one job that is meant.
    pub(super) async fn history(&self) -> Result<History> {
        let store = open(&self.location)?;
        let jobs = History::jobs(&*store).await.map_err(store_error)?;
        let job = match (&self.name, &jobs[..]) {
            (Some(name), jobs) => {
                let known = jobs.iter().find(|job| job.as_str() == name).cloned();
                known.ok_or_else(|| no_job(name, jobs, &*store))?
            }
            (None, [job]) => job.clone(),
            (None, []) => {
                let what = format!("there is no job in {}", store.describe());
                return Err(Error::new(Code::CheckpointNotFound, what));
            }
            (None, several) => {
                let what = format!("{} has several jobs", store.describe());
                let help = format!("say which: --name {}", names(several, " or --name "));
                return Err(Error::new(Code::InvalidSetting, what).with_help(help));
            }
        };
        Ok(History::new(store, job))
    }

    /// The store, and the name of a job if one is given.
    pub(super) fn store(&self) -> Result<Arc<dyn Store>> {
        open(&self.location)
    }

    pub(super) fn names_a_job(&self) -> bool {
        self.name.is_some()
    }
}

/// A store that is there: reading makes none.
fn open(location: &str) -> Result<Arc<dyn Store>> {
    let store = keep::open(location)?;
    let path = location.strip_prefix("file://").unwrap_or(location);
    if !path.contains("://") && !Path::new(path).is_dir() {
        return Err(Error::new(Code::FileNotFound, format!("there is no folder '{path}'")));
    }
    Ok(store)
}

fn no_job(name: &str, jobs: &[JobId], store: &dyn Store) -> Error {
    let error =
        Error::new(Code::CheckpointNotFound, format!("there is no job '{name}' in {}", store.describe()));
    match (nearest(name, jobs.iter().map(JobId::as_str)), jobs.is_empty()) {
        (_, true) => error,
        (Some(near), false) => error.with_help(format!("did you mean '{near}'?")),
        (None, false) => error.with_help(format!("its jobs are {}", names(jobs, ", "))),
    }
}

fn names(jobs: &[JobId], between: &str) -> String {
    jobs.iter().map(JobId::as_str).collect::<Vec<_>>().join(between)
}

impl WhichArgs {
    /// Whether the newest checkpoint is meant, whichever that is.
    pub(super) fn is_newest(&self) -> bool {
        self.epoch.is_none() && self.savepoint.is_none()
    }

    /// The checkpoint that is meant.
    pub(super) async fn manifest(&self, history: &History) -> Result<Manifest> {
        let job = history.job();
        let not_found = |what: String| {
            Error::new(Code::CheckpointNotFound, what)
                .with_help(format!("'thalweg state ls … --name {job}' names all that there are"))
        };
        match (self.epoch, &self.savepoint) {
            (Some(epoch), _) => match history.settled(Epoch(epoch)).await.map_err(store_error)? {
                Some(Settlement::Complete(manifest)) => Ok(manifest),
                Some(Settlement::Aborted { .. }) => {
                    Err(not_found(format!("epoch {epoch} of '{job}' was aborted")))
                }
                None => Err(not_found(format!("'{job}' has no checkpoint of epoch {epoch}"))),
            },
            (None, Some(label)) => {
                let found = history.savepoint_at(label).await.map_err(store_error)?;
                found.ok_or_else(|| not_found(format!("'{job}' has no savepoint named '{label}'")))
            }
            (None, None) => {
                let found = newest(history).await.map_err(store_error)?;
                found.ok_or_else(|| not_found(format!("'{job}' has no checkpoint")))
            }
        }
    }
}

/// The newest checkpoint of a job that may clear old ones away while we look.
async fn newest(history: &History) -> Result<Option<Manifest>, StoreError> {
    for _ in 1..LOOKS_MAX {
        match history.newest_complete().await {
            Err(StoreError::Damaged { .. }) | Ok(None) => {}
            found => return found,
        }
    }
    history.newest_complete().await
}

impl SavepointArgs {
    pub(super) async fn delete(&self) -> Result<()> {
        let history = self.job.history().await?;
        let (job, label) = (history.job(), &self.label);
        if !history.savepoints().await.map_err(store_error)?.contains(label) {
            return Err(Error::new(
                Code::CheckpointNotFound,
                format!("'{job}' has no savepoint named '{label}'"),
            ));
        }
        history.delete_savepoint(label).await.map_err(store_error)?;
        tell(format_args!("savepoint '{label}' of '{job}' is given up"));
        Ok(())
    }
}
