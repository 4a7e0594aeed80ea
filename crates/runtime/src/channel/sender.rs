//! The sending end of one channel.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use thalweg_dataflow::{Batch, Message};

use super::queue::{PeerGone, Shared, slice_bytes};

/// Sends messages to one receiver, in order. Dropped without `Retire` or `End`, it tells the receiver that it is gone.
#[derive(Debug)]
pub(crate) struct Sender(Transport);

/// Where the receiver is.
#[derive(Debug)]
enum Transport {
    /// In this process.
    Local { shared: Arc<Shared>, index: usize },
}

impl Sender {
    pub(super) fn local(shared: Arc<Shared>, index: usize) -> Self {
        Self(Transport::Local { shared, index })
    }

    /// Sends rows if there is room now, else gives them back.
    pub(crate) fn try_send(&self, batch: Batch) -> Result<Option<Batch>, PeerGone> {
        match &self.0 {
            Transport::Local { shared, index } => shared.push_rows(*index, batch),
        }
    }

    /// Sends rows once there is room.
    pub(crate) async fn send(&self, batch: Batch) -> Result<(), PeerGone> {
        let mut refused = Some(batch);
        while let Some(batch) = refused.take() {
            self.room(&batch).await;
            refused = self.try_send(batch)?;
        }
        Ok(())
    }

    async fn room(&self, batch: &Batch) {
        match &self.0 {
            Transport::Local { shared, index } => {
                let (rows, bytes) = (batch.rows(), slice_bytes(&batch.records));
                poll_fn(|cx| match shared.await_room(*index, rows, bytes, cx.waker()) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
            }
        }
    }

    /// Sends anything but rows: it needs no room.
    pub(crate) fn tell(&self, message: Message) -> Result<(), PeerGone> {
        debug_assert!(!matches!(message, Message::Batch(_)), "rows wait for room");
        match &self.0 {
            Transport::Local { shared, index } => shared.push_other(*index, message),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        match &self.0 {
            Transport::Local { shared, index } => shared.lock().close_sender(*index),
        }
    }
}
