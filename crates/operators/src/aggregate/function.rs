//! Calls of functions that DataFusion knows.
//!
//! Accumulators are DataFusion's, vectorised over groups where DataFusion has
//! such, else one per group behind its adapter; only for the least and greatest
//! of floats there is one of ours (`extreme`). Two things DataFusion asks of its
//! plans rather than of some accumulators: rows in the order of an `ORDER BY`,
//! and each `DISTINCT` row once. For such functions the rows of a group are
//! kept until it is complete (`kept`).

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Accumulator, AggregateUDF, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr, PhysicalSortExpr};
use datafusion::scalar::ScalarValue;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, Result};

use super::kept::KeptRows;
use super::{Columns, extreme, failed};
use crate::expression::Expression;
use crate::functions;

/// Functions whose first argument is what they order by, written `WITHIN GROUP`.
const ORDERED_SETS: [&str; 3] =
    ["percentile_cont", "approx_percentile_cont", "approx_percentile_cont_with_weight"];

/// A call of a function that DataFusion knows.
#[derive(Clone)]
pub(super) struct FunctionCall {
    pub(super) call: Call,
    pub(super) physical: Arc<AggregateFunctionExpr>,
    pub(super) strategy: Strategy,
}

/// The form in which a call travels.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Call {
    function: String,
    pub(super) arguments: Vec<Expression>,
    pub(super) order_by: Vec<Ordering>,
    filter: Option<Expression>,
    pub(super) distinct: bool,
    ignore_nulls: bool,
    name: String,
}

/// One element of an `ORDER BY` inside a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ordering {
    expression: Expression,
    descending: bool,
    nulls_first: bool,
}

impl Ordering {
    pub(super) fn options(&self) -> SortOptions {
        SortOptions { descending: self.descending, nulls_first: self.nulls_first }
    }
}

/// Who sees to `ORDER BY` and `DISTINCT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// The accumulator, or there is nothing to see to.
    Native,
    /// We do: rows are kept, and fed to the accumulator as it wants them.
    Kept,
}

impl FunctionCall {
    pub(super) fn new(
        planned: &AggregateFunctionExpr,
        filter: Option<Arc<dyn PhysicalExpr>>,
        input: &SchemaRef,
    ) -> Result<Self> {
        let expression = |e: &Arc<dyn PhysicalExpr>| Expression::new(Arc::clone(e), Arc::clone(input));
        let ordering = |e: &PhysicalSortExpr| {
            let PhysicalSortExpr { expr, options: SortOptions { descending, nulls_first } } = e;
            Ok(Ordering { expression: expression(expr)?, descending: *descending, nulls_first: *nulls_first })
        };
        Self::build(Call {
            function: planned.fun().name().to_owned(),
            arguments: planned.expressions().iter().map(expression).collect::<Result<_>>()?,
            order_by: planned.order_bys().iter().map(ordering).collect::<Result<_>>()?,
            filter: filter.as_ref().map(expression).transpose()?,
            distinct: planned.is_distinct(),
            ignore_nulls: planned.ignore_nulls(),
            name: planned.name().to_owned(),
        })
    }

    pub(super) fn build(call: Call) -> Result<Self> {
        if let Some(filter) = call.filter.as_ref().filter(|filter| filter.data_type() != &DataType::Boolean) {
            return Err(Error::new(
                Code::TypeMismatch,
                format!("the filter of '{}' is not true or false", call.name),
            )
            .because(format!("'{filter}' is of type '{}'", filter.data_type())));
        }
        let function = functions::context().udaf(&call.function).map_err(|e| {
            Error::new(Code::UnknownFunction, format!("there is no aggregate function '{}'", call.function))
                .because(e)
        })?;
        let call = Call { distinct: call.distinct && !ignores_repetitions(&call.function), ..call };
        let planned = call.plan(Arc::clone(&function), Strategy::Native)?;
        let strategy = call.strategy(&planned);
        let physical = match strategy {
            Strategy::Native => planned,
            Strategy::Kept => call.plan(function, Strategy::Kept)?,
        };
        Ok(Self { call, physical, strategy })
    }

    /// The name of the result.
    pub(super) fn name(&self) -> &str {
        &self.call.name
    }

