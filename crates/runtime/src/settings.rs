//! The named bounds and intervals of a job.

use std::time::Duration;

use thalweg_state::KeySpace;

/// How a job runs in this process. The defaults are those of the product.
#[derive(Clone, Debug)]
pub struct RuntimeSettings {
    /// The most rows in one batch, and the most that a subtask takes at once.
    pub batch_rows_max: usize,
    /// The most rows that wait in one channel. A single batch may always wait alone.
    pub queue_rows_max: usize,
    /// The most bytes that wait in one channel. A single batch may always wait alone.
    pub queue_bytes_max: usize,
    /// For how long rows are to wait in one channel, as far as their reader's pace tells, and to be worked on
    /// behind a source before it is listened to again.
    pub queue_time_max: Duration,
    /// A split that gave nothing for this long holds no watermark back.
    pub idle_timeout: Duration,
    /// From the beginning of one epoch to the beginning of the next, unless that one takes longer.
    pub checkpoint_interval: Duration,
    /// How long nothing may move, with rows waiting, before the log says who waits for whom.
    pub watchdog_interval: Duration,
    /// The job's key space.
    pub key_space: KeySpace,
    /// For tests: subtasks take from their channels, and make way for each other, in an order drawn from this seed.
    pub shuffle_seed: Option<u64>,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            batch_rows_max: 8192,
            queue_rows_max: 65_536,
            queue_bytes_max: 16 << 20,
            queue_time_max: Duration::from_millis(100),
            idle_timeout: Duration::from_secs(10),
            checkpoint_interval: Duration::from_secs(10),
            watchdog_interval: Duration::from_secs(10),
            key_space: KeySpace::default(),
            shuffle_seed: None,
        }
    }
}
