//! A store on a bad day, by seed.
//!
//! ```text
//!  create ─► on its way ─► refused            nothing is there
//!               │      └─► late               it lands long after the caller was told that it failed
//!               ▼
//!            applied ─► told so
//!                  └──► answer lost           it is there, and the caller was told that it failed
//!                  └──► told that it exists   a client below repeated it by itself
//! ```
//!
//! Objects are whole or not there at all: a caller that dies in between leaves
//! one or the other, or a request that lands when it is long dead. What cannot
//! be read is an error and never other bytes. Every fault is counted.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thalweg_state::store::{Creation, Hold, Listed, MemoryStore, Store, StoreError};

use crate::Dice;

/// What time it is, for all who share the store.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How often what goes wrong, as a share of requests, and how long things take.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Nothing happens, and the caller is told so: 409, 429, 500, 503, a connection reset.
    pub refuse: f64,
    /// It happens, and the answer is lost.
    pub lose_answer: f64,
    /// The caller is told that it failed, and later it happens.
    pub land_late: f64,
    /// It happens, and the caller hears that it had happened before.
    pub tell_exists: f64,
    /// The caller waits long.
    pub stall: f64,
    /// How long a request takes.
    pub latency: Range<Duration>,
    /// How long one takes that stalls, or how much later it lands.
    pub stalled: Range<Duration>,
}

impl Weather {
    /// Nothing goes wrong.
    pub fn fair() -> Self {
        let ms = Duration::from_millis;
        Self {
            refuse: 0.0,
            lose_answer: 0.0,
            land_late: 0.0,
            tell_exists: 0.0,
            stall: 0.0,
            latency: ms(1)..ms(5),
            stalled: ms(200)..ms(4_000),
        }
    }
}

/// What has changed in the store.
#[derive(Debug)]
pub enum Deed<'a> {
    /// An object is new.
    Created(&'a str, &'a Bytes),
    /// An object is gone.
    Deleted(&'a str),
}

/// Who sees every change, in order.
pub type Watcher = Arc<dyn Fn(Deed<'_>) + Send + Sync>;

/// A store in memory that fails.
pub struct FaultyStore {
    objects: Arc<MemoryStore>,
    state: Mutex<State>,
    now: Now,
    watcher: Watcher,
}

struct State {
    dice: Dice,
    weather: Weather,
    away_until: Duration,
    /// Creates on their way, by when they land; the number keeps their order.
    late: BTreeMap<(Duration, u64), (String, Bytes)>,
    late_count: u64,
    counts: BTreeMap<&'static str, u64>,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    Refused,
    Late,
    AnswerLost,
    ToldExists,
}

const REFUSALS: [&str; 5] = [
    "409 conflicting conditional request",
    "429 slow down",
    "500 internal error",
    "503 service unavailable",
    "connection reset",
];

/// How long a caller waits for a store that is away.
const PATIENCE: Duration = Duration::from_secs(2);

impl FaultyStore {
    /// An empty store in fair weather.
    pub fn new(seed: u64, now: Now, watcher: Watcher) -> Self {
        let state = State {
            dice: Dice::new(seed),
            weather: Weather::fair(),
            away_until: Duration::ZERO,
            late: BTreeMap::new(),
            late_count: 0,
            counts: BTreeMap::new(),
        };
        Self { objects: Arc::new(MemoryStore::new()), state: Mutex::new(state), now, watcher }
    }

    /// From now on it is like this.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Nobody reaches the store for so long.
    pub fn go_away(&self, duration: Duration) {
        let until = (self.now)() + duration;
        let mut state = self.state();
        state.count("away");
        state.away_until = state.away_until.max(until);
    }

    /// How often each thing went wrong.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts.clone()
    }

    /// All objects, without any fault.
    pub fn objects(&self) -> &Arc<MemoryStore> {
        &self.objects
    }

    /// Every change is whole before the lock is left.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is on its way, and arrives, or an error comes back.
    async fn travel(&self, may_land: bool) -> Result<Fate, StoreError> {
        let (latency, fate) = self.state().draw(may_land);
        tokio::time::sleep(latency).await;
        if (self.now)() < self.state().away_until {
            tokio::time::sleep(PATIENCE).await;
            return Err(unavailable("no route to host"));
        }
        self.land_late();
        match fate {
            Fate::Refused => {
                Err(unavailable(REFUSALS[self.state().dice.number(0..REFUSALS.len() as u64) as usize]))
            }
            Fate::Fine | Fate::Late | Fate::AnswerLost | Fate::ToldExists => Ok(fate),
        }
    }

    /// The answer is on its way.
    async fn answer<T>(&self, fate: Fate, answer: T) -> Result<T, StoreError> {
        let latency = self.state().latency();
        tokio::time::sleep(latency).await;
        match fate {
            Fate::AnswerLost => Err(unavailable("connection reset while waiting for the answer")),
            Fate::Fine | Fate::Late | Fate::ToldExists | Fate::Refused => Ok(answer),
        }
    }

    /// What is due by now has landed.
    fn land_late(&self) {
        let now = (self.now)();
        loop {
            let mut state = self.state();
            let Some(entry) = state.late.first_entry().filter(|entry| entry.key().0 <= now) else { return };
            let (name, bytes) = entry.remove();
            state.count("landed late");
            drop(state);
            // Another may have been faster: then it has lost.
            let _ = self.apply_create(&name, bytes);
        }
    }

    fn apply_create(&self, name: &str, bytes: Bytes) -> Result<Creation, StoreError> {
        let creation = now_or_never(self.objects.create(name, bytes.clone()))?;
        if creation == Creation::Created {
            (self.watcher)(Deed::Created(name, &bytes));
        }
        Ok(creation)
    }

    fn apply_delete(&self, name: &str) -> Result<(), StoreError> {
        let there = now_or_never(self.objects.read(name))?.is_some();
        now_or_never(self.objects.delete(name))?;
        if there {
            (self.watcher)(Deed::Deleted(name));
        }
        Ok(())
    }

    async fn create_it(&self, name: &str, bytes: Bytes) -> Result<Creation, StoreError> {
        let mut request = InFlight { store: self, create: Some((name, bytes)) };
        let fate = self.travel(true).await;
        let Some((name, bytes)) = request.create.take() else { return Err(unavailable("taken back")) };
        let fate = fate?;
        if fate == Fate::Late {
            self.send_late(name, bytes);
            return Err(unavailable("timed out"));
        }
        let creation = self.apply_create(name, bytes)?;
        let told = if fate == Fate::ToldExists { Creation::Exists } else { creation };
        self.answer(fate, told).await
    }

    async fn delete_it(&self, name: &str) -> Result<(), StoreError> {
        let fate = self.travel(false).await?;
        self.apply_delete(name)?;
        self.answer(fate, ()).await
    }

    async fn ask<T>(&self, question: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
        let fate = self.travel(false).await?;
        let answer = now_or_never(question)?;
        self.answer(fate, answer).await
    }

    fn send_late(&self, name: &str, bytes: Bytes) {
        let now = (self.now)();
        let mut state = self.state();
        let range = state.weather.stalled.clone();
        let due = now + state.dice.duration(&range);
        let number = state.late_count;
        state.late_count += 1;
        state.late.insert((due, number), (name.to_owned(), bytes));
    }
}

