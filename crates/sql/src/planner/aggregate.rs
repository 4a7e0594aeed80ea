//! `GROUP BY` and `DISTINCT`: over a window, else a result that changes.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Distribution, Error, OperatorSpec, Result};
use thalweg_operators::Expression;
use thalweg_operators::aggregate::{AggregateCall, Grouping};
use thalweg_operators::updating_aggregate::UpdatingAggregate;
use thalweg_operators::window::{Assigner, SessionAggregate, WindowAggregate, WindowAssign, WindowPartial};

use super::expression::{asks_time_of_day, compile, compile_call};
use super::graph::{Stream, WindowPart};
use super::names::{Names, computed_name};
use super::write::Lowering;
use crate::markers::Marker;
use crate::windows::{self, Window};

/// The window's column.
const WINDOW: &str = "window";

/// The window that an aggregate groups by.
struct By {
    window: Window,
    assigner: Assigner,
    /// Where it stands in `GROUP BY`, if the aggregate is to make it; else it is a key like any other.
    made_at: Option<usize>,
    /// Where the results have it, if they do.
    stands_at: Option<usize>,
    /// Where the results have its bounds.
    bounds: Vec<(usize, WindowPart)>,
}

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, path: &str) -> Result<Stream> {
        let input = self.lower(&aggregate.input, path)?;
        match window_of(aggregate, &input)? {
            Some(by) => self.windowed(aggregate, input, &by, path),
            None => self.updating(aggregate, input, path),
        }
    }

    fn windowed(&mut self, aggregate: &Aggregate, input: Stream, by: &By, path: &str) -> Result<Stream> {
        if input.rows == RowKind::Changelog {
            return Err(Error::new(Code::NotSupported, "a window over rows that change is not supported")
                .with_help("group by the window first, and aggregate its results"));
        }
        let names = &aggregate.schema;
        let made = by.made_at.map(|_| WINDOW);
        let grouping = grouping(aggregate, &input, names, by.made_at)?;
        if let Assigner::Aligned(panes) = by.assigner
            && grouping.splits()
        {
            let partial = WindowPartial::new(panes, grouping, Arc::clone(&input.schema), self.policy())?;
            let merged = partial.merged(made)?;
            let input = self.behind(input, partial, path)?;
            let key = merged.shuffle_key()?;
            return self.behind_shuffle(aggregate, input, merged, key, by, path);
        }
        let (whole, input) = self.precompute(aggregate, input, by.made_at, Over::Window, path)?;
        let assign = WindowAssign::new(by.assigner, Arc::clone(&input.schema));
        let input = self.behind(input, assign, path)?;
        let grouping = self::grouping(&whole, &input, names, by.made_at)?;
        let (schema, policy) = (Arc::clone(&input.schema), self.policy());
        match by.assigner {
            Assigner::Aligned(panes) => {
                let spec = WindowAggregate::of_rows(panes, grouping, schema, made, policy)?;
                let key = spec.shuffle_key()?;
                self.behind_shuffle(aggregate, input, spec, key, by, path)
            }
            Assigner::Session { gap_nanos } => {
                let spec = SessionAggregate::new(gap_nanos, grouping, schema, WINDOW, policy)?;
                let key = spec.shuffle_key()?;
                self.behind_shuffle(aggregate, input, spec, key, by, path)
            }
            Assigner::Count { .. } => Err(Error::internal("no SQL names a window of rows")),
        }
    }

    /// The stream behind an operator of its chain. Columns are no longer a plan's.
    fn behind(&mut self, input: Stream, spec: impl OperatorSpec + 'static, path: &str) -> Result<Stream> {
        let schema = spec.output_schema();
        let node = self.writer.chained(path, &input, spec)?;
        Ok(Stream { node, schema, pending: None, ..input })
    }

    /// The results, in the order of the plan.
    fn behind_shuffle(
        &mut self,
        aggregate: &Aggregate,
        input: Stream,
        spec: impl OperatorSpec + 'static,
        key: Option<Vec<usize>>,
        by: &By,
        path: &str,
    ) -> Result<Stream> {
        let schema = spec.output_schema();
        let (distribution, parallelism) = match key {
            Some(key) => (Distribution::Shuffle(key), None),
            None => (input.distribution(Some(1)), Some(1)),
        };
        let node = self.writer.operator(path, &[(&input, distribution)], parallelism, spec)?;
        let width = aggregate.schema.fields().len();
        let made = usize::from(by.made_at.is_some());
        let keys = aggregate.group_expr.len() - made;
        // The operator gives keys, window, results; the plan has the window among the keys.
        let mut order: Vec<usize> = (0..keys).chain(keys + made..width).collect();
        if let Some(position) = by.made_at {
            order.insert(position, keys);
        }
        order.push(width);
        let results = Stream {
            window: (by.stands_at.is_some() || !by.bounds.is_empty()).then_some(by.window),
            window_columns: by.stands_at.map(|position| order[position]).into_iter().collect(),
            window_bounds: by.bounds.iter().map(|&(position, part)| (order[position], part)).collect(),
            ..Stream::new(node, schema, width, RowKind::Append, parallelism)
        };
        self.writer.select(path, results, &order, width)
    }

    /// Where rows cross the shuffle as they are, keys must be columns; and what
    /// is asked of a row's own time must be computed before its time becomes its window's.
    fn precompute(
        &mut self,
        aggregate: &Aggregate,
        input: Stream,
        window: Option<usize>,
        over: Over,
        path: &str,
    ) -> Result<(Aggregate, Stream)> {
        let is_column =
            |(index, expr): (usize, &Expr)| Some(index) == window || matches!(expr, Expr::Column(_));
        let plain = aggregate.group_expr.iter().enumerate().all(is_column);
        let timeless = |expr: &Expr| !expr.exists(|e| Ok(asks_time(e))).unwrap_or(true);
        if plain && (over == Over::All || aggregate.aggr_expr.iter().all(timeless)) {
            return Ok((aggregate.clone(), input));
        }
        let mut computed: Vec<Expr> = Vec::new();
        let mut group_expr = Vec::with_capacity(aggregate.group_expr.len());
        for (index, expr) in aggregate.group_expr.iter().enumerate() {
            group_expr.push(match Some(index) == window {
                true => Expr::Column(Column::new_unqualified(WINDOW)),
                false => column_of(expr, &mut computed),
            });
        }
        let calls = aggregate.aggr_expr.iter().map(|call| arguments_as_columns(call, &mut computed));
        let calls = calls.collect::<Result<Vec<_>>>()?;
        let broken = |e| Error::internal("an aggregate cannot be taken apart").because(e);
        let below = Projection::try_new(computed, Arc::clone(&aggregate.input)).map_err(broken)?;
        let columns: Vec<(&Expr, String)> = below
            .expr
            .iter()
            .zip(below.schema.fields())
            .map(|(expr, field)| (expr, field.name().clone()))
            .collect();
        let input = self.project(input, aggregate.input.schema(), &columns, path)?;
        let window = window.map(|position| aggregate.group_expr[position].clone().alias(WINDOW));
        let expressions = below.expr.iter().cloned().chain(window).collect();
        let below = Projection::try_new(expressions, Arc::clone(&aggregate.input)).map_err(broken)?;
        let above = Aggregate::try_new(Arc::new(LogicalPlan::Projection(below)), group_expr, calls)
            .map_err(broken)?;
        Ok((above, input))
    }

    fn updating(&mut self, aggregate: &Aggregate, input: Stream, path: &str) -> Result<Stream> {
        if input.rows == RowKind::Changelog {
            return Err(Error::new(
                Code::NotSupported,
                "an aggregate over rows that change is not supported",
            )
            .with_help("group by a window in the inner query, or bring both aggregates into one query"));
        }
        let names = &aggregate.schema;
        let (aggregate, input) = self.precompute(aggregate, input, None, Over::All, path)?;
        let grouping = grouping(&aggregate, &input, names, None)?;
        let spec = UpdatingAggregate::new(grouping, Arc::clone(&input.schema), self.policy())?;
        let key = spec.shuffle_key()?;
        let schema = spec.output_schema();
        // Without keys there is one group, and one subtask that has it.
        let (distribution, parallelism) = match key.is_empty() {
            true => (input.distribution(Some(1)), Some(1)),
            false => (Distribution::Shuffle(key.clone()), None),
        };
        let node = self.writer.operator(path, &[(&input, distribution)], parallelism, spec)?;
        let results = Stream::new(node, schema, names.fields().len(), RowKind::Changelog, parallelism);
        Ok(Stream { key: (!key.is_empty()).then(|| (0..key.len()).collect()), ..results })
    }
}

