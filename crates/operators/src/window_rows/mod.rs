//! Rows of open windows, kept as they came until their window closes.
//!
//! A row that carries its window has the window's last instant as its
//! `_timestamp`, so rows are kept by that instant and need not know what a
//! window is. What is done with the rows of a closed window is the owner's.
//!
//! ```text
//!   add ─► instant 09.999… │ durable batches │ batches since the last barrier │
//!          instant 19.999… │ …               │ …                              │
//!                              ▲─── freeze ────────────┘
//!   close_until(watermark), then next_closed: instants behind the watermark, in the order of time
//! ```
//!
//! *The law*: a closed instant never opens again. A row for it is counted late.

mod batches;
mod durable;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::operator::{Age, Settings};
use thalweg_dataflow::{Context, Error, EventTime, Result, Watermark};
use thalweg_state::{Epoch, FrozenTable, KeyGroups, Restored, Snapshot};

use crate::durable::Gone;
use crate::window::{times, timestamp_index};
use batches::Batches;
pub(crate) use batches::bytes_of;
use durable::Durable;

/// The names of the durable tables of one [`WindowRows`]; an operator with two of them gives two sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    /// Rows that are part of an epoch: `key group │ columns…` (merge).
    pub(crate) rows: &'static str,
    /// Until where instants are closed: `key group │ _watermark` (upsert).
    pub(crate) progress: &'static str,
}

/// The rows of one instant.
#[derive(Default)]
struct Instant {
    /// What barriers have already taken note of.
    frozen: Batches,
    /// What came since.
    fresh: Batches,
}

impl Instant {
    fn bytes(&self) -> usize {
        self.frozen.bytes() + self.fresh.bytes()
    }
}

/// Rows of one schema by the last instant of their window, durable.
pub(crate) struct WindowRows {
    timestamp: usize,
    open: BTreeMap<EventTime, Instant>,
    bytes: usize,
    durable: Durable,
}

impl WindowRows {
    /// No rows of `schema`, which has `_timestamp`. `key` are the columns of
    /// the shuffle before this operator: they give a row its key group.
    pub(crate) fn new(tables: Tables, schema: &SchemaRef, key: Vec<usize>) -> Result<Self> {
        let timestamp = timestamp_index(schema)?;
        let durable = Durable::new(tables, schema, key)?;
        Ok(Self { timestamp, open: BTreeMap::new(), bytes: 0, durable })
    }

    /// Takes its tables out of `restored`. To be called once, before all else.
    /// A job without a past gives `restored` without any table.
    pub(crate) fn open(&mut self, restored: &mut Restored, settings: &Settings) -> Result<()> {
        for part in self.durable.open(restored, settings)? {
            self.keep(part, Kept::Frozen)?;
        }
        Ok(())
    }

    /// Keeps rows, and counts them as taken; rows of closed instants are dropped and counted as late.
    pub(crate) fn add(&mut self, records: RecordBatch, cx: &Context<'_>) -> Result<()> {
        let closed = self.durable.progress.closed();
        for (instant, part) in by_instant(records, self.timestamp)? {
            if is_closed(instant, closed) {
                cx.counters.late.add(part.num_rows());
            } else {
                cx.counters.taken.add(part.num_rows());
                self.put_in(instant, part, Kept::Fresh)?;
            }
        }
        Ok(())
    }

    /// Closes what lies before `watermark`. What is closed must be taken out before anything else is done.
    pub(crate) fn close_until(&mut self, watermark: Watermark) -> Result<()> {
        let Some(came) = self.durable.progress.close_until(watermark) else { return Ok(()) };
        match came.alike() {
            Some(closed) => {
                while let Some(instant) = self.first_open().filter(|&instant| is_closed(instant, closed)) {
                    self.drop_instant(instant);
                }
                Ok(())
            }
            None => self.leave(None, |durable, batch| durable.without_given(batch, &came)),
        }
    }

    /// The first instant that has rows.
    pub(crate) fn first_open(&self) -> Option<EventTime> {
        self.open.keys().next().copied()
    }

    /// The first instant that has rows and is closed.
    pub(crate) fn first_closed(&self) -> Option<EventTime> {
        self.first_open().filter(|&instant| is_closed(instant, self.durable.progress.closed()))
    }

    /// The rows of the next closed instant, which are forgotten here. Instants
    /// come in the order of time; the order of rows within one promises nothing.
    pub(crate) fn next_closed(&mut self) -> Result<Option<(EventTime, Vec<RecordBatch>)>> {
        let Some(instant) = self.first_closed() else { return Ok(None) };
        Ok(Some((instant, self.remove(instant)?)))
    }

    /// The rows of one instant, which are forgotten here; none where it has none.
    pub(crate) fn remove(&mut self, instant: EventTime) -> Result<Vec<RecordBatch>> {
        let rows = self.drop_instant(instant);
        let batches = rows.frozen.into_vec().into_iter().chain(rows.fresh.into_vec());
        let own = batches.map(|batch| self.durable.without_gone(batch));
        let own = own.filter(|batch| batch.as_ref().map_or(true, |batch| batch.num_rows() > 0)).collect();
        self.durable.gone.cleared_before(self.first_open());
        own
    }

    fn drop_instant(&mut self, instant: EventTime) -> Instant {
        let rows = self.open.remove(&instant).unwrap_or_default();
        self.bytes -= rows.bytes();
        rows
    }

