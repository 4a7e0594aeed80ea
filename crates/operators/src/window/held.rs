//! What is held of the rows of one slot.
//!
//! While a slot fills, it is tables: what is durable (or on its way to be) and
//! what came since the last barrier. At a barrier the second is the increment
//! of the snapshot and goes into the first, so nothing is ever read that must
//! be kept. While there are no barriers only the second exists. An increment
//! waits beside the first table and goes into it in bounded pieces, so that a
//! barrier is over as soon as the second is emptied. Large parts of what was
//! restored wait there too, so that rows flow before all is looked up.
//!
//! Most windows see one barrier or two. Their increments wait until the window
//! closes and then go into the second table: each is looked up once, and there
//! is never a first table. Only where the order of rows may matter, or where
//! there are more, an increment does not wait.
//!
//! States that come for a slot which several windows will read are only
//! gathered, as long as they come in a few parts: they will be looked up once
//! in any case, when the first of those windows closes.
//!
//! When the first window that reads it closes, a slot is *sealed*: no row on
//! time can come any more, and other windows are to read it too. From then on
//! it is columns of states, which can be read many times.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef};
use thalweg_dataflow::{Error, Result};

use super::tables::Tables;
use crate::aggregate::Columns;
use crate::group_table::GroupTable;

/// Keys and states as columns, one row per group.
#[derive(Clone)]
pub(super) struct States {
    pub(super) columns: Columns,
    pub(super) rows: usize,
}

impl States {
    /// All that a table holds; none if it is empty.
    pub(super) fn take(table: &mut GroupTable) -> Result<Option<Self>> {
        let rows = table.len();
        (rows > 0).then(|| table.take_state().map(|columns| Self { columns, rows })).transpose()
    }

    /// Takes the first rows away, so many at most.
    fn split_front(&mut self, rows_max: usize) -> Self {
        let rows = self.rows.min(rows_max);
        let part = |from, rows| self.columns.iter().map(|column| column.slice(from, rows)).collect();
        let (columns, rest) = (part(0, rows), part(rows, self.rows - rows));
        *self = Self { columns: rest, rows: self.rows - rows };
        Self { columns, rows }
    }

    pub(super) fn merge_into(&self, table: &mut GroupTable) -> Result<()> {
        table.merge(&self.columns, self.rows)
    }

    /// The bytes of its own rows: what was cut into pieces shares its memory.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |column: &ArrayRef| {
            let own = column.to_data().get_slice_memory_size();
            own.unwrap_or_else(|_| column.get_array_memory_size())
        };
        self.columns.iter().map(bytes).sum()
    }
}

/// The two parts of what is held: by whether an epoch has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// Barriers have taken note of it.
    Frozen,
    /// It came since.
    Fresh,
}

/// So many increments wait for their window to close; with more they begin to go into a table before.
const WAITING_MAX: usize = 2;
/// In how many parts states are gathered before they are put into a table.
const PARTS_MAX: usize = 8;

/// All rows of one slot.
pub(super) enum Held {
    /// States that came since the last barrier, as they came. Nothing came before it.
    Gathering { fresh: Vec<States> },
    /// Rows are still added.
    Filling {
        frozen: Option<GroupTable>,
        /// What is to go into the frozen table.
        waiting: VecDeque<States>,
        fresh: Option<GroupTable>,
    },
    /// A window has read it.
    Sealed { frozen: Vec<States>, fresh: Vec<States> },
}

impl Default for Held {
    fn default() -> Self {
        Held::Filling { frozen: None, waiting: VecDeque::new(), fresh: None }
    }
}

impl Held {
    /// Adds rows or states, whichever `fill` knows how to put into a table.
    pub(super) fn add(
        &mut self,
        half: Half,
        tables: &mut Tables,
        fill: impl FnOnce(&mut GroupTable) -> Result<()>,
    ) -> Result<()> {
        match self {
            Held::Gathering { fresh } => {
                *self = Held::filling(fresh, tables)?;
                self.add(half, tables, fill)
            }
            Held::Filling { frozen, fresh, .. } => {
                let table = match half {
                    Half::Frozen => frozen,
                    Half::Fresh => fresh,
                };
                match table {
                    Some(table) => fill(table),
                    None => fill(table.insert(tables.table()?)),
                }
            }
            Held::Sealed { frozen, fresh } => {
                let mut table = tables.table()?;
                fill(&mut table)?;
                let states = States::take(&mut table)?;
                tables.keep(table);
                match half {
                    Half::Frozen => frozen.extend(states),
                    Half::Fresh => fresh.extend(states),
                }
                Ok(())
            }
        }
    }

    /// Adds states as they are, to a slot that several windows will read.
    pub(super) fn gather(&mut self, states: States, tables: &mut Tables) -> Result<()> {
        match self {
            Held::Filling { frozen: None, waiting, fresh: None } if waiting.is_empty() => {
                *self = Held::Gathering { fresh: vec![states] };
            }
            Held::Gathering { fresh } if fresh.len() < PARTS_MAX => fresh.push(states),
            Held::Sealed { fresh, .. } => fresh.push(states),
            Held::Gathering { .. } | Held::Filling { .. } => {
                self.add(Half::Fresh, tables, |table| states.merge_into(table))?;
            }
        }
        Ok(())
    }

