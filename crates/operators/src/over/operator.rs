//! Rows held by window, and what is computed of them when it closes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, concat_batches, filter_record_batch, take_record_batch};
use thalweg_dataflow::{Age, Batch, Context, Error, Functions, Operator, Port, Result, Step, Watermark};
use thalweg_state::{Epoch, KeyGroups, Restored, Snapshot};

use super::call::PlannedCall;
use super::sorter::{Sorted, Sorter};
use super::top::{Held, Top};
use super::{Over, plan};
use crate::window::{times, timestamp_index};
use crate::window_rows::{Tables, WindowRows};

const TABLES: Tables = Tables { rows: "rows", progress: "progress" };

pub(super) struct OverOperator {
    spec: Over,
    timestamp: usize,
    calls: Vec<PlannedCall>,
    sorter: Sorter,
    rows: WindowRows,
    held: Held,
    /// A closed window with its results, and how many of its rows were given.
    giving: Option<(RecordBatch, usize)>,
}

impl OverOperator {
    pub(super) fn new(spec: &Over, functions: &Functions) -> Result<Self> {
        Ok(Self {
            timestamp: timestamp_index(&spec.input)?,
            calls: plan(spec, functions)?,
            sorter: Sorter::new(&spec.input, &spec.partition, &spec.order)?,
            rows: WindowRows::new(TABLES, &spec.input, spec.shuffle_key()?)?,
            held: Held::default(),
            giving: None,
            spec: spec.clone(),
        })
    }

    /// Leaves the rows that count of windows that grew.
    fn prune(&mut self, top: Top, batch_rows_max: usize) -> Result<()> {
        for instant in self.held.grown(batch_rows_max) {
            let mut left = 0;
            let sorter = &self.sorter;
            self.rows.retain(instant, |rows| {
                let keep = sorter.sort(rows)?.ranked_within(top.ranking, top.most);
                left = keep.true_count();
                Ok(keep)
            })?;
            self.held.pruned(instant, left);
        }
        Ok(())
    }

    /// Gives the next piece of the windows that are closed, in the order of time.
    fn give(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        if self.giving.is_none()
            && let Some((instant, batches)) = self.rows.next_closed()?
        {
            self.held.forget(instant);
            self.giving = Some((self.compute(&batches)?, 0));
        }
        if let Some((results, given)) = self.giving.take() {
            let rows = cx.batch_rows_max().min(results.num_rows() - given);
            cx.emit(Port::MAIN, results.slice(given, rows));
            if given + rows < results.num_rows() {
                self.giving = Some((results, given + rows));
            }
        }
        let more = self.giving.is_some() || self.rows.first_closed().is_some();
        if !more {
            self.report(cx);
        }
        Ok(if more { Step::More } else { Step::Done })
    }

    /// The rows of one window with the results of all calls.
    fn compute(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let mut rows = concat_batches(&self.spec.input, batches).map_err(|e| broken(e.into()))?;
        let mut sorted = self.sorter.sort(&rows)?;
        if let Some(top) = self.spec.top {
            let keep = sorted.ranked_within(top.ranking, top.most);
            rows = filter_record_batch(&rows, &keep).map_err(|e| broken(e.into()))?;
            sorted = self.sorter.sort(&rows)?;
        }
        let order = UInt32Array::from(sorted.indices().to_vec());
        let rows = take_record_batch(&rows, &order).map_err(|e| broken(e.into()))?;
        let results = self.calls.iter().map(|call| results_of(call, &rows, &sorted));
        let results = results.collect::<Result<Vec<_>>>()?;
        let (before, behind) = rows.columns().split_at(self.timestamp);
        let columns = before.iter().chain(&results).chain(behind).cloned().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)
            .map_err(|e| broken(e.into()))
    }

    fn report(&self, cx: &Context<'_>) {
        cx.counters.open_windows.set(self.rows.instants() as i64);
        cx.counters.state_bytes.set(self.rows.bytes() as i64);
    }
}

/// One call over sorted rows, partition by partition.
fn results_of(call: &PlannedCall, rows: &RecordBatch, sorted: &Sorted) -> Result<ArrayRef> {
    if rows.num_rows() == 0 {
        return Ok(arrow::array::new_empty_array(call.field().data_type()));
    }
    let parts = sorted.partitions().map(|range| call.evaluate(&rows.slice(range.start, range.len())));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    match parts.as_slice() {
        [whole] => Ok(Arc::clone(whole)),
        parts => {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            concat(&parts).map_err(|e| broken(e.into()))
        }
    }
}

fn broken(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::internal("rows of a window cannot be put together").because(error)
}

impl Operator for OverOperator {
    fn open(&mut self, mut restored: Restored, cx: &mut Context<'_>) -> Result<()> {
        self.rows.open(&mut restored, cx.settings())?;
        self.report(cx);
        Ok(())
    }

    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        if let Some(top) = self.spec.top {
            self.held.add(times(&batch.records, self.timestamp)?);
            self.rows.add(batch.records, cx)?;
            self.prune(top, cx.batch_rows_max())?;
        } else {
            self.rows.add(batch.records, cx)?;
        }
        cx.counters.open_windows.set(self.rows.instants() as i64);
        Ok(Step::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.rows.close_until(watermark)?;
        self.give(cx)
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        self.give(cx)
    }

    fn on_barrier(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Result<Snapshot> {
        let tables = self.rows.freeze(epoch)?;
        self.report(cx);
        Ok(Snapshot { tables })
    }

    fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        self.rows.settle(epoch, complete);
    }

    fn put(&mut self, groups: &KeyGroups, given: Snapshot, age: Age) -> Result<()> {
        self.rows.put(groups, &given, age)
    }

    fn forget(&mut self, groups: &KeyGroups) -> Result<()> {
        self.rows.forget(groups);
        Ok(())
    }
}
