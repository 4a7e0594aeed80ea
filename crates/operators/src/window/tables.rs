//! Tables of one grouping: made when they are needed, used again when they are empty.

use thalweg_dataflow::{Functions, Result};

use crate::aggregate::{Grouping, Inputs};
use crate::group_table::GroupTable;

/// The most emptied tables that are kept.
const TABLES_KEPT_MAX: usize = 2;

/// Makes tables and takes them back.
pub(super) struct Tables {
    grouping: Grouping,
    inputs: Inputs,
    functions: Functions,
    kept: Vec<GroupTable>,
}

impl Tables {
    /// Fails if a call cannot be computed: makes a first table at once.
    pub(super) fn new(grouping: &Grouping, inputs: Inputs, functions: &Functions) -> Result<Self> {
        let kept = vec![GroupTable::new(grouping, &inputs, functions)?];
        Ok(Self { grouping: grouping.clone(), inputs, functions: functions.clone(), kept })
    }

    /// What is computed of a row before it is grouped.
    pub(super) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Whether older states may come into a table behind newer ones.
    pub(super) fn merge_in_any_order(&self) -> bool {
        self.grouping.splits()
    }

    /// An empty table, used or new.
    pub(super) fn table(&mut self) -> Result<GroupTable> {
        match self.kept.pop() {
            Some(table) => Ok(table),
            None => GroupTable::new(&self.grouping, &self.inputs, &self.functions),
        }
    }

    /// Takes back a table that was emptied.
    pub(super) fn keep(&mut self, table: GroupTable) {
        debug_assert!(table.is_empty(), "only empty tables are used again");
        if self.kept.len() < TABLES_KEPT_MAX {
            self.kept.push(table);
        }
    }

    /// The bytes of the tables that wait.
    pub(super) fn bytes(&self) -> usize {
        self.kept.iter().map(GroupTable::bytes).sum()
    }
}
