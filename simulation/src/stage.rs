//! The hosts, and what happens to them.
//!
//! ```text
//!   draw a swarm ─► lives on two hosts ─► blows until it is calm ─► the job ends ─► the oracles
//!                        ▲                     │
//!                        └── a successor ◄─────┘ killed, failed, stopped, usurped
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thalweg_cluster::RestoreFrom;
use thalweg_dataflow::Code;
use thalweg_testkit::Dice;
use thalweg_testkit::faulty_store::Weather;
use tokio::sync::mpsc;

use crate::fate::{Fate, Slowness, ruled};
use crate::ground::Ground;
use crate::ledger::Manners;
use crate::life::{Birth, End, Life, Order, Window, look};
use crate::swarm::{Blow, PARALLELISM_MAX, Swarm};

const HOSTS: [&str; 2] = ["east", "west"];
/// Within this time of the last fault an epoch is complete.
const EPOCH_WITHIN: Duration = Duration::from_secs(10);
/// Within this time of the last fault, and of the end of its input, the job is over.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Within this time of the end of the job nobody goes on with it.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// The share of blows that come although no job runs that they could hit.
const BLIND: f64 = 0.3;
/// How long nobody notices that a process is gone.
const RESTART: std::ops::Range<Duration> = Duration::from_millis(10)..Duration::from_millis(1_500);

/// How often what happened.
pub type Tallies = BTreeMap<String, u64>;

/// A life on a host.
struct Acting {
    fate: Arc<Fate>,
    window: Window,
    orders: mpsc::UnboundedSender<Order>,
    number: u64,
    restore: RestoreFrom,
    /// What of its window is in the sums already.
    epochs: u64,
    rows_read: u64,
    /// Whether it was asked to stop, and with which savepoint: a later one takes the place of an earlier.
    stops: bool,
    savepoint: Option<String>,
}

struct Host {
    name: &'static str,
    /// What runs when the host is started next.
    cue: Rc<RefCell<Option<Life>>>,
    acting: Option<Acting>,
}

pub(crate) struct Stage {
    ground: Arc<Ground>,
    swarm: Arc<Swarm>,
    dice: Dice,
    hosts: Vec<Host>,
    /// The host whose life nobody has succeeded.
    current: Option<usize>,
    next: Birth,
    start_at: Option<Duration>,
    blow_at: Duration,
    away_until: Duration,
    calm_since: Option<Duration>,
    epoch_at: Duration,
    finished_at: Option<Duration>,
    labels: u64,
    /// The labels of checkpoints that are kept for sure.
    pub(crate) kept: Vec<String>,
    pub(crate) tallies: Tallies,
    pub(crate) violations: Vec<String>,
}

impl Stage {
    pub(crate) fn new(ground: Arc<Ground>, swarm: Arc<Swarm>, mut dice: Dice) -> Self {
        let host = |name| Host { name, cue: Rc::default(), acting: None };
        let next = Birth {
            number: 0,
            parallelism: swarm.parallelism,
            restore: RestoreFrom::Newest,
            seed: dice.bits(),
        };
        Self {
            blow_at: swarm.gap,
            ground,
            swarm,
            dice,
            hosts: HOSTS.map(host).into(),
            current: None,
            next,
            start_at: Some(Duration::ZERO),
            away_until: Duration::ZERO,
            calm_since: None,
            epoch_at: Duration::ZERO,
            finished_at: None,
            labels: 0,
            kept: Vec::new(),
            tallies: Tallies::new(),
            violations: Vec::new(),
        }
    }

    /// Plays until all is over.
    pub(crate) fn play(&mut self) {
        let mut builder = turmoil::Builder::new();
        builder.tick_duration(self.swarm.tick).simulation_duration(Duration::MAX).rng_seed(self.dice.bits());
        let mut sim = builder.build();
        for host in &self.hosts {
            let cue = Rc::clone(&host.cue);
            sim.host(host.name, move || {
                let life = cue.borrow_mut().take();
                async move {
                    if let Some(life) = life {
                        let fate = Arc::clone(&life.fate);
                        ruled(&fate, life.live()).await;
                    }
                    Ok(())
                }
            });
        }
        self.ground.store.set_weather(self.swarm.weather.clone());
        self.ground.ledger.set_manners(self.swarm.manners.clone());
        while !self.is_over(sim.elapsed()) {
            if let Err(error) = sim.step() {
                self.violations.push(format!("a host failed: {error}"));
                return;
            }
            self.ground.set_elapsed(sim.elapsed());
            self.look_after(&mut sim);
            self.start_next(&mut sim);
            self.strike(sim.elapsed());
            self.calm_down(sim.elapsed());
        }
        let simulated = sim.elapsed().as_secs();
        self.count_many("simulated seconds", simulated);
    }

