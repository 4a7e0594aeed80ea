//! Open windows as durable tables.
//!
//! ```text
//! panes         key group │ keys… │ _timestamp │ states…    what an epoch adds (merge)
//! ```
//!
//! `_timestamp` is the slot. Increments of windows that closed later are not
//! deleted: a snapshot says until which slot they are over, and a restore drops
//! rows that the progress of their key group has passed.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::operator::{Age, Settings};
use thalweg_dataflow::{Error, Result, Watermark};
use thalweg_state::{Epoch, Expiry, FrozenTable, KeyGroup, KeyGroups, Restored, Snapshot};

use super::held::{Half, States};
use super::open::Windows;
use super::panes::{Panes, Slot};
use super::split::{Times, by_slot};
use super::{times, timestamp_field};
use crate::aggregate::{Columns, Grouping, failed, schema_of};
use crate::durable::{
    Came, Gone, Increments, Progress, chosen, key_group_column, key_group_field, key_groups,
};

const PANES: &str = "panes";
const PROGRESS: &str = "progress";

/// What makes open windows outlive the process.
pub(super) struct Durable {
    panes: Panes,
    /// The number of key columns.
    keys: usize,
    schema: SchemaRef,
    pub(super) progress: Progress,
    increments: Increments,
    gone: Gone<Slot>,
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
            gone: Gone::default(),
        })
    }

    pub(super) fn open(
        &mut self,
        mut restored: Restored,
        windows: &mut Windows,
        settings: &Settings,
    ) -> Result<()> {
        self.progress.open(&mut restored, settings)?;
        restored.take(PANES).iter().try_for_each(|batch| self.merge(batch, windows))
    }

    /// Learns of a watermark, before the windows that it closes are given out.
    pub(super) fn close_until(&mut self, watermark: Watermark, windows: &mut Windows) -> Result<()> {
        let Some(came) = self.progress.close_until(watermark) else { return Ok(()) };
        windows.panes_changed();
        match came.alike() {
            Some(closed) => windows.given_until(closed),
            None => {
                self.raise(&came, windows)?;
                windows.given_until(came.least());
            }
        }
        Ok(())
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, epoch: Epoch, windows: &mut Windows) -> Result<Snapshot> {
        let mut added = Vec::new();
        for (slot, states) in windows.freeze()? {
            added.push(self.gone.without(self.batch(slot, &states)?)?);
        }
        added.retain(|batch| batch.num_rows() > 0);
        let mut tables = self.increments.add(epoch, vec![FrozenTable::merge(PANES, added)]);
        if let Some(through) = self.panes.over_through(self.progress.given_out()) {
            let expiry = Expiry { column: 1 + self.keys, through };
            tables = tables.into_iter().map(|table| table.expiring(expiry)).collect();
        }
        tables.push(self.progress.freeze(epoch)?);
        Ok(Snapshot { tables })
    }

    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.increments.settle(epoch, complete);
        self.progress.settle(epoch, complete);
    }

    pub(super) fn put(
        &mut self,
        groups: &KeyGroups,
        given: &Snapshot,
        age: Age,
        windows: &mut Windows,
    ) -> Result<()> {
        if self.gone.may_hold(groups) {
            self.purge(windows)?;
        }
        windows.panes_changed();
        self.progress.put(groups, given)?;
        let panes: Vec<RecordBatch> = given.batches_of(PANES).cloned().collect();
        panes.iter().try_for_each(|batch| self.merge(batch, windows))?;
        self.increments.put(age, vec![FrozenTable::merge(PANES, panes)]);
        Ok(())
    }

    pub(super) fn forget(&mut self, groups: &KeyGroups, windows: &Windows) {
        self.progress.forget(groups);
        self.increments.forget(groups);
        self.gone.add(groups, windows.slots.keys().next_back().copied());
    }

    /// Leaves the groups that left out of a window that is given out: its keys and results.
    pub(super) fn staying(
        &mut self,
        window: i64,
        columns: Columns,
        groups: usize,
    ) -> Result<(Columns, usize)> {
        if self.gone.is_empty() || groups == 0 {
            return Ok((columns, groups));
        }
        let time: ArrayRef =
            Arc::new(TimestampNanosecondArray::from_value(self.panes.last_of(window), groups));
        let of_keys = self.groups_of(&columns[..self.keys], &time, groups)?;
        let Some(staying) = self.gone.staying(&of_keys) else { return Ok((columns, groups)) };
        let columns = columns.iter().map(|column| filter(column, &staying)).collect::<Result<_, _>>();
        Ok((columns.map_err(|e| failed(e.into()))?, staying.true_count()))
    }

    /// Learns which slots are still held.
    pub(super) fn given_out(&mut self, windows: &Windows) {
        self.gone.cleared_before(windows.slots.keys().next().copied());
    }

    /// Adds rows of a durable table, but for those that are known to be closed for their key group.
    fn merge(&self, batch: &RecordBatch, windows: &mut Windows) -> Result<()> {
        let panes = self.panes;
        let open = |group: u16, slot: Slot| {
            let closed = self.progress.came_closed(group).unwrap_or(Watermark::START);
            panes.raised(slot, closed).map(|_| slot)
        };
        self.place(batch, Half::Frozen, open, windows)
    }

    /// From now on every slot is read by windows that were not given out for the key group, and by no other.
    fn raise(&mut self, came: &Came, windows: &mut Windows) -> Result<()> {
        let Some(last) = windows.slots.keys().next_back().copied() else { return Ok(()) };
        let panes = self.panes;
        self.replace(last, |group, slot| panes.raised(slot, came.of(group)), windows)
    }

    /// Clears away the rows of key groups that left.
    fn purge(&mut self, windows: &mut Windows) -> Result<()> {
        let Some(last) = self.gone.last() else { return Ok(()) };
        self.replace(last, |_, slot| Some(slot), windows)
    }

    /// Puts all rows up to a slot where `slot` says, and none of those that left.
    fn replace(
        &mut self,
        last: Slot,
        slot: impl Fn(u16, Slot) -> Option<Slot>,
        windows: &mut Windows,
    ) -> Result<()> {
        for (own, half, states) in windows.take_until(last)? {
            let batch = self.gone.without(self.batch(own, &states)?)?;
            self.place(&batch, half, &slot, windows)?;
        }
        if self.gone.last() <= Some(last) {
            self.gone = Gone::default();
        }
        Ok(())
    }

    /// Adds rows of a durable table to the slots that `slot` says, if any.
    fn place(
        &self,
        batch: &RecordBatch,
        half: Half,
        slot: impl Fn(u16, Slot) -> Option<Slot>,
        windows: &mut Windows,
    ) -> Result<()> {
        if let Some(slot) = self.only_slot_of(batch, &slot)? {
            let states = States { columns: self.states_of(batch.columns()), rows: batch.num_rows() };
            return match half {
                Half::Frozen => windows.await_absorption(slot, states),
                Half::Fresh => windows.add(slot, half, |table| states.merge_into(table)),
            };
        }
        let slots = self.slots_of(batch, slot)?;
        let kept = match slots.iter().all(Option::is_some) {
            true => batch.clone(),
            false => chosen(batch, &slots.iter().map(|slot| Some(slot.is_some())).collect())?,
        };
        let slots: Vec<i64> = slots.into_iter().flatten().collect();
        // Parts that waited would each keep the memory of all of them.
        for part in by_slot(self.panes, &Times::OfSlots(slots.into()), kept.columns().to_vec())? {
            let columns = self.states_of(&part.columns);
            windows.add(part.slot, half, |table| table.merge(&columns, part.rows))?;
        }
        Ok(())
    }

    /// Where all rows of a durable table go; none if that is not one slot.
    fn only_slot_of(
        &self,
        batch: &RecordBatch,
        slot: impl Fn(u16, Slot) -> Option<Slot>,
    ) -> Result<Option<Slot>> {
        let times = times(batch, 1 + self.keys)?;
        let Some(&first) = times.first() else { return Ok(None) };
        if times.iter().any(|&time| time != first) {
            return Ok(None);
        }
        let of_groups = key_groups(batch)?.chunk_by(|a, b| a == b);
        let mut slots = of_groups.map(|groups| slot(groups[0], self.panes.slot_at(first)));
        let only = slots.next().flatten();
        Ok(only.filter(|_| slots.all(|slot| slot == only)))
    }

    /// Where rows of a durable table go, as times. They come by key group, and mostly by slot within it.
    fn slots_of(
        &self,
        batch: &RecordBatch,
        slot: impl Fn(u16, Slot) -> Option<Slot>,
    ) -> Result<Vec<Option<i64>>> {
        let time_of = |group, time| {
            let slot = slot(group, self.panes.slot_at(time))?;
            Some(self.panes.time_of(slot))
        };
        let mut last = None;
        let rows = key_groups(batch)?.iter().zip(times(batch, 1 + self.keys)?);
        let slots = rows.map(|(&group, &time)| match last {
            Some((row, slot)) if row == (group, time) => slot,
            Some(_) | None => {
                let slot = time_of(group, time);
                last = Some(((group, time), slot));
                slot
            }
        });
        Ok(slots.collect())
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
        let groups = key_group_column(&self.groups_of(keys, &time, states.rows)?);
        let all =
            [groups].into_iter().chain(keys.iter().cloned()).chain([time]).chain(values.iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), all.collect())
            .map_err(|e| Error::internal("the states of windows do not fit their table").because(e))
    }

    /// Where rows live. Without keys and where windows do not overlap, they are shuffled by their slot.
    fn groups_of(&self, keys: &[ArrayRef], time: &ArrayRef, rows: usize) -> Result<Vec<KeyGroup>> {
        let by_slot = keys.is_empty() && !self.panes.overlap();
        self.progress.key_groups_of(if by_slot { std::slice::from_ref(time) } else { keys }, rows)
    }
}
