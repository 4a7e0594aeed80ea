//! What stands before the shuffle of a window aggregate, and what behind it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::{Error, OperatorSpec, Result, columns};

use super::{
    Assigner, CountAggregate, SessionAggregate, WindowAggregate, WindowAssign, WindowPartial,
};
use crate::aggregate::Grouping;
use crate::row_policy::RowPolicy;

/// The nodes of a window aggregate.
pub struct Stages {
    /// The last of the source's chain.
    pub before: Arc<dyn OperatorSpec>,
    /// The columns of its output to shuffle by. None: all rows go to one subtask.
    pub key: Option<Vec<usize>>,
    /// The first behind the shuffle. Its output: the keys, the window as a
    /// struct of `start` and `end` (not of count windows), the results, and `_timestamp`.
    pub behind: Arc<dyn OperatorSpec>,
}

impl Stages {
    /// Aggregates rows of `input`, which has `_timestamp` and, where rows can be late, `_watermark`.
    ///
    /// `_watermark` must be its last column, and keys must be whole columns of it:
    /// rows may cross the shuffle as they are, without `_watermark`. Windows come
    /// out as a column of the name `window`.
    pub fn new(
        assigner: Assigner,
        grouping: Grouping,
        input: SchemaRef,
        window: &str,
        policy: RowPolicy,
    ) -> Result<Self> {
        if let Assigner::Aligned(panes) = assigner
            && grouping.splits()
        {
            let partial = WindowPartial::new(panes, grouping, input, policy)?;
            let merged = partial.merged(Some(window))?;
            let key = merged.shuffle_key()?;
            return Ok(Self { before: Arc::new(partial), key, behind: Arc::new(merged) });
        }
        let watermark = input.index_of(columns::ROW_WATERMARK);
        if watermark.is_ok_and(|index| index + 1 < input.fields().len()) {
            return Err(Error::internal("the watermark of rows is not their last column"));
        }
        let assign = WindowAssign::new(assigner, input);
        let schema = assign.output_schema();
        let (key, behind): (_, Arc<dyn OperatorSpec>) = match assigner {
            Assigner::Aligned(panes) => {
                let spec = WindowAggregate::of_rows(panes, grouping, schema, Some(window), policy)?;
                (spec.shuffle_key()?, Arc::new(spec))
            }
            Assigner::Session { gap_nanos } => {
                let spec = SessionAggregate::new(gap_nanos, grouping, schema, window, policy)?;
                (spec.shuffle_key()?, Arc::new(spec))
            }
            Assigner::Count { rows, incomplete } => {
                let spec = CountAggregate::new(rows, incomplete, grouping, schema, policy)?;
                (spec.shuffle_key()?, Arc::new(spec))
            }
        };
        Ok(Self { before: Arc::new(assign), key, behind })
    }
}
