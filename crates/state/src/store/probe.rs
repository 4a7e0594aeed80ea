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
    // A store that does not answer would only let us wait for longer.
    if !matches!(verdict, Err(StoreError::Unavailable { .. })) {
        for name in &names {
            // The verdict matters more than a leftover of a few bytes.
            let _ = store.delete(name).await;
        }
    }
    verdict
}

async fn create_twice(store: &dyn Store, name: &str) -> Result<(), StoreError> {
    // A client that repeats by itself what has landed is told that it exists; what was read decides.
    store.create(name, Bytes::from_static(b"first")).await?;
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
    let won = |answer: &Result<Creation, StoreError>| matches!(answer, Ok(Creation::Created));
    let winners: Vec<&Bytes> =
        answers.iter().zip(&bodies).filter(|(answer, _)| won(answer)).map(|(_, b)| b).collect();
    match winners[..] {
        [winner] => expect_bytes(store, name, winner).await,
        // Who won does not know it: the answer was lost, or its client repeated the create by itself.
        [] => match store.read(name).await? {
            Some(bytes) if bodies.contains(&bytes) => Ok(()),
            Some(_) => unfit("an object does not hold what any of its creators wrote"),
            None => Err(answers.into_iter().find_map(Result::err).unwrap_or_else(nobody_won)),
        },
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

fn nobody_won() -> StoreError {
    StoreError::Unfit {
        reason: "an object is not there though all its creators were told that it exists".to_owned(),
    }
}

fn unfit(reason: &str) -> Result<(), StoreError> {
    Err(StoreError::Unfit { reason: reason.to_owned() })
}
