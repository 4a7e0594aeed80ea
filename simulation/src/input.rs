//! What there is to read: splits of rows, each with the moment from which it can be read.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_testkit::Dice;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) split: i64,
    pub(crate) number: i64,
    pub(crate) key: i64,
    pub(crate) value: i64,
    /// Its event time, in milliseconds.
    pub(crate) time_ms: i64,
    /// From when on it can be read.
    pub(crate) at: Duration,
}

/// How much there is, and how it is spread.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) splits: u64,
    pub(crate) rows: u64,
    pub(crate) keys: u64,
    /// Within this time all rows appear.
    pub(crate) lasts: Duration,
    /// They appear together so often, in bursts.
    pub(crate) burst_every: Duration,
    /// The most rows that one read gives: a burst is many reads without a pause in between.
    pub(crate) read_rows_max: usize,
    /// Whether who has read all of its splits waits for others all this time.
    pub(crate) waits: bool,
    /// The share of rows that are far behind the others of their split.
    pub(crate) stragglers: f64,
}

/// How far rows of a split are out of order, stragglers aside: less than the delay of the watermark.
const DISORDER_MS: u64 = 900;
/// How far stragglers are behind.
const STRAGGLING_MS: std::ops::Range<u64> = 2_000..9_000;
/// The most that the event times of two splits are apart at one moment.
const SKEW_MS: u64 = 20_000;
/// Event time passes so much faster than simulated time.
const HASTE: u64 = 6;
/// Event times begin here: 2024-05-01.
const BEGIN_MS: i64 = 1_714_521_600_000;

/// All rows of one table.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) splits: Vec<Vec<Row>>,
    /// The most rows that one read gives.
    pub(crate) read_rows_max: usize,
    /// Before, who has read all of its splits waits for others.
    pub(crate) over_at: Duration,
}

impl Input {
    /// Rows by chance.
    pub(crate) fn draw(shape: &Shape, dice: &mut Dice) -> Self {
        let splits = (0..shape.splits).map(|split| draw_split(split, shape, dice)).collect();
        let over_at = if shape.waits { shape.lasts } else { Duration::ZERO };
        Self { splits, read_rows_max: shape.read_rows_max, over_at }
    }

    /// Every row, split by split.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.splits.iter().flatten()
    }

    /// From when on all can be read to its end.
    pub(crate) fn ends(&self) -> Duration {
        self.rows().map(|row| row.at).max().unwrap_or_default().max(self.over_at)
    }

    /// The rows with the watermark of their split just before each, `delay_ms` behind the newest time.
    pub(crate) fn with_watermarks(&self, delay_ms: i64) -> Vec<(&Row, Option<i64>)> {
        let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
        let mut judged = Vec::new();
        for row in self.rows() {
            judged.push((row, newest.get(&row.split).map(|newest| newest - delay_ms)));
            let newest = newest.entry(row.split).or_insert(row.time_ms);
            *newest = row.time_ms.max(*newest);
        }
        judged
    }
}

fn draw_split(split: u64, shape: &Shape, dice: &mut Dice) -> Vec<Row> {
    // Splits are of different lengths, and some end early.
    let rows = dice.number(shape.rows / 2..shape.rows * 3 / 2 + 1);
    let skew_ms = dice.number(0..SKEW_MS) as i64;
    let share = if dice.chance(0.3) { 0.4 } else { 1.0 };
    let lasts_ms = (shape.lasts.as_millis() as f64 * share) as u64;
    let burst_ms = (shape.burst_every.as_millis() as u64).max(1);
    let mut moments: Vec<u64> = (0..rows).map(|_| dice.number(0..lasts_ms.max(1))).collect();
    moments.sort_unstable();
    let mut drawn = Vec::new();
    for (number, moment) in moments.into_iter().enumerate() {
        let straggles = dice.chance(shape.stragglers);
        let behind = dice.number(if straggles { STRAGGLING_MS } else { 0..DISORDER_MS }) as i64;
        drawn.push(Row {
            split: split as i64,
            number: number as i64,
            key: dice.number(0..shape.keys) as i64,
            value: dice.number(0..1_000) as i64,
            time_ms: BEGIN_MS + skew_ms + (moment * HASTE) as i64 - behind,
            at: Duration::from_millis(moment / burst_ms * burst_ms),
        });
    }
    drawn
}
