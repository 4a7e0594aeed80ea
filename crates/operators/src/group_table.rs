//! Groups by key, each with the state of every call: DataFusion's group values
//! and accumulators as one table.
//!
//! A table can be filled, and emptied as a whole; DataFusion gives no way to
//! read a state and keep it. Emptied, it is used again.
//!
//! *The law of ids*: every group id that a table hands out is seen by every
//! accumulator in the same call. An accumulator that sees no nulls declares all
//! ids below the total as seen, so ids must never be shared between tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use thalweg_dataflow::Result;

use crate::aggregate::{CallColumns, Columns, Grouping, Inputs, failed};

/// A table whose rows once were this many times more gives their memory back.
const SHRINK_FACTOR: usize = 8;

/// Keys and their group ids, dense from 0 in the order of first sight.
pub(crate) enum GroupKeys {
    /// There is no key: all rows are group 0.
    None {
        /// Whether there was a row.
        seen: bool,
    },
    /// DataFusion's table of keys.
    Some {
        /// The table.
        values: Box<dyn GroupValues>,
        /// To make it anew.
        schema: SchemaRef,
        /// The most groups since it last gave memory back.
        peak: usize,
    },
}

impl GroupKeys {
    pub(crate) fn new(schema: SchemaRef) -> Result<Self> {
        if schema.fields().is_empty() {
            return Ok(GroupKeys::None { seen: false });
        }
        let values = new_group_values(Arc::clone(&schema), &GroupOrdering::None).map_err(failed)?;
        Ok(GroupKeys::Some { values, schema, peak: 0 })
    }

    /// Puts the group id of each row into `ids`; new keys get the next ids.
    pub(crate) fn intern(&mut self, keys: &[ArrayRef], rows: usize, ids: &mut Vec<usize>) -> Result<()> {
        match self {
            GroupKeys::None { seen } => {
                *seen |= rows > 0;
                ids.clear();
                ids.resize(rows, 0);
            }
            GroupKeys::Some { values, .. } => values.intern(keys, ids).map_err(failed)?,
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            GroupKeys::None { seen } => usize::from(*seen),
            GroupKeys::Some { values, .. } => values.len(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            GroupKeys::None { .. } => 0,
            GroupKeys::Some { values, .. } => values.size(),
        }
    }

    /// Gives the keys in the order of their ids, and forgets them.
    ///
    /// Emitting alone leaves some of DataFusion's tables half full, so the
    /// table is cleared too. Clearing takes time in proportion to what the
    /// table once held: one that held far more than now gives its memory back.
    fn take(&mut self) -> Result<Columns> {
        match self {
            GroupKeys::None { seen } => {
                *seen = false;
                Ok(Vec::new())
            }
            GroupKeys::Some { values, peak, .. } => {
                let groups = values.len();
                let keys = values.emit(EmitTo::All).map_err(failed)?;
                *peak = if groups < *peak / SHRINK_FACTOR { groups } else { groups.max(*peak) };
                values.clear_shrink(*peak);
                Ok(keys)
            }
        }
    }

    /// Forgets all keys.
    pub(crate) fn clear(&mut self) -> Result<()> {
        match self {
            GroupKeys::None { seen } => *seen = false,
            GroupKeys::Some { values, schema, peak } => {
                *values = new_group_values(Arc::clone(schema), &GroupOrdering::None).map_err(failed)?;
                *peak = 0;
            }
        }
        Ok(())
    }
}

/// One accumulator, and where its columns are.
struct Kernel {
    accumulator: Box<dyn GroupsAccumulator>,
    fed: CallColumns,
    /// The number of its state columns.
    states: usize,
}

/// Groups and their states.
pub(crate) struct GroupTable {
    keys: GroupKeys,
    key_columns: usize,
    kernels: Vec<Kernel>,
    ids: Vec<usize>,
}

impl GroupTable {
    /// An empty table; rows will come as `inputs` computes them.
    pub(crate) fn new(grouping: &Grouping, inputs: &Inputs) -> Result<Self> {
        let kernel = |(call, fed): (&crate::aggregate::AggregateCall, &CallColumns)| {
            let states = call.state_fields()?.len();
            Ok(Kernel { accumulator: call.accumulator()?, fed: fed.clone(), states })
        };
        Ok(Self {
            keys: GroupKeys::new(Arc::new(Schema::new(grouping.key_fields())))?,
            key_columns: grouping.keys().len(),
            kernels: grouping.calls().iter().zip(inputs.calls()).map(kernel).collect::<Result<_>>()?,
            ids: Vec::new(),
        })
    }

    /// The number of groups.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes held in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes()
            + self.ids.capacity() * size_of::<usize>()
            + self.kernels.iter().map(|k| k.accumulator.size()).sum::<usize>()
    }

    /// Takes rows, columns as [`Inputs`] computes them.
    pub(crate) fn update(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.keys.intern(&columns[..self.key_columns], rows, &mut self.ids)?;
        let groups = self.keys.len();
        for kernel in &mut self.kernels {
            let (arguments, filter) = kernel.fed.of(columns);
            kernel.accumulator.update_batch(arguments, &self.ids, filter, groups).map_err(failed)?;
        }
        Ok(())
    }

    /// Takes states, columns as [`take_state`](Self::take_state) gives them.
    pub(crate) fn merge(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let (keys, mut states) = columns.split_at(self.key_columns);
        self.keys.intern(keys, rows, &mut self.ids)?;
        let groups = self.keys.len();
        for kernel in &mut self.kernels {
            let (own, rest) = states.split_at(kernel.states);
            kernel.accumulator.merge_batch(own, &self.ids, groups).map_err(failed)?;
            states = rest;
        }
        Ok(())
    }

    /// The state of each row by itself, as if every row were a group: columns
    /// as [`take_state`](Self::take_state) gives them. The table stays as it is.
    pub(crate) fn convert(&self, columns: &[ArrayRef]) -> Result<Columns> {
        let mut converted = columns[..self.key_columns].to_vec();
        for kernel in &self.kernels {
            let (arguments, filter) = kernel.fed.of(columns);
            converted.extend(kernel.accumulator.convert_to_state(arguments, filter).map_err(failed)?);
        }
        Ok(converted)
    }

    /// Gives keys and states, one row per group, and is empty. Not to be called on an empty table.
    pub(crate) fn take_state(&mut self) -> Result<Columns> {
        let mut columns = self.keys.take()?;
        for kernel in &mut self.kernels {
            columns.extend(kernel.accumulator.state(EmitTo::All).map_err(failed)?);
        }
        Ok(columns)
    }

    /// Gives keys and results, one row per group, and is empty. Not to be called on an empty table.
    pub(crate) fn take_values(&mut self) -> Result<Columns> {
        let mut columns = self.keys.take()?;
        for kernel in &mut self.kernels {
            columns.push(kernel.accumulator.evaluate(EmitTo::All).map_err(failed)?);
        }
        Ok(columns)
    }
}

impl CallColumns {
    /// The call's own columns: what it is fed with, and which rows.
    pub(crate) fn of<'a>(&self, columns: &'a [ArrayRef]) -> (&'a [ArrayRef], Option<&'a BooleanArray>) {
        (&columns[self.arguments.clone()], self.filter.map(|index| columns[index].as_boolean()))
    }
}
