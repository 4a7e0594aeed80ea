//! One sender to one receiver, bounded in rows and bytes.
//!
//! All channels that end at one subtask share one lock and one waker. Rows
//! wait for room; a watermark, barrier, retire or end needs none, but stays
//! behind the rows that are there. Behind a watermark that still waits
//! nothing older is worth keeping, so a newer one takes its place.
//!
//! Handles ([`Sender`], [`Inbox`]) say nothing of where the other end is.
//! A peer that is gone without a word is an error, never silence.

mod inbox;
mod queue;
mod sender;

pub(crate) use inbox::{Inbox, Taken};
pub(crate) use queue::{Bounds, PeerGone, slice_bytes};
pub use queue::{ChannelReading, Probe};
pub(crate) use sender::Sender;

use std::sync::Arc;

use crate::plan::ChannelId;

/// A channel to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewChannel {
    /// Its name.
    pub(crate) id: ChannelId,
    /// Whether it is born behind a barrier: read only once the receiver has passed it.
    pub(crate) unborn: bool,
}

/// Makes the channels of one receiver: its inbox, and for each channel its sender, in the order given.
pub(crate) fn channels(new: &[NewChannel], bounds: Bounds) -> (Inbox, Vec<Sender>) {
    let shared = Arc::new(queue::Shared::new(new, bounds));
    let senders = (0..new.len()).map(|index| Sender::local(Arc::clone(&shared), index)).collect();
    (Inbox::new(shared), senders)
}

#[cfg(test)]
mod tests;
