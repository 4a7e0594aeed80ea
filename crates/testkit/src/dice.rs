//! Chance from a seed.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Draws that follow from a seed.
#[derive(Debug)]
pub struct Dice(StdRng);

impl Dice {
    /// The same draws for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// 64 random bits: a seed for others, say.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// True in a share of all draws.
    pub fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what a double holds.
        ((self.bits() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    /// A number of a range that is not empty.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        range.start + self.bits() % (range.end - range.start)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.number(0..of.len() as u64) as usize]
    }

    /// A duration of a range, to the microsecond.
    pub fn duration(&mut self, range: &Range<Duration>) -> Duration {
        let micros = |duration: Duration| duration.as_micros() as u64;
        Duration::from_micros(
            self.number(micros(range.start)..micros(range.end).max(micros(range.start) + 1)),
        )
    }
}
