//! Files as a source sees them: which there are, and the bytes of one.
//!
//! A file is known by its full name and a stamp: its size, and when it was
//! written (on a disk) or its entity tag (in a bucket). Bytes are given only of
//! the file that still has its stamp, so that nobody reads one half of one
//! version and the other half of the next.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::compute::kernels::regexp::regexp_is_match_scalar;
use bytes::Bytes;
use object_store::aws::AmazonS3;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Result};
use tokio::task::spawn_blocking;

use super::location::{Location, Place};
use super::{bucket, local};

/// The most files that one table may have at a time. Each takes its name in memory, and a place in every checkpoint.
pub(super) const FILES_MAX: usize = 100_000;

/// What a version of a file is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    /// Another one means that the file was written to.
    pub(super) version: String,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// Its path, or its key within the bucket.
    pub(super) name: String,
    pub(super) stamp: Stamp,
}

/// Which files of a location count, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Selection {
    pub(super) location: Location,
    /// What must occur in the name behind the location's folder.
    pub(super) pattern: Option<String>,
}

/// A location that can be read.
#[derive(Debug)]
pub(super) struct Store {
    selection: Selection,
    place: Opened,
}

#[derive(Debug)]
enum Opened {
    Local,
    Bucket(Arc<AmazonS3>),
}

impl Selection {
    pub(super) fn open(&self) -> Result<Store> {
        let place = match &self.location.place {
            Place::Local => Opened::Local,
            Place::Bucket { bucket, access } => Opened::Bucket(Arc::new(bucket::open(bucket, access)?)),
        };
        Ok(Store { selection: self.clone(), place })
    }

    /// Which of these names match the pattern.
    fn matching(&self, files: Vec<Found>) -> Result<Vec<Found>> {
        let Some(pattern) = &self.pattern else { return Ok(files) };
        let skip = self.location.path.len();
        let names =
            files.iter().map(|file| file.name.get(skip..).unwrap_or_default().trim_start_matches('/'));
        let names = StringArray::from_iter_values(names);
        let matches = regexp_is_match_scalar(&names, pattern, None).map_err(|e| {
            let what =
                format!("option 'source.regex_pattern' is '{pattern}', which is no regular expression");
            Error::new(Code::InvalidOption, what).because(e)
        })?;
        Ok(files.into_iter().zip(matches.iter()).filter(|(_, m)| *m == Some(true)).map(|(f, _)| f).collect())
    }

    /// Checks the pattern.
    pub(super) fn check(&self) -> Result<()> {
        let one = Found { name: "a".into(), stamp: Stamp { bytes: 0, version: String::new() } };
        self.matching(vec![one]).map(drop)
    }
}

impl Store {
    /// All files that count, by name. What begins with `.` or `_` is hidden.
    pub(super) async fn list(&self) -> Result<Vec<Found>> {
        let location = &self.selection.location;
        let mut found = match &self.place {
            Opened::Local => {
                let location = location.clone();
                let listed = spawn_blocking(move || local::list(&location)).await;
                listed.map_err(|e| Error::internal("listing files panicked").because(e))??
            }
            Opened::Bucket(store) => bucket::list(store, location).await?,
        };
        found = self.selection.matching(found)?;
        if found.len() > FILES_MAX {
            let what = format!("'{location}' holds more than {FILES_MAX} files");
            return Err(Error::new(Code::LimitReached, what).with_help(
                "read a folder or a beginning of names that has fewer, or move finished files away",
            ));
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The file as it is now, or none if it has gone.
    pub(super) async fn stat(&self, name: &str) -> Result<Option<Found>> {
        match &self.place {
            Opened::Local => {
                let name = name.to_owned();
                let found = spawn_blocking(move || local::stat(&name)).await;
                found.map_err(|e| Error::internal("looking at a file panicked").because(e))?
            }
            Opened::Bucket(store) => bucket::stat(store, name).await,
        }
    }

    /// These bytes of this version of the file.
    pub(super) async fn read(&self, file: &Found, range: Range<u64>) -> Result<Bytes> {
        if range.start > range.end || range.end > file.stamp.bytes {
            let what = format!("'{}' says that something is in its bytes {range:?}", file.name);
            return Err(Error::new(Code::BadRecord, what)
                .because(format!("it has {} bytes", file.stamp.bytes))
                .with_help("check that the file is whole"));
        }
        match &self.place {
            Opened::Local => {
                let file = file.clone();
                let read = spawn_blocking(move || local::read(&file, range)).await;
                read.map_err(|e| Error::internal("reading a file panicked").because(e))?
            }
            Opened::Bucket(store) => bucket::read(store, file, range).await,
        }
    }

    /// How much is asked for at once.
    pub(super) fn chunk_bytes(&self) -> u64 {
        match &self.place {
            Opened::Local => 1 << 20,
            Opened::Bucket(_) => 4 << 20,
        }
    }
}

/// Whether a part of the name, behind the location's folder, says that the file is not meant to be read.
pub(super) fn is_hidden(folder: &str, name: &str) -> bool {
    let behind = name.strip_prefix(folder).unwrap_or(name);
    behind.split('/').any(|part| part.starts_with(['.', '_']))
}

/// The file is not the one that reading began with.
pub(super) fn changed(name: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Code::InputChanged, format!("'{name}' has changed since reading it began"))
        .because(why)
        .with_help(
            "put files into place whole, by renaming them; bring the old one back, or begin the job anew",
        )
}

#[cfg(test)]
mod tests {
    use super::is_hidden;

    #[test]
    fn hidden_is_what_a_part_of_its_name_says() {
        assert!(is_hidden("a", "a/.b") && is_hidden("a", "a/_b/c") && is_hidden("", "_x"));
        assert!(!is_hidden("/x/.a", "/x/.a/b_c.d"));
    }
}
