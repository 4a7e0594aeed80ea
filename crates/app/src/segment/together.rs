//! A step that gets many records at once: for calls that wait, which can wait at the same time.
//!
//! ```text
//!  push, push, push ─► held ─(the batch ends, or enough are held)─► function ─► given ─► next, in order
//! ```
//!
//! Nothing is held between two batches, so a checkpoint finds nothing here, no watermark overtakes a
//! record, and a lone record does not wait for others.

use std::collections::VecDeque;
use std::sync::Arc;

use thalweg_dataflow::{Error, Result, Step};

use super::{Flow, Give, Next};

/// A record or none for each, by a function of many.
pub(crate) struct Together<T, U, F> {
    function: Arc<F>,
    /// So many records are given to the function at most.
    records_max: usize,
    held: Vec<T>,
    times: Vec<Times>,
    /// What the function gave, as far as there was no room for it.
    given: VecDeque<(U, Times)>,
    next: Box<dyn Next<U>>,
}

/// The times of a record.
#[derive(Clone, Copy)]
struct Times {
    time: i64,
    watermark: i64,
}

impl<T, U, F> Together<T, U, F>
where
    F: Fn(Vec<T>) -> Result<Vec<Option<U>>>,
{
    pub(crate) fn new(function: Arc<F>, records_max: usize, next: Box<dyn Next<U>>) -> Self {
        let (held, times, given) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { function, records_max: records_max.max(1), held, times, given, next }
    }

    /// Calls the function with what is held.
    fn call(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (held, times) = (std::mem::take(&mut self.held), std::mem::take(&mut self.times));
        let results = (self.function)(held)?;
        if results.len() != times.len() {
            return Err(Error::internal("a function of many records did not answer for each"));
        }
        let given = results.into_iter().zip(times);
        self.given.extend(given.filter_map(|(result, times)| Some((result?, times))));
        Ok(())
    }

    /// Passes on what the function gave while there is room.
    fn give(&mut self, flow: &mut Flow) -> Result<()> {
        let at_hand = Times { time: flow.time, watermark: flow.watermark };
        while !flow.is_full()
            && let Some((record, Times { time, watermark })) = self.given.pop_front()
        {
            (flow.time, flow.watermark) = (time, watermark);
            self.next.push(record, flow)?;
        }
        (flow.time, flow.watermark) = (at_hand.time, at_hand.watermark);
        Ok(())
    }
}

impl<T, U, F> Next<T> for Together<T, U, F>
where
    T: Send,
    U: Send,
    F: Fn(Vec<T>) -> Result<Vec<Option<U>>> + Send + Sync,
{
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        flow.at_once = flow.at_once.max(self.records_max);
        self.held.push(record);
        self.times.push(Times { time: flow.time, watermark: flow.watermark });
        if self.held.len() < self.records_max {
            return Ok(());
        }
        self.call()?;
        self.give(flow)
    }

    fn resume(&mut self, flow: &mut Flow) -> Result<()> {
        self.next.resume(flow)?;
        self.give(flow)
    }

    fn settle(&mut self, flow: &mut Flow) -> Result<Step> {
        self.call()?;
        self.give(flow)?;
        match self.given.is_empty() {
            true if !flow.is_full() => self.next.settle(flow),
            true | false => Ok(Step::More),
        }
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}
