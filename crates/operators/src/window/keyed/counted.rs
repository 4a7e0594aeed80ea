//! Which count windows are open, and how they outlive the process.
//!
//! ```text
//! counts         key group │ keys… │ _rows │ _timestamp │ states…   the open window of a key (upsert)
//! ```
//!
//! A key whose window was given out, and that has begun no other since, has a row of no rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef, UInt64Type};
use thalweg_dataflow::operator::{Age, Settings};
use thalweg_dataflow::{Error, Result};
use thalweg_state::{Epoch, FrozenTable, KeyGroup, KeyGroups, KeySpace, Restored, Snapshot};

use super::super::held::Half;
use super::super::{times, timestamp_field};
use super::log::{Log, Part, Span};
use super::runs::{Encoder, Run};
use crate::aggregate::{Columns, Grouping, schema_of};
use crate::durable::{Gone, Unwritten, key_group_column, key_group_field, key_groups_of};

const COUNTS: &str = "counts";

/// A key as bytes.
type Key = Vec<u8>;

/// A window of one key.
pub(super) struct Window {
    pub(super) rows: u64,
    /// The greatest time of a row.
    pub(super) last: i64,
    pub(super) parts: Vec<Part>,
}

/// All open windows, one per key at most.
pub(super) struct Counted {
    size: u64,
    open: BTreeMap<Key, Window>,
    keys: usize,
    schema: SchemaRef,
    unwritten: Unwritten<Key>,
    key_space: KeySpace,
    /// Key groups that left, and the last of their keys.
    gone: Gone<()>,
    /// Until which key those that left were cleared away.
    swept: Option<Key>,
}

/// How windows are read and written.
pub(super) struct State<'a> {
    pub(super) log: &'a mut Log,
    pub(super) encoder: &'a Encoder,
}

