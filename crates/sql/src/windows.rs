//! Windows in plans: where they may stand, and what they mean.
//!
//! A window stands in GROUP BY. There it is taken out of the aggregate, into a
//! projection below it that adds the window as a column:
//!
//! ```text
//! Aggregate [tumble(10 s), k] [count]         Aggregate [w, k] [count]
//!   Scan                                 ─►     Projection [tumble(10 s) as w, k, …]
//!                                                 Scan
//! ```
//!
//! The mark is volatile, so every rule leaves the pair as it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule, push_down_filter};
use thalweg_dataflow::{Code, Error, Result, Span};
use thalweg_operators::window::Assigner;

use crate::catalog::Catalog;
use crate::errors::carry;
use crate::markers::Marker;
use crate::parser::Script;
use crate::row_windows;

/// What a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Windows that touch and begin at multiples of their width since 1970.
    Tumble {
        /// How long each is.
        width: Duration,
    },
    /// A window at every multiple of the slide since 1970. The slide is never the width: that is a tumble.
    Hop {
        /// From the start of one to the start of the next.
        slide: Duration,
        /// How long each is.
        width: Duration,
    },
    /// From the first row of a key to its last, and the gap.
    Session {
        /// How long nothing comes behind the last row.
        gap: Duration,
    },
}

impl Window {
    /// The same in the words of the operators.
    pub(crate) fn assigner(self) -> Result<Assigner> {
        match self {
            Window::Tumble { width } => Assigner::tumble(nanos(width)?),
            Window::Hop { slide, width } => Assigner::hop(nanos(slide)?, nanos(width)?),
            Window::Session { gap } => Assigner::session(nanos(gap)?),
        }
    }

    /// How long each is, if they are all of one width.
    pub(crate) fn width(self) -> Option<Duration> {
        match self {
            Window::Tumble { width } | Window::Hop { width, .. } => Some(width),
            Window::Session { .. } => None,
        }
    }

    /// The function that names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Window::Tumble { .. } => Marker::Tumble.name(),
            Window::Hop { .. } => Marker::Hop.name(),
            Window::Session { .. } => Marker::Session.name(),
        }
    }
}

/// A length of time as the operators count it.
pub(crate) fn nanos(length: Duration) -> Result<i64> {
    i64::try_from(length.as_nanos())
        .map_err(|e| Error::internal("the length of a window is out of range").because(e))
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Tumble { width } => write!(f, "tumble({width:?})"),
            Window::Hop { slide, width } => write!(f, "hop({slide:?}, {width:?})"),
            Window::Session { gap } => write!(f, "session({gap:?})"),
        }
    }
}

