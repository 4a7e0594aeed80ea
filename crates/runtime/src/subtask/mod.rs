//! One parallel instance of a chain, as a future.
//!
//! Two drivers feed a chain: one reads a source, one reads channels. Both take
//! all that is there, never wait for more, and flush when nothing is. When the
//! input is over the subtask stays: it answers every epoch until it is told to
//! close.

mod reader;
mod source;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use thalweg_dataflow::sink::Close;
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Barrier, Code, Error, Message, Port};
use thalweg_state::{Epoch, KeyGroups, planted};
use thalweg_world::{SeededRandom, World};
use tokio::sync::mpsc;

use crate::chain::{Answer, Chain};
use crate::guard::{Failure, panic_message};
use crate::moves::{Arrival, Give, Load, Move};
use crate::settings::RuntimeSettings;
use crate::worker::Past;

pub(crate) use reader::Reader;
pub(crate) use source::SourceReader;

/// What is asked of a subtask. At most a few per epoch, and one epoch at a time.
#[derive(Debug)]
pub enum Command {
    /// To sources, and to subtasks whose input is over: here is the cut.
    Barrier(Barrier),
    /// An epoch was settled.
    Settled {
        /// Which.
        epoch: Epoch,
        /// Whether as complete.
        complete: bool,
    },
    /// To sources: put the end of the input off, so that splits can come; answered by [`Word::Holding`]
    /// with the same number. None: no longer.
    Hold(Option<u64>),
    /// What to do at the barrier of a rescale.
    Move(Move),
    /// State of key groups that will move here.
    Load(Load),
    /// All that is to be loaded for this rescale, for now, was sent. Answered by [`Word::Loaded`].
    Loaded(u64),
    /// Nothing will move: what was loaded for it is forgotten.
    Unload,
    /// What an old owner hands over.
    Arrive(Arrival),
    /// The last command.
    Close(Close),
}

/// What a subtask has to say, and which.
#[derive(Debug)]
pub struct Report {
    /// The member of the job's worker.
    pub member: usize,
    /// What it says.
    pub word: Word,
}

/// What a subtask has to say.
#[derive(Debug)]
pub enum Word {
    /// Its part of an epoch.
    Answer(Epoch, Answer),
    /// It will not end until it is told, or it is over already; and the splits that it reads.
    Holding {
        /// Which [`Command::Hold`] it answers.
        hold: u64,
        /// Whether its input is over.
        over: bool,
        /// What it reads.
        splits: Vec<Assignment>,
    },
    /// What was sent to be loaded for this rescale is in place, or waits for the barrier of the move.
    Loaded(u64),
    /// All that this rescale moved to it is in place.
    Moved(Epoch),
    /// Its input is over; it goes on answering.
    Finished(Close),
    /// It is closed, or it failed.
    Closed(Result<(), Failure>),
}

/// One input channel: the head's port that its rows come in on, and the columns of their key.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    pub(crate) port: Port,
    /// None where rows are not dealt out by key.
    pub(crate) key: Option<Vec<usize>>,
}

/// What both drivers share.
pub(crate) struct Subtask {
    pub(crate) index: usize,
    pub(crate) chain: Chain,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
    pub(crate) settings: Arc<RuntimeSettings>,
    pub(crate) world: World,
    pub(crate) random: Option<SeededRandom>,
    /// Where its state is found, and the key groups that it owns at first.
    pub(crate) past: Option<Arc<dyn Past>>,
    pub(crate) groups: KeyGroups,
    /// The newest epoch that was answered.
    pub(crate) answered: Option<Epoch>,
    /// Whether a barrier has passed behind which its input ends, by a stop or because it retires.
    pub(crate) stopping: bool,
    /// It was told to close before all of its channels had ended.
    pub(crate) closing: Option<Close>,
    /// What to do at a coming barrier.
    pub(crate) moving: Option<Move>,
    /// The answer to the last barrier, while what that froze is still being copied.
    pub(crate) copying: Option<Copying>,
    pub(crate) budget: Budget,
}

