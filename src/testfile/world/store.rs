//! A store in memory that can be told to refuse a table.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use thalweg_state::store::{Creation, Hold, Listed, MemoryStore, Store, StoreError};

/// Outlives the jobs of one test.
#[derive(Debug, Default)]
pub(super) struct TestStore {
    inner: MemoryStore,
    refusing: AtomicBool,
    refusals: AtomicU64,
    settlements: AtomicU64,
}

impl TestStore {
    /// The next table that is written is refused, so that its epoch can only be aborted.
    pub(super) fn refuse_a_table(&self) {
        self.refusing.store(true, Relaxed);
    }

    /// How many tables were refused.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    /// How often an epoch was settled.
    pub(super) fn settlements(&self) -> u64 {
        self.settlements.load(Relaxed)
    }
}

impl Store for TestStore {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        if name.contains("/state/") && self.refusing.swap(false, Relaxed) {
            self.refusals.fetch_add(1, Relaxed);
            return ready(Err(StoreError::Denied { reason: "the test wants it so".to_owned() })).boxed();
        }
        if name.contains("/epochs/") {
            self.settlements.fetch_add(1, Relaxed);
        }
        self.inner.create(name, bytes)
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        self.inner.read(name)
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        self.inner.list(folder)
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.delete(name)
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        self.inner.hold(folder)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