    /// Adds states that an epoch holds as they are: they wait, as an increment does.
    pub(super) fn await_absorption(&mut self, states: States, tables: &mut Tables) -> Result<()> {
        match self {
            Held::Gathering { fresh } => {
                *self = Held::filling(fresh, tables)?;
                self.await_absorption(states, tables)?;
            }
            Held::Filling { waiting, .. } => waiting.push_back(states),
            Held::Sealed { frozen, .. } => frozen.push(states),
        }
        Ok(())
    }

    /// The table of parts that were gathered.
    fn filling(parts: &[States], tables: &mut Tables) -> Result<Self> {
        let mut table = tables.table()?;
        parts.iter().try_for_each(|states| states.merge_into(&mut table))?;
        Ok(Held::Filling { frozen: None, waiting: VecDeque::new(), fresh: Some(table) })
    }

    /// Makes it columns, which can be read without being emptied.
    pub(super) fn seal(&mut self, tables: &mut Tables) -> Result<()> {
        let (frozen, waiting, fresh) = match self {
            Held::Sealed { .. } => return Ok(()),
            Held::Gathering { fresh } => {
                *self = Held::Sealed { frozen: Vec::new(), fresh: std::mem::take(fresh) };
                return Ok(());
            }
            Held::Filling { frozen, waiting, fresh } => (frozen, waiting, fresh),
        };
        let mut sealed = |table: &mut Option<GroupTable>| {
            let Some(mut table) = table.take() else { return Ok(Vec::new()) };
            let states = States::take(&mut table)?;
            tables.keep(table);
            Ok::<Vec<States>, Error>(states.into_iter().collect())
        };
        let (mut frozen, fresh) = (sealed(frozen)?, sealed(fresh)?);
        frozen.extend(waiting.drain(..));
        *self = Held::Sealed { frozen, fresh };
        Ok(())
    }

    /// What came since the last barrier, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, tables: &mut Tables) -> Result<Vec<States>> {
        match self {
            Held::Gathering { fresh } => {
                let increment = std::mem::take(fresh);
                *self =
                    Held::Filling { frozen: None, waiting: increment.iter().cloned().collect(), fresh: None };
                Ok(increment)
            }
            Held::Filling { waiting, fresh, .. } => {
                let Some(mut table) = fresh.take() else { return Ok(Vec::new()) };
                let states = States::take(&mut table)?;
                tables.keep(table);
                waiting.extend(states.clone());
                Ok(states.into_iter().collect())
            }
            Held::Sealed { frozen, fresh } => {
                let increment = std::mem::take(fresh);
                frozen.extend(increment.iter().cloned());
                Ok(increment)
            }
        }
    }

    /// Puts up to so many groups that wait into the frozen table. Answers how many there were;
    /// none also where they had better wait on.
    pub(super) fn absorb(&mut self, groups_max: usize, tables: &mut Tables) -> Result<usize> {
        let Held::Filling { frozen, waiting, .. } = self else { return Ok(0) };
        if frozen.is_none() && waiting.len() <= WAITING_MAX && tables.merge_in_any_order() {
            return Ok(0);
        }
        let Some(states) = waiting.front_mut() else { return Ok(0) };
        let piece = states.split_front(groups_max);
        if states.rows == 0 {
            waiting.pop_front();
        }
        let table = match frozen {
            Some(table) => table,
            None => frozen.insert(tables.table()?),
        };
        piece.merge_into(table)?;
        Ok(piece.rows)
    }

    /// All columns of a slot that is sealed.
    pub(super) fn sealed(&self) -> impl Iterator<Item = &States> {
        let (frozen, fresh): (&[States], &[States]) = match self {
            Held::Sealed { frozen, fresh } => (frozen, fresh),
            Held::Gathering { .. } | Held::Filling { .. } => (&[], &[]),
        };
        frozen.iter().chain(fresh)
    }

    /// All columns of a slot that is sealed, with their ages.
    pub(super) fn into_sealed(self) -> Vec<(Half, States)> {
        let (frozen, fresh) = match self {
            Held::Sealed { frozen, fresh } => (frozen, fresh),
            Held::Gathering { .. } | Held::Filling { .. } => (Vec::new(), Vec::new()),
        };
        let of = |half: Half, all: Vec<States>| all.into_iter().map(move |states| (half, states));
        of(Half::Frozen, frozen).chain(of(Half::Fresh, fresh)).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Held::Gathering { fresh } => fresh.iter().map(States::bytes).sum(),
            Held::Filling { frozen, waiting, fresh } => {
                let tables: usize = frozen.iter().chain(fresh).map(GroupTable::bytes).sum();
                tables + waiting.iter().map(States::bytes).sum::<usize>()
            }
            Held::Sealed { frozen, fresh } => frozen.iter().chain(fresh).map(States::bytes).sum(),
        }
    }
}