/// Takes the windows out of all aggregates, and refuses those that stand elsewhere.
pub(crate) fn assign(
    plan: LogicalPlan,
    catalog: &Catalog,
    script: &Script<'_>,
    at: Span,
) -> Result<LogicalPlan> {
    let places = Places { script, at };
    let plan = plan
        .transform_up(|plan| match plan {
            LogicalPlan::Aggregate(aggregate) => take_out(aggregate, &places).map_err(|e| carry(*e)),
            LogicalPlan::Projection(projection) => {
                row_windows::take_out(projection, catalog, &places).map_err(|e| carry(*e))
            }
            other => Ok(Transformed::no(other)),
        })
        .map_err(|e| internal(&e))?;
    let plan = plan.data;
    let mut stray = None;
    plan.apply(|node| {
        stray = misplaced(node);
        Ok(if stray.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(|e| internal(&e))?;
    match stray {
        None => Ok(plan),
        Some(marker) => Err(Error::new(
            Code::InvalidWindow,
            format!("{}() is a window, and can only stand in GROUP BY or SELECT", marker.name()),
        )
        .at(places.of(marker))
        .with_help(
            "name it in a query within, SELECT *, tumble(…) AS window FROM …, and use the column 'window' here",
        )),
    }
}

/// Our own errors come back as they are; others cannot come from these walks.
fn internal(error: &DataFusionError) -> Error {
    crate::errors::carried(error)
        .unwrap_or_else(|| Error::internal("a plan cannot be walked").because(error.strip_backtrace()))
}

/// Where windows stand in a statement.
pub(crate) struct Places<'a> {
    script: &'a Script<'a>,
    at: Span,
}

impl Places<'_> {
    pub(crate) fn of(&self, marker: Marker) -> Span {
        self.script.words(self.at, marker.name()).next().unwrap_or(self.at)
    }

    pub(crate) fn last_of(&self, marker: Marker) -> Span {
        self.script.words(self.at, marker.name()).last().unwrap_or(self.at)
    }
}

/// A plan without the windows that stood in it.
pub(crate) type Taken = Result<Transformed<LogicalPlan>, Box<Error>>;

fn take_out(aggregate: Aggregate, places: &Places<'_>) -> Taken {
    let windows: Vec<usize> = (0..aggregate.group_expr.len())
        .filter(|&index| window_of(&aggregate.group_expr[index]).is_some())
        .collect();
    let &[window, ref more @ ..] = windows.as_slice() else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let (marker, arguments) = window_of(&aggregate.group_expr[window]).expect("it was just found");
    check(marker, arguments).map_err(|e| Box::new(e.at(places.of(marker))))?;
    if !more.is_empty() {
        let error = Error::new(Code::InvalidWindow, "GROUP BY has two windows")
            .at(places.last_of(marker))
            .with_help("group by one of them, and by the other in a query around this one");
        return Err(Box::new(error));
    }
    let broken = |e: DataFusionError| Box::new(Error::internal("a window cannot be assigned").because(e));
    let Aggregate { input, mut group_expr, aggr_expr, .. } = aggregate;
    let mark = group_expr[window].clone().unalias();
    let name = group_expr[window].schema_name().to_string();
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let below = columns.chain([mark.alias(&name)]).collect();
    group_expr[window] = Expr::Column(Column::new_unqualified(name));
    let below = Projection::try_new(below, input).map_err(broken)?;
    let above = Aggregate::try_new(Arc::new(LogicalPlan::Projection(below)), group_expr, aggr_expr);
    above.map(|above| Transformed::yes(LogicalPlan::Aggregate(above))).map_err(broken)
}

/// The column of which an expression is a field, and the field.
pub(crate) fn field_of(expr: &Expr) -> Option<(&Expr, &str)> {
    let Expr::ScalarFunction(function) = expr else { return None };
    match (function.name(), function.args.as_slice()) {
        ("get_field", [of, Expr::Literal(ScalarValue::Utf8(Some(field)), _)]) => Some((of, field)),
        _ => None,
    }
}

/// The window that an expression is.
fn window_of(expr: &Expr) -> Option<(Marker, &[Expr])> {
    let expr = match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    };
    Marker::of(expr).filter(|(marker, _)| marker.is_window())
}

/// The window that a projection's expression adds as a column.
pub(crate) fn assigned(expr: &Expr) -> Result<Option<Window>> {
    window_of(expr).map(|(marker, arguments)| check(marker, arguments)).transpose()
}

fn check(marker: Marker, arguments: &[Expr]) -> Result<Window> {
    let usage = match marker {
        Marker::Tumble => "tumble(interval '10 seconds')",
        Marker::Hop => "hop(interval '2 seconds', interval '10 seconds'), the slide first",
        Marker::Session => "session(interval '30 seconds')",
        Marker::RowTime => return Err(Error::internal("row_time() is no window")),
    };
    let wants = |what: &str| {
        let what = format!("{}() takes {what}", marker.name());
        Err(Error::new(Code::InvalidWindow, what).with_help(format!("write {usage}")))
    };
    let window = match (marker, arguments) {
        (Marker::Tumble, [width]) => Window::Tumble { width: duration("a window's width", width, usage)? },
        (Marker::Hop, [slide, width]) => {
            let slide = duration("a window's slide", slide, usage)?;
            let width = duration("a window's width", width, usage)?;
            if slide == width { Window::Tumble { width } } else { Window::Hop { slide, width } }
        }
        (Marker::Session, [gap]) => Window::Session { gap: duration("a session's gap", gap, usage)? },
        (Marker::Tumble, _) => return wants("one argument, its width"),
        (Marker::Hop, _) => return wants("two arguments, its slide and its width"),
        (Marker::Session, _) => return wants("one argument, its gap"),
        (Marker::RowTime, _) => return Err(Error::internal("row_time() is no window")),
    };
    window.assigner()?;
    Ok(window)
}