    /// The same call, its result under another name.
    pub(super) fn renamed(&self, name: String) -> Result<Self> {
        Self::build(Call { name, ..self.call.clone() })
    }

    /// The column of results.
    pub(super) fn field(&self) -> FieldRef {
        self.physical.field()
    }

    /// Whether equal arguments count once.
    pub(super) fn is_distinct(&self) -> bool {
        self.call.distinct
    }

    /// Whether it pays, and changes nothing, to aggregate in parts and merge
    /// them: the state is small, and knows no order and no single values.
    pub(super) fn splits(&self) -> bool {
        let small =
            |field: &FieldRef| field.data_type().is_primitive() || field.data_type() == &DataType::Boolean;
        let ordered = !self.call.order_by.is_empty() || self.strategy == Strategy::Kept;
        !self.call.distinct
            && !ordered
            && self.physical.groups_accumulator_supported()
            && (self.is_its_state() || self.state_fields().is_ok_and(|fields| fields.iter().all(small)))
    }

    /// Whether the result is the state: one column, the same before and after evaluation.
    pub(super) fn is_its_state(&self) -> bool {
        let function = self.call.function.as_str();
        let plain = matches!(
            function,
            "count" | "sum" | "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" | "bit_xor"
        );
        plain
            && !self.call.distinct
            && self.strategy == Strategy::Native
            && self.state_fields().is_ok_and(|fields| {
                fields.len() == 1 && fields[0].data_type() == self.physical.field().data_type()
            })
    }

    /// Whether the call counts rows, whatever they hold: `count(*)`.
    pub(super) fn counts_rows(&self) -> bool {
        self.strategy == Strategy::Native && self.call.counts_rows()
    }

    /// The same call over all rows, equal ones too. Who calls it has to drop repetitions.
    pub(super) fn without_distinct(&self) -> Result<Self> {
        Self::build(Call { distinct: false, ..self.call.clone() })
    }

    /// The call's arguments as they are written.
    pub(super) fn arguments(&self) -> &[Expression] {
        &self.call.arguments
    }

    /// What an accumulator is fed with: arguments, and behind them what it orders by.
    pub(super) fn fed(&self) -> impl Iterator<Item = &Expression> {
        let insensitive =
            self.physical.order_sensitivity().is_insensitive() && self.strategy == Strategy::Native;
        let order_by = if insensitive { &[] } else { &self.call.order_by[..] };
        self.call.arguments.iter().chain(order_by.iter().map(|o| &o.expression))
    }

    pub(super) fn filter(&self) -> Option<&Expression> {
        self.call.filter.as_ref()
    }

    /// The columns of the state of a group.
    pub(super) fn state_fields(&self) -> Result<Vec<FieldRef>> {
        match self.strategy {
            Strategy::Native => self.physical.state_fields().map_err(failed),
            Strategy::Kept => Ok(vec![Arc::new(KeptRows::state_field(self))]),
        }
    }

    /// A new accumulator for many groups.
    pub(super) fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        if self.strategy == Strategy::Native && self.is_vectorised() {
            if let Some(ours) = extreme::of_floats(&self.call.function, self.physical.field().data_type()) {
                return Ok(ours);
            }
            return self.physical.create_groups_accumulator().map_err(failed);
        }
        self.create_row_accumulator().map_err(failed)?;
        let call = self.clone();
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || call.create_row_accumulator())))
    }

    /// Whether DataFusion has an accumulator for many groups. Where values are
    /// to be distinct, only that of `count` is to be trusted: others ignore it.
    fn is_vectorised(&self) -> bool {
        self.physical.groups_accumulator_supported() && (!self.call.distinct || self.call.function == "count")
    }

    /// The state and the result of a group without rows, one row each.
    pub(super) fn of_nothing(&self) -> Result<(Columns, ArrayRef)> {
        let array = |scalar: ScalarValue| scalar.to_array().map_err(failed);
        let state = self.create_row_accumulator().map_err(failed)?.state().map_err(failed)?;
        let result = self.create_row_accumulator().map_err(failed)?.evaluate().map_err(failed)?;
        Ok((state.into_iter().map(array).collect::<Result<_>>()?, array(result)?))
    }

    fn create_row_accumulator(&self) -> Result<Box<dyn Accumulator>, DataFusionError> {
        match self.strategy {
            Strategy::Native => self.physical.create_accumulator(),
            Strategy::Kept => Ok(Box::new(KeptRows::new(self)?)),
        }
    }
}

