//! When does a subtask pass a barrier? Pure.
//!
//! A barrier blocks its channel until every channel that is alive has
//! delivered the same one. The end of a channel counts as its barrier.

use thalweg_dataflow::Barrier;

/// Lines up the barriers of one subtask's channels.
#[derive(Debug)]
pub(crate) struct Alignment {
    /// For each channel whether it still has to deliver.
    channels: Vec<State>,
    barrier: Option<Barrier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not to be waited for yet: born behind a barrier that is not passed.
    Unborn,
    Open,
    Delivered,
    Ended,
}

/// A channel broke the order of barriers: a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disorder;

impl Alignment {
    /// Channels without a barrier. Those in `unborn` are not waited for until [`open`](Self::open).
    pub(crate) fn new(channels: usize, unborn: impl Fn(usize) -> bool) -> Self {
        let state = |channel| if unborn(channel) { State::Unborn } else { State::Open };
        Self { channels: (0..channels).map(state).collect(), barrier: None }
    }

    /// A barrier came, and its channel is to be blocked. Gives it when it was the last one missing.
    pub(crate) fn on_barrier(
        &mut self,
        channel: usize,
        barrier: Barrier,
    ) -> Result<Option<Barrier>, Disorder> {
        let in_order = self.barrier.as_ref().is_none_or(|b| b.epoch == barrier.epoch);
        if !in_order || self.channels[channel] != State::Open {
            return Err(Disorder);
        }
        self.channels[channel] = State::Delivered;
        self.barrier.get_or_insert(barrier);
        Ok(self.complete())
    }

    /// A channel ended. Gives the barrier that only waited for it.
    pub(crate) fn on_end(&mut self, channel: usize) -> Option<Barrier> {
        self.channels[channel] = State::Ended;
        self.complete()
    }

    /// A channel was added that is not to be waited for yet, or that has ended before it began.
    pub(crate) fn add(&mut self, has_ended: bool) {
        self.channels.push(if has_ended { State::Ended } else { State::Unborn });
    }

    /// A channel is born: from now on its barriers are waited for.
    pub(crate) fn open(&mut self, channel: usize) {
        self.channels[channel] = State::Open;
    }

    /// Whether every channel has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.channels.iter().all(|&state| state == State::Ended)
    }

    fn complete(&mut self) -> Option<Barrier> {
        if self.channels.contains(&State::Open) {
            return None;
        }
        for state in &mut self.channels {
            if *state == State::Delivered {
                *state = State::Open;
            }
        }
        self.barrier.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_state::Epoch;

    fn barrier(epoch: u64) -> Barrier {
        Barrier::plain(Epoch(epoch))
    }

    fn epoch(barrier: Option<Barrier>) -> Option<u64> {
        barrier.map(|b| b.epoch.0)
    }

    #[test]
    fn the_last_channel_completes_a_barrier() {
        let mut alignment = Alignment::new(3, |_| false);
        for e in 1..3 {
            assert_eq!(alignment.on_barrier(1, barrier(e)).map(epoch), Ok(None));
            assert_eq!(alignment.on_barrier(0, barrier(e)).map(epoch), Ok(None));
            assert_eq!(alignment.on_barrier(2, barrier(e)).map(epoch), Ok(Some(e)));
        }
    }

    #[test]
    fn the_end_of_a_channel_counts_as_its_barrier() {
        let mut alignment = Alignment::new(2, |_| false);
        assert_eq!(alignment.on_barrier(0, barrier(1)).map(epoch), Ok(None));
        assert_eq!(epoch(alignment.on_end(1)), Some(1));
        assert!(!alignment.all_ended());
        assert_eq!(alignment.on_barrier(0, barrier(2)).map(epoch), Ok(Some(2)));
        assert_eq!(epoch(alignment.on_end(0)), None);
        assert!(alignment.all_ended());
    }

    #[test]
    fn an_unborn_channel_is_not_waited_for() {
        let mut alignment = Alignment::new(2, |channel| channel == 1);
        assert_eq!(alignment.on_barrier(0, barrier(1)).map(epoch), Ok(Some(1)));
        alignment.open(1);
        assert_eq!(alignment.on_barrier(0, barrier(2)).map(epoch), Ok(None));
        assert_eq!(alignment.on_barrier(1, barrier(2)).map(epoch), Ok(Some(2)));
    }

    #[test]
    fn barriers_out_of_order_are_told() {
        let mut alignment = Alignment::new(2, |_| false);
        assert!(alignment.on_barrier(0, barrier(1)).is_ok());
        assert_eq!(alignment.on_barrier(1, barrier(2)).map(epoch), Err(Disorder));
    }
}
