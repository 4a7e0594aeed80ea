//! A file on its way: hidden until the epoch that wrote it is complete.
//!
//! ```text
//!            begin ──► append … ──► finish ──► Prepared ──► publish
//! on a disk  a hidden file          fsync                   link, fsync of the folder, unlink
//! a bucket   an upload, and a note  its last part           complete the upload, delete the note
//! ```
//!
//! Hidden files and notes lie in one folder for each job and table, so that a
//! later life of the job finds what nobody will publish any more. A hidden file
//! or note goes when its file is published, and only then: where there is none,
//! the file was published before.

use std::sync::Arc;

use object_store::aws::AmazonS3;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::JobId;

use super::location::{Location, Place};
use super::partitions::escape;
use super::{bucket, bucket_output, local_output};

/// A finished file that nobody sees yet: all that publishing it takes, in any process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// The hidden file, or the note of the upload.
    pub(super) hidden: String,
    /// What it will be called.
    pub(super) file: String,
    pub(super) bytes: u64,
    /// In a bucket: the upload.
    pub(super) upload: Option<Upload>,
}

/// An upload whose parts are all there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) parts: Vec<String>,
}

/// Who publishes, and whether this may have been done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A running job, for the first time: what was prepared must be there.
    Commit,
    /// A job that goes on: it may have been published, and even taken away by whoever reads it.
    Restore,
}

/// A location that can be written to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Local,
    Bucket { store: Arc<AmazonS3>, part_bytes: usize },
}

/// A file that is being written.
pub(super) enum Output {
    Local(local_output::LocalOutput),
    Bucket(bucket_output::BucketOutput),
}

/// The folder of the hidden files of a job's table.
pub(super) fn hidden_folder(location: &Location, job: &JobId, table: &str) -> String {
    below(location, &format!(".thalweg/{}", owner(job, table)))
}

/// A job and table as one part of a name.
pub(super) fn owner(job: &JobId, table: &str) -> String {
    let part = |text: &str| {
        let mut escaped = String::new();
        escape(text, &mut escaped);
        escaped.replace('.', "~2E")
    };
    format!("{}.{}", part(job.as_str()), part(table))
}

/// A name within the location.
pub(super) fn below(location: &Location, name: &str) -> String {
    match location.path.as_str() {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        path => format!("{path}/{name}"),
    }
}

impl Target {
    pub(super) fn open(location: &Location, part_bytes: usize) -> Result<Self> {
        Ok(match &location.place {
            Place::Local => Target::Local,
            Place::Bucket { bucket, access } => {
                Target::Bucket { store: Arc::new(bucket::open(bucket, access)?), part_bytes }
            }
        })
    }

    /// Makes the location ready to be written to.
    pub(super) async fn make_ready(&self, location: &Location, hidden: &str) -> Result<()> {
        match self {
            Target::Local => local_output::make_ready(&location.path, hidden).await,
            Target::Bucket { .. } => Ok(()),
        }
    }

    /// Begins a file that will be called `file`.
    pub(super) async fn begin(&self, hidden: String, file: String) -> Result<Output> {
        Ok(match self {
            Target::Local => Output::Local(local_output::LocalOutput::begin(hidden, file).await?),
            Target::Bucket { store, part_bytes } => {
                let begun = bucket_output::BucketOutput::begin(store, hidden, file, *part_bytes).await?;
                Output::Bucket(begun)
            }
        })
    }

    /// Makes a file visible, any number of times.
    pub(super) async fn publish(&self, prepared: &Prepared, occasion: Occasion) -> Result<()> {
        match self {
            Target::Local => local_output::publish(prepared.clone(), occasion).await,
            Target::Bucket { store, .. } => bucket_output::publish(store, prepared, occasion).await,
        }
    }

    /// Removes the hidden files of a folder, but for those named.
    pub(super) async fn discard_but(&self, folder: &str, keep: Vec<String>) -> Result<()> {
        match self {
            Target::Local => local_output::discard_but(folder.to_owned(), keep).await,
            Target::Bucket { store, .. } => bucket_output::discard_but(store, folder, &keep).await,
        }
    }
}

impl Output {
    /// Appends bytes. Waiting here is back-pressure.
    pub(super) async fn append(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        match self {
            Output::Local(output) => output.append(bytes).await,
            Output::Bucket(output) => output.append(bytes).await,
        }
    }

    /// Whether it must end here, whatever its size.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Output::Local(_) => false,
            Output::Bucket(output) => output.is_full(),
        }
    }

    /// Ends the file, and waits until it is safe.
    pub(super) async fn finish(self) -> Result<Prepared> {
        match self {
            Output::Local(output) => output.finish().await,
            Output::Bucket(output) => output.finish().await,
        }
    }
}

/// What was prepared is not there, or not as it was.
pub(super) fn lost(prepared: &Prepared, why: impl std::fmt::Display) -> Error {
    Error::new(Code::OutputChanged, format!("'{}' cannot be made visible", prepared.file))
        .because(why)
        .with_help("leave '.thalweg' in the folder alone, and let no two jobs of one name write to it")
}
