//! What is held of the rows of one slot.
//!
//! While a slot fills, it is tables: what is durable (or on its way to be) and
//! what came since the last barrier. At a barrier the second is the increment
//! of the snapshot and goes into the first, so nothing is ever read that must
//! be kept. While there are no barriers only the second exists.
//!
//! States that come for a slot which several windows will read are only
//! gathered, as long as they come in a few parts: they will be looked up once
//! in any case, when the first of those windows closes.
//!
//! When the first window that reads it closes, a slot is *sealed*: no row on
//! time can come any more, and other windows are to read it too. From then on
//! it is columns of states, which can be read many times.

use arrow::array::Array;
use thalweg_dataflow::Result;

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

    pub(super) fn merge_into(&self, table: &mut GroupTable) -> Result<()> {
        table.merge(&self.columns, self.rows)
    }

    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.get_array_memory_size()).sum()
    }
}

/// The two parts of what is held: by whether an epoch has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Barriers have taken note of it.
    Frozen,
    /// It came since.
    Fresh,
}

/// In how many parts states are gathered before they are put into a table.
const PARTS_MAX: usize = 8;

/// All rows of one slot.
pub(super) enum Held {
    /// States that came since the last barrier, as they came. Nothing came before it.
    Gathering { fresh: Vec<States> },
    /// Rows are still added.
    Filling { frozen: Option<GroupTable>, fresh: Option<GroupTable> },
    /// A window has read it.
    Sealed { frozen: Vec<States>, fresh: Vec<States> },
}

impl Default for Held {
    fn default() -> Self {
        Held::Filling { frozen: None, fresh: None }
    }
}

