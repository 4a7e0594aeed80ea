//! `INSERT INTO`: a query's columns, by position, as the table's.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, lit};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_operators::expression::sql_type;

use super::{Output, Query};
use crate::catalog::{RelationId, check_names};
use crate::errors::unknown_column;
use crate::logical::Logical;
use crate::parser::{CreateView, Insert};

/// The plan with the table's columns: cast to their types, under their names.
pub(super) fn fit(
    logical: &Logical<'_>,
    plan: LogicalPlan,
    table: &Schema,
    insert: &Insert,
) -> Result<LogicalPlan> {
    let targets = targets(table, insert)?;
    let given = plan.schema().fields().len();
    if given != targets.len() {
        return Err(wrong_count(&plan, table, &targets, insert));
    }
    let columns = plan.schema().columns();
    let mut expressions = Vec::with_capacity(table.fields().len());
    for (index, field) in table.fields().iter().enumerate() {
        let expr = match targets.iter().position(|&target| target == index) {
            Some(position) => {
                let column = Expr::Column(columns[position].clone());
                column.cast_to(field.data_type(), plan.schema().as_ref()).map_err(|_| {
                    let found = plan.schema().field(position);
                    mismatch(found, field, insert)
                })?
            }
            None => absent(field, insert)?,
        };
        expressions.push(expr.alias(field.name()));
    }
    let reader = logical.reader(insert.span);
    let plan = Projection::try_new(expressions, Arc::new(plan)).map_err(|e| reader.read(&e))?;
    logical.coerce(LogicalPlan::Projection(plan), insert.span)
}

/// The indices of the table's columns that the query fills, in the query's order.
fn targets(table: &Schema, insert: &Insert) -> Result<Vec<usize>> {
    if insert.columns.is_empty() {
        return Ok((0..table.fields().len()).collect());
    }
    let known: Vec<&str> = table.fields().iter().map(|field| field.name().as_str()).collect();
    let mut targets = Vec::with_capacity(insert.columns.len());
    for name in &insert.columns {
        let index = known.iter().position(|known| *known == name.text);
        let index = index.ok_or_else(|| unknown_column(&name.text, &known).at(name.span))?;
        if targets.contains(&index) {
            let what = format!("column '{}' is inserted into twice", name.text);
            return Err(Error::new(Code::InsertMismatch, what)
                .at(name.span)
                .with_help("name each column once"));
        }
        targets.push(index);
    }
    Ok(targets)
}

fn wrong_count(plan: &LogicalPlan, table: &Schema, targets: &[usize], insert: &Insert) -> Error {
    let given: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let wanted: Vec<&str> = targets.iter().map(|&index| table.field(index).name().as_str()).collect();
    let what = format!(
        "the query and table '{}' differ in their number of columns: {} and {}",
        insert.table.text,
        given.len(),
        wanted.len()
    );
    Error::new(Code::InsertMismatch, what)
        .because(format!("given are ({}), taken are ({})", given.join(", "), wanted.join(", ")))
        .at(insert.table.span)
        .with_help(
            "columns are matched by position: give as many as the table has, or name those that you fill",
        )
}

fn mismatch(found: &Field, wanted: &Field, insert: &Insert) -> Error {
    let what = format!(
        "column '{}' is {}, and cannot become {} for column '{}' of table '{}'",
        found.name(),
        sql_type(found.data_type()),
        sql_type(wanted.data_type()),
        wanted.name(),
        insert.table.text
    );
    Error::new(Code::InsertMismatch, what)
        .at(insert.table.span)
        .with_help("columns are matched by position; convert the value in the query")
}

/// A column that the insert does not name.
fn absent(field: &Field, insert: &Insert) -> Result<Expr> {
    if !field.is_nullable() {
        let what = format!(
            "column '{}' of table '{}' takes no null, and is not filled",
            field.name(),
            insert.table.text
        );
        return Err(Error::new(Code::InsertMismatch, what)
            .at(insert.table.span)
            .with_help("name the column in the insert too"));
    }
    let null = ScalarValue::try_from(field.data_type())
        .map_err(|e| Error::internal(format!("{} has no null", field.data_type())).because(e))?;
    Ok(lit(null))
}

/// For a sink without columns: they are those of its first insert, and all others must agree.
pub(super) fn infer(
    plan: LogicalPlan,
    queries: &[Query],
    table: RelationId,
    insert: &Insert,
) -> Result<LogicalPlan> {
    if !insert.columns.is_empty() {
        let what = format!("table '{}' declares no columns to name", insert.table.text);
        return Err(Error::new(Code::InsertMismatch, what)
            .at(insert.table.span)
            .with_help("take the names away, or declare the table's columns"));
    }
    let names =
        |plan: &LogicalPlan| plan.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    check_names(names(&plan).iter().map(String::as_str)).map_err(|e| e.at(insert.span))?;
    let first = queries.iter().find(|query| matches!(query.target, Output::Table(id) if id == table));
    let Some(first) = first else { return Ok(plan) };
    let shape = |plan: &LogicalPlan| -> Vec<String> {
        let fields = plan.schema().fields().iter();
        fields.map(|field| format!("{} {}", field.name(), sql_type(field.data_type()))).collect()
    };
    let (expected, found) = (shape(&first.plan), shape(&plan));
    if expected == found {
        return Ok(plan);
    }
    let what = format!("the inserts into table '{}' have different columns", insert.table.text);
    Err(Error::new(Code::InsertMismatch, what)
        .because(format!("the first gives ({}), this one ({})", expected.join(", "), found.join(", ")))
        .at(insert.table.span)
        .with_help("declare the table's columns, or give all inserts the same names and types"))
}

/// `CREATE VIEW v (a, b) AS …`.
pub(super) fn rename(plan: LogicalPlan, create: &CreateView) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    if columns.len() != create.columns.len() {
        let what =
            format!("the view names {} columns, its query has {}", create.columns.len(), columns.len());
        return Err(Error::new(Code::InvalidQuery, what)
            .at(create.name.span)
            .with_help("name as many columns as the query gives"));
    }
    let named = columns.into_iter().zip(&create.columns);
    let expressions = named.map(|(column, name)| Expr::Column(column).alias(&name.text)).collect();
    Projection::try_new(expressions, Arc::new(plan)).map(LogicalPlan::Projection).map_err(|e| {
        Error::new(Code::DuplicateName, "two columns of the view have the same name")
            .at(create.name.span)
            .because(e)
    })
}
