//! State that is written in place: own columns by row id.
//!
//! A table holds one row per key, column by column, and beside each row its key
//! group and whether it changed since the last complete epoch. It does not know
//! which key is which row: who owns the table maps keys to row ids. Row ids are
//! dense, in the order of [`push`](Table::push), and never change.
//!
//! ```text
//! row id │ key group │ column 0 │ column 1 │ … │ changed
//!    0   │    713    │    …     │    …     │   │    ·
//!    1   │     42    │    …     │    …     │   │    ×      freeze: the rows marked × are the epoch's
//! ```

mod bits;
mod chunks;
mod column;
mod dirty;
mod frozen;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt16Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::{Epoch, FrozenTable, KEY_GROUP_COLUMN, KeyGroup, KeyGroups, planted};
use column::Column;
use dirty::Dirty;
use frozen::Frozen;

/// Why a table cannot hold what it is given.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Values of this type cannot be stored.
    #[error("values of type '{data_type}' cannot be kept in table '{table}'")]
    Unsupported {
        /// The table.
        table: &'static str,
        /// The type.
        data_type: DataType,
    },
    /// The columns do not fit the table's schema, or each other.
    #[error("the columns do not fit table '{table}': {reason}")]
    Mismatch {
        /// The table.
        table: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// More rows than row ids.
    #[error("table '{table}' is full: it holds 4,294,967,295 rows")]
    Full {
        /// The table.
        table: &'static str,
    },
    /// Rows cannot be turned into Arrow's form, or back.
    #[error("the rows of table '{table}' cannot be read")]
    Arrow {
        /// The table.
        table: &'static str,
        /// Arrow's own words.
        #[source]
        source: ArrowError,
    },
}

/// One named table of an operator, in memory.
pub struct Table {
    name: &'static str,
    /// The number of leading columns that are the key.
    key: usize,
    schema: SchemaRef,
    groups: Vec<u16>,
    columns: Vec<Box<dyn Column>>,
    dirty: Dirty,
    frozen: Frozen,
}

