//! The panes of a window, merged into one table.
//!
//! Neighbouring windows share panes. Where a key lives in few of them, every
//! window merges all its panes anew. Where keys live in many, that would cost
//! each key once per pane and window; there, panes are merged as two stacks:
//!
//! ```text
//!   panes    1    2    3    4 │  5    6        front: 4, 3+4, 2+3+4   (made at once, from behind)
//!   window 2      └─────────┘ │  └────┘        back:  5+6             (grows by a pane at a time)
//!                  2+3+4      +   5+6
//! ```
//!
//! When the front is used up, the panes of the back become the next front. So a
//! pane is merged a fixed number of times, however wide the window is. The
//! price is to take states out of a table and merge them back, so two stacks
//! pay only where keys live in [`PANES_PER_KEY_MIN`] panes or more.

use std::collections::BTreeMap;

use thalweg_dataflow::Result;

use super::held::{Held, States};
use super::panes::{Panes, Slot};
use super::tables::Tables;
use crate::group_table::GroupTable;

/// In how many panes of a window a key must live, on average, for two stacks to pay.
const PANES_PER_KEY_MIN: usize = 8;

/// Merges the panes of one window after the other.
pub(super) struct Combiner {
    panes: Panes,
    stacks: Stacks,
    /// In how many panes a key of the last window lived.
    panes_per_key: usize,
}

#[derive(Default)]
struct Stacks {
    /// From the last pane to earlier ones: all from the pane on, up to the first one behind the front.
    front: Vec<(i64, States)>,
    /// All behind the front, up to the last pane reached.
    back: Option<States>,
    reached: i64,
}

impl Combiner {
    pub(super) fn new(panes: Panes) -> Self {
        Self { panes, stacks: Stacks::default(), panes_per_key: 0 }
    }

    /// Panes are no longer what they were.
    pub(super) fn forget(&mut self) {
        self.stacks = Stacks::default();
    }

    /// All that the window reads: the slots up to it, which are all sealed.
    pub(super) fn combine(
        &mut self,
        window: i64,
        slots: &BTreeMap<Slot, Held>,
        tables: &mut Tables,
    ) -> Result<GroupTable> {
        let mut table = tables.table()?;
        let read = slots.range(..=Slot { from: window, pane: i64::MAX });
        let (whole, parted): (Vec<_>, Vec<_>) = read.partition(|(slot, _)| self.panes.is_whole(**slot));
        let (first, last) = self.panes.panes_of(window);
        while self.stacks.front.pop_if(|(pane, _)| *pane < first).is_some() {}
        if self.stacks.front.is_empty() && self.panes_per_key < PANES_PER_KEY_MIN {
            whole.iter().try_for_each(|(_, held)| merge(held, &mut table))?;
        } else {
            let (next_first, _) = self.panes.panes_of(window.saturating_add(1));
            self.stacks.merge(&whole, last, next_first, &mut table)?;
        }
        parted.iter().try_for_each(|(_, held)| merge(held, &mut table))?;
        let rows: usize = whole.iter().flat_map(|(_, held)| held.sealed()).map(|states| states.rows).sum();
        self.panes_per_key = rows / table.len().max(1);
        Ok(table)
    }

    pub(super) fn bytes(&self) -> usize {
        let states = self.stacks.front.iter().map(|(_, states)| states).chain(&self.stacks.back);
        states.map(States::bytes).sum()
    }
}

impl Stacks {
    /// Merges panes up to `last` into an empty table; `next_first` is the first that is read again.
    fn merge(
        &mut self,
        whole: &[(&Slot, &Held)],
        last: i64,
        next_first: i64,
        table: &mut GroupTable,
    ) -> Result<()> {
        let Some((_, front)) = self.front.last().cloned() else {
            self.back = None;
            self.reached = last;
            for (slot, held) in whole.iter().rev() {
                merge(held, table)?;
                if slot.pane >= next_first
                    && let Some(states) = States::take(table)?
                {
                    states.merge_into(table)?;
                    self.front.push((slot.pane, states));
                }
            }
            return Ok(());
        };
        let new = whole.iter().filter(|(slot, _)| slot.pane > self.reached);
        self.back.iter().try_for_each(|back| back.merge_into(table))?;
        let mut grew = false;
        for (_, held) in new {
            merge(held, table)?;
            grew = true;
        }
        if grew && let Some(states) = States::take(table)? {
            states.merge_into(table)?;
            self.back = Some(states);
        }
        self.reached = last;
        front.merge_into(table)
    }
}

fn merge(held: &Held, table: &mut GroupTable) -> Result<()> {
    held.sealed().try_for_each(|states| states.merge_into(table))
}
