//! Expressions as a person would write them in SQL.
//!
//! For labels and errors only: what is printed is never read again. Columns
//! are named as the input schema names them, brackets stand only where they
//! are needed, and what has no form here is printed as DataFusion prints it.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal,
    NegativeExpr, NotExpr, TryCastExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use thalweg_dataflow::column_type::sql_type;
use thalweg_dataflow::columns::TIMESTAMP;

use super::NOW_COLUMN;

/// Deeper parts are printed as `…`; a chain of operators is as deep as it is long.
const DEPTH_MAX: usize = 64;

/// How tightly the parts of a text hold together: a looser part needs brackets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Comparison,
    Other,
    Sum,
    Product,
    Sign,
    Whole,
}

/// A text, and how tightly it holds together.
type Text = (String, Binding);

/// The expression over rows of `input`.
pub(super) fn print(expr: &Arc<dyn PhysicalExpr>, input: &Schema) -> String {
    Printer { input }.text(expr, 0).0
}

struct Printer<'a> {
    input: &'a Schema,
}

impl Printer<'_> {
    fn text(&self, expr: &Arc<dyn PhysicalExpr>, depth: usize) -> Text {
        if depth > DEPTH_MAX {
            return whole("…");
        }
        let next = depth + 1;
        if let Some(column) = expr.downcast_ref::<Column>() {
            return whole(self.column(column));
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            return whole(self::literal(literal.value()));
        }
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            return self.binary(binary, next);
        }
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
            return self.call(call, next);
        }
        if let Some(case) = expr.downcast_ref::<CaseExpr>() {
            return whole(self.case(case, next));
        }
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            return whole(self.cast("CAST", cast.expr(), cast.cast_type(), next));
        }
        if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
            return whole(self.cast("TRY_CAST", cast.expr(), cast.cast_type(), next));
        }
        self.condition(expr, next)
    }

    fn condition(&self, expr: &Arc<dyn PhysicalExpr>, depth: usize) -> Text {
        let side = |part: &Arc<dyn PhysicalExpr>| self.inside(part, Binding::Other, depth);
        if let Some(test) = expr.downcast_ref::<IsNullExpr>() {
            return (format!("{} IS NULL", side(test.arg())), Binding::Comparison);
        }
        if let Some(test) = expr.downcast_ref::<IsNotNullExpr>() {
            return (format!("{} IS NOT NULL", side(test.arg())), Binding::Comparison);
        }
        if let Some(list) = expr.downcast_ref::<InListExpr>() {
            let not = if list.negated() { "NOT " } else { "" };
            let text = format!("{} {not}IN ({})", side(list.expr()), self.list(list.list(), depth));
            return (text, Binding::Comparison);
        }
        if let Some(like) = expr.downcast_ref::<LikeExpr>() {
            let not = if like.negated() { "NOT " } else { "" };
            let word = if like.case_insensitive() { "ILIKE" } else { "LIKE" };
            let text = format!("{} {not}{word} {}", side(like.expr()), side(like.pattern()));
            return (text, Binding::Comparison);
        }
        if let Some(not) = expr.downcast_ref::<NotExpr>() {
            return (format!("NOT {}", self.inside(not.arg(), Binding::Not, depth)), Binding::Not);
        }
        if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
            return (format!("-{}", self.inside(negative.arg(), Binding::Whole, depth)), Binding::Sign);
        }
        whole(expr.to_string())
    }

    /// A part, in brackets if it holds together less tightly than what is around it.
    fn inside(&self, part: &Arc<dyn PhysicalExpr>, around: Binding, depth: usize) -> String {
        let (text, binding) = self.text(part, depth);
        if binding < around { format!("({text})") } else { text }
    }

    fn list(&self, parts: &[Arc<dyn PhysicalExpr>], depth: usize) -> String {
        parts.iter().map(|part| self.text(part, depth).0).collect::<Vec<_>>().join(", ")
    }

    fn column(&self, column: &Column) -> String {
        // The name within the expression is the planner's; the row's own is what the reader knows.
        let field = self.input.fields().get(column.index());
        match field.map_or(column.name(), |field| field.name()) {
            NOW_COLUMN => "now()".to_owned(),
            TIMESTAMP => "row_time()".to_owned(),
            name => name.to_owned(),
        }
    }

    fn binary(&self, binary: &BinaryExpr, depth: usize) -> Text {
        let binding = binding_of(binary.op());
        // Operators are read from the left: on the right the same one needs brackets, unless it does not matter.
        let right = match binary.op() {
            Operator::And | Operator::Or | Operator::StringConcat => binding,
            _ => tighter(binding),
        };
        let left = match binding {
            Binding::Comparison => tighter(binding),
            _ => binding,
        };
        let (left, right) =
            (self.inside(binary.left(), left, depth), self.inside(binary.right(), right, depth));
        (format!("{left} {} {right}", symbol(binary.op())), binding)
    }

    fn call(&self, call: &ScalarFunctionExpr, depth: usize) -> Text {
        if call.name() == "get_field"
            && let [object, path @ ..] = call.args()
            && let Some(path) = path.iter().map(field_name).collect::<Option<Vec<_>>>()
        {
            return whole(format!("{}.{}", self.inside(object, Binding::Whole, depth), path.join(".")));
        }
        whole(format!("{}({})", call.name(), self.list(call.args(), depth)))
    }

    fn case(&self, case: &CaseExpr, depth: usize) -> String {
        let text = |part: &Arc<dyn PhysicalExpr>| self.text(part, depth).0;
        let subject = case.expr().map_or(String::new(), |subject| format!(" {}", text(subject)));
        let branch = |(when, then): &(_, _)| format!(" WHEN {} THEN {}", text(when), text(then));
        let branches: String = case.when_then_expr().iter().map(branch).collect();
        let other = case.else_expr().map_or(String::new(), |other| format!(" ELSE {}", text(other)));
        format!("CASE{subject}{branches}{other} END")
    }

    fn cast(&self, word: &str, expr: &Arc<dyn PhysicalExpr>, to: &DataType, depth: usize) -> String {
        format!("{word}({} AS {})", self.text(expr, depth).0, sql_type(to))
    }
}