/// An answer that lacks some of what was frozen.
pub(crate) struct Copying {
    epoch: Epoch,
    answer: Answer,
    /// What leaves with it for new owners, but for the state.
    gives: Vec<(mpsc::UnboundedSender<Command>, Arrival)>,
}

/// What feeds the chain.
pub(crate) enum Feed {
    Source(SourceReader),
    Channels(Reader),
}

/// Runs a subtask to its close and reports how it ended, before anything of it is dropped.
pub(crate) async fn run(mut subtask: Subtask, mut feed: Feed) {
    let result = guarded(drive(&mut subtask, &mut feed)).await;
    subtask.report(Word::Closed(result));
}

/// A subtask that a rescale has made, until it knows which. What it loads before takes long, so this is
/// to run where it keeps nobody waiting. None, if it failed; that is reported.
pub(crate) async fn be_born(mut subtask: Subtask, mut feed: Feed) -> Option<(Subtask, Feed)> {
    let born = async {
        match &mut feed {
            Feed::Source(_) => Ok(()),
            Feed::Channels(reader) => reader.be_born(&mut subtask).await,
        }
    };
    match guarded(born).await {
        Ok(()) => Some((subtask, feed)),
        Err(failure) => {
            subtask.report(Word::Closed(Err(failure)));
            None
        }
    }
}

async fn guarded(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or_else(|panic| Err(Failure::Own(broken(&*panic))))
}

async fn drive(subtask: &mut Subtask, feed: &mut Feed) -> Result<(), Failure> {
    let why = match feed {
        Feed::Source(source) => source.read_all(subtask).await?,
        Feed::Channels(reader) => reader.read_all(subtask).await?,
    };
    subtask.report(Word::Finished(why));
    let source = match feed {
        Feed::Source(source) => Some(source),
        Feed::Channels(_) => None,
    };
    subtask.stay(source).await
}

fn broken(panic: &(dyn std::any::Any + Send)) -> Error {
    Error::new(Code::Internal, "a subtask panicked outside of its operators")
        .because(panic_message(panic))
        .with_help("this is a bug in thalweg: please report it")
}

impl Subtask {
    /// Nobody hears a job that was aborted; its subtasks are dropped soon.
    fn report(&self, word: Word) {
        let _ = self.reports.send(Report { member: self.index, word });
    }

    /// Opens what stands behind the head.
    async fn open(&mut self) -> Result<(), Failure> {
        self.chain.open(self.past.as_deref(), &self.groups).await
    }

    /// Passes a barrier. What it froze is copied from now on, and leaves when that is done.
    async fn answer(
        &mut self,
        barrier: &Barrier,
        mut source: Option<&mut SourceReader>,
    ) -> Result<(), Failure> {
        while self.copying.is_some() {
            self.copy_piece()?;
        }
        let moving = self.moving.take_if(|moving| moving.epoch == barrier.epoch);
        let (exits, gives, retires) = match moving {
            Some(moving) => (moving.exits, moving.gives, moving.retires),
            None => (Vec::new(), Vec::new(), false),
        };
        let mut answer = self.chain.barrier(barrier, exits).await?;
        if let Some(source) = source.as_deref_mut() {
            if planted("position taken after the barrier") {
                source.read_on(self).await?;
            }
            answer.positions = source.positions()?;
        }
        let mut leaving = Vec::with_capacity(gives.len());
        for give in gives {
            leaving.push(self.part_with(barrier.epoch, give, source.as_deref_mut()).await?);
        }
        if retires {
            self.chain.stop_time();
        }
        self.answered = Some(barrier.epoch);
        self.stopping |= barrier.stop || retires;
        self.copying = Some(Copying { epoch: barrier.epoch, answer, gives: leaving });
        self.copy_on()
    }

    /// Gives up what moves to a new owner, who is to get this, and the state as the barrier found it.
    async fn part_with(
        &mut self,
        epoch: Epoch,
        give: Give,
        source: Option<&mut SourceReader>,
    ) -> Result<(mpsc::UnboundedSender<Command>, Arrival), Failure> {
        let Give { to, groups, splits } = give;
        let splits = match source {
            Some(source) => source.revoke(self, &splits).await?,
            None => {
                self.chain.forget(&groups)?;
                Vec::new()
            }
        };
        let reached = self.chain.reached_by_inputs();
        let snapshots = Vec::new();
        Ok((to, Arrival { epoch, from: self.index, groups, snapshots, reached, splits }))
    }

