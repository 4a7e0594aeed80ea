//! What did key K hold at epoch E?
//!
//! This crate owns what is remembered: the key space and its hash, the names of
//! things that outlive a process (operators, epochs, incarnations), the tables in
//! which operators give their state to a checkpoint, and the objects in which a
//! job's history lies. What decides (manifests, compaction, what is garbage) reads
//! no clock, opens no file and spawns nothing; only a [`store`] touches the world.
//! It knows no operator, no job that runs, no SQL.
//!
//! ```text
//! row ── key columns ──► hash_keys ──► u64 ──► KeySpace::group_of ──► KeyGroup
//!                                                                      │
//! operator state ── freeze ──► Snapshot { FrozenTable with a _key_group column }
//!                                    │ History::write_snapshot
//!                                    ▼
//!          Parquet objects ◄── named by ── Manifest ── History::settle ──► epochs/E
//!                 │                                                         │
//!                 └─────────── History::restore, by key groups ◄────────────┘
//! ```

mod checksum;
mod compaction;
mod history;
mod id;
mod key_group;
mod key_hash;
mod manifest;
mod object;
mod planted;
mod snapshot;
pub mod store;
mod table;

pub use checksum::{Checksum, ChecksumError};
pub use compaction::{Compacted, Compaction};
pub use history::{Claim, Claimed, Collected, History, Part};
pub use id::{Epoch, Incarnation, JobId, OperatorId, SplitId, Subtask};
pub use key_group::{KEY_GROUPS_DEFAULT, KeyGroup, KeyGroups, KeySpace};
pub use key_hash::{KeyError, hash_keys};
pub use manifest::{
    Expired, FORMAT, Head, Manifest, ObjectEntry, OperatorPart, OperatorRecord, Settlement, SplitPosition,
    TablePart, TableRecord,
};
#[cfg(feature = "planted")]
pub use planted::plant;
pub use planted::planted;
pub use snapshot::{Change, Expiry, FrozenTable, KEY_GROUP_COLUMN, Restored, Snapshot};
pub use table::{Table, TableError};
