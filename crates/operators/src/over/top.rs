//! Windows of which only the first rows of each partition count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thalweg_dataflow::EventTime;

use super::Ranking;

/// Only rows that are ranked so high count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Top {
    pub(super) ranking: Ranking,
    pub(super) most: u64,
}

/// How many rows each open window holds, to know when pruning it pays.
#[derive(Default)]
pub(super) struct Held {
    windows: BTreeMap<EventTime, Rows>,
}

#[derive(Default)]
struct Rows {
    /// What the last pruning left.
    left: usize,
    /// What came since.
    since: usize,
}

impl Held {
    /// Counts rows, by their windows' last instants.
    pub(super) fn add(&mut self, times: &[i64]) {
        for run in times.chunk_by(|a, b| a == b) {
            self.windows.entry(EventTime(run[0])).or_default().since += run.len();
        }
    }

    /// The windows to which more rows came than pruning left, and more than a batch.
    pub(super) fn grown(&self, batch_rows_max: usize) -> Vec<EventTime> {
        let grown = self.windows.iter().filter(|(_, rows)| rows.since > rows.left.max(batch_rows_max));
        grown.map(|(&instant, _)| instant).collect()
    }

    /// A window was pruned to so many rows.
    pub(super) fn pruned(&mut self, instant: EventTime, left: usize) {
        self.windows.insert(instant, Rows { left, since: 0 });
    }

    /// Forgets windows up to this instant, which are closed.
    pub(super) fn forget(&mut self, until: EventTime) {
        self.windows = self.windows.split_off(&EventTime(until.0.saturating_add(1)));
    }
}
