//! Rows that wait for the state of their keys.
//!
//! After the barrier of a rescale, rows of key groups whose state is still on
//! its way are held back, in order; rows of all others go on. What speaks of
//! time waits behind the rows that are held, or windows would close without
//! their past.

use std::collections::{BTreeSet, VecDeque};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use thalweg_dataflow::{Batch, Code, Error, Rest, Result, Watermark};
use thalweg_state::{KeyGroup, KeyGroups, KeySpace, hash_keys, planted};

use crate::channel::slice_bytes;

/// What is held of one channel.
#[derive(Debug)]
pub(crate) enum Held {
    Rows(Batch),
    Watermark(Watermark),
    Idle(Rest),
    /// The channel ended; whether by `End`.
    Ended(bool),
}

/// Key groups that are awaited, and what waits for them.
#[derive(Debug)]
pub(crate) struct HoldBack {
    key_space: KeySpace,
    /// Who has not given yet what it gives.
    awaited: BTreeSet<usize>,
    /// For each key group whether its rows wait.
    is_awaited: Vec<bool>,
    queue: VecDeque<(usize, Held)>,
    rows: usize,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
    hashes: Vec<u64>,
}

impl HoldBack {
    /// Nothing is awaited; at most so much waits (a single batch may always).
    pub(crate) fn new(key_space: KeySpace, rows_max: usize, bytes_max: usize) -> Self {
        Self {
            key_space,
            awaited: BTreeSet::new(),
            is_awaited: Vec::new(),
            queue: VecDeque::new(),
            rows: 0,
            bytes: 0,
            rows_max,
            bytes_max,
            hashes: Vec::new(),
        }
    }

    /// From now on these groups, which member `from` gives, are awaited.
    pub(crate) fn await_groups(&mut self, from: usize, groups: &KeyGroups) {
        self.is_awaited.resize(usize::from(self.key_space.len()), false);
        groups.iter().for_each(|group| self.is_awaited[usize::from(group.0)] = true);
        self.awaited.insert(from);
    }

    /// What member `from` gives is here.
    pub(crate) fn arrived(&mut self, from: usize) {
        self.awaited.remove(&from);
        // Rows that are held of any group keep their place before later ones until all leave together.
        if self.awaited.is_empty() {
            self.is_awaited.clear();
        }
    }

    /// Whether anything is awaited.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Whether no more may come in until something has arrived.
    pub(crate) fn is_full(&self) -> bool {
        self.is_waiting() && (self.rows >= self.rows_max || self.bytes >= self.bytes_max)
    }

    /// Holds back the rows of `batch` whose groups, by the `key` columns, are awaited. Gives the others.
    pub(crate) fn hold(&mut self, channel: usize, key: &[usize], batch: Batch) -> Result<Option<Batch>> {
        let columns: Vec<_> = key.iter().map(|&column| batch.records.column(column).clone()).collect();
        hash_keys(&columns, &mut self.hashes)
            .map_err(|e| Error::new(Code::OperatorFailed, "a key cannot be hashed").because(e))?;
        let (space, awaited) = (self.key_space, &self.is_awaited);
        let waits = |&hash: &u64| {
            let KeyGroup(group) = space.group_of(hash);
            awaited[usize::from(group)]
        };
        let waiting: Vec<bool> = self.hashes.iter().map(waits).collect();
        let count = waiting.iter().filter(|&&waits| waits).count();
        if count == 0 {
            return Ok(Some(batch));
        }
        if count == batch.rows() {
            self.push(channel, Held::Rows(batch));
            return Ok(None);
        }
        let part = |wanted: bool| -> Result<RecordBatch> {
            let chosen: BooleanArray = waiting.iter().map(|&waits| Some(waits == wanted)).collect();
            filter_record_batch(&batch.records, &chosen)
                .map_err(|e| Error::internal("rows cannot be taken from a batch").because(e))
        };
        let (held, free) = (part(true)?, part(false)?);
        self.push(channel, Held::Rows(Batch { records: held, split: batch.split.clone() }));
        Ok(Some(Batch { records: free, split: batch.split }))
    }

