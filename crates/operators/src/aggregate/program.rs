//! Calls of a program's own aggregate functions.
//!
//! The accumulator cannot travel, so a call holds the name of a
//! [`ProgramAggregate`], which each process finds among its functions when an
//! operator is built. The state of a group is one column.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::{and, prep_null_mask_filter};
use arrow::datatypes::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::{Functions, Result};

use super::{DataFusionError, EmitTo, GroupsAccumulator};
use crate::expression::Expression;
use crate::functions::{FunctionSignature, without_nulls};

type Make = dyn Fn() -> Result<Box<dyn GroupsAccumulator>> + Send + Sync;
type MakeRunning = dyn Fn() -> Result<Box<dyn RunningAccumulator>> + Send + Sync;

/// The accumulator of one group that says its result again and again while rows come.
pub trait RunningAccumulator: Send + Sync {
    /// Takes in rows, at least one, of which these are the columns of the arguments.
    fn update(&mut self, values: &[ArrayRef]) -> Result<()>;

    /// The result of all rows so far, as a column of one row; more may follow.
    fn result(&mut self) -> Result<ArrayRef>;
}

/// What stands in [`Functions`] under the name of a program's aggregate.
///
/// Its accumulators hold to the contract of [`GroupsAccumulator`], with one
/// column as state, binary unless the call [says otherwise](ProgramCall::with_state). An operator empties an accumulator and fills it
/// again, any number of times: behind `EmitTo::All` it is like new. Where calls
/// are [split](ProgramCall::split), they also convert rows to states.
#[derive(Clone)]
pub struct ProgramAggregate {
    make: Arc<Make>,
    running: Option<Arc<MakeRunning>>,
}

impl ProgramAggregate {
    /// An aggregate whose accumulators are made by this.
    pub fn new(make: impl Fn() -> Result<Box<dyn GroupsAccumulator>> + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), running: None }
    }

    /// The same, with accumulators that need not begin again for the results of the first row, the first two, and so on.
    #[must_use]
    pub fn with_running(
        self,
        make: impl Fn() -> Result<Box<dyn RunningAccumulator>> + Send + Sync + 'static,
    ) -> Self {
        Self { running: Some(Arc::new(make)), ..self }
    }

    /// A new accumulator of many groups.
    pub(crate) fn groups(&self) -> Result<Box<dyn GroupsAccumulator>> {
        (self.make)()
    }

    /// A new accumulator of one group that grows, if there is such.
    pub(crate) fn running(&self) -> Option<Result<Box<dyn RunningAccumulator>>> {
        self.running.as_ref().map(|make| make())
    }
}

impl fmt::Debug for ProgramAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgramAggregate")
    }
}

/// A call of a program's aggregate, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramCall {
    function: FunctionId,
    arguments: Vec<Expression>,
    filter: Option<Expression>,
    /// The arguments whose nulls leave a row out.
    skipping: Vec<usize>,
    result: Field,
    state: DataType,
    splits: bool,
}

impl ProgramCall {
    /// A call over these columns, its results in a column like `result`.
    pub fn new(function: FunctionId, arguments: Vec<Expression>, result: Field) -> Self {
        let (filter, skipping) = (None, Vec::new());
        Self { function, arguments, filter, skipping, result, state: DataType::Binary, splits: false }
    }

    /// The same, over the rows for which `filter` is true.
    #[must_use]
    pub fn with_filter(self, filter: Option<Expression>) -> Self {
        Self { filter, ..self }
    }

    /// The same, without the rows that have a null which a function of this signature does not take.
    #[must_use]
    pub fn skipping_nulls(self, signature: &FunctionSignature) -> Self {
        Self { skipping: signature.skipping(), ..self }
    }

    /// The same, with states in a column of this type rather than a binary one.
    #[must_use]
    pub fn with_state(self, state: DataType) -> Self {
        Self { state, ..self }
    }

    /// The same, to be aggregated in parts before the shuffle: states are
    /// small, and to merge them in any order gives the same.
    #[must_use]
    pub fn split(self) -> Self {
        Self { splits: true, ..self }
    }

    pub(super) fn renamed(&self, name: String) -> Self {
        Self { result: self.result.clone().with_name(name), ..self.clone() }
    }

    pub(super) fn result(&self) -> &Field {
        &self.result
    }

    pub(super) fn arguments(&self) -> &[Expression] {
        &self.arguments
    }

    pub(super) fn filter(&self) -> Option<&Expression> {
        self.filter.as_ref()
    }

    pub(super) fn splits(&self) -> bool {
        self.splits
    }

    pub(super) fn state(&self) -> FieldRef {
        Arc::new(Field::new(format!("{}[state]", self.result.name()), self.state.clone(), true))
    }

    pub(super) fn accumulator(&self, functions: &Functions) -> Result<Box<dyn GroupsAccumulator>> {
        let inner = functions.get::<ProgramAggregate>(&self.function)?.groups()?;
        Ok(match self.skipping.is_empty() {
            true => inner,
            false => Box::new(SkippingNulls { inner, skipping: self.skipping.clone() }),
        })
    }
}

impl fmt::Display for ProgramCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        write!(f, "{}({})", self.function, arguments.join(", "))?;
        self.filter.iter().try_for_each(|filter| write!(f, " FILTER (WHERE {filter})"))
    }
}

/// An accumulator that never sees a row with a null among these arguments.
struct SkippingNulls {
    inner: Box<dyn GroupsAccumulator>,
    skipping: Vec<usize>,
}

impl SkippingNulls {
    /// The rows that are left of those that a filter leaves.
    fn rows(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Option<BooleanArray>, DataFusionError> {
        let there = without_nulls(values, &self.skipping)?;
        Ok(match (there, filter) {
            (Some(there), Some(filter)) if filter.null_count() == 0 => Some(and(&there, filter)?),
            (Some(there), Some(filter)) => Some(and(&there, &prep_null_mask_filter(filter))?),
            (Some(rows), None) => Some(rows),
            (None, filter) => filter.cloned(),
        })
    }
}

impl GroupsAccumulator for SkippingNulls {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<(), DataFusionError> {
        let rows = self.rows(values, filter)?;
        self.inner.update_batch(values, groups, rows.as_ref(), total_groups)
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        total_groups: usize,
    ) -> Result<(), DataFusionError> {
        self.inner.merge_batch(states, groups, total_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef, DataFusionError> {
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>, DataFusionError> {
        self.inner.state(emit_to)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>, DataFusionError> {
        self.inner.convert_to_state(values, self.rows(values, filter)?.as_ref())
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
