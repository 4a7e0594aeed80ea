//! Expressions from SQL text, for tests.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::{SessionConfig, SessionContext};
use thalweg_dataflow::text::read_schema;

use crate::expression::Expression;

/// How deep an expression may be nested.
const RECURSION_MAX: usize = 500;

/// The schema of a `columns` line.
pub(crate) fn schema(columns: &str) -> SchemaRef {
    read_schema(columns).unwrap()
}

/// A SQL expression over rows of `input`.
pub(crate) fn expression(input: &SchemaRef, sql: &str) -> Expression {
    let config = SessionConfig::new().set_usize("datafusion.sql_parser.recursion_limit", RECURSION_MAX);
    let context = SessionContext::new_with_config(config);
    let columns = DFSchema::try_from(Arc::clone(input)).unwrap();
    let simplifier =
        ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::new(columns.clone())).build());
    let logical = context.parse_sql_expr(sql, &columns).unwrap();
    let logical = simplifier.simplify(simplifier.coerce(logical, &columns).unwrap()).unwrap();
    let physical = context.create_physical_expr(logical, &columns).unwrap();
    Expression::new(physical, Arc::clone(input)).unwrap()
}
