//! Whether a row came too late for its windows, or for some of them.
//!
//! A row is late for a window when the window's end is at or before the
//! watermark of the row's own split just before the row. One that is late for
//! all its windows is left out; one that is late for some is a row of the
//! others. A session has no end before its last row has come: there, a row is
//! late when its own time is before that watermark. So the verdict rests on
//! the row alone, and neither the size of batches nor the order of splits
//! changes it.

use std::borrow::Cow;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use thalweg_dataflow::{Error, EventTime, Result, Watermark, columns};

use super::panes::Panes;
use super::split::Times;
use super::{Assigner, times, timestamp_index};

/// Judges rows of one schema.
pub(super) struct Lateness {
    assigner: Assigner,
    timestamp: usize,
    /// The rows' own watermarks; none where no row can be late.
    watermark: Option<usize>,
}

/// Rows that belong to some window, and how many do not.
pub(super) struct Judged {
    pub(super) records: RecordBatch,
    /// Rows that came too late for all their windows.
    pub(super) late: usize,
    /// Rows that lie between two windows.
    pub(super) between: usize,
    /// Whether it is known already that no row is late for any window.
    pub(super) on_time: bool,
}

impl Lateness {
    pub(super) fn new(assigner: Assigner, input: &Schema) -> Result<Self> {
        let watermark = input.index_of(columns::ROW_WATERMARK).ok();
        Ok(Self { assigner, timestamp: timestamp_index(input)?, watermark })
    }

    /// Takes out the rows that belong to no open window.
    pub(super) fn judge(&self, records: RecordBatch) -> Result<Judged> {
        let times = times(&records, self.timestamp)?;
        let watermarks = self.watermarks(&records)?;
        let has_gaps = matches!(self.assigner, Assigner::Aligned(panes) if panes.has_gaps());
        let (Some(&earliest), newest) = (times.iter().min(), watermarks.iter().max()) else {
            return Ok(Judged { records, late: 0, between: 0, on_time: true });
        };
        let on_time = newest.is_none_or(|&newest| earliest >= newest);
        if !has_gaps && (on_time || newest.is_none_or(|&newest| !self.is_late(earliest, newest))) {
            return Ok(Judged { records, late: 0, between: 0, on_time });
        }
        let (mut late, mut between) = (0, 0);
        let mut stays = |row: usize| {
            let is_between = matches!(self.assigner, Assigner::Aligned(p) if p.is_between(times[row]));
            let is_late = !is_between
                && watermarks.get(row).is_some_and(|&watermark| self.is_late(times[row], watermark));
            between += usize::from(is_between);
            late += usize::from(is_late);
            Some(!is_between && !is_late)
        };
        let stay: BooleanArray = (0..times.len()).map(&mut stays).collect();
        let records = filter_record_batch(&records, &stay)
            .map_err(|e| Error::internal("late rows cannot be taken out").because(e))?;
        Ok(Judged { records, late, between, on_time })
    }

    /// Where to gather rows that were judged: by their own times, unless some of them are late for some windows.
    pub(super) fn slots<'a>(
        &self,
        panes: Panes,
        records: &'a RecordBatch,
        on_time: bool,
    ) -> Result<Times<'a>> {
        let times = times(records, self.timestamp)?;
        let watermarks = self.watermarks(records)?;
        if on_time
            || !panes.overlap()
            || times.iter().zip(watermarks).all(|(time, watermark)| time >= watermark)
        {
            return Ok(Times::OfRows(times));
        }
        let slot = |(&time, &watermark)| {
            let slot = panes.open_slot_of(time, Watermark(EventTime(watermark)));
            panes.time_of(slot.unwrap_or_else(|| panes.slot_of(time)))
        };
        Ok(Times::OfSlots(Cow::Owned(times.iter().zip(watermarks).map(slot).collect())))
    }

    fn watermarks<'a>(&self, records: &'a RecordBatch) -> Result<&'a [i64]> {
        self.watermark.map_or(Ok(&[]), |index| times(records, index))
    }

    fn is_late(&self, time: i64, watermark: i64) -> bool {
        match self.assigner {
            Assigner::Aligned(panes) => {
                let (_, last) = panes.readers(panes.pane_of(time));
                panes.is_closed(last, Watermark(EventTime(watermark)))
            }
            Assigner::Session { .. } => time < watermark,
            Assigner::Count { .. } => false,
        }
    }
}
