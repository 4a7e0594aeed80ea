//! Feeds a chain from channels.

use std::collections::VecDeque;

use thalweg_dataflow::sink::Close;
use thalweg_dataflow::{Barrier, Batch, Error, Message, Watermark};
use thalweg_state::{Epoch, KeyGroups, planted};
use thalweg_world::{Random, SeededRandom};

use super::{Command, Inlet, Subtask, Word, sleep, yield_now};
use crate::alignment::Alignment;
use crate::chain::Packet;
use crate::channel::{Inbox, Taken};
use crate::guard::Failure;
use crate::holdback::{Held, HoldBack};
use crate::moves::{Load, Move};
use crate::pace::Pace;
use crate::plan::ChannelId;
use crate::settings::RuntimeSettings;

/// Of so many looks at what moves here one takes it, where a seed decides.
const LATE_ONE_IN: u64 = 8;

/// The inbox of a subtask, what lines up its barriers, and what moves into it.
pub(crate) struct Reader {
    inbox: Inbox,
    /// What each channel brings.
    inlets: Vec<Inlet>,
    /// How fast its rows are handled, and so how many may wait.
    pace: Pace,
    alignment: Alignment,
    /// Rows of key groups whose state is on its way.
    holdback: HoldBack,
    /// What comes into the state behind the barrier of a move.
    staged: Vec<Load>,
    /// What comes into the state now, piece by piece, so that rows go on in between.
    incoming: VecDeque<Incoming>,
    /// Whether the subtask was made by a rescale and has not yet been told which.
    newborn: bool,
    is_open: bool,
    /// A barrier that all channels have delivered, and that waits for what moves in.
    waiting: Option<Barrier>,
}

/// One piece of what comes into the state, or what must stay behind such pieces.
enum Incoming {
    Load(Load),
    /// All that could be loaded so far for a rescale is loaded.
    Loaded(u64),
    /// All that a member gives is loaded.
    Arrived {
        from: usize,
        epoch: Epoch,
        reached: Vec<Watermark>,
    },
    Settled(Epoch, bool),
}

/// What woke a subtask that had nothing to do.
enum Wake {
    Command(Option<Command>),
    Taken(Taken),
    Timer,
}

impl Reader {
    pub(crate) fn new(
        mut inbox: Inbox,
        inlets: Vec<Inlet>,
        newborn: bool,
        settings: &RuntimeSettings,
    ) -> Self {
        let alignment = Alignment::new(inbox.len(), |channel| inbox.is_unborn(channel));
        let holdback = HoldBack::new(settings.key_space, settings.queue_rows_max, settings.queue_bytes_max);
        let pace = Pace::new(settings.queue_time_max, usize::MAX);
        inbox.let_wait(pace.allowed());
        Self {
            inbox,
            inlets,
            pace,
            alignment,
            holdback,
            staged: Vec::new(),
            incoming: VecDeque::new(),
            newborn,
            is_open: false,
            waiting: None,
        }
    }

    /// Reads until every channel has ended, and all that was held back has gone through.
    pub(super) async fn read_all(&mut self, subtask: &mut Subtask) -> Result<Close, Failure> {
        if !self.is_open {
            subtask.open().await?;
        }
        while !self.is_over() {
            while let Ok(command) = subtask.commands.try_recv() {
                self.obey(subtask, command).await?;
            }
            let late = self.is_late(subtask);
            let loaded = !late && self.load_next(subtask).await?;
            if loaded {
                subtask.make_way(0).await;
            }
            // Behind a piece there may be more; rows go on in between where those of moving keys are held back.
            let rows_max = subtask.settings.batch_rows_max;
            let wake = match (loaded, self.holdback.is_waiting()) {
                (true, false) => continue,
                (true, true) | (false, _) => match self.try_take(rows_max, subtask)? {
                    Some(taken) => Wake::Taken(taken),
                    None if loaded => continue,
                    None if late => {
                        yield_now().await;
                        continue;
                    }
                    None => {
                        let wake = self.rest(subtask).await?;
                        subtask.begin_turn();
                        wake
                    }
                },
            };
            subtask.chain.read_clock();
            match wake {
                Wake::Taken(taken) => self.handle(subtask, taken).await?,
                Wake::Command(Some(command)) => self.obey(subtask, command).await?,
                Wake::Command(None) => return Err(Failure::PeerGone),
                Wake::Timer => {}
            }
            subtask.chain.fire_timers().await?;
            subtask.copy_on()?;
        }
        subtask.end().await
    }

