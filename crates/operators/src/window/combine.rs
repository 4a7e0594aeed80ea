//! The panes of a window, merged.
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
//! price is to take states out of the accumulators and merge them back, so two
//! stacks pay only where keys live in [`PANES_PER_KEY_MIN`] panes or more.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use thalweg_dataflow::{Functions, Result};

use super::dictionary::Dictionary;
use super::held::Held;
use super::panes::{Panes, Slot};
use crate::aggregate::{Columns, Grouping, Inputs};
use crate::group_table::Kernels;

/// In how many panes of a window a key must live, on average, for two stacks to pay.
const PANES_PER_KEY_MIN: usize = 8;
/// The dictionary is made anew when it has so many keys for each of a window …
const KEYS_PER_GROUP_MAX: usize = 2;
/// … and so many beyond that.
const SLACK_KEYS: usize = 1024;

/// Merges the panes of one window after the other.
pub(super) struct Combiner {
    panes: Panes,
    key_columns: usize,
    dictionary: Dictionary,
    /// For each pane that was read, the ids of the keys of its states.
    ids: BTreeMap<Slot, Vec<Vec<usize>>>,
    scratch: Scratch,
    stacks: Stacks,
    /// How many groups the last window had.
    groups: usize,
    /// In how many panes a key of the last window lived.
    panes_per_key: usize,
}

/// States of many panes, by id.
struct Merged {
    ids: Vec<usize>,
    states: Columns,
}

#[derive(Default)]
struct Stacks {
    /// From the last pane to earlier ones: all from the pane on, up to the first one behind the front.
    front: Vec<(i64, Merged)>,
    /// All behind the front, up to the last pane reached.
    back: Option<Merged>,
    reached: i64,
}

/// States and their ids, pane by pane.
type Part<'a> = (Slot, Vec<(&'a [usize], &'a Columns)>);

impl Combiner {
    pub(super) fn new(
        panes: Panes,
        grouping: &Grouping,
        inputs: &Inputs,
        functions: &Functions,
    ) -> Result<Self> {
        Ok(Self {
            panes,
            key_columns: grouping.keys().len(),
            dictionary: Dictionary::new(grouping)?,
            ids: BTreeMap::new(),
            scratch: Scratch::new(Kernels::new(grouping, inputs, functions)?),
            stacks: Stacks::default(),
            groups: 0,
            panes_per_key: 0,
        })
    }

    /// Panes are no longer what they were.
    pub(super) fn forget(&mut self) {
        self.ids.clear();
        self.stacks = Stacks::default();
    }

    /// Keys and results of a window, and how many there are. It reads the slots up to it, which are all sealed.
    pub(super) fn combine(&mut self, window: i64, slots: &BTreeMap<Slot, Held>) -> Result<(Columns, usize)> {
        if self.dictionary.len() > self.groups * KEYS_PER_GROUP_MAX + SLACK_KEYS {
            self.forget();
            self.dictionary.clear()?;
        }
        self.ids.retain(|slot, _| slots.contains_key(slot));
        let read = || slots.range(..=Slot { from: window, pane: i64::MAX });
        for (slot, held) in read() {
            if !self.ids.contains_key(slot) {
                let ids = held
                    .sealed()
                    .map(|states| self.dictionary.ids_of(&states.columns[..self.key_columns], states.rows));
                self.ids.insert(*slot, ids.collect::<Result<_>>()?);
            }
        }
        self.scratch.begin(self.dictionary.len());
        let rows = self.merge(window, read())?;
        self.groups = self.scratch.ids.len();
        if self.groups == 0 {
            return Ok((Columns::new(), 0));
        }
        self.panes_per_key = rows / self.groups;
        let mut columns = self.dictionary.keys(&self.scratch.ids)?;
        columns.extend(self.scratch.kernels.take_values()?);
        Ok((columns, self.groups))
    }

