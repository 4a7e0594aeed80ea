//! Rows kept until they can be sorted.
//!
//! Functions such as `nth_value(x, 2 ORDER BY y)` need all rows of a group in
//! order. Their state is the rows; only at the end are they sorted and fed to
//! the function's own accumulator.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices, take_arrays};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::scalar::ScalarValue;

use super::{AggregateCall, nullable};

/// The rows of one group: arguments, and behind them what they are sorted by.
#[derive(Debug)]
pub(super) struct SortedRows {
    physical: Arc<AggregateFunctionExpr>,
    arguments: usize,
    options: Vec<SortOptions>,
    fields: Fields,
    rows: Vec<ArrayRef>,
}

impl SortedRows {
    pub(super) fn new(call: &AggregateCall) -> Result<Self, DataFusionError> {
        Ok(Self {
            physical: Arc::clone(&call.physical),
            arguments: call.call.arguments.len(),
            options: call.call.order_by.iter().map(super::Ordering::options).collect(),
            fields: Self::fields(call),
            rows: Vec::new(),
        })
    }

    fn fields(call: &AggregateCall) -> Fields {
        call.fed().enumerate().map(|(i, e)| nullable(format!("c{i}"), e.data_type())).collect()
    }

    /// The state as a column: a list of rows.
    pub(super) fn state_field(call: &AggregateCall) -> Field {
        nullable(format!("{}[rows]", call.name()), &DataType::List(row_field(Self::fields(call))))
    }

    fn all_rows(&self) -> Result<ArrayRef, DataFusionError> {
        if self.rows.is_empty() {
            return Ok(new_empty_array(&DataType::Struct(self.fields.clone())));
        }
        let rows: Vec<&dyn Array> = self.rows.iter().map(|r| r.as_ref()).collect();
        Ok(concat(&rows)?)
    }
}

fn row_field(fields: Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields), true))
}

impl Accumulator for SortedRows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let rows = StructArray::try_new(self.fields.clone(), values.to_vec(), None)?;
        self.rows.push(Arc::new(rows));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.rows.extend(states[0].as_list::<i32>().iter().flatten());
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>, DataFusionError> {
        let rows = self.all_rows()?;
        let offsets = OffsetBuffer::from_lengths([rows.len()]);
        let list = ListArray::try_new(row_field(self.fields.clone()), offsets, rows, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue, DataFusionError> {
        let rows = self.all_rows()?;
        let (arguments, order_by) = rows.as_struct().columns().split_at(self.arguments);
        let by: Vec<SortColumn> = order_by
            .iter()
            .zip(&self.options)
            .map(|(values, &options)| SortColumn { values: Arc::clone(values), options: Some(options) })
            .collect();
        let mut accumulator = self.physical.create_accumulator()?;
        if !rows.is_empty() {
            let order = lexsort_to_indices(&by, None)?;
            accumulator.update_batch(&take_arrays(arguments, &order, None)?)?;
        }
        accumulator.evaluate()
    }

    fn size(&self) -> usize {
        let held = |rows: &ArrayRef| rows.to_data().get_slice_memory_size().unwrap_or_default();
        size_of_val(self) + self.rows.iter().map(held).sum::<usize>()
    }
}
