//! When an event happens: whole nanoseconds, computed without rounding twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds per second times the parts that a rate is counted in.
const NANOS_TIMES_PARTS: u64 = 1_000_000_000 * PARTS;

/// A rate is kept in millionths of an event per second.
const PARTS: u64 = 1_000_000;

/// The highest rate: one event a nanosecond.
pub(super) const RATE_MAX: f64 = 1e9;

/// The lowest rate that can be told from none.
pub(super) const RATE_MIN: f64 = 1e-6;

/// Event n happens at the start plus n / rate, rounded down to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Clock {
    start_nanos: i64,
    /// Millionths of an event per second.
    rate: u64,
}

impl Clock {
    /// A clock; none where the rate is below [`RATE_MIN`] or above [`RATE_MAX`].
    pub(super) fn new(start_nanos: i64, events_per_second: f64) -> Option<Self> {
        let possible = (RATE_MIN..=RATE_MAX).contains(&events_per_second);
        possible.then(|| Self { start_nanos, rate: (events_per_second * PARTS as f64).round() as u64 })
    }

    /// Events per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate as f64 / PARTS as f64
    }

    /// When event `n` happens; none where that is beyond the year 2262.
    pub(super) fn at(&self, n: u64) -> Option<i64> {
        let passed = u128::from(n) * u128::from(NANOS_TIMES_PARTS) / u128::from(self.rate);
        i64::try_from(passed).ok()?.checked_add(self.start_nanos)
    }

    /// The same without a check and without long division where the rate divides a second:
    /// for events before one for which [`Clock::at`] has an answer.
    pub(super) fn reader(&self) -> impl Fn(u64) -> i64 + use<> {
        let Self { start_nanos, rate } = *self;
        let (step, rest) = (NANOS_TIMES_PARTS / rate, NANOS_TIMES_PARTS % rate);
        move |n| {
            let more = match rest {
                0 => 0,
                _ => (u128::from(n) * u128::from(rest) / u128::from(rate)) as u64,
            };
            start_nanos.wrapping_add(n.wrapping_mul(step).wrapping_add(more) as i64)
        }
    }

    /// The time from event `from` to event `to`.
    pub(super) fn between(&self, from: u64, to: u64) -> Duration {
        match (self.at(from), self.at(to)) {
            (Some(from), Some(to)) => Duration::from_nanos(to.saturating_sub(from).max(0) as u64),
            (None, _) | (_, None) => Duration::MAX,
        }
    }

    /// How many events happen in so much time.
    pub(super) fn events_in(&self, time: Duration) -> u64 {
        let events = time.as_nanos().saturating_mul(u128::from(self.rate)) / u128::from(NANOS_TIMES_PARTS);
        u64::try_from(events).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_at_a_billion_events() {
        for rate in [1.0, 3.0, 7_000.0, 10_000.0, 99_999.0, 10_000_000.0, 0.5, 1e9] {
            let clock = Clock::new(1_000, rate).unwrap();
            let read = clock.reader();
            for n in [0, 1, 2, 49, 50, 999_999_999, 1_000_000_000, 1_000_000_007] {
                let Some(at) = clock.at(n) else { continue };
                let twice = (rate * 2.0) as u128;
                assert_eq!((at - 1_000) as u128, u128::from(n) * 2_000_000_000 / twice, "{n} at {rate}");
                assert_eq!(read(n), at, "{n} at {rate}");
            }
        }
    }

    #[test]
    fn rates_and_times_that_cannot_be_are_refused() {
        for rate in [0.0, -1.0, 1e-7, 1.1e9, f64::NAN, f64::INFINITY] {
            assert_eq!(Clock::new(0, rate), None, "{rate}");
        }
        let slow = Clock::new(i64::MAX - 1, 1e9).unwrap();
        assert_eq!((slow.at(1), slow.at(2)), (Some(i64::MAX), None));
        assert_eq!(slow.between(0, 2), Duration::MAX);
    }

    #[test]
    fn a_rate_gives_its_events() {
        let clock = Clock::new(0, 1_000.0).unwrap();
        assert_eq!(clock.events_in(Duration::from_millis(2_500)), 2_500);
        assert_eq!(clock.events_in(Duration::MAX), u64::MAX);
        assert_eq!(clock.between(1_000, 3_500), Duration::from_millis(2_500));
    }
}
