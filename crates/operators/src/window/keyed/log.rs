//! Parts of windows: partial aggregates as columns.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;
use thalweg_dataflow::{Functions, Result};

use super::super::held::Half;
use crate::aggregate::{Columns, Grouping, Inputs, failed};
use crate::group_table::Kernels;

/// The log is compacted when it has so many rows for each window …
const ROWS_PER_WINDOW_MAX: usize = 4;
/// … and so many beyond that.
const SLACK_ROWS: usize = 64 * 1024;

/// One row of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    chunk: u64,
    row: u32,
}

/// The times of the first and of the last row of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Span {
    /// From the first row of both to the last.
    #[must_use]
    pub(super) fn and(self, other: Span) -> Span {
        Span { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// Parts that were written together.
pub(super) struct Chunk {
    pub(super) half: Half,
    /// Keys, and behind them states.
    pub(super) columns: Columns,
    pub(super) spans: Vec<Span>,
    /// How many rows are parts of some window.
    live: usize,
}

/// All parts.
pub(super) struct Log {
    key_columns: usize,
    kernels: Kernels,
    pub(super) chunks: BTreeMap<u64, Chunk>,
    next: u64,
    rows: usize,
}

impl Log {
    pub(super) fn new(grouping: &Grouping, inputs: &Inputs, functions: &Functions) -> Result<Self> {
        Ok(Self {
            key_columns: grouping.keys().len(),
            kernels: Kernels::new(grouping, inputs, functions)?,
            chunks: BTreeMap::new(),
            next: 0,
            rows: 0,
        })
    }

    /// Aggregates rows into parts, as many as `spans`; `part_of_row` says which is which row's.
    /// `keys` has a row per part, `columns` are as [`Inputs`] computes them.
    pub(super) fn aggregate(
        &mut self,
        keys: Columns,
        columns: &[ArrayRef],
        part_of_row: &[usize],
        spans: Vec<Span>,
    ) -> Result<Vec<Part>> {
        self.kernels.update(columns, part_of_row, spans.len())?;
        let states = self.kernels.take_state()?;
        Ok(self.push(Half::Fresh, keys.into_iter().chain(states).collect(), spans))
    }

    /// Adds parts: keys and states, a row each.
    pub(super) fn push(&mut self, half: Half, columns: Columns, spans: Vec<Span>) -> Vec<Part> {
        let (chunk, rows) = (self.next, spans.len());
        if rows == 0 {
            return Vec::new();
        }
        self.next += 1;
        self.rows += rows;
        self.chunks.insert(chunk, Chunk { half, columns, spans, live: rows });
        (0..rows as u32).map(|row| Part { chunk, row }).collect()
    }

    /// These parts belong to no window any more.
    pub(super) fn release(&mut self, parts: &[Part]) {
        for part in parts {
            let chunk = self.chunk_mut(part);
            chunk.live -= 1;
            if chunk.live == 0 {
                self.rows -= chunk.spans.len();
                self.chunks.remove(&part.chunk);
            }
        }
    }

    /// Keys and results of windows, a row each. There must be one, and each must have a part.
    pub(super) fn results(&mut self, windows: &[&[Part]]) -> Result<Columns> {
        let mut columns = self.merge(windows)?;
        columns.extend(self.kernels.take_values()?);
        Ok(columns)
    }

    /// Keys and states of windows, a row each. There must be one, and each must have a part.
    pub(super) fn states(&mut self, windows: &[&[Part]]) -> Result<Columns> {
        let mut columns = self.merge(windows)?;
        columns.extend(self.kernels.take_state()?);
        Ok(columns)
    }

    /// Whether there are so many parts that to merge them costs little for each row that came.
    pub(super) fn is_long(&self, windows: usize) -> bool {
        self.rows > windows * ROWS_PER_WINDOW_MAX + SLACK_ROWS
    }

    /// Merges the parts of each window, those that epochs know and the others by themselves.
    pub(super) fn compact<'a>(&mut self, windows: impl Iterator<Item = &'a mut Vec<Part>>) -> Result<()> {
        let mut windows: Vec<&mut Vec<Part>> = windows.collect();
        for half in [Half::Frozen, Half::Fresh] {
            let mut of_half: Vec<(usize, Vec<Part>)> = Vec::new();
            for (window, parts) in windows.iter_mut().enumerate() {
                let (own, others): (Vec<Part>, Vec<Part>) =
                    parts.iter().partition(|part| self.chunk(part).half == half);
                **parts = others;
                if !own.is_empty() {
                    of_half.push((window, own));
                }
            }
            let parts: Vec<&[Part]> = of_half.iter().map(|(_, own)| &own[..]).collect();
            if parts.is_empty() {
                continue;
            }
            let spans = parts.iter().filter_map(|parts| self.span(parts)).collect();
            let columns = self.states(&parts)?;
            let merged = self.push(half, columns, spans);
            for ((window, own), merged) in of_half.iter().zip(merged) {
                self.release(own);
                windows[*window].push(merged);
            }
        }
        Ok(())
    }

    /// The keys of these parts, a row each.
    pub(super) fn keys_of(&self, parts: &[Part]) -> Result<Columns> {
        self.gather(parts, 0..self.key_columns)
    }

    /// The times between which all these parts lie.
    pub(super) fn span(&self, parts: &[Part]) -> Option<Span> {
        parts.iter().map(|part| self.span_of(*part)).reduce(Span::and)
    }

    fn span_of(&self, part: Part) -> Span {
        self.chunk(&part).spans[part.row as usize]
    }

    pub(super) fn bytes(&self) -> usize {
        let of_chunk = |chunk: &Chunk| {
            let columns: usize = chunk.columns.iter().map(|column| column.get_array_memory_size()).sum();
            columns + size_of_val(chunk.spans.as_slice())
        };
        self.chunks.values().map(of_chunk).sum::<usize>() + self.kernels.bytes()
    }

    fn chunk(&self, part: &Part) -> &Chunk {
        self.chunks.get(&part.chunk).expect("a chunk stays as long as one of its parts is some window's")
    }

    fn chunk_mut(&mut self, part: &Part) -> &mut Chunk {
        self.chunks.get_mut(&part.chunk).expect("a chunk stays as long as one of its parts is some window's")
    }

    /// Puts the states of each window's parts into the kernels, and gives the windows' keys.
    fn merge(&mut self, windows: &[&[Part]]) -> Result<Columns> {
        let firsts: Vec<Part> = windows.iter().filter_map(|parts| parts.first().copied()).collect();
        let keys = self.keys_of(&firsts)?;
        let parts: Vec<Part> = windows.iter().flat_map(|parts| parts.iter().copied()).collect();
        let ids: Vec<usize> =
            windows.iter().enumerate().flat_map(|(id, parts)| std::iter::repeat_n(id, parts.len())).collect();
        let columns = self.chunk(&firsts[0]).columns.len();
        let states = self.gather(&parts, self.key_columns..columns)?;
        self.kernels.merge(&states, &ids, windows.len())?;
        Ok(keys)
    }

    /// The values of some columns at these parts.
    fn gather(&self, parts: &[Part], columns: std::ops::Range<usize>) -> Result<Columns> {
        let mut places: HashMap<u64, usize> = HashMap::new();
        let mut chunks: Vec<&Chunk> = Vec::new();
        let mut place = |part: &Part| {
            let place = *places.entry(part.chunk).or_insert_with(|| {
                chunks.push(self.chunk(part));
                chunks.len() - 1
            });
            (place, part.row as usize)
        };
        let rows: Vec<(usize, usize)> = parts.iter().map(&mut place).collect();
        let column = |index: usize| {
            let arrays: Vec<&dyn Array> = chunks.iter().map(|chunk| chunk.columns[index].as_ref()).collect();
            interleave(&arrays, &rows).map_err(|e| failed(e.into()))
        };
        columns.map(column).collect()
    }
}
