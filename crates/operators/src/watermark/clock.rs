//! The watermark of a stream that is read by splits, whoever tells the times of its rows.

use thalweg_dataflow::source::SplitEvent;
use thalweg_dataflow::{Context, EventTime, Result, Watermark};
use thalweg_state::{KeySpace, Restored, Snapshot, SplitId};

use super::snapshot;
use super::split::Split;
use super::splits::Splits;

/// Keeps a watermark per split, and says what they come to together.
///
/// An operator in a source's chain holds one: it raises the watermark of a
/// split by that split's rows, hands on what it learns of splits, and lets the
/// clock [`say`](Self::say) what is new, behind the rows that made it so. What
/// it keeps is part of the operator's snapshot.
pub struct SplitClock {
    splits: Splits,
    key_space: KeySpace,
    /// Whether the last event assigned a split.
    assigning: bool,
}

impl Default for SplitClock {
    fn default() -> Self {
        Self { splits: Splits::new(), key_space: KeySpace::default(), assigning: false }
    }
}

impl SplitClock {
    /// Takes back what an earlier life knew of splits.
    pub fn open(&mut self, restored: &mut Restored, key_space: KeySpace) -> Result<()> {
        self.key_space = key_space;
        self.splits.remember(snapshot::thaw(restored.take(snapshot::TABLE))?);
        Ok(())
    }

    /// The watermark of a split whose rows are here: it counts, whether it was idle or not.
    pub fn watermark(&mut self, id: &SplitId) -> Watermark {
        Watermark(EventTime(self.splits.active(id).watermark))
    }

    /// No row of the split before this time will come. Never lowers its watermark.
    pub fn raise(&mut self, id: &SplitId, time: EventTime) {
        self.splits.active(id).raise(time.0);
    }

    /// Learns what happened to a split.
    pub fn on_split(&mut self, id: &SplitId, event: SplitEvent) {
        match event {
            SplitEvent::Assigned => {
                self.splits.assign(id);
                self.assigning = true;
            }
            SplitEvent::Watermark(time) => self.raise(id, time),
            SplitEvent::Idle => self.splits.rest(id),
            SplitEvent::End => self.splits.end(id),
        }
    }

    /// Tells the stream what the splits together have to say, if it is new. When a split has just been
    /// assigned nothing is: one that is further behind may be assigned next.
    pub fn say(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.assigning) {
            return;
        }
        let news = self.splits.news();
        if let Some(watermark) = news.watermark {
            cx.emit_watermark(watermark);
        }
        if news.idle {
            cx.emit_idle();
        }
    }

    /// What is known of the splits, as durable state.
    pub fn freeze(&self) -> Result<Snapshot> {
        snapshot::freeze(self.splits.iter(), self.key_space)
    }

    /// Learns what other clocks know of splits. It is asked for when such a split is assigned here.
    pub fn put(&mut self, given: &Snapshot) -> Result<()> {
        self.splits.remember(snapshot::thaw(given.batches_of(snapshot::TABLE).cloned().collect())?);
        Ok(())
    }

    /// The bytes that are held.
    pub fn bytes(&self) -> usize {
        self.splits.bytes()
    }

    pub(super) fn active(&mut self, id: &SplitId) -> &mut Split {
        self.splits.active(id)
    }
}