    /// Holds back something behind what is held. Counts as a row, so that this ends.
    pub(crate) fn push(&mut self, channel: usize, held: Held) {
        match &held {
            Held::Rows(batch) => {
                self.rows += batch.rows();
                self.bytes += slice_bytes(&batch.records);
            }
            Held::Watermark(_) | Held::Idle(_) | Held::Ended(_) => self.rows += 1,
        }
        self.queue.push_back((channel, held));
    }

    /// The first of what was held, once nothing is awaited.
    pub(crate) fn release(&mut self) -> Option<(usize, Held)> {
        if self.is_waiting() {
            return None;
        }
        if planted("hold-back replayed after the watermark") {
            let is_rows = |(_, held): &(usize, Held)| matches!(held, Held::Rows(_));
            self.queue.make_contiguous().sort_by_key(is_rows);
        }
        let first = self.queue.pop_front();
        if first.is_none() {
            (self.rows, self.bytes) = (0, 0);
        }
        first
    }

    /// Whether neither anything is awaited nor held.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_waiting() && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_testkit::toys::{pairs, rows};

    fn group_of(key: i64, space: KeySpace) -> KeyGroup {
        let mut hashes = Vec::new();
        let key: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int64Array::from(vec![key]));
        hash_keys(&[key], &mut hashes).expect("integers can be hashed");
        space.group_of(hashes[0])
    }

    fn released(holdback: &mut HoldBack) -> Vec<String> {
        let word = |(channel, held)| match held {
            Held::Rows(batch) => format!("{channel}: {:?}", pairs(&batch.records)),
            Held::Watermark(watermark) => format!("{channel}: {watermark}"),
            Held::Idle(rest) => format!("{channel}: idle, {rest:?}"),
            Held::Ended(by_end) => format!("{channel}: ended {by_end}"),
        };
        std::iter::from_fn(|| holdback.release()).map(word).collect()
    }

    #[test]
    fn rows_of_awaited_groups_wait_in_order_with_what_speaks_of_time_behind_them() {
        let space = KeySpace::default();
        let mut holdback = HoldBack::new(space, 100, 1 << 20);
        holdback.await_groups(3, &[group_of(1, space)].into_iter().collect());
        holdback.await_groups(4, &[group_of(2, space)].into_iter().collect());
        let batch = Batch::new(rows(&[(0, 10), (1, 11), (2, 12), (0, 13)]));
        let free = holdback.hold(0, &[0], batch).expect("keys can be hashed").expect("some are free");
        assert_eq!(pairs(&free.records), [(0, 10), (0, 13)]);
        holdback.push(0, Held::Idle(Rest::Silent));
        assert!(holdback.hold(1, &[0], Batch::new(rows(&[(1, 14)]))).expect("keys can be hashed").is_none());
        holdback.arrived(3);
        assert!(holdback.release().is_none(), "one giver is still awaited");
        let batch = Batch::new(rows(&[(1, 15)]));
        let free = holdback.hold(1, &[0], batch).expect("keys can be hashed");
        assert!(free.is_none(), "its state is here, but an earlier row of its key still waits");
        holdback.arrived(4);
        let expected = ["0: [(1, 11), (2, 12)]", "0: idle, Silent", "1: [(1, 14)]", "1: [(1, 15)]"];
        assert_eq!(released(&mut holdback), expected);
        assert!(holdback.is_empty());
    }

    #[test]
    fn a_bound_on_rows_stops_the_channels() {
        let space = KeySpace::default();
        let mut holdback = HoldBack::new(space, 2, 1 << 20);
        holdback.await_groups(0, &KeyGroups::range(0, space.len()));
        for full in [false, true] {
            holdback.push(0, Held::Idle(Rest::Silent));
            assert_eq!(holdback.is_full(), full);
        }
        holdback.arrived(0);
        assert!(!holdback.is_full());
    }
}
