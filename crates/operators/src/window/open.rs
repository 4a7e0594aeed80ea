//! All open windows of a window aggregate.

use std::collections::BTreeMap;

use thalweg_dataflow::{Functions, Result, Watermark};

use super::combine::Combiner;
use super::held::{Half, Held, States};
use super::panes::{Panes, Slot};
use super::tables::Tables;
use crate::aggregate::{Columns, Grouping, Inputs};
use crate::group_table::GroupTable;

/// Slots that some window is still to read.
pub(super) struct Windows {
    panes: Panes,
    pub(super) tables: Tables,
    pub(super) slots: BTreeMap<Slot, Held>,
    /// Slots with increments that wait.
    waiting: Vec<Slot>,
    combiner: Combiner,
    /// Windows before this one were given out.
    next: i64,
}

impl Windows {
    pub(super) fn new(
        panes: Panes,
        grouping: &Grouping,
        inputs: Inputs,
        functions: &Functions,
    ) -> Result<Self> {
        Ok(Self {
            panes,
            combiner: Combiner::new(panes, grouping, &inputs, functions)?,
            tables: Tables::new(grouping, inputs, functions)?,
            slots: BTreeMap::new(),
            waiting: Vec::new(),
            next: i64::MIN,
        })
    }

    /// Adds rows or states to a slot, whichever `fill` knows how to put into a table.
    /// Rows never come for a slot that a window has read: those windows are closed for them.
    pub(super) fn add(
        &mut self,
        slot: Slot,
        half: Half,
        fill: impl FnOnce(&mut GroupTable) -> Result<()>,
    ) -> Result<()> {
        self.slots.entry(slot).or_default().add(half, &mut self.tables, fill)
    }

    /// Adds states to a slot as they are. The slot is one that several windows read.
    pub(super) fn gather(&mut self, slot: Slot, states: States) -> Result<()> {
        self.slots.entry(slot).or_default().gather(states, &mut self.tables)
    }

    /// Adds states that an epoch holds to a slot as they are.
    pub(super) fn await_absorption(&mut self, slot: Slot, states: States) -> Result<()> {
        self.waiting.push(slot);
        self.slots.entry(slot).or_default().await_absorption(states, &mut self.tables)
    }

    /// The first window that is not yet given out and has rows, if the watermark closes it.
    pub(super) fn first_closed(&self, watermark: Watermark) -> Option<i64> {
        let first = self.slots.keys().next()?.from.max(self.next);
        self.panes.is_closed(first, watermark).then_some(first)
    }

    /// Keys and results of a window that closes, and how many there are.
    pub(super) fn close(&mut self, window: i64) -> Result<(Columns, usize)> {
        let read = self.slots.range(..=Slot { from: window, pane: i64::MAX });
        let read: Vec<Slot> = read.map(|(slot, _)| *slot).collect();
        let is_last = |slot: &Slot| self.panes.readers(slot.pane).1 <= window;
        self.next = window.saturating_add(1);
        match &read[..] {
            [only] if is_last(only) && matches!(self.slots.get(only), Some(Held::Filling { .. })) => {
                let mut table = self.take_whole(*only)?;
                let groups = table.len();
                let columns = if groups > 0 { table.take_values()? } else { Columns::new() };
                self.tables.keep(table);
                Ok((columns, groups))
            }
            _ => {
                for slot in &read {
                    let held = self.slots.get_mut(slot).expect("it is one of the keys");
                    held.seal(&mut self.tables)?;
                }
                let results = self.combiner.combine(window, &self.slots)?;
                for slot in read.iter().filter(|slot| is_last(slot)) {
                    self.slots.remove(slot);
                }
                Ok(results)
            }
        }
    }

    fn take_whole(&mut self, slot: Slot) -> Result<GroupTable> {
        let Held::Filling { frozen, waiting, fresh } = self.slots.remove(&slot).unwrap_or_default() else {
            return self.tables.table();
        };
        let (mut table, fresh) = match (frozen, fresh) {
            (Some(frozen), fresh) => (frozen, fresh),
            (None, Some(fresh)) if waiting.is_empty() || self.tables.merge_in_any_order() => (fresh, None),
            (None, fresh) => (self.tables.table()?, fresh),
        };
        waiting.iter().try_for_each(|states| states.merge_into(&mut table))?;
        if let Some(mut fresh) = fresh {
            if let Some(states) = States::take(&mut fresh)? {
                states.merge_into(&mut table)?;
            }
            self.tables.keep(fresh);
        }
        Ok(table)
    }

    /// Puts up to so many groups of increments that wait where they belong, so that no window has much to do.
    pub(super) fn absorb(&mut self, groups_max: usize) -> Result<()> {
        let mut left = groups_max;
        while left > 0
            && let Some(slot) = self.waiting.last()
        {
            let absorbed = match self.slots.get_mut(slot) {
                Some(held) => held.absorb(left, &mut self.tables)?,
                None => 0,
            };
            left -= absorbed;
            if absorbed == 0 {
                self.waiting.pop();
            }
        }
        Ok(())
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self) -> Result<Vec<(Slot, States)>> {
        let mut added = Vec::new();
        for (&slot, held) in &mut self.slots {
            let increment = held.freeze(&mut self.tables)?;
            if !increment.is_empty() {
                self.waiting.push(slot);
            }
            added.extend(increment.into_iter().map(|states| (slot, states)));
        }
        Ok(added)
    }

    /// Takes out what is held up to a slot, as columns.
    pub(super) fn take_until(&mut self, last: Slot) -> Result<Vec<(Slot, Half, States)>> {
        let behind = self.slots.split_off(&Slot { pane: last.pane.saturating_add(1), ..last });
        let mut taken = Vec::new();
        for (slot, mut held) in std::mem::replace(&mut self.slots, behind) {
            held.seal(&mut self.tables)?;
            taken.extend(held.into_sealed().into_iter().map(|(half, states)| (slot, half, states)));
        }
        Ok(taken)
    }

    /// Windows that this watermark closes were given out before.
    pub(super) fn given_until(&mut self, watermark: Watermark) {
        self.next = self.panes.first_open(watermark);
        let (panes, next) = (self.panes, self.next);
        self.slots.retain(|slot, _| panes.readers(slot.pane).1 >= next);
    }

    /// The combiner is not to rely on what panes were.
    pub(super) fn panes_changed(&mut self) {
        self.combiner.forget();
    }

    /// The bytes held in memory.
    pub(super) fn bytes(&self) -> usize {
        self.slots.values().map(Held::bytes).sum::<usize>() + self.tables.bytes() + self.combiner.bytes()
    }
}
