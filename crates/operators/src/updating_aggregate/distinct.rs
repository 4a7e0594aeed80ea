//! Which values a group has already seen: the memory of a `DISTINCT` call.
//!
//! Pairs of group and arguments, each once. A row whose pair is new is fed to
//! the plain aggregate; all others are not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, FieldRef, UInt32Type};
use thalweg_dataflow::Result;
use thalweg_state::{KeyGroup, Table};

use super::groups::store;
use crate::aggregate::{AggregateCall, Columns, failed, schema_of};
use crate::group_table::GroupKeys;

/// The pairs of one call.
pub(super) struct Seen {
    pairs: GroupKeys,
    /// The same pairs by id, with their key groups and marks: the group's id, then the arguments.
    pub(super) table: Table,
    ids: Vec<usize>,
}

impl Seen {
    pub(super) fn new(call: &AggregateCall) -> Result<Self> {
        let schema = schema_of([
            vec![Arc::new(Field::new("_group", DataType::UInt32, false)) as FieldRef],
            Self::argument_fields(call, 0),
        ]);
        let table = Table::new("distinct", schema.fields().len(), Arc::clone(&schema)).map_err(store)?;
        Ok(Self { pairs: GroupKeys::new(schema)?, table, ids: Vec::new() })
    }

    /// The arguments of the call with this number, as columns of a durable table.
    pub(super) fn argument_fields(call: &AggregateCall, number: usize) -> Vec<FieldRef> {
        let arguments = call.arguments().iter().enumerate();
        arguments
            .map(|(i, e)| Arc::new(Field::new(format!("_value_{number}_{i}"), e.data_type().clone(), true)))
            .collect()
    }

    /// Which of the rows that pass `only` are the first of their pair.
    /// `groups` are group ids; `key_group` tells where a group lives.
    pub(super) fn first_of(
        &mut self,
        groups: &[usize],
        arguments: &[ArrayRef],
        only: Option<&BooleanArray>,
        key_group: impl Fn(usize) -> KeyGroup,
    ) -> Result<BooleanArray> {
        let groups: ArrayRef = Arc::new(groups.iter().map(|&id| id as u32).collect::<UInt32Array>());
        let all = [&groups].into_iter().chain(arguments);
        let columns: Columns = match only {
            Some(only) => {
                all.map(|c| filter(c, only)).collect::<Result<_, _>>().map_err(|e| failed(e.into()))?
            }
            None => all.cloned().collect(),
        };
        let is_new = self.add(&columns, key_group)?;
        let mut is_new = is_new.into_iter();
        let mut next = || is_new.next().unwrap_or(false);
        Ok(match only {
            Some(only) => only.iter().map(|passes| Some(passes == Some(true) && next())).collect(),
            None => (0..groups.len()).map(|_| Some(next())).collect(),
        })
    }

    /// Adds pairs; answers for each row whether its pair was new.
    pub(super) fn add(
        &mut self,
        columns: &[ArrayRef],
        key_group: impl Fn(usize) -> KeyGroup,
    ) -> Result<Vec<bool>> {
        let before = self.table.len();
        self.pairs.intern(columns, columns[0].len(), &mut self.ids)?;
        let mut first_rows = vec![None; self.pairs.len() - before];
        let mut is_new = vec![false; self.ids.len()];
        for (row, &id) in self.ids.iter().enumerate() {
            if let Some(first) = id.checked_sub(before).map(|new| &mut first_rows[new])
                && first.is_none()
            {
                *first = Some(row as u32);
                is_new[row] = true;
            }
        }
        let rows: UInt32Array = first_rows.into_iter().flatten().collect();
        let new = arrow::compute::take_arrays(columns, &rows, None).map_err(|e| failed(e.into()))?;
        let groups = new[0].as_primitive::<UInt32Type>().values();
        let key_groups: Vec<KeyGroup> = groups.iter().map(|&group| key_group(group as usize)).collect();
        self.table.push(&key_groups, &new).map_err(store)?;
        Ok(is_new)
    }

    pub(super) fn bytes(&self) -> usize {
        self.pairs.bytes() + self.table.bytes() + self.ids.capacity() * size_of::<usize>()
    }
}
