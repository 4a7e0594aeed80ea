//! What all hosts of one simulation stand on: time, the trace, the store, the ledger.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thalweg_testkit::faulty_store::{Deed, FaultyStore, Now};

use crate::ledger::{Ledger, Manners};
use crate::settlements::Settlements;
use crate::trace::Trace;

/// Takes a note of what happens now.
pub(crate) type Note = Arc<dyn Fn(fmt::Arguments<'_>) + Send + Sync>;

/// What is outside of all hosts.
pub(crate) struct Ground {
    pub(crate) trace: Arc<Trace>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) settlements: Arc<Mutex<Settlements>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) now: Now,
    pub(crate) note: Note,
    /// Simulated time between two steps of the simulation, in nanoseconds.
    elapsed: Arc<AtomicU64>,
}

impl Ground {
    pub(crate) fn new(seed: u64, loud: bool) -> Self {
        let elapsed = Arc::new(AtomicU64::new(0));
        let between = Arc::clone(&elapsed);
        let now: Now = Arc::new(move || {
            turmoil::sim_elapsed().unwrap_or_else(|| Duration::from_nanos(between.load(Ordering::Relaxed)))
        });
        let trace = Arc::new(Trace::new(loud));
        let note: Note = {
            let (trace, now) = (Arc::clone(&trace), Arc::clone(&now));
            Arc::new(move |what| trace.note(now(), what))
        };
        let settlements = Arc::new(Mutex::new(Settlements::default()));
        let watcher = {
            let (note, settlements) = (Arc::clone(&note), Arc::clone(&settlements));
            Arc::new(move |deed: Deed<'_>| {
                match &deed {
                    Deed::Created(name, bytes) => note(format_args!("store + {name} {}", bytes.len())),
                    Deed::Deleted(name) => note(format_args!("store - {name}")),
                }
                settlements.lock().unwrap_or_else(PoisonError::into_inner).see(&deed);
            })
        };
        let store = Arc::new(FaultyStore::new(seed ^ 1, Arc::clone(&now), watcher));
        let ledger = Arc::new(Ledger::new(seed ^ 2, Manners::good(), Arc::clone(&note)));
        Self { trace, store, settlements, ledger, now, note, elapsed }
    }

    /// So much time is over.
    pub(crate) fn set_elapsed(&self, elapsed: Duration) {
        self.elapsed.store(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