    /// Loads what a rescale brings, until it is known which.
    pub(super) async fn be_born(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        subtask.open().await?;
        self.is_open = true;
        // Whoever made it may take it back.
        while self.newborn && !subtask.commands.is_closed() {
            if self.load_next(subtask).await? {
                yield_now().await;
            } else if let Some(command) = subtask.commands.recv().await {
                self.obey(subtask, command).await?;
            }
        }
        Ok(())
    }

    /// For tests: with a seed, what moves here is often late, so that rows must wait for it.
    fn is_late(&self, subtask: &Subtask) -> bool {
        let late = |random: &SeededRandom| !random.next_u64().is_multiple_of(LATE_ONE_IN);
        !self.incoming.is_empty() && subtask.random.as_ref().is_some_and(late)
    }

    fn is_over(&self) -> bool {
        self.alignment.all_ended()
            && self.waiting.is_none()
            && self.incoming.is_empty()
            && self.holdback.is_empty()
    }

    fn try_take(&mut self, rows_max: usize, subtask: &Subtask) -> Result<Option<Taken>, Failure> {
        if self.holdback.is_full() {
            return Ok(None);
        }
        Ok(self.inbox.try_take(rows_max, subtask.random.as_ref())?)
    }

    /// The input is empty: flushes, then waits for anything to happen, unless there is something to copy.
    async fn rest(&mut self, subtask: &mut Subtask) -> Result<Wake, Failure> {
        subtask.chain.flush().await?;
        if subtask.copying.is_some() {
            yield_now().await;
            return Ok(Wake::Timer);
        }
        let until_timer = subtask.until_timer();
        let rows_max = subtask.settings.batch_rows_max;
        let full = self.holdback.is_full();
        tokio::select! {
            biased;
            command = subtask.commands.recv() => Ok(Wake::Command(command)),
            taken = self.inbox.take(rows_max, subtask.random.as_ref()), if !full => Ok(Wake::Taken(taken?)),
            () = sleep(&subtask.world, until_timer) => Ok(Wake::Timer),
        }
    }

    async fn obey(&mut self, subtask: &mut Subtask, command: Command) -> Result<(), Failure> {
        match command {
            Command::Settled { epoch, complete } => match self.incoming.is_empty() {
                true => subtask.settled(epoch, complete, None).await?,
                // What moves in belongs to this epoch too: it must know it when it is told.
                false => self.incoming.push_back(Incoming::Settled(epoch, complete)),
            },
            Command::Move(moving) => self.prepare(subtask, moving).await?,
            // The old owners speak for what moves until its barrier: only a newborn subtask, which has
            // nothing else, may know it before.
            Command::Load(load) if self.newborn => self.incoming.push_back(Incoming::Load(load)),
            Command::Load(load) => self.staged.push(load),
            Command::Loaded(rescale) if self.newborn => self.incoming.push_back(Incoming::Loaded(rescale)),
            Command::Loaded(rescale) => subtask.report(Word::Loaded(rescale)),
            Command::Unload => self.staged.clear(),
            Command::Arrive(arrival) => {
                let (from, epoch, reached) = (arrival.from, arrival.epoch, arrival.reached.clone());
                self.incoming.extend(arrival.loads().map(Incoming::Load));
                self.incoming.push_back(Incoming::Arrived { from, epoch, reached });
            }
            // Barriers come by the channels as long as one is alive.
            Command::Barrier(_) => {}
            // It leaves the job: its part of the last epoch is settled, and what is left to come says only that.
            Command::Close(why) if subtask.stopping => subtask.closing = Some(why),
            Command::Hold(_) | Command::Close(_) => {
                let told = "a subtask that reads channels was told what only others understand";
                return Err(Error::internal(told).into());
            }
        }
        Ok(())
    }

