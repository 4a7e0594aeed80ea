//! A window aggregate with checkpoints each second, against the same without any.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use arrow::array::types::Int64Type;
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use thalweg_state::store::{LocalStore, Store};

use super::connector::{Look, Next, Rows};
use super::counting::Counting;
use super::kept::{NEVER, Planned};
use super::{START_NANOS, Size, TABLES, cpu_time, integers, median, rows};
use crate::bids::Random;

const KEYS: usize = 1_000_000;
const ROWS: usize = 100_000_000;
const BATCH_ROWS: usize = 8_192;
/// Different batches; they come again and again.
const BATCHES: usize = 512;
const INTERVAL: Duration = Duration::from_secs(1);

/// From row to row in event time: a window is 25 million rows.
const ROW_NANOS: usize = 4_000;
const TUMBLE: &str = "\
INSERT INTO s SELECT k, n FROM (SELECT tumble(INTERVAL '100 seconds') AS w, k, count(*) AS n FROM t GROUP BY w, k);";

/// One run of one side.
#[derive(Clone, Copy)]
struct Run {
    time: Duration,
    cpu: Duration,
    epochs: u64,
    bytes: u64,
}

/// Rate with checkpoints each second into a local folder against the rate without.
pub(crate) fn checkpoint_cost(size: Size) -> Result<()> {
    let (results, look) = results();
    let kept = Planned::new(&[TABLES, TUMBLE].concat(), source(size), Arc::clone(&look), INTERVAL)?;
    let alone = Planned::new(&[TABLES, TUMBLE].concat(), source(size), look, NEVER)?;
    let (mut of_kept, mut of_alone) = (Vec::new(), Vec::new());
    let mut found = None;
    for round in 0..=size.rounds {
        for (planned, keep, runs) in [(&kept, true, &mut of_kept), (&alone, false, &mut of_alone)] {
            let run = one_run(planned, keep)?;
            let result = results.take();
            if *found.get_or_insert(result) != result {
                bail!("the results differ: {found:?} and {result:?}");
            }
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let time = |runs: &[Run]| median(&mut runs.iter().map(|run| run.time).collect::<Vec<_>>());
    let cpu = |runs: &[Run]| median(&mut runs.iter().map(|run| run.cpu).collect::<Vec<_>>()).as_secs_f64();
    let rate = |time: Duration| size.of(ROWS) as f64 / time.as_secs_f64() / 1e6;
    let (ours, theirs) = (time(&of_kept), time(&of_alone));
    println!(
        "checkpoint cost, tumble count by {} keys, a checkpoint a second: {:.2} M rows/s, without {:.2} M rows/s, \
         ratio {:.3}; CPU {:.1} s against {:.1} s in a run; {} checkpoints, {:.0} MB written ({} equal results)",
        size.of(KEYS),
        rate(ours),
        rate(theirs),
        theirs.as_secs_f64() / ours.as_secs_f64(),
        cpu(&of_kept),
        cpu(&of_alone),
        of_kept.iter().map(|run| run.epochs).sum::<u64>() / of_kept.len() as u64,
        of_kept.iter().map(|run| run.bytes).sum::<u64>() as f64 / of_kept.len() as f64 / 1e6,
        found.map_or(0, |(rows, _)| rows),
    );
    Ok(())
}

fn one_run(planned: &Planned, keep: bool) -> Result<Run> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(Counting::new(LocalStore::new(folder.path())));
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let (began, before) = (Instant::now(), cpu_time()?);
    let epochs = planned.run(keep.then_some(&shared))?;
    Ok(Run { time: began.elapsed(), cpu: cpu_time()? - before, epochs, bytes: store.written().all() })
}

/// Keys that come equally often, in event time at a fixed pace.
fn source(size: Size) -> Rows {
    let mut random = Random::new(7);
    let keys = size.of(KEYS) as i64;
    let mut batch = || integers((0..BATCH_ROWS).map(|_| random.below(keys)));
    let batches: Vec<ArrayRef> =
        (0..BATCHES.min(size.of(ROWS).div_ceil(BATCH_ROWS))).map(|_| batch()).collect();
    let total = size.of(ROWS);
    let ones = integers(std::iter::repeat_n(1, BATCH_ROWS));
    Arc::new(move |place| {
        let row = place as usize * BATCH_ROWS;
        if row >= total {
            return Next::End;
        }
        let time = START_NANOS + (row * ROW_NANOS) as i64;
        let keys = &batches[place as usize % batches.len()];
        let left = BATCH_ROWS.min(total - row);
        Next::Rows(rows(keys, &ones, time).slice(0, left))
    })
}

/// Number and sum of the rows that came out.
#[derive(Default)]
struct Results {
    rows: AtomicU64,
    sum: Mutex<i64>,
}

impl Results {
    fn add(&self, batch: &RecordBatch) {
        self.rows.fetch_add(batch.num_rows() as u64, Relaxed);
        let [keys, counts] = [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>().values());
        let sum = keys.iter().zip(counts).fold(0_i64, |sum, (key, count)| {
            sum.wrapping_add(key.wrapping_mul(1_000_003).wrapping_add(1).wrapping_mul(*count))
        });
        let mut all = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.wrapping_add(sum);
    }

    fn take(&self) -> (u64, i64) {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        (self.rows.swap(0, Relaxed), std::mem::take(&mut *sum))
    }
}

fn results() -> (Arc<Results>, Look) {
    let results = Arc::new(Results::default());
    let looking = Arc::clone(&results);
    (results, Arc::new(move |batch| looking.add(batch)))
}
