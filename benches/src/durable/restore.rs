//! Restoring a large state into an operator, against merely reading the Parquet files that hold it.
//!
//! Both sides end with every value in memory. What it takes to decode alone, into
//! memory that stays in the processor's cache and is used over and over, is told
//! beside it. Keys are in no order, and differ in how many rows they had, in their
//! values and in their event times: what is alike is stored in next to no bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use thalweg_state::store::{LocalStore, Store};
use thalweg_state::{History, JobId, KeyGroups, KeySpace, Manifest};
use thalweg_world::World;

use super::driven::Driven;
use super::kept::{JOB, NEVER, Planned, control};
use super::pace::Pace;
use super::{START_NANOS, Size, TABLES, UPDATING, WINDOWED, integers, median, millis, rows_at};
use crate::bids::Random;

/// So many that their state is a gigabyte in memory.
const KEYS: usize = 8_000_000;
const BATCH_ROWS: usize = 8_192;
const HOUR_NANOS: i64 = 3_600_000_000_000;
/// What a reader decodes at a time.
const READ_ROWS: usize = 1 << 16;

/// One core restores, and one core reads the same files.
pub(crate) fn restore(size: Size) -> Result<()> {
    let kinds = [("updating", UPDATING, "updating-aggregate"), ("windows", WINDOWED, "window-aggregate")];
    for (name, script, kind) in kinds {
        let folder = tempfile::tempdir()?;
        let planned = &mut None;
        let manifest = control()?.block_on(fill(size, script, folder.path(), planned))?;
        let planned = planned.as_ref().context("it was planned")?;
        let files: Vec<PathBuf> =
            manifest.objects().map(|object| folder.path().join(JOB).join(&object.name)).collect();
        let (mut of_restore, mut of_read, mut of_decoding) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for round in 0..=size.rounds {
            let (restored, state_bytes) = restored(planned, kind, folder.path(), &manifest)?;
            let read = read(&files, size.of(KEYS), |batches, batch| batches.push(batch))?;
            let decoded = self::read(&files, size.of(KEYS), |_, batch| drop(batch))?;
            bytes = state_bytes;
            if round > 0 {
                of_restore.push(restored);
                of_read.push(read);
                of_decoding.push(decoded);
            }
        }
        let (ours, theirs) = (median(&mut of_restore), median(&mut of_read));
        println!(
            "restore, {name}, {} keys, {:.0} MB in memory, {:.0} MB of Parquet, one core: {:.0} ms, merely reading \
             {:.0} ms, ratio {:.2} (decoding alone {:.0} ms)",
            size.of(KEYS),
            bytes as f64 / 1e6,
            manifest.bytes() as f64 / 1e6,
            millis(ours),
            millis(theirs),
            theirs.as_secs_f64() / ours.as_secs_f64(),
            millis(median(&mut of_decoding)),
        );
    }
    Ok(())
}

/// A checkpoint with all keys.
async fn fill(size: Size, script: &str, folder: &Path, planned: &mut Option<Planned>) -> Result<Manifest> {
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(folder));
    let pace = Pace::default();
    let planned =
        planned.insert(Planned::new(&[TABLES, script].concat(), pace.rows(), Arc::new(|_| ()), NEVER)?);
    let job = planned.start(1, Some(&store), &World::real(Some(1))?).await?;
    let mut random = Random::new(1);
    // An odd factor is a permutation: keys come in no order.
    let keys: Vec<i64> =
        (0..size.of(KEYS) as i64).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)).collect();
    // Each key comes once, and as many rows come for any of them.
    let again: Vec<i64> = keys.iter().map(|_| keys[random.below(keys.len() as i64) as usize]).collect();
    for keys in keys.chunks(BATCH_ROWS).chain(again.chunks(BATCH_ROWS)) {
        let values = integers(keys.iter().map(|_| random.below(1_000_000_000)));
        let times = keys.iter().map(|_| START_NANOS + random.below(HOUR_NANOS)).collect::<Vec<_>>();
        pace.push(rows_at(&integers(keys.iter().copied()), &values, times.into()));
    }
    pace.taken().await;
    job.checkpoint(None).await?;
    job.abort();
    // It says that it was aborted.
    let _ = job.wait().await;
    History::new(store, JobId::new(JOB)).newest_complete().await?.context("a checkpoint was made")
}

/// Reads what the operator's tables hold, and opens it with that.
fn restored(planned: &Planned, kind: &str, folder: &Path, manifest: &Manifest) -> Result<(Duration, i64)> {
    let history = History::new(Arc::new(LocalStore::new(folder)), JobId::new(JOB));
    let mut operator = Driven::new(planned, kind)?;
    let record = manifest.operators.get(&operator.id).context("the checkpoint knows the operator")?;
    let everything = KeyGroups::range(0, KeySpace::default().len());
    let control = control()?;
    let began = Instant::now();
    operator.open(control.block_on(history.restore(record, &everything))?)?;
    Ok((began.elapsed(), operator.state_bytes()))
}

/// Decodes all columns of all rows of files, of which there are so many at least, and hands them to `keep`.
fn read(
    files: &[PathBuf],
    rows_min: usize,
    keep: impl Fn(&mut Vec<RecordBatch>, RecordBatch),
) -> Result<Duration> {
    let began = Instant::now();
    let (mut rows, mut batches) = (0, Vec::new());
    for file in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
        for batch in reader.with_batch_size(READ_ROWS).build()? {
            let batch = batch?;
            rows += batch.num_rows();
            keep(&mut batches, batch);
        }
    }
    ensure!(rows >= rows_min, "{rows} rows were read");
    Ok(began.elapsed())
}