    /// Learns what to do at a coming barrier. A newborn subtask has passed it at birth.
    async fn prepare(&mut self, subtask: &mut Subtask, moving: Move) -> Result<(), Failure> {
        moving.awaits.iter().for_each(|(from, groups)| {
            if self.newborn {
                self.holdback.await_groups(*from, groups);
            }
        });
        if std::mem::take(&mut self.newborn) {
            subtask.answered = Some(moving.epoch);
            return self.bear(subtask).await;
        }
        let ports: Vec<_> = moving.inlets.iter().map(|inlet| inlet.port).collect();
        subtask.chain.add_inputs(&ports);
        for inlet in &moving.inlets {
            // A rescale that was taken back left channels that have ended before they began.
            self.alignment.add(self.inbox.is_ended(self.inlets.len()));
            self.inlets.push(inlet.clone());
        }
        subtask.moving = Some(moving);
        Ok(())
    }

    /// Loads the next piece of what moves in; false, if there is none.
    async fn load_next(&mut self, subtask: &mut Subtask) -> Result<bool, Failure> {
        if subtask.moving.is_some() {
            return Ok(false);
        }
        match self.incoming.pop_front() {
            None => return Ok(false),
            Some(Incoming::Load(load)) => subtask.chain.load(load)?,
            Some(Incoming::Loaded(rescale)) => subtask.report(Word::Loaded(rescale)),
            Some(Incoming::Settled(epoch, complete)) => subtask.settled(epoch, complete, None).await?,
            Some(Incoming::Arrived { from, epoch, reached }) => {
                self.holdback.arrived(from);
                if !self.holdback.is_waiting() {
                    subtask.chain.begin_at(&reached).await?;
                    // At once: no row may come in between and overtake what is held.
                    self.release(subtask).await?;
                    subtask.report(Word::Moved(epoch));
                }
            }
        }
        if self.incoming.is_empty()
            && !self.holdback.is_waiting()
            && let Some(barrier) = self.waiting.take()
        {
            self.pass(subtask, barrier).await?;
        }
        Ok(true)
    }

    /// All state is here: what was held back goes through.
    async fn release(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        while let Some((channel, held)) = self.holdback.release() {
            match held {
                Held::Rows(batch) => {
                    let rows = batch.rows();
                    self.give(subtask, channel, Packet::Rows(batch)).await?;
                    subtask.make_way(rows).await;
                }
                Held::Watermark(watermark) => {
                    self.give(subtask, channel, Packet::Watermark(watermark)).await?;
                }
                Held::Idle(rest) => self.give(subtask, channel, Packet::Idle(rest)).await?,
                Held::Ended(by_end) => subtask.chain.input_ended(channel, by_end).await?,
            }
        }
        Ok(())
    }

    async fn handle(&mut self, subtask: &mut Subtask, taken: Taken) -> Result<(), Failure> {
        let Taken::Message(channel, message) = taken else {
            return Err(Failure::PeerGone);
        };
        let mut rows = 0;
        match message {
            Message::Batch(batch) => {
                rows = batch.rows();
                if let Some(batch) = self.hold_rows(channel, batch)? {
                    self.give_rows(subtask, channel, batch).await?;
                }
            }
            Message::Watermark(watermark) if planted("watermark passed while a group travels") => {
                self.give(subtask, channel, Packet::Watermark(watermark)).await?;
            }
            Message::Watermark(watermark) => match self.holdback.is_waiting() {
                true => self.holdback.push(channel, Held::Watermark(watermark)),
                false => self.give(subtask, channel, Packet::Watermark(watermark)).await?,
            },
            Message::Idle(rest) => match self.holdback.is_waiting() {
                true => self.holdback.push(channel, Held::Idle(rest)),
                false => self.give(subtask, channel, Packet::Idle(rest)).await?,
            },
            Message::Barrier(barrier) => self.on_barrier(subtask, channel, barrier).await?,
            Message::Retire => self.on_end(subtask, channel, false).await?,
            Message::End => self.on_end(subtask, channel, true).await?,
        }
        subtask.make_way(rows).await;
        Ok(())
    }

