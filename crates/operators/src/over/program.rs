//! A program's own aggregate over the frames of a partition.
//!
//! It can take rows in, not out again. A frame that only grows from row to row, as one from the first row of the
//! partition on, takes in what is new and says its result again. The rows of any other
//! frame are kept and aggregated anew for each row that has one of its own.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::{concat, filter};
use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, not_impl_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Signature};
use thalweg_dataflow::Error;
use thalweg_dataflow::function::FunctionId;

use crate::aggregate::{ProgramAggregate, RunningAccumulator};
use crate::functions::{FunctionSignature, external, without_nulls};

/// The aggregate as DataFusion's frames call it; without a function it is only planned.
pub(super) fn aggregate(
    id: FunctionId,
    signature: FunctionSignature,
    function: Option<Arc<ProgramAggregate>>,
) -> AggregateUDF {
    AggregateUDF::from(Framed { planned: signature.planned(), id, signature, function })
}

#[derive(Debug)]
struct Framed {
    id: FunctionId,
    signature: FunctionSignature,
    planned: Signature,
    function: Option<Arc<ProgramAggregate>>,
}

impl PartialEq for Framed {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.signature) == (&other.id, &other.signature)
    }
}

impl Eq for Framed {}

impl Hash for Framed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.id, &self.signature).hash(state);
    }
}

impl Framed {
    fn kept(&self) -> Result<Kept, DataFusionError> {
        let none = self.signature.arguments.iter().map(|argument| new_empty_array(&argument.data_type));
        let none = none.collect();
        Ok(Kept { function: self.function()?, none, pieces: VecDeque::new(), called: self.called() })
    }

    fn function(&self) -> Result<Arc<ProgramAggregate>, DataFusionError> {
        let unbound = || external(Error::internal(format!("function '{}' is not bound", self.id)));
        self.function.clone().ok_or_else(unbound)
    }

    fn called(&self) -> Called {
        Called { skipping: self.signature.skipping(), result: None }
    }
}

impl AggregateUDFImpl for Framed {
    fn name(&self) -> &str {
        &self.signature.name
    }

    fn signature(&self) -> &Signature {
        &self.planned
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.signature.result.clone())
    }

    fn is_nullable(&self) -> bool {
        self.signature.nullable
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>, DataFusionError> {
        match self.function()?.running() {
            Some(growing) => {
                Ok(Box::new(Growing { inner: growing.map_err(external)?, called: self.called() }))
            }
            None => Ok(Box::new(self.kept()?)),
        }
    }

    fn create_sliding_accumulator(
        &self,
        _: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>, DataFusionError> {
        Ok(Box::new(self.kept()?))
    }

    /// The result of a frame without rows.
    fn default_value(&self, _: &DataType) -> Result<ScalarValue, DataFusionError> {
        self.kept()?.evaluate()
    }
}

/// What both kinds of accumulators have.
#[derive(Debug)]
struct Called {
    /// The arguments whose nulls leave a row out.
    skipping: Vec<usize>,
    /// The result, since the last change of the rows.
    result: Option<ScalarValue>,
}

impl Called {
    /// The rows that the function is called with, and how many they are.
    fn rows(&self, values: &[ArrayRef]) -> Result<(Vec<ArrayRef>, usize), DataFusionError> {
        let rows = match without_nulls(values, &self.skipping)? {
            None => values.to_vec(),
            Some(there) => values.iter().map(|column| filter(column, &there)).collect::<Result<_, _>>()?,
        };
        let count = rows.first().map_or(0, |column| column.len());
        Ok((rows, count))
    }

    /// Notes the result, a column of one row.
    fn learn(&mut self, result: ArrayRef) -> Result<ScalarValue, DataFusionError> {
        Ok(self.result.insert(ScalarValue::try_from_array(&result, 0)?).clone())
    }
}

/// The accumulator of a frame that only grows.
struct Growing {
    inner: Box<dyn RunningAccumulator>,
    called: Called,
}

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growing").field("called", &self.called).finish_non_exhaustive()
    }
}

impl Accumulator for Growing {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let (values, count) = self.called.rows(values)?;
        if count > 0 {
            self.called.result = None;
            self.inner.update(&values).map_err(external)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        match self.called.result.clone() {
            Some(known) => Ok(known),
            None => self.called.learn(self.inner.result().map_err(external)?),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        not_impl_err!("a frame is computed by one accumulator")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<(), DataFusionError> {
        not_impl_err!("a frame is computed by one accumulator")
    }
}

/// The accumulator of a frame that loses rows: the rows themselves.
#[derive(Debug)]
struct Kept {
    function: Arc<ProgramAggregate>,
    /// The columns of no rows.
    none: Vec<ArrayRef>,
    /// The columns of some rows each, of at least one, the oldest first.
    pieces: VecDeque<Vec<ArrayRef>>,
    called: Called,
}

impl Kept {
    /// What an accumulator of its own makes of all rows.
    fn compute(&self) -> Result<ArrayRef, DataFusionError> {
        let mut accumulator = self.function.groups().map_err(external)?;
        let column = |(index, none): (usize, &ArrayRef)| {
            let rows = self.pieces.iter().map(|piece| piece[index].as_ref());
            concat(&[none.as_ref()].into_iter().chain(rows).collect::<Vec<_>>())
        };
        let columns = self.none.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        let rows = columns.first().map_or(0, |column| column.len());
        accumulator.update_batch(&columns, &vec![0; rows], None, 1)?;
        accumulator.evaluate(EmitTo::All)
    }
}

impl Accumulator for Kept {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let (values, count) = self.called.rows(values)?;
        if count > 0 {
            self.called.result = None;
            self.pieces.push_back(values);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let (_, mut leaving) = self.called.rows(values)?;
        if leaving > 0 {
            self.called.result = None;
        }
        while leaving > 0
            && let Some(oldest) = self.pieces.pop_front()
        {
            let rows = oldest[0].len();
            if rows > leaving {
                let left = oldest.iter().map(|column| column.slice(leaving, rows - leaving)).collect();
                self.pieces.push_front(left);
            }
            leaving = leaving.saturating_sub(rows);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        match self.called.result.clone() {
            Some(known) => Ok(known),
            None => self.called.learn(self.compute()?),
        }
    }

    fn size(&self) -> usize {
        let columns = self.pieces.iter().flatten();
        size_of_val(self) + columns.map(|column| column.get_array_memory_size()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        not_impl_err!("a frame is computed by one accumulator")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<(), DataFusionError> {
        not_impl_err!("a frame is computed by one accumulator")
    }
}
