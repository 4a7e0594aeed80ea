//! Feeds a chain from channels.

use thalweg_dataflow::sink::Close;
use thalweg_dataflow::{Barrier, Error, Message, Port};

use super::{Command, Subtask, sleep};
use crate::alignment::Alignment;
use crate::chain::Packet;
use crate::channel::{Inbox, Taken};
use crate::guard::Failure;

/// The inbox of a subtask, and what lines up its barriers.
pub(crate) struct Reader {
    inbox: Inbox,
    /// For each channel the input port of the head that its rows come in on.
    ports: Vec<Port>,
    alignment: Alignment,
}

/// What woke a subtask that had nothing to do.
enum Wake {
    Command(Option<Command>),
    Taken(Taken),
    Timer,
}

impl Reader {
    pub(crate) fn new(inbox: Inbox, ports: Vec<Port>) -> Self {
        let alignment = Alignment::new(inbox.len(), |channel| inbox.is_unborn(channel));
        Self { inbox, ports, alignment }
    }

    /// Reads until every channel has ended.
    pub(super) async fn read_all(&mut self, subtask: &mut Subtask) -> Result<Close, Failure> {
        subtask.chain.open().await?;
        while !self.alignment.all_ended() {
            while let Ok(command) = subtask.commands.try_recv() {
                self.obey(subtask, command).await?;
            }
            let rows_max = subtask.settings.batch_rows_max;
            let wake = match self.inbox.try_take(rows_max, subtask.random.as_ref())? {
                Some(taken) => Wake::Taken(taken),
                None => self.rest(subtask).await?,
            };
            subtask.chain.read_clock();
            match wake {
                Wake::Taken(taken) => self.handle(subtask, taken).await?,
                Wake::Command(Some(command)) => self.obey(subtask, command).await?,
                Wake::Command(None) => return Err(Failure::PeerGone),
                Wake::Timer => {}
            }
            subtask.chain.fire_timers().await?;
        }
        subtask.end().await
    }

    /// The input is empty: flushes, then waits for anything to happen.
    async fn rest(&mut self, subtask: &mut Subtask) -> Result<Wake, Failure> {
        subtask.chain.flush().await?;
        let until_timer = subtask.until_timer();
        let rows_max = subtask.settings.batch_rows_max;
        tokio::select! {
            biased;
            command = subtask.commands.recv() => Ok(Wake::Command(command)),
            taken = self.inbox.take(rows_max, subtask.random.as_ref()) => Ok(Wake::Taken(taken?)),
            () = sleep(&subtask.world, until_timer) => Ok(Wake::Timer),
        }
    }

    async fn obey(&mut self, subtask: &mut Subtask, command: Command) -> Result<(), Failure> {
        match command {
            Command::Settled { epoch, complete } => subtask.settled(epoch, complete, None).await,
            // Barriers come by the channels as long as one is alive.
            Command::Barrier(_) => Ok(()),
            Command::Close(_) => {
                Err(Error::internal("a subtask was told to close before its input was over").into())
            }
        }
    }

    async fn handle(&mut self, subtask: &mut Subtask, taken: Taken) -> Result<(), Failure> {
        let Taken::Message(channel, message) = taken else {
            return Err(Failure::PeerGone);
        };
        let port = self.ports[channel];
        let mut rows = 0;
        match message {
            Message::Batch(batch) => {
                rows = batch.rows();
                subtask.chain.receive(port, channel, Packet::Rows(batch)).await?;
            }
            Message::Watermark(watermark) => {
                subtask.chain.receive(port, channel, Packet::Watermark(watermark)).await?;
            }
            Message::Idle => subtask.chain.receive(port, channel, Packet::Idle).await?,
            Message::Barrier(barrier) => self.on_barrier(subtask, channel, barrier).await?,
            Message::Retire => self.on_end(subtask, channel, false).await?,
            Message::End => self.on_end(subtask, channel, true).await?,
        }
        subtask.make_way(rows).await;
        Ok(())
    }

    async fn on_barrier(
        &mut self,
        subtask: &mut Subtask,
        channel: usize,
        barrier: Barrier,
    ) -> Result<(), Failure> {
        self.inbox.block(channel);
        let complete = self
            .alignment
            .on_barrier(channel, barrier)
            .map_err(|_| Error::internal("barriers came out of order on a channel"))?;
        self.pass(subtask, complete).await
    }

    /// The end of a channel counts as its barrier, and the barrier goes first:
    /// what the end makes happen lies behind the cut on every other channel.
    async fn on_end(&mut self, subtask: &mut Subtask, channel: usize, by_end: bool) -> Result<(), Failure> {
        let complete = self.alignment.on_end(channel);
        self.pass(subtask, complete).await?;
        subtask.chain.input_ended(channel, by_end).await
    }

    /// All live channels have delivered this barrier.
    async fn pass(&mut self, subtask: &mut Subtask, complete: Option<Barrier>) -> Result<(), Failure> {
        let Some(barrier) = complete else {
            return Ok(());
        };
        subtask.answer(&barrier, None).await?;
        for channel in self.inbox.pass(barrier.epoch) {
            self.alignment.open(channel);
            subtask.chain.input_born(channel);
        }
        self.inbox.unblock();
        Ok(())
    }
}
