//! What is computed of a row and its neighbours: one call of a window function.
//!
//! A call is plain data. How it is computed is DataFusion's: rows come sorted,
//! one partition at a time.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::windows::create_window_expr;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::{Code, Error, Functions, Result};

use super::{Ranking, program};
use crate::aggregate::ProgramAggregate;
use crate::expression::Expression;
use crate::functions::{self, FunctionSignature};

/// The most rows of one window; its rows are counted by 32 bits.
const ROWS_MAX: u64 = u32::MAX as u64;

/// One window function over the rows of each partition: `sum(price)` of `sum(price) OVER (…)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowCall {
    function: String,
    family: Family,
    arguments: Vec<Expression>,
    filter: Option<Expression>,
    #[serde(with = "frame")]
    frame: WindowFrame,
    distinct: bool,
    ignore_nulls: bool,
    name: String,
}

/// Where the function is looked up; some names are in several families.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Family {
    /// `sum`, over the rows of a frame.
    Aggregate,
    /// `row_number`, `lag`: functions that exist in `OVER` only.
    Window,
    /// A program's own aggregate of this signature, by its id.
    Program(FunctionSignature),
}

impl WindowCall {
    /// A call whose result has this name.
    ///
    /// All expressions read the operator's input, are columns or literals, and
    /// `frame` is one that DataFusion's planner let pass.
    pub fn new(
        function: &WindowFunctionDefinition,
        arguments: Vec<Expression>,
        frame: WindowFrame,
        name: impl Into<String>,
    ) -> Self {
        let (family, function) = match function {
            WindowFunctionDefinition::AggregateUDF(function) => (Family::Aggregate, function.name()),
            WindowFunctionDefinition::WindowUDF(function) => (Family::Window, function.name()),
        };
        Self::of(family, function.to_owned(), arguments, frame, name.into())
    }

    /// A call of a program's own aggregate, as of [`WindowCall::new`].
    pub fn program(
        function: FunctionId,
        signature: FunctionSignature,
        arguments: Vec<Expression>,
        frame: WindowFrame,
        name: impl Into<String>,
    ) -> Self {
        Self::of(Family::Program(signature), function.0, arguments, frame, name.into())
    }

    fn of(
        family: Family,
        function: String,
        arguments: Vec<Expression>,
        frame: WindowFrame,
        name: String,
    ) -> Self {
        Self {
            function,
            family,
            arguments,
            filter: None,
            frame: within_window(frame),
            distinct: false,
            ignore_nulls: false,
            name,
        }
    }

    /// The same call over the rows for which `filter` is true.
    #[must_use]
    pub fn with_filter(self, filter: Option<Expression>) -> Self {
        Self { filter, ..self }
    }

    /// The same call, in which equal arguments count once.
    #[must_use]
    pub fn with_distinct(self, distinct: bool) -> Self {
        Self { distinct, ..self }
    }

    /// The same call, which passes over nulls.
    #[must_use]
    pub fn with_ignore_nulls(self, ignore_nulls: bool) -> Self {
        Self { ignore_nulls, ..self }
    }

