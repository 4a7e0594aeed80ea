//! A store that counts what is written into it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use thalweg_state::store::{Creation, Hold, Listed, LocalStore, Store, StoreError};

/// A local store, and the bytes of the objects that were created in it.
#[derive(Debug)]
pub(super) struct Counting {
    store: LocalStore,
    increments: AtomicU64,
    compacted: AtomicU64,
    others: AtomicU64,
}

/// Bytes written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// By epochs.
    pub(super) increments: u64,
    /// By compactions.
    pub(super) compacted: u64,
    /// Manifests and whatever else is small.
    pub(super) others: u64,
}

impl Written {
    pub(super) fn all(self) -> u64 {
        self.increments + self.compacted + self.others
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            increments: self.increments - before.increments,
            compacted: self.compacted - before.compacted,
            others: self.others - before.others,
        }
    }
}

impl Counting {
    pub(super) fn new(store: LocalStore) -> Self {
        let [increments, compacted, others] = [const { AtomicU64::new(0) }; 3];
        Self { store, increments, compacted, others }
    }

    pub(super) fn written(&self) -> Written {
        Written {
            increments: self.increments.load(Relaxed),
            compacted: self.compacted.load(Relaxed),
            others: self.others.load(Relaxed),
        }
    }
}

impl Store for Counting {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        let counted = match (name.ends_with(".parquet"), name.contains("-compacted-")) {
            (true, true) => &self.compacted,
            (true, false) => &self.increments,
            (false, _) => &self.others,
        };
        counted.fetch_add(bytes.len() as u64, Relaxed);
        self.store.create(name, bytes)
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.store.read(name)
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        self.store.list(folder)
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.delete(name)
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        self.store.hold(folder)
    }

    fn describe(&self) -> String {
        self.store.describe()
    }
}
