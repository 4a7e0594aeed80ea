//! How far windows have come, for each key group.
//!
//! ```text
//! progress      key group │ _watermark                      where windows are closed (upsert)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Error, EventTime, Result, Watermark, columns};
use thalweg_state::{FrozenTable, KeyGroup, KeyGroups, KeySpace, Restored, Snapshot};

use super::{key_group_column, key_group_field, key_groups, key_groups_of};
use crate::aggregate::schema_of;
use crate::window::{TIME, times};

/// Which key groups are ours, and where their windows are closed.
pub(crate) struct Progress {
    /// The name of the table; an operator with two of them gives two names.
    table: &'static str,
    schema: SchemaRef,
    key_space: KeySpace,
    /// The key groups whose progress is ours to write.
    owned: Vec<KeyGroup>,
    closed: Watermark,
}

impl Progress {
    pub(crate) fn new(table: &'static str) -> Self {
        let watermark: FieldRef = Arc::new(Field::new(columns::ROW_WATERMARK, TIME, false));
        Self {
            table,
            schema: schema_of([vec![key_group_field(), watermark]]),
            key_space: KeySpace::default(),
            owned: Vec::new(),
            closed: Watermark::START,
        }
    }

    /// Goes on where each key group of the past has closed windows, and answers that.
    /// Without a past it begins with an even share of all key groups, and answers nothing.
    pub(crate) fn open(
        &mut self,
        restored: &mut Restored,
        settings: &Settings,
    ) -> Result<BTreeMap<u16, Watermark>> {
        self.key_space = settings.key_space;
        let past = restored.take(self.table);
        if past.is_empty() {
            let share = settings.key_space.share(settings.subtask.0, settings.parallelism);
            self.owned = share.iter().collect();
        }
        self.adopt(&past)
    }

    /// Windows that end at or before this are closed.
    pub(crate) fn closed(&self) -> Watermark {
        self.closed
    }

    pub(crate) fn close_until(&mut self, watermark: Watermark) {
        self.closed = self.closed.max(watermark);
    }

    /// How far windows have come, as part of a snapshot.
    pub(crate) fn freeze(&self) -> Result<FrozenTable> {
        self.of(&self.owned)
    }

    /// Gives these key groups away.
    pub(crate) fn take(&mut self, groups: &KeyGroups) -> Result<FrozenTable> {
        let (leaving, staying): (Vec<_>, Vec<_>) =
            self.owned.iter().partition(|&&group| groups.contains(group));
        self.owned = staying;
        self.of(&leaving)
    }

    /// Receives key groups that another gave away. Answers where each has closed windows.
    pub(crate) fn put(&mut self, given: &Snapshot) -> Result<BTreeMap<u16, Watermark>> {
        self.adopt(given.batches_of(self.table))
    }

    /// The key groups of rows with these keys, as a column.
    pub(crate) fn key_groups_of(&self, keys: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        Ok(key_group_column(&key_groups_of(self.key_space, keys, rows)?))
    }

    /// Makes the key groups of these rows our own. Answers where each has closed windows.
    fn adopt<'a>(
        &mut self,
        batches: impl IntoIterator<Item = &'a RecordBatch>,
    ) -> Result<BTreeMap<u16, Watermark>> {
        let mut progress = BTreeMap::new();
        for batch in batches {
            let watermarks = times(batch, 1)?.iter().map(|&time| Watermark(EventTime(time)));
            progress.extend(key_groups(batch)?.iter().copied().zip(watermarks));
        }
        self.owned.extend(progress.keys().map(|&group| KeyGroup(group)));
        self.closed = progress.values().copied().fold(self.closed, Watermark::max);
        Ok(progress)
    }

    fn of(&self, groups: &[KeyGroup]) -> Result<FrozenTable> {
        let watermarks = TimestampNanosecondArray::from_value(self.closed.nanos(), groups.len());
        let columns: Vec<ArrayRef> = vec![key_group_column(groups), Arc::new(watermarks)];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| Error::internal("the progress of windows does not fit its table").because(e))?;
        Ok(FrozenTable::upsert(self.table, 0, vec![batch]))
    }
}
