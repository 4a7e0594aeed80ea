//! What a checkpoint writes when one key in a hundred changed, against a whole one.

use std::sync::Arc;

use anyhow::{Result, ensure};
use thalweg_cluster::JobHandle;
use thalweg_state::store::{LocalStore, Store};
use thalweg_world::World;

use super::counting::{Counting, Written};
use super::kept::{NEVER, Planned, control};
use super::pace::Pace;
use super::{START_NANOS, Size, TABLES, UPDATING, WINDOWED, integers, median, rows};
use crate::bids::Random;

const KEYS: usize = 1_000_000;
const BATCH_ROWS: usize = 8_192;
const EPOCHS: usize = 100;
/// One key in so many changes in an epoch.
const SHARE: usize = 100;

/// Bytes of an epoch with 1 % of the keys changed against those of a whole table, for both kinds of tables.
pub(crate) fn checkpoint_bytes(size: Size) -> Result<()> {
    for (name, script) in [("windows (merge)", WINDOWED), ("updating (upsert)", UPDATING)] {
        let (whole, mut epochs) = control()?.block_on(epochs(size, script))?;
        let all = epochs.iter().fold(Written::default(), |a, b| Written {
            increments: a.increments + b.increments,
            compacted: a.compacted + b.compacted,
            others: a.others + b.others,
        });
        epochs.iter_mut().for_each(|epoch| epoch.compacted = 0);
        let median = median(&mut epochs.iter().map(|epoch| epoch.all()).collect::<Vec<_>>());
        let kilobytes = |bytes: u64| bytes as f64 / 1e3;
        println!(
            "checkpoint bytes, {name}, 1 % of {} keys changed: {:.0} kB, a full one {:.0} kB, ratio {:.4}; \
             with compaction, over {} epochs: {:.0} kB an epoch, ratio {:.4}",
            size.of(KEYS),
            kilobytes(median),
            kilobytes(whole.all()),
            median as f64 / whole.all() as f64,
            epochs.len(),
            kilobytes(all.all()) / epochs.len() as f64,
            all.all() as f64 / epochs.len() as f64 / whole.all() as f64,
        );
    }
    Ok(())
}

/// What the first epoch wrote, which has all keys, and what each of the others wrote.
async fn epochs(size: Size, script: &str) -> Result<(Written, Vec<Written>)> {
    let keys = size.of(KEYS);
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Counting::new(LocalStore::new(folder.path())));
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let pace = Pace::default();
    let planned = Planned::new(&[TABLES, script].concat(), pace.rows(), Arc::new(|_| ()), NEVER)?;
    let job = planned.start(1, Some(&shared), &World::real(Some(1))?).await?;
    let whole = epoch(&job, &pace, &store, (0..keys as i64).collect()).await?;
    let mut random = Random::new(3);
    let mut written = Vec::with_capacity(EPOCHS);
    for _ in 0..EPOCHS {
        let changed = (0..keys.div_ceil(SHARE)).map(|_| random.below(keys as i64)).collect();
        written.push(epoch(&job, &pace, &store, changed).await?);
    }
    // What compactions of the last epoch write is missing, for once.
    job.stop();
    job.wait().await?;
    ensure!(written.iter().all(|epoch| epoch.increments > 0), "an epoch wrote nothing");
    Ok((whole, written))
}

async fn epoch(job: &JobHandle, pace: &Pace, store: &Counting, keys: Vec<i64>) -> Result<Written> {
    let before = store.written();
    let mut random = Random::new(keys.len() as u64);
    for keys in keys.chunks(BATCH_ROWS) {
        let values = integers(keys.iter().map(|_| random.below(1_000)));
        pace.push(rows(&integers(keys.iter().copied()), &values, START_NANOS));
    }
    pace.taken().await;
    job.checkpoint(None).await?;
    Ok(store.written().since(before))
}
