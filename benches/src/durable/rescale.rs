//! From one subtask to two while rows flow, against stopping and going on with two.
//!
//! A beat brings a few probe keys, all of them each time, among rows of other
//! keys. What is measured is the longest time between two results of one probe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use arrow::array::types::Int64Type;
use arrow::array::{AsArray, RecordBatch};
use thalweg_cluster::JobHandle;
use thalweg_state::store::{LocalStore, Store};
use thalweg_state::{KeySpace, hash_keys};
use thalweg_world::World;

use super::connector::Look;
use super::kept::{NEVER, Planned, control};
use super::pace::Pace;
use super::{START_NANOS, Size, TABLES, UPDATING, integers, median, millis, rows};
use crate::bids::Random;

/// So many that their state is a gigabyte in memory.
const KEYS: usize = 8_000_000;
const BATCH_ROWS: usize = 8_192;

/// Keys of which each beat has a row: the first ones.
const PROBES: usize = 64;
/// Rows of other keys in each beat.
const BEAT_ROWS: usize = 500;
const BEAT: Duration = Duration::from_millis(5);
/// Different beats; they come again and again.
const BEATS: usize = 2_000;
/// For how long is looked before and behind a change.
const WATCH: Duration = Duration::from_secs(2);

/// The longest gaps of one change.
#[derive(Clone, Copy, Debug)]
struct Gaps {
    stay: Duration,
    moved: Duration,
}

/// Gaps in the results of keys that stay and of keys that move.
pub(crate) fn rescale(size: Size) -> Result<()> {
    let (live, stopped, quiet, bytes) = control()?.block_on(rounds(size))?;
    let of = |gaps: &[Gaps], part: fn(&Gaps) -> Duration| {
        let mut times: Vec<Duration> = gaps.iter().map(part).collect();
        let middle = millis(median(&mut times));
        (middle, millis(times.last().copied().unwrap_or_default()))
    };
    let ((stay, stay_longest), (moved, moved_longest)) =
        (of(&live, |gaps| gaps.stay), of(&live, |gaps| gaps.moved));
    let ((stopped, _), (quiet, _)) =
        (of(&stopped, |gaps| gaps.stay.max(gaps.moved)), of(&quiet, |gaps| gaps.stay.max(gaps.moved)));
    println!(
        "rescale 1 to 2, {} keys, {:.0} MB in memory: keys that stay {stay:.0} ms (longest {stay_longest:.0}), keys \
         that move {moved:.0} ms (longest {moved_longest:.0}); stop and resume {stopped:.0} ms, {:.0} times; between \
         changes {quiet:.0} ms ({} rounds)",
        size.of(KEYS),
        bytes as f64 / 1e6,
        stopped / moved.max(stay),
        live.len(),
    );
    Ok(())
}

/// Live changes, stops, and as many times in which nothing changes; and the bytes of the state.
async fn rounds(size: Size) -> Result<(Vec<Gaps>, Vec<Gaps>, Vec<Gaps>, i64)> {
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(folder.path()));
    let probes = Probes::new()?;
    let pace = Pace::default();
    let planned = Planned::new(&[TABLES, UPDATING].concat(), pace.rows(), probes.look(), NEVER)?;
    let world = World::real(Some(2))?;
    let mut job = planned.start(1, Some(&store), &world).await?;
    fill(size, &pace).await;
    job.checkpoint(None).await?;
    pace.beat(beats(size), BEAT);
    let (mut live, mut stopped, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        settle(size, &job).await?;
        quiet.push(probes.watch(size, async { Ok(()) }).await?);
        live.push(probes.watch(size, async { Ok(job.rescale(2).await?) }).await?);
        settle(size, &job).await?;
        job.rescale(1).await?;
        settle(size, &job).await?;
        let stop_and_resume = async {
            job.stop();
            job.wait().await?;
            job = planned.start(2, Some(&store), &world).await?;
            Ok(())
        };
        stopped.push(probes.watch(size, stop_and_resume).await?);
        settle(size, &job).await?;
        job.rescale(1).await?;
    }
    let bytes = job.counters().iter().map(|reading| reading.counters.state_bytes.get()).sum();
    pace.rest();
    job.stop();
    job.wait().await?;
    Ok((live, stopped, quiet, bytes))
}

async fn fill(size: Size, pace: &Pace) {
    let mut random = Random::new(1);
    let keys: Vec<i64> = (0..(size.of(KEYS)).max(PROBES) as i64).collect();
    for keys in keys.chunks(BATCH_ROWS) {
        let values = integers(keys.iter().map(|_| random.below(1_000_000_000)));
        pace.push(rows(&integers(keys.iter().copied()), &values, START_NANOS));
    }
    pace.taken().await;
}

/// A checkpoint, as a job makes them from time to time, and a moment of rest.
async fn settle(size: Size, job: &JobHandle) -> Result<()> {
    job.checkpoint(None).await?;
    tokio::time::sleep(size.time(WATCH)).await;
    Ok(())
}

fn beats(size: Size) -> Vec<RecordBatch> {
    let mut random = Random::new(9);
    let mut number = 0;
    let mut beat = || {
        let others = (0..BEAT_ROWS).map(|_| random.below(size.of(KEYS) as i64));
        let keys = integers((0..PROBES as i64).chain(others));
        // Every row changes what is known of its key.
        number += 1;
        let values = integers(std::iter::repeat_n(number, keys.len()));
        rows(&keys, &values, START_NANOS)
    };
    (0..BEATS).map(|_| beat()).collect()
}

/// When each probe was last seen, and the longest gap since that was asked last.
#[derive(Clone)]
struct Probes {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Which of them go to the second subtask.
    moves: Arc<Vec<bool>>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    last: Option<Instant>,
    longest: Duration,
}

impl Probes {
    fn new() -> Result<Self> {
        let mut hashes = Vec::new();
        hash_keys(&[integers(0..PROBES as i64)], &mut hashes)?;
        let space = KeySpace::default();
        let moves: Vec<bool> = hashes.iter().map(|&hash| space.owner(space.group_of(hash), 2) == 1).collect();
        ensure!(moves.contains(&true) && moves.contains(&false), "all probes go one way");
        Ok(Self { seen: Arc::new(Mutex::new(vec![Seen::default(); PROBES])), moves: Arc::new(moves) })
    }

    fn look(&self) -> Look {
        let probes = self.clone();
        Arc::new(move |batch| {
            let now = Instant::now();
            let mut seen = probes.seen();
            for &key in batch.column(0).as_primitive::<Int64Type>().values() {
                if let Some(probe) = usize::try_from(key).ok().and_then(|key| seen.get_mut(key)) {
                    let gap = probe.last.map_or(Duration::ZERO, |last| now - last);
                    *probe = Seen { last: Some(now), longest: probe.longest.max(gap) };
                }
            }
        })
    }

    /// The longest gaps around what `change` does, and a while after it.
    async fn watch(&self, size: Size, change: impl Future<Output = Result<()>>) -> Result<Gaps> {
        self.seen().iter_mut().for_each(|probe| probe.longest = Duration::ZERO);
        change.await?;
        tokio::time::sleep(size.time(WATCH)).await;
        let mut longest = BTreeMap::new();
        for (probe, moves) in self.seen().iter().zip(self.moves.iter()) {
            let gap: &mut Duration = longest.entry(*moves).or_default();
            *gap = probe.longest.max(*gap);
        }
        Ok(Gaps { stay: longest[&false], moved: longest[&true] })
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
