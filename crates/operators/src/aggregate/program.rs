//! Calls of a program's own aggregate functions.
//!
//! The accumulator cannot travel, so a call holds the name of a
//! [`ProgramAggregate`], which each process finds among its functions when an
//! operator is built. The state of a group is one column.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::{Functions, Result};

use super::GroupsAccumulator;
use crate::expression::Expression;

type Make = dyn Fn() -> Result<Box<dyn GroupsAccumulator>> + Send + Sync;

/// What stands in [`Functions`] under the name of a program's aggregate.
///
/// Its accumulators hold to the contract of [`GroupsAccumulator`], with one
/// column as state, binary unless the call [says otherwise](ProgramCall::with_state). An operator empties an accumulator and fills it
/// again, any number of times: behind `EmitTo::All` it is like new. Where calls
/// are [split](ProgramCall::split), they also convert rows to states.
pub struct ProgramAggregate {
    make: Box<Make>,
}

impl ProgramAggregate {
    /// An aggregate whose accumulators are made by this.
    pub fn new(make: impl Fn() -> Result<Box<dyn GroupsAccumulator>> + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make) }
    }
}

/// A call of a program's aggregate, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramCall {
    function: FunctionId,
    arguments: Vec<Expression>,
    result: Field,
    state: DataType,
    splits: bool,
}

impl ProgramCall {
    /// A call over these columns, its results in a column like `result`.
    pub fn new(function: FunctionId, arguments: Vec<Expression>, result: Field) -> Self {
        Self { function, arguments, result, state: DataType::Binary, splits: false }
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

    pub(super) fn splits(&self) -> bool {
        self.splits
    }

    pub(super) fn state(&self) -> FieldRef {
        Arc::new(Field::new(format!("{}[state]", self.result.name()), self.state.clone(), true))
    }

    pub(super) fn accumulator(&self, functions: &Functions) -> Result<Box<dyn GroupsAccumulator>> {
        (functions.get::<ProgramAggregate>(&self.function)?.make)()
    }
}

impl fmt::Display for ProgramCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        write!(f, "{}({})", self.function, arguments.join(", "))
    }
}
