//! A function of whole batches, as an operator.
//!
//! What the function gives goes on with the event times of the rows that it was made of, in pieces that are
//! no larger than batches may be. Nothing is kept between two batches.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use thalweg_dataflow::{Batch, Code, Context, Error, Operator, Port, Result, Step, columns};
use thalweg_operators::fingerprint::Fingerprint;

use crate::columns::without_own;
use crate::plan::Segment;
use crate::segment::{OperatorFactory, SegmentSpec};

/// What a function gave for a batch.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// The columns that were declared, with their types.
    pub rows: RecordBatch,
    /// From which row of the input each row comes, whose event time it gets; none: row by row.
    pub origins: Option<UInt32Array>,
}

type Function = dyn Fn(&RecordBatch) -> Result<Mapped> + Send + Sync;

/// The node of a function.
pub(super) struct MapBatches {
    name: Arc<str>,
    /// What comes out, with the engine's columns.
    schema: SchemaRef,
    function: Arc<Function>,
}

impl MapBatches {
    pub(super) fn new(name: &str, schema: SchemaRef, function: Arc<Function>) -> Self {
        Self { name: name.into(), schema, function }
    }
}

impl Segment for MapBatches {
    fn outputs(&self) -> Vec<SchemaRef> {
        vec![Arc::clone(&self.schema)]
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
        let (schema, function) = (Arc::clone(&self.schema), Arc::clone(&self.function));
        OperatorFactory::new(move || {
            let (schema, function) = (Arc::clone(&schema), Arc::clone(&function));
            Ok(Box::new(MapOperator { schema, function, rest: None }))
        })
    }
}

struct MapOperator {
    schema: SchemaRef,
    function: Arc<Function>,
    /// What did not fit into a batch yet.
    rest: Option<RecordBatch>,
}

impl MapOperator {
    fn map(&self, records: &RecordBatch) -> Result<RecordBatch> {
        let Mapped { rows, origins } = (self.function)(&without_own(records)?)?;
        check(&rows, origins.as_ref(), records.num_rows())?;
        let mut all = rows.columns().to_vec();
        for name in [columns::TIMESTAMP, columns::ROW_WATERMARK] {
            let own = records.column_by_name(name);
            let own = own.ok_or_else(|| Error::internal(format!("rows have no column '{name}'")))?;
            all.push(match &origins {
                Some(origins) => take(own, origins, None)
                    .map_err(|why| Error::internal("rows have lost their times").because(why))?,
                None => Arc::clone(own),
            });
        }
        RecordBatch::try_new(Arc::clone(&self.schema), all).map_err(|why| {
            Error::new(Code::TypeMismatch, "what the function gave are not the columns that were declared")
                .because(why)
        })
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

/// Fails if rows do not say where they come from.
fn check(rows: &RecordBatch, origins: Option<&UInt32Array>, input_rows: usize) -> Result<()> {
    let wrong = |what: String| Err(Error::new(Code::FunctionFailed, what));
    let Some(origins) = origins else {
        if rows.num_rows() == input_rows {
            return Ok(());
        }
        return wrong(format!("a batch of {input_rows} rows became one of {}", rows.num_rows()));
    };
    if origins.null_count() > 0 || origins.len() != rows.num_rows() {
        return wrong("not every row says from which row it comes".to_owned());
    }
    match origins.values().iter().find(|&&origin| origin as usize >= input_rows) {
        Some(origin) => wrong(format!("a row comes from row {origin} of a batch of {input_rows} rows")),
        None => Ok(()),
    }
}

impl Operator for MapOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let rows = self.map(&batch.records)?;
        cx.counters.taken.add(batch.rows());
        Ok(self.give(rows, cx))
    }

    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        match self.rest.take() {
            Some(rest) => Ok(self.give(rest, cx)),
            None => Ok(Step::Done),
        }
    }
}
