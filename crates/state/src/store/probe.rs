//! Is a store fit for state? Whoever settles an epoch must be the only one.

use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Creation, Store, StoreError};

/// Where the probe's own objects are, for as long as it runs.
const FOLDER: &str = "probes";
/// So many writers want one name at once.
const RIVALS: usize = 16;

/// Refuses a store whose creates do not exclude each other, with the reason.
///
/// Creates one object twice and another by 16 writers at once: each must have
/// exactly one winner, whose bytes are read back. Leaves nothing behind unless
/// the store fails meanwhile.
///
/// # Errors
/// [`StoreError::Unfit`] if creates are unsound; what the store says if it fails.
pub async fn probe(store: &dyn Store) -> Result<(), StoreError> {
    let unique = RandomState::new().build_hasher().finish();
    let names = ["twice", "rivals"].map(|round| format!("{FOLDER}/{unique:016x}-{round}"));
    let verdict = async {
        create_twice(store, &names[0]).await?;
        create_by_rivals(store, &names[1]).await
    }
    .await;
    for name in &names {
        // The verdict matters more than a leftover of a few bytes.
        let _ = store.delete(name).await;
    }
    verdict
}

async fn create_twice(store: &dyn Store, name: &str) -> Result<(), StoreError> {
    let first = store.create(name, Bytes::from_static(b"first")).await?;
    if first != Creation::Created {
        return unfit("it says that an object exists which was never created");
    }
    if store.create(name, Bytes::from_static(b"second")).await? != Creation::Exists {
        return unfit("a conditional create overwrote an object");
    }
    expect_bytes(store, name, b"first").await?;
    if !store.list(FOLDER).await?.iter().any(|listed| listed.name == name) {
        return unfit("a listing lacks an object that was just created");
    }
    Ok(())
}

async fn create_by_rivals(store: &dyn Store, name: &str) -> Result<(), StoreError> {
    let bodies: Vec<Bytes> = (0..RIVALS).map(|rival| Bytes::from(format!("rival {rival}"))).collect();
    let answers = join_all(bodies.iter().map(|body| store.create(name, body.clone()))).await;
    let mut winners = Vec::new();
    for (answer, body) in answers.into_iter().zip(&bodies) {
        if answer? == Creation::Created {
            winners.push(body);
        }
    }
    match winners[..] {
        [winner] => expect_bytes(store, name, winner).await,
        _ => unfit(&format!(
            "of {RIVALS} conditional creates of one name at once {} were told that they won",
            winners.len()
        )),
    }
}

async fn expect_bytes(store: &dyn Store, name: &str, expected: &[u8]) -> Result<(), StoreError> {
    match store.read(name).await? {
        Some(bytes) if bytes == expected => Ok(()),
        Some(_) => unfit("an object does not hold what its only creator wrote"),
        None => unfit("an object that was just created is not there"),
    }
}

fn unfit(reason: &str) -> Result<(), StoreError> {
    Err(StoreError::Unfit { reason: reason.to_owned() })
}
