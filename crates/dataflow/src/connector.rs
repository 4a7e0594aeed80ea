//! What a planner may ask of the outside world's adapters, without knowing one.
//!
//! Options are read once, when a table is declared, into the connector's own
//! typed struct; that struct then answers all further questions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::sink::SinkGuarantee;
use crate::source::SourceGuarantee;
use crate::spec::{RowKind, SinkSpec, SourceSpec};

/// What a declared table is to be.
#[derive(Debug)]
pub struct Declaration<'a> {
    /// The table's name.
    pub table: &'a str,
    /// What stands in `WITH`, less `connector`. The connector takes all it knows; what is left is unknown.
    pub options: &'a mut Options,
    /// The physical columns, in order: neither generated nor metadata. None where the declaration has no columns.
    pub columns: Option<SchemaRef>,
    /// The names of the primary key's columns.
    pub primary_key: &'a [String],
}

/// A metadata column that a source can add to each row: `METADATA FROM 'key'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataKey {
    /// The name within `METADATA FROM`.
    pub key: &'static str,
    /// The type of its values.
    pub data_type: DataType,
}

/// All that a planner must know of a table in order to read it.
#[derive(Clone, Debug)]
pub struct SourceDescription {
    /// The physical columns: those declared, or the connector's own.
    pub columns: SchemaRef,
    /// What can be added.
    pub metadata: Vec<MetadataKey>,
    /// The metadata key that is the event time where the table declares none; without one it is the time of reading.
    pub event_time: Option<&'static str>,
    /// What kind of rows come.
    pub rows: RowKind,
    /// What is read again after a crash.
    pub guarantee: SourceGuarantee,
}

/// All that a planner must know of a table in order to write it.
#[derive(Clone, Debug)]
pub struct SinkDescription {
    /// The physical columns that were declared, or none: they are those of the inserts.
    pub columns: Option<SchemaRef>,
    /// Whether changelog rows can be written, and if not, what could: `format = 'debezium_json'`.
    pub changelog: std::result::Result<(), String>,
    /// Whether a changelog is to come as one row per primary key ([`crate::connector`] users put `upsert` before it).
    pub upsert: bool,
    /// What appears after a crash.
    pub guarantee: SinkGuarantee,
}

/// A physical column that somebody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceColumn {
    /// Its index among the physical columns.
    pub index: usize,
    /// Of a struct, the fields that somebody reads (indices, ascending; none of them where only
    /// its being null matters). None: the whole column is read.
    pub fields: Option<Vec<usize>>,
}

impl SourceColumn {
    /// A column that is read as a whole.
    pub fn whole(index: usize) -> Self {
        Self { index, fields: None }
    }

    /// These columns of a table, all of their fields among them.
    pub fn project(columns: &[SourceColumn], physical: &Schema) -> Result<Schema> {
        let indices: Vec<usize> = columns.iter().map(|column| column.index).collect();
        let schema = physical.project(&indices);
        schema.map_err(|e| Error::internal("no such column to be read").because(e))
    }
}

/// A declared table: typed options, and the answers that follow from them.
pub trait ConnectorTable: Send + Sync + std::fmt::Debug {
    /// How to read it, or none if it cannot be read.
    fn as_source(&self) -> Option<SourceDescription>;

    /// How to write it, or none if it cannot be written.
    fn as_sink(&self) -> Option<SinkDescription>;

    /// A source that gives these physical columns (by their indices, ascending), then
    /// these metadata keys under these column names. The schema stays whole: a field
    /// that nobody reads may come as nulls where it is nullable. Most sources give it all the same.
    fn source(
        &self,
        columns: &[SourceColumn],
        metadata: &[(String, &'static str)],
    ) -> Result<Arc<dyn SourceSpec>>;

    /// A sink for rows of this schema. Columns whose names are in
    /// [`crate::message::columns`] come along and are not written as data.
    fn sink(&self, schema: SchemaRef, rows: RowKind) -> Result<Arc<dyn SinkSpec>>;
}

/// One kind of adapter: `single_file`, `kafka`.
pub trait Connector: Send + Sync {
    /// The name within `connector = '…'`.
    fn name(&self) -> &'static str;

    /// Reads the options of a table.
    ///
    /// An option that is missing or ill-typed is an `invalid-option`, one that
    /// nobody knows an `unknown-option` with all known names and the nearest.
    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>>;
}