    async fn give(&self, subtask: &mut Subtask, channel: usize, packet: Packet) -> Result<(), Failure> {
        subtask.chain.receive(self.inlets[channel].port, channel, packet).await
    }

    /// Gives rows, and lets as many more wait as their pace allows.
    async fn give_rows(
        &mut self,
        subtask: &mut Subtask,
        channel: usize,
        batch: Batch,
    ) -> Result<(), Failure> {
        let (rows, before, allowed) = (batch.rows(), subtask.world.clock.monotonic(), self.pace.allowed());
        self.give(subtask, channel, Packet::Rows(batch)).await?;
        let took = subtask.world.clock.monotonic().saturating_sub(before);
        self.pace.handled(rows, took, subtask.chain.at_once());
        if self.pace.allowed() != allowed {
            self.inbox.let_wait(self.pace.allowed());
        }
        Ok(())
    }

    /// Holds back rows of key groups whose state is on its way; gives the others.
    fn hold_rows(&mut self, channel: usize, batch: Batch) -> Result<Option<Batch>, Failure> {
        if !self.holdback.is_waiting() {
            return Ok(Some(batch));
        }
        match &self.inlets[channel].key {
            Some(key) => Ok(self.holdback.hold(channel, key, batch)?),
            None => Ok(Some(batch)),
        }
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
        self.aligned(subtask, complete).await
    }

    /// The end of a channel counts as its barrier, and the barrier goes first:
    /// what the end makes happen lies behind the cut on every other channel.
    async fn on_end(&mut self, subtask: &mut Subtask, channel: usize, by_end: bool) -> Result<(), Failure> {
        let complete = self.alignment.on_end(channel);
        self.aligned(subtask, complete).await?;
        if self.holdback.is_waiting() {
            self.holdback.push(channel, Held::Ended(by_end));
            return Ok(());
        }
        subtask.chain.input_ended(channel, by_end).await
    }

    /// All live channels have delivered this barrier. It waits behind what is held back.
    async fn aligned(&mut self, subtask: &mut Subtask, complete: Option<Barrier>) -> Result<(), Failure> {
        let Some(barrier) = complete else {
            return Ok(());
        };
        if self.holdback.is_waiting() || !self.incoming.is_empty() && subtask.moving.is_none() {
            self.waiting = Some(barrier);
            return Ok(());
        }
        self.pass(subtask, barrier).await
    }

    async fn pass(&mut self, subtask: &mut Subtask, barrier: Barrier) -> Result<(), Failure> {
        // What a rescale asks for was sent before its barrier was, so it is here by now.
        while let Ok(command) = subtask.commands.try_recv() {
            self.obey(subtask, command).await?;
        }
        let moving = subtask.moving.as_mut().filter(|moving| moving.epoch == barrier.epoch);
        let moving = moving.map(|m| (std::mem::take(&mut m.awaits), std::mem::take(&mut m.rebased)));
        subtask.answer(&barrier, None).await?;
        if let Some((awaits, rebased)) = moving {
            self.switch(subtask, &awaits, &rebased).await?;
        }
        self.inbox.unblock();
        Ok(())
    }

    /// The barrier of a rescale has passed: what moves here is awaited, and new channels are read.
    async fn switch(
        &mut self,
        subtask: &mut Subtask,
        awaits: &[(usize, KeyGroups)],
        rebased: &[ChannelId],
    ) -> Result<(), Failure> {
        let staged = std::mem::take(&mut self.staged);
        staged.into_iter().rev().for_each(|load| self.incoming.push_front(Incoming::Load(load)));
        awaits.iter().for_each(|(from, groups)| self.holdback.await_groups(*from, groups));
        for channel in self.inbox.find(rebased) {
            subtask.chain.input_born(channel).await?;
        }
        self.bear(subtask).await
    }

    /// Channels that were born behind the barrier count from now on.
    async fn bear(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        for channel in self.inbox.bear() {
            self.alignment.open(channel);
            subtask.chain.input_born(channel).await?;
        }
        Ok(())
    }
}
