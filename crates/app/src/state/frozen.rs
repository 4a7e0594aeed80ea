//! What a barrier froze of the states, until it is written down.
//!
//! States are values of the program's own types, which take time to write
//! down. So that no barrier stops records for as long as that takes, it only
//! notes which states it froze; they are written down behind it, some at a
//! time, and each before a computation gets it to change it.

use arrow::array::ArrayRef;
use thalweg_dataflow::{Error, Result};
use thalweg_state::KeyGroups;

use super::{Entry, Key};
use crate::columns::{Layout, Record, Write};

type Writers<K, S> = (Box<dyn Write<K>>, Box<dyn Write<S>>);

/// The states that an epoch is still to be given.
pub(super) struct Frozen<K, S> {
    /// Where they are, or were: an entry that is still owed says so itself.
    places: std::vec::IntoIter<u32>,
    writers: Option<Writers<K, S>>,
    /// Why a state could not be written down that had to be.
    failed: Option<Error>,
    /// Key groups that lived elsewhere when the barrier passed.
    pub(super) without: KeyGroups,
}

impl<K, S> Default for Frozen<K, S> {
    fn default() -> Self {
        Self { places: Vec::new().into_iter(), writers: None, failed: None, without: KeyGroups::default() }
    }
}

impl<K: Key, S: Record> Frozen<K, S> {
    pub(super) fn new(places: Vec<u32>, without: KeyGroups, layout: &(Layout<K>, Layout<S>)) -> Result<Self> {
        let writers = Some((layout.0.writer()?, layout.1.writer()?));
        Ok(Self { places: places.into_iter(), writers, failed: None, without })
    }

    /// Writes an entry down if it is still owed; it is about to change, or to leave.
    #[inline]
    pub(super) fn save(&mut self, entry: &mut Entry<K, S>) {
        if entry.frozen
            && let Err(error) = self.write(entry)
        {
            self.failed.get_or_insert(error);
        }
    }

    #[cold]
    fn write(&mut self, entry: &mut Entry<K, S>) -> Result<()> {
        entry.frozen = false;
        let Some((keys, states)) = &mut self.writers else { return Ok(()) };
        keys.push(&entry.key)?;
        states.push(&entry.state)?;
        Ok(())
    }

    /// Keys and states of the next entries, as many as `places_max` places have, and of those that were
    /// saved meanwhile. None, when all were given.
    pub(super) fn next(
        &mut self,
        entries: &mut [Option<Entry<K, S>>],
        places_max: usize,
    ) -> Result<Option<(ArrayRef, ArrayRef)>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        for _ in 0..places_max {
            let Some(place) = self.places.next() else { break };
            if let Some(entry) = &mut entries[place as usize]
                && entry.frozen
            {
                self.write(entry)?;
            }
        }
        let is_last = self.places.len() == 0;
        let Some((keys, states)) = &mut self.writers else { return Ok(None) };
        let written = (keys.finish()?, states.finish()?);
        if is_last {
            self.writers = None;
        }
        Ok(Some(written))
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.len() * size_of::<u32>()
    }
}
