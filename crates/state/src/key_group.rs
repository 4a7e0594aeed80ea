//! The key space: a fixed number of buckets for keys, the unit of rescaling.
//!
//! A key's group depends on its hash and on the size of the key space alone,
//! never on the parallelism, so that state can be cut and handed over by group.

use serde::{Deserialize, Serialize};

/// How many key groups a job has when nothing else is said.
pub const KEY_GROUPS_DEFAULT: u16 = 1024;

/// The fixed bucket of a key, from 0 to the size of the key space less one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyGroup(pub u16);

/// All key groups of one job; the number never changes in the life of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySpace {
    groups: u16,
}

impl Default for KeySpace {
    fn default() -> Self {
        Self { groups: KEY_GROUPS_DEFAULT }
    }
}

impl KeySpace {
    /// A key space of `groups` groups.
    ///
    /// # Panics
    /// If `groups` is zero: a key must belong somewhere.
    pub fn new(groups: u16) -> Self {
        assert!(groups > 0, "a key space has at least one group");
        Self { groups }
    }

    /// The number of groups.
    pub fn len(self) -> u16 {
        self.groups
    }

    /// Always false: a key space has at least one group.
    pub fn is_empty(self) -> bool {
        false
    }

    /// The group of a key with this hash.
    ///
    /// Maps the high half of the hash onto the range by multiplication, which
    /// costs no division and leaves the low bits to hash tables.
    #[inline]
    pub fn group_of(self, hash: u64) -> KeyGroup {
        KeyGroup((((hash >> 32) * u64::from(self.groups)) >> 32) as u16)
    }

    /// The subtask, of `parallelism`, that owns `group` when shares are even.
    #[inline]
    pub fn owner(self, group: KeyGroup, parallelism: u32) -> u32 {
        (u64::from(group.0) * u64::from(parallelism) / u64::from(self.groups)) as u32
    }

    /// The groups that `subtask` of `parallelism` owns when shares are even.
    pub fn share(self, subtask: u32, parallelism: u32) -> KeyGroups {
        let first = |s: u32| (u64::from(s) * u64::from(self.groups)).div_ceil(u64::from(parallelism)) as u16;
        KeyGroups::range(first(subtask), first(subtask + 1))
    }
}

/// A set of key groups, held as sorted, disjoint, half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGroups {
    ranges: Vec<(u16, u16)>,
}

impl KeyGroups {
    /// The groups from `start` up to, but without, `end`.
    pub fn range(start: u16, end: u16) -> Self {
        Self { ranges: if start < end { vec![(start, end)] } else { Vec::new() } }
    }

    /// Whether `group` is in the set.
    pub fn contains(&self, group: KeyGroup) -> bool {
        self.ranges.iter().any(|&(start, end)| (start..end).contains(&group.0))
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the sets have a group in common.
    pub fn intersects(&self, other: &KeyGroups) -> bool {
        self.ranges.iter().any(|&(start, end)| other.ranges.iter().any(|&(s, e)| start.max(s) < end.min(e)))
    }

    /// The groups of both sets.
    #[must_use]
    pub fn union(&self, other: &KeyGroups) -> KeyGroups {
        let mut sorted: Vec<(u16, u16)> = self.ranges.iter().chain(&other.ranges).copied().collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::with_capacity(sorted.len());
        for (start, end) in sorted {
            match ranges.last_mut() {
                Some((_, last)) if *last >= start => *last = end.max(*last),
                Some(_) | None => ranges.push((start, end)),
            }
        }
        Self { ranges }
    }

    /// The groups that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &KeyGroups) -> KeyGroups {
        let mut ranges = Vec::new();
        for &(mut start, end) in &self.ranges {
            for &(from, to) in &other.ranges {
                if from < end && to > start {
                    ranges.push((start, from.max(start)));
                    start = to;
                }
            }
            ranges.push((start, end));
        }
        ranges.retain(|&(start, end)| start < end);
        Self { ranges }
    }

    /// The sorted, disjoint, half-open ranges that make up the set.
    pub(crate) fn ranges(&self) -> &[(u16, u16)] {
        &self.ranges
    }

    /// Every group of the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = KeyGroup> + '_ {
        self.ranges.iter().flat_map(|&(start, end)| (start..end).map(KeyGroup))
    }
}

impl FromIterator<KeyGroup> for KeyGroups {
    fn from_iter<I: IntoIterator<Item = KeyGroup>>(groups: I) -> Self {
        let mut sorted: Vec<u16> = groups.into_iter().map(|g| g.0).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for group in sorted {
            match ranges.last_mut() {
                Some((_, end)) if *end == group => *end += 1,
                _ => ranges.push((group, group + 1)),
            }
        }
        Self { ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_key_space_once_and_agree_with_the_owner() {
        for groups in [1, 7, 1024] {
            let space = KeySpace::new(groups);
            for parallelism in 1..=9 {
                let mut seen = Vec::new();
                for subtask in 0..parallelism {
                    for group in space.share(subtask, parallelism).iter() {
                        assert_eq!(space.owner(group, parallelism), subtask);
                        seen.push(group.0);
                    }
                }
                assert_eq!(seen, (0..groups).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn groups_spread_over_the_whole_space() {
        let space = KeySpace::default();
        assert_eq!(space.group_of(0), KeyGroup(0));
        assert_eq!(space.group_of(u64::MAX), KeyGroup(1023));
    }

    #[test]
    fn a_set_is_made_of_ranges() {
        let set: KeyGroups = [3, 1, 2, 9, 9].map(KeyGroup).into_iter().collect();
        assert_eq!(set.iter().map(|g| g.0).collect::<Vec<_>>(), [1, 2, 3, 9]);
        assert!(set.contains(KeyGroup(9)) && !set.contains(KeyGroup(4)));
        assert_eq!(set.union(&KeyGroups::range(4, 9)), KeyGroups::range(1, 10));
        assert_eq!(set.without(&KeyGroups::range(2, 9)), [1, 9].map(KeyGroup).into_iter().collect());
        assert_eq!(KeyGroups::range(2, 9).without(&set), KeyGroups::range(4, 9));
        assert_eq!(set.without(&set), KeyGroups::default());
        let odd: KeyGroups = (0..10).filter(|group| group % 2 == 1).map(KeyGroup).collect();
        assert_eq!(KeyGroups::range(1, 9).without(&odd), [2, 4, 6, 8].map(KeyGroup).into_iter().collect());
        assert_eq!(
            odd.union(&KeyGroups::range(2, 8)),
            [(1..8), (9..10)].into_iter().flatten().map(KeyGroup).collect()
        );
        assert!(set.intersects(&KeyGroups::range(3, 5)) && !set.intersects(&KeyGroups::range(4, 9)));
    }
}
