//! `OVER`, and the first rows of each partition.
//!
//! All that a call reads is computed before the shuffle, so that the operator
//! sees columns and literals only. Calls of one partition and order are one operator;
//! others follow behind it.
//!
//! ```text
//! Filter [rn <= 3]                                   filter [rn <= 3]
//!   Window [row_number() OVER (w, k ORDER BY a + b)]   over [row_number() over (w, k order by a + b) <= 3]
//!     …                                         ─►       ── shuffle by k ──
//!                                                        project [*, a + b]
//! ```

use std::sync::Arc;

use datafusion::common::{Column, DFSchema};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::{NullTreatment, Sort, WindowFunction};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Projection, Window as Plan, WindowFunctionDefinition};
use datafusion::physical_planner::create_window_expr;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Distribution, Error, OperatorSpec, Result};
use thalweg_operators::Expression;
use thalweg_operators::over::{OrderBy, Over, Ranking, WindowCall};

use super::expression::{check_order, compile_bare};
use super::graph::Stream;
use super::names::{Names, computed_name};
use super::top::most_of;
use super::write::Lowering;
use crate::foreign::ForeignAggregate;

/// A call, all that it reads in columns or literals, with its place in the plan.
struct Call {
    place: usize,
    function: WindowFunction,
    /// Which columns of its partition say what window a row is in.
    windows: Vec<bool>,
    planned: String,
}

/// Calls with one partition and one order.
struct Group {
    calls: Vec<Call>,
    top: Option<(Ranking, u64)>,
}

impl Lowering<'_> {
    /// Calls over the rows of windows; `condition` says which of the results are asked for.
    pub(super) fn over(&mut self, window: &Plan, condition: Option<&Expr>, path: &str) -> Result<Stream> {
        let input = self.lower(&window.input, path)?;
        self.check_windowed(&input)?;
        let width = input.width;
        let (calls, below) = take_apart(window, &input)?;
        let plan = below.schema.as_ref();
        let columns: Vec<(&Expr, String)> =
            below.expr.iter().zip(plan.fields().iter().map(|field| field.name().clone())).collect();
        let mut stream = self.project(input, window.input.schema(), &columns, path)?;
        let computed = stream.width;
        let mut order: Vec<usize> = (0..width).collect();
        order.resize(width + window.window_expr.len(), 0);
        for group in grouped(calls, width, condition, window) {
            for (index, call) in group.calls.iter().enumerate() {
                order[width + call.place] = stream.width + index;
            }
            stream = self.compute(stream, plan, group, path)?;
        }
        debug_assert_eq!(stream.width, computed + window.window_expr.len());
        order.extend(stream.own_columns());
        self.writer.select(path, stream, &order, width + window.window_expr.len())
    }

    fn check_windowed(&self, input: &Stream) -> Result<()> {
        let error = match (input.rows, input.window) {
            (RowKind::Append, Some(_)) => return Ok(()),
            (RowKind::Append, None) => {
                Error::new(Code::OverWithoutWindow, "OVER reads rows that belong to no window")
                    .because(
                        "a stream has no end at which the rows of a partition would be known; a window has",
                    )
                    .with_help(
                        "give the rows a window, SELECT *, tumble(interval '1 minute') AS window FROM …, \
                         and write OVER (PARTITION BY window, …) in a query around it",
                    )
            }
            (RowKind::Changelog, _) => {
                Error::new(Code::NotSupported, "OVER over rows that change is not supported")
                    .with_help("group by a window, and write OVER (PARTITION BY window, …) around it")
            }
        };
        Err(error.at(self.place_of("over")))
    }

    /// One group of calls, behind its shuffle; its results stand behind the plan's columns.
    fn compute(&mut self, input: Stream, plan: &DFSchema, group: Group, path: &str) -> Result<Stream> {
        let scope = Scope { plan, stream: &input };
        let first = &group.calls[0];
        let params = &first.function.params;
        let partition =
            params.partition_by.iter().map(|expr| scope.index(expr)).collect::<Result<Vec<_>>>()?;
        let order = params.order_by.iter().map(|sort| scope.order(sort)).collect::<Result<_>>()?;
        let key = self.key_of(&partition, &first.windows)?;
        let spec = scope
            .calls(&group)
            .and_then(|calls| Over::new(calls, partition, order, key, Arc::clone(&input.schema)))
            .map_err(|e| e.at(self.place_of("over")))?;
        let spec = match group.top {
            Some((ranking, most)) => spec.with_top(ranking, most)?,
            None => spec,
        };
        let (schema, width) = (spec.output_schema(), input.width + group.calls.len());
        let distribution = Distribution::Shuffle(spec.shuffle_key()?);
        let node = self.writer.operator(path, &[(&input, distribution)], None, spec)?;
        Ok(Stream { node, schema, width, parallelism: None, key: None, ..input })
    }

    /// The columns of a partition that are not its window.
    fn key_of(&self, partition: &[usize], windows: &[bool]) -> Result<Vec<usize>> {
        if windows.contains(&true) {
            let others = partition.iter().zip(windows).filter(|(_, is_window)| !**is_window);
            return Ok(others.map(|(&column, _)| column).collect());
        }
        Err(Error::new(Code::OverWithoutWindow, "PARTITION BY does not name the window of the rows")
            .because("a partition is known to be complete only when its window closes")
            .at(self.place_of("over"))
            .with_help(
                "select the window's column in the query within, and write OVER (PARTITION BY window, …)",
            ))
    }
}

