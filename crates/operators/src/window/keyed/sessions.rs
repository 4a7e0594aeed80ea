//! Which sessions there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

use thalweg_dataflow::{EventTime, Watermark};

use super::log::{Part, Span};

/// Rows of one key, each less than the gap behind the one before it.
pub(super) struct Session {
    key: Arc<[u8]>,
    pub(super) span: Span,
    pub(super) parts: Vec<Part>,
}

/// All open sessions. No two of one key are less than the gap apart.
pub(super) struct Sessions {
    gap: i64,
    open: BTreeMap<u64, Session>,
    of_key: HashMap<Arc<[u8]>, Vec<u64>>,
    /// No session ends before what is noted of it here.
    ends: BinaryHeap<Reverse<(i64, u64)>>,
    next: u64,
    /// No open session begins before this.
    earliest: i64,
    /// How many sessions might have been looked at since it was told.
    unseen: usize,
}

/// How many sessions one barrier looks at, on average.
const BEGINS_PER_BARRIER: usize = 64 * 1024;

impl Sessions {
    pub(super) fn new(gap: i64) -> Self {
        Self {
            gap,
            open: BTreeMap::new(),
            of_key: HashMap::new(),
            ends: BinaryHeap::new(),
            next: 0,
            earliest: i64::MAX,
            unseen: 0,
        }
    }

    /// The first instant behind a session.
    pub(super) fn end_of(&self, span: Span) -> i64 {
        span.last.saturating_add(self.gap)
    }

    /// Whether two spans of a key are of one session.
    pub(super) fn joins(&self, one: Span, other: Span) -> bool {
        one.first < self.end_of(other) && other.first < self.end_of(one)
    }

    /// Adds rows of a key. They may begin a session, prolong one, or make several into one.
    pub(super) fn add(&mut self, key: &[u8], span: Span, part: Part) {
        self.earliest = self.earliest.min(span.first);
        let near: Vec<u64> = match self.of_key.get(key) {
            None => Vec::new(),
            Some(ids) => ids.iter().copied().filter(|id| self.joins(self.open[id].span, span)).collect(),
        };
        let Some((&first, rest)) = near.split_first() else { return self.begin(key, span, part) };
        let absorbed: Vec<Session> = rest.iter().filter_map(|id| self.open.remove(id)).collect();
        if !rest.is_empty()
            && let Some(ids) = self.of_key.get_mut(key)
        {
            ids.retain(|id| !rest.contains(id));
        }
        let session = self.open.get_mut(&first).expect("what is known by its key is open");
        session.span = session.span.and(span);
        session.parts.push(part);
        for other in absorbed {
            session.span = session.span.and(other.span);
            session.parts.extend(other.parts);
        }
    }

    fn begin(&mut self, key: &[u8], span: Span, part: Part) {
        let id = self.next;
        self.next += 1;
        let key: Arc<[u8]> =
            self.of_key.get_key_value(key).map_or_else(|| key.into(), |(key, _)| Arc::clone(key));
        self.ends.push(Reverse((self.end_of(span), id)));
        self.of_key.entry(Arc::clone(&key)).or_default().push(id);
        self.open.insert(id, Session { key, span, parts: vec![part] });
    }

    /// Takes out a session that the watermark closes, the one that ends first.
    pub(super) fn close_one(&mut self, watermark: Watermark) -> Option<Session> {
        while self.may_close(watermark) {
            let Reverse((noted, id)) = self.ends.pop()?;
            // Sessions that became part of another are no more.
            let Some(session) = self.open.get(&id) else { continue };
            let end = self.end_of(session.span);
            if end == noted {
                return self.remove(id);
            }
            self.ends.push(Reverse((end, id)));
        }
        None
    }

    /// Whether the watermark may close a session.
    pub(super) fn may_close(&self, watermark: Watermark) -> bool {
        self.ends.peek().is_some_and(|Reverse((end, _))| watermark.closes(EventTime(*end)))
    }

    /// Takes out the sessions of which, and of whose ends, this says so, asked in the order of [`iter`](Self::iter).
    pub(super) fn take(&mut self, mut leaves: impl FnMut(&Session, i64) -> bool) -> Vec<Session> {
        let leaving = self.open.iter().filter(|(_, session)| leaves(session, self.end_of(session.span)));
        let ids: Vec<u64> = leaving.map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    fn remove(&mut self, id: u64) -> Option<Session> {
        let session = self.open.remove(&id)?;
        if let Some(ids) = self.of_key.get_mut(&session.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_key.remove(&session.key);
            }
        }
        Some(session)
    }

    /// The parts of all sessions.
    pub(super) fn parts(&mut self) -> impl Iterator<Item = &mut Vec<Part>> {
        self.open.values_mut().map(|session| &mut session.parts)
    }

    /// All sessions, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.open.values()
    }

    /// The lowest number of a session.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.open.keys().next().copied()
    }

    /// The highest number of a session.
    pub(super) fn newest(&self) -> Option<u64> {
        self.open.keys().next_back().copied()
    }

    /// No open session begins before this. Looks at so many sessions that barriers do not grow long:
    /// what was true some barriers ago is still true, if there are no earlier sessions since.
    pub(super) fn begin_after(&mut self) -> i64 {
        self.unseen += BEGINS_PER_BARRIER;
        if self.unseen >= self.open.len() {
            self.unseen = 0;
            self.earliest = self.open.values().map(|session| session.span.first).min().unwrap_or(i64::MAX);
        }
        self.earliest
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The bytes held in memory, as far as they are easily known.
    pub(super) fn bytes(&self) -> usize {
        let of_session = |session: &Session| {
            size_of::<Session>() + session.key.len() + session.parts.capacity() * size_of::<Part>()
        };
        self.open.values().map(of_session).sum::<usize>() + self.ends.len() * size_of::<(i64, u64)>()
    }
}
