//! Rows at a pace: some at once, then a batch every few milliseconds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::connector::{Next, Rows};

/// How often a source looks whether there is something.
const LOOK: Duration = Duration::from_millis(1);

/// What a source gives next, by who measures.
#[derive(Clone, Default)]
pub(super) struct Pace(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Rows to be given as fast as they are taken.
    queue: VecDeque<RecordBatch>,
    /// What comes at the beat, again and again.
    batches: Vec<RecordBatch>,
    period: Duration,
    /// When the next batch is due; none: there is no beat.
    due: Option<Instant>,
    given: usize,
    /// By how much a batch was late, at most.
    latest: Duration,
}

impl Pace {
    /// The source.
    pub(super) fn rows(&self) -> Rows {
        let pace = self.clone();
        Arc::new(move |_| pace.state().next())
    }

    /// Gives a batch as soon as somebody takes it.
    pub(super) fn push(&self, rows: RecordBatch) {
        self.state().queue.push_back(rows);
    }

    /// Waits until somebody has taken everything.
    pub(super) async fn taken(&self) {
        while !self.state().queue.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// From now on one of these batches comes every `period`.
    pub(super) fn beat(&self, batches: Vec<RecordBatch>, period: Duration) {
        let mut state = self.state();
        (state.batches, state.period, state.due) = (batches, period, Some(Instant::now() + period));
    }

    /// Nothing comes any more.
    pub(super) fn rest(&self) {
        self.state().due = None;
    }

    /// By how much a batch was late at most, since this was asked last.
    pub(super) fn latest(&self) -> Duration {
        std::mem::take(&mut self.state().latest)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> Next {
        if let Some(rows) = self.queue.pop_front() {
            return Next::Rows(rows);
        }
        let Some(due) = self.due else { return Next::Wait(LOOK) };
        let now = Instant::now();
        if now < due {
            return Next::Wait(due - now);
        }
        self.latest = self.latest.max(now - due);
        // What was late is not made up for: a source that waits is not read faster afterwards.
        self.due = Some(now + self.period);
        self.given += 1;
        Next::Rows(self.batches[self.given % self.batches.len()].clone())
    }
}
