//! A function of whole batches, as an operator.
//!
//! What the function gives goes on with the event times of the rows that it was made of, in pieces that are
//! no larger than batches may be. Nothing is kept between two batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::compute::take;
use thalweg_dataflow::{Batch, Code, Context, Error, Operator, Port, Result, Step, columns};
use thalweg_operators::fingerprint::Fingerprint;

use crate::columns::without_own;
use crate::plan::{Exits, Outputs, Segment};
use crate::segment::{OperatorFactory, SegmentSpec};

/// What a function gave for a batch.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// The columns that were declared, with their types.
    pub rows: RecordBatch,
    /// From which row of the input each row comes, whose event time it gets; none: row by row.
    pub origins: Option<UInt32Array>,
}

impl Mapped {
    /// What is wrong with it, if it does not say of every row from which of so many it comes.
    pub fn check(&self, input_rows: usize) -> std::result::Result<(), String> {
        let rows = self.rows.num_rows();
        let Some(origins) = &self.origins else {
            let wrong = || format!("gave {rows} rows for a batch of {input_rows}");
            return if rows == input_rows { Ok(()) } else { Err(wrong()) };
        };
        if origins.null_count() > 0 || origins.len() != rows {
            return Err("does not say of every row from which row it comes".to_owned());
        }
        match origins.values().iter().find(|&&origin| origin as usize >= input_rows) {
            Some(origin) => Err(format!("gave a row from row {origin} of a batch of {input_rows} rows")),
            None => Ok(()),
        }
    }
}

/// What becomes of a batch.
pub(super) enum Parted {
    Rows(Mapped),
    /// A column of one record, which leaves aside.
    Aside(ArrayRef),
}

pub(super) type BatchFunction = dyn Fn(&RecordBatch) -> Result<Parted> + Send + Sync;

/// The node of a function.
pub(super) struct MapBatches {
    name: Arc<str>,
    /// What comes out, with the engine's columns.
    exits: Exits,
    function: Arc<BatchFunction>,
}

impl MapBatches {
    pub(super) fn new(name: &str, exits: Exits, function: Arc<BatchFunction>) -> Self {
        Self { name: name.into(), exits, function }
    }
}

impl Segment for MapBatches {
    fn outputs(&self) -> Outputs {
        Outputs(vec![self.exits.clone()])
    }

    fn label(&self) -> String {
        format!("batches, {}", self.name)
    }

    fn is_state(&self) -> bool {
        false
    }

    fn stateful(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> String {
        Fingerprint::new(SegmentSpec::KIND).finish()
    }

    fn factory(&self) -> OperatorFactory {
        let (name, exits, function) =
            (Arc::clone(&self.name), self.exits.clone(), Arc::clone(&self.function));
        OperatorFactory::new(move || {
            let (name, exits, function) = (Arc::clone(&name), exits.clone(), Arc::clone(&function));
            Ok(Box::new(MapOperator { name, exits, function, rest: None }))
        })
    }
}

/// A call has a price of its own, which so many rows are to share: a model that takes long for one takes hardly
/// longer for them.
const AT_ONCE: i64 = 256;

struct MapOperator {
    name: Arc<str>,
    exits: Exits,
    function: Arc<BatchFunction>,
    /// What did not fit into a batch yet.
    rest: Option<RecordBatch>,
}

impl MapOperator {
    /// The rows that a function made of a batch.
    fn mapped(&self, records: &RecordBatch, mapped: Mapped) -> Result<RecordBatch> {
        mapped.check(records.num_rows()).map_err(|what| {
            Error::new(Code::FunctionFailed, format!("the function of batches '{}' {what}", self.name))
        })?;
        let Mapped { rows, origins } = mapped;
        let mut all = rows.columns().to_vec();
        for name in [columns::TIMESTAMP, columns::ROW_WATERMARK] {
            let own = own_column(records, name)?;
            all.push(match &origins {
                Some(origins) => take(&own, origins, None)
                    .map_err(|why| Error::internal("rows have lost their times").because(why))?,
                None => own,
            });
        }
        RecordBatch::try_new(Arc::clone(&self.exits.main), all).map_err(|why| {
            Error::new(Code::TypeMismatch, "what the function gave are not the columns that were declared")
                .because(why)
        })
    }

    /// A record that leaves aside, with the times of the last row.
    fn aside(&self, records: &RecordBatch, record: ArrayRef) -> Result<RecordBatch> {
        let last = records.slice(records.num_rows().saturating_sub(1), 1);
        let time = own_column(&last, columns::TIMESTAMP)?;
        let all = vec![record, time, own_column(&last, columns::ROW_WATERMARK)?];
        let broken = |why| Error::internal("a record does not fit its side output").because(why);
        match &self.exits.sides[..] {
            [side] => RecordBatch::try_new(Arc::clone(side), all).map_err(broken),
            _ => Err(Error::internal("there is no side output for a batch")),
        }
    }

    fn give(&mut self, rows: RecordBatch, cx: &mut Context<'_>) -> Step {
        let most = cx.batch_rows_max();
        if rows.num_rows() <= most {
            cx.emit(Port::MAIN, rows);
            return Step::Done;
        }
        cx.emit(Port::MAIN, rows.slice(0, most));
        self.rest = Some(rows.slice(most, rows.num_rows() - most));
        Step::More
    }
}

/// A column of the engine's. Rows without a watermark of their own are never late.
fn own_column(records: &RecordBatch, name: &str) -> Result<ArrayRef> {
    match records.column_by_name(name) {
        Some(own) => Ok(Arc::clone(own)),
        None if name == columns::ROW_WATERMARK => {
            Ok(Arc::new(TimestampNanosecondArray::from_value(i64::MIN, records.num_rows())))
        }
        None => Err(Error::internal(format!("rows have no column '{name}'"))),
    }
}

impl Operator for MapOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let parted = (self.function)(&without_own(&batch.records)?)?;
        cx.counters.taken.add(batch.rows());
        cx.counters.at_once.set(AT_ONCE);
        match parted {
            Parted::Rows(mapped) => Ok(self.give(self.mapped(&batch.records, mapped)?, cx)),
            Parted::Aside(record) => {
                cx.emit(Port(1), self.aside(&batch.records, record)?);
                Ok(Step::Done)
            }
        }
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        match self.rest.take() {
            Some(rest) => Ok(self.give(rest, cx)),
            None => Ok(Step::Done),
        }
    }
}
