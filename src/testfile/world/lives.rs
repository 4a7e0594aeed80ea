//! A job that is killed, restored and rescaled until its input ends.
//!
//! Each life has a runtime of its own, of one thread whose clock stands still
//! unless nothing else can happen. The sources stand before a gate. So a seed
//! decides how many rows have come when an epoch begins, when a rescale begins,
//! and between which two messages the life ends: a kill drops the runtime with
//! all that is in it, or aborts the job and lets what works in the background
//! come to its end.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use thalweg_cluster::{Durable, How, Job, JobHandle, JobOutcome, Keeping, Prepared, RestoreFrom};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_state::JobId;
use thalweg_world::{Random, SeededRandom, World as Outside};

use super::store::TestStore;
use super::{Deeds, Fate, Outcome, RUN_MAX, World, all_published, broken, check_identities, hung};
use crate::engine::{self, ForeignFunctions, StdoutTarget};
use crate::settings::Settings;
use crate::testfile::connector::{Feed, Gate, Outputs, TestConnector};

/// The most steps between the acts of one life.
const ACTS_MAX: u64 = 4;
/// How often a job is rescaled.
const RESCALES: u32 = 6;
/// The most futures that are polled before a life goes on with its next act.
const POLLS_MAX: u64 = 120;
/// The most futures that are polled until an epoch is settled.
const SETTLING_POLLS_MAX: u64 = 2_000;
/// How long rows go on flowing, a few at a time, while a rescale is under way.
const FLOWING_MAX: u64 = 400;
/// The numbers of subtasks that a job has, one after the other.
const SIZES: [u32; 7] = [1, 3, 2, 4, 1, 2, 3];

/// What outlives a kill.
struct Lives<'a> {
    world: World,
    script: &'a str,
    functions: &'a ForeignFunctions,
    feeds: BTreeMap<String, Feed>,
    settings: &'a Settings,
    random: SeededRandom,
    store: Arc<TestStore>,
    outputs: Outputs,
    /// Whether every subtask writes by itself.
    spread: bool,
    late: u64,
    refused: u64,
    deeds: Deeds,
}

/// How a life ended.
enum End {
    Killed,
    Over,
}

/// See [`super::run`].
pub(super) fn run(
    world: World,
    script: &str,
    functions: &ForeignFunctions,
    feeds: BTreeMap<String, Feed>,
    settings: &Settings,
    seed: u64,
) -> Result<Outcome, Vec<Error>> {
    let random = SeededRandom::new(seed);
    let spread = random.next_u64().is_multiple_of(2);
    let mut lives = Lives {
        world,
        script,
        functions,
        feeds,
        settings,
        random,
        store: Arc::default(),
        outputs: Outputs::default(),
        spread,
        late: 0,
        refused: 0,
        deeds: Deeds::default(),
    };
    let kills = match world.fate {
        Fate::Undisturbed | Fate::Rescaled => 0,
        Fate::Killed | Fate::Elsewhere => 1 + lives.below(world.kills_max),
    };
    for life in 0..=kills {
        // Time is paused, so whoever waits for it waits only as long as anything else happens.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .event_interval(1)
            .build()
            .map_err(|why| broken(&why))?;
        let end = runtime.block_on(lives.live(life, kills));
        drop(runtime);
        match end? {
            End::Killed => lives.deeds.kills += 1,
            End::Over => break,
        }
    }
    lives.deeds.refused_epochs = lives.store.refusals();
    let Lives { outputs, late, refused, deeds, .. } = lives;
    Ok(Outcome { outputs: all_published(&outputs)?, late, refused, deeds })
}

