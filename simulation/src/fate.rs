//! What becomes of a process: it runs, freezes, or dies between any two of its steps.
//!
//! Every future of a process is polled only while its process lives and is not
//! frozen. Death comes at a poll that was drawn beforehand, in the middle of
//! anything, and from then on nothing of the process runs, not even what is
//! dropped later. Now and then a poll is put off, as a busy thread would.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use thalweg_testkit::Dice;
use thalweg_testkit::faulty_store::Now;
use thalweg_world::{Executors, Task};
use tokio::time::{Sleep, sleep};

/// A process that is polled so often without a pause in between is stuck in a circle.
const POLLS_IN_A_ROW_MAX: u64 = 2_000_000;

/// Decides over one process.
pub(crate) struct Fate {
    state: Mutex<State>,
    now: Now,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    dead: bool,
    /// How many polls are left.
    polls_left: Option<u64>,
    frozen_until: Option<Duration>,
    /// For how long it freezes when it next proposes how an epoch is settled.
    drowsy: Option<Duration>,
    slowness: Slowness,
    /// Whether rows were read in the poll that is under way.
    has_read: bool,
    polls: u64,
    in_a_row: (Duration, u64),
}

/// How much polls are put off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slowness {
    /// The share of all polls, and for how long at most.
    pub(crate) any: (f64, Duration),
    /// For how long at most who has read rows: so a burst takes its time, and barriers come in the middle of it.
    pub(crate) reading: Duration,
}

impl Slowness {
    /// Nothing is put off.
    pub(crate) fn none() -> Self {
        Self { any: (0.0, Duration::ZERO), reading: Duration::ZERO }
    }
}

/// What a poll comes to.
enum Turn {
    Go,
    Wait(Duration),
    Never,
}

impl Fate {
    /// A process that lives until it is told otherwise.
    pub(crate) fn new(seed: u64, slowness: Slowness, now: Now) -> Arc<Self> {
        let state = Mutex::new(State {
            dice: Dice::new(seed),
            dead: false,
            polls_left: None,
            frozen_until: None,
            drowsy: None,
            slowness,
            has_read: false,
            polls: 0,
            in_a_row: (Duration::ZERO, 0),
        });
        Arc::new(Self { state, now })
    }

    /// A panic of a process is the end of the simulation.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It dies so many polls from now.
    pub(crate) fn die_in(&self, polls: u64) {
        let mut state = self.state();
        state.polls_left = Some(state.polls_left.map_or(polls, |left| left.min(polls)));
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Nothing of it runs for so long; then it goes on as if nothing had happened.
    pub(crate) fn freeze(&self, duration: Duration) {
        self.state().frozen_until = Some((self.now)() + duration);
    }

    /// It freezes for so long on the verge of its next proposal how an epoch is settled.
    pub(crate) fn freeze_at_settling(&self, duration: Duration) {
        self.state().drowsy = Some(duration);
    }

    /// It is about to propose how an epoch is settled. Whether it freezes there.
    pub(crate) fn is_settling(&self) -> bool {
        let drowsy = self.state().drowsy.take();
        drowsy.map(|duration| self.freeze(duration)).is_some()
    }

    /// From now on nothing happens to it.
    pub(crate) fn be_kind(&self) {
        let mut state = self.state();
        state.polls_left = None;
        state.frozen_until = None;
        state.drowsy = None;
        state.slowness = Slowness::none();
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Duration {
        (self.now)()
    }

    /// The one that is being polled has read rows.
    pub(crate) fn has_read(&self) {
        self.state().has_read = true;
    }

    fn take_read(&self) -> bool {
        std::mem::take(&mut self.state().has_read)
    }

    fn turn(&self, reads: bool) -> Turn {
        let now = (self.now)();
        let mut state = self.state();
        if state.dead {
            return Turn::Never;
        }
        if let Some(until) = state.frozen_until.filter(|until| *until > now) {
            return Turn::Wait(until - now);
        }
        if let Some(left) = &mut state.polls_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.dead = true;
                return Turn::Never;
            }
        }
        state.polls += 1;
        let in_a_row = if state.in_a_row.0 == now { state.in_a_row.1 + 1 } else { 0 };
        assert!(in_a_row < POLLS_IN_A_ROW_MAX, "a process goes round in a circle");
        state.in_a_row = (now, in_a_row);
        let Slowness { any: (share, longest), reading } = state.slowness;
        if reads && reading > Duration::ZERO {
            return Turn::Wait(state.dice.duration(&(Duration::ZERO..reading)));
        }
        if share > 0.0 && state.dice.chance(share) {
            return Turn::Wait(state.dice.duration(&(Duration::ZERO..longest)));
        }
        Turn::Go
    }
}

/// A future of a process.
pub(crate) struct Ruled<F> {
    inner: Pin<Box<F>>,
    fate: Arc<Fate>,
    /// Whether it read rows when it was polled last.
    reads: bool,
    wait: Option<Pin<Box<Sleep>>>,
}

/// Puts a future under a fate.
pub(crate) fn ruled<F: Future>(fate: &Arc<Fate>, inner: F) -> Ruled<F> {
    Ruled { inner: Box::pin(inner), fate: Arc::clone(fate), reads: false, wait: None }
}

impl<F: Future> Future for Ruled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let waited = match &mut this.wait {
            Some(wait) => match wait.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => true,
            },
            None => false,
        };
        this.wait = None;
        match this.fate.turn(std::mem::take(&mut this.reads)) {
            Turn::Never => return Poll::Pending,
            Turn::Wait(pause) if !waited => {
                let mut wait = Box::pin(sleep(pause));
                if wait.as_mut().poll(cx).is_pending() {
                    this.wait = Some(wait);
                    return Poll::Pending;
                }
            }
            Turn::Wait(_) | Turn::Go => {}
        }
        let polled = this.inner.as_mut().poll(cx);
        this.reads = this.fate.take_read();
        polled
    }
}

/// Everything of a process, under one fate, on the calling runtime.
pub(crate) struct RuledExecutors {
    fate: Arc<Fate>,
    runtime: tokio::runtime::Handle,
}

impl RuledExecutors {
    pub(crate) fn new(fate: Arc<Fate>) -> Self {
        Self { fate, runtime: tokio::runtime::Handle::current() }
    }

    fn spawn(&self, future: BoxFuture<'static, ()>) -> Task {
        Task::new(self.runtime.spawn(ruled(&self.fate, future)))
    }
}

impl Executors for RuledExecutors {
    fn data_threads(&self) -> usize {
        1
    }

    fn spawn_data(&self, _: usize, future: BoxFuture<'static, ()>) -> Task {
        self.spawn(future)
    }

    fn spawn_control(&self, future: BoxFuture<'static, ()>) -> Task {
        self.spawn(future)
    }

    fn spawn_background(&self, future: BoxFuture<'static, ()>) -> Task {
        self.spawn(future)
    }
}