/// A literal length of time.
fn duration(what: &str, expr: &Expr, usage: &str) -> Result<Duration> {
    const DAY_NANOS: i64 = 86_400_000_000_000;
    let fault = |fault: &str| Error::new(Code::InvalidWindow, format!("{what} {fault}"));
    let invalid = |what: &str| fault(what).with_help(format!("write {usage}"));
    let Expr::Literal(value, _) = expr else { return Err(invalid("is not a literal interval")) };
    let (months, days, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => (v.months, i64::from(v.days), v.nanoseconds),
        ScalarValue::IntervalDayTime(Some(v)) => {
            (0, i64::from(v.days), i64::from(v.milliseconds) * 1_000_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
        _ => return Err(invalid("is not a literal interval")),
    };
    if months != 0 {
        let noun = what.rsplit(' ').next().unwrap_or(what);
        return Err(fault("has months or years, which have no fixed length")
            .with_help(format!("write the {noun} in days, hours, minutes or seconds")));
    }
    let nanos = days.checked_mul(DAY_NANOS).and_then(|days| days.checked_add(nanos));
    match nanos.map(u64::try_from) {
        Some(Ok(nanos)) if nanos > 0 => Ok(Duration::from_nanos(nanos)),
        _ => Err(invalid("is not greater than zero, or too great")),
    }
}

/// DataFusion's rule, except that a condition on a window stays above the
/// aggregate: below it the window is not yet there.
#[derive(Debug, Default)]
pub(crate) struct PushDownFilter(push_down_filter::PushDownFilter);

impl OptimizerRule for PushDownFilter {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        if asks_for_window(&plan) {
            return Ok(Transformed::no(plan));
        }
        self.0.rewrite(plan, config)
    }
}

/// Whether a plan is a condition on the window of the aggregate right below it.
fn asks_for_window(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else { return false };
    let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref() else { return false };
    window_column(&aggregate.input).is_some_and(|name| {
        filter.predicate.column_refs().iter().any(|column| column.relation.is_none() && column.name == name)
    })
}

/// The name of the window column that the input of an aggregate adds.
fn window_column(mut input: &LogicalPlan) -> Option<&str> {
    while let LogicalPlan::Filter(filter) = input {
        input = &filter.input;
    }
    let LogicalPlan::Projection(projection) = input else { return None };
    match projection.expr.last()? {
        Expr::Alias(alias) if is_assignment(projection.expr.last()?) => Some(&alias.name),
        _ => None,
    }
}

/// A window where none can be: anywhere but as a column under an aggregate.
fn misplaced(node: &LogicalPlan) -> Option<Marker> {
    let under_aggregate = |expr: &Expr| matches!(node, LogicalPlan::Projection(_)) && is_assignment(expr);
    let mut found = None;
    for expr in node.expressions().iter().filter(|expr| !under_aggregate(expr)) {
        let walked = expr.apply(|e| {
            found = found.or(Marker::of(e).map(|(marker, _)| marker).filter(|marker| marker.is_window()));
            Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        if walked.is_err() || found.is_some() {
            break;
        }
    }
    found
}

/// Whether an expression is what [`take_out`] wrote: a mark under its own name.
fn is_assignment(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => {
            Marker::of(&alias.expr).is_some_and(|(marker, _)| marker.is_window())
                && alias.name == alias.expr.schema_name().to_string()
        }
        _ => false,
    }
}