impl State {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn latency(&mut self) -> Duration {
        let range = self.weather.latency.clone();
        self.dice.duration(&range)
    }

    /// How long a request is on its way, and what becomes of it.
    fn draw(&mut self, is_create: bool) -> (Duration, Fate) {
        let mut latency = self.latency();
        if self.dice.chance(self.weather.stall) {
            let range = self.weather.stalled.clone();
            latency += self.dice.duration(&range);
            self.count("stalled");
        }
        let Weather { refuse, lose_answer, land_late, tell_exists, .. } = self.weather;
        let fates = [
            (refuse, Fate::Refused, "refused"),
            (lose_answer, Fate::AnswerLost, "answer lost"),
            (if is_create { land_late } else { 0.0 }, Fate::Late, "late"),
            (if is_create { tell_exists } else { 0.0 }, Fate::ToldExists, "told that it exists"),
        ];
        for (share, fate, what) in fates {
            if self.dice.chance(share) {
                self.count(what);
                return (latency, fate);
            }
        }
        (latency, Fate::Fine)
    }
}

/// A create on its way. If the caller dies meanwhile, it may land all the same.
struct InFlight<'a> {
    store: &'a FaultyStore,
    create: Option<(&'a str, Bytes)>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some((name, bytes)) = self.create.take() {
            let lands = {
                let mut state = self.store.state();
                let share = state.weather.land_late;
                // The weather says whether anything lands late at all; a dead caller's request often does.
                share > 0.0 && state.dice.chance(0.5)
            };
            if lands {
                self.store.send_late(name, bytes);
            }
        }
    }
}

impl Store for FaultyStore {
    fn create<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<Creation, StoreError>> {
        self.create_it(name, bytes).boxed()
    }

    fn read<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        async move { self.ask(self.objects.read(name)).await }.boxed()
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        async move { self.ask(self.objects.list(folder)).await }.boxed()
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.delete_it(name).boxed()
    }

    fn hold<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Hold, StoreError>> {
        self.objects.hold(folder)
    }

    fn describe(&self) -> String {
        "a faulty store in memory".to_owned()
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("objects", &self.objects).finish_non_exhaustive()
    }
}

/// A store in memory never waits.
fn now_or_never<T>(request: BoxFuture<'_, Result<T, StoreError>>) -> Result<T, StoreError> {
    request.now_or_never().unwrap_or_else(|| Err(unavailable("a store in memory waits")))
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
