//! Where durable things lie: create-only objects under names.
//!
//! A store never overwrites. An object is there whole or not at all, and once
//! `create` has said [`Creation::Created`] or [`Creation::Exists`] it outlives a
//! power cut. An error of `create` means that nobody knows whether the object
//! landed: the caller repeats until it is told, and then reads what lies there.

mod local;
mod memory;
mod probe;
mod remote;

use std::fmt::Debug;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use local::LocalStore;
pub use memory::MemoryStore;
pub use probe::probe;
pub use remote::RemoteStore;

/// No object is larger; one that claims to be is damaged.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// No name of an object is longer.
const NAME_BYTES_MAX: usize = 900;
/// No part of a name is longer: file systems allow 255, and a temporary name is derived from none.
const SEGMENT_BYTES_MAX: usize = 250;

/// Create-only objects under `/`-separated names.
///
/// A name's segments are made of ASCII letters, digits and `-`, `_`, `.`, `=`,
/// are not empty and do not begin with a dot.
pub trait Store: Debug + Send + Sync {
    /// Creates an object, unless one has the name. After an error it is not known whether it landed.
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>>;

    /// The bytes of an object; none if there is no such object.
    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>>;

    /// All objects below `folder`, however deep, sorted by name; all of the store below `""`.
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>>;

    /// Deletes an object; that it is absent is fine.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Keeps other processes from holding `folder`, where the store can, until the answer is dropped.
    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>>;

    /// Which store this is, for messages.
    fn describe(&self) -> String;
}

/// What a create found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The object is new and durable.
    Created,
    /// An object has the name: perhaps that of an earlier attempt of the same writer.
    Exists,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its whole name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// The right to write in a folder, as far as the store can give it.
#[derive(Debug)]
pub enum Hold {
    /// No other process has it, until this is dropped or the process dies.
    Exclusive(File),
    /// The store excludes nobody: incarnations and leases protect.
    Lease,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may work later.
    #[error("the store does not answer: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// There is no room.
    #[error("the store is full: {reason}")]
    Full {
        /// What happened.
        reason: String,
    },
    /// We may not.
    #[error("the store refuses access: {reason}")]
    Denied {
        /// What happened.
        reason: String,
    },
    /// Another process holds the folder.
    #[error("'{folder}' is held by {by}")]
    Held {
        /// The folder.
        folder: String,
        /// Who holds it, as far as is known.
        by: String,
    },
    /// The store cannot be trusted with state.
    #[error("the store is unfit for state: {reason}")]
    Unfit {
        /// What it does wrong.
        reason: String,
    },
    /// An object is not what was written, or is gone.
    #[error("'{object}' is damaged: {reason}")]
    Damaged {
        /// The object's name.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An object is sound, but not ours to read.
    #[error("'{object}' cannot be used: {reason}")]
    Foreign {
        /// The object's name.
        object: String,
        /// Whose it is.
        reason: String,
    },
    /// A later life of the job has gone past this.
    #[error("'{object}' comes too late: {reason}")]
    Superseded {
        /// The object's name.
        object: String,
        /// Who was earlier.
        reason: String,
    },
    /// No object can have this name.
    #[error("'{name}' cannot be the name of an object: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The text names no store.
    #[error("'{location}' is not the place of a store: {reason}")]
    Location {
        /// The text, without its query.
        location: String,
        /// Why not.
        reason: String,
    },
    /// Rows cannot be written down.
    #[error("table '{table}' cannot be stored: {reason}")]
    Unstorable {
        /// The table.
        table: String,
        /// Which column, and why.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later without anybody doing anything.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. })
    }

    pub(crate) fn damaged(object: &str, reason: impl Into<String>) -> Self {
        Self::Damaged { object: object.to_owned(), reason: reason.into() }
    }

    pub(crate) fn foreign(object: &str, reason: impl Into<String>) -> Self {
        Self::Foreign { object: object.to_owned(), reason: reason.into() }
    }
}

/// Opens the store at a folder's path, a `file://` URL or an `s3://BUCKET/PREFIX` URL.
///
/// S3 takes credentials, region and endpoint from the usual `AWS_…` variables;
/// `?endpoint=…&region=…&allow_http=true` wins over them. Nothing is read or
/// written yet.
pub fn open(location: &str) -> Result<Arc<dyn Store>, StoreError> {
    match location.split_once("://") {
        None => Ok(Arc::new(LocalStore::new(location))),
        Some(("file", path)) if path.starts_with('/') => Ok(Arc::new(LocalStore::new(path))),
        Some(("s3", rest)) => Ok(Arc::new(RemoteStore::s3(rest)?)),
        Some((scheme, _)) => Err(StoreError::Location {
            location: without_query(location).to_owned(),
            reason: format!("a folder, 'file:///FOLDER' or 's3://BUCKET/PREFIX' is, '{scheme}' is not known"),
        }),
    }
}

/// A query may hold what nobody else should see.
fn without_query(location: &str) -> &str {
    location.split('?').next().unwrap_or_default()
}

/// Refuses names that mean another place, or nothing, in some store.
fn check_name(name: &str) -> Result<(), StoreError> {
    let refuse = |reason| Err(StoreError::Name { name: name.escape_debug().to_string(), reason });
    if name.len() > NAME_BYTES_MAX {
        return refuse("it is too long");
    }
    for segment in name.split('/') {
        if segment.is_empty() {
            return refuse("a part of it is empty");
        }
        if segment.starts_with('.') {
            return refuse("a part of it begins with a dot");
        }
        if segment.len() > SEGMENT_BYTES_MAX {
            return refuse("a part of it is too long");
        }
        if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=".contains(&b)) {
            return refuse("only letters, digits, '-', '_', '.' and '=' can be in it");
        }
    }
    Ok(())
}

/// A folder is a name, or all of the store.
fn check_folder(folder: &str) -> Result<(), StoreError> {
    if folder.is_empty() { Ok(()) } else { check_name(folder) }
}

#[cfg(test)]
mod tests;