impl Table {
    /// An empty table with these columns, without the key group's; the first `key` of them are the key.
    pub fn new(name: &'static str, key: usize, schema: SchemaRef) -> Result<Self, TableError> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                column::new(field.data_type()).ok_or_else(|| TableError::Unsupported {
                    table: name,
                    data_type: field.data_type().clone(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            key,
            schema,
            groups: Vec::new(),
            columns,
            dirty: Dirty::default(),
            frozen: Frozen::default(),
        })
    }

    /// The columns, without the key group's.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<u16>()
            + self.dirty.bytes()
            + self.frozen.bytes()
            + self.columns.iter().map(|c| c.bytes()).sum::<usize>()
    }

    /// Appends rows, which get the next row ids and are changed. One key group
    /// and one value in every column per row.
    pub fn push(&mut self, groups: &[KeyGroup], columns: &[ArrayRef]) -> Result<(), TableError> {
        let before = self.len() as u32;
        self.append(groups.iter().map(|group| group.0), columns.to_vec())?;
        (before..self.len() as u32).for_each(|row| self.dirty.mark(row));
        Ok(())
    }

    /// Appends rows as a complete epoch holds them: they did not change. Columns that nobody
    /// else refers to may become the table's own memory.
    pub fn push_durable(&mut self, groups: &[u16], columns: Vec<ArrayRef>) -> Result<(), TableError> {
        self.append(groups.iter().copied(), columns)
    }

    fn append(
        &mut self,
        groups: impl ExactSizeIterator<Item = u16>,
        columns: Vec<ArrayRef>,
    ) -> Result<(), TableError> {
        let rows = self.len() + groups.len();
        if u32::try_from(rows).is_err() {
            return Err(TableError::Full { table: self.name });
        }
        self.check(groups.len(), columns.iter().enumerate(), self.columns.len())?;
        for (column, values) in self.columns.iter_mut().zip(columns) {
            column.push(values).map_err(|source| TableError::Arrow { table: self.name, source })?;
        }
        self.groups.extend(groups);
        self.dirty.grow(rows);
        Ok(())
    }

    /// The values of one column at these rows, in this order.
    ///
    /// # Panics
    /// If a row or the column does not exist.
    pub fn gather(&self, rows: &[u32], column: usize) -> Result<ArrayRef, TableError> {
        self.columns[column].gather(rows).map_err(|source| TableError::Arrow { table: self.name, source })
    }

    /// Replaces the values of one column at these rows, which are now changed.
    ///
    /// # Panics
    /// If a row or the column does not exist.
    pub fn scatter(&mut self, rows: &[u32], column: usize, values: &ArrayRef) -> Result<(), TableError> {
        self.check(rows.len(), std::iter::once((column, values)), 1)?;
        self.save(rows)?;
        self.columns[column]
            .scatter(rows, values)
            .map_err(|source| TableError::Arrow { table: self.name, source })?;
        rows.iter().for_each(|&row| self.dirty.mark(row));
        Ok(())
    }

    /// The key group of a row.
    ///
    /// # Panics
    /// If the row does not exist.
    pub fn group(&self, row: u32) -> KeyGroup {
        KeyGroup(self.groups[row as usize])
    }

    /// Freezes the rows that changed since the last complete epoch, as of now, but for those of the key
    /// groups `without`. They are copied by [`copy_frozen`](Self::copy_frozen); what an earlier epoch
    /// left to copy is this one's.
    pub fn freeze(&mut self, epoch: Epoch, without: &KeyGroups) {
        self.frozen = Frozen::new(self.dirty.freeze(epoch), without.clone());
    }

    /// The next piece of what was frozen, as rows that replace those of the same key: about `rows_max`
    /// rows, and those that had to be copied meanwhile. None, when all was given.
    pub fn copy_frozen(&mut self, rows_max: usize) -> Result<Option<FrozenTable>, TableError> {
        let mut batches = self.frozen.saved();
        let rows = self.frozen.next(rows_max);
        if rows.is_empty() && batches.is_empty() {
            return Ok(None);
        }
        batches.extend(self.copy(rows)?);
        Ok(Some(FrozenTable::upsert(self.name, self.key, batches)))
    }

    /// Copies what is frozen of rows that are about to be written.
    fn save(&mut self, rows: &[u32]) -> Result<(), TableError> {
        if planted("frozen row written before it was copied") {
            return Ok(());
        }
        let frozen = self.frozen.take(rows);
        if let Some(copy) = self.copy(frozen)? {
            self.frozen.save(copy);
        }
        Ok(())
    }

    /// These rows with their key groups, but for those that were not frozen; none, if there are none.
    fn copy(&self, mut rows: Vec<u32>) -> Result<Option<RecordBatch>, TableError> {
        if !self.frozen.without.is_empty() {
            rows.retain(|&row| !self.frozen.without.contains(self.group(row)));
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let groups = rows.iter().map(|&row| self.groups[row as usize]);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt16Array::from_iter_values(groups))];
        for column in 0..self.columns.len() {
            columns.push(self.gather(&rows, column)?);
        }
        RecordBatch::try_new(self.frozen_schema(), columns)
            .map(Some)
            .map_err(|source| TableError::Arrow { table: self.name, source })
    }

    /// Learns how an epoch was settled: after an abort its rows are changed again.
    pub fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.dirty.settle(epoch, complete);
    }

    /// These rows did not change: a complete epoch holds them as they are.
    ///
    /// # Panics
    /// If a row does not exist.
    pub fn mark_durable(&mut self, rows: &[u32]) {
        self.dirty.unmark(rows);
    }

    /// These rows are as an epoch holds them that is not yet settled, or was settled last.
    ///
    /// # Panics
    /// If a row does not exist.
    pub fn mark_unsettled(&mut self, epoch: Epoch, rows: &[u32]) {
        self.dirty.unmark(rows);
        self.dirty.put(epoch, rows);
    }

    fn frozen_schema(&self) -> SchemaRef {
        let group: FieldRef = Arc::new(Field::new(KEY_GROUP_COLUMN, DataType::UInt16, false));
        Arc::new(Schema::new(
            [group].into_iter().chain(self.schema.fields().iter().cloned()).collect::<Vec<_>>(),
        ))
    }

    fn check<'a>(
        &self,
        rows: usize,
        columns: impl ExactSizeIterator<Item = (usize, &'a ArrayRef)>,
        expected: usize,
    ) -> Result<(), TableError> {
        let mismatch = |reason: String| Err(TableError::Mismatch { table: self.name, reason });
        if columns.len() != expected {
            return mismatch(format!("{} columns, not {expected}", columns.len()));
        }
        for (index, values) in columns {
            let field = self.schema.field(index);
            if values.data_type() != field.data_type() {
                return mismatch(format!("'{}' is of type '{}'", field.name(), values.data_type()));
            }
            if values.len() != rows {
                return mismatch(format!("'{}' has {} values for {rows} rows", field.name(), values.len()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