/// What an aggregate ranges over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The rows of a window; their own times are lost.
    Window,
    /// All rows.
    All,
}

/// The window that is assigned below, or a column that is a window already, or a field of one.
fn window_of(aggregate: &Aggregate, input: &Stream) -> Result<Option<By>> {
    let schema = aggregate.input.schema();
    let index_of = |expr: &Expr| match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    };
    let find = |wanted: &dyn Fn(&Expr) -> bool| aggregate.group_expr.iter().position(wanted);
    if let Some(window) = input.pending {
        let again = input.window == Some(window);
        let assigner = if again { same_window(window)? } else { window.assigner()? };
        let position = find(&|expr| index_of(expr) == Some(input.width));
        let by = |at| By { window, assigner, made_at: Some(at), stands_at: Some(at), bounds: Vec::new() };
        return Ok(position.map(by));
    }
    let Some(window) = input.window else { return Ok(None) };
    let mut bounds = Vec::new();
    for (position, expr) in aggregate.group_expr.iter().enumerate() {
        match input.part_of_window(expr, schema) {
            Some(WindowPart::Whole) | None => {}
            Some(part) => bounds.push((position, part)),
        }
    }
    let whole = find(&|expr| input.part_of_window(expr, schema) == Some(WindowPart::Whole));
    if whole.is_none() && find(&|expr| input.names_window(expr, schema)).is_none() {
        return Ok(None);
    }
    let made_at = whole.filter(|_| window.width().is_some());
    Ok(Some(By { window, assigner: same_window(window)?, made_at, stands_at: whole, bounds }))
}

