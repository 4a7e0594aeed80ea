//! What a file's rows are worth after a crash: it is cut to the length of the epoch that counts.
//!
//! Rows are in the file as soon as they are written, so there is nothing to do
//! when an epoch is complete. A job that goes on from an epoch writes what came
//! behind it once more, and so that part is cut off first.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::sink::Committer;
use thalweg_dataflow::{Code, Committable, Error, Result};
use thalweg_state::{Epoch, Incarnation, JobId};
use tokio::task::spawn_blocking;

use super::file_error;
use crate::plain_spec;

/// How long the file was when an epoch was prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Length {
    epoch: u64,
    path: String,
    length: u64,
}

impl Length {
    /// Waits until the file is on the disk, and notes how long it is. Blocks.
    pub(super) fn of(file: &File, path: &str, epoch: Epoch) -> io::Result<Self> {
        file.sync_all()?;
        if let Some(folder) = Path::new(path).parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            match File::open(folder).and_then(|folder| folder.sync_all()) {
                // A folder that may be written to and not read: then only the file itself can be waited for.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
        }
        Ok(Self { epoch: epoch.0, path: path.to_owned(), length: file.metadata()?.len() })
    }

    pub(super) fn committable(&self) -> Result<Committable> {
        plain_spec::encode(self).map(Committable)
    }
}

/// Cuts a file when a job goes on.
#[derive(Debug)]
pub(super) struct FileCommitter {
    pub(super) path: String,
}

impl FileCommitter {
    async fn cut(&self, committables: &[Committable]) -> Result<()> {
        let lengths = committables.iter().map(|c| plain_spec::decode::<Length>(&c.0));
        let lengths = lengths.collect::<Result<Vec<_>>>()?;
        let path = self.path.clone();
        // Those of another file are of a time when the table had another path.
        let own = lengths.into_iter().filter(|length| length.path == path);
        let last = own.max_by_key(|length| length.epoch);
        let cut = spawn_blocking(move || match last {
            Some(last) => restore(&last),
            None => empty(&path),
        });
        cut.await.map_err(|e| Error::internal("cutting a file panicked").because(e))?
    }
}

/// Cuts the file to what the epoch says.
fn restore(last: &Length) -> Result<()> {
    let path = last.path.as_str();
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && last.length == 0 => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(removed(last, "there is no such file any more"));
        }
        Err(error) => return Err(file_error("cut", path, &error)),
    };
    let length = file.metadata().map_err(|e| file_error("cut", path, &e))?.len();
    if length < last.length {
        return Err(removed(last, &format!("it has {length} bytes")));
    }
    let cut = file.set_len(last.length).and_then(|()| file.sync_all());
    cut.map_err(|e| file_error("cut", path, &e))
}

/// Empties the file if there is one: no epoch that counts has rows.
fn empty(path: &str) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        // A pipe or a device has no length. What else is wrong is said when the sink opens it.
        Ok(_) | Err(_) => return Ok(()),
    }
    let file = OpenOptions::new().write(true).open(path);
    let cut = file.and_then(|file| file.set_len(0).and_then(|()| file.sync_all()));
    cut.map_err(|e| file_error("empty", path, &e))
}

fn removed(last: &Length, why: &str) -> Error {
    let what = format!("rows of '{}' that the job had written are gone", last.path);
    Error::new(Code::OutputChanged, what)
        .because(format!("at epoch {} it had {} bytes, and {why}", last.epoch, last.length))
        .with_help("bring the file back, or begin the job anew without its state")
}

impl Committer for FileCommitter {
    fn commit<'a>(&'a self, _: Epoch, _: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        ready(Ok(())).boxed()
    }

    fn restore<'a>(&'a self, _: Option<Epoch>, committables: &'a [Committable]) -> BoxFuture<'a, Result<()>> {
        self.cut(committables).boxed()
    }

    fn fence<'a>(&'a self, _: &'a JobId, _: Incarnation) -> BoxFuture<'a, Result<()>> {
        ready(Ok(())).boxed()
    }
}