/// A stream whose first columns are a plan's.
struct Scope<'a> {
    plan: &'a DFSchema,
    stream: &'a Stream,
}

impl Scope<'_> {
    /// The column that an expression is.
    fn index(&self, expr: &Expr) -> Result<usize> {
        let index = match expr {
            Expr::Column(column) => self.plan.maybe_index_of_column(column),
            _ => None,
        };
        index.ok_or_else(|| Error::internal(format!("'{expr}' is not computed before OVER")))
    }

    fn order(&self, sort: &Sort) -> Result<OrderBy> {
        let column = self.index(&sort.expr)?;
        Ok(OrderBy { column, descending: !sort.asc, nulls_first: sort.nulls_first })
    }

    /// A column, or a literal: some functions read them when they are planned.
    fn value(&self, expr: &Expr) -> Result<Expression> {
        match expr {
            Expr::Literal(..) => compile_bare(expr, &self.stream.schema),
            column => Ok(Expression::column(&self.stream.schema, self.index(column)?)),
        }
    }

    /// The calls, named as they read, where that names one thing only.
    fn calls(&self, group: &Group) -> Result<Vec<WindowCall>> {
        let mut names = Names::new(self.stream.schema.fields().iter().map(|field| field.name().as_str()));
        let call = |Call { function, planned, .. }: &Call| {
            check_call(function, self.plan)?;
            let params = &function.params;
            let arguments = params.args.iter().map(|expr| self.value(expr)).collect::<Result<_>>()?;
            let filter = params.filter.as_deref().map(|expr| self.value(expr)).transpose()?;
            let frame = params.window_frame.clone();
            let call = match foreign(function) {
                Some(ForeignAggregate { id, signature, .. }) => {
                    WindowCall::program(id.clone(), signature.clone(), arguments, frame, planned)
                }
                None => WindowCall::new(&function.fun, arguments, frame, planned)
                    .with_distinct(params.distinct)
                    .with_ignore_nulls(params.null_treatment == Some(NullTreatment::IgnoreNulls)),
            };
            let call = call.with_filter(filter);
            let name = names.take(call.to_string(), planned);
            Ok(call.renamed(name))
        };
        group.calls.iter().map(call).collect()
    }
}

/// The function of a call, if it is an aggregate that is computed elsewhere.
fn foreign(function: &WindowFunction) -> Option<&ForeignAggregate> {
    match &function.fun {
        WindowFunctionDefinition::AggregateUDF(aggregate) => ForeignAggregate::of(aggregate),
        WindowFunctionDefinition::WindowUDF(_) => None,
    }
}

/// What DataFusion's planner asks of a call and its frame.
fn check_call(function: &WindowFunction, plan: &DFSchema) -> Result<()> {
    if let Some(aggregate) = foreign(function) {
        let params = &function.params;
        aggregate.takes_rows_as_they_come(&[
            (params.distinct, "DISTINCT"),
            (params.null_treatment.is_some(), "IGNORE NULLS"),
        ])?;
    }
    for argument in &function.params.args {
        let data_type = argument.get_type(plan);
        let data_type = data_type.map_err(|e| Error::internal("an argument has no type").because(e))?;
        check_order(function.fun.name(), &data_type)?;
    }
    let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let call = Expr::WindowFunction(Box::new(function.clone()));
    create_window_expr(&call, plan, &props, &context).map(drop).map_err(|e| {
        Error::new(
            Code::InvalidQuery,
            format!("{}() OVER (…) has no meaning as it is written", function.fun.name()),
        )
        .because(e.message())
        .with_help("see its arguments, and the frame behind its ORDER BY")
    })
}

