//! Keys of panes, each under one id for all of them.
//!
//! The keys of a pane are looked up once; from then on its states are merged by
//! id, without hashing, as often as windows read it.

use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array};
use arrow::compute::{concat, take_arrays};
use thalweg_dataflow::Result;

use crate::aggregate::{Columns, Grouping, failed, schema_of};
use crate::group_table::GroupKeys;

/// All keys that were looked up, numbered from 0 in the order of first sight.
pub(super) struct Dictionary {
    keys: GroupKeys,
    /// The keys by id, in pieces.
    known: Vec<Columns>,
}

impl Dictionary {
    pub(super) fn new(grouping: &Grouping) -> Result<Self> {
        Ok(Self { keys: GroupKeys::new(schema_of([grouping.key_fields()]))?, known: Vec::new() })
    }

    /// The ids of keys of which no two are equal.
    pub(super) fn ids_of(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<usize>> {
        let (before, mut ids) = (self.keys.len(), Vec::new());
        self.keys.intern(keys, rows, &mut ids)?;
        let new: UInt32Array = (0..).zip(&ids).filter(|(_, id)| **id >= before).map(|(row, _)| row).collect();
        if new.len() == rows {
            self.known.push(keys.to_vec());
        } else if !new.is_empty() {
            self.known.push(take_arrays(keys, &new, None).map_err(|e| failed(e.into()))?);
        }
        Ok(ids)
    }

    /// The keys with these ids, in this order.
    pub(super) fn keys(&mut self, ids: &[usize]) -> Result<Columns> {
        if let [first, _, ..] = &self.known[..] {
            let column = |index: usize| {
                let pieces: Vec<&dyn Array> = self.known.iter().map(|keys| keys[index].as_ref()).collect();
                concat(&pieces).map_err(|e| failed(e.into()))
            };
            self.known = vec![(0..first.len()).map(column).collect::<Result<_>>()?];
        }
        let all = self.known.first().cloned().unwrap_or_default();
        if ids.len() == self.keys.len() && ids.iter().copied().eq(0..ids.len()) {
            return Ok(all);
        }
        let ids: UInt64Array = ids.iter().map(|&id| id as u64).collect();
        take_arrays(&all, &ids, None).map_err(|e| failed(e.into()))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn clear(&mut self) -> Result<()> {
        self.known.clear();
        self.keys.clear()
    }

    pub(super) fn bytes(&self) -> usize {
        let known = self.known.iter().flatten().map(|column| column.get_array_memory_size());
        self.keys.bytes() + known.sum::<usize>()
    }
}
