//! Jobs over rows that a measurement makes, kept in a store or nowhere.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use thalweg::engine::{self, StdoutTarget};
use thalweg::settings::Settings;
use thalweg_cluster::{Durable, Job, JobHandle, Keeping, RestoreFrom};
use thalweg_dataflow::{Functions, Graph};
use thalweg_state::JobId;
use thalweg_state::store::Store;
use thalweg_world::World;
use tokio::runtime::Runtime;

use super::connector::{Bench, Look, Rows};

/// The name of every job.
pub(super) const JOB: &str = "bench";
/// Longer than any measurement.
pub(super) const NEVER: Duration = Duration::from_secs(1 << 20);

/// A script over tables of measurements, planned.
pub(super) struct Planned {
    pub(super) graph: Graph,
    settings: Settings,
}

impl Planned {
    pub(super) fn new(script: &str, rows: Rows, look: Look, interval: Duration) -> Result<Self> {
        let settings = Settings { checkpoint_interval: interval, ..Settings::default() };
        let mut connectors = engine::connectors(&settings, &StdoutTarget::process());
        connectors.push(Arc::new(Bench { rows, look }));
        let plan = engine::plan(script, connectors, &settings).map_err(|errors| anyhow!("{errors:?}"))?;
        Ok(Self { graph: plan.graph, settings })
    }

    fn job(&self, parallelism: u32, store: Option<&Arc<dyn Store>>) -> Job {
        let job = engine::job(self.graph.clone(), Functions::default(), parallelism, &self.settings, None);
        let keeping = match store {
            None => Keeping::Nowhere,
            Some(store) => Keeping::Durable(Durable {
                store: Arc::clone(store),
                retain: 3,
                restore: RestoreFrom::Newest,
                allow_dropped_state: false,
            }),
        };
        Job { id: JobId::new(JOB), keeping, ..job }
    }

    /// Starts the job where its store says that it goes on.
    pub(super) async fn start(
        &self,
        parallelism: u32,
        store: Option<&Arc<dyn Store>>,
        world: &World,
    ) -> Result<JobHandle> {
        Ok(self.job(parallelism, store).prepare(world).await?.start().await?)
    }

    /// Runs the job on one data thread until its input ends; answers how many epochs were complete.
    pub(super) fn run(&self, store: Option<&Arc<dyn Store>>) -> Result<u64> {
        control()?.block_on(async {
            let world = World::real(Some(1))?;
            let job = self.start(1, store, &world).await?;
            job.wait().await?;
            Ok(job.progress().epochs_complete)
        })
    }
}

/// Where a job is controlled from.
pub(super) fn control() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
