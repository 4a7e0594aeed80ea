//! The watermark of one split, row by row.

use super::lateness::LatenessSketch;

/// The highest watermark that rows can lead to: only the end of all input says more.
const WATERMARK_MAX: i64 = i64::MAX - 1;

/// How many rows lie between two looks at the sketch. Counted from the split's
/// first row, so that it does not depend on batches.
const ROWS_BETWEEN_LOOKS: u64 = 1024;

/// What one batch is measured against, and what came of it.
pub(super) struct Advance<'a> {
    /// Rows that would raise a watermark above this are ahead, and do not.
    pub(super) bound: i64,
    /// Takes the watermark before each row.
    pub(super) row_watermarks: Option<&'a mut Vec<i64>>,
    /// Counts the rows that are ahead.
    pub(super) ahead: usize,
}

/// All that a watermark depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Split {
    /// No row before this will come.
    pub(super) watermark: i64,
    /// What is known of lateness, for the generator that asks for it.
    pub(super) lateness: Option<Lateness>,
}

/// The learnt part of a watermark.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lateness {
    /// The greatest event time so far.
    pub(super) newest: i64,
    /// Rows so far.
    pub(super) rows: u64,
    /// How late a row may be, as of the last look; none before there was one.
    pub(super) allowed: Option<i64>,
    /// How late rows have been.
    pub(super) sketch: LatenessSketch,
}

impl Split {
    /// A split that was never read, and joins others that already stand at `watermark`.
    pub(super) fn starting_at(watermark: i64) -> Self {
        Self { watermark, lateness: None }
    }

    /// Raises the watermark to `time`; never lowers it.
    pub(super) fn raise(&mut self, time: i64) {
        self.watermark = self.watermark.max(time.min(WATERMARK_MAX));
    }

    /// Takes rows of which each says that none behind it will be before `times`.
    pub(super) fn advance(&mut self, times: impl Iterator<Item = i64>, advance: &mut Advance<'_>) {
        if advance.bound == i64::MAX && advance.row_watermarks.is_none() {
            // Nobody asks about single rows, so only the greatest counts.
            times.max().into_iter().for_each(|time| self.raise(time));
            return;
        }
        let mut watermark = self.watermark;
        let mut ahead = 0;
        let bound = advance.bound;
        let mut take = |time: i64| {
            let before = watermark;
            let is_ahead = time > bound;
            ahead += usize::from(is_ahead);
            let candidate = if is_ahead { i64::MIN } else { time.min(WATERMARK_MAX) };
            watermark = watermark.max(candidate);
            before
        };
        match &mut advance.row_watermarks {
            Some(rows) => rows.extend(times.map(take)),
            None => times.for_each(|time| {
                take(time);
            }),
        }
        self.watermark = watermark;
        advance.ahead += ahead;
    }

    /// Takes rows whose lateness is learnt, so that `share` of them is on time.
    ///
    /// A row is as late as it is behind the newest before it. The watermark is
    /// the newest event time less the lateness that `share` of the rows keep
    /// to. It says nothing until enough rows were seen to tell that share from
    /// all: 1,000 for 0.999.
    pub(super) fn advance_by_lateness(&mut self, times: &[i64], share: f64, advance: &mut Advance<'_>) {
        let mut lateness = self.lateness.take().unwrap_or_else(Lateness::unknown);
        let warm = (1.0 / (1.0 - share)).ceil() as u64;
        for &time in times {
            if let Some(rows) = &mut advance.row_watermarks {
                rows.push(self.watermark);
            }
            if time > advance.bound {
                advance.ahead += 1;
                continue;
            }
            lateness.take(time);
            if lateness.rows == warm
                || (lateness.rows > warm && lateness.rows.is_multiple_of(ROWS_BETWEEN_LOOKS))
            {
                lateness.allowed = Some(lateness.sketch.quantile(share));
            }
            if let Some(allowed) = lateness.allowed {
                self.raise(lateness.newest.saturating_sub(allowed));
            }
        }
        self.lateness = Some(lateness);
    }
}

impl Lateness {
    fn unknown() -> Self {
        Self { newest: i64::MIN, rows: 0, allowed: None, sketch: LatenessSketch::default() }
    }

    fn take(&mut self, time: i64) {
        let late = if self.rows == 0 { 0 } else { self.newest.saturating_sub(time).max(0) };
        self.sketch.add(late);
        self.rows += 1;
        self.newest = self.newest.max(time);
    }
}
