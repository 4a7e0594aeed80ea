//! For how long a barrier stops the data path.
//!
//! Measured twice: around the calls of the one operator that freezes, and in a
//! job on one data thread, where the source sees by how much the thread was
//! late for a batch that was due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use arrow::array::RecordBatch;
use thalweg_state::Epoch;
use thalweg_state::store::{LocalStore, Store};
use thalweg_world::World;

use super::driven::Driven;
use super::kept::{NEVER, Planned, control};
use super::pace::Pace;
use super::{START_NANOS, Size, TABLES, UPDATING, WINDOWED, integers, median, millis, rows};
use crate::bids::Random;

const KEYS: usize = 1_000_000;
const CHANGED: usize = 100_000;
const BATCH_ROWS: usize = 8_192;
/// Barriers for each round.
const EPOCHS: usize = 4;

/// Rows at the beat: all keys that change do so five times a second.
const BEAT_ROWS: usize = 1_000;
const BEAT: Duration = Duration::from_millis(2);
/// For how long is looked before and at a barrier.
const WATCH: Duration = Duration::from_millis(600);

/// The longest stall at a barrier of both kinds of tables.
pub(crate) fn barrier_stall(size: Size) -> Result<()> {
    let kinds = [("windows", WINDOWED, "window-aggregate"), ("updating", UPDATING, "updating-aggregate")];
    for (name, script, kind) in kinds {
        let mut calls = of_operator(size, script, kind)?;
        let (mut at, mut between) = control()?.block_on(of_job(size, script))?;
        let longest = |times: &[Duration]| millis(times.iter().max().copied().unwrap_or_default());
        println!(
            "barrier stall, {name}, {} of {} keys changed: the operator {:.2} ms (longest {:.2}); in a job a batch \
             was late by {:.2} ms at barriers (longest {:.2}), by {:.2} ms between them (longest {:.2}); {} barriers",
            size.of(CHANGED),
            size.of(KEYS),
            millis(median(&mut calls)),
            longest(&calls),
            millis(median(&mut at)),
            longest(&at),
            millis(median(&mut between)),
            longest(&between),
            at.len(),
        );
    }
    Ok(())
}

/// How long the operator alone takes for a barrier and the flush before it, or for a piece of what is copied behind it.
fn of_operator(size: Size, script: &str, kind: &str) -> Result<Vec<Duration>> {
    let planned = Planned::new(&[TABLES, script].concat(), Pace::default().rows(), Arc::new(|_| ()), NEVER)?;
    let mut operator = Driven::new(&planned, kind)?;
    operator.open(thalweg_state::Restored::nothing())?;
    let mut keys: Vec<i64> = (0..size.of(KEYS) as i64).collect();
    let mut random = Random::new(5);
    let mut times = Vec::new();
    for epoch in 0..=EPOCHS * size.rounds {
        let epoch = Epoch(epoch as u64 + 1);
        for keys in keys.chunks(BATCH_ROWS) {
            operator.take(keys)?;
        }
        operator.flush()?;
        let began = Instant::now();
        operator.flush()?;
        let mut snapshot = operator.freeze(epoch)?;
        let mut longest = began.elapsed();
        loop {
            // Rows go on in between.
            let began = Instant::now();
            let more = operator.copy(&mut snapshot)?;
            longest = longest.max(began.elapsed());
            if !more {
                break;
            }
        }
        if epoch > Epoch(1) {
            times.push(longest);
        }
        let frozen: usize = snapshot.tables.iter().map(|table| table.rows()).sum();
        ensure!(frozen >= keys.len(), "{frozen} rows are frozen, of {} keys that changed", keys.len());
        operator.complete(epoch);
        keys = changed(size, &mut random);
    }
    Ok(times)
}

/// Keys that change in an epoch: spread evenly, in no order.
fn changed(size: Size, random: &mut Random) -> Vec<i64> {
    let (all, count) = (size.of(KEYS), size.of(CHANGED));
    let mut keys: Vec<i64> = (0..count).map(|key| (key * (all / count)) as i64).collect();
    for last in (1..keys.len()).rev() {
        keys.swap(last, random.below(last as i64 + 1) as usize);
    }
    keys
}

/// By how much a batch was late, at each barrier and before each barrier.
async fn of_job(size: Size, script: &str) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(folder.path()));
    let pace = Pace::default();
    let planned = Planned::new(&[TABLES, script].concat(), pace.rows(), Arc::new(|_| ()), NEVER)?;
    let job = planned.start(1, Some(&store), &World::real(Some(1))?).await?;
    let all: Vec<i64> = (0..size.of(KEYS) as i64).collect();
    batches(&all, BATCH_ROWS).into_iter().for_each(|batch| pace.push(batch));
    pace.taken().await;
    job.checkpoint(None).await?;
    pace.beat(batches(&changed(size, &mut Random::new(5)), BEAT_ROWS), BEAT);
    tokio::time::sleep(WATCH).await;
    let (mut at, mut between) = (Vec::new(), Vec::new());
    for _ in 0..EPOCHS * size.rounds {
        pace.latest();
        tokio::time::sleep(size.time(WATCH)).await;
        between.push(pace.latest());
        let (checkpoint, ()) = tokio::join!(job.checkpoint(None), tokio::time::sleep(size.time(WATCH)));
        checkpoint?;
        at.push(pace.latest());
    }
    job.stop();
    job.wait().await?;
    Ok((at, between))
}

fn batches(keys: &[i64], batch_rows: usize) -> Vec<RecordBatch> {
    let batch =
        |keys: &[i64]| rows(&integers(keys.iter().copied()), &integers(keys.iter().copied()), START_NANOS);
    keys.chunks(batch_rows).map(batch).collect()
}
