//! What waits in the channels of one receiver. Every method is one short critical section.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use thalweg_dataflow::{Batch, Message};

use super::{NewChannel, Sender};
use crate::plan::ChannelId;

/// How much may wait in one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

/// The other end of a channel is gone without having said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerGone;

/// The state of one channel at some moment, for the watchdog and for metrics.
#[derive(Clone, Copy, Debug)]
pub struct ChannelReading {
    /// Which channel.
    pub id: ChannelId,
    /// Rows that wait.
    pub rows: usize,
    /// Bytes that wait.
    pub bytes: usize,
    /// Whether the sender waits for room.
    pub sender_waits: bool,
    /// Whether the receiver has taken a barrier from here and waits for the same on other channels.
    pub blocked: bool,
    /// Whether the end was taken.
    pub ended: bool,
}

/// Reads the state of one receiver's channels, and adds to them. Holds nothing alive that a peer would wait for.
#[derive(Clone, Debug)]
pub struct Probe(pub(super) Arc<Shared>);

impl Probe {
    /// All channels as they are now.
    pub fn channels(&self) -> Vec<ChannelReading> {
        self.0.lock().channels.iter().map(Channel::reading).collect()
    }

    /// Adds a channel to those of the receiver; gives its sending end.
    pub(crate) fn add(&self, new: &NewChannel) -> Sender {
        let mut state = self.0.lock();
        state.channels.push(Channel::new(new));
        Sender::local(Arc::clone(&self.0), state.channels.len() - 1)
    }

    /// Channels that were added and never born, and never will be.
    pub(crate) fn bury_unborn(&self) {
        let mut state = self.0.lock();
        for channel in state.channels.iter_mut().filter(|channel| channel.unborn) {
            (channel.unborn, channel.ended) = (false, true);
        }
    }

    /// Messages taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.0.lock().taken
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The most that may ever wait in one channel.
    bounds: Bounds,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) channels: Vec<Channel>,
    pub(super) receiver: Option<Waker>,
    pub(super) receiver_gone: bool,
    pub(super) taken: u64,
    /// How much may wait in each channel now.
    pub(super) bounds: Bounds,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: ChannelId,
    queue: VecDeque<Entry>,
    rows: usize,
    bytes: usize,
    pub(super) blocked: bool,
    pub(super) unborn: bool,
    pub(super) ended: bool,
    pub(super) sender: Option<Waker>,
    pub(super) sender_gone: bool,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    bytes: usize,
}

/// What came out of a channel at once.
pub(super) enum Waiting {
    /// Rows, in order; the second part is empty unless they are small.
    Rows(RecordBatch, Vec<RecordBatch>),
    /// Anything else.
    Other(Message),
    /// Nothing more will come, though no end was said.
    PeerGone,
}

impl Shared {
    pub(super) fn new(new: &[NewChannel], bounds: Bounds) -> Self {
        let channels = new.iter().map(Channel::new).collect();
        let state = State { channels, receiver: None, receiver_gone: false, taken: 0, bounds };
        Self { state: Mutex::new(state), bounds }
    }

    /// A panic inside leaves at worst one message lost of a job that ends by it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts rows into a channel, or gives them back if there is no room.
    pub(super) fn push_rows(&self, index: usize, batch: Batch) -> Result<Option<Batch>, PeerGone> {
        let bytes = slice_bytes(&batch.records);
        let mut state = self.lock();
        if state.receiver_gone {
            return Err(PeerGone);
        }
        let bounds = state.bounds;
        let channel = &mut state.channels[index];
        if !channel.has_room(batch.rows(), bytes, bounds) {
            return Ok(Some(batch));
        }
        channel.rows += batch.rows();
        channel.bytes += bytes;
        channel.queue.push_back(Entry { message: Message::Batch(batch), bytes });
        state.wake_receiver();
        Ok(None)
    }

    /// Puts anything but rows into a channel.
    pub(super) fn push_other(&self, index: usize, message: Message) -> Result<(), PeerGone> {
        let mut state = self.lock();
        if state.receiver_gone {
            return Err(PeerGone);
        }
        if state.channels[index].push_other(message) {
            state.wake_receiver();
        }
        Ok(())
    }

    /// Whether a batch of this size would find room; if not, `waker` is called when it may.
    pub(super) fn await_room(&self, index: usize, rows: usize, bytes: usize, waker: &Waker) -> bool {
        let mut state = self.lock();
        let room = state.receiver_gone || state.channels[index].has_room(rows, bytes, state.bounds);
        let channel = &mut state.channels[index];
        if room {
            channel.sender = None;
        } else {
            channel.sender = Some(waker.clone());
        }
        room
    }

    /// From now on at most so many rows wait, over all channels that are read: each has its part, as far as it may
    /// ever hold that.
    pub(super) fn let_wait(&self, rows: usize) {
        let mut state = self.lock();
        let read = state.channels.iter().filter(|channel| !channel.ended).count();
        state.bounds.rows_max = rows.div_ceil(read.max(1)).min(self.bounds.rows_max);
    }
}

