//! Rows by key group: one hash and one `take` per batch, then slices.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use thalweg_dataflow::routing::RoutingTable;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::hash_keys;

use crate::channel::slice_bytes;

/// Deals rows out to the owners of their key groups.
#[derive(Debug)]
pub(super) struct Partitioner {
    key: Vec<usize>,
    table: RoutingTable,
    hashes: Vec<u64>,
    receivers: Vec<u32>,
}

/// The rows of one batch that go to one receiver, in their order.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) to: usize,
    pub(super) records: RecordBatch,
    /// The bytes that stay in memory as long as these rows do.
    pub(super) pinned_bytes: usize,
}

impl Partitioner {
    pub(super) fn new(key: Vec<usize>, table: RoutingTable) -> Self {
        Self { key, table, hashes: Vec::new(), receivers: Vec::new() }
    }

    /// Routes by this table from now on.
    pub(super) fn route_by(&mut self, table: &RoutingTable) {
        self.table = table.clone();
    }

    /// Splits a batch by receiver; receivers without rows get no piece.
    pub(super) fn split(&mut self, records: RecordBatch, receivers: usize) -> Result<Vec<Piece>> {
        let counts = self.receive(&records, receivers)?;
        if let Some(to) = counts.iter().position(|&count| count == records.num_rows()) {
            let pinned_bytes = slice_bytes(&records);
            return Ok(vec![Piece { to, records, pinned_bytes }]);
        }
        let starts = starts(&counts);
        let sorted = take_record_batch(&records, &self.sorted_indices(&starts))
            .map_err(|e| Error::internal("rows cannot be taken from a batch").because(e))?;
        let pinned_bytes = slice_bytes(&sorted);
        let piece = |to: usize| Piece { to, records: sorted.slice(starts[to], counts[to]), pinned_bytes };
        Ok((0..receivers).filter(|&to| counts[to] > 0).map(piece).collect())
    }

    /// Finds the receiver of every row; gives the number of rows of each.
    fn receive(&mut self, records: &RecordBatch, receivers: usize) -> Result<Vec<usize>> {
        let columns: Vec<_> = self.key.iter().map(|&c| records.column(c).clone()).collect();
        hash_keys(&columns, &mut self.hashes)
            .map_err(|e| Error::new(Code::OperatorFailed, "a key cannot be hashed").because(e))?;
        let space = self.table.space();
        self.receivers.clear();
        self.receivers.extend(self.hashes.iter().map(|&hash| self.table.owner(space.group_of(hash))));
        let mut counts = vec![0; receivers];
        self.receivers.iter().for_each(|&to| counts[to as usize] += 1);
        Ok(counts)
    }

    /// The rows' indices, sorted by receiver and in order within each.
    fn sorted_indices(&self, starts: &[usize]) -> UInt32Array {
        let mut next = starts.to_vec();
        let mut indices = vec![0; self.receivers.len()];
        for (row, &to) in self.receivers.iter().enumerate() {
            let place = &mut next[to as usize];
            indices[*place] = row as u32;
            *place += 1;
        }
        UInt32Array::from(indices)
    }
}

fn starts(counts: &[usize]) -> Vec<usize> {
    counts
        .iter()
        .scan(0, |sum, &count| {
            let start = *sum;
            *sum += count;
            Some(start)
        })
        .collect()
}
