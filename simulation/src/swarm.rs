//! What one simulation is like: everything that is drawn before it begins.
//!
//! A swarm: each seed switches some kinds of faults on and others off, since
//! faults that always come together hide each other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thalweg_runtime::RuntimeSettings;
use thalweg_state::KeySpace;
use thalweg_testkit::Dice;
use thalweg_testkit::faulty_store::Weather;

use crate::fate::Slowness;
use crate::input::{Input, Shape};
use crate::ledger::Manners;
use crate::work::{Inputs, WORKS, Work};

/// A kind of fault, or of wish, that comes at a random moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blow {
    /// The process dies in the middle of anything.
    Kill,
    /// The process sleeps for a while, and goes on.
    Freeze,
    /// Another process takes over, and the old one does not know.
    Usurp,
    /// The same, while the old one sleeps.
    UsurpSleeper,
    /// The same, while the old one sleeps on the verge of settling an epoch.
    UsurpSettler,
    /// Another number of subtasks.
    Rescale,
    /// The job is stopped, and started again.
    Stop,
    /// The job is stopped with a savepoint, and started from it.
    Savepoint,
    /// A checkpoint is asked for, and kept under a name.
    Keep,
    /// The store is away for some seconds.
    StoreAway,
    /// The store is away for five minutes.
    StoreAwayLong,
}

const BLOWS: [Blow; 9] = [
    Blow::Kill,
    Blow::Freeze,
    Blow::Usurp,
    Blow::UsurpSleeper,
    Blow::Rescale,
    Blow::Stop,
    Blow::Savepoint,
    Blow::Keep,
    Blow::StoreAway,
];

/// What is drawn before a simulation begins.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) work: Work,
    pub(crate) inputs: Inputs,
    pub(crate) parallelism: u32,
    pub(crate) settings: RuntimeSettings,
    pub(crate) retain: usize,
    pub(crate) weather: Weather,
    pub(crate) manners: Manners,
    pub(crate) slowness: Slowness,
    pub(crate) blows: Vec<Blow>,
    /// The mean time between two of them.
    pub(crate) gap: Duration,
    /// From then on nothing goes wrong any more.
    pub(crate) calm: Duration,
    pub(crate) tick: Duration,
}

/// The most subtasks of a node.
pub(crate) const PARALLELISM_MAX: u64 = 4;

impl Swarm {
    /// What follows from a seed.
    pub(crate) fn draw(dice: &mut Dice, work: Option<&str>) -> Self {
        let ms = Duration::from_millis;
        let drawn = *dice.pick(&WORKS);
        let is_it = |known: &Work| work.is_some_and(|name| format!("{known:?}").eq_ignore_ascii_case(name));
        let work = WORKS.into_iter().find(is_it).unwrap_or(drawn);
        let lasts = ms(dice.number(4_000..20_000));
        let inputs = draw_inputs(work, lasts, dice);
        let mut blows: Vec<Blow> = BLOWS.into_iter().filter(|_| dice.chance(0.4)).collect();
        if dice.chance(0.4) {
            // Again and again, so that one begins in the middle of whatever there is.
            blows.extend([Blow::Rescale; 4]);
        }
        if dice.chance(0.03) {
            blows.push(Blow::StoreAwayLong);
        }
        if blows.contains(&Blow::UsurpSleeper) {
            blows.push(Blow::UsurpSettler);
        }
        Self {
            work,
            inputs,
            parallelism: dice.number(1..PARALLELISM_MAX + 1) as u32,
            settings: draw_settings(work, dice),
            retain: dice.number(1..4) as usize,
            weather: draw_weather(dice),
            manners: draw_manners(dice),
            slowness: Slowness {
                any: (if dice.chance(0.6) { 0.05 } else { 0.0 }, ms(dice.number(1..40))),
                reading: ms(*dice.pick(&[0, 100, 400, 800])),
            },
            blows,
            gap: ms(dice.number(200..3_000)),
            calm: lasts + ms(dice.number(0..3_000)),
            tick: ms(*dice.pick(&[5, 10, 20])),
        }
    }

