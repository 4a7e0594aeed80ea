//! Windows in a `SELECT` list: rows that carry their window.
//!
//! Such a window is more than a column: it leaves late rows out, gives a row once for
//! each window that holds it, and makes the window's last instant the row's
//! time. So it becomes a node of its own below the projection, which no rule
//! takes for a column that may be dropped, copied or moved:
//!
//! ```text
//! Projection [*, tumble(10 s) AS w]        Projection [*, __window AS w]
//!   Filter                            ─►     RowWindows [tumble(10 s)]
//!                                              Filter
//! ```

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError, plan_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, Projection, UserDefinedLogicalNodeCore};
use thalweg_dataflow::{Code, Error, Result};

use crate::catalog::{Catalog, Relation};
use crate::context::RelationSource;
use crate::markers::{self, Marker, window_type};
use crate::windows::{self, Places, Window};

/// The column of the window, until a projection names it.
const WINDOW: &str = "__window";
/// The column of a row's own time, where a projection asks for it beside the window.
const ROW_TIME: &str = "__row_time";

/// Rows with their window behind their columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowWindows {
    pub(crate) input: LogicalPlan,
    /// The call that names the window.
    mark: Expr,
    schema: DFSchemaRef,
}

impl RowWindows {
    fn try_new(input: LogicalPlan, mark: Expr) -> Result<Self, DataFusionError> {
        let window = Field::new(WINDOW, window_type(), false);
        let window = DFSchema::from_unqualified_fields([window].into_iter().collect(), Default::default())?;
        let schema = Arc::new(input.schema().join(&window)?);
        Ok(Self { input, mark, schema })
    }

    /// The node that a plan's extension is.
    pub(crate) fn of(extension: &Extension) -> Option<&Self> {
        extension.node.as_any().downcast_ref()
    }

    /// The window that the rows carry.
    pub(crate) fn window(&self) -> Result<Window> {
        windows::assigned(&self.mark)?.ok_or_else(|| Error::internal("rows carry a window that is none"))
    }
}

impl PartialOrd for RowWindows {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.input, &self.mark).partial_cmp(&(&other.input, &other.mark))
    }
}

