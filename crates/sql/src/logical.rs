//! Queries as DataFusion's logical plans: planned, coerced, and optimised by
//! a chosen list of rules.
//!
//! Left out are rules that need an end of the input or statistics of it (a
//! stream has neither), and those that turn a query into rows without a
//! source. No start time is given, so `now()` stays a call.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DFSchema, DataFusionError, tree_node::TreeNode};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::{ExprSimplifier, SimplifyExpressions};
use datafusion::optimizer::{Analyzer, Optimizer, OptimizerContext};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use thalweg_dataflow::{Code, Error, Result, Span};

use crate::catalog::Catalog;
use crate::conditions;
use crate::context::{Context, Functions};
use crate::errors::Reader;
use crate::parser::Script;
use crate::windows;

/// Plans the queries of one script.
pub(crate) struct Logical<'a> {
    pub(crate) script: &'a Script<'a>,
    pub(crate) functions: &'a Functions,
}

/// An expression with what is known of its values.
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
}

impl Logical<'_> {
    /// A query as a plan with all types resolved and windows assigned, not yet optimised.
    pub(crate) fn query(&self, catalog: &Catalog, query: &ast::Query, at: Span) -> Result<LogicalPlan> {
        let context = Context { catalog, functions: self.functions };
        let planner = SqlToRel::new_with_options(&context, self.parser_options());
        let statement = ast::Statement::Query(Box::new(query.clone()));
        let reader = self.reader(at);
        conditions::check(query, self.functions, self.script, at)?;
        let plan = planner.sql_statement_to_plan(statement).map_err(|e| match reader.is_condition(&e) {
            true => self.reader(conditions::only(query, self.functions, self.script).unwrap_or(at)).read(&e),
            false => reader.read(&e),
        })?;
        let plan = windows::assign(plan, catalog, self.script, at)?;
        self.analyse(plan).map_err(|e| reader.read(&e))
    }

    /// An expression over named columns, coerced and simplified.
    pub(crate) fn expression(&self, sql: &ast::Expr, at: Span, columns: &Schema) -> Result<Typed> {
        let reader = self.reader(at);
        self.typed(sql, at, columns).map_err(|e| reader.read(&e))
    }

    fn typed(&self, sql: &ast::Expr, at: Span, columns: &Schema) -> Result<Typed, DataFusionError> {
        let catalog = Catalog::default();
        let context = Context { catalog: &catalog, functions: self.functions };
        let planner = SqlToRel::new_with_options(&context, self.parser_options());
        let schema = Arc::new(DFSchema::try_from(columns.clone())?);
        let expr = planner.sql_to_expr(sql.clone(), &schema, &mut PlannerContext::new())?;
        let whole_rows = |e: &Expr| {
            matches!(e, Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::Unnest(_))
                || crate::markers::Marker::of(e).is_some()
        };
        if expr.exists(|e| Ok(whole_rows(e)))? {
            let error =
                Error::new(Code::InvalidColumn, "the expression is more than one of a single row's columns");
            return Err(crate::errors::carry(
                error.at(at).with_help("compute aggregates, windows and unnest in a query"),
            ));
        }
        let info = SimplifyContext::builder().with_schema(Arc::clone(&schema)).build();
        let simplifier = ExprSimplifier::new(info);
        let expr = simplifier.simplify(simplifier.coerce(expr, &schema)?)?;
        let (data_type, nullable) = (expr.get_type(&schema)?, expr.nullable(schema.as_ref())?);
        Ok(Typed { expr, data_type, nullable })
    }

    /// The plan after all rules that hold for streams. Columns that nobody reads are gone from its scans.
    pub(crate) fn optimise(&self, plan: LogicalPlan, at: Span) -> Result<LogicalPlan> {
        let config = OptimizerContext::new_with_config_options(Arc::new(self.functions.options().clone()))
            .without_query_execution_start_time()
            .with_skip_failing_rules(false);
        let sourceless = rows_without_source(&plan);
        let plan = optimizer().optimize(plan, &config, |_, _| {}).map_err(|e| self.reader(at).read(&e))?;
        if rows_without_source(&plan) > sourceless {
            // One row there is, and what it holds nobody asks.
            return Err(Error::new(
                Code::NotSupported,
                "a query over the one row of an aggregate that changes, of which it reads no column, is not supported",
            )
            .at(at)
            .with_help("read a column of the inner query, or group the inner query by a window"));
        }
        Ok(plan)
    }

    /// Resolves the types of a plan that was built, not read.
    pub(crate) fn coerce(&self, plan: LogicalPlan, at: Span) -> Result<LogicalPlan> {
        self.analyse(plan).map_err(|e| self.reader(at).read(&e))
    }

    fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        Analyzer::new().execute_and_check(plan, self.functions.options(), |_, _| {})
    }

    fn parser_options(&self) -> ParserOptions {
        ParserOptions::new().with_collect_spans(true).with_map_string_types_to_utf8view(false)
    }

    /// Reads DataFusion's errors of the statement at a place.
    pub(crate) fn reader(&self, at: Span) -> Reader<'_> {
        Reader { script: self.script, at, functions: self.functions }
    }
}

/// How many rows of a plan come from nowhere.
fn rows_without_source(plan: &LogicalPlan) -> usize {
    let own = usize::from(matches!(plan, LogicalPlan::EmptyRelation(_)));
    own + plan.inputs().into_iter().map(rows_without_source).sum::<usize>()
}

fn optimizer() -> Optimizer {
    Optimizer::with_rules(vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(windows::PushDownFilter::default()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ])
}
