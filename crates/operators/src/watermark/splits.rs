//! All splits of one subtask: which of them hold the watermark back.
//!
//! ```text
//!  remembered ── assigned, or its first row ──► counts ── silent for the idle timeout ──► idle
//!  (restored,                                    │  ▲                                       │
//!   not here yet)                                │  └── a row or a watermark ◄──────────────┘
//!                                                └── read to its end ──► forgotten
//! ```
//!
//! The runtime judges who is silent; nothing here knows the time. An idle split
//! is raised along with what is said, so when it counts again nothing moves
//! backward. When all are idle, none of them holds back the highest: so it does
//! not matter which of them came to rest first.

use std::collections::BTreeMap;

use thalweg_dataflow::EventTime;
use thalweg_dataflow::time::Watermark;
use thalweg_state::SplitId;

use super::split::Split;

/// What is new of the splits together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    /// The watermark rose to this.
    pub(super) watermark: Option<Watermark>,
    /// From now on all splits are idle.
    pub(super) idle: bool,
}

#[derive(Debug)]
struct Member {
    split: Split,
    /// It holds nothing back.
    idle: bool,
}

pub(super) struct Splits {
    read: BTreeMap<SplitId, Member>,
    remembered: BTreeMap<SplitId, Split>,
    /// The highest watermark given out.
    said: i64,
    /// Whether it was given out that all are idle, and still holds.
    said_idle: bool,
}

impl Splits {
    pub(super) fn new() -> Self {
        let (read, remembered) = (BTreeMap::new(), BTreeMap::new());
        Self { read, remembered, said: Watermark::START.nanos(), said_idle: false }
    }

    /// Keeps the state of splits that may be read here.
    pub(super) fn remember(&mut self, splits: impl IntoIterator<Item = (SplitId, Split)>) {
        self.remembered.extend(splits);
    }

    /// The split will be read here, and holds the watermark back from now on. It may be behind what was
    /// said: who reads this stream was told that what is said from now on may be lower.
    pub(super) fn assign(&mut self, id: &SplitId) {
        let watermark = self.member(id).split.watermark;
        if watermark < self.said {
            (self.said, self.said_idle) = (watermark, false);
        }
    }

    /// The split has something to say: it counts, whether it was idle or not.
    pub(super) fn active(&mut self, id: &SplitId) -> &mut Split {
        let member = self.member(id);
        member.idle = false;
        &mut member.split
    }

    /// The split has been silent for too long.
    pub(super) fn rest(&mut self, id: &SplitId) {
        self.member(id).idle = true;
    }

    /// The split was read to its end.
    pub(super) fn end(&mut self, id: &SplitId) {
        self.read.remove(id);
        self.remembered.remove(id);
    }

    fn member(&mut self, id: &SplitId) -> &mut Member {
        if !self.read.contains_key(id) {
            let known = self.remembered.remove(id);
            let split = known.unwrap_or_else(|| Split::starting_at(self.said));
            self.read.insert(id.clone(), Member { split, idle: false });
        }
        self.read.get_mut(id).expect("it was just put there")
    }

    /// The least watermark of those that count; of all idle ones the greatest.
    /// Without splits there is nothing to say.
    pub(super) fn news(&mut self) -> News {
        let counting = self.read.values().filter(|m| !m.idle).map(|m| m.split.watermark).min();
        let all_idle = counting.is_none() && !self.read.is_empty();
        let reached = counting.or_else(|| self.read.values().map(|m| m.split.watermark).max());
        let rose = reached.filter(|&reached| reached > self.said);
        if let Some(rose) = rose {
            self.said = rose;
        }
        for member in self.read.values_mut().filter(|m| m.idle) {
            member.split.raise(self.said);
        }
        let idle = all_idle && !self.said_idle;
        self.said_idle = all_idle;
        News { watermark: rose.map(|time| Watermark(EventTime(time))), idle }
    }

    /// The splits that are read here.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SplitId, &Split)> {
        self.read.iter().map(|(id, member)| (id, &member.split))
    }

    /// The bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        let learnt = self.iter().filter(|(_, split)| split.lateness.is_some()).count();
        self.read.len() * size_of::<(SplitId, Member)>() + learnt * super::lateness::BYTES
    }
}