    /// Keeps of one instant's rows those that `keep` finds among all of them, in the order in which they came.
    /// What goes must be such that no row that is still to come makes it wanted.
    pub(crate) fn retain(
        &mut self,
        instant: EventTime,
        keep: impl FnOnce(&RecordBatch) -> Result<BooleanArray>,
    ) -> Result<()> {
        let Some(rows) = self.open.remove(&instant) else { return Ok(()) };
        self.bytes -= rows.bytes();
        let (mut batches, fresh) = (rows.frozen.into_vec(), rows.fresh.into_vec());
        let frozen = batches.iter().map(RecordBatch::num_rows).sum();
        batches.extend(fresh);
        let Some(first) = batches.first() else { return Ok(()) };
        let broken = |e| Error::internal("rows of a window cannot be chosen").because(e);
        let all = concat_batches(first.schema_ref(), &batches).map_err(broken)?;
        let keep = keep(&all)?;
        let parts = [(0, frozen, Kept::Frozen), (frozen, all.num_rows() - frozen, Kept::Fresh)];
        for (start, length, kept) in parts {
            let part = filter_record_batch(&all.slice(start, length), &keep.slice(start, length));
            self.put_in(instant, part.map_err(broken)?, kept)?;
        }
        Ok(())
    }

    /// How many instants have rows.
    pub(crate) fn instants(&self) -> usize {
        self.open.len()
    }

    /// The bytes of all rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What came since the last epoch, which is from now on part of what was before it.
    pub(crate) fn freeze(&mut self, epoch: Epoch) -> Result<Vec<FrozenTable>> {
        let mut fresh = Vec::new();
        for instant in self.open.values_mut() {
            let before = instant.bytes();
            let batches = std::mem::take(&mut instant.fresh).into_vec();
            fresh.extend(batches.iter().cloned());
            batches.into_iter().try_for_each(|batch| instant.frozen.push(batch))?;
            // Rows that have been joined to one batch need not take what they took one by one.
            self.bytes = self.bytes - before + instant.bytes();
        }
        self.durable.freeze(epoch, &fresh)
    }

    /// Learns how an epoch was settled: after an abort its rows are part of the next.
    pub(crate) fn settle(&mut self, epoch: Epoch, complete: bool) {
        self.durable.settle(epoch, complete);
    }

    /// Receives rows of another owner. Tables of other names are not touched.
    pub(crate) fn put(&mut self, groups: &KeyGroups, given: &Snapshot, age: Age) -> Result<()> {
        if self.durable.gone.may_hold(groups) {
            self.leave(self.durable.gone.last(), |durable, batch| durable.without_gone(batch))?;
            self.durable.gone = Gone::default();
        }
        for part in self.durable.put(groups, given, age)? {
            self.keep(part, Kept::Frozen)?;
        }
        Ok(())
    }

    /// Forgets key groups; their rows are left out when their window is taken out.
    pub(crate) fn forget(&mut self, groups: &KeyGroups) {
        let last = self.open.keys().next_back().copied();
        self.durable.forget(groups, last);
    }

    /// Leaves of all rows up to an instant those that `own` leaves of each batch.
    fn leave(
        &mut self,
        last: Option<EventTime>,
        own: impl Fn(&Durable, RecordBatch) -> Result<RecordBatch>,
    ) -> Result<()> {
        let instants: Vec<EventTime> = self
            .open
            .keys()
            .copied()
            .take_while(|&instant| last.is_none_or(|last| instant <= last))
            .collect();
        for instant in instants {
            let rows = self.drop_instant(instant);
            for (batches, kept) in [(rows.frozen, Kept::Frozen), (rows.fresh, Kept::Fresh)] {
                for batch in batches.into_vec() {
                    let batch = own(&self.durable, batch)?;
                    if batch.num_rows() > 0 {
                        self.put_in(instant, batch, kept)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, records: RecordBatch, kept: Kept) -> Result<()> {
        for (instant, part) in by_instant(records, self.timestamp)? {
            self.put_in(instant, part, kept)?;
        }
        Ok(())
    }

    fn put_in(&mut self, instant: EventTime, part: RecordBatch, kept: Kept) -> Result<()> {
        let rows = self.open.entry(instant).or_default();
        let batches = match kept {
            Kept::Frozen => &mut rows.frozen,
            Kept::Fresh => &mut rows.fresh,
        };
        let before = batches.bytes();
        batches.push(part)?;
        self.bytes = self.bytes - before + batches.bytes();
        Ok(())
    }
}

/// Which rows of an instant.
#[derive(Clone, Copy)]
enum Kept {
    Frozen,
    Fresh,
}

/// Whether a window whose last instant this is can have no more rows.
fn is_closed(instant: EventTime, watermark: Watermark) -> bool {
    watermark.closes(EventTime(instant.0.saturating_add(1)))
}

/// Rows by their instant, in the order of time; a batch of one instant as it is.
/// Each part owns its memory: it lives as long as its window, not as its batch.
fn by_instant(records: RecordBatch, timestamp: usize) -> Result<Vec<(EventTime, RecordBatch)>> {
    let times = times(&records, timestamp)?;
    let Some(&first) = times.first() else { return Ok(Vec::new()) };
    if times.iter().all(|&time| time == first) {
        return Ok(vec![(EventTime(first), records)]);
    }
    let mut rows_of: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (row, &time) in (0..).zip(times) {
        rows_of.entry(time).or_default().push(row);
    }
    let part = |(time, rows): (i64, Vec<u32>)| {
        let part = take_record_batch(&records, &UInt32Array::from(rows))
            .map_err(|e| Error::internal("rows cannot be split by their window").because(e))?;
        Ok((EventTime(time), part))
    };
    rows_of.into_iter().map(part).collect()
}
