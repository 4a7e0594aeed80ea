//! Open windows as durable tables.
//!
//! ```text
//! panes         key group │ keys… │ _timestamp │ states…    what an epoch adds (merge)
//! panes-fresh   the same columns                            given away, not yet part of any epoch
//! ```
//!
//! `_timestamp` is the slot. Increments of windows that closed later are not
//! deleted: a restore drops rows that the progress of their key group has passed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Error, Result, Watermark};
use thalweg_state::{Epoch, FrozenTable, KeyGroups, Restored, Snapshot};

use super::held::{Age, States};
use super::open::Windows;
use super::panes::{Panes, Slot};
use super::split::{Times, by_slot};
use super::{times, timestamp_field};
use crate::aggregate::{Columns, Grouping, schema_of};
use crate::durable::{self, Increments, Progress, chosen, key_group_field, key_groups};

const PANES: &str = "panes";
const FRESH: &str = "panes-fresh";
const PROGRESS: &str = "progress";

/// What makes open windows outlive the process.
pub(super) struct Durable {
    panes: Panes,
    /// The number of key columns.
    keys: usize,
    schema: SchemaRef,
    pub(super) progress: Progress,
    pub(super) increments: Increments,
}

impl Durable {
    pub(super) fn new(panes: Panes, grouping: &Grouping) -> Result<Self> {
        Ok(Self {
            panes,
            keys: grouping.keys().len(),
            schema: schema_of([
                vec![key_group_field()],
                grouping.key_fields(),
                vec![timestamp_field()],
                grouping.state_fields()?,
            ]),
            progress: Progress::new(PROGRESS),
            increments: Increments::default(),
        })
    }

    pub(super) fn open(
        &mut self,
        mut restored: Restored,
        windows: &mut Windows,
        settings: &Settings,
    ) -> Result<()> {
        let progress = self.progress.open(&mut restored, settings)?;
        let Some(given_until) = progress.values().copied().min() else { return Ok(()) };
        windows.given_until(given_until);
        for batch in restored.take(PANES) {
            self.merge(&batch, Age::Frozen, &progress, given_until, windows)?;
        }
        Ok(())
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, epoch: Epoch, windows: &mut Windows) -> Result<Snapshot> {
        let mut added = Vec::new();
        for (&slot, held) in &mut windows.slots {
            for states in held.freeze(&mut windows.tables)? {
                added.push(self.batch(slot, &states)?);
            }
        }
        let panes = FrozenTable::merge(PANES, added);
        let mut tables = self.increments.add(epoch, vec![panes]);
        tables.push(self.progress.freeze()?);
        Ok(Snapshot { tables })
    }

    pub(super) fn take(&mut self, groups: &KeyGroups, windows: &mut Windows) -> Result<Snapshot> {
        windows.panes_changed();
        let (mut frozen, mut fresh) = (Vec::new(), Vec::new());
        for (&slot, held) in &mut windows.slots {
            let given = held.take(|states| self.divide(slot, &states, groups))?;
            for (given, batches) in given.iter().zip([&mut frozen, &mut fresh]) {
                for states in given {
                    batches.push(self.batch(slot, states)?);
                }
            }
        }
        windows.slots.retain(|_, held| !held.is_empty());
        let progress = self.progress.take(groups)?;
        let panes = FrozenTable::merge(PANES, frozen);
        let fresh = FrozenTable::merge(FRESH, fresh);
        Ok(Snapshot { tables: vec![panes, fresh, progress] })
    }

    pub(super) fn put(&mut self, given: Snapshot, windows: &mut Windows) -> Result<()> {
        windows.panes_changed();
        let own = self.progress.closed();
        let progress = self.progress.put(&given)?;
        let given_until = progress.values().copied().fold(own, Watermark::min);
        if given_until < own {
            windows.raise(own)?;
        }
        windows.given_until(given_until);
        for (name, age) in [(PANES, Age::Frozen), (FRESH, Age::Fresh)] {
            for batch in given.batches_of(name) {
                self.merge(batch, age, &progress, given_until, windows)?;
            }
        }
        Ok(())
    }

    /// What leaves with these key groups, and what stays.
    fn divide(
        &self,
        slot: Slot,
        states: &States,
        groups: &KeyGroups,
    ) -> Result<(Option<States>, Option<States>)> {
        let (leaving, staying) = durable::divide(&self.batch(slot, states)?, groups)?;
        let states = |part: RecordBatch| {
            let rows = part.num_rows();
            (rows > 0).then(|| States { columns: self.states_of(part.columns()), rows })
        };
        Ok((states(leaving), states(staying)))
    }

    /// Adds rows of a durable table to the windows that are not closed for their key group.
    fn merge(
        &self,
        batch: &RecordBatch,
        age: Age,
        progress: &BTreeMap<u16, Watermark>,
        given_until: Watermark,
        windows: &mut Windows,
    ) -> Result<()> {
        let slot = |(group, &time): (&u16, &i64)| {
            let closed = progress.get(group).copied().unwrap_or(Watermark::START);
            let slot = self.panes.slot_at(time);
            let raised = self.panes.raised(slot, closed)?;
            // Where no key group is behind another, windows that are given out are known by that.
            Some(if closed > given_until { raised } else { slot })
        };
        let slots: Vec<Option<Slot>> =
            key_groups(batch)?.iter().zip(times(batch, 1 + self.keys)?).map(slot).collect();
        let open = chosen(batch, &slots.iter().map(|slot| Some(slot.is_some())).collect())?;
        let slots: Vec<i64> = slots.into_iter().flatten().map(|slot| self.panes.time_of(slot)).collect();
        for part in by_slot(self.panes, &Times::OfSlots(slots.into()), open.columns().to_vec())? {
            let columns = self.states_of(&part.columns);
            windows.add(part.slot, age, |table| table.merge(&columns, part.rows))?;
        }
        Ok(())
    }

    /// Keys and states among the columns of a durable table.
    fn states_of(&self, columns: &[ArrayRef]) -> Columns {
        let (keys, states) = (&columns[1..=self.keys], &columns[self.keys + 2..]);
        keys.iter().chain(states).cloned().collect()
    }

    fn batch(&self, slot: Slot, states: &States) -> Result<RecordBatch> {
        let time: ArrayRef =
            Arc::new(TimestampNanosecondArray::from_value(self.panes.time_of(slot), states.rows));
        let (keys, values) = states.columns.split_at(self.keys);
        // Without keys and where windows do not overlap, rows are shuffled by their slot.
        let by_slot = keys.is_empty() && !self.panes.overlap();
        let hashed = if by_slot { std::slice::from_ref(&time) } else { keys };
        let groups = self.progress.key_groups_of(hashed, states.rows)?;
        let all =
            [groups].into_iter().chain(keys.iter().cloned()).chain([time]).chain(values.iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), all.collect())
            .map_err(|e| Error::internal("the states of windows do not fit their table").because(e))
    }
}