/// The calls with columns and literals for all that they read, and the projection that computes these.
fn take_apart(window: &Plan, input: &Stream) -> Result<(Vec<Call>, Projection)> {
    let broken = |e| Error::internal("OVER cannot be taken apart").because(e);
    let mut computed: Vec<Expr> = window.input.schema().columns().into_iter().map(Expr::Column).collect();
    let width = computed.len();
    let mut calls = Vec::with_capacity(window.window_expr.len());
    for (place, expr) in window.window_expr.iter().enumerate() {
        let planned = expr.schema_name().to_string();
        let Expr::WindowFunction(mut function) = expr.clone().unalias() else {
            return Err(Error::internal(format!("'{expr}' is no call of a window function")));
        };
        let params = &mut function.params;
        let schema = window.input.schema();
        let windows = params.partition_by.iter().map(|expr| input.names_window(expr, schema)).collect();
        params.partition_by.iter_mut().for_each(|expr| as_column(expr, width, &mut computed));
        params.order_by.iter_mut().for_each(|sort| as_column(&mut sort.expr, width, &mut computed));
        let literal = |expr: &&mut Expr| matches!(expr, Expr::Literal(..));
        let values = params.args.iter_mut().chain(params.filter.as_deref_mut());
        values.filter(|expr| !literal(expr)).for_each(|expr| as_column(expr, width, &mut computed));
        calls.push(Call { place, function: *function, windows, planned });
    }
    let below = Projection::try_new(computed, Arc::clone(&window.input)).map_err(broken)?;
    Ok((calls, below))
}

/// Makes an expression the column under which it is computed below; equal ones are computed once.
fn as_column(expr: &mut Expr, width: usize, computed: &mut Vec<Expr>) {
    let wanted = expr.clone().unalias();
    if matches!(wanted, Expr::Column(_)) {
        *expr = wanted;
        return;
    }
    let known = computed[width..].iter().position(|known| known.clone().unalias() == wanted);
    let place = known.unwrap_or_else(|| {
        computed.push(wanted.alias(computed_name(computed.len() - width)));
        computed.len() - width - 1
    });
    *expr = Expr::Column(Column::new_unqualified(computed_name(place)));
}

/// Calls by partition and order. Where the condition bounds a ranking, its group comes last, if
/// all calls in it are rankings: only then need nothing else the rows that are left out.
fn grouped(calls: Vec<Call>, width: usize, condition: Option<&Expr>, window: &Plan) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for call in calls {
        let like = |other: &Call| {
            let (a, b) = (&other.function.params, &call.function.params);
            a.partition_by == b.partition_by && a.order_by == b.order_by
        };
        match groups.iter_mut().find(|group| like(&group.calls[0])) {
            Some(group) => group.calls.push(call),
            None => groups.push(Group { calls: vec![call], top: None }),
        }
    }
    let bound = condition.and_then(|condition| {
        groups
            .iter()
            .enumerate()
            .find_map(|(index, group)| Some((index, top_of(group, width, condition, window)?)))
    });
    if let Some((index, top)) = bound {
        let mut last = groups.remove(index);
        last.top = Some(top);
        groups.push(last);
    }
    groups
}

/// The ranking of a group that a condition bounds, if all its calls are rankings.
fn top_of(group: &Group, width: usize, condition: &Expr, window: &Plan) -> Option<(Ranking, u64)> {
    let rankings = group.calls.iter().map(ranking_of).collect::<Option<Vec<_>>>()?;
    let bound = |(call, ranking): (&Call, Ranking)| {
        let column = Column::from(window.schema.qualified_field(width + call.place));
        Some((ranking, most_of(condition, &column)?))
    };
    group.calls.iter().zip(rankings).find_map(bound)
}

fn ranking_of(call: &Call) -> Option<Ranking> {
    let function = &call.function;
    WindowCall::new(&function.fun, Vec::new(), function.params.window_frame.clone(), "").ranking()
}
