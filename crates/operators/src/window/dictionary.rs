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

    /// The ids of keys, the same for keys that are equal.
    pub(super) fn ids_of(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<usize>> {
        let (before, mut ids) = (self.keys.len(), Vec::new());
        self.keys.intern(keys, rows, &mut ids)?;
        // New ids are given out one after the other, each first where its key is first seen.
        let mut next = before;
        let is_first = |id: usize| {
            let first = id == next;
            next += usize::from(first);
            first
        };
        let new = (0..).zip(&ids).scan(is_first, |is_first, (row, &id)| Some(is_first(id).then_some(row)));
        let new: UInt32Array = new.flatten().collect();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::expression::Expression;
    use crate::testing::schema;

    #[test]
    fn equal_keys_have_one_id_and_each_is_known_once() {
        let key = (Expression::column(&schema("k:int"), 0), "k".to_owned());
        let mut dictionary = Dictionary::new(&Grouping::new(vec![key], Vec::new())).unwrap();
        let mut ids_of = |keys: &[i64]| {
            let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
            dictionary.ids_of(&[column], keys.len()).unwrap()
        };
        assert_eq!(ids_of(&[7, 8, 7, 9, 8]), [0, 1, 0, 2, 1]);
        assert_eq!(ids_of(&[9, 5, 5]), [2, 3, 3]);
        assert_eq!(ids_of(&[6]), [4]);
        let keys = dictionary.keys(&[4, 3, 0, 2, 1]).unwrap();
        assert_eq!(keys[0].as_primitive::<Int64Type>().values(), &[6, 5, 7, 9, 8]);
    }
}
