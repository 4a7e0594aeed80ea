//! Which count windows are open, and how they outlive the process.
//!
//! ```text
//! counts         key group │ keys… │ _window │ _rows │ _timestamp │ states…   what an epoch adds (merge)
//! counts-fresh   the same columns                               given away, not yet part of any epoch
//! counts-closed  key group │ keys… │ _window                    windows given out of which epochs know (merge)
//! ```
//!
//! No watermark says which windows are closed, so each has a number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, UInt64Type};
use thalweg_dataflow::{Error, Result};
use thalweg_state::{Epoch, FrozenTable, KeyGroups, KeySpace, Restored, Snapshot};

use super::super::held::Age;
use super::super::{times, timestamp_field};
use super::log::{Log, Part, Span};
use super::runs::{Encoder, Run};
use crate::aggregate::{Columns, Grouping, failed, schema_of};
use crate::durable::{Increments, divide_table, key_group_column, key_group_field, key_groups_of};

const COUNTS: &str = "counts";
const FRESH: &str = "counts-fresh";
const CLOSED: &str = "counts-closed";

/// A window of one key.
pub(super) struct Window {
    id: u64,
    pub(super) rows: u64,
    /// How many of the rows no epoch knows.
    fresh_rows: u64,
    /// The greatest time of a row.
    pub(super) last: i64,
    pub(super) parts: Vec<Part>,
}

/// All open windows, one per key at most.
pub(super) struct Counted {
    size: u64,
    open: BTreeMap<Vec<u8>, Window>,
    next: u64,
    /// Keys and numbers of windows that epochs know and that were given out since the last.
    closed: Vec<(Columns, u64)>,
    keys: usize,
    schema: SchemaRef,
    closed_schema: SchemaRef,
    pub(super) increments: Increments,
    pub(super) key_space: KeySpace,
}

impl Counted {
    pub(super) fn new(size: u64, grouping: &Grouping) -> Result<Self> {
        let number = |name: &str| -> FieldRef { Arc::new(Field::new(name, DataType::UInt64, false)) };
        let keys = || [vec![key_group_field()], grouping.key_fields(), vec![number("_window")]];
        let rest = [vec![number("_rows"), timestamp_field()], grouping.state_fields()?];
        Ok(Self {
            size,
            open: BTreeMap::new(),
            next: 0,
            closed: Vec::new(),
            keys: grouping.keys().len(),
            schema: schema_of(keys().into_iter().chain(rest)),
            closed_schema: schema_of(keys()),
            increments: Increments::default(),
            key_space: KeySpace::default(),
        })
    }

    /// How many rows the open window of this key still takes.
    pub(super) fn room(&self, key: &[u8]) -> u64 {
        self.size - self.open.get(key).map_or(0, |window| window.rows)
    }

    /// The size of a window.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds rows of a key. Answers the window if it is full now.
    pub(super) fn add(&mut self, key: &[u8], run: &Run, part: Part, log: &mut Log) -> Result<Option<Window>> {
        let window = self.window(key, None);
        window.rows += run.rows;
        window.fresh_rows += run.rows;
        window.last = window.last.max(run.span.last);
        window.parts.push(part);
        if window.rows < self.size {
            return Ok(None);
        }
        let Some(window) = self.open.remove(key) else { return Ok(None) };
        if window.fresh_rows < window.rows {
            self.closed.push((log.keys_of(&window.parts[..1])?, window.id));
        }
        Ok(Some(window))
    }

    /// All windows that are not full.
    pub(super) fn take_all(&mut self) -> Vec<Window> {
        std::mem::take(&mut self.open).into_values().collect()
    }

    fn window(&mut self, key: &[u8], id: Option<u64>) -> &mut Window {
        if !self.open.contains_key(key) {
            let id = id.unwrap_or(self.next);
            self.next = self.next.max(id + 1);
            let empty = Window { id, rows: 0, fresh_rows: 0, last: i64::MIN, parts: Vec::new() };
            self.open.insert(key.to_vec(), empty);
        }
        self.open.get_mut(key).expect("it was put there if it was not")
    }

