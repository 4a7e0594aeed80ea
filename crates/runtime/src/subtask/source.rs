//! Feeds a chain from a source.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use thalweg_dataflow::sink::Close;
use thalweg_dataflow::source::{Assignment, RowsMax};
use thalweg_dataflow::{Barrier, Batch, Rest, Result, Source, SourceEvent, SplitEvent, Watermark};
use thalweg_state::{Epoch, SplitId, planted};

use super::{Command, Subtask, Word, sleep, yield_now};
use crate::chain::Packet;
use crate::exchange::nanos;
use crate::guard::{Failure, Site};
use crate::moves::Arrival;
use crate::pace::Pace;
use crate::settings::RuntimeSettings;

/// Handling one event longer than this is a stall: the source was not listened to, so its splits were not silent.
const STALL: Duration = Duration::from_millis(100);

/// A source, and which of its splits have been silent for how long.
pub(crate) struct SourceReader {
    source: Box<dyn Source>,
    site: Site,
    assigned: Vec<Assignment>,
    silence: Silence,
    /// How fast its rows are handled, and so how many it is to give at once.
    pace: Pace,
    rows_max: RowsMax,
    /// The monotonic clock as last read: once behind each event, once behind its handling.
    mark: Duration,
    /// The sum of all stalls.
    stalled: Duration,
    /// Whether the subtask was made by a rescale: it reads nothing before it has all that it is given.
    newborn: bool,
    is_open: bool,
    /// Whether the end of the input is put off.
    held: bool,
    /// Whether splits came since the source had read all it had.
    more: bool,
    /// Who gives splits that have not come yet.
    awaited: BTreeSet<usize>,
    /// What came before the barrier of its move has passed.
    early: Vec<Arrival>,
    /// Splits that left, of which the chain learns once those that are awaited are here: what it says of
    /// time must not rise before.
    left: Vec<SplitId>,
}

/// What a source's driver does next.
enum Wake {
    Command(Option<Command>),
    Event(SourceEvent),
    Timer,
}