impl Counted {
    pub(super) fn new(size: u64, grouping: &Grouping) -> Result<Self> {
        let rows: FieldRef = Arc::new(Field::new("_rows", DataType::UInt64, false));
        let nullable = |field: &FieldRef| Arc::new(Field::clone(field).with_nullable(true));
        Ok(Self {
            size,
            open: BTreeMap::new(),
            keys: grouping.keys().len(),
            schema: schema_of([
                vec![key_group_field()],
                grouping.key_fields(),
                vec![rows, timestamp_field()],
                grouping.state_fields()?.iter().map(nullable).collect(),
            ]),
            unwritten: Unwritten::default(),
            key_space: KeySpace::default(),
            gone: Gone::default(),
            swept: None,
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
    pub(super) fn add(&mut self, key: &[u8], run: &Run, part: Part) -> Option<Window> {
        self.unwritten.mark(key.to_vec());
        let window = self.window(key);
        window.rows += run.rows;
        window.last = window.last.max(run.span.last);
        window.parts.push(part);
        if window.rows < self.size { None } else { self.open.remove(key) }
    }

    /// All windows that are not full.
    pub(super) fn take_all(&mut self, state: &mut State<'_>) -> Result<Vec<Window>> {
        self.sweep(usize::MAX, state)?;
        let open = std::mem::take(&mut self.open);
        open.keys().for_each(|key| self.unwritten.mark(key.clone()));
        Ok(open.into_values().collect())
    }

    fn window(&mut self, key: &[u8]) -> &mut Window {
        if !self.open.contains_key(key) {
            let empty = Window { rows: 0, last: i64::MIN, parts: Vec::new() };
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

    pub(super) fn open(
        &mut self,
        mut restored: Restored,
        state: &mut State<'_>,
        settings: &Settings,
    ) -> Result<()> {
        self.key_space = settings.key_space;
        for batch in restored.take(COUNTS) {
            self.replace(&batch, state)?;
        }
        Ok(())
    }

    /// The windows of keys that changed since the last complete epoch.
    pub(super) fn freeze(&mut self, epoch: Epoch, state: &mut State<'_>) -> Result<Snapshot> {
        let changed = self.unwritten.freeze(epoch);
        let (open, given): (Vec<Key>, Vec<Key>) =
            changed.into_iter().partition(|key| self.open.contains_key(key));
        let mut batches = Vec::new();
        if !open.is_empty() {
            let open = self.open_windows(&open, state)?;
            batches.push(self.gone.without(open)?);
        }
        if !given.is_empty() {
            batches.push(self.gone.without(self.given_windows(&given, state)?)?);
        }
        batches.retain(|batch| batch.num_rows() > 0);
        Ok(Snapshot { tables: vec![FrozenTable::upsert(COUNTS, self.keys, batches)] })
    }

    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.unwritten.settle(epoch, complete);
    }

    /// Windows of another owner.
    pub(super) fn put(
        &mut self,
        groups: &KeyGroups,
        given: &Snapshot,
        age: Age,
        state: &mut State<'_>,
    ) -> Result<()> {
        if self.gone.may_hold(groups) {
            self.sweep(usize::MAX, state)?;
        }
        for batch in given.batches_of(COUNTS) {
            let keys = self.replace(batch, state)?;
            self.unwritten.put(age, keys);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, groups: &KeyGroups) {
        self.gone.add(groups, Some(()));
        self.swept = None;
    }

    /// Clears away what left, of so many windows at most.
    pub(super) fn sweep(&mut self, windows_max: usize, state: &mut State<'_>) -> Result<()> {
        if self.gone.is_empty() {
            return Ok(());
        }
        let from = self.swept.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let keys: Vec<Key> = self
            .open
            .range::<Key, _>((from, Bound::Unbounded))
            .take(windows_max)
            .map(|(key, _)| key.clone())
            .collect();
        for (key, group) in keys.iter().zip(self.groups_of(&keys, state)?) {
            if self.gone.contains(group)
                && let Some(window) = self.open.remove(key)
            {
                state.log.release(&window.parts);
            }
        }
        if keys.len() == windows_max {
            self.swept = keys.into_iter().next_back();
            return Ok(());
        }
        self.forget_marks(state)?;
        self.gone = Gone::default();
        Ok(())
    }

    /// Forgets that keys that left have changed.
    fn forget_marks(&mut self, state: &State<'_>) -> Result<()> {
        let marked: Vec<Key> = self.unwritten.iter().cloned().collect();
        let groups = self.groups_of(&marked, state)?;
        let left = marked.into_iter().zip(groups).filter(|(_, group)| self.gone.contains(*group));
        let left: BTreeSet<Key> = left.map(|(key, _)| key).collect();
        self.unwritten.retain(|key| !left.contains(key));
        Ok(())
    }

    /// Rows of the table for keys with open windows. The parts of each become one.
    fn open_windows(&mut self, keys: &[Key], state: &mut State<'_>) -> Result<RecordBatch> {
        let windows: Vec<&Window> = keys.iter().map(|key| &self.open[key]).collect();
        let rows: UInt64Array = windows.iter().map(|window| Some(window.rows)).collect();
        let lasts: Vec<i64> = windows.iter().map(|window| window.last).collect();
        let parts: Vec<&[Part]> = windows.iter().map(|window| &window.parts[..]).collect();
        let columns = state.log.states(&parts)?;
        let spans = lasts.iter().map(|&last| Span { first: last, last }).collect();
        let merged = state.log.push(Half::Fresh, columns.clone(), spans);
        for (key, merged) in keys.iter().zip(merged) {
            if let Some(window) = self.open.get_mut(key) {
                state.log.release(&std::mem::replace(&mut window.parts, vec![merged]));
            }
        }
        let (keys, states) = columns.split_at(self.keys);
        self.rows(keys, rows, lasts, states)
    }

    /// Rows of the table for keys without open windows.
    fn given_windows(&self, keys: &[Key], state: &State<'_>) -> Result<RecordBatch> {
        let nothing = |field: &FieldRef| new_null_array(field.data_type(), keys.len());
        let states: Columns = self.schema.fields()[self.keys + 3..].iter().map(nothing).collect();
        let rows: UInt64Array = vec![0; keys.len()].into();
        self.rows(&state.encoder.decode(keys)?, rows, vec![0; keys.len()], &states)
    }

    fn rows(
        &self,
        keys: &[ArrayRef],
        rows: UInt64Array,
        lasts: Vec<i64>,
        states: &[ArrayRef],
    ) -> Result<RecordBatch> {
        let groups = key_group_column(&key_groups_of(self.key_space, keys, lasts.len())?);
        let own: [ArrayRef; 2] = [Arc::new(rows), Arc::new(TimestampNanosecondArray::from(lasts))];
        let keys = keys.iter().cloned();
        let all = [groups].into_iter().chain(keys).chain(own).chain(states.iter().cloned()).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), all)
            .map_err(|e| Error::internal("count windows do not fit their table").because(e))
    }

    /// The windows of these keys are those of the table from now on. Answers the keys.
    fn replace(&mut self, batch: &RecordBatch, state: &mut State<'_>) -> Result<Vec<Key>> {
        let columns = batch.columns();
        let encoded = state.encoder.encode(&columns[1..=self.keys])?;
        let keys = if self.keys == 0 { vec![Key::new(); batch.num_rows()] } else { encoded };
        let rows = numbers(batch, self.keys + 1)?;
        let lasts = times(batch, self.keys + 2)?;
        let spans = lasts.iter().map(|&last| Span { first: last, last }).collect();
        let states = columns[1..=self.keys].iter().chain(&columns[self.keys + 3..]).cloned().collect();
        let parts = state.log.push(Half::Fresh, states, spans);
        for (row, (key, part)) in keys.iter().zip(parts).enumerate() {
            if let Some(window) = self.open.remove(key) {
                state.log.release(&window.parts);
            }
            if rows[row] == 0 {
                state.log.release(&[part]);
                continue;
            }
            let window = self.window(key);
            (window.rows, window.last) = (rows[row], lasts[row]);
            window.parts.push(part);
        }
        Ok(keys)
    }

    fn groups_of(&self, keys: &[Key], state: &State<'_>) -> Result<Vec<KeyGroup>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        key_groups_of(self.key_space, &state.encoder.decode(keys)?, keys.len())
    }
}

fn numbers(batch: &RecordBatch, index: usize) -> Result<&[u64]> {
    match batch.column(index).as_primitive_opt::<UInt64Type>() {
        Some(numbers) if numbers.null_count() == 0 => Ok(numbers.values()),
        Some(_) | None => Err(Error::internal("a column of numbers holds something else")),
    }
}
