//! A plan's expressions over a stream's columns.
//!
//! Marks become columns here: `row_time()` is `_timestamp`, and the time of
//! day is a column that the operator appends when it takes a batch.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, cast};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::create_physical_expr;
use thalweg_dataflow::column_type::sql_type;
use thalweg_dataflow::{Code, Error, Result, columns};
use thalweg_operators::Expression;
use thalweg_operators::aggregate::{AggregateCall, ProgramCall};
use thalweg_operators::expression::{NOW_COLUMN, with_now};

use super::graph::Stream;
use crate::foreign::ForeignAggregate;
use crate::markers::Marker;

/// The functions that ask for the time of day, by their first name.
const TIME_OF_DAY: [&str; 3] = ["now", "current_date", "current_time"];

/// `expr` over a stream that gives the rows of a plan's node with this schema.
pub(super) fn compile(expr: &Expr, plan: &DFSchema, stream: &Stream) -> Result<Expression> {
    let scope = Scope { plan, width: stream.width, schema: &stream.schema };
    scope.expression(expr).map_err(|e| unplannable(expr, &e))
}

/// An aggregate call over a stream that gives the rows of a plan's node with this schema.
pub(super) fn compile_call(expr: &Expr, plan: &DFSchema, stream: &Stream) -> Result<AggregateCall> {
    let scope = Scope { plan, width: stream.width, schema: &stream.schema };
    scope.call(expr).map_err(|e| unplannable(expr, &e))
}

/// `expr` over columns without a table's name.
pub(super) fn compile_bare(expr: &Expr, schema: &SchemaRef) -> Result<Expression> {
    let scope = Scope { plan: DFSchema::empty_ref(), width: 0, schema };
    scope.expression(expr).map_err(|e| unplannable(expr, &e))
}

/// DataFusion plans `max` and `min` of values that have no order, and fails at the first rows.
pub(super) fn check_order(function: &str, argument: &DataType) -> Result<()> {
    if !["max", "min"].contains(&function) || !holds_map(argument) {
        return Ok(());
    }
    let what = format!("{function}() does not take {}", sql_type(argument));
    Err(Error::new(Code::TypeMismatch, what)
        .because("maps have no order")
        .with_help("compute it of a part of the value, such as m['key']"))
}

fn holds_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| holds_map(field.data_type())),
        DataType::List(item) => holds_map(item.data_type()),
        _ => false,
    }
}

fn unplannable(expr: &Expr, error: &DataFusionError) -> Error {
    crate::errors::carried(error).unwrap_or_else(|| {
        Error::new(Code::InvalidQuery, format!("expression '{expr}' cannot be computed"))
            .because(error.strip_backtrace())
    })
}

/// The columns that an expression may name.
struct Scope<'a> {
    /// How a plan names the first columns.
    plan: &'a DFSchema,
    /// How many these are; those behind have no table.
    width: usize,
    schema: &'a SchemaRef,
}

impl Scope<'_> {
    fn expression(&self, expr: &Expr) -> Result<Expression, DataFusionError> {
        let (expr, named, input) = self.resolve(expr)?;
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let physical = create_physical_expr(&expr, &named, &props, &context)?;
        Expression::new(physical, input).map_err(crate::errors::carry)
    }

    fn call(&self, expr: &Expr) -> Result<AggregateCall, DataFusionError> {
        if let Expr::AggregateFunction(function) = unaliased(expr)
            && let Some(aggregate) = ForeignAggregate::of(&function.func)
        {
            return self.foreign(aggregate, &function.params, expr.schema_name().to_string());
        }
        let (expr, named, input) = self.resolve(expr)?;
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let lowered = LoweredAggregateBuilder::new(&expr, &named, &input, &props, &context).build()?;
        let aggregate = &lowered.aggregate;
        for argument in aggregate.expressions() {
            check_order(aggregate.fun().name(), &argument.data_type(&input)?)
                .map_err(crate::errors::carry)?;
        }
        AggregateCall::new(aggregate, lowered.filter, &input).map_err(crate::errors::carry)
    }

    /// A call of an aggregate that is computed elsewhere.
    fn foreign(
        &self,
        aggregate: &ForeignAggregate,
        params: &AggregateFunctionParams,
        name: String,
    ) -> Result<AggregateCall, DataFusionError> {
        let signature = &aggregate.signature;
        aggregate
            .takes_rows_as_they_come(&[
                (params.distinct, "DISTINCT"),
                (!params.order_by.is_empty(), "ORDER BY"),
                (params.null_treatment.is_some(), "IGNORE NULLS"),
            ])
            .map_err(crate::errors::carry)?;
        let arguments =
            params.args.iter().map(|argument| self.expression(argument)).collect::<Result<_, _>>()?;
        let filter = params.filter.as_deref().map(|filter| self.expression(filter)).transpose()?;
        let result = Field::new(name, signature.result.clone(), signature.nullable);
        let call = ProgramCall::new(aggregate.id.clone(), arguments, result);
        Ok(AggregateCall::program(call.with_filter(filter).skipping_nulls(signature)))
    }

    /// The expression without marks, and the columns that it then reads.
    fn resolve(&self, expr: &Expr) -> Result<(Expr, DFSchema, SchemaRef), DataFusionError> {
        let clock = expr.exists(|e| Ok(asks_time_of_day(e)))?;
        let input = if clock { with_now(self.schema) } else { Arc::clone(self.schema) };
        let fields =
            input.fields().iter().enumerate().map(|(index, field)| self.name(index, field)).collect();
        let named = DFSchema::new_with_metadata(fields, Default::default())?;
        let expr = expr.clone().transform_up(|e| unmark(e, &named))?.data;
        Ok((expr, named, input))
    }

    fn name(&self, index: usize, field: &FieldRef) -> (Option<TableReference>, FieldRef) {
        if index >= self.width {
            return (None, Arc::clone(field));
        }
        let (table, named) = self.plan.qualified_field(index);
        (table.cloned(), Arc::new(field.as_ref().clone().with_name(named.name())))
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

fn unmark(expr: Expr, named: &DFSchema) -> Result<Transformed<Expr>, DataFusionError> {
    let own = |name: &str| Expr::Column(Column::new_unqualified(name));
    if let Some((Marker::RowTime, _)) = Marker::of(&expr) {
        return Ok(Transformed::yes(own(columns::TIMESTAMP)));
    }
    if asks_time_of_day(&expr) {
        let data_type = expr.get_type(named)?;
        return Ok(Transformed::yes(cast(own(NOW_COLUMN), data_type)));
    }
    Ok(Transformed::no(expr))
}

/// Whether an expression is the time of day.
pub(super) fn asks_time_of_day(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if TIME_OF_DAY.contains(&function.func.name()))
}