    fn count(&mut self, what: impl Into<String>) {
        self.count_many(what, 1);
    }

    fn count_many(&mut self, what: impl Into<String>, times: u64) {
        *self.tallies.entry(what.into()).or_default() += times;
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        (self.ground.note)(what);
    }

    /// Takes notice of who died and who ended.
    fn look_after(&mut self, sim: &mut turmoil::Sim<'_>) {
        let now = sim.elapsed();
        for index in 0..self.hosts.len() {
            self.hear(index, now);
            let Some(acting) = &self.hosts[index].acting else { continue };
            let number = acting.number;
            let end = look(&acting.window).end.take();
            if acting.fate.is_dead() {
                self.note(format_args!("life {number} was killed"));
                sim.crash(self.hosts[index].name);
                self.count("kills");
                self.gone(index, now, None);
            } else if end.is_some() {
                self.gone(index, now, end);
            }
        }
    }

    /// Takes what a life shows into the sums.
    fn hear(&mut self, index: usize, now: Duration) {
        let Some(acting) = &mut self.hosts[index].acting else { return };
        let mut shown = look(&acting.window);
        let violations = std::mem::take(&mut shown.violations);
        let (rescales, kept) = (std::mem::take(&mut shown.rescales), std::mem::take(&mut shown.kept));
        let epochs = shown.epochs - acting.epochs;
        acting.epochs = shown.epochs;
        let (rows, failing) = (shown.rows_read.saturating_sub(acting.rows_read), shown.failing);
        acting.rows_read = shown.rows_read;
        drop(shown);
        if now < self.away_until {
            self.count_many("rows while the store is away", rows);
            let most = self.tallies.entry("epochs that failed in a row while the store is away".to_owned());
            let most = most.or_default();
            *most = failing.max(*most);
        } else if self.away_until > Duration::ZERO {
            self.count_many("epochs after the store was away", epochs);
        }
        if epochs > 0 {
            self.epoch_at = now;
        }
        self.violations.extend(violations);
        self.count_many("epochs", epochs);
        self.count_many("rescales", rescales);
        self.count_many("checkpoints kept", kept.len() as u64);
        self.kept.extend(kept);
    }

    /// A life is over; none: it was killed.
    fn gone(&mut self, index: usize, now: Duration, end: Option<End>) {
        let Some(acting) = self.hosts[index].acting.take() else { return };
        let is_current = self.current == Some(index);
        match &end {
            Some(End::Finished) => {
                self.finished_at.get_or_insert(now);
            }
            Some(End::Failed(error)) => {
                self.count(format!("failed: {}", error.code()));
                if !may_happen(error.code()) {
                    self.violations.push(format!("life {} failed: {error:?}", acting.number));
                }
            }
            Some(End::Stopped) => {
                self.count("stops");
                self.kept.extend(acting.savepoint.clone());
            }
            None => {}
        }
        if !is_current {
            return;
        }
        self.current = None;
        let alone = self.hosts.iter().all(|host| host.acting.is_none());
        self.next = Birth {
            number: acting.number + 1,
            parallelism: match self.dice.chance(0.5) {
                true => self.dice.number(1..PARALLELISM_MAX + 1) as u32,
                false => self.next.parallelism,
            },
            restore: match (end, acting.savepoint) {
                // With another life about, the savepoint may not be the newest checkpoint for long.
                (Some(End::Stopped), Some(label)) if alone => RestoreFrom::Savepoint(label),
                _ => RestoreFrom::Newest,
            },
            seed: self.dice.bits(),
        };
        self.start_at = Some(now + self.dice.duration(&RESTART));
    }