impl Lives<'_> {
    fn below(&self, bound: u64) -> u64 {
        self.random.next_u64() % bound.max(1)
    }

    /// One life, from planning to its end or its kill.
    async fn live(&mut self, life: u64, kills: u64) -> Result<End, Vec<Error>> {
        let gate = match self.world.fate {
            Fate::Rescaled => Gate::that_holds_ends(),
            // Else the job might be over before its first kill.
            Fate::Killed | Fate::Elsewhere if life == 0 => Gate::that_holds_ends(),
            Fate::Undisturbed | Fate::Killed | Fate::Elsewhere => Gate::default(),
        };
        let parallelism = match self.world.fate {
            Fate::Elsewhere => SIZES[life as usize % SIZES.len()],
            Fate::Undisturbed | Fate::Killed | Fate::Rescaled => self.world.parallelism,
        };
        let outside = Outside::single_threaded(self.random.next_u64());
        let prepared = self.prepare(&gate, parallelism, &outside).await?;
        self.run_on(prepared, &gate, life, kills).await.map_err(|error| vec![error])
    }

    /// Plans the script again, and finds out where it goes on.
    async fn prepare(
        &self,
        gate: &Gate,
        parallelism: u32,
        outside: &Outside,
    ) -> Result<Prepared, Vec<Error>> {
        let connectors = engine::connectors(self.settings, &StdoutTarget::process());
        let feeds = self.feeds.clone();
        let connectors = TestConnector::wrap_all_gated(connectors, feeds, &self.outputs, gate, self.spread);
        let plan = engine::plan_with_functions(self.script, connectors, self.functions, self.settings)?;
        let seed = self.world.shuffled.then(|| self.random.next_u64());
        let job = Job {
            id: JobId::new("test"),
            script: self.script.to_owned(),
            keeping: Keeping::Durable(Durable {
                store: Arc::clone(&self.store) as _,
                retain: 1 + self.below(3) as usize,
                restore: RestoreFrom::Newest,
                allow_dropped_state: false,
            }),
            ..engine::job(plan.graph, plan.functions, parallelism, self.settings, seed)
        };
        job.prepare(outside).await.map_err(|error| vec![error])
    }

    async fn run_on(&mut self, prepared: Prepared, gate: &Gate, life: u64, kills: u64) -> Result<End> {
        if let Some(recovery) = prepared.recovery().filter(|recovery| recovery.restored.is_some()) {
            self.deeds.restores += 1;
            if !recovery.inheritance.new.is_empty() || !recovery.inheritance.dropped.is_empty() {
                let what = "the same script is another graph when it is planned again";
                return Err(Error::internal(what).because(format!("{:?}", recovery.inheritance)));
            }
            if recovery.finished {
                prepared.conclude().await?;
                return Ok(End::Over);
            }
        }
        let job = prepared.start().await?;
        self.deeds.parallelism.push(job.parallelism());
        let share = 1 + gate.there() / (kills + 1);
        match self.world.fate {
            Fate::Undisturbed => {}
            Fate::Killed | Fate::Elsewhere if life < kills => {
                self.live_a_while(&job, gate, life, share).await?;
                if self.below(3) == 0 {
                    self.settle(&job, gate).await;
                    self.count(&job);
                    return Ok(End::Killed);
                }
                return self.kill(&job).await;
            }
            Fate::Killed | Fate::Elsewhere => self.act(&job, gate, share).await?,
            Fate::Rescaled => self.rescale_often(&job, gate).await?,
        }
        gate.open();
        let outcome = tokio::time::timeout(RUN_MAX, job.wait()).await.map_err(|_| hung())??;
        self.over(&job, &outcome)
    }

    /// The job came to its end by itself.
    fn over(&mut self, job: &JobHandle, outcome: &JobOutcome) -> Result<End> {
        self.count(job);
        if outcome.how != How::Ended {
            return Err(Error::internal("the job stopped though its input was not read to the end"));
        }
        check_identities(&job.counters())?;
        Ok(End::Over)
    }

    fn count(&mut self, job: &JobHandle) {
        for reading in job.counters() {
            self.late += reading.counters.late.get();
            self.refused += reading.counters.refused.get() + reading.counters.dropped.get();
        }
        self.deeds.add_life(job);
    }

    /// Ends a life between two messages. What runs in the background ends there too, or comes to its end first.
    async fn kill(&mut self, job: &JobHandle) -> Result<End> {
        self.count(job);
        if self.below(2) == 0 {
            return Ok(End::Killed);
        }
        job.abort();
        match tokio::time::timeout(RUN_MAX, job.wait()).await.map_err(|_| hung())? {
            Err(error) if error.code() == Code::Aborted => Ok(End::Killed),
            Err(error) => Err(error),
            // It was over before it heard of it.
            Ok(_) => Ok(End::Over),
        }
    }

    /// What comes before a kill. The first life leaves a checkpoint; some leave nothing but the end to be done.
    async fn live_a_while(&mut self, job: &JobHandle, gate: &Gate, life: u64, share: u64) -> Result<()> {
        if life == 0 {
            gate.let_through(1 + self.below(share));
            self.pass().await;
            checkpoint(job).await?;
        }
        self.act(job, gate, share).await?;
        match self.below(4) {
            0 if life > 0 => gate.open(),
            1 if self.world.fate == Fate::Elsewhere => {
                let to = SIZES[self.below(SIZES.len() as u64) as usize];
                let polls = self.below(2 * POLLS_MAX);
                // The kill may come before the answer.
                self.flow_during(job, gate, to, share, polls).await;
            }
            _ => {}
        }
        self.pass().await;
        Ok(())
    }

    /// Lets rows through, with epochs in between.
    async fn act(&mut self, job: &JobHandle, gate: &Gate, share: u64) -> Result<()> {
        for _ in 0..=self.below(ACTS_MAX) {
            gate.let_through(self.below(share));
            if self.below(4) == 0 {
                self.store.refuse_a_table();
            }
            match self.below(4) {
                0 => rest().await,
                1 => self.pass().await,
                2 => {
                    // The epoch begins, and whatever follows comes while it is under way.
                    let _ = poll!(pin!(job.checkpoint(None)));
                    self.pass().await;
                }
                _ => checkpoint(job).await?,
            }
        }
        Ok(())
    }

    /// Rescales, with rows and epochs before, during and after.
    async fn rescale_often(&mut self, job: &JobHandle, gate: &Gate) -> Result<()> {
        let share = 1 + gate.there() / u64::from(RESCALES);
        let first = self.below(SIZES.len() as u64) as usize;
        for size in SIZES.into_iter().cycle().skip(first).filter(|&size| size > 1).take(RESCALES as usize) {
            // Every second one back to fewer.
            let to = if size == job.parallelism() { 1 } else { size };
            self.act(job, gate, share / 2 + 1).await?;
            let answer = match self.flow_during(job, gate, to, share / 2 + 1, FLOWING_MAX).await {
                Some(answer) => answer,
                None => return Err(Error::internal("a rescale does not end")),
            };
            match answer {
                Ok(()) => {
                    self.deeds.rescales += 1;
                    self.deeds.parallelism.push(job.parallelism());
                }
                // Where a source that no gate holds is over, or the job has failed: its end will tell.
                Err(error) if error.code() == Code::Conflict => self.deeds.refused_rescales += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Rescales while up to `steps` steps are let through, one now and then. None, if there is no answer
    /// when everything was polled so often, and, at [`FLOWING_MAX`], when all has come to rest.
    async fn flow_during(
        &self,
        job: &JobHandle,
        gate: &Gate,
        to: u32,
        mut steps: u64,
        polls: u64,
    ) -> Option<Result<()>> {
        let mut asked = pin!(job.rescale(to));
        for _ in 0..polls {
            if let Poll::Ready(answer) = poll!(asked.as_mut()) {
                return Some(answer);
            }
            if steps > 0 && self.below(4) == 0 {
                steps -= 1;
                gate.let_through(1);
            }
            tokio::task::yield_now().await;
        }
        match polls {
            FLOWING_MAX => tokio::time::timeout(RUN_MAX, asked).await.ok(),
            _ => None,
        }
    }

    /// Comes back where the store has settled an epoch and nobody has published it yet.
    async fn settle(&self, job: &JobHandle, gate: &Gate) {
        gate.let_through(1);
        let before = self.store.settlements();
        let _ = poll!(pin!(job.checkpoint(None)));
        for _ in 0..SETTLING_POLLS_MAX {
            if self.store.settlements() > before {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Lets a seeded number of futures be polled.
    async fn pass(&self) {
        for _ in 0..self.below(POLLS_MAX) {
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until nothing can happen without another row.
async fn rest() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Makes a checkpoint, if the job is not over before that.
async fn checkpoint(job: &JobHandle) -> Result<()> {
    match tokio::time::timeout(RUN_MAX, job.checkpoint(None)).await {
        Err(_) => Err(Error::internal(format!("a checkpoint was not made within {RUN_MAX:?}"))),
        // How it ended will be asked.
        Ok(_) => Ok(()),
    }
}
