//! How late rows have been: counts in buckets whose width grows with the value.
//!
//! Below 32 ns each value has its own bucket; above, each power of two is cut
//! into 32, so that a quantile is off by at most 1/32 of itself, upwards. The
//! sketch depends on the rows and their order alone, and two add up. It
//! forgets: at each 2^20 rows all counts are halved, so that a stream whose
//! lateness changes is followed.

/// Buckets per power of two.
const FINE: u64 = 32;
const FINE_BITS: u32 = FINE.trailing_zeros();
/// One linear range and one for each power of two from 2^5 to 2^62.
const BUCKETS: usize = (FINE as usize) * (63 - FINE_BITS as usize + 1);
/// At so many rows, old ones begin to be forgotten.
const TOTAL_MAX: u64 = 1 << 20;

/// The memory of one sketch.
pub(super) const BYTES: usize = BUCKETS * size_of::<u32>();

/// Counts of lateness in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LatenessSketch {
    counts: Vec<u32>,
    total: u64,
}

impl Default for LatenessSketch {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl LatenessSketch {
    /// Counts one row. `late` is not negative.
    pub(super) fn add(&mut self, late: i64) {
        self.counts[bucket(late as u64)] += 1;
        self.total += 1;
        if self.total >= TOTAL_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|&count| u64::from(count)).sum();
        }
    }

    /// The least lateness, rounded up to its bucket's end, to which at least `share` of the rows keep.
    pub(super) fn quantile(&self, share: f64) -> i64 {
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if count > 0 && seen >= wanted {
                return last_of(index);
            }
        }
        0
    }
}

fn bucket(late: u64) -> usize {
    if late < FINE {
        return late as usize;
    }
    let shift = late.ilog2() - FINE_BITS;
    ((u64::from(shift) + 1) * FINE + (late >> shift) - FINE) as usize
}

/// The greatest value in a bucket.
fn last_of(bucket: usize) -> i64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket as i64;
    }
    let shift = bucket / FINE - 1;
    (((FINE + bucket % FINE + 1) << shift) - 1) as i64
}

impl LatenessSketch {
    /// The counts that are not zero, each as bucket (2 bytes) and count (4 bytes), little-endian.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let filled = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        filled
            .flat_map(|(index, count)| [&(index as u16).to_le_bytes()[..], &count.to_le_bytes()].concat())
            .collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; none if it is something else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (entries, rest) = bytes.as_chunks::<6>();
        if !rest.is_empty() {
            return None;
        }
        let mut sketch = Self::default();
        for &[b0, b1, c0, c1, c2, c3] in entries {
            let count = u32::from_le_bytes([c0, c1, c2, c3]);
            let slot = sketch.counts.get_mut(usize::from(u16::from_le_bytes([b0, b1])))?;
            *slot = slot.checked_add(count)?;
            sketch.total += u64::from(count);
        }
        Some(sketch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_the_bucket_is_narrow() {
        let values = (0..10_000u64).chain((0..63).flat_map(|e| [(1u64 << e) - 1, 1 << e, (1 << e) + 1]));
        for value in values.chain([i64::MAX as u64]) {
            let index = bucket(value);
            let last = last_of(index) as u64;
            assert!(last >= value && last - value <= value / FINE, "{value} in {index} up to {last}");
            assert!(index == 0 || (last_of(index - 1) as u64) < value, "{value} in {index}");
        }
        assert_eq!(bucket(i64::MAX as u64), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_keeps_its_share() {
        let mut sketch = LatenessSketch::default();
        (1..=1000).for_each(|late| sketch.add(late * 1_000_000));
        for (share, exact) in [(0.5, 500), (0.99, 990), (0.999, 999)] {
            let found = sketch.quantile(share) / 1_000_000;
            assert!(found >= exact && found <= exact + exact / 32, "{share}: {found}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut sketch = LatenessSketch::default();
        (0..TOTAL_MAX).for_each(|_| sketch.add(1_000_000));
        (0..8 * TOTAL_MAX).for_each(|_| sketch.add(10));
        assert_eq!(sketch.quantile(0.99), 10);
    }

    #[test]
    fn bytes_give_the_sketch_back() {
        let mut sketch = LatenessSketch::default();
        [0, 31, 32, 1 << 40, i64::MAX].into_iter().for_each(|late| sketch.add(late));
        assert_eq!(LatenessSketch::from_bytes(&sketch.to_bytes()), Some(sketch));
        assert_eq!(LatenessSketch::from_bytes(&[1, 2, 3]), None);
        assert_eq!(LatenessSketch::from_bytes(&[255, 255, 1, 0, 0, 0]), None);
    }
}