    /// Starts the next life, if it is time.
    fn start_next(&mut self, sim: &mut turmoil::Sim<'_>) {
        let due = self.start_at.is_some_and(|at| at <= sim.elapsed()) && self.finished_at.is_none();
        let idle: Vec<usize> = (0..self.hosts.len()).filter(|&i| self.hosts[i].acting.is_none()).collect();
        if !due || idle.is_empty() {
            return;
        }
        let index = *self.dice.pick(&idle);
        self.start_at = None;
        let birth = self.next.clone();
        self.note(format_args!("life {} begins on {}: {birth:?}", birth.number, self.hosts[index].name));
        let fate = Fate::new(self.dice.bits(), self.slowness(), Arc::clone(&self.ground.now));
        let window = Window::default();
        let (orders, heard) = mpsc::unbounded_channel();
        let (number, restore) = (birth.number, birth.restore.clone());
        let life = Life {
            ground: Arc::clone(&self.ground),
            swarm: Arc::clone(&self.swarm),
            birth,
            fate: Arc::clone(&fate),
            window: Arc::clone(&window),
            orders: heard,
        };
        let host = &mut self.hosts[index];
        *host.cue.borrow_mut() = Some(life);
        host.acting = Some(Acting {
            fate,
            window,
            orders,
            number,
            restore,
            epochs: 0,
            rows_read: 0,
            stops: false,
            savepoint: None,
        });
        self.current = Some(index);
        sim.bounce(host.name);
        self.count("lives");
    }

    fn slowness(&self) -> Slowness {
        if self.calm_since.is_some() { Slowness::none() } else { self.swarm.slowness }
    }

    /// Something happens, if it is time and not yet calm.
    fn strike(&mut self, now: Duration) {
        if now < self.blow_at || now >= self.swarm.calm || self.swarm.blows.is_empty() {
            return;
        }
        let gap = self.swarm.gap;
        self.blow_at = now + self.dice.duration(&(gap / 8..gap * 2));
        if !self.runs() && !self.dice.chance(BLIND) {
            return;
        }
        let blow = *self.dice.pick(&self.swarm.blows);
        if self.apply(blow, now) {
            self.note(format_args!("blow: {blow:?}"));
            self.count(format!("{blow:?}"));
        }
    }

    /// Whether it could be done.
    fn apply(&mut self, blow: Blow, now: Duration) -> bool {
        let seconds = Duration::from_secs;
        match blow {
            Blow::StoreAway => self.send_store_away(now, seconds(1)..seconds(8)),
            Blow::StoreAwayLong => self.send_store_away(now, seconds(300)..seconds(301)),
            Blow::Kill => {
                // As often within the next steps as within the next seconds.
                let most = 1 << self.dice.number(1..12);
                let polls = self.dice.number(1..most);
                self.with_fate(|fate| fate.die_in(polls))
            }
            Blow::Freeze => {
                let pause = self.dice.duration(&(Duration::from_millis(100)..seconds(6)));
                self.with_fate(|fate| fate.freeze(pause))
            }
            Blow::Usurp => self.usurp(now, None),
            Blow::UsurpSleeper => {
                let pause = self.dice.duration(&(seconds(1)..seconds(8)));
                self.usurp(now, Some(pause))
            }
            Blow::UsurpSettler => {
                let pause = self.dice.duration(&(seconds(4)..seconds(6)));
                self.with_fate(|fate| fate.freeze_at_settling(pause)) && self.usurp(now, None)
            }
            Blow::Rescale => {
                let parallelism = self.other_parallelism();
                self.order(Order::Rescale(parallelism))
            }
            Blow::Stop => self.stop(None),
            Blow::Savepoint => {
                let label = self.label();
                self.stop(Some(label))
            }
            Blow::Keep => {
                let label = self.label();
                self.order(Order::Keep(label))
            }
        }
    }

    /// A job that stops may be asked again, but not for another savepoint.
    fn stop(&mut self, savepoint: Option<String>) -> bool {
        let Some(acting) = self.current_acting() else { return false };
        if acting.stops && savepoint.is_some() {
            return false;
        }
        acting.stops = true;
        acting.savepoint = acting.savepoint.take().or(savepoint.clone());
        self.order(Order::Stop(savepoint))
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("label-{}", self.labels)
    }