fn whole(text: impl Into<String>) -> Text {
    (text.into(), Binding::Whole)
}

fn binding_of(operator: &Operator) -> Binding {
    match operator {
        Operator::Or => Binding::Or,
        Operator::And => Binding::And,
        Operator::Plus | Operator::Minus => Binding::Sum,
        Operator::Multiply | Operator::Divide | Operator::Modulo => Binding::Product,
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom
        | Operator::LikeMatch
        | Operator::ILikeMatch
        | Operator::NotLikeMatch
        | Operator::NotILikeMatch => Binding::Comparison,
        _ => Binding::Other,
    }
}

fn tighter(binding: Binding) -> Binding {
    match binding {
        Binding::Or => Binding::And,
        Binding::And => Binding::Not,
        Binding::Not => Binding::Comparison,
        Binding::Comparison => Binding::Other,
        Binding::Other => Binding::Sum,
        Binding::Sum => Binding::Product,
        Binding::Product => Binding::Sign,
        Binding::Sign | Binding::Whole => Binding::Whole,
    }
}

fn symbol(operator: &Operator) -> String {
    match operator {
        Operator::NotEq => "<>".to_owned(),
        other => other.to_string(),
    }
}

/// A name that can stand behind a dot.
fn field_name(expr: &Arc<dyn PhysicalExpr>) -> Option<String> {
    let value = expr.downcast_ref::<Literal>()?.value().try_as_str()??;
    let plain = value.chars().all(|c| c.is_alphanumeric() || c == '_') && !value.is_empty();
    Some(if plain { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\"\"")) })
}

/// A value as SQL writes it.
fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    if let Some(Some(text)) = value.try_as_str() {
        return format!("'{}'", text.replace('\'', "''"));
    }
    match value {
        ScalarValue::Boolean(Some(true)) => "TRUE".to_owned(),
        ScalarValue::Boolean(Some(false)) => "FALSE".to_owned(),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            format!("INTERVAL '{}'", self::interval(interval))
        }
        ScalarValue::IntervalYearMonth(Some(months)) => {
            format!("INTERVAL '{}'", interval(&IntervalMonthDayNano::new(*months, 0, 0)))
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            let nanos = i64::from(v.milliseconds) * 1_000_000;
            format!("INTERVAL '{}'", interval(&IntervalMonthDayNano::new(0, v.days, nanos)))
        }
        other => match other.data_type() {
            DataType::Timestamp(..) => format!("TIMESTAMP '{}'", shown(other).replacen('T', " ", 1)),
            DataType::Date32 | DataType::Date64 => format!("DATE '{}'", shown(other)),
            DataType::Time32(_) | DataType::Time64(_) => format!("TIME '{}'", shown(other)),
            _ => shown(other),
        },
    }
}