impl SourceReader {
    pub(crate) fn new(
        (source, rows_max): (Box<dyn Source>, RowsMax),
        site: Site,
        assigned: Vec<Assignment>,
        settings: &RuntimeSettings,
        idle_timeout: Duration,
        newborn: bool,
    ) -> Self {
        let pace = Pace::new(settings.queue_time_max, settings.batch_rows_max);
        rows_max.set(pace.allowed());
        Self {
            source,
            site,
            assigned,
            silence: Silence::new(idle_timeout),
            pace,
            rows_max,
            mark: Duration::ZERO,
            stalled: Duration::ZERO,
            newborn,
            is_open: false,
            held: false,
            more: false,
            awaited: BTreeSet::new(),
            early: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Reads until the source ends or a stopping barrier has passed.
    pub(super) async fn read_all(&mut self, subtask: &mut Subtask) -> Result<Close, Failure> {
        subtask.open().await?;
        self.wait_for_splits(subtask).await?;
        if !subtask.stopping {
            self.open(subtask).await?;
        }
        while !subtask.stopping {
            self.wait_for_splits(subtask).await?;
            let wake = self.next(subtask).await?;
            subtask.chain.read_clock();
            match wake {
                Wake::Event(SourceEvent::End) if self.is_over(subtask).await? => {
                    subtask.chain.give(Packet::Watermark(Watermark::END)).await?;
                    break;
                }
                Wake::Event(SourceEvent::End) => {}
                Wake::Event(event) => self.handle(subtask, event).await?,
                Wake::Command(Some(command)) => self.obey(subtask, command).await?,
                Wake::Command(None) => return Err(Failure::PeerGone),
                Wake::Timer => {}
            }
            let now = subtask.world.clock.monotonic();
            let took = now - self.mark;
            self.mark = now;
            if took > STALL {
                self.stalled += took;
            }
            self.idle_splits(subtask).await?;
            subtask.chain.fire_timers().await?;
            subtask.copy_on()?;
        }
        subtask.end().await
    }

    /// All splits were read to their ends. Whether none will come: that is not known while the end is put off.
    async fn is_over(&mut self, subtask: &mut Subtask) -> Result<bool, Failure> {
        self.more = false;
        while (self.held || !self.awaited.is_empty()) && !subtask.stopping {
            subtask.chain.flush().await?;
            let command = subtask.command().await?;
            self.obey(subtask, command).await?;
        }
        Ok(!self.more && !subtask.stopping)
    }

    /// Reads nothing before all is there that a rescale gives.
    async fn wait_for_splits(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        while self.newborn || !self.awaited.is_empty() {
            let command = subtask.command().await?;
            self.obey(subtask, command).await?;
        }
        Ok(())
    }

    /// Opens the source itself, behind which everything stands open.
    async fn open(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        let assigned = std::mem::take(&mut self.assigned);
        let splits: Vec<_> = assigned.iter().map(|a| a.split.clone()).collect();
        self.site.wait(async { self.source.open(assigned).await }).await?;
        self.is_open = true;
        self.mark = subtask.world.clock.monotonic();
        self.tell_assigned(subtask, &splits).await?;
        self.rest_if_empty(subtask).await
    }

    /// Who reads no split, and waits for none, holds nobody back.
    async fn rest_if_empty(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        if self.is_open && self.awaited.is_empty() && self.positions()?.is_empty() {
            subtask.chain.give(Packet::Idle(Rest::Empty)).await?;
        }
        Ok(())
    }

    async fn tell_assigned(&mut self, subtask: &mut Subtask, splits: &[SplitId]) -> Result<(), Failure> {
        let now = self.listened();
        for split in splits {
            self.silence.spoke(split, now);
            subtask.chain.give(Packet::Split(split.clone(), SplitEvent::Assigned)).await?;
        }
        Ok(())
    }

    /// A command, if there is one; else what the source has. Flushes the chain before it waits, and does
    /// not wait while there is something to copy.
    async fn next(&mut self, subtask: &mut Subtask) -> Result<Wake, Failure> {
        if let Ok(command) = subtask.commands.try_recv() {
            return Ok(Wake::Command(Some(command)));
        }
        let mut event = pin!(self.site.wait(async { self.source.next().await }));
        if let Poll::Ready(event) = poll_once(event.as_mut()).await {
            let now = subtask.world.clock.monotonic();
            subtask.chain.head().counters.busy_nanos.add(nanos(now - self.mark));
            self.mark = now;
            return Ok(Wake::Event(event?));
        }
        subtask.chain.flush().await?;
        if subtask.copying.is_some() {
            yield_now().await;
            return Ok(Wake::Timer);
        }
        let now = subtask.world.clock.monotonic().saturating_sub(self.stalled);
        let until = [subtask.until_timer(), self.silence.until_next(now)].into_iter().flatten().min();
        let wake = tokio::select! {
            biased;
            command = subtask.commands.recv() => Wake::Command(command),
            event = event => Wake::Event(event?),
            () = sleep(&subtask.world, until) => Wake::Timer,
        };
        subtask.begin_turn();
        self.mark = subtask.world.clock.monotonic();
        Ok(wake)
    }

    async fn handle(&mut self, subtask: &mut Subtask, event: SourceEvent) -> Result<(), Failure> {
        let (split, event) = match event {
            SourceEvent::Rows { split, records } => return self.rows(subtask, split, records).await,
            SourceEvent::Watermark { split, time } => {
                self.silence.spoke(&split, self.listened());
                (split, SplitEvent::Watermark(time))
            }
            SourceEvent::Idle { .. } => {
                subtask.chain.flush().await?;
                subtask.make_way(0).await;
                return Ok(());
            }
            SourceEvent::SplitEnd { split } => {
                self.silence.forget(&split);
                (split, SplitEvent::End)
            }
            SourceEvent::End => return Ok(()),
        };
        subtask.chain.give(Packet::Split(split, event)).await?;
        subtask.make_way(0).await;
        Ok(())
    }

    async fn rows(
        &mut self,
        subtask: &mut Subtask,
        split: SplitId,
        records: arrow::array::RecordBatch,
    ) -> Result<(), Failure> {
        let rows = records.num_rows();
        if rows == 0 {
            return Ok(());
        }
        self.silence.spoke(&split, self.listened());
        let batch = Batch { records, split: Some(split) };
        subtask.chain.give(Packet::Rows(batch)).await?;
        let took = subtask.world.clock.monotonic().saturating_sub(self.mark);
        self.pace.handled(rows, took, subtask.chain.at_once());
        self.rows_max.set(self.pace.allowed());
        subtask.make_way(rows).await;
        Ok(())
    }

    async fn obey(&mut self, subtask: &mut Subtask, command: Command) -> Result<(), Failure> {
        match command {
            Command::Barrier(barrier) => {
                self.pass(&barrier, subtask).await?;
                for arrival in std::mem::take(&mut self.early) {
                    self.arrive(subtask, arrival).await?;
                }
                Ok(())
            }
            Command::Settled { epoch, complete } => subtask.settled(epoch, complete, Some(self)).await,
            Command::Hold(held) => {
                self.held = held.is_some();
                if let Some(hold) = held {
                    let splits = self.positions()?;
                    subtask.report(Word::Holding { hold, over: false, splits });
                }
                Ok(())
            }
            Command::Move(moving) if std::mem::take(&mut self.newborn) => {
                subtask.answered = Some(moving.epoch);
                self.awaited = moving.awaits.iter().map(|(from, _)| *from).collect();
                Ok(())
            }
            Command::Move(moving) => {
                subtask.moving = Some(moving);
                Ok(())
            }
            Command::Arrive(arrival) if subtask.answered < Some(arrival.epoch) => {
                self.early.push(arrival);
                Ok(())
            }
            Command::Arrive(arrival) => self.arrive(subtask, arrival).await,
            // The state of splits comes with them.
            Command::Load(_) | Command::Unload => Ok(()),
            Command::Loaded(rescale) => {
                subtask.report(Word::Loaded(rescale));
                Ok(())
            }
            Command::Close(_) => {
                let told = "a source was told to close before it was over";
                Err(thalweg_dataflow::Error::internal(told).into())
            }
        }
    }

    async fn pass(&mut self, barrier: &Barrier, subtask: &mut Subtask) -> Result<(), Failure> {
        let awaits = subtask.moving.as_ref().filter(|moving| moving.epoch == barrier.epoch);
        let moves = awaits.is_some();
        if let Some(moving) = awaits {
            self.awaited = moving.awaits.iter().map(|(from, _)| *from).collect();
        }
        subtask.answer(barrier, Some(self)).await?;
        if moves {
            self.held = false;
            if !self.awaited.is_empty() {
                // What comes may be behind what was said; those who listen hold back until it has spoken.
                subtask.chain.rebase();
            }
        }
        Ok(())
    }

    /// Splits come, with what the operators behind the source know of them.
    async fn arrive(&mut self, subtask: &mut Subtask, arrival: Arrival) -> Result<(), Failure> {
        self.awaited.remove(&arrival.from);
        let (epoch, splits) = (arrival.epoch, arrival.splits.clone());
        if !planted("split watermark lost in a move") {
            arrival.loads().try_for_each(|load| subtask.chain.load(load))?;
        }
        if self.is_open {
            self.more |= !splits.is_empty();
            let ids: Vec<_> = splits.iter().map(|a| a.split.clone()).collect();
            self.site.wait(async { self.source.assign(splits).await }).await?;
            self.tell_assigned(subtask, &ids).await?;
        } else {
            self.assigned.extend(splits);
        }
        if self.awaited.is_empty() {
            for split in std::mem::take(&mut self.left) {
                subtask.chain.give(Packet::Split(split, SplitEvent::End)).await?;
            }
            self.rest_if_empty(subtask).await?;
            subtask.report(Word::Moved(epoch));
        }
        Ok(())
    }

    /// Gives splits away, and lets the chain forget them.
    pub(super) async fn revoke(
        &mut self,
        subtask: &mut Subtask,
        splits: &[SplitId],
    ) -> Result<Vec<Assignment>, Failure> {
        let given = self.site.wait(async { self.source.revoke(splits).await }).await?;
        for split in splits {
            self.silence.forget(split);
            match self.awaited.is_empty() {
                true => subtask.chain.give(Packet::Split(split.clone(), SplitEvent::End)).await?,
                false => self.left.push(split.clone()),
            }
        }
        self.rest_if_empty(subtask).await?;
        Ok(given)
    }

    /// For how long the source has been listened to.
    fn listened(&self) -> Duration {
        self.mark.saturating_sub(self.stalled)
    }

    /// Tells the chain of splits that have been silent for too long.
    async fn idle_splits(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        let now = self.listened();
        for split in self.silence.too_long(now) {
            subtask.chain.give(Packet::Split(split, SplitEvent::Idle)).await?;
        }
        Ok(())
    }

    /// A planted bug: what comes next is given out before the positions are noted.
    pub(super) async fn read_on(&mut self, subtask: &mut Subtask) -> Result<(), Failure> {
        let event = tokio::select! {
            biased;
            event = self.site.wait(async { self.source.next().await }) => event?,
            () = sleep(&subtask.world, Some(STALL)) => return Ok(()),
        };
        self.handle(subtask, event).await
    }

    /// Where each split goes on.
    pub(super) fn positions(&mut self) -> Result<Vec<Assignment>> {
        self.site.call(|| Ok(self.source.positions()))
    }

    /// An epoch was settled.
    pub(super) async fn settled(&mut self, epoch: Epoch, complete: bool) -> Result<()> {
        self.site.wait(async { self.source.on_settled(epoch, complete).await }).await
    }
}

async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Which splits said nothing for how long.
#[derive(Debug)]
struct Silence {
    timeout: Duration,
    /// When each split that counts last spoke, by the monotonic clock.
    spoke: BTreeMap<SplitId, Duration>,
    /// No split is silent for too long before this.
    next: Option<Duration>,
}

impl Silence {
    fn new(timeout: Duration) -> Self {
        Self { timeout, spoke: BTreeMap::new(), next: None }
    }

    fn spoke(&mut self, split: &SplitId, now: Duration) {
        match self.spoke.get_mut(split) {
            Some(at) => *at = now,
            None => {
                self.spoke.insert(split.clone(), now);
            }
        }
        self.next.get_or_insert(now.saturating_add(self.timeout));
    }

    fn forget(&mut self, split: &SplitId) {
        self.spoke.remove(split);
    }

    /// How long until some split may have been silent for too long.
    fn until_next(&self, now: Duration) -> Option<Duration> {
        self.next.map(|next| next.saturating_sub(now))
    }

    /// The splits that have been silent for the timeout. Each is named once until it speaks again.
    fn too_long(&mut self, now: Duration) -> Vec<SplitId> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let is_silent = |at: &Duration| at.saturating_add(self.timeout) <= now;
        let silent: Vec<_> =
            self.spoke.iter().filter(|(_, at)| is_silent(at)).map(|(s, _)| s.clone()).collect();
        self.spoke.retain(|_, at| !is_silent(at));
        self.next = self.spoke.values().min().map(|at| at.saturating_add(self.timeout));
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_split_is_named_once_until_it_speaks() {
        let seconds = Duration::from_secs;
        let (a, b) = (SplitId::new("a"), SplitId::new("b"));
        let mut silence = Silence::new(seconds(5));
        silence.spoke(&a, seconds(0));
        silence.spoke(&b, seconds(3));
        assert!(silence.too_long(seconds(4)).is_empty());
        assert_eq!(silence.too_long(seconds(5)), std::slice::from_ref(&a));
        assert!(silence.too_long(seconds(7)).is_empty());
        assert_eq!(silence.until_next(seconds(7)), Some(seconds(1)));
        silence.spoke(&a, seconds(7));
        silence.forget(&b);
        assert!(silence.too_long(seconds(8)).is_empty());
        assert_eq!(silence.too_long(seconds(12)), [a]);
    }
}
