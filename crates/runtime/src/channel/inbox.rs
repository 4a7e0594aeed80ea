//! The receiving end of all channels of one subtask.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use thalweg_dataflow::{Batch, Error, Message, Result};
use thalweg_world::{Random, SeededRandom};

use crate::plan::ChannelId;

use super::queue::{Probe, Shared, Waiting};

/// Takes from whichever channel has something, in turn.
#[derive(Debug)]
pub(crate) struct Inbox {
    shared: Arc<Shared>,
    /// The channel to look at first.
    next: usize,
}

/// What came out of an inbox.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A message of one channel.
    Message(usize, Message),
    /// A sender went without a word.
    PeerGone,
}

impl Inbox {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, next: 0 }
    }

    /// The number of channels, ended ones included.
    pub(crate) fn len(&self) -> usize {
        self.shared.lock().channels.len()
    }

    /// For those who only look.
    pub(crate) fn probe(&self) -> Probe {
        Probe(Arc::clone(&self.shared))
    }

    /// Takes what waits on one channel, at most `rows_max` rows; none if nothing waits.
    /// With `random`, the channel is drawn; else channels take turns.
    pub(crate) fn try_take(
        &mut self,
        rows_max: usize,
        random: Option<&SeededRandom>,
    ) -> Result<Option<Taken>> {
        self.take_or_register(rows_max, random, None)
    }

    /// Takes what waits on one channel as soon as something does. May be dropped without loss.
    pub(crate) async fn take(&mut self, rows_max: usize, random: Option<&SeededRandom>) -> Result<Taken> {
        poll_fn(|cx| match self.take_or_register(rows_max, random, Some(cx.waker())) {
            Ok(Some(taken)) => Poll::Ready(Ok(taken)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }

    fn take_or_register(
        &mut self,
        rows_max: usize,
        random: Option<&SeededRandom>,
        waker: Option<&Waker>,
    ) -> Result<Option<Taken>> {
        let mut state = self.shared.lock();
        let count = state.channels.len();
        let first = random.map_or(self.next, |r| (r.next_u64() % count.max(1) as u64) as usize);
        let ready = (0..count).map(|i| (first + i) % count).find(|&index| state.is_ready(index));
        let Some(index) = ready else {
            state.receiver = waker.cloned();
            return Ok(None);
        };
        self.next = (index + 1) % count;
        let waiting = state.take(index, rows_max);
        drop(state);
        Ok(Some(match waiting {
            Waiting::Rows(first, rest) => {
                Taken::Message(index, Message::Batch(Batch::new(join(first, rest)?)))
            }
            Waiting::Other(message) => Taken::Message(index, message),
            Waiting::PeerGone => Taken::PeerGone,
        }))
    }

    /// From now on at most so many rows wait, over all channels.
    pub(crate) fn let_wait(&mut self, rows: usize) {
        self.shared.let_wait(rows);
    }

    /// Leaves a channel alone until [`unblock`](Self::unblock).
    pub(crate) fn block(&mut self, channel: usize) {
        self.shared.lock().channels[channel].blocked = true;
    }

    /// Reads all channels again.
    pub(crate) fn unblock(&mut self) {
        self.shared.lock().channels.iter_mut().for_each(|c| c.blocked = false);
    }

    /// Whether a channel is born behind a barrier not yet passed.
    pub(crate) fn is_unborn(&self, channel: usize) -> bool {
        self.shared.lock().channels[channel].unborn
    }

    /// Whether a channel has ended, or was buried before it was born.
    pub(crate) fn is_ended(&self, channel: usize) -> bool {
        self.shared.lock().channels[channel].ended
    }

    /// The indices of these channels, those that have ended left out.
    pub(crate) fn find(&self, ids: &[ChannelId]) -> Vec<usize> {
        let state = self.shared.lock();
        let channels = state.channels.iter().enumerate();
        channels.filter(|(_, c)| !c.ended && ids.contains(&c.id)).map(|(index, _)| index).collect()
    }

    /// Channels born behind the barrier that was just passed are read from now on. Gives their indices.
    pub(crate) fn bear(&mut self) -> Vec<usize> {
        let mut state = self.shared.lock();
        let unborn = state.channels.iter_mut().enumerate().filter(|(_, channel)| channel.unborn);
        unborn
            .map(|(index, channel)| {
                channel.unborn = false;
                index
            })
            .collect()
    }
}

fn join(first: RecordBatch, rest: Vec<RecordBatch>) -> Result<RecordBatch> {
    if rest.is_empty() {
        return Ok(first);
    }
    let schema = first.schema();
    concat_batches(&schema, std::iter::once(&first).chain(&rest))
        .map_err(|e| Error::internal("batches of one channel do not fit together").because(e))
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.lock().close_receiver();
    }
}
