//! Says a thing that happens often only now and then.

use std::time::Duration;

use tokio::time::Instant;

/// The same thing is said at most so often.
const NOTICE_EVERY: Duration = Duration::from_secs(10);

/// How often something happened since it was last said.
#[derive(Debug, Default)]
pub(super) struct Notice {
    last: Option<Instant>,
    unsaid: u64,
}

impl Notice {
    /// It happened again. Gives how often it did since it was last said, if it is to be said now.
    pub(super) fn again(&mut self) -> Option<u64> {
        self.unsaid += 1;
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < NOTICE_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}
