//! One object of a table: Parquet, which any tool can read.
//!
//! The rows are sorted by key group, keeping the order of rows of one group, so
//! that a restore of some groups skips row groups by the statistics of the
//! `_key_group` column. Integers are delta packed, nothing is compressed and
//! only the key group has statistics: measured, more costs more than it saves.

mod read;
mod sort;
mod storable;
mod write;

pub(crate) use read::{Wanted, check, read, read_stored};
pub(crate) use storable::Stored;
pub(crate) use write::{Encoded, encode, objects};

/// Key groups in ranges of their own, up to this number; beyond it one range covers all.
const GROUP_RANGES_MAX: usize = 8;
/// Where the schema stands of rows that Parquet cannot hold as they are.
const SCHEMA_KEY: &str = "thalweg:schema";

#[cfg(test)]
mod tests;
