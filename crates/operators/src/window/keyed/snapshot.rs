//! Open sessions as durable tables.
//!
//! ```text
//! sessions        key group │ keys… │ _first │ _timestamp │ states…    what an epoch adds (merge)
//! sessions-fresh  the same columns                                     given away, not yet part of any epoch
//! ```
//!
//! A row is a part of a session: `_first` and `_timestamp` are the times of its
//! first and last rows. A restore puts parts together to sessions as it puts
//! rows together, and then drops those that the progress of their key group
//! has passed: parts of a session that was given out are never near one that
//! was not.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::{Error, EventTime, Result, Watermark};
use thalweg_state::{Epoch, FrozenTable, KeyGroups, Restored, Snapshot};

use super::super::held::Age;
use super::super::{TIME, times, timestamp_field};
use super::log::{Log, Span};
use super::runs::Encoder;
use super::sessions::{Session, Sessions};
use crate::aggregate::{Columns, Grouping, schema_of};
use crate::durable::{Increments, Progress, divide_table, key_group_field, key_groups};

const SESSIONS: &str = "sessions";
const FRESH: &str = "sessions-fresh";
const PROGRESS: &str = "progress";

/// What makes open sessions outlive the process.
pub(super) struct Durable {
    /// The number of key columns.
    keys: usize,
    schema: SchemaRef,
    pub(super) progress: Progress,
    pub(super) increments: Increments,
}

/// What a snapshot is made of, and made into.
pub(super) struct State<'a> {
    pub(super) log: &'a mut Log,
    pub(super) sessions: &'a mut Sessions,
    pub(super) encoder: &'a Encoder,
}

impl Durable {
    pub(super) fn new(grouping: &Grouping) -> Result<Self> {
        let first: FieldRef = Arc::new(Field::new("_first", TIME, false));
        Ok(Self {
            keys: grouping.keys().len(),
            schema: schema_of([
                vec![key_group_field()],
                grouping.key_fields(),
                vec![first, timestamp_field()],
                grouping.state_fields()?,
            ]),
            progress: Progress::new(PROGRESS),
            increments: Increments::default(),
        })
    }

    pub(super) fn open(
        &mut self,
        mut restored: Restored,
        state: &mut State<'_>,
        settings: &Settings,
    ) -> Result<()> {
        let progress = self.progress.open(&mut restored, settings)?;
        self.merge(&[(Age::Frozen, restored.take(SESSIONS))], &progress, state)
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, epoch: Epoch, log: &mut Log) -> Result<Snapshot> {
        let mut batches = Vec::new();
        for chunk in log.chunks.values_mut().filter(|chunk| chunk.age == Age::Fresh) {
            batches.push(self.batch(&chunk.columns, &chunk.spans)?);
            chunk.age = Age::Frozen;
        }
        let added = FrozenTable::merge(SESSIONS, batches);
        let mut tables = self.increments.add(epoch, vec![added]);
        tables.push(self.progress.freeze()?);
        Ok(Snapshot { tables })
    }

    pub(super) fn take(&mut self, groups: &KeyGroups, state: &mut State<'_>) -> Result<Snapshot> {
        let mut given = [Vec::new(), Vec::new()];
        let sessions = state.sessions.take(|_, _| true);
        for (age, given) in [Age::Frozen, Age::Fresh].into_iter().zip(&mut given) {
            let of_age = |session: &Session| {
                session.parts.iter().copied().filter(|p| state.log.age_of(*p) == age).collect::<Vec<_>>()
            };
            let parts: Vec<_> = sessions.iter().map(of_age).filter(|parts| !parts.is_empty()).collect();
            if parts.is_empty() {
                continue;
            }
            let spans: Vec<Span> = parts.iter().filter_map(|parts| state.log.span(parts)).collect();
            let parts: Vec<&[_]> = parts.iter().map(Vec::as_slice).collect();
            given.push(self.batch(&state.log.states(&parts)?, &spans)?);
        }
        sessions.iter().for_each(|session| state.log.release(&session.parts));
        let [frozen, fresh] = given;
        let part = |name, batches| divide_table(FrozenTable::merge(name, batches), groups);
        let (sessions, frozen) = part(SESSIONS, frozen)?;
        let (given_fresh, fresh) = part(FRESH, fresh)?;
        self.merge(&[(Age::Frozen, frozen), (Age::Fresh, fresh)], &BTreeMap::new(), state)?;
        Ok(Snapshot { tables: vec![sessions, given_fresh, self.progress.take(groups)?] })
    }

    pub(super) fn put(&mut self, given: &Snapshot, state: &mut State<'_>) -> Result<()> {
        let batches = |name| given.batches_of(name).cloned().collect();
        let progress = self.progress.put(given)?;
        self.merge(&[(Age::Frozen, batches(SESSIONS)), (Age::Fresh, batches(FRESH))], &progress, state)
    }

    /// Adds parts, and drops the sessions that are closed for their key groups.
    fn merge(
        &self,
        tables: &[(Age, Vec<RecordBatch>)],
        progress: &BTreeMap<u16, Watermark>,
        state: &mut State<'_>,
    ) -> Result<()> {
        let mut closed: BTreeMap<Vec<u8>, Watermark> = BTreeMap::new();
        for (age, batches) in tables {
            for batch in batches {
                let columns = batch.columns();
                let keys = &columns[1..=self.keys];
                let states = &columns[self.keys + 3..];
                let (firsts, lasts) = (times(batch, self.keys + 1)?, times(batch, self.keys + 2)?);
                let spans: Vec<Span> =
                    firsts.iter().zip(lasts).map(|(&first, &last)| Span { first, last }).collect();
                let encoded = state.encoder.encode(keys)?;
                let all = keys.iter().chain(states).cloned().collect();
                let parts = state.log.push(*age, all, spans.clone());
                for (row, part) in parts.into_iter().enumerate() {
                    let key = encoded.get(row).map_or(&[][..], Vec::as_slice);
                    if let Some(&until) = progress.get(&key_groups(batch)?[row]) {
                        closed.insert(key.to_vec(), until);
                    }
                    state.sessions.add(key, spans[row], part);
                }
            }
        }
        let is_closed = |session: &Session, end| {
            closed.get(session.key()).is_some_and(|until| until.closes(EventTime(end)))
        };
        let gone = state.sessions.take(is_closed);
        gone.iter().for_each(|session| state.log.release(&session.parts));
        Ok(())
    }

    fn batch(&self, columns: &[ArrayRef], spans: &[Span]) -> Result<RecordBatch> {
        let (keys, states) = columns.split_at(self.keys);
        let groups = self.progress.key_groups_of(keys, spans.len())?;
        let firsts: TimestampNanosecondArray = spans.iter().map(|span| Some(span.first)).collect();
        let lasts: TimestampNanosecondArray = spans.iter().map(|span| Some(span.last)).collect();
        let times: [ArrayRef; 2] = [Arc::new(firsts), Arc::new(lasts)];
        let all: Columns = [groups]
            .into_iter()
            .chain(keys.iter().cloned())
            .chain(times)
            .chain(states.iter().cloned())
            .collect();
        RecordBatch::try_new(Arc::clone(&self.schema), all)
            .map_err(|e| Error::internal("the parts of sessions do not fit their table").because(e))
    }
}
