//! All open windows of a window aggregate.

use std::collections::BTreeMap;

use thalweg_dataflow::{Functions, Result, Watermark};

use super::combine::Combiner;
use super::held::{Age, Held, States};
use super::panes::{Panes, Slot};
use super::tables::Tables;
use crate::aggregate::{Columns, Grouping, Inputs};
use crate::group_table::GroupTable;

/// Slots that some window is still to read.
pub(super) struct Windows {
    panes: Panes,
    pub(super) tables: Tables,
    pub(super) slots: BTreeMap<Slot, Held>,
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
            next: i64::MIN,
        })
    }

    /// Adds rows or states to a slot, whichever `fill` knows how to put into a table.
    /// Rows never come for a slot that a window has read: those windows are closed for them.
    pub(super) fn add(
        &mut self,
        slot: Slot,
        age: Age,
        fill: impl FnOnce(&mut GroupTable) -> Result<()>,
    ) -> Result<()> {
        self.slots.entry(slot).or_default().add(age, &mut self.tables, fill)
    }

    /// Adds states to a slot as they are. The slot is one that several windows read.
    pub(super) fn gather(&mut self, slot: Slot, states: States) -> Result<()> {
        self.slots.entry(slot).or_default().gather(states, &mut self.tables)
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

    /// The table of a slot that no other window reads.
    fn take_whole(&mut self, slot: Slot) -> Result<GroupTable> {
        match self.slots.remove(&slot).unwrap_or_default() {
            Held::Filling { frozen: Some(mut frozen), fresh: Some(mut fresh) } => {
                let rows = fresh.len();
                if rows > 0 {
                    frozen.merge(&fresh.take_state()?, rows)?;
                }
                self.tables.keep(fresh);
                Ok(frozen)
            }
            Held::Filling { frozen: Some(table), fresh: None }
            | Held::Filling { frozen: None, fresh: Some(table) } => Ok(table),
            Held::Filling { frozen: None, fresh: None } | Held::Gathering { .. } | Held::Sealed { .. } => {
                self.tables.table()
            }
        }
    }

    /// Windows that this watermark closes were given out before.
    pub(super) fn given_until(&mut self, watermark: Watermark) {
        self.next = self.panes.first_open(watermark);
    }

    /// From now on every slot is read by windows that this watermark does not close, and by no other.
    pub(super) fn raise(&mut self, watermark: Watermark) -> Result<()> {
        self.panes_changed();
        for (slot, mut held) in std::mem::take(&mut self.slots) {
            let Some(raised) = self.panes.raised(slot, watermark) else { continue };
            held.seal(&mut self.tables)?;
            for (age, states) in held.into_sealed() {
                self.add(raised, age, |table| states.merge_into(table))?;
            }
        }
        Ok(())
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
