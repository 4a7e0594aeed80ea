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
use thalweg_dataflow::{Functions, Result};

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
    pub(crate) fn take(&mut self) -> Result<Columns> {
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

/// The states of groups that are known by their ids, dense from 0.
pub(crate) struct Kernels(Vec<Kernel>);

impl Kernels {
    /// No groups yet; rows will come as `inputs` computes them.
    pub(crate) fn new(grouping: &Grouping, inputs: &Inputs, functions: &Functions) -> Result<Self> {
        let kernel = |(call, fed): (&crate::aggregate::AggregateCall, &CallColumns)| {
            let states = call.state_fields()?.len();
            Ok(Kernel { accumulator: call.accumulator(functions)?, fed: fed.clone(), states })
        };
        Ok(Self(grouping.calls().iter().zip(inputs.calls()).map(kernel).collect::<Result<_>>()?))
    }

    /// Takes rows, columns as [`Inputs`] computes them, for the groups in `ids`, of which there are `groups`.
    pub(crate) fn update(&mut self, columns: &[ArrayRef], ids: &[usize], groups: usize) -> Result<()> {
        for kernel in &mut self.0 {
            let (arguments, filter) = kernel.fed.of(columns);
            kernel.accumulator.update_batch(arguments, ids, filter, groups).map_err(failed)?;
        }
        Ok(())
    }

    /// Takes states, columns as [`take_state`](Self::take_state) gives them.
    pub(crate) fn merge(&mut self, states: &[ArrayRef], ids: &[usize], groups: usize) -> Result<()> {
        let mut states = states;
        for kernel in &mut self.0 {
            let (own, rest) = states.split_at(kernel.states);
            kernel.accumulator.merge_batch(own, ids, groups).map_err(failed)?;
            states = rest;
        }
        Ok(())
    }

    /// The state of each row by itself.
    fn convert(&self, columns: &[ArrayRef]) -> Result<Columns> {
        let mut converted = Columns::new();
        for kernel in &self.0 {
            let (arguments, filter) = kernel.fed.of(columns);
            converted.extend(kernel.accumulator.convert_to_state(arguments, filter).map_err(failed)?);
        }
        Ok(converted)
    }

    /// Gives states, one row per group, and has no groups. Not to be called where there are none.
    pub(crate) fn take_state(&mut self) -> Result<Columns> {
        let mut columns = Columns::new();
        for kernel in &mut self.0 {
            columns.extend(kernel.accumulator.state(EmitTo::All).map_err(failed)?);
        }
        Ok(columns)
    }

    /// Gives results, one row per group, and has no groups. Not to be called where there are none.
    pub(crate) fn take_values(&mut self) -> Result<Columns> {
        let value = |kernel: &mut Kernel| kernel.accumulator.evaluate(EmitTo::All).map_err(failed);
        self.0.iter_mut().map(value).collect()
    }

    /// The bytes held in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|kernel| kernel.accumulator.size()).sum()
    }
}

/// Groups and their states.
pub(crate) struct GroupTable {
    keys: GroupKeys,
    key_columns: usize,
    kernels: Kernels,
    ids: Vec<usize>,
}

impl GroupTable {
    /// An empty table; rows will come as `inputs` computes them.
    pub(crate) fn new(grouping: &Grouping, inputs: &Inputs, functions: &Functions) -> Result<Self> {
        Ok(Self {
            keys: GroupKeys::new(Arc::new(Schema::new(grouping.key_fields())))?,
            key_columns: grouping.keys().len(),
            kernels: Kernels::new(grouping, inputs, functions)?,
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
        self.keys.bytes() + self.ids.capacity() * size_of::<usize>() + self.kernels.bytes()
    }

    /// Takes rows, columns as [`Inputs`] computes them.
    pub(crate) fn update(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.keys.intern(&columns[..self.key_columns], rows, &mut self.ids)?;
        self.kernels.update(columns, &self.ids, self.keys.len())
    }

    /// Takes states, columns as [`take_state`](Self::take_state) gives them.
    pub(crate) fn merge(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let (keys, states) = columns.split_at(self.key_columns);
        self.keys.intern(keys, rows, &mut self.ids)?;
        self.kernels.merge(states, &self.ids, self.keys.len())
    }

    /// The state of each row by itself, as if every row were a group: columns
    /// as [`take_state`](Self::take_state) gives them. The table stays as it is.
    pub(crate) fn convert(&self, columns: &[ArrayRef]) -> Result<Columns> {
        let keys = columns[..self.key_columns].iter().cloned();
        Ok(keys.chain(self.kernels.convert(columns)?).collect())
    }

    /// Gives keys and states, one row per group, and is empty. Not to be called on an empty table.
    pub(crate) fn take_state(&mut self) -> Result<Columns> {
        let mut columns = self.keys.take()?;
        columns.extend(self.kernels.take_state()?);
        Ok(columns)
    }

    /// Gives keys and results, one row per group, and is empty. Not to be called on an empty table.
    pub(crate) fn take_values(&mut self) -> Result<Columns> {
        let mut columns = self.keys.take()?;
        columns.extend(self.kernels.take_values()?);
        Ok(columns)
    }
}

impl CallColumns {
    /// The call's own columns: what it is fed with, and which rows.
    pub(crate) fn of<'a>(&self, columns: &'a [ArrayRef]) -> (&'a [ArrayRef], Option<&'a BooleanArray>) {
        (&columns[self.arguments.clone()], self.filter.map(|index| columns[index].as_boolean()))
    }
}
