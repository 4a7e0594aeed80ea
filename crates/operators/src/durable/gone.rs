//! Key groups that left, while rows of theirs may still lie here.
//!
//! To look for them all at once would stop the rows of others for too long. So
//! they stay until their window would be given out, and are left out of it; or
//! until their key groups come back, when they are cleared away first.

use arrow::array::{BooleanArray, RecordBatch};
use thalweg_dataflow::Result;
use thalweg_state::{KeyGroup, KeyGroups};

use super::{chosen, key_groups};

/// What left, and the last place where rows of it may lie.
#[derive(Debug)]
pub(crate) struct Gone<P> {
    groups: KeyGroups,
    last: Option<P>,
}

impl<P> Default for Gone<P> {
    fn default() -> Self {
        Self { groups: KeyGroups::default(), last: None }
    }
}

impl<P: Ord + Copy> Gone<P> {
    /// Nothing that left lies here any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// These key groups leave. `last` is the last place that has rows; none: there are no rows.
    pub(crate) fn add(&mut self, groups: &KeyGroups, last: Option<P>) {
        let Some(last) = last else { return };
        self.groups = self.groups.union(groups);
        self.last = self.last.max(Some(last));
    }

    /// No place before `first` has rows any more; none: no place has.
    pub(crate) fn cleared_before(&mut self, first: Option<P>) {
        if self.last.is_some_and(|last| first.is_none_or(|first| first > last)) {
            *self = Self::default();
        }
    }

    /// The last place where rows of them may lie.
    pub(crate) fn last(&self) -> Option<P> {
        self.last
    }

    /// Whether rows of these key groups may lie here.
    pub(crate) fn may_hold(&self, groups: &KeyGroups) -> bool {
        !self.is_empty() && self.groups.intersects(groups)
    }

    /// Whether this key group left.
    pub(crate) fn contains(&self, group: KeyGroup) -> bool {
        !self.is_empty() && self.groups.contains(group)
    }

    /// Which of these rows did not leave; none: all of them.
    pub(crate) fn staying(&self, groups: &[KeyGroup]) -> Option<BooleanArray> {
        if self.is_empty() {
            return None;
        }
        let staying: BooleanArray = groups.iter().map(|&group| Some(!self.contains(group))).collect();
        (staying.true_count() < staying.len()).then_some(staying)
    }

    /// The rows of a durable table that did not leave.
    pub(crate) fn without(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.is_empty() {
            return Ok(batch);
        }
        let groups: Vec<KeyGroup> = key_groups(&batch)?.iter().copied().map(KeyGroup).collect();
        self.staying(&groups).map_or(Ok(batch.clone()), |staying| chosen(&batch, &staying))
    }
}
