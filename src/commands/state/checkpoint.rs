//! One checkpoint in a line, of a listing or by itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use thalweg_state::Manifest;

use crate::commands::amounts::{age, counted, size};

/// What a listing says of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Checkpoint {
    pub(super) epoch: u64,
    /// Which life of the job made it.
    pub(super) incarnation: u64,
    pub(super) created_ms: u64,
    pub(super) parallelism: u32,
    /// The bytes of all objects that it needs.
    pub(super) bytes: u64,
    /// Whether all input was read.
    pub(super) finished: bool,
}

impl Checkpoint {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self {
            epoch: manifest.epoch.0,
            incarnation: manifest.incarnation.0,
            created_ms: manifest.created_ms,
            parallelism: manifest.parallelism,
            bytes: manifest.bytes(),
            finished: manifest.finished,
        }
    }

    /// How old it is by the wall clock.
    pub(super) fn age(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        age(now.saturating_sub(Duration::from_millis(self.created_ms)))
    }

    pub(super) fn words(&self) -> String {
        let (bytes, subtasks) = (size(self.bytes), counted(u64::from(self.parallelism), "subtask"));
        let end = if self.finished { ", all input read" } else { "" };
        format!(
            "epoch {}, {} old, {bytes}, {subtasks}, life {}{end}",
            self.epoch,
            self.age(),
            self.incarnation
        )
    }
}