fn shown(value: &ScalarValue) -> String {
    let array = value.to_array().ok();
    array.and_then(|array| array_value_to_string(&array, 0).ok()).unwrap_or_else(|| value.to_string())
}

/// `1 day 2 hours`: the parts that are not zero.
fn interval(value: &IntervalMonthDayNano) -> String {
    const HOUR: i64 = 3_600_000_000_000;
    const MINUTE: i64 = 60_000_000_000;
    const SECOND: i64 = 1_000_000_000;
    let nanos = value.nanoseconds;
    let whole = [
        (i64::from(value.months / 12), "year"),
        (i64::from(value.months % 12), "month"),
        (i64::from(value.days), "day"),
        (nanos / HOUR, "hour"),
        (nanos % HOUR / MINUTE, "minute"),
    ];
    let plural = |count: &str| if matches!(count, "1" | "-1") { "" } else { "s" };
    let mut parts: Vec<String> = whole
        .into_iter()
        .filter(|(count, _)| *count != 0)
        .map(|(count, unit)| format!("{count} {unit}{}", plural(&count.to_string())))
        .collect();
    let rest = nanos % MINUTE;
    if rest != 0 || parts.is_empty() {
        let sign = if rest < 0 { "-" } else { "" };
        let fraction = format!(".{:09}", (rest % SECOND).abs());
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        let seconds = format!("{sign}{}{fraction}", (rest / SECOND).abs());
        parts.push(format!("{seconds} second{}", plural(&seconds)));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{expression, schema};

    #[test]
    fn expressions_read_as_they_were_written() {
        let columns = schema("a:int? b:int s:text? t:time l:[int]? o:{x:int,y:text}?");
        for sql in [
            "a",
            "a + b * 2",
            "(a + b) * 2",
            "a - (b - 1)",
            "a - b - 1",
            "a / (b * 2)",
            "-a",
            "-(a + b)",
            "a > 1 AND (b = 2 OR s <> 'it''s')",
            "a > 1 AND b = 2 OR s IS NOT NULL",
            "(b < a) = (b = 1)",
            "NOT ends_with(s, 'x')",
            "a + b IS NULL",
            "s NOT LIKE '%x'",
            "upper(s || '!')",
            "CASE WHEN a > 0 THEN 'p' ELSE s END",
            "CASE a WHEN 1 THEN 2 END",
            "CAST(s AS BIGINT) + 1",
            "TRY_CAST(s AS DOUBLE)",
            "a IN (1, 2, 3, 4, 5)",
            "o.x + l[1]",
            "t - INTERVAL '1 hour'",
            "t + INTERVAL '1 year 2 months 3 days 4 hours 5 minutes 6.5 seconds'",
            "t > TIMESTAMP '2024-01-01 00:00:00'",
            "date_trunc('day', t)",
        ] {
            let expected = sql.replace("l[1]", "array_element(l, 1)");
            assert_eq!(expression(&columns, sql).to_string(), expected);
        }
    }

    #[test]
    fn intervals_have_no_zero_parts() {
        for (months, days, nanos, expected) in [
            (0, 0, 0, "0 seconds"),
            (0, 0, -1_500_000_000, "-1.5 seconds"),
            (0, 0, 1, "0.000000001 seconds"),
            (13, 0, 0, "1 year 1 month"),
            (0, -1, 60_000_000_000, "-1 day 1 minute"),
            (0, 0, i64::MIN, "-2562047 hours -47 minutes -16.854775808 seconds"),
        ] {
            assert_eq!(interval(&IntervalMonthDayNano::new(months, days, nanos)), expected);
        }
    }

    #[test]
    fn what_is_too_deep_is_left_out() {
        let columns = schema("a:int");
        let sql = format!("a{}", " * a".repeat(300));
        let text = expression(&columns, &sql).to_string();
        assert!(text.starts_with('…') && text.len() < 600, "{text}");
    }
}
