//! Rows kept until the group is complete.
//!
//! Functions such as `nth_value(x, 2 ORDER BY y)` need all rows of a group in
//! order, others such as `corr(DISTINCT x, y)` know no `DISTINCT`. Their state
//! is the rows; only at the end are repetitions dropped, the rest sorted, and
//! fed to the function's own accumulator.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices, take, take_arrays};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::scalar::ScalarValue;

use super::function::{FunctionCall, Ordering};
use super::nullable;

/// The most pieces that rows are kept in before they are joined, and repetitions dropped.
const PIECES_MAX: usize = 64;

/// The rows of one group: arguments, and behind them what they are sorted by.
#[derive(Debug)]
pub(super) struct KeptRows {
    physical: Arc<AggregateFunctionExpr>,
    arguments: usize,
    distinct: bool,
    options: Vec<SortOptions>,
    fields: Fields,
    rows: Vec<ArrayRef>,
}

impl KeptRows {
    pub(super) fn new(call: &FunctionCall) -> Result<Self, DataFusionError> {
        Ok(Self {
            physical: Arc::clone(&call.physical),
            arguments: call.call.arguments.len(),
            distinct: call.call.distinct,
            options: call.call.order_by.iter().map(Ordering::options).collect(),
            fields: Self::fields(call),
            rows: Vec::new(),
        })
    }

    fn fields(call: &FunctionCall) -> Fields {
        call.fed().enumerate().map(|(i, e)| nullable(format!("c{i}"), e.data_type())).collect()
    }

    /// The state as a column: a list of rows.
    pub(super) fn state_field(call: &FunctionCall) -> Field {
        nullable(format!("{}[rows]", call.name()), &DataType::List(row_field(Self::fields(call))))
    }

    fn all_rows(&self) -> Result<ArrayRef, DataFusionError> {
        if self.rows.is_empty() {
            return Ok(new_empty_array(&DataType::Struct(self.fields.clone())));
        }
        let rows: Vec<&dyn Array> = self.rows.iter().map(|r| r.as_ref()).collect();
        let rows = concat(&rows)?;
        if self.distinct { self.first_of_each(&rows) } else { Ok(rows) }
    }

    /// The rows without those whose arguments were there before.
    fn first_of_each(&self, rows: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
        let arguments = &rows.as_struct().columns()[..self.arguments];
        let fields = arguments.iter().map(|c| SortField::new(c.data_type().clone())).collect();
        let encoded = RowConverter::new(fields)?.convert_columns(arguments)?;
        let mut seen = HashSet::new();
        let first: UInt32Array =
            (0..).zip(&encoded).filter_map(|(i, row)| seen.insert(row).then_some(i)).collect();
        Ok(take(rows, &first, None)?)
    }

    fn join_pieces(&mut self) -> Result<(), DataFusionError> {
        if self.rows.len() > PIECES_MAX {
            self.rows = vec![self.all_rows()?];
        }
        Ok(())
    }
}

fn row_field(fields: Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields), true))
}

impl Accumulator for KeptRows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<(), DataFusionError> {
        let rows = StructArray::try_new(self.fields.clone(), values.to_vec(), None)?;
        self.rows.push(Arc::new(rows));
        self.join_pieces()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.rows.extend(states[0].as_list::<i32>().iter().flatten());
        self.join_pieces()
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
            let sorted = match by.is_empty() {
                true => arguments.to_vec(),
                false => take_arrays(arguments, &lexsort_to_indices(&by, None)?, None)?,
            };
            accumulator.update_batch(&sorted)?;
        }
        accumulator.evaluate()
    }

    fn size(&self) -> usize {
        let held = |rows: &ArrayRef| rows.to_data().get_slice_memory_size().unwrap_or_default();
        size_of_val(self) + self.rows.iter().map(held).sum::<usize>()
    }
}
