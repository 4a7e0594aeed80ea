//! Reading tables back: the rows of some key groups, oldest epoch first.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt, TryStreamExt, iter};

use tokio::task::yield_now;

use crate::history::History;
use crate::manifest::{Manifest, ObjectEntry, OperatorRecord, TableRecord};
use crate::object::{Wanted, check, read};
use crate::store::StoreError;
use crate::{KeyGroups, Restored};

/// So many objects are asked for before the first is decoded: a remote store answers slowly.
const READS_AHEAD: usize = 4;

impl History {
    /// The rows of these key groups of an operator's tables: of each table oldest epoch first,
    /// without those that are over.
    ///
    /// Rows of one key group that one epoch wrote keep their order.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the object that is not what was written, and says why.
    pub async fn restore(
        &self,
        operator: &OperatorRecord,
        groups: &KeyGroups,
    ) -> Result<Restored, StoreError> {
        let mut restored = Restored::nothing();
        for (name, table) in &operator.tables {
            self.restore_table(name, table, groups, &mut restored).await?;
        }
        Ok(restored)
    }

    /// Checks that every object which a checkpoint names is there, whole and readable.
    pub async fn verify(&self, manifest: &Manifest) -> Result<(), StoreError> {
        for entry in manifest.objects() {
            let bytes = check(entry, self.read_object(&entry.name).await?)?;
            read(&entry.name, bytes, &Wanted { groups: &entry.groups, expired: None })?;
        }
        Ok(())
    }

    /// The bytes of an object of a table, as they are.
    pub(crate) async fn read_object(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.store.read(&self.place(name)).await
    }

    fn fetch<'a>(
        &'a self,
        entry: &'a ObjectEntry,
    ) -> BoxFuture<'a, Result<(&'a ObjectEntry, Option<Bytes>), StoreError>> {
        Box::pin(async move { Ok((entry, self.read_object(&entry.name).await?)) })
    }

    async fn restore_table(
        &self,
        name: &str,
        table: &TableRecord,
        groups: &KeyGroups,
        restored: &mut Restored,
    ) -> Result<(), StoreError> {
        let needed = table.objects.iter().filter(|object| {
            object.groups.intersects(groups) && !table.expired.is_some_and(|expired| expired.covers(object))
        });
        let reads: Vec<_> = needed.map(|entry| self.fetch(entry)).collect();
        let mut reads = iter(reads).buffered(READS_AHEAD);
        while let Some((entry, bytes)) = reads.try_next().await? {
            let wanted = Wanted { groups, expired: expired_rows(table, entry) };
            restored.add(name, read(&entry.name, check(entry, bytes)?, &wanted)?);
            yield_now().await;
        }
        Ok(())
    }
}

/// Which rows of an object are over.
pub(crate) fn expired_rows(table: &TableRecord, object: &ObjectEntry) -> Option<(usize, i64)> {
    let expired = table.expired.filter(|expired| object.epoch <= expired.epoch)?;
    Some((expired.column, expired.through))
}
