//! Whether a row came too late for its window.
//!
//! A row is late when its window's end is at or before the watermark of its
//! own split just before the row. The verdict rests on the row alone, so
//! neither the size of batches nor the order of splits changes it.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use thalweg_dataflow::{Error, EventTime, Result, Watermark, columns};

use super::{Assigner, times, timestamp_index};

/// Judges rows of one schema.
pub(super) struct Lateness {
    assigner: Assigner,
    timestamp: usize,
    /// The rows' own watermarks; none where no row can be late.
    watermark: Option<usize>,
}

impl Lateness {
    pub(super) fn new(assigner: Assigner, input: &Schema) -> Result<Self> {
        let watermark = input.index_of(columns::ROW_WATERMARK).ok();
        Ok(Self { assigner, timestamp: timestamp_index(input)?, watermark })
    }

    /// The rows that are on time, and how many were not.
    pub(super) fn judge(&self, records: RecordBatch) -> Result<(RecordBatch, usize)> {
        let Some(watermark) = self.watermark else { return Ok((records, 0)) };
        let (times, watermarks) = (times(&records, self.timestamp)?, times(&records, watermark)?);
        let (Some(&earliest), Some(&newest)) = (times.iter().min(), watermarks.iter().max()) else {
            return Ok((records, 0));
        };
        if !self.is_late(earliest, newest) {
            return Ok((records, 0));
        }
        let on_time: BooleanArray = times
            .iter()
            .zip(watermarks)
            .map(|(&time, &watermark)| Some(!self.is_late(time, watermark)))
            .collect();
        let late = records.num_rows() - on_time.true_count();
        let kept = filter_record_batch(&records, &on_time)
            .map_err(|e| Error::internal("late rows cannot be taken out").because(e))?;
        Ok((kept, late))
    }

    fn is_late(&self, time: i64, watermark: i64) -> bool {
        self.assigner.is_closed(self.assigner.pane_of(time), Watermark(EventTime(watermark)))
    }
}
