//! Who makes files visible, and clears away what no life of the job will publish.

use std::sync::{Arc, OnceLock};

use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::sink::Committer;
use thalweg_dataflow::{Committable, Result};
use thalweg_state::{Epoch, Incarnation, JobId};

use super::location::Location;
use super::output::{Occasion, Prepared, Target, hidden_folder};
use crate::plain_spec;

/// How many files are published at once.
const AT_ONCE: usize = 8;

/// What one subtask prepared in one epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PreparedFiles {
    /// Where its hidden files lie.
    pub(super) folder: String,
    pub(super) files: Vec<Prepared>,
}

impl PreparedFiles {
    pub(super) fn committable(&self) -> Result<Committable> {
        plain_spec::encode(self).map(Committable)
    }
}

/// Publishes the files of a table.
#[derive(Debug)]
pub(super) struct FilesCommitter {
    location: Location,
    table: String,
    /// Known since the fence.
    job: OnceLock<JobId>,
    target: OnceLock<Arc<Target>>,
}

impl FilesCommitter {
    pub(super) fn new(location: Location, table: String) -> Self {
        Self { location, table, job: OnceLock::new(), target: OnceLock::new() }
    }

    fn target(&self) -> Result<Arc<Target>> {
        if let Some(target) = self.target.get() {
            return Ok(Arc::clone(target));
        }
        // It begins no upload, so no part has a size.
        let opened = Arc::new(Target::open(&self.location, 0)?);
        Ok(Arc::clone(self.target.get_or_init(|| opened)))
    }

    async fn publish(&self, files: &[PreparedFiles], occasion: Occasion) -> Result<()> {
        let target = self.target()?;
        let all = files.iter().flat_map(|prepared| &prepared.files);
        let published = all.map(|file| target.publish(file, occasion).boxed());
        let published: Vec<_> = published.collect();
        stream::iter(published).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Publishes what counts, and discards whatever else a former life of the job left.
    async fn go_on(&self, committables: &[Committable]) -> Result<()> {
        let files = decode(committables)?;
        self.publish(&files, Occasion::Restore).await?;
        let of_job = self.job.get().map(|job| hidden_folder(&self.location, job, &self.table));
        let folder = of_job.or_else(|| files.first().map(|prepared| prepared.folder.clone()));
        let Some(folder) = folder else { return Ok(()) };
        // All that counts is published by now, but for a note that could not be deleted, which does no harm.
        let keep = files.iter().flat_map(|prepared| &prepared.files).map(|file| file.hidden.clone());
        self.target()?.discard_but(&folder, keep.collect()).await
    }
}

fn decode(committables: &[Committable]) -> Result<Vec<PreparedFiles>> {
    committables.iter().map(|committable| plain_spec::decode(&committable.0)).collect()
}

impl Committer for FilesCommitter {
    fn commit<'a>(&'a self, _: Epoch, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        async { self.publish(&decode(committables)?, Occasion::Commit).await }.boxed()
    }

    fn restore<'a>(&'a self, _: Option<Epoch>, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        self.go_on(committables).boxed()
    }

    /// Nothing that a former life prepared becomes visible unless its epoch is complete, so there is nobody to
    /// shut out. What it leaves is found by the name of the job.
    fn fence<'a>(&'a self, job: &'a JobId, _: Incarnation) -> BoxFuture<'a, Result<()>> {
        self.job.get_or_init(|| job.clone());
        ready(Ok(())).boxed()
    }
}