impl State {
    fn wake_receiver(&mut self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }

    /// Whether there is something to take from a channel.
    pub(super) fn is_ready(&self, index: usize) -> bool {
        let channel = &self.channels[index];
        let readable = !channel.blocked && !channel.unborn && !channel.ended;
        readable && (!channel.queue.is_empty() || channel.sender_gone)
    }

    /// Takes what waits in a ready channel: one message, or small batches up to `rows_max` rows.
    pub(super) fn take(&mut self, index: usize, rows_max: usize) -> Waiting {
        self.taken += 1;
        let bounds = self.bounds;
        let channel = &mut self.channels[index];
        let waiting = channel.take(rows_max);
        if channel.rows * 2 <= bounds.rows_max
            && channel.bytes * 2 <= bounds.bytes_max
            && let Some(waker) = channel.sender.take()
        {
            waker.wake();
        }
        waiting
    }

    /// The receiver goes: whoever waits for room learns it.
    pub(super) fn close_receiver(&mut self) {
        self.receiver_gone = true;
        for channel in &mut self.channels {
            channel.queue.clear();
            if let Some(waker) = channel.sender.take() {
                waker.wake();
            }
        }
    }

    /// A sender goes: the receiver learns it once it has taken all.
    pub(super) fn close_sender(&mut self, index: usize) {
        self.channels[index].sender_gone = true;
        self.wake_receiver();
    }
}

impl Channel {
    fn new(new: &NewChannel) -> Self {
        Self {
            id: new.id,
            queue: VecDeque::new(),
            rows: 0,
            bytes: 0,
            blocked: false,
            unborn: new.unborn,
            ended: false,
            sender: None,
            sender_gone: false,
        }
    }

    /// A batch may always wait alone, however large it is.
    fn has_room(&self, rows: usize, bytes: usize, bounds: Bounds) -> bool {
        self.rows == 0 || (self.rows + rows <= bounds.rows_max && self.bytes + bytes <= bounds.bytes_max)
    }

    /// Whether the receiver has anything new to learn.
    fn push_other(&mut self, message: Message) -> bool {
        match message {
            Message::Watermark(_) => {
                while matches!(self.back(), Some(Message::Watermark(_) | Message::Idle(_))) {
                    self.queue.pop_back();
                }
            }
            Message::Idle(rest) if matches!(self.back(), Some(Message::Idle(last)) if *last == rest) => {
                return false;
            }
            Message::Idle(_) | Message::Batch(_) | Message::Barrier(_) | Message::Retire | Message::End => {}
        }
        self.queue.push_back(Entry { message, bytes: 0 });
        true
    }

    fn back(&self) -> Option<&Message> {
        self.queue.back().map(|entry| &entry.message)
    }

    fn take(&mut self, rows_max: usize) -> Waiting {
        let Some(entry) = self.queue.pop_front() else {
            self.ended = true;
            return Waiting::PeerGone;
        };
        match entry.message {
            Message::Batch(batch) => {
                self.rows -= batch.rows();
                self.bytes -= entry.bytes;
                let rest = self.take_small(batch.rows(), rows_max);
                Waiting::Rows(batch.records, rest)
            }
            Message::End | Message::Retire => {
                self.ended = true;
                Waiting::Other(entry.message)
            }
            Message::Watermark(_) | Message::Idle(_) | Message::Barrier(_) => Waiting::Other(entry.message),
        }
    }

    /// Takes the small batches that wait directly behind `rows` rows. Big ones are not worth a copy.
    fn take_small(&mut self, mut rows: usize, rows_max: usize) -> Vec<RecordBatch> {
        let mut small = Vec::new();
        let worth_a_copy = |rows: usize| rows * 2 <= rows_max;
        if !worth_a_copy(rows) {
            return small;
        }
        while let Some(Entry { message: Message::Batch(next), bytes }) = self.queue.front()
            && worth_a_copy(next.rows())
            && rows + next.rows() <= rows_max
        {
            rows += next.rows();
            self.rows -= next.rows();
            self.bytes -= bytes;
            if let Some(Entry { message: Message::Batch(next), .. }) = self.queue.pop_front() {
                small.push(next.records);
            }
        }
        small
    }

    fn reading(&self) -> ChannelReading {
        ChannelReading {
            id: self.id,
            rows: self.rows,
            bytes: self.bytes,
            sender_waits: self.sender.is_some(),
            blocked: self.blocked,
            ended: self.ended,
        }
    }
}

/// The bytes that the rows themselves take, whatever larger buffers they are a slice of.
pub(crate) fn slice_bytes(records: &RecordBatch) -> usize {
    records.columns().iter().map(column_bytes).sum()
}

fn column_bytes(column: &Arc<dyn Array>) -> usize {
    use arrow::array::AsArray;
    let fixed = column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size());
    // Of views, Arrow counts the 16 bytes each, not what they point at.
    match column.data_type() {
        DataType::Utf8View => fixed + column.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => fixed + column.as_binary_view().total_buffer_bytes_used(),
        _ => fixed,
    }
}
