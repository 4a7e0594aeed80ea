//! Rows of a batch as runs: rows of one key that belong together.

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::take_arrays;
use arrow::row::{RowConverter, SortField};
use thalweg_dataflow::Result;

use super::log::Span;
use crate::aggregate::{Columns, Grouping, failed, schema_of};
use crate::group_table::GroupKeys;

/// Some rows of one key.
pub(super) struct Run {
    /// The key, by its number in the batch.
    pub(super) key: usize,
    pub(super) span: Span,
    pub(super) rows: u64,
    /// The most rows that it takes.
    room: u64,
}

/// All rows of a batch.
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
    /// The run of each row.
    pub(super) of_row: Vec<usize>,
    /// The keys of the batch, each once.
    keys: Columns,
    /// The same keys as bytes.
    encoded: Vec<Vec<u8>>,
}

impl Runs {
    /// The key of a run, as bytes.
    pub(super) fn key_of(&self, run: &Run) -> &[u8] {
        self.encoded.get(run.key).map_or(&[], Vec::as_slice)
    }

    /// The keys of the runs, a row each.
    pub(super) fn keys(&self) -> Result<Columns> {
        let keys: UInt64Array = self.runs.iter().map(|run| run.key as u64).collect();
        take_arrays(&self.keys, &keys, None).map_err(|e| failed(e.into()))
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.runs.iter().map(|run| run.span).collect()
    }
}

/// Cuts batches into runs, and turns keys into bytes.
pub(super) struct Cutter {
    keys: GroupKeys,
    ids: Vec<usize>,
    encoder: Encoder,
}

impl Cutter {
    pub(super) fn new(grouping: &Grouping) -> Result<Self> {
        let schema = schema_of([grouping.key_fields()]);
        Ok(Self { keys: GroupKeys::new(schema)?, ids: Vec::new(), encoder: Encoder::new(grouping)? })
    }

    /// A row goes on with the last run of its key if that has room, and `joins` says so of run and time.
    /// `room` is told the key, and whether the run is the key's first in the batch.
    pub(super) fn cut(
        &mut self,
        keys: &[ArrayRef],
        times: &[i64],
        joins: impl Fn(&Run, i64) -> bool,
        room: impl Fn(&[u8], bool) -> u64,
    ) -> Result<Runs> {
        self.keys.intern(keys, times.len(), &mut self.ids)?;
        let distinct = self.keys.take()?;
        let encoded = self.encoder.encode(&distinct)?;
        let mut runs: Vec<Run> = Vec::new();
        let mut last_of_key: Vec<Option<usize>> = vec![None; encoded.len().max(1)];
        let mut of_row = Vec::with_capacity(times.len());
        for (&key, &time) in self.ids.iter().zip(times) {
            let last = last_of_key[key];
            let run = match last.filter(|&run| runs[run].rows < runs[run].room && joins(&runs[run], time)) {
                Some(run) => run,
                None => {
                    let room = room(encoded.get(key).map_or(&[], Vec::as_slice), last.is_none());
                    runs.push(Run { key, span: Span { first: time, last: time }, rows: 0, room });
                    runs.len() - 1
                }
            };
            runs[run].rows += 1;
            runs[run].span = runs[run].span.and(Span { first: time, last: time });
            last_of_key[key] = Some(run);
            of_row.push(run);
        }
        Ok(Runs { runs, of_row, keys: distinct, encoded })
    }

    /// Keys as bytes.
    pub(super) fn encoder(&self) -> &Encoder {
        &self.encoder
    }
}

/// Turns keys into bytes, equal ones into equal bytes.
pub(super) struct Encoder(Option<RowConverter>);

impl Encoder {
    fn new(grouping: &Grouping) -> Result<Self> {
        let fields: Vec<SortField> =
            grouping.key_fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = (!fields.is_empty()).then(|| RowConverter::new(fields)).transpose();
        Ok(Self(converter.map_err(|e| failed(e.into()))?))
    }

    /// Each row's key. Nothing at all where there are no keys: there, every key is the same.
    pub(super) fn encode(&self, keys: &[ArrayRef]) -> Result<Vec<Vec<u8>>> {
        let Some(converter) = &self.0 else { return Ok(Vec::new()) };
        let rows = converter.convert_columns(keys).map_err(|e| failed(e.into()))?;
        Ok(rows.iter().map(|row| row.as_ref().to_vec()).collect())
    }

    /// Keys that were encoded, as columns. Nothing at all where there are no keys.
    pub(super) fn decode(&self, encoded: &[Vec<u8>]) -> Result<Columns> {
        let Some(converter) = &self.0 else { return Ok(Columns::new()) };
        let parser = converter.parser();
        converter.convert_rows(encoded.iter().map(|key| parser.parse(key))).map_err(|e| failed(e.into()))
    }
}
