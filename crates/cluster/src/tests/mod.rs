//! Whole jobs made of toy pieces.

mod barriers;
mod diamond;
mod faults;
mod jobs;
mod parts;
mod pressure;
mod rescale;
mod time;

use std::sync::Arc;
use std::time::Duration;

use thalweg_testkit::toys::Net;
use thalweg_world::World;

use crate::{Job, JobHandle, RuntimeSettings};

/// Makes jobs of nets of toys.
trait Launch {
    fn job(self, parallelism: u32, settings: RuntimeSettings) -> Job;

    async fn start(self, parallelism: u32, settings: RuntimeSettings, world: &World) -> JobHandle;
}

impl Launch for Net {
    fn job(self, parallelism: u32, settings: RuntimeSettings) -> Job {
        Job { settings, ..Job::new(Arc::new(self.graph()), parallelism) }
    }

    async fn start(self, parallelism: u32, settings: RuntimeSettings, world: &World) -> JobHandle {
        launch(self.job(parallelism, settings), world).await
    }
}

async fn launch(job: Job, world: &World) -> JobHandle {
    job.prepare(world).await.expect("there is nothing to go on from").start().await.expect("it can be built")
}

fn two_threads() -> World {
    World::real(Some(2)).expect("threads can be started")
}

/// Waits until a condition holds, for five seconds at most.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to this: {what}");
}

/// The result of a job that must be over within `seconds`.
async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future).await.expect("the job hangs")
}
