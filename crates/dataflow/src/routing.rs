//! Which subtask owns which key group, per edge and version.
//!
//! A rescale is a checkpoint whose barrier carries new tables; a table never
//! changes otherwise.

use serde::{Deserialize, Serialize};
use thalweg_state::{KeyGroup, KeyGroups, KeySpace};

use crate::graph::NodeId;

/// The owners of all key groups for the keyed inputs of one node.
///
/// All keyed inputs of a node share one table, so both sides of a join meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingTable {
    /// The node whose inputs are routed.
    pub node: NodeId,
    /// Counts up with every change.
    pub version: u64,
    /// The number of subtasks of `node`.
    pub parallelism: u32,
    owners: Vec<u32>,
}

impl RoutingTable {
    /// Even shares: subtask `s` of `n` owns one contiguous range of groups.
    pub fn even(node: NodeId, version: u64, space: KeySpace, parallelism: u32) -> Self {
        let owners = (0..space.len()).map(|g| space.owner(KeyGroup(g), parallelism)).collect();
        Self { node, version, parallelism, owners }
    }

    /// The subtask that owns `group`.
    #[inline]
    pub fn owner(&self, group: KeyGroup) -> u32 {
        self.owners[usize::from(group.0)]
    }

    /// The groups that `subtask` owns.
    pub fn owned(&self, subtask: u32) -> KeyGroups {
        (0..self.owners.len() as u16).map(KeyGroup).filter(|&g| self.owner(g) == subtask).collect()
    }

    /// The key space that the table covers.
    pub fn space(&self) -> KeySpace {
        KeySpace::new(self.owners.len() as u16)
    }
}
