//! How many rows to take on at once, by how long rows take.
//!
//! A barrier waits behind all rows that came before it. So where rows take long few of them may wait, and where
//! they are fast many: as many as are worked off in a given time, by the pace of the work before. That bounds a
//! checkpoint by time, whatever a function does with its rows. (Apache Flink does the same to its network
//! buffers: buffer debloating, FLIP-183.)
//!
//! Where rows are worked off together, in calls that wait at the same time or in one call of many, fewer of them take no less
//! time. There so many are taken on at least.
//!
//! Nobody knows the pace of the first row. A subtask begins with few rows and takes on at most twice as many
//! behind each batch, so one that is slow has shown it before much waits.

use std::time::Duration;

/// Rows to begin with.
const FIRST: usize = 16;

/// The pace counts the work of so many times the time that rows are to take.
const REMEMBERED: u32 = 2;

/// A change by less than this part of what is allowed changes nothing.
const LITTLE: usize = 8;

/// The pace of one subtask.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How long it may take to work off what is taken on.
    time: Duration,
    rows_max: usize,
    /// Rows that were handled of late, and how long that took.
    rows: f64,
    took: Duration,
    allowed: usize,
}

impl Pace {
    /// Takes on what is worked off in `time`, and at most `rows_max` rows.
    pub(crate) fn new(time: Duration, rows_max: usize) -> Self {
        Self { time, rows_max, rows: 0.0, took: Duration::ZERO, allowed: FIRST.min(rows_max) }
    }

    /// How many rows may be taken on now.
    pub(crate) fn allowed(&self) -> usize {
        self.allowed
    }

    /// Learns that `rows` rows took so long, waiting for those behind included, where `at_once` are worked off
    /// together.
    pub(crate) fn handled(&mut self, rows: usize, took: Duration, at_once: usize) {
        // What was before counts for what is left of the time that is remembered.
        let left = self.time.saturating_mul(REMEMBERED).saturating_sub(took);
        if self.took > left {
            self.rows *= left.as_secs_f64() / self.took.as_secs_f64();
            self.took = left;
        }
        self.rows += rows as f64;
        self.took += took;
        let least = at_once.clamp(1, self.rows_max.max(1));
        let twice = self.allowed.saturating_mul(2).min(self.rows_max).max(least);
        // A clock that stands still gives infinity, which is more than any number.
        let within = self.rows * self.time.as_secs_f64() / self.took.as_secs_f64();
        let allowed = (within as usize).clamp(least, twice);
        // Whoever is told takes a lock, which a little is not worth, unless that keeps batches from being whole.
        if allowed == self.rows_max || allowed.abs_diff(self.allowed) > self.allowed / LITTLE {
            self.allowed = allowed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(100);

    /// Works until `batches` batches of what is allowed are done, each row in `each`.
    fn work(pace: &mut Pace, batches: usize, each: Duration) -> usize {
        for _ in 0..batches {
            let rows = pace.allowed();
            pace.handled(rows, each * rows as u32, 0);
        }
        pace.allowed()
    }

    fn is_about(allowed: usize, expected: usize) -> bool {
        allowed.abs_diff(expected) <= expected / LITTLE
    }

    #[test]
    fn fast_rows_are_taken_on_by_the_batch() {
        let mut pace = Pace::new(TIME, 8192);
        assert_eq!(pace.allowed(), FIRST);
        assert_eq!(work(&mut pace, 1, Duration::from_nanos(50)), 2 * FIRST);
        assert_eq!(work(&mut pace, 20, Duration::from_nanos(50)), 8192);
        assert_eq!(work(&mut Pace::new(TIME, 8192), 20, Duration::ZERO), 8192, "a clock that stands still");
        assert_eq!(Pace::new(TIME, 3).allowed(), 3);
    }

    #[test]
    fn slow_rows_wait_for_no_longer_than_the_time() {
        let of = |each| work(&mut Pace::new(TIME, 8192), 20, each);
        assert!(is_about(of(Duration::from_micros(50)), 2000));
        assert!(is_about(of(Duration::from_millis(10)), 10));
        assert_eq!(of(Duration::from_secs(7)), 1);
    }

    #[test]
    fn rows_that_wait_together_are_taken_on_together() {
        let mut pace = Pace::new(TIME, 8192);
        for _ in 0..5 {
            pace.handled(pace.allowed().min(100), Duration::from_millis(500), 400);
        }
        assert_eq!(pace.allowed(), 400);
        let mut small = Pace::new(TIME, 3);
        small.handled(3, Duration::from_millis(500), 400);
        assert_eq!(small.allowed(), 3);
    }

    #[test]
    fn who_was_slow_once_takes_on_whole_batches_again() {
        for slow in [13, 50, 1000] {
            let mut pace = Pace::new(TIME, 8192);
            assert!(work(&mut pace, 20, Duration::from_micros(slow)) < 8192);
            assert_eq!(work(&mut pace, 1000, Duration::from_nanos(50)), 8192, "{slow} us a row before");
        }
    }

    #[test]
    fn a_pace_that_changes_is_learnt_within_a_few_times_the_time() {
        let mut pace = Pace::new(TIME, 8192);
        work(&mut pace, 1000, Duration::from_nanos(50));
        assert_eq!(pace.allowed(), 8192);
        // One batch shows it: 8,192 rows in 8 s.
        assert!(work(&mut pace, 1, Duration::from_millis(1)) < 110);
        assert!(is_about(work(&mut pace, 20, Duration::from_millis(1)), 100));
        // And back, within a second of work.
        let mut worked = Duration::ZERO;
        while pace.allowed() < 8192 {
            let rows = pace.allowed();
            let took = Duration::from_nanos(50) * rows as u32;
            pace.handled(rows, took, 0);
            worked += took;
        }
        assert!(worked < Duration::from_secs(1), "{worked:?}");
    }
}
