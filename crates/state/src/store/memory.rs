//! A store that lives as long as its process: for tests, simulation and jobs without a folder.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{Creation, Hold, Listed, Store, StoreError, check_folder, check_name};

/// Objects in memory. Clone the `Arc` it is in to share it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        // Every change is one call on the map: a panic elsewhere leaves it whole.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_now(&self, name: &str, bytes: Bytes) -> Result<Creation, StoreError> {
        check_name(name)?;
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Ok(Creation::Exists);
        }
        objects.insert(name.to_owned(), bytes);
        Ok(Creation::Created)
    }

    fn list_now(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        check_folder(folder)?;
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let objects = self.objects();
        let listed = objects.range(below.clone()..).take_while(|(name, _)| name.starts_with(&below));
        Ok(listed.map(|(name, bytes)| Listed { name: name.clone(), bytes: bytes.len() as u64 }).collect())
    }
}

impl Store for MemoryStore {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        async move { self.create_now(name, bytes) }.boxed()
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        async move { check_name(name).map(|()| self.objects().get(name).cloned()) }.boxed()
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        async move { self.list_now(folder) }.boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            check_name(name)?;
            self.objects().remove(name);
            Ok(())
        }
        .boxed()
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        ready(check_folder(folder).map(|()| Hold::Lease)).boxed()
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