    fn send_store_away(&mut self, now: Duration, range: std::ops::Range<Duration>) -> bool {
        let pause = self.dice.duration(&range);
        self.ground.store.go_away(pause);
        self.away_until = self.away_until.max(now + pause);
        true
    }

    /// Seldom the one that there is: then nothing moves.
    fn other_parallelism(&mut self) -> u32 {
        let draw = |dice: &mut Dice| dice.number(1..PARALLELISM_MAX + 1) as u32;
        let parallelism = draw(&mut self.dice);
        let now = self.current_acting().map(|acting| look(&acting.window).parallelism);
        if now == Some(parallelism) { draw(&mut self.dice) } else { parallelism }
    }

    fn runs(&self) -> bool {
        let acting = self.current.and_then(|index| self.hosts[index].acting.as_ref());
        acting.is_some_and(|acting| look(&acting.window).runs)
    }

    fn current_acting(&mut self) -> Option<&mut Acting> {
        self.hosts[self.current?].acting.as_mut()
    }

    fn with_fate(&mut self, change: impl Fn(&Fate)) -> bool {
        self.current_acting().map(|acting| change(&acting.fate)).is_some()
    }

    fn order(&mut self, order: Order) -> bool {
        self.current_acting().is_some_and(|acting| acting.orders.send(order).is_ok())
    }

    /// Somebody starts the job though it runs: the old life may sleep for so long.
    fn usurp(&mut self, now: Duration, sleeps: Option<Duration>) -> bool {
        if self.hosts.iter().all(|host| host.acting.is_some()) {
            return false;
        }
        let Some(acting) = self.current_acting() else { return false };
        // Who has slept and then goes back to a savepoint goes back on purpose.
        if matches!(acting.restore, RestoreFrom::Savepoint(_)) && !look(&acting.window).runs {
            return false;
        }
        if let Some(pause) = sleeps {
            acting.fate.freeze(pause);
        }
        let number = acting.number + 1;
        let seed = self.dice.bits();
        self.current = None;
        self.next = Birth { number, restore: RestoreFrom::Newest, seed, ..self.next.clone() };
        self.start_at = Some(now);
        true
    }

    /// From now on nothing goes wrong.
    fn calm_down(&mut self, now: Duration) {
        if self.calm_since.is_some() || now < self.swarm.calm.max(self.away_until) {
            return;
        }
        self.note(format_args!("calm"));
        self.calm_since = Some(now);
        self.ground.store.set_weather(Weather::fair());
        self.ground.ledger.set_manners(Manners::good());
        self.hosts.iter().filter_map(|host| host.acting.as_ref()).for_each(|acting| acting.fate.be_kind());
    }

    /// Whether all is said: the job is over and nobody is left, or something hangs.
    fn is_over(&mut self, now: Duration) -> bool {
        if self.violations.len() > 3 {
            return true;
        }
        if let Some(finished) = self.finished_at {
            if self.hosts.iter().all(|host| host.acting.is_none()) {
                return true;
            }
            if now > finished.max(self.calm_since.unwrap_or(now)) + GONE_WITHIN {
                self.violations.push("the job is over, and a process goes on with it".to_owned());
                return true;
            }
            return false;
        }
        let Some(calm) = self.calm_since else { return false };
        if now > calm + EPOCH_WITHIN && self.epoch_at < calm {
            self.violations.push(format!("no epoch is complete {EPOCH_WITHIN:?} after the last fault"));
            return true;
        }
        let inputs = self.swarm.inputs.values().map(|input| input.ends()).max().unwrap_or_default();
        if now > calm.max(inputs) + END_WITHIN {
            self.violations.push(format!("the job is not over {END_WITHIN:?} after its input"));
            return true;
        }
        false
    }
}

/// Whether a job may fail like this when what surrounds it fails.
fn may_happen(code: Code) -> bool {
    matches!(code, Code::StoreFailed | Code::Fenced | Code::JobInUse | Code::Io)
}
