//! What durable state costs, and how fast a job is back.
//!
//! Each pair says in one line what it measured, against what, and the ratio.
//! Stores are folders of the disk that holds the system's temporary files.

mod barrier_stall;
mod checkpoint_bytes;
mod checkpoint_cost;
mod connector;
mod counting;
mod driven;
mod kept;
mod pace;
mod recovery;
mod rescale;
mod restore;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};

pub(crate) use barrier_stall::barrier_stall;
pub(crate) use checkpoint_bytes::checkpoint_bytes;
pub(crate) use checkpoint_cost::checkpoint_cost;
pub(crate) use recovery::recovery;
pub(crate) use rescale::rescale;
pub(crate) use restore::restore;

/// How much of everything: all of it, or a part that shows whether a measurement works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// So many times fewer keys and rows.
    divisor: usize,
    /// How often each side runs.
    rounds: usize,
}

impl Size {
    pub(crate) const WHOLE: Size = Size { divisor: 1, rounds: 5 };
    #[cfg(test)]
    pub(crate) const TINY: Size = Size { divisor: 1_000, rounds: 1 };

    fn of(self, count: usize) -> usize {
        (count / self.divisor).max(1)
    }

    /// Of a time to watch a job; there is a least one in which something can be seen.
    fn time(self, time: Duration) -> Duration {
        (time / u32::try_from(self.divisor).unwrap_or(u32::MAX)).max(Duration::from_millis(50))
    }
}

/// The instant from which event time counts, nanoseconds since 1970.
const START_NANOS: i64 = 1_436_918_400_000_000_000;

/// Rows of a table `t (k, v, ts)`: keys, values, and one event time for all.
fn rows(keys: &ArrayRef, values: &ArrayRef, time: i64) -> RecordBatch {
    rows_at(keys, values, TimestampNanosecondArray::from_value(time, keys.len()))
}

/// Rows of a table `t (k, v, ts)`, each with an event time of its own.
fn rows_at(keys: &ArrayRef, values: &ArrayRef, times: TimestampNanosecondArray) -> RecordBatch {
    let times: ArrayRef = Arc::new(times);
    let columns = [("k", keys), ("v", values), ("ts", &times)];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, c)| (name, Arc::clone(c), false)))
        .expect("three columns of one length")
}

fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

const TABLES: &str = "\
CREATE TABLE t (
    k BIGINT NOT NULL, v BIGINT NOT NULL, ts TIMESTAMP NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '1 second'
) WITH (connector = 'bench');
CREATE TABLE s WITH (connector = 'bench');
";

/// Windows so long that none closes before the end.
const WINDOWED: &str = "\
INSERT INTO s SELECT k, n FROM (SELECT tumble(INTERVAL '1 day') AS w, k, count(*) AS n FROM t GROUP BY w, k);";

const UPDATING: &str = "\
INSERT INTO s SELECT k, count(*) AS n, sum(v) AS total, min(v) AS least, max(v) AS most, avg(v) AS mean FROM t GROUP BY k;";

/// The time on all cores that this process has used so far, to ten milliseconds.
fn cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in brackets, may hold anything; behind it come the state and then numbers.
    let (_, fields) = stat.rsplit_once(')').context("a name in brackets")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

fn median<T: Ord + Copy>(values: &mut [T]) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_runs_to_its_end() -> Result<()> {
        for pair in [checkpoint_cost, barrier_stall, checkpoint_bytes, restore, rescale] {
            pair(Size::TINY)?;
        }
        Ok(())
    }

    /// Runs the product's binary, which is built whenever the workspace is tested.
    #[test]
    fn a_process_that_is_killed_comes_back() -> Result<()> {
        recovery(Size::TINY)
    }

    #[test]
    fn a_process_uses_time() -> Result<()> {
        let before = cpu_time()?;
        let began = std::time::Instant::now();
        while cpu_time()? == before && began.elapsed() < Duration::from_secs(60) {
            std::hint::spin_loop();
        }
        assert!(cpu_time()? > before);
        Ok(())
    }
}
