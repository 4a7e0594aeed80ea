//! What is computed of a group of rows: one call of an aggregate function.
//!
//! A call is plain data. It is of a function that DataFusion knows
//! ([`function`]), or of a program's own ([`ProgramAggregate`]).

mod extreme;
mod function;
mod grouping;
mod kept;
mod program;

pub use datafusion::error::DataFusionError;
pub use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
pub use grouping::Grouping;
pub(crate) use grouping::{CallColumns, Columns, Inputs, schema_of};
pub use program::{ProgramAggregate, ProgramCall, RunningAccumulator};

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Functions, Result};

use crate::expression::Expression;
use function::{Call, FunctionCall};

/// One aggregate function over the rows of each group: `sum(price) FILTER (WHERE ok)`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct AggregateCall(Kind);

#[derive(Clone)]
enum Kind {
    Function(FunctionCall),
    Program(ProgramCall),
}

/// The form in which a call travels.
#[derive(Clone, Serialize, Deserialize)]
enum Form {
    Function(Call),
    Program(ProgramCall),
}

impl AggregateCall {
    /// A call as DataFusion plans it, with its `FILTER`, over rows of `input`.
    ///
    /// All expressions must be planned as [`Expression::new`] asks; `input` is
    /// [`with_now`](crate::expression::with_now) of the operator's input schema if one of them
    /// reads the time. The result is named as the planned expression is.
    pub fn new(
        planned: &AggregateFunctionExpr,
        filter: Option<Arc<dyn PhysicalExpr>>,
        input: &SchemaRef,
    ) -> Result<Self> {
        FunctionCall::new(planned, filter, input).map(|call| Self(Kind::Function(call)))
    }

    /// A call of a program's own function.
    pub fn program(call: ProgramCall) -> Self {
        Self(Kind::Program(call))
    }

    /// The name of the result.
    pub fn name(&self) -> &str {
        match &self.0 {
            Kind::Function(call) => call.name(),
            Kind::Program(call) => call.result().name(),
        }
    }

    /// The same call, its result under another name.
    pub fn renamed(&self, name: impl Into<String>) -> Result<Self> {
        Ok(Self(match &self.0 {
            Kind::Function(call) => Kind::Function(call.renamed(name.into())?),
            Kind::Program(call) => Kind::Program(call.renamed(name.into())),
        }))
    }

    /// The column of results.
    pub fn field(&self) -> FieldRef {
        match &self.0 {
            Kind::Function(call) => call.field(),
            Kind::Program(call) => Arc::new(call.result().clone()),
        }
    }

    /// Whether equal arguments count once.
    pub fn is_distinct(&self) -> bool {
        match &self.0 {
            Kind::Function(call) => call.is_distinct(),
            Kind::Program(_) => false,
        }
    }

    /// Whether it pays, and changes nothing, to aggregate in parts and merge
    /// them: the state is small, and knows no order and no single values.
    pub fn splits(&self) -> bool {
        match &self.0 {
            Kind::Function(call) => call.splits(),
            Kind::Program(call) => call.splits(),
        }
    }

    /// Whether the result is the state: one column, the same before and after evaluation.
    pub(crate) fn is_its_state(&self) -> bool {
        match &self.0 {
            Kind::Function(call) => call.is_its_state(),
            Kind::Program(_) => false,
        }
    }

    /// Whether the call counts rows, whatever they hold: `count(*)`.
    pub(crate) fn counts_rows(&self) -> bool {
        match &self.0 {
            Kind::Function(call) => call.counts_rows(),
            Kind::Program(_) => false,
        }
    }

    /// The same call over all rows, equal ones too. Who calls it has to drop repetitions.
    pub(crate) fn without_distinct(&self) -> Result<Self> {
        Ok(Self(match &self.0 {
            Kind::Function(call) => Kind::Function(call.without_distinct()?),
            Kind::Program(call) => Kind::Program(call.clone()),
        }))
    }

    /// The call's arguments as they are written.
    pub(crate) fn arguments(&self) -> &[Expression] {
        match &self.0 {
            Kind::Function(call) => call.arguments(),
            Kind::Program(call) => call.arguments(),
        }
    }

    /// What an accumulator is fed with: arguments, and behind them what it orders by.
    pub(crate) fn fed(&self) -> Vec<Expression> {
        match &self.0 {
            Kind::Function(call) => call.fed().cloned().collect(),
            Kind::Program(call) => call.arguments().to_vec(),
        }
    }

    pub(crate) fn filter(&self) -> Option<&Expression> {
        match &self.0 {
            Kind::Function(call) => call.filter(),
            Kind::Program(call) => call.filter(),
        }
    }

    /// The columns of the state of a group.
    pub(crate) fn state_fields(&self) -> Result<Vec<FieldRef>> {
        match &self.0 {
            Kind::Function(call) => call.state_fields(),
            Kind::Program(call) => Ok(vec![call.state()]),
        }
    }

    /// A new accumulator for many groups.
    pub(crate) fn accumulator(&self, functions: &Functions) -> Result<Box<dyn GroupsAccumulator>> {
        match &self.0 {
            Kind::Function(call) => call.accumulator(),
            Kind::Program(call) => call.accumulator(functions),
        }
    }

    /// The state and the result of a group without rows, one row each.
    pub(crate) fn of_nothing(&self, functions: &Functions) -> Result<(Columns, ArrayRef)> {
        match &self.0 {
            Kind::Function(call) => call.of_nothing(),
            Kind::Program(call) => {
                let mut accumulator = call.accumulator(functions)?;
                let arguments: Columns =
                    call.arguments().iter().map(|e| new_empty_array(e.data_type())).collect();
                accumulator.update_batch(&arguments, &[], None, 1).map_err(failed)?;
                let state = accumulator.state(EmitTo::All).map_err(failed)?;
                accumulator.merge_batch(&state, &[0], 1).map_err(failed)?;
                Ok((state, accumulator.evaluate(EmitTo::All).map_err(failed)?))
            }
        }
    }
}

impl TryFrom<Form> for AggregateCall {
    type Error = Error;

    fn try_from(form: Form) -> Result<Self> {
        Ok(Self(match form {
            Form::Function(call) => Kind::Function(FunctionCall::build(call)?),
            Form::Program(call) => Kind::Program(call),
        }))
    }
}

impl From<AggregateCall> for Form {
    fn from(call: AggregateCall) -> Self {
        match call.0 {
            Kind::Function(call) => Form::Function(call.call),
            Kind::Program(call) => Form::Program(call),
        }
    }
}

impl fmt::Display for AggregateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Function(call) => fmt::Display::fmt(&call.call, f),
            Kind::Program(call) => fmt::Display::fmt(call, f),
        }
    }
}

impl fmt::Debug for AggregateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregateCall({self})")
    }
}

/// An accumulator failed: its own words, under our code unless it has one.
pub(crate) fn failed(error: DataFusionError) -> Error {
    if let Some(own) = crate::functions::own(&error) {
        return own;
    }
    Error::new(Code::OperatorFailed, "an aggregate cannot be computed").because(error.strip_backtrace())
}

/// A column of values of this type that may be null.
fn nullable(name: impl Into<String>, data_type: &DataType) -> Field {
    Field::new(name, data_type.clone(), true)
}

#[cfg(test)]
pub(crate) mod planned;
#[cfg(test)]
mod tests;