impl Held {
    /// Adds rows or states, whichever `fill` knows how to put into a table.
    pub(super) fn add(
        &mut self,
        age: Age,
        tables: &mut Tables,
        fill: impl FnOnce(&mut GroupTable) -> Result<()>,
    ) -> Result<()> {
        match self {
            Held::Gathering { fresh } => {
                *self = Held::filling(fresh, tables)?;
                self.add(age, tables, fill)
            }
            Held::Filling { frozen, fresh } => {
                let table = match age {
                    Age::Frozen => frozen,
                    Age::Fresh => fresh,
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
                match age {
                    Age::Frozen => frozen.extend(states),
                    Age::Fresh => fresh.extend(states),
                }
                Ok(())
            }
        }
    }

    /// Adds states as they are, to a slot that several windows will read.
    pub(super) fn gather(&mut self, states: States, tables: &mut Tables) -> Result<()> {
        match self {
            Held::Filling { frozen: None, fresh: None } => *self = Held::Gathering { fresh: vec![states] },
            Held::Gathering { fresh } if fresh.len() < PARTS_MAX => fresh.push(states),
            Held::Sealed { fresh, .. } => fresh.push(states),
            Held::Gathering { .. } | Held::Filling { .. } => {
                self.add(Age::Fresh, tables, |table| states.merge_into(table))?;
            }
        }
        Ok(())
    }

    /// The table of parts that were gathered.
    fn filling(parts: &[States], tables: &mut Tables) -> Result<Self> {
        let mut table = tables.table()?;
        parts.iter().try_for_each(|states| states.merge_into(&mut table))?;
        Ok(Held::Filling { frozen: None, fresh: Some(table) })
    }

    /// Makes it columns, which can be read without being emptied.
    pub(super) fn seal(&mut self, tables: &mut Tables) -> Result<()> {
        let (frozen, fresh) = match self {
            Held::Sealed { .. } => return Ok(()),
            Held::Gathering { fresh } => {
                *self = Held::Sealed { frozen: Vec::new(), fresh: std::mem::take(fresh) };
                return Ok(());
            }
            Held::Filling { frozen, fresh } => (frozen, fresh),
        };
        let mut sealed = |table: &mut Option<GroupTable>| {
            let Some(mut table) = table.take() else { return Ok(Vec::new()) };
            let states = States::take(&mut table)?;
            tables.keep(table);
            Ok(states.into_iter().collect())
        };
        *self = Held::Sealed { frozen: sealed(frozen)?, fresh: sealed(fresh)? };
        Ok(())
    }

    /// What came since the last barrier, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, tables: &mut Tables) -> Result<Vec<States>> {
        match self {
            Held::Gathering { fresh } => {
                let increment = std::mem::take(fresh);
                let mut table = tables.table()?;
                increment.iter().try_for_each(|states| states.merge_into(&mut table))?;
                *self = Held::Filling { frozen: Some(table), fresh: None };
                Ok(increment)
            }
            Held::Filling { frozen, fresh } => {
                let Some(mut table) = fresh.take() else { return Ok(Vec::new()) };
                let Some(states) = States::take(&mut table)? else {
                    tables.keep(table);
                    return Ok(Vec::new());
                };
                match frozen {
                    Some(frozen) => {
                        tables.keep(table);
                        states.merge_into(frozen)?;
                    }
                    None => {
                        states.merge_into(&mut table)?;
                        *frozen = Some(table);
                    }
                }
                Ok(vec![states])
            }
            Held::Sealed { frozen, fresh } => {
                let increment = std::mem::take(fresh);
                frozen.extend(increment.iter().cloned());
                Ok(increment)
            }
        }
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
    pub(super) fn into_sealed(self) -> Vec<(Age, States)> {
        let (frozen, fresh) = match self {
            Held::Sealed { frozen, fresh } => (frozen, fresh),
            Held::Gathering { .. } | Held::Filling { .. } => (Vec::new(), Vec::new()),
        };
        let of = |age: Age, all: Vec<States>| all.into_iter().map(move |states| (age, states));
        of(Age::Frozen, frozen).chain(of(Age::Fresh, fresh)).collect()
    }

    /// Splits off, of all that is held, what `leaving` answers: what leaves of
    /// the frozen part, and of the fresh one. It is told states, and gives what leaves and what stays.
    pub(super) fn take(
        &mut self,
        mut leaving: impl FnMut(States) -> Result<(Option<States>, Option<States>)>,
    ) -> Result<[Vec<States>; 2]> {
        let mut of_columns = |all: &mut Vec<States>| {
            let mut gone = Vec::new();
            for states in std::mem::take(all) {
                let (leaves, stays) = leaving(states)?;
                gone.extend(leaves);
                all.extend(stays);
            }
            Ok(gone)
        };
        match self {
            Held::Gathering { fresh } => Ok([Vec::new(), of_columns(fresh)?]),
            Held::Sealed { frozen, fresh } => Ok([of_columns(frozen)?, of_columns(fresh)?]),
            Held::Filling { frozen, fresh } => {
                let mut of_table = |held: &mut Option<GroupTable>| {
                    let Some(mut table) = held.take() else { return Ok(Vec::new()) };
                    let mut all: Vec<States> = States::take(&mut table)?.into_iter().collect();
                    let gone = of_columns(&mut all)?;
                    if let [stays] = &all[..] {
                        stays.merge_into(&mut table)?;
                        *held = Some(table);
                    }
                    Ok(gone)
                };
                Ok([of_table(frozen)?, of_table(fresh)?])
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Held::Gathering { fresh } => fresh.is_empty(),
            Held::Filling { frozen, fresh } => frozen.iter().chain(fresh).all(GroupTable::is_empty),
            Held::Sealed { frozen, fresh } => frozen.is_empty() && fresh.is_empty(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Held::Gathering { fresh } => fresh.iter().map(States::bytes).sum(),
            Held::Filling { frozen, fresh } => frozen.iter().chain(fresh).map(GroupTable::bytes).sum(),
            Held::Sealed { frozen, fresh } => frozen.iter().chain(fresh).map(States::bytes).sum(),
        }
    }
}