    /// The same call, its result under another name.
    #[must_use]
    pub fn renamed(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The place in its partition that the call gives a row, if that is what it does.
    pub fn ranking(&self) -> Option<Ranking> {
        match (&self.family, self.function.as_str()) {
            (Family::Window, "row_number") => Some(Ranking::RowNumber),
            (Family::Window, "rank") => Some(Ranking::Rank),
            (Family::Window, "dense_rank") => Some(Ranking::DenseRank),
            (Family::Window | Family::Aggregate | Family::Program(_), _) => None,
        }
    }

    /// The call over rows of `input` that are sorted by `order`, if it has a meaning. A program's function is not there yet.
    pub(super) fn check(&self, order: &[PhysicalSortExpr], input: &SchemaRef) -> Result<PlannedCall> {
        self.planned(order, input, None)
    }

    /// The call, ready to be computed over rows of `input` that are sorted by `order`.
    pub(super) fn plan(
        &self,
        order: &[PhysicalSortExpr],
        input: &SchemaRef,
        functions: &Functions,
    ) -> Result<PlannedCall> {
        let program = match &self.family {
            Family::Program(_) => Some(functions.get(&FunctionId(self.function.clone()))?),
            Family::Aggregate | Family::Window => None,
        };
        self.planned(order, input, program)
    }

    fn planned(
        &self,
        order: &[PhysicalSortExpr],
        input: &SchemaRef,
        program: Option<Arc<ProgramAggregate>>,
    ) -> Result<PlannedCall> {
        let physical = self.physical(order, input, program).map_err(|e| {
            Error::new(Code::InvalidQuery, format!("'{self}' cannot be computed over the rows of a window"))
                .because(e.message())
                .with_help("see its arguments and its frame; every aggregate can do a frame that begins at UNBOUNDED PRECEDING")
        })?;
        let field = physical.field().map_err(failed)?;
        Ok(PlannedCall { physical, field })
    }

    fn physical(
        &self,
        order: &[PhysicalSortExpr],
        input: &SchemaRef,
        program: Option<Arc<ProgramAggregate>>,
    ) -> Result<Arc<dyn WindowExpr>, DataFusionError> {
        let function = match &self.family {
            Family::Aggregate => {
                WindowFunctionDefinition::AggregateUDF(functions::context().udaf(&self.function)?)
            }
            Family::Window => WindowFunctionDefinition::WindowUDF(functions::context().udwf(&self.function)?),
            Family::Program(signature) => {
                let id = FunctionId(self.function.clone());
                let aggregate = program::aggregate(id, signature.clone(), program);
                WindowFunctionDefinition::AggregateUDF(Arc::new(aggregate))
            }
        };
        let arguments: Vec<Arc<dyn PhysicalExpr>> =
            self.arguments.iter().map(|argument| Arc::clone(argument.physical())).collect();
        let physical = create_window_expr(
            &function,
            self.name.clone(),
            &arguments,
            &[],
            order,
            Arc::new(self.frame.clone()),
            Arc::clone(input),
            self.ignore_nulls,
            self.distinct,
            self.filter.as_ref().map(|filter| Arc::clone(filter.physical())),
        )?;
        match self.family {
            // What cannot be computed over such a frame says so only when it is begun.
            Family::Aggregate | Family::Window => drop(physical.create_window_fn()?),
            Family::Program(_) => {}
        }
        Ok(physical)
    }
}

impl fmt::Display for WindowCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let arguments = match (self.function.as_str(), arguments.as_slice()) {
            ("count", [all]) if all == "1" => "*".to_owned(),
            (_, arguments) => arguments.join(", "),
        };
        write!(f, "{}({distinct}{arguments})", self.function)?;
        if self.ignore_nulls {
            f.write_str(" IGNORE NULLS")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " FILTER (WHERE {filter})")?;
        }
        let frame = self.frame.to_string();
        let usual = [None, Some(false), Some(true)].map(|order| WindowFrame::new(order).to_string());
        if !usual.contains(&frame) {
            write!(f, " {}", frame.to_lowercase())?;
        }
        Ok(())
    }
}

/// The frame without offsets that are longer than any window, for which DataFusion's arithmetic has no room.
fn within_window(mut frame: WindowFrame) -> WindowFrame {
    let counts_rows = matches!(frame.units, WindowFrameUnits::Rows | WindowFrameUnits::Groups);
    for bound in [&mut frame.start_bound, &mut frame.end_bound] {
        if let WindowFrameBound::Preceding(ScalarValue::UInt64(Some(offset)))
        | WindowFrameBound::Following(ScalarValue::UInt64(Some(offset))) = bound
            && counts_rows
        {
            *offset = ROWS_MAX.min(*offset);
        }
    }
    frame
}

/// A call that is ready to be computed.
pub(super) struct PlannedCall {
    physical: Arc<dyn WindowExpr>,
    field: FieldRef,
}

impl PlannedCall {
    /// The column of results.
    pub(super) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// One value per row of a partition, which is sorted and not empty.
    pub(super) fn evaluate(&self, partition: &RecordBatch) -> Result<ArrayRef> {
        let column = self.physical.evaluate(partition).map_err(failed)?;
        if column.data_type() == self.field.data_type() {
            return Ok(column);
        }
        cast(&column, self.field.data_type()).map_err(|e| failed(e.into()))
    }
}

/// A function failed: its own words, under our code; a program's under its own.
pub(super) fn failed(error: DataFusionError) -> Error {
    if let Some(own) = functions::own(&error) {
        return own;
    }
    Error::new(Code::OperatorFailed, "a function over the rows of a window cannot be computed")
        .because(error.strip_backtrace())
}

/// A frame as protobuf bytes.
mod frame {
    use datafusion::logical_expr::WindowFrame;
    use datafusion_proto::protobuf;
    use prost::Message;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(frame: &WindowFrame, serializer: S) -> Result<S::Ok, S::Error> {
        let frame = protobuf::WindowFrame::try_from(frame).map_err(S::Error::custom)?;
        frame.encode_to_vec().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WindowFrame, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let frame = protobuf::WindowFrame::decode(bytes.as_slice()).map_err(D::Error::custom)?;
        WindowFrame::try_from(frame).map_err(D::Error::custom)
    }
}
