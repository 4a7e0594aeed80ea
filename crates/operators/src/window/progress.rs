//! How far windows have come, for each key group.
//!
//! ```text
//! progress      key group │ _watermark                      where windows are closed (upsert)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampNanosecondArray, UInt16Array,
};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, UInt16Type};
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Code, Error, EventTime, Result, Watermark, columns};
use thalweg_state::{Change, FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, KeySpace, hash_keys};

use super::{TIME, times};
use crate::aggregate::schema_of;

pub(super) const PROGRESS: &str = "progress";

/// The first column of every durable table.
pub(super) fn key_group_field() -> FieldRef {
    Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false))
}

/// Which key groups are ours, and where their windows are closed.
pub(super) struct Progress {
    schema: SchemaRef,
    key_space: KeySpace,
    /// The key groups whose progress is ours to write.
    owned: Vec<KeyGroup>,
    closed: Watermark,
}

impl Progress {
    pub(super) fn new() -> Self {
        let watermark: FieldRef = Arc::new(Field::new(columns::ROW_WATERMARK, TIME, false));
        Self {
            schema: schema_of([vec![key_group_field(), watermark]]),
            key_space: KeySpace::default(),
            owned: Vec::new(),
            closed: Watermark::START,
        }
    }

    /// Begins without a past.
    pub(super) fn begin(&mut self, settings: &Settings) {
        self.key_space = settings.key_space;
        self.owned = settings.key_space.share(settings.subtask.0, settings.parallelism).iter().collect();
    }

    /// Goes on from a past that is then [adopted](Self::adopt).
    pub(super) fn resume(&mut self, settings: &Settings) {
        self.key_space = settings.key_space;
    }

    /// Windows that end at or before this are closed.
    pub(super) fn closed(&self) -> Watermark {
        self.closed
    }

    pub(super) fn close_until(&mut self, watermark: Watermark) {
        self.closed = self.closed.max(watermark);
    }

    /// Makes the key groups of these rows our own. Answers where each has closed windows.
    pub(super) fn adopt<'a>(
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

    /// How far windows have come, as part of a snapshot.
    pub(super) fn freeze(&self) -> Result<FrozenTable> {
        self.of(&self.owned)
    }

    /// Gives these key groups away.
    pub(super) fn leave(&mut self, groups: &KeyGroups) -> Result<FrozenTable> {
        let (leaving, staying): (Vec<_>, Vec<_>) =
            self.owned.iter().partition(|&&group| groups.contains(group));
        self.owned = staying;
        self.of(&leaving)
    }

    fn of(&self, groups: &[KeyGroup]) -> Result<FrozenTable> {
        let watermarks = TimestampNanosecondArray::from_value(self.closed.nanos(), groups.len());
        let groups: UInt16Array = groups.iter().map(|group| group.0).collect();
        let batch =
            RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(groups), Arc::new(watermarks)])
                .map_err(|e| Error::internal("the progress of windows does not fit its table").because(e))?;
        Ok(FrozenTable { name: PROGRESS, change: Change::Upsert, batches: vec![batch] })
    }

    /// Where rows live.
    pub(super) fn key_space(&self) -> KeySpace {
        self.key_space
    }
}

/// Where rows with these keys live. The one key of a grouping without keys is the integer 0.
pub(super) fn key_groups_of(space: KeySpace, keys: &[ArrayRef], rows: usize) -> Result<UInt16Array> {
    let mut hashes = Vec::new();
    let constant: [ArrayRef; 1] = [Arc::new(Int64Array::from_value(0, rows))];
    hash_keys(if keys.is_empty() { &constant } else { keys }, &mut hashes)
        .map_err(|e| Error::new(Code::InvalidType, "rows cannot be grouped").because(e))?;
    Ok(hashes.iter().map(|&hash| space.group_of(hash).0).collect())
}

/// The key groups of the rows of a durable table.
pub(super) fn key_groups(batch: &RecordBatch) -> Result<&[u16]> {
    match batch.column(0).as_primitive_opt::<UInt16Type>() {
        Some(groups) if groups.null_count() == 0 => Ok(groups.values()),
        Some(_) | None => Err(Error::internal("the first column of a table is not its key group")),
    }
}
