//! Open sessions as durable tables.
//!
//! ```text
//! sessions        key group │ keys… │ _first │ _timestamp │ states…    what an epoch adds (merge)
//! ```
//!
//! A row is a part of a session: `_first` and `_timestamp` are the times of its
//! first and last rows. A restore puts parts together to sessions as it puts
//! rows together, and then drops those that the progress of their key group
//! has passed: parts of a session that was given out are never near one that
//! was not. A part is over when it ends before the first row of every open session.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use thalweg_dataflow::operator::{Age, Settings};
use thalweg_dataflow::{Error, EventTime, Result, Watermark};
use thalweg_state::{Epoch, Expiry, FrozenTable, KeyGroup, KeyGroups, Restored, Snapshot};

use super::super::held::Half;
use super::super::{TIME, times, timestamp_field};
use super::log::{Log, Part, Span};
use super::runs::Encoder;
use super::sessions::{Session, Sessions};
use crate::aggregate::{Columns, Grouping, schema_of};
use crate::durable::{Came, Gone, Increments, Progress, key_group_column, key_group_field};

const SESSIONS: &str = "sessions";
const PROGRESS: &str = "progress";

/// What makes open sessions outlive the process.
pub(super) struct Durable {
    /// The number of key columns.
    keys: usize,
    schema: SchemaRef,
    pub(super) progress: Progress,
    increments: Increments,
    /// Key groups that left, and the last of their sessions by number.
    gone: Gone<u64>,
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
            gone: Gone::default(),
        })
    }

    pub(super) fn open(
        &mut self,
        mut restored: Restored,
        state: &mut State<'_>,
        settings: &Settings,
    ) -> Result<()> {
        self.progress.open(&mut restored, settings)?;
        restored.take(SESSIONS).iter().try_for_each(|batch| self.merge(batch, state))
    }

    /// Learns of a watermark, before the sessions that it closes are given out.
    pub(super) fn close_until(&mut self, watermark: Watermark, state: &mut State<'_>) -> Result<()> {
        let Some(came) = self.progress.close_until(watermark) else { return Ok(()) };
        self.drop_given(&came, state)
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(super) fn freeze(&mut self, epoch: Epoch, state: &mut State<'_>) -> Result<Snapshot> {
        let mut batches = Vec::new();
        for chunk in state.log.chunks.values_mut().filter(|chunk| chunk.half == Half::Fresh) {
            batches.push(self.gone.without(self.batch(&chunk.columns, &chunk.spans)?)?);
            chunk.half = Half::Frozen;
        }
        batches.retain(|batch| batch.num_rows() > 0);
        let mut tables = self.increments.add(epoch, vec![FrozenTable::merge(SESSIONS, batches)]);
        let given_out = self.progress.given_out();
        if given_out > Watermark::START {
            let through = state.sessions.begin_after().min(given_out.nanos()).saturating_sub(1);
            let expiry = Expiry { column: self.keys + 2, through };
            tables = tables.into_iter().map(|table| table.expiring(expiry)).collect();
        }
        tables.push(self.progress.freeze(epoch)?);
        Ok(Snapshot { tables })
    }

    pub(super) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.increments.settle(epoch, complete);
        self.progress.settle(epoch, complete);
    }

    pub(super) fn put(
        &mut self,
        groups: &KeyGroups,
        given: &Snapshot,
        age: Age,
        state: &mut State<'_>,
    ) -> Result<()> {
        if self.gone.may_hold(groups) {
            self.purge(state)?;
        }
        self.progress.put(groups, given)?;
        let parts: Vec<RecordBatch> = given.batches_of(SESSIONS).cloned().collect();
        parts.iter().try_for_each(|batch| self.merge(batch, state))?;
        self.increments.put(age, vec![FrozenTable::merge(SESSIONS, parts)]);
        Ok(())
    }

    pub(super) fn forget(&mut self, groups: &KeyGroups, sessions: &Sessions) {
        self.progress.forget(groups);
        self.increments.forget(groups);
        self.gone.add(groups, sessions.newest());
    }

    /// Of these sessions, which are no longer open, those of key groups that did not leave.
    pub(super) fn staying(&mut self, mut taken: Vec<Session>, state: &mut State<'_>) -> Result<Vec<Session>> {
        if !self.gone.is_empty() && !taken.is_empty() {
            let mut groups = self.groups_of(&taken, state.log)?.into_iter();
            let left = taken.extract_if(.., |_| groups.next().is_some_and(|group| self.gone.contains(group)));
            left.for_each(|session| state.log.release(&session.parts));
            self.gone.cleared_before(state.sessions.oldest());
        }
        Ok(taken)
    }

    /// Clears away the sessions of key groups that left.
    fn purge(&mut self, state: &mut State<'_>) -> Result<()> {
        let groups = self.groups_of_open(state)?;
        let mut groups = groups.into_iter();
        let gone = state.sessions.take(|_, _| groups.next().is_some_and(|group| self.gone.contains(group)));
        gone.iter().for_each(|session| state.log.release(&session.parts));
        self.gone = Gone::default();
        Ok(())
    }

    /// Drops the sessions that were given out where they come from.
    fn drop_given(&self, came: &Came, state: &mut State<'_>) -> Result<()> {
        let given = match came.alike() {
            Some(closed) => state.sessions.take(|_, end| closed.closes(EventTime(end))),
            None => {
                let mut groups = self.groups_of_open(state)?.into_iter();
                let closed = |group: Option<KeyGroup>| group.map(|group| came.of(group.0));
                state.sessions.take(|_, end| closed(groups.next()).is_some_and(|c| c.closes(EventTime(end))))
            }
        };
        given.iter().for_each(|session| state.log.release(&session.parts));
        Ok(())
    }

    fn groups_of_open(&self, state: &State<'_>) -> Result<Vec<KeyGroup>> {
        let firsts: Vec<Part> = state.sessions.iter().map(|session| session.parts[0]).collect();
        self.groups_of_parts(&firsts, state.log)
    }

    fn groups_of(&self, sessions: &[Session], log: &Log) -> Result<Vec<KeyGroup>> {
        let firsts: Vec<Part> = sessions.iter().map(|session| session.parts[0]).collect();
        self.groups_of_parts(&firsts, log)
    }

    /// Where the keys of these parts live.
    fn groups_of_parts(&self, parts: &[Part], log: &Log) -> Result<Vec<KeyGroup>> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        self.progress.key_groups_of(&log.keys_of(parts)?, parts.len())
    }

    /// Adds parts, which belong to epochs.
    fn merge(&self, batch: &RecordBatch, state: &mut State<'_>) -> Result<()> {
        let columns = batch.columns();
        let keys = &columns[1..=self.keys];
        let (firsts, lasts) = (times(batch, self.keys + 1)?, times(batch, self.keys + 2)?);
        let spans: Vec<Span> = firsts.iter().zip(lasts).map(|(&first, &last)| Span { first, last }).collect();
        let encoded = state.encoder.encode(keys)?;
        let all = keys.iter().chain(&columns[self.keys + 3..]).cloned().collect();
        let parts = state.log.push(Half::Frozen, all, spans.clone());
        for (row, part) in parts.into_iter().enumerate() {
            state.sessions.add(encoded.get(row).map_or(&[][..], Vec::as_slice), spans[row], part);
        }
        Ok(())
    }

    fn batch(&self, columns: &[ArrayRef], spans: &[Span]) -> Result<RecordBatch> {
        let (keys, states) = columns.split_at(self.keys);
        let groups = key_group_column(&self.progress.key_groups_of(keys, spans.len())?);
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
