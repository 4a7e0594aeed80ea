//! What else must hold of a pair whose keys are equal.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, UInt32Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Functions, ProcessingTime, Result};

use crate::expression::{Expression, sql_type};
use crate::row_policy::{Computed, RowPolicy, compute};

/// A condition over those columns of a pair that it reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Residual {
    condition: Expression,
    /// The columns of a pair that are the condition's input, ascending.
    columns: Vec<usize>,
}

/// Rows of either side that go together.
pub(super) struct Pairs {
    pub(super) left: UInt32Array,
    pub(super) right: UInt32Array,
}

impl Residual {
    /// A condition over whole pairs.
    pub(super) fn new(condition: &Expression) -> Result<Self> {
        if condition.data_type() != &DataType::Boolean {
            let what = format!("condition '{condition}' is {}, not BOOLEAN", sql_type(condition.data_type()));
            return Err(Error::new(Code::TypeMismatch, what)
                .with_help("a condition is true or false: compare with something, as in a.x < b.x"));
        }
        let mut columns: Vec<usize> =
            collect_columns(condition.physical()).iter().map(Column::index).collect();
        columns.sort_unstable();
        let input: Vec<FieldRef> =
            columns.iter().map(|&column| Arc::clone(&condition.input().fields()[column])).collect();
        let moved = |expr: Arc<dyn PhysicalExpr>| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let index = columns.binary_search(&column.index()).expect("it was just collected");
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as _))
        };
        let physical = Arc::clone(condition.physical())
            .transform_up(moved)
            .map_err(|e| Error::internal("a condition's columns cannot be moved").because(e))?;
        if condition.needs_now() {
            // The time is no column of the rows: it is put behind them when they are judged.
            columns.pop();
        }
        Ok(Self { condition: Expression::new(physical.data, Arc::new(Schema::new(input)))?, columns })
    }

    pub(super) fn condition(&self) -> &Expression {
        &self.condition
    }

    /// The same, with the program's functions that the condition calls.
    pub(super) fn bound(&self, functions: &Functions) -> Result<Self> {
        Ok(Self { condition: self.condition.bound(functions)?, columns: self.columns.clone() })
    }

    /// The pairs for which the condition is true. `column` gives a column of all pairs.
    pub(super) fn keep(
        &self,
        pairs: Pairs,
        policy: RowPolicy,
        now: ProcessingTime,
        column: impl FnMut(usize) -> Result<ArrayRef>,
    ) -> Result<Pairs> {
        let records = self.records(&pairs, now, self.columns.iter().copied().map(column))?;
        // Computing may drop rows, so the pairs stand beside what is computed of them.
        let Computed { records, columns, .. } =
            compute(std::slice::from_ref(&self.condition), records, policy)?;
        let broken = |e| Error::internal("pairs cannot be chosen").because(e);
        let keep = columns[0]
            .as_boolean_opt()
            .ok_or_else(|| Error::internal(format!("condition '{}' gave no booleans", self.condition)))?;
        let kept = |column: usize| -> Result<UInt32Array> {
            let kept = filter(records.column(column), keep).map_err(broken)?;
            Ok(kept.as_primitive::<UInt32Type>().clone())
        };
        let count = records.num_columns();
        Ok(Pairs { left: kept(count - 2)?, right: kept(count - 1)? })
    }

    /// The condition's input, with the row numbers of both sides behind it.
    fn records(
        &self,
        pairs: &Pairs,
        now: ProcessingTime,
        columns: impl Iterator<Item = Result<ArrayRef>>,
    ) -> Result<RecordBatch> {
        let mut fields: Vec<FieldRef> = self.condition.input().fields().iter().cloned().collect();
        let mut columns = columns.collect::<Result<Vec<_>>>()?;
        if self.condition.needs_now() {
            columns.push(Arc::new(TimestampNanosecondArray::from_value(now.0, pairs.left.len())));
        }
        let number = |name| Arc::new(Field::new(name, DataType::UInt32, false));
        fields.extend([number("_left"), number("_right")]);
        columns.extend([Arc::new(pairs.left.clone()) as ArrayRef, Arc::new(pairs.right.clone())]);
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|e| Error::internal("the columns of pairs do not fit their condition").because(e))
    }
}
