//! What time is it, who is there, what is random?
//!
//! Everything that a test must be able to replace: clocks and timers,
//! randomness, threads, the network. A [`World`] is a value that is passed in;
//! there are no globals, so one process can hold several. This crate knows
//! nothing else of ours.
//!
//! [`World::real`] is the product's. A simulated one implements the same four
//! traits on one thread.

mod clock;
mod executors;
mod network;
mod random;

use std::fmt;
use std::sync::Arc;

pub use clock::{Clock, SystemClock};
pub use executors::{Executors, OneThread, Task, ThreadPerCore};
pub use network::{Listener, Network, Stream, TcpNetwork};
pub use random::{Random, SeededRandom};

/// All that lies outside of our own code. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// Clocks and timers.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Where futures run.
    pub executors: Arc<dyn Executors>,
    /// Connections to other processes.
    pub network: Arc<dyn Network>,
}

impl World {
    /// The world as it is: the system's clock, one thread per core for data
    /// (`data_threads` of them, or as many as there are cores), control on the
    /// calling runtime.
    ///
    /// # Errors
    /// If a thread cannot be started.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn real(data_threads: Option<usize>) -> std::io::Result<Self> {
        Ok(Self::with_executors(Arc::new(ThreadPerCore::start(data_threads)?)))
    }

    /// The system's clock and network, with everything on the calling runtime
    /// and randomness by seed: for tests.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn single_threaded(seed: u64) -> Self {
        let random = Arc::new(SeededRandom::new(seed));
        Self { random, ..Self::with_executors(Arc::new(OneThread::current())) }
    }

    fn with_executors(executors: Arc<dyn Executors>) -> Self {
        Self {
            clock: Arc::new(SystemClock::start()),
            random: Arc::new(SeededRandom::from_system()),
            executors,
            network: Arc::new(TcpNetwork),
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("data_threads", &self.executors.data_threads()).finish_non_exhaustive()
    }
}