    /// Merges all that the window reads. Answers how many groups its panes have, taken together.
    fn merge<'a>(&mut self, window: i64, read: impl Iterator<Item = (&'a Slot, &'a Held)>) -> Result<usize> {
        let Self { ids, scratch, stacks, panes, key_columns, .. } = self;
        let parts = read.map(|(slot, held)| -> Part<'_> {
            let states = held.sealed().map(|states| &states.columns);
            (*slot, ids[slot].iter().map(Vec::as_slice).zip(states).collect())
        });
        let (whole, parted): (Vec<Part<'_>>, Vec<Part<'_>>) =
            parts.partition(|(slot, _)| panes.is_whole(*slot));
        let keys = *key_columns;
        let (first, last) = panes.panes_of(window);
        while stacks.front.pop_if(|(pane, _)| *pane < first).is_some() {}
        if stacks.front.is_empty() && self.panes_per_key < PANES_PER_KEY_MIN {
            whole.iter().try_for_each(|part| scratch.merge_part(part, keys))?;
        } else {
            let (next_first, _) = panes.panes_of(window.saturating_add(1));
            stacks.merge(&whole, last, next_first, scratch, keys)?;
        }
        parted.iter().try_for_each(|part| scratch.merge_part(part, keys))?;
        Ok(whole.iter().flat_map(|(_, states)| states).map(|(ids, _)| ids.len()).sum())
    }

    pub(super) fn bytes(&self) -> usize {
        let of_ids = |ids: &Vec<usize>| ids.capacity() * size_of::<usize>();
        let of_merged = |merged: &Merged| {
            let states: usize = merged.states.iter().map(|column| column.get_array_memory_size()).sum();
            states + of_ids(&merged.ids)
        };
        let stacks = self.stacks.front.iter().map(|(_, merged)| merged).chain(&self.stacks.back);
        stacks.map(of_merged).sum::<usize>()
            + self.ids.values().flatten().map(of_ids).sum::<usize>()
            + self.dictionary.bytes()
            + self.scratch.kernels.bytes()
    }
}

impl Stacks {
    /// Merges panes up to `last`; `next_first` is the first that the next window reads.
    fn merge(
        &mut self,
        whole: &[Part<'_>],
        last: i64,
        next_first: i64,
        scratch: &mut Scratch,
        keys: usize,
    ) -> Result<()> {
        let before = std::mem::replace(&mut self.reached, last);
        let Some((_, front)) = self.front.last() else {
            self.back = None;
            for part in whole.iter().rev() {
                scratch.merge_part(part, keys)?;
                if part.0.pane >= next_first {
                    self.front.push((part.0.pane, scratch.read()?));
                }
            }
            return Ok(());
        };
        self.back.iter().try_for_each(|back| scratch.merge(&back.ids, &back.states))?;
        let mut new = whole.iter().filter(|(slot, _)| slot.pane > before).peekable();
        if new.peek().is_some() {
            new.try_for_each(|part| scratch.merge_part(part, keys))?;
            self.back = Some(scratch.read()?);
        }
        scratch.merge(&front.ids, &front.states)
    }
}

/// Accumulators over what one window reads.
///
/// An accumulator that sees no nulls takes every id below the total for seen.
/// So ids are given out anew for each window, each in the call that needs it first.
struct Scratch {
    kernels: Kernels,
    /// For each id of the dictionary its id here.
    own: Vec<usize>,
    /// For each id here the one in the dictionary.
    ids: Vec<usize>,
    rows: Vec<usize>,
}

/// There is no id yet.
const NONE: usize = usize::MAX;

impl Scratch {
    fn new(kernels: Kernels) -> Self {
        Self { kernels, own: Vec::new(), ids: Vec::new(), rows: Vec::new() }
    }

    /// Begins with nothing, for a dictionary of so many keys.
    fn begin(&mut self, keys: usize) {
        self.ids.clear();
        self.own.clear();
        self.own.resize(keys, NONE);
    }

    fn merge_part(&mut self, (_, states): &Part<'_>, keys: usize) -> Result<()> {
        states.iter().try_for_each(|(ids, columns)| self.merge(ids, &columns[keys..]))
    }

    fn merge(&mut self, ids: &[usize], states: &[ArrayRef]) -> Result<()> {
        self.rows.clear();
        for &id in ids {
            if self.own[id] == NONE {
                self.own[id] = self.ids.len();
                self.ids.push(id);
            }
            self.rows.push(self.own[id]);
        }
        self.kernels.merge(states, &self.rows, self.ids.len())
    }

    /// All that was merged so far, which stays.
    fn read(&mut self) -> Result<Merged> {
        let states = self.kernels.take_state()?;
        self.rows.clear();
        self.rows.extend(0..self.ids.len());
        self.kernels.merge(&states, &self.rows, self.ids.len())?;
        Ok(Merged { ids: self.ids.clone(), states })
    }
}
