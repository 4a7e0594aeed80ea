//! Writing tables: those that a subtask froze, and those that a compaction made of others.
//!
//! Encoding computes for long; others of the same thread have their turn after each object.

use tokio::task::yield_now;

use crate::compaction::{Compacted, Compaction, Lease, rewrite};
use crate::history::History;
use crate::history::names::table_object;
use crate::manifest::{ObjectEntry, TablePart};
use crate::object::{Encoded, encode};
use crate::store::StoreError;
use crate::{Epoch, FrozenTable, Incarnation, OperatorId, Snapshot, Subtask, planted};

/// Who writes tables, and when: no two writers have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The operator.
    pub operator: OperatorId,
    /// The epoch whose barrier froze the tables.
    pub epoch: Epoch,
    /// The life of the job.
    pub incarnation: Incarnation,
    /// Which of the operator's subtasks.
    pub subtask: Subtask,
    /// Which attempt at this epoch, where there can be several with different rows.
    pub attempt: u32,
}

impl History {
    /// Writes what one subtask of one operator froze. Repeating it with the same part and rows is fine.
    pub async fn write_snapshot(
        &self,
        part: &Part,
        snapshot: &Snapshot,
    ) -> Result<Vec<TablePart>, StoreError> {
        let mut written = Vec::with_capacity(snapshot.tables.len());
        for table in &snapshot.tables {
            written.push(self.write_table(part, table).await?);
        }
        Ok(written)
    }

    /// Writes one table; no object if it has no rows.
    pub async fn write_table(&self, part: &Part, table: &FrozenTable) -> Result<TablePart, StoreError> {
        let writer = match planted("shared object names") {
            true => "0-0".to_owned(),
            false => format!("{}-{}", part.subtask, part.attempt),
        };
        let origin = (part.epoch, part.incarnation);
        let mut objects = Vec::new();
        for (index, encoded) in encode(table)?.enumerate() {
            let name = table_object(&part.operator, &table.name, origin, &writer, index);
            objects.push(self.write_object(name, part.epoch, encoded?).await?);
            yield_now().await;
        }
        Ok(TablePart { name: table.name.to_string(), change: table.change, expiry: table.expiry, objects })
    }

    /// Rewrites some objects of a table as fewer.
    ///
    /// The result is kept from being collected until it is dropped: keep it until
    /// a manifest that was made with it is settled as complete.
    pub async fn compact(
        &self,
        compaction: &Compaction,
        incarnation: Incarnation,
    ) -> Result<Compacted, StoreError> {
        let origin = (compaction.epoch, incarnation);
        let mut lease = Lease::new(&self.awaited);
        // A collection that runs may be about to delete what an earlier attempt left under its name.
        let writer = format!("compacted-{}", lease.number);
        let mut outputs = Vec::new();
        let mut slices = rewrite(self, compaction);
        while let Some(slice) = slices.next().await? {
            for encoded in slice {
                let name =
                    table_object(&compaction.operator, &compaction.table, origin, &writer, outputs.len());
                lease.add(&name);
                outputs.push(self.write_object(name, compaction.newest_input(), encoded).await?);
            }
            yield_now().await;
        }
        Ok(Compacted::new(compaction.clone(), outputs, lease))
    }

    async fn write_object(
        &self,
        name: String,
        epoch: Epoch,
        encoded: Encoded,
    ) -> Result<ObjectEntry, StoreError> {
        let Encoded { bytes, checksum, rows, groups, latest } = encoded;
        let length = bytes.len() as u64;
        self.create_same(&name, bytes).await?;
        Ok(ObjectEntry { name, epoch, rows, bytes: length, checksum, groups, latest })
    }
}