/// How rows that carry this window are put into it again: by their instants.
pub(super) fn same_window(window: Window) -> Result<Assigner> {
    match window {
        Window::Tumble { .. } => window.assigner(),
        Window::Hop { width, .. } | Window::Session { gap: width } => {
            Ok(Assigner::same_window(windows::nanos(width)?))
        }
    }
}

/// Keys, less the window, and calls: named as they read, where that names one thing only.
fn grouping(
    aggregate: &Aggregate,
    input: &Stream,
    names: &DFSchema,
    window: Option<usize>,
) -> Result<Grouping> {
    let plan = aggregate.input.schema();
    let mut taken = Names::new([WINDOW]);
    let mut keys: Vec<(Expression, String)> = Vec::new();
    for (index, expr) in aggregate.group_expr.iter().enumerate() {
        if Some(index) != window {
            let key = compile(expr, plan, input)?;
            let name = taken.take(key.to_string(), names.field(index).name());
            keys.push((key, name));
        }
    }
    let mut calls: Vec<AggregateCall> = Vec::new();
    for expr in &aggregate.aggr_expr {
        let call = compile_call(expr, plan, input)?;
        let name = taken.take(call.to_string(), call.name());
        calls.push(call.renamed(name)?);
    }
    Ok(Grouping::new(keys, calls))
}

/// Whether an expression differs with the time at which it is computed, or with the row's own.
fn asks_time(expr: &Expr) -> bool {
    asks_time_of_day(expr) || matches!(Marker::of(expr), Some((Marker::RowTime, _)))
}

/// The column under which an expression is computed below.
fn column_of(expr: &Expr, computed: &mut Vec<Expr>) -> Expr {
    let name = computed_name(computed.len());
    computed.push(expr.clone().unalias().alias(&name));
    Expr::Column(Column::new_unqualified(name))
}

/// The call over columns that are computed below. Literals stay: some functions read them when they are planned.
fn arguments_as_columns(call: &Expr, computed: &mut Vec<Expr>) -> Result<Expr> {
    let name = call.schema_name().to_string();
    let Expr::AggregateFunction(mut function) = call.clone().unalias() else {
        return Err(Error::internal(format!("'{call}' is no aggregate call")));
    };
    let mut lower = |expr: &mut Expr| {
        if !matches!(expr, Expr::Literal(..)) {
            *expr = column_of(expr, computed);
        }
    };
    function.params.args.iter_mut().for_each(&mut lower);
    function.params.order_by.iter_mut().for_each(|sort| lower(&mut sort.expr));
    if let Some(filter) = &mut function.params.filter {
        lower(filter);
    }
    Ok(Expr::AggregateFunction(function).alias(name))
}
