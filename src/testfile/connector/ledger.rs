//! What sinks have published, and what they hold aside until their epoch is complete.
//!
//! The ledger outlives the jobs that write into it, as the outside world does.
//! It keeps the law of publishing: a lot is published once however often it is
//! committed, and what a later life undid can never be published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Committable, Error, Result};
use thalweg_state::Incarnation;

/// What sinks have been given, by table, in order.
#[derive(Clone, Debug, Default)]
pub struct Outputs(Arc<Mutex<Ledger>>);

#[derive(Debug, Default)]
struct Ledger {
    visible: BTreeMap<String, Vec<RecordBatch>>,
    aside: BTreeMap<Lot, Vec<RecordBatch>>,
    published: BTreeSet<Lot>,
    /// Lives of the job before this one may publish nothing new.
    fenced: BTreeMap<Place, Incarnation>,
    /// The number of the next lot.
    next: u64,
}

/// One sink of a script: the table, and which of those that write into it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) table: String,
    pub(super) sink: u32,
}

/// What one subtask prepared for one epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Lot {
    place: Place,
    number: u64,
}

impl Outputs {
    /// What came to each table so far and can be seen.
    pub fn tables(&self) -> BTreeMap<String, Vec<RecordBatch>> {
        self.ledger().visible.clone()
    }

    /// The rows that are held aside.
    pub fn rows_aside(&self) -> usize {
        self.ledger().aside.values().flatten().map(RecordBatch::num_rows).sum()
    }

    /// A panic elsewhere leaves the ledger as it was before the call that panicked, or behind it.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on there is this table.
    pub(super) fn touch(&self, table: &str) {
        self.ledger().visible.entry(table.to_owned()).or_default();
    }

    /// Holds rows aside until they are committed.
    pub(super) fn prepare(
        &self,
        place: &Place,
        incarnation: Incarnation,
        rows: Vec<RecordBatch>,
    ) -> Result<Committable> {
        let mut ledger = self.ledger();
        if ledger.fenced.get(place).is_some_and(|&fenced| incarnation < fenced) {
            let what = format!("incarnation {} writes into '{}' behind a fence", incarnation.0, place.table);
            return Err(Error::new(Code::Fenced, what));
        }
        let lot = Lot { place: place.clone(), number: ledger.next };
        ledger.next += 1;
        let bytes = serde_json::to_vec(&lot).expect("text and numbers have a JSON form");
        ledger.aside.insert(lot, rows);
        Ok(Committable(bytes))
    }

    /// Makes lots visible that are not yet.
    pub(super) fn commit(&self, committables: &[Committable]) -> Result<()> {
        let mut ledger = self.ledger();
        for Committable(bytes) in committables {
            let lot: Lot = serde_json::from_slice(bytes)
                .map_err(|why| Error::internal("a test's committable is unreadable").because(why))?;
            match ledger.aside.remove(&lot) {
                Some(rows) => {
                    ledger.visible.entry(lot.place.table.clone()).or_default().extend(rows);
                    ledger.published.insert(lot);
                }
                None if ledger.published.contains(&lot) => {}
                None => return Err(Error::internal(format!("{lot:?} is committed though it was undone"))),
            }
        }
        Ok(())
    }

    /// Undoes what a sink holds aside.
    pub(super) fn undo(&self, place: &Place) {
        self.ledger().aside.retain(|lot, _| lot.place != *place);
    }

    /// Lives before `incarnation` may prepare nothing more.
    pub(super) fn fence(&self, place: &Place, incarnation: Incarnation) {
        self.ledger().fenced.insert(place.clone(), incarnation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: i64) -> Vec<RecordBatch> {
        let column: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..count));
        vec![RecordBatch::try_from_iter([("n", column)]).expect("one column")]
    }

    fn seen(outputs: &Outputs) -> usize {
        outputs.tables().values().flatten().map(RecordBatch::num_rows).sum()
    }

    #[test]
    fn a_lot_is_published_once_and_never_behind_a_restore_that_undid_it() {
        let outputs = Outputs::default();
        let [place, other] = [0, 1].map(|sink| Place { table: "t".into(), sink });
        let prepare = |place, n| outputs.prepare(place, Incarnation(1), rows(n));
        let first = prepare(&place, 1).expect("no fence");
        let second = prepare(&place, 2).expect("no fence");
        let others = prepare(&other, 4).expect("no fence");
        assert_eq!((seen(&outputs), outputs.rows_aside()), (0, 7));
        for _ in 0..2 {
            outputs.commit(std::slice::from_ref(&first)).expect("it is there");
            assert_eq!((seen(&outputs), outputs.rows_aside()), (1, 6));
        }
        outputs.undo(&place);
        outputs.commit(&[second]).expect_err("it was undone");
        outputs.commit(&[others]).expect("another sink's");
        assert_eq!((seen(&outputs), outputs.rows_aside()), (5, 0));
    }

    #[test]
    fn a_former_life_prepares_nothing_behind_the_fence() {
        let outputs = Outputs::default();
        let place = Place { table: "t".into(), sink: 0 };
        outputs.fence(&place, Incarnation(2));
        assert!(outputs.prepare(&place, Incarnation(1), rows(1)).is_err());
        assert!(outputs.prepare(&place, Incarnation(2), rows(1)).is_ok());
    }
}
