//! The product's own jobs, in a world where everything goes wrong, by seed.
//!
//! A simulation is one job on two hosts over one store, on one thread and in
//! simulated time. Hosts are killed between any two steps, freeze, are
//! succeeded while they live, and are asked to rescale and stop; the store
//! refuses, loses answers and applies what it was told long ago. When it has
//! become calm, the job must come to its end, and everything must be right: each
//! row once, the result that of the whole input at once, every checkpoint
//! restorable. The same seed is the same simulation, to the last event.
//!
//! ```text
//!   seed ─► swarm ─► stage: hosts, blows ─► ledger, store ─► oracle
//! ```

mod connector;
mod fate;
mod ground;
mod input;
mod ledger;
mod life;
mod oracle;
mod replay;
mod settlements;
mod stage;
mod swarm;
mod tally;
mod trace;
mod work;

use std::sync::{Arc, Mutex, Once, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;
use thalweg_testkit::Dice;

pub use stage::Tallies;

/// What to simulate.
#[derive(Clone, Debug, Default)]
pub struct Simulation {
    /// Decides over everything.
    pub seed: u64,
    /// The name of a bug to plant.
    pub planted: Option<String>,
    /// What is computed, if it is not drawn: `tumble`, say.
    pub work: Option<String>,
    /// Whether nothing goes wrong but that the store is away for five minutes.
    pub store_away: bool,
    /// Whether events are written out as they happen.
    pub loud: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is wrong; nothing, if all is right.
    pub violations: Vec<String>,
    /// One number for all that happened, in order.
    pub hash: u64,
    /// How often what happened.
    pub tallies: Tallies,
    /// What was drawn, for people.
    pub drawn: String,
    /// The last events.
    pub lines: Vec<String>,
}

/// Randomness and the clock are the process's, so one simulation runs at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static CHANCE: Once = Once::new();
static WARM_UP: Once = Once::new();

impl Simulation {
    /// The simulation of a seed.
    pub fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Runs it, on a thread of its own: what is random by thread begins anew.
    pub fn run(&self) -> Outcome {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let simulation = self.clone();
        WARM_UP.call_once(|| {
            // What a process draws once and for all is drawn here.
            let first = std::thread::spawn(|| Simulation::of(0).run_here().hash);
            // Only the first simulation of a process could notice if this failed.
            let _ = first.join();
        });
        let thread = std::thread::spawn(move || simulation.run_here());
        thread.join().unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Outcome {
                violations: vec![format!("panic: {}", said.unwrap_or_default())],
                hash: 0,
                tallies: Tallies::new(),
                drawn: String::new(),
                lines: Vec::new(),
            }
        })
    }

    fn run_here(&self) -> Outcome {
        thalweg_state::plant(self.planted.as_deref());
        CHANCE.call_once(|| mad_turmoil::rand::set_rng(StdRng::seed_from_u64(self.seed)));
        *mad_turmoil::rand::get_rng() = StdRng::seed_from_u64(self.seed);
        begin_at_a_round_task_number();
        let _time = mad_turmoil::time::SimClocksGuard::init();
        let mut dice = Dice::new(self.seed);
        let swarm = swarm::Swarm::draw(&mut dice, self.work.as_deref());
        let swarm = Arc::new(if self.store_away { swarm.with_store_away(&mut dice) } else { swarm });
        let ground = Arc::new(ground::Ground::new(dice.bits(), self.loud));
        let mut stage = stage::Stage::new(Arc::clone(&ground), Arc::clone(&swarm), dice);
        stage.play();
        self.judge(&ground, &swarm, stage)
    }

    fn judge(&self, ground: &ground::Ground, swarm: &swarm::Swarm, stage: stage::Stage) -> Outcome {
        let stage::Stage { mut violations, mut tallies, kept, .. } = stage;
        let finished = violations.is_empty();
        violations.extend(ground.ledger.violations());
        violations
            .extend(ground.settlements.lock().unwrap_or_else(PoisonError::into_inner).violations().to_vec());
        violations.extend(oracle::judge_checkpoints(ground, (swarm.retain, &kept), finished));
        if finished {
            violations.extend(oracle::judge_rows(swarm, &ground.ledger.committed()));
        }
        for (what, times) in ground.store.counts() {
            *tallies.entry(format!("store: {what}")).or_default() += times;
        }
        Outcome {
            violations,
            hash: ground.trace.hash(),
            tallies,
            drawn: swarm.to_string(),
            lines: ground.trace.lines(),
        }
    }
}

/// Seconds since some moment, by a clock that is not simulated: in a process that simulates, the libraries' clocks
/// stand still.
///
/// # Panics
/// On a system that does not say how long it has been up.
pub fn real_seconds() -> f64 {
    let uptime = std::fs::read_to_string("/proc/uptime").expect("the system says how long it has been up");
    let seconds = uptime.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    seconds.expect("the first word is a number of seconds")
}

/// tokio keeps tasks in a few lists by their number, and drops what a killed host had list by list.
/// Numbers go on from one simulation of a process to the next, so each begins where the lists do.
fn begin_at_a_round_task_number() {
    const LISTS_MAX: u64 = 1 << 10;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("nothing is asked for");
    runtime.block_on(async {
        let number =
            || tokio::spawn(async {}).id().to_string().parse::<u64>().expect("a task's id is a number");
        while !(number() + 1).is_multiple_of(LISTS_MAX) {}
    });
}
