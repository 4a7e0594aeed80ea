//! All splits of one subtask: which of them hold the watermark back.
//!
//! ```text
//!  remembered ── assigned, or its first row ──► active ── nothing to read for the idle timeout ──► idle
//!  (restored,                                    │  ▲                                                │
//!   not here yet)                                │  └── rows: raised to what was said meanwhile ◄────┘
//!                                                └── read to its end ──► forgotten
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_dataflow::time::Watermark;
use thalweg_dataflow::{EventTime, ProcessingTime};
use thalweg_state::SplitId;

use super::nanos;
use super::split::Split;

/// What the splits together have to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Watermark(Watermark),
    Idle,
}

#[derive(Debug)]
enum Activity {
    /// Rows come, or nobody said otherwise.
    Active,
    /// Since then there has been nothing to read.
    Paused(ProcessingTime),
    /// It holds nothing back.
    Idle,
}

pub(super) struct Splits {
    read: BTreeMap<SplitId, (Split, Activity)>,
    remembered: BTreeMap<SplitId, Split>,
    idle_timeout: Option<Duration>,
    /// The highest watermark given out.
    said: i64,
    /// Whether the last thing given out was that all are idle.
    said_idle: bool,
}

impl Splits {
    pub(super) fn new(idle_timeout: Option<Duration>) -> Self {
        let (read, remembered) = (BTreeMap::new(), BTreeMap::new());
        Self { read, remembered, idle_timeout, said: Watermark::START.nanos(), said_idle: false }
    }

    /// Keeps the state of splits that may be read here.
    pub(super) fn remember(&mut self, splits: impl IntoIterator<Item = (SplitId, Split)>) {
        self.remembered.extend(splits);
    }

    /// The split will be read here, and holds the watermark back from now on.
    pub(super) fn assign(&mut self, id: &SplitId) {
        if !self.read.contains_key(id) {
            let known = self.remembered.remove(id);
            let split = known.unwrap_or_else(|| Split::starting_at(self.said));
            self.read.insert(id.clone(), (split, Activity::Active));
        }
    }

    /// The split has something to say. If it was idle, time went on without it.
    pub(super) fn active(&mut self, id: &SplitId) -> &mut Split {
        self.assign(id);
        let (split, activity) = self.read.get_mut(id).expect("the split was just assigned");
        if matches!(activity, Activity::Idle) {
            split.raise(self.said);
        }
        *activity = Activity::Active;
        self.said_idle = false;
        split
    }

    /// The split has nothing to read for now. Gives the time at which it will be idle, if it ever is.
    pub(super) fn pause(&mut self, id: &SplitId, now: ProcessingTime) -> Option<ProcessingTime> {
        let timeout = self.idle_timeout?;
        self.assign(id);
        let (_, activity) = self.read.get_mut(id).expect("the split was just assigned");
        let Activity::Active = activity else { return None };
        *activity = Activity::Paused(now);
        self.find_idle(now);
        Some(ProcessingTime(now.0.saturating_add(nanos(timeout))))
    }

    /// Finds the splits that have been paused for too long.
    pub(super) fn find_idle(&mut self, now: ProcessingTime) {
        let Some(timeout) = self.idle_timeout else { return };
        for (_, activity) in self.read.values_mut() {
            if let Activity::Paused(since) = activity
                && now.0.saturating_sub(since.0) >= nanos(timeout)
            {
                *activity = Activity::Idle;
            }
        }
    }

    /// The split was read to its end.
    pub(super) fn end(&mut self, id: &SplitId) {
        self.read.remove(id);
        self.remembered.remove(id);
    }

    /// What is new to say, if anything is: the least watermark of those that
    /// are not idle, or that all are. Without splits there is nothing to say.
    pub(super) fn say(&mut self) -> Option<Said> {
        let holding = self.read.values().filter(|(_, activity)| !matches!(activity, Activity::Idle));
        match holding.map(|(split, _)| split.watermark).min() {
            Some(least) if least > self.said => {
                self.said = least;
                Some(Said::Watermark(Watermark(EventTime(least))))
            }
            Some(_) => None,
            None if self.read.is_empty() || self.said_idle => None,
            None => {
                self.said_idle = true;
                Some(Said::Idle)
            }
        }
    }

    /// The splits that are read here.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SplitId, &Split)> {
        self.read.iter().map(|(id, (split, _))| (id, split))
    }

    /// Forgets the splits that `goes` picks, and gives them out.
    pub(super) fn take(&mut self, goes: impl Fn(&SplitId) -> bool) -> Vec<(SplitId, Split)> {
        let read = self.read.extract_if(.., |id, _| goes(id)).map(|(id, (split, _))| (id, split));
        let mut taken: Vec<_> = read.collect();
        taken.extend(self.remembered.extract_if(.., |id, _| goes(id)));
        taken
    }

    /// The bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        let learnt = self.iter().filter(|(_, split)| split.lateness.is_some()).count();
        self.read.len() * size_of::<(SplitId, Split, Activity)>() + learnt * super::lateness::BYTES
    }
}