    /// Copies some of what the last barrier froze, if there is anything left. Called between messages.
    fn copy_on(&mut self) -> Result<(), Failure> {
        // For tests: with a seed, there is often more to copy than fits now.
        let later =
            |random: &SeededRandom| !thalweg_world::Random::next_u64(random).is_multiple_of(COPY_ONE_IN);
        if self.copying.is_none() || self.random.as_ref().is_some_and(later) {
            return Ok(());
        }
        self.copy_piece()
    }

    /// Copies as many rows as fit into a batch. When all are copied, first the new owners get what is
    /// theirs, so that they have it before the epoch can be settled, then who asked this subtask's part.
    fn copy_piece(&mut self) -> Result<(), Failure> {
        let Some(copying) = &mut self.copying else { return Ok(()) };
        if self.chain.copy_frozen(self.settings.batch_rows_max, &mut copying.answer)? {
            return Ok(());
        }
        let Some(Copying { epoch, answer, gives }) = self.copying.take() else { return Ok(()) };
        for (to, mut arrival) in gives {
            arrival.snapshots = answer.snapshots.clone();
            to.send(Command::Arrive(arrival)).map_err(|_| Failure::PeerGone)?;
        }
        self.report(Word::Answer(epoch, answer));
        Ok(())
    }

    /// The next command. While there is none, what was frozen is copied.
    async fn command(&mut self) -> Result<Command, Failure> {
        while self.copying.is_some() {
            if let Ok(command) = self.commands.try_recv() {
                return Ok(command);
            }
            self.copy_on()?;
            yield_now().await;
        }
        self.commands.recv().await.ok_or(Failure::PeerGone)
    }

    /// How this subtask's outputs and sinks end.
    fn why(&self) -> Close {
        if self.stopping { Close::Stop } else { Close::End }
    }

    /// Ends the chain's outputs.
    async fn end(&mut self) -> Result<Close, Failure> {
        let why = self.why();
        let last = match why {
            Close::End => Message::End,
            Close::Stop => Message::Retire,
        };
        self.chain.end(last).await?;
        Ok(why)
    }

    /// The input is over: answers epochs until told to close.
    async fn stay(&mut self, mut source: Option<&mut SourceReader>) -> Result<(), Failure> {
        if let Some(why) = self.closing.take() {
            return self.chain.close(why).await;
        }
        loop {
            match self.command().await? {
                Command::Barrier(barrier) => {
                    if self.answered < Some(barrier.epoch) {
                        self.answer(&barrier, source.as_deref_mut()).await?;
                    }
                }
                Command::Settled { epoch, complete } => {
                    self.settled(epoch, complete, source.as_deref_mut()).await?;
                }
                Command::Hold(Some(hold)) => {
                    let splits = source.as_deref_mut().map(SourceReader::positions).transpose()?;
                    let splits = splits.unwrap_or_default();
                    self.report(Word::Holding { hold, over: true, splits });
                }
                Command::Hold(None) => {}
                Command::Move(moving) => self.moving = Some(moving),
                // Nothing comes any more that would ask for it; the store holds it.
                Command::Load(_) | Command::Unload => {}
                Command::Loaded(rescale) => self.report(Word::Loaded(rescale)),
                Command::Arrive(arrival) => self.arrive_late(arrival)?,
                Command::Close(why) => return self.chain.close(why).await,
            }
        }
    }

    /// The input is over, and with it event time: what arrives has nothing more to say, but belongs here.
    fn arrive_late(&mut self, arrival: Arrival) -> Result<(), Failure> {
        if !arrival.splits.is_empty() {
            return Err(Error::internal("splits came to a source that is over").into());
        }
        let epoch = arrival.epoch;
        arrival.loads().try_for_each(|load| self.chain.load(load))?;
        self.report(Word::Moved(epoch));
        Ok(())
    }

