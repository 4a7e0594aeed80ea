//! A step behind which records part: some go on, others leave aside.

use thalweg_dataflow::{Result, Step};

use super::{Exit, Flow, Give, Next};

/// What leaves aside before any event time is known has this one, early enough to be within the first window that
/// closes, and late enough for any arithmetic: about the year 1833.
const EARLY: i64 = -(1 << 32) * 1_000_000_000;

/// Passes on what is `Ok`; what is `Err` leaves by a side output.
pub(crate) struct Divide<U, L> {
    pub(crate) next: Box<dyn Next<U>>,
    pub(crate) aside: Box<dyn Next<L>>,
    /// The number of the side output.
    pub(crate) number: u16,
    /// Whether a step behind this one tells the event times.
    pub(crate) timed_later: bool,
}

impl<U, L> Divide<U, L> {
    /// What leaves before its event time is told has that of the watermark, which it neither moves nor misses.
    fn leave(&mut self, letter: L, flow: &mut Flow) -> Result<()> {
        if self.timed_later {
            // Whoever tells the time of the next record tells it anew.
            (flow.time, flow.watermark) = (flow.reached.max(EARLY), flow.reached);
        }
        self.aside.push(letter, flow)
    }
}

impl<U: Send, L: Send> Next<std::result::Result<U, L>> for Divide<U, L> {
    fn push(&mut self, record: std::result::Result<U, L>, flow: &mut Flow) -> Result<()> {
        match record {
            Ok(record) => self.next.push(record, flow),
            Err(letter) => self.leave(letter, flow),
        }
    }

    fn resume(&mut self, flow: &mut Flow) -> Result<()> {
        self.next.resume(flow)
    }

    fn settle(&mut self, flow: &mut Flow) -> Result<Step> {
        self.next.settle(flow)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)?;
        self.aside.take(&mut |_, batch| give(Exit::Side(self.number), batch))
    }
}
