//! What every store promises, and the probe that finds one that does not.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use tempfile::TempDir;

use super::*;

mod moto;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// The suite: each implementation passes it, on an empty store.
async fn keeps_the_promises(store: &dyn Store) {
    assert_eq!(store.read("a/b").await, Ok(None));
    assert_eq!(store.list("").await, Ok(Vec::new()));
    assert_eq!(store.delete("a/b").await, Ok(()));

    assert_eq!(store.create("a/b", bytes("one")).await, Ok(Creation::Created));
    assert_eq!(store.create("a/b", bytes("two")).await, Ok(Creation::Exists));
    assert_eq!(store.read("a/b").await, Ok(Some(bytes("one"))), "a create never overwrites");
    assert_eq!(store.create("a/c/d", bytes("")).await, Ok(Creation::Created));
    assert_eq!(store.read("a/c/d").await, Ok(Some(Bytes::new())), "an object may be empty");
    assert_eq!(store.create("ab/e", bytes("three")).await, Ok(Creation::Created));

    let listed = |name: &str, bytes: u64| Listed { name: name.to_owned(), bytes };
    assert_eq!(
        store.list("a").await,
        Ok(vec![listed("a/b", 3), listed("a/c/d", 0)]),
        "'ab' is not below 'a'"
    );
    assert_eq!(store.list("").await, Ok(vec![listed("a/b", 3), listed("a/c/d", 0), listed("ab/e", 5)]));
    assert_eq!(store.list("nowhere").await, Ok(Vec::new()));

    assert_eq!(store.delete("a/b").await, Ok(()));
    assert_eq!(store.read("a/b").await, Ok(None));
    assert_eq!(
        store.create("a/b", bytes("again")).await,
        Ok(Creation::Created),
        "a name is free after a delete"
    );

    refuses_strange_names(store).await;
    has_one_winner(store).await;
    lists_many(store).await;
    store.hold("held").await.expect("nobody holds it");
    probe(store).await.expect("the store is sound");
    assert_eq!(store.list("probes").await, Ok(Vec::new()), "the probe leaves nothing");
}

async fn refuses_strange_names(store: &dyn Store) {
    let long = "x".repeat(300);
    for name in
        ["", "/a", "a/", "a//b", "..", "a/../b", "./a", ".tmp", "a/.lock", "a\0b", "a b", "ä", "a\\b", &long]
    {
        let refused =
            |error: StoreError| assert!(matches!(error, StoreError::Name { .. }), "{name:?}: {error}");
        refused(store.create(name, bytes("x")).await.unwrap_err());
        refused(store.read(name).await.unwrap_err());
        refused(store.delete(name).await.unwrap_err());
        if !name.is_empty() {
            refused(store.list(name).await.unwrap_err());
            refused(store.hold(name).await.unwrap_err());
        }
    }
}

async fn has_one_winner(store: &dyn Store) {
    for round in 0..5 {
        let name = format!("race/{round}");
        let bodies: Vec<Bytes> = (0..8).map(|rival| Bytes::from(format!("{rival}"))).collect();
        let answers = join_all(bodies.iter().map(|body| store.create(&name, body.clone()))).await;
        let winners: Vec<usize> = (0..8).filter(|&i| answers[i] == Ok(Creation::Created)).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert_eq!(store.read(&name).await, Ok(Some(bodies[winners[0]].clone())));
    }
}

/// More than one page of a listing.
async fn lists_many(store: &dyn Store) {
    let names: Vec<String> = (0..1100).map(|number| format!("many/{number:04}")).collect();
    for chunk in names.chunks(50) {
        let created = join_all(chunk.iter().map(|name| store.create(name, bytes("x")))).await;
        assert!(created.iter().all(|answer| *answer == Ok(Creation::Created)));
    }
    let listed: Vec<String> = store.list("many").await.unwrap().into_iter().map(|l| l.name).collect();
    assert_eq!(listed, names);
}

#[tokio::test]
async fn the_memory_store_keeps_the_promises() {
    keeps_the_promises(&MemoryStore::new()).await;
}

#[tokio::test]
async fn the_local_store_keeps_the_promises() {
    let folder = TempDir::new().unwrap();
    keeps_the_promises(&LocalStore::new(folder.path().join("new/folder"))).await;
}

#[tokio::test]
async fn the_s3_store_keeps_the_promises() {
    let server = moto::Server::start();
    keeps_the_promises(&server.store("bucket/some/prefix")).await;
    // The whole bucket, and a prefix that is another's beginning.
    let whole = server.store("bucket");
    assert!(whole.list("some/prefix").await.unwrap().iter().any(|l| l.name == "some/prefix/ab/e"));
    let shorter = server.store("bucket/some/pre");
    assert_eq!(shorter.list("").await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_s3_store_that_is_gone_is_unavailable_and_a_bucket_that_is_not_there_says_so() {
    let server = moto::Server::start();
    let store = server.store("bucket/p");
    let nowhere = server.store("no-such-bucket/p");
    let error = nowhere.create("a", bytes("x")).await.unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    drop(server);
    let error = store.create("a", bytes("x")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.may_pass(), "{error}");
    assert!(matches!(store.read("a").await, Err(StoreError::Unavailable { .. })));
}

/// A store whose "conditional" create overwrites.
#[derive(Debug)]
struct Overwriting {
    inner: MemoryStore,
    /// Says "exists" rightly, but only when asked one after the other.
    sequential_is_sound: bool,
}

impl Store for Overwriting {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        async move {
            let exists = self.inner.read(name).await?.is_some();
            // Between the look and the write, others run.
            tokio::task::yield_now().await;
            if exists && self.sequential_is_sound {
                return Ok(Creation::Exists);
            }
            self.inner.delete(name).await?;
            self.inner.create(name, bytes).await
        }
        .boxed()
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
        "a store that overwrites".to_owned()
    }
}

#[tokio::test]
async fn a_store_whose_create_overwrites_is_unfit() {
    for (sequential_is_sound, words) in [(false, "overwrote an object"), (true, "16 were told that they won")]
    {
        let store = Overwriting { inner: MemoryStore::new(), sequential_is_sound };
        let error = probe(&store).await.unwrap_err();
        assert!(matches!(error, StoreError::Unfit { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(store.list("").await, Ok(Vec::new()), "the probe leaves nothing");
    }
}

#[test]
fn places_are_understood_or_refused_with_the_reason() {
    let said = |location: &str| {
        open(location).map(|store: Arc<dyn Store>| store.describe()).map_err(|e| e.to_string())
    };
    assert_eq!(said("/var/state").unwrap(), "folder '/var/state'");
    assert_eq!(said("state").unwrap(), "folder 'state'");
    assert_eq!(said("file:///var/state").unwrap(), "folder '/var/state'");
    assert_eq!(said("s3://bucket/a/b?region=eu-west-1&allow_http=true").unwrap(), "s3://bucket/a/b");
    for (location, words) in [
        ("gs://bucket", "'gs' is not known"),
        ("file://var/state", "'file' is not known"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://bucket/a?colour=red", "option 'colour' is not known"),
        ("s3://bucket/a?region", "option 'region' has no value"),
        ("s3://bucket/a?allow_http=yes", "'true' or 'false'"),
        ("s3://bucket/../a", "begins with a dot"),
    ] {
        let error = said(location).unwrap_err();
        assert!(error.contains(words), "{location}: {error}");
    }
    let secret = said("s3://bucket/a?access_key=hunter2").unwrap_err();
    assert!(!secret.contains("hunter2"), "{secret}");
}
