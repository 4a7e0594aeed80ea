//! The object that makes a checkpoint exist: what each operator's tables are made of.
//!
//! A manifest names every object that its epoch needs, also those that earlier
//! epochs wrote, so that it can be restored by itself. It is written once, as
//! `epochs/E`, and never changes.

mod evolution;
mod sealed;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use evolution::{Head, OperatorPart, TablePart};
pub(crate) use sealed::{Kind, from_hex, open, seal, to_hex};

use crate::checksum::Checksum;
use crate::{Change, Epoch, Incarnation, JobId, KeyGroups, OperatorId, SplitId};

/// The format of what this version writes, and the only one that it reads.
pub const FORMAT: u32 = 1;

/// How an epoch ended. There is one settlement per epoch, and it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "one at a time, and most are complete")]
pub enum Settlement {
    /// Everything up to the epoch's barriers is in the manifest.
    Complete(Manifest),
    /// The epoch never was; its rows belong to the next one.
    Aborted {
        /// The life of the job that gave it up.
        incarnation: Incarnation,
        /// Who wrote this.
        writer: String,
    },
}

/// A complete checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of this and of all objects it names: [`FORMAT`].
    pub format: u32,
    /// Whose checkpoint it is.
    pub job: JobId,
    /// Which cut through the stream it is.
    pub epoch: Epoch,
    /// The life of the job that made it.
    pub incarnation: Incarnation,
    /// Who wrote this, unlike anybody else.
    pub writer: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The size of the key space.
    pub key_groups: u16,
    /// How many subtasks the job had.
    pub parallelism: u32,
    /// Whether all inputs were read to their ends.
    pub finished: bool,
    /// The script that the job ran; empty for a program.
    pub script: String,
    /// What each operator remembers.
    pub operators: BTreeMap<OperatorId, OperatorRecord>,
}

/// What one operator remembers, of all its subtasks together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRecord {
    /// Which operator it is.
    pub kind: String,
    /// What its state depends on: state of another fingerprint is not its state.
    pub fingerprint: String,
    /// What people call it.
    pub label: String,
    /// Its tables by name.
    pub tables: BTreeMap<String, TableRecord>,
    /// How far each split of a source is read.
    pub splits: Vec<SplitPosition>,
    /// What a sink has prepared and any process can commit.
    #[serde(with = "sealed::hex_list")]
    pub committables: Vec<Bytes>,
}

/// What one table is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// How later rows relate to earlier ones.
    pub change: Change,
    /// Which rows are over, if any ever are.
    pub expired: Option<Expired>,
    /// The objects, oldest epoch first. Those of one epoch share no key.
    pub objects: Vec<ObjectEntry>,
}

/// The rows of a table that nobody will ask for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// The column that decides: `Timestamp(Nanosecond)` or `Int64`.
    pub column: usize,
    /// Rows with this value or a lower one are over.
    pub through: i64,
    /// If this or an earlier epoch wrote them.
    pub epoch: Epoch,
}

/// How far a split is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPosition {
    /// The split.
    pub split: SplitId,
    /// The source's own word for the place; none: not begun.
    #[serde(with = "sealed::hex_option")]
    pub position: Option<Bytes>,
}

/// One object of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// Its name within the job's folder.
    pub name: String,
    /// The newest epoch whose rows are in it.
    pub epoch: Epoch,
    /// The rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The checksum of all of it.
    pub checksum: Checksum,
    /// Key groups that cover those of all its rows.
    pub groups: KeyGroups,
    /// The highest value of the column that decides about expiry; none: some row never expires.
    pub latest: Option<i64>,
}

impl Manifest {
    /// The name, within the job's folder, of every object that a restore reads.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectEntry> {
        self.operators.values().flat_map(|o| o.tables.values()).flat_map(|t| &t.objects)
    }

    /// The bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.objects().map(|o| o.bytes).sum()
    }
}

impl Expired {
    /// Whether no row of the object will be asked for.
    pub(crate) fn covers(&self, object: &ObjectEntry) -> bool {
        object.epoch <= self.epoch && object.latest.is_some_and(|latest| latest <= self.through)
    }
}

#[cfg(test)]
mod tests;