impl Call {
    fn counts_rows(&self) -> bool {
        let constant =
            |e: &Expression| e.physical().downcast_ref::<Literal>().is_some_and(|l| !l.value().is_null());
        let counts = self.function == "count" && !self.distinct;
        counts && matches!(&self.arguments[..], [argument] if constant(argument))
    }

    /// Who sees to `ORDER BY` and `DISTINCT`, if `planned` is the call as it is written.
    fn strategy(&self, planned: &AggregateFunctionExpr) -> Strategy {
        let function = self.function.as_str();
        let drops_repetitions = matches!(
            function,
            "count" | "sum" | "avg" | "median" | "array_agg" | "string_agg" | "percentile_cont" | "bit_xor"
        );
        // DataFusion's `string_agg(DISTINCT …)` sorts by itself, though it says that it cannot.
        let sorts = !planned.order_sensitivity().hard_requires()
            || self.distinct && function == "string_agg"
            || planned.fun().supports_within_group_clause();
        if sorts && (drops_repetitions || !self.distinct) { Strategy::Native } else { Strategy::Kept }
    }

    fn plan(&self, function: Arc<AggregateUDF>, strategy: Strategy) -> Result<Arc<AggregateFunctionExpr>> {
        let native = strategy == Strategy::Native;
        let Some(argument) = self.arguments.first() else {
            return Err(Error::internal(format!("aggregate '{}' is planned without an argument", self.name)));
        };
        let order_by = self
            .order_by
            .iter()
            .filter(|_| native)
            .map(|o| PhysicalSortExpr { expr: Arc::clone(o.expression.physical()), options: o.options() });
        let arguments = self.arguments.iter().map(|e| Arc::clone(e.physical())).collect();
        let planned = AggregateExprBuilder::new(function, arguments)
            .schema(Arc::clone(argument.input()))
            .order_by(order_by.collect())
            .with_distinct(self.distinct && native)
            .with_ignore_nulls(self.ignore_nulls)
            .alias(&self.name)
            .build();
        planned.map(Arc::new).map_err(|e| {
            Error::new(Code::InvalidAggregate, format!("'{}' cannot be computed", self.name))
                .because(e.strip_backtrace())
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |parts: &[String]| parts.join(", ");
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        let order_by: Vec<String> = self.order_by.iter().map(ToString::to_string).collect();
        let ordered_set = !order_by.is_empty() && ORDERED_SETS.contains(&self.function.as_str());
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        match (&arguments[..], &order_by[..]) {
            ([_], []) if self.counts_rows() => write!(f, "count(*)")?,
            ([_, rest @ ..], _) if ordered_set => {
                write!(
                    f,
                    "{}({}) WITHIN GROUP (ORDER BY {})",
                    self.function,
                    joined(rest),
                    joined(&order_by)
                )?;
            }
            (_, []) => write!(f, "{}({distinct}{})", self.function, joined(&arguments))?,
            (_, _) => {
                let arguments = joined(&arguments);
                write!(f, "{}({distinct}{arguments} ORDER BY {})", self.function, joined(&order_by))?;
            }
        }
        self.filter.iter().try_for_each(|filter| write!(f, " FILTER (WHERE {filter})"))
    }
}

impl fmt::Display for Ordering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { " DESC" } else { "" };
        let nulls = match (self.descending, self.nulls_first) {
            (false, false) | (true, true) => "",
            (false, true) => " NULLS FIRST",
            (true, false) => " NULLS LAST",
        };
        write!(f, "{}{direction}{nulls}", self.expression)
    }
}

/// Whether an equal row more or less changes nothing.
fn ignores_repetitions(function: &str) -> bool {
    matches!(function, "min" | "max" | "bit_and" | "bit_or" | "bool_and" | "bool_or" | "approx_distinct")
}
