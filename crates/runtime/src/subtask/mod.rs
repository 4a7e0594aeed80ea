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
use thalweg_dataflow::{Barrier, Code, Error, Message};
use thalweg_state::Epoch;
use thalweg_world::{SeededRandom, World};
use tokio::sync::mpsc;

use crate::chain::{Answer, Chain};
use crate::guard::{Failure, panic_message};
use crate::settings::RuntimeSettings;

pub(crate) use reader::Reader;
pub(crate) use source::SourceReader;

/// What control asks of a subtask. At most a few per epoch, and one epoch at a time.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// To sources, and to subtasks whose input is over: here is the cut.
    Barrier(Barrier),
    /// An epoch was settled.
    Settled { epoch: Epoch, complete: bool },
    /// The last command.
    Close(Close),
}

/// What a subtask tells control.
#[derive(Debug)]
pub(crate) struct Report {
    /// The subtask's index in its job.
    pub(crate) subtask: usize,
    pub(crate) word: Word,
}

/// What a subtask has to say.
#[derive(Debug)]
pub(crate) enum Word {
    /// Its part of an epoch.
    Answer(Epoch, Answer),
    /// Its input is over; it goes on answering.
    Finished(Close),
    /// It is closed, or it failed.
    Closed(Result<(), Failure>),
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
    /// The newest epoch that was answered.
    pub(crate) answered: Option<Epoch>,
    /// Whether a stopping barrier has passed.
    pub(crate) stopping: bool,
    pub(crate) budget: Budget,
}

/// What feeds the chain.
pub(crate) enum Feed {
    Source(SourceReader),
    Channels(Reader),
}

/// Runs a subtask to its close and reports how it ended, before anything of it is dropped.
pub(crate) async fn run(mut subtask: Subtask, mut feed: Feed) {
    let result = AssertUnwindSafe(drive(&mut subtask, &mut feed)).catch_unwind().await;
    let result = result.unwrap_or_else(|panic| Err(Failure::Own(broken(&*panic))));
    subtask.report(Word::Closed(result));
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
        let _ = self.reports.send(Report { subtask: self.index, word });
    }

    /// Passes a barrier and gives control this subtask's part of the epoch.
    async fn answer(&mut self, barrier: &Barrier, source: Option<&mut SourceReader>) -> Result<(), Failure> {
        let mut answer = self.chain.barrier(barrier).await?;
        if let Some(source) = source {
            answer.positions = source.positions()?;
        }
        self.answered = Some(barrier.epoch);
        self.stopping |= barrier.stop;
        self.report(Word::Answer(barrier.epoch, answer));
        Ok(())
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
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Barrier(barrier) => {
                    if self.answered < Some(barrier.epoch) {
                        self.answer(&barrier, source.as_deref_mut()).await?;
                    }
                }
                Command::Settled { epoch, complete } => {
                    self.settled(epoch, complete, source.as_deref_mut()).await?;
                }
                Command::Close(why) => return self.chain.close(why).await,
            }
        }
        Err(Failure::PeerGone)
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

    /// Makes way for the other subtasks of this thread, now and then.
    async fn make_way(&mut self, rows: usize) {
        let drawn = self.random.as_ref().is_some_and(|r| thalweg_world::Random::next_u64(r) % 4 == 0);
        if self.budget.spend(rows) || drawn {
            yield_now().await;
        }
    }
}

/// The most messages that a subtask handles before it makes way.
const TURN_MESSAGES_MAX: usize = 64;
/// The most rows that a subtask handles before it makes way.
const TURN_ROWS_MAX: usize = 8192;

/// What is left of a subtask's turn on its thread.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    messages: usize,
    rows: usize,
}

impl Budget {
    /// Whether the turn is over.
    fn spend(&mut self, rows: usize) -> bool {
        self.messages += 1;
        self.rows += rows;
        let over = self.messages >= TURN_MESSAGES_MAX || self.rows >= TURN_ROWS_MAX;
        if over {
            *self = Self::default();
        }
        over
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