impl UserDefinedLogicalNodeCore for RowWindows {
    fn name(&self) -> &str {
        "RowWindows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// None that a rule may touch.
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([WINDOW.to_owned()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowWindows: {}", self.mark.schema_name())
    }

    fn with_exprs_and_inputs(
        &self,
        _: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Self::try_new(input, self.mark.clone()),
            (Some(_) | None, _) => plan_err!("rows get their windows from one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|&index| index < width).collect()])
    }
}

/// Takes the window out of a projection, to below it.
pub(crate) fn take_out(projection: Projection, catalog: &Catalog, places: &Places<'_>) -> windows::Taken {
    let broken = |e: DataFusionError| Box::new(Error::internal("rows cannot be given a window").because(e));
    let marks = marks_of(&projection).map_err(broken)?;
    let [mark, more @ ..] = marks.as_slice() else {
        return Ok(Transformed::no(LogicalPlan::Projection(projection)));
    };
    let Some((marker, _)) = Marker::of(mark) else {
        return Err(Box::new(Error::internal("a window is none")));
    };
    if !more.is_empty() {
        return Err(Box::new(
            Error::new(Code::InvalidWindow, "SELECT has two windows")
                .at(places.last_of(marker))
                .with_help("give the rows one of them, and read the table once more for the other"),
        ));
    }
    let (bare, column) = without_column(mark);
    if let Some(column) = column
        && !is_event_time(&column, &projection.input, catalog)
    {
        return Err(Box::new(
            Error::new(
                Code::InvalidWindow,
                format!("column '{}' is not the event time of the rows", column.name),
            )
            .because("windows are cut by event time, which every row has one of")
            .at(places.of(marker))
            .with_help("name the column of WATERMARK FOR, as it comes from its table"),
        ));
    }
    match windows::assigned(&bare).map_err(|e| Box::new(e.at(places.of(marker))))? {
        Some(Window::Session { .. }) => Err(Box::new(
            Error::new(Code::InvalidWindow, "a row alone does not know its session")
                .because("where a session ends is known only when the rows behind are")
                .at(places.of(marker))
                .with_help("GROUP BY session(…) and the keys, or give the rows a tumble(…) or hop(…) window"),
        )),
        Some(Window::Tumble { .. } | Window::Hop { .. }) | None => {
            assign(projection, mark, bare).map(Transformed::yes).map_err(broken)
        }
    }
}

/// The windows that a projection names, each once.
fn marks_of(projection: &Projection) -> Result<Vec<Expr>, DataFusionError> {
    let mut marks: Vec<Expr> = Vec::new();
    for expr in &projection.expr {
        expr.apply(|e| {
            if Marker::of(e).is_some_and(|(marker, _)| marker.is_window()) && !marks.contains(e) {
                marks.push(e.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(marks)
}

/// A window without the column of its event time, as Flink's form names it, and that column.
fn without_column(mark: &Expr) -> (Expr, Option<Column>) {
    let mut bare = mark.clone();
    let column = match &mut bare {
        Expr::ScalarFunction(function) => {
            let first = function.args.first().cloned();
            first.filter(|first| matches!(first, Expr::Column(_))).inspect(|_| drop(function.args.remove(0)))
        }
        _ => None,
    };
    match column {
        Some(Expr::Column(column)) => (bare, Some(column)),
        Some(_) | None => (bare, None),
    }
}

/// Whether a plan's column is the event time of the table that its rows come from.
fn is_event_time(column: &Column, plan: &LogicalPlan, catalog: &Catalog) -> bool {
    let Some(index) = plan.schema().maybe_index_of_column(column) else { return false };
    let of = |input: &LogicalPlan| is_event_time(&input.schema().columns()[index], input, catalog);
    match plan {
        LogicalPlan::Filter(filter) => of(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => of(&alias.input),
        LogicalPlan::Projection(projection) => match projection.expr[index].clone().unalias() {
            Expr::Column(column) => is_event_time(&column, &projection.input, catalog),
            _ => false,
        },
        LogicalPlan::TableScan(scan) => {
            let relation = scan.source.downcast_ref::<RelationSource>();
            match relation.map(|source| &catalog.relations()[source.id.0]) {
                Some(Relation::Table(table)) => {
                    table.event_time.as_ref().is_some_and(|time| time.column == index)
                }
                Some(Relation::Query { plan, .. }) => of(plan),
                Some(Relation::Stream(_)) | None => false,
            }
        }
        _ => false,
    }
}

/// The projection over rows that carry the window `bare`, which it calls `mark`, the only one that it names.
fn assign(projection: Projection, mark: &Expr, bare: Expr) -> Result<LogicalPlan, DataFusionError> {
    let own = |name: &str| Transformed::yes(Expr::Column(Column::new_unqualified(name)));
    let mut asks_time = false;
    let mut expressions = Vec::with_capacity(projection.expr.len());
    for expr in projection.expr {
        let name = expr.schema_name().to_string();
        let named = matches!(expr, Expr::Alias(_));
        let replaced = expr.transform_up(|e| match Marker::of(&e) {
            Some((Marker::RowTime, _)) => {
                asks_time = true;
                Ok(own(ROW_TIME))
            }
            Some(_) if &e == mark => Ok(own(WINDOW)),
            Some(_) | None => Ok(Transformed::no(e)),
        })?;
        let keep = named || !replaced.transformed;
        expressions.push(if keep { replaced.data } else { replaced.data.alias(name) });
    }
    let input = Arc::unwrap_or_clone(projection.input);
    let input = if asks_time { with_row_time(input)? } else { input };
    let windows = RowWindows::try_new(input, bare)?;
    let input = LogicalPlan::Extension(Extension { node: Arc::new(windows) });
    Projection::try_new(expressions, Arc::new(input)).map(LogicalPlan::Projection)
}

/// The plan with the rows' own time behind its columns: above the windows, theirs is that of their window.
fn with_row_time(input: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let expressions = columns.chain([markers::row_time().alias(ROW_TIME)]).collect();
    Projection::try_new(expressions, Arc::new(input)).map(LogicalPlan::Projection)
}