    async fn settled(
        &mut self,
        epoch: Epoch,
        complete: bool,
        source: Option<&mut SourceReader>,
    ) -> Result<(), Failure> {
        self.chain.settled(epoch, complete)?;
        if let Some(source) = source {
            source.settled(epoch, complete).await?;
        }
        Ok(())
    }

    /// How long until the next timer of an operator is due.
    fn until_timer(&mut self) -> Option<Duration> {
        self.chain.read_clock();
        let nanos = self.chain.next_timer()?.0.saturating_sub(self.chain.now().0);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
    }

    /// What was waited for is here.
    fn begin_turn(&mut self) {
        self.budget = Budget::at(self.world.clock.monotonic());
    }

    /// Makes way for the other subtasks of this thread, now and then.
    async fn make_way(&mut self, rows: usize) {
        let now = self.world.clock.monotonic();
        let drawn = self.random.as_ref().is_some_and(|r| thalweg_world::Random::next_u64(r) % 4 == 0);
        if !self.budget.spend(rows, now) && !drawn {
            return;
        }
        let share = self.budget.share(now);
        yield_now().await;
        // After a turn that took long, the others get one too, not one step each: a sink that writes has several
        // steps for what took us one.
        for _ in 0..SHARE_YIELDS_MAX {
            if share.is_zero() || self.world.clock.monotonic().saturating_sub(now) >= share {
                break;
            }
            yield_now().await;
        }
        self.begin_turn();
    }
}

/// Of so many occasions to copy what was frozen one is taken, where a seed decides.
const COPY_ONE_IN: u64 = 4;
/// The most messages that a subtask handles before it makes way.
const TURN_MESSAGES_MAX: usize = 64;
/// The most rows that a subtask handles before it makes way.
const TURN_ROWS_MAX: usize = 8192;

/// The longest turn, but for one message that takes longer.
const TURN_MAX: Duration = Duration::from_millis(10);
/// Behind a turn that was longer, the others of the thread get this part of it, if they want it.
const SHARE: u32 = 64;
/// And no more than that,
const SHARE_MAX: Duration = Duration::from_millis(5);
/// nor more than so many steps, for there are clocks that stand still.
const SHARE_YIELDS_MAX: usize = 4096;

/// What is left of a subtask's turn on its thread.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    began: Duration,
    messages: usize,
    rows: usize,
}

impl Budget {
    fn at(began: Duration) -> Self {
        Self { began, ..Self::default() }
    }

    /// Whether the turn is over.
    fn spend(&mut self, rows: usize, now: Duration) -> bool {
        self.messages += 1;
        self.rows += rows;
        self.messages >= TURN_MESSAGES_MAX || self.rows >= TURN_ROWS_MAX || self.took(now) >= TURN_MAX
    }

    fn took(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began)
    }

    /// What the others get of the time behind a turn that ends now.
    fn share(&self, now: Duration) -> Duration {
        match self.took(now) {
            took if took > TURN_MAX => (took / SHARE).min(SHARE_MAX),
            _ => Duration::ZERO,
        }
    }
}

/// Goes to the end of the executor's queue.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Ready after `duration`; never, if there is none.
async fn sleep(world: &World, duration: Option<Duration>) {
    match duration {
        Some(duration) => world.clock.sleep(duration).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_turn_ends_by_its_messages_its_rows_or_its_time() {
        let mut budget = Budget::at(ms(5));
        assert!((1..TURN_MESSAGES_MAX).all(|_| !budget.spend(1, ms(5))));
        assert!(budget.spend(1, ms(5)));
        assert!(Budget::at(ms(5)).spend(TURN_ROWS_MAX, ms(5)));
        assert!(!Budget::at(ms(5)).spend(1, ms(14)) && Budget::at(ms(5)).spend(1, ms(15)));
    }

    #[test]
    fn others_get_their_share_of_a_long_turn_only() {
        let budget = Budget::at(ms(100));
        assert_eq!(budget.share(ms(110)), Duration::ZERO);
        assert_eq!(budget.share(ms(164)), ms(1));
        assert_eq!(budget.share(ms(100_000)), SHARE_MAX);
        assert_eq!(budget.share(ms(0)), Duration::ZERO, "a clock that goes backwards");
    }
}
