//! Expressions from SQL text, for tests.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::{SessionConfig, SessionContext};
use thalweg_dataflow::OperatorSpec;
use thalweg_dataflow::text::read_schema;
use thalweg_testkit::{Driver, OnBarrier};

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

/// A stream of rows, the same each time, with barriers and watermarks between them. `row` is told dice,
/// and a time in seconds at which no row is late.
pub(crate) fn rows_and_barriers(columns: &str, row: impl Fn(u64, i64) -> String) -> String {
    let mut stream = format!("columns {columns}\n");
    for number in 0..120_u64 {
        let dice = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        stream += &format!("{}\n", row(dice, (number / 4) as i64 + (dice % 9) as i64));
        if number % 20 == 19 {
            stream += "barrier\n";
        }
        if number % 30 == 29 {
            stream += &format!("wm {}\n", number / 4);
        }
    }
    stream + "end\n"
}

/// What an operator makes of a stream, with its barriers, as a stream for the operator behind it.
pub(crate) fn stream_behind(before: &dyn OperatorSpec, columns: &str, stream: &str) -> String {
    let mut driver = Driver::new(before, 8192, OnBarrier::GoOn).unwrap();
    let mut behind = format!("columns {columns}\n");
    let (header, rows) = stream.split_once('\n').unwrap();
    for (number, part) in rows.split("barrier\n").enumerate() {
        behind += if number > 0 { "barrier\n" } else { "" };
        behind += &driver.run(&format!("{header}\n{part}")).unwrap();
    }
    behind
}
