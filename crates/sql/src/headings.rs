//! What the columns of a bare `SELECT` are called.
//!
//! A planner names what the user did not name in its own words:
//! `t.a + Int64(1)`. Rows that are shown are headed by what was written: `a + 1`.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::logical_expr::{Distinct, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast::{self, SelectItem, SetExpr};
use thalweg_dataflow::{Error, Result};

use crate::parser::normalise;

/// The most characters of a heading that was not given.
const HEADING_CHARS_MAX: usize = 80;

/// The plan of a query with its columns named as they are written.
pub(crate) fn name(plan: LogicalPlan, query: &ast::Query) -> Result<LogicalPlan> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(plan) };
    match plan {
        LogicalPlan::Distinct(Distinct::All(inner)) => {
            let inner = named(Arc::unwrap_or_clone(inner), select)?;
            Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(inner))))
        }
        plan => named(plan, select),
    }
}

fn named(plan: LogicalPlan, select: &ast::Select) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(projection) = &plan else { return Ok(plan) };
    if select.projection.len() != projection.expr.len() {
        return Ok(plan);
    }
    let planned: Vec<&str> = projection.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut names: Vec<String> = Vec::with_capacity(planned.len());
    for (item, planned) in select.projection.iter().zip(&planned) {
        names.push(heading(item, planned).unwrap_or_else(|| (*planned).to_owned()));
    }
    let distinct: HashSet<&String> = names.iter().collect();
    if distinct.len() < names.len() || names.iter().zip(&planned).all(|(name, planned)| name == planned) {
        return Ok(plan);
    }
    let named = projection.expr.iter().zip(&names).zip(&planned);
    let expressions = named.map(|((expr, name), planned)| match name == planned {
        true => expr.clone(),
        false => expr.clone().unalias().alias(name),
    });
    Projection::try_new(expressions.collect(), Arc::clone(&projection.input))
        .map(LogicalPlan::Projection)
        .map_err(|e| Error::internal("the columns of a query cannot be named").because(e))
}

/// What a column is called, if the planner's name is not the one that was written.
fn heading(item: &SelectItem, planned: &str) -> Option<String> {
    let SelectItem::UnnamedExpr(written) = item else { return None };
    let text = match written {
        ast::Expr::Identifier(_) => return None,
        // A table's column, or a field of a struct: both are called by their last name.
        ast::Expr::CompoundIdentifier(parts) => normalise(parts.last()?),
        other => other.to_string(),
    };
    let short = text.chars().nth(HEADING_CHARS_MAX).is_none();
    (short && !text.eq_ignore_ascii_case(planned)).then_some(text)
}