    /// Nothing goes wrong but that the store is away for five minutes, and rows go on coming.
    pub(crate) fn with_store_away(self, dice: &mut Dice) -> Self {
        let seconds = Duration::from_secs;
        let shape = Shape {
            splits: 4,
            rows: 300,
            keys: 10,
            lasts: seconds(360),
            burst_every: Duration::ZERO,
            read_rows_max: 16,
            waits: true,
            stragglers: 0.0,
        };
        let tables = self.work.tables().iter();
        Self {
            inputs: tables.map(|&table| (table.to_owned(), Arc::new(Input::draw(&shape, dice)))).collect(),
            weather: Weather::fair(),
            manners: Manners::good(),
            slowness: Slowness::none(),
            blows: vec![Blow::StoreAwayLong],
            gap: seconds(8),
            calm: seconds(30),
            ..self
        }
    }
}

fn draw_inputs(work: Work, lasts: Duration, dice: &mut Dice) -> Inputs {
    let ms = Duration::from_millis;
    let draw = |&table: &&str| {
        let shape = Shape {
            splits: dice.number(1..9),
            rows: dice.number(15..120),
            keys: dice.number(1..25),
            lasts,
            burst_every: *dice.pick(&[Duration::ZERO, ms(1_000), ms(4_000), lasts]),
            read_rows_max: *dice.pick(&[1, 1, 2, 1_024]),
            waits: dice.chance(0.7),
            stragglers: if dice.chance(0.5) { 0.05 } else { 0.0 },
        };
        (table.to_owned(), Arc::new(Input::draw(&shape, dice)))
    };
    work.tables().iter().map(draw).collect()
}

fn draw_settings(work: Work, dice: &mut Dice) -> RuntimeSettings {
    let ms = Duration::from_millis;
    RuntimeSettings {
        batch_rows_max: *dice.pick(&[1, 3, 16, 64, 256, 1024]),
        queue_rows_max: *dice.pick(&[1, 8, 64]),
        queue_bytes_max: 1 << 20,
        queue_time_max: ms(*dice.pick(&[1, 100])),
        // A split that is left out is behind when it comes back: then the result is a matter of luck.
        idle_timeout: if work.has_windows() {
            Duration::from_secs(3_600)
        } else {
            ms(dice.number(300..3_000))
        },
        checkpoint_interval: ms(dice.number(50..700)),
        watchdog_interval: Duration::from_secs(10),
        key_space: KeySpace::new(*dice.pick(&[8, 32])),
        shuffle_seed: dice.chance(0.7).then(|| dice.bits()),
    }
}

fn draw_weather(dice: &mut Dice) -> Weather {
    let ms = Duration::from_millis;
    let rough = *dice.pick(&[0.0, 0.01, 0.05]);
    let mut share = |most: f64| if dice.chance(0.6) { rough * most } else { 0.0 };
    Weather {
        refuse: share(1.0),
        lose_answer: share(1.0),
        land_late: share(1.0),
        tell_exists: share(1.0),
        stall: share(0.5),
        latency: ms(1)..ms(*dice.pick(&[2, 10, 60])),
        stalled: ms(200)..ms(4_000),
    }
}

fn draw_manners(dice: &mut Dice) -> Manners {
    let ms = Duration::from_millis;
    Manners {
        slow: ms(*dice.pick(&[0, 3, 15, 60])),
        commit_fails: if dice.chance(0.3) { 0.03 } else { 0.0 },
        write_fails: if dice.chance(0.15) { 0.002 } else { 0.0 },
        refuses_writes: dice.chance(0.5),
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            work, parallelism, settings, retain, weather, manners, slowness, blows, gap, calm, ..
        } = self;
        writeln!(
            f,
            "{work:?}, {parallelism} subtasks, {retain} kept, blows {blows:?} each {gap:?} until {calm:?}"
        )?;
        for (table, input) in &self.inputs {
            let lengths: Vec<usize> = input.splits.iter().map(Vec::len).collect();
            writeln!(f, "table {table}: splits of {lengths:?} rows")?;
        }
        writeln!(f, "{settings:?}\n{weather:?}\n{manners:?}, {slowness:?}")
    }
}