    /// The parts of all windows.
    pub(super) fn parts(&mut self) -> impl Iterator<Item = &mut Vec<Part>> {
        self.open.values_mut().map(|window| &mut window.parts)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn open(&mut self, mut restored: Restored, log: &mut Log, encoder: &Encoder) -> Result<()> {
        let mut closed = BTreeSet::new();
        for batch in restored.take(CLOSED) {
            let keys = self.encoded(&batch, encoder)?;
            let ids = numbers(&batch, self.keys + 1)?;
            self.next = ids.iter().map(|id| id + 1).fold(self.next, u64::max);
            closed.extend(keys.into_iter().zip(ids.iter().copied()));
        }
        for batch in restored.take(COUNTS) {
            self.merge(&batch, Age::Frozen, &closed, log, encoder)?;
        }
        Ok(())
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, epoch: Epoch, log: &mut Log) -> Result<Snapshot> {
        let fresh = self.of_age(Age::Fresh, log)?;
        for window in self.open.values_mut() {
            window.fresh_rows = 0;
        }
        log.mark_frozen();
        let closed = self.freeze_closed()?;
        let table = |name, batches| FrozenTable::merge(name, batches);
        let tables = self.increments.add(epoch, vec![table(COUNTS, fresh), table(CLOSED, closed)]);
        Ok(Snapshot { tables })
    }

    /// The windows that were given out since the last epoch, of which epochs know.
    fn freeze_closed(&mut self) -> Result<Vec<RecordBatch>> {
        let (keys, ids): (Vec<Columns>, Vec<u64>) = std::mem::take(&mut self.closed).into_iter().unzip();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let column = |index: usize| {
            let values: Vec<&dyn Array> = keys.iter().map(|keys| keys[index].as_ref()).collect();
            concat(&values).map_err(|e| failed(e.into()))
        };
        let columns = (0..self.keys).map(column).collect::<Result<Columns>>()?;
        let rows = ids.len();
        Ok(vec![self.row(&self.closed_schema, &columns, vec![Arc::new(UInt64Array::from(ids))], rows)?])
    }

    pub(super) fn take(&mut self, groups: &KeyGroups, log: &mut Log, encoder: &Encoder) -> Result<Snapshot> {
        let mut tables = Vec::new();
        for (name, age) in [(COUNTS, Age::Frozen), (FRESH, Age::Fresh)] {
            let batches = self.of_age(age, log)?;
            tables.push((FrozenTable::merge(name, batches), age));
        }
        self.take_all().iter().for_each(|window| log.release(&window.parts));
        let mut given = Vec::new();
        for (table, age) in tables {
            let (leaving, staying) = divide_table(table, groups)?;
            given.push(leaving);
            for batch in staying {
                self.merge(&batch, age, &BTreeSet::new(), log, encoder)?;
            }
        }
        Ok(Snapshot { tables: given })
    }

    pub(super) fn put(&mut self, given: &Snapshot, log: &mut Log, encoder: &Encoder) -> Result<()> {
        for (name, age) in [(COUNTS, Age::Frozen), (FRESH, Age::Fresh)] {
            for batch in given.batches_of(name) {
                self.merge(batch, age, &BTreeSet::new(), log, encoder)?;
            }
        }
        Ok(())
    }

    /// The parts of one age, merged: a row per window.
    fn of_age(&self, age: Age, log: &mut Log) -> Result<Vec<RecordBatch>> {
        let mut windows: Vec<(&Window, Vec<Part>)> = Vec::new();
        for window in self.open.values() {
            let parts: Vec<Part> = window.parts.iter().copied().filter(|p| log.age_of(*p) == age).collect();
            if !parts.is_empty() {
                windows.push((window, parts));
            }
        }
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let rows = |window: &Window| match age {
            Age::Frozen => window.rows - window.fresh_rows,
            Age::Fresh => window.fresh_rows,
        };
        let ids: UInt64Array = windows.iter().map(|(window, _)| window.id).collect::<Vec<_>>().into();
        let counts: UInt64Array = windows.iter().map(|(window, _)| rows(window)).collect::<Vec<_>>().into();
        let lasts: Vec<i64> = windows.iter().map(|(window, _)| window.last).collect();
        let parts: Vec<&[Part]> = windows.iter().map(|(_, parts)| &parts[..]).collect();
        let mut keys = log.states(&parts)?;
        let states = keys.split_off(self.keys);
        let mut rest: Columns =
            vec![Arc::new(ids), Arc::new(counts), Arc::new(TimestampNanosecondArray::from(lasts))];
        rest.extend(states);
        Ok(vec![self.row(&self.schema, &keys, rest, parts.len())?])
    }

    fn merge(
        &mut self,
        batch: &RecordBatch,
        age: Age,
        closed: &BTreeSet<(Vec<u8>, u64)>,
        log: &mut Log,
        encoder: &Encoder,
    ) -> Result<()> {
        let keys = self.encoded(batch, encoder)?;
        let (ids, rows) = (numbers(batch, self.keys + 1)?, numbers(batch, self.keys + 2)?);
        let lasts = times(batch, self.keys + 3)?;
        let columns = batch.columns();
        let spans = lasts.iter().map(|&last| Span { first: last, last }).collect();
        let states = columns[1..=self.keys].iter().chain(&columns[self.keys + 4..]).cloned().collect();
        let parts = log.push(age, states, spans);
        for (row, (key, part)) in keys.into_iter().zip(parts).enumerate() {
            self.next = self.next.max(ids[row] + 1);
            if closed.contains(&(key.clone(), ids[row])) {
                log.release(&[part]);
                continue;
            }
            let window = self.window(&key, Some(ids[row]));
            window.rows += rows[row];
            window.fresh_rows += if age == Age::Fresh { rows[row] } else { 0 };
            window.last = window.last.max(lasts[row]);
            window.parts.push(part);
        }
        Ok(())
    }

    /// The keys of the rows of a durable table, as bytes.
    fn encoded(&self, batch: &RecordBatch, encoder: &Encoder) -> Result<Vec<Vec<u8>>> {
        let keys = encoder.encode(&batch.columns()[1..=self.keys])?;
        Ok(if self.keys == 0 { vec![Vec::new(); batch.num_rows()] } else { keys })
    }

    fn row(&self, schema: &SchemaRef, keys: &[ArrayRef], rest: Columns, rows: usize) -> Result<RecordBatch> {
        let groups = key_group_column(&key_groups_of(self.key_space, keys, rows)?);
        let all = [groups].into_iter().chain(keys.iter().cloned()).chain(rest).collect();
        RecordBatch::try_new(Arc::clone(schema), all)
            .map_err(|e| Error::internal("count windows do not fit their table").because(e))
    }
}

fn numbers(batch: &RecordBatch, index: usize) -> Result<&[u64]> {
    match batch.column(index).as_primitive_opt::<UInt64Type>() {
        Some(numbers) if numbers.null_count() == 0 => Ok(numbers.values()),
        Some(_) | None => Err(Error::internal("a column of numbers holds something else")),
    }
}
