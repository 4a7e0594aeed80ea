//! `JOIN` of two results of the same window.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, NullEquality};
use datafusion::logical_expr::{Expr, Join, JoinConstraint, JoinType};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Distribution, Error, OperatorSpec, Result, columns};
use thalweg_operators::join::{JoinKind, JoinSide, WindowJoin};

use super::expression::compile;
use super::graph::{Stream, WindowPart};
use super::names::computed_name;
use super::write::Lowering;
use crate::windows::Window;

/// One side of a join: what is read, and by what it is compared.
struct Input<'p> {
    stream: Stream,
    plan: &'p DFSchema,
    keys: Vec<Expr>,
}

/// Which parts of the windows of both sides are compared.
#[derive(Default)]
struct Compared {
    start: bool,
    end: bool,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &Join, path: &str) -> Result<Stream> {
        let (kind, swapped) = self.kind_of(join)?;
        let mut left = self.join_input(&join.left, &format!("{path}/1"))?;
        let mut right = self.join_input(&join.right, &format!("{path}/2"))?;
        let mut compared = Compared::default();
        for (one, other) in &join.on {
            if !compared.note((one, &left), (other, &right)) {
                left.keys.push(one.clone());
                right.keys.push(other.clone());
            }
        }
        self.check_windows(&compared, &left, &right)?;
        if swapped {
            std::mem::swap(&mut left, &mut right);
        }
        let nulls_equal = match join.null_equality {
            NullEquality::NullEqualsNull => true,
            NullEquality::NullEqualsNothing => false,
        };
        let condition = join.filter.as_ref();
        self.join_windows(kind, left, right, nulls_equal, condition, path)
    }

    /// The kind, and whether the sides change places for it.
    fn kind_of(&self, join: &Join) -> Result<(JoinKind, bool)> {
        let kind = match join.join_type {
            JoinType::Inner => (JoinKind::Inner, false),
            JoinType::Left => (JoinKind::Left, false),
            JoinType::Right => (JoinKind::Right, false),
            JoinType::Full => (JoinKind::Full, false),
            JoinType::LeftSemi => (JoinKind::Semi, false),
            JoinType::LeftAnti => (JoinKind::Anti, false),
            JoinType::RightSemi => (JoinKind::Semi, true),
            JoinType::RightAnti => (JoinKind::Anti, true),
            JoinType::LeftMark | JoinType::RightMark => {
                return Err(Error::internal("a join that only marks rows cannot be asked for"));
            }
        };
        let named_once = matches!(join.join_constraint, JoinConstraint::Using);
        if named_once && matches!(join.join_type, JoinType::Right | JoinType::Full) {
            // The planner below reads such a column from the left alone, where it may be missing.
            let what = "USING in a join that keeps rows of the right without a pair is not supported";
            return Err(Error::new(Code::NotSupported, what)
                .at(self.place_of_join())
                .with_help("write ON, and coalesce(a.key, b.key) where the key is read"));
        }
        if join.null_aware {
            return Err(Error::new(Code::NotSupported, "NOT IN with a query is not supported")
                .at(self.place_of("in"))
                .with_help("write NOT EXISTS (SELECT … WHERE …)"));
        }
        Ok(kind)
    }

    /// The rows of a side, which are never changed and no longer know the watermark of their split.
    fn join_input<'p>(
        &mut self,
        plan: &'p datafusion::logical_expr::LogicalPlan,
        path: &str,
    ) -> Result<Input<'p>> {
        let stream = self.lower(plan, path)?;
        if stream.rows == RowKind::Changelog {
            return Err(Error::new(Code::NotSupported, "a join of rows that change is not supported")
                .because("a side aggregates without a window, so each new row may change a result")
                .at(self.place_of_join())
                .with_help("group both sides by the same window, and compare the windows in ON"));
        }
        let marked = stream.own(columns::ROW_WATERMARK);
        let kept: Vec<usize> =
            (0..stream.schema.fields().len()).filter(|&index| Some(index) != marked).collect();
        let width = stream.width;
        let stream = self.writer.select(path, stream, &kept, width)?;
        Ok(Input { stream, plan: plan.schema(), keys: Vec::new() })
    }

    /// Both sides are the same window, and the join compares it.
    fn check_windows(&self, compared: &Compared, left: &Input<'_>, right: &Input<'_>) -> Result<()> {
        let error = match (left.stream.window, right.stream.window) {
            (Some(one), Some(other)) if one != other => {
                Error::new(Code::JoinWithoutWindow, "the sides of the join are different windows")
                    .because(format!("the left is of {one}, the right of {other}"))
                    .with_help("group both sides by the same window")
            }
            (Some(window), Some(_)) if compared.is_whole(window) => return Ok(()),
            (Some(_), Some(_)) => {
                let condition = match (left.window_name(), right.window_name()) {
                    (Some(left), Some(right)) => format!("add {left} = {right} to ON"),
                    (_, _) => "select the window on both sides, and compare it in ON".to_owned(),
                };
                Error::new(Code::JoinWithoutWindow, "the join does not compare the windows of its sides")
                    .because("only rows of one window are ever together")
                    .with_help(condition)
            }
            (Some(_), None) => one_sided("right"),
            (None, Some(_)) => one_sided("left"),
            (None, None) => {
                Error::new(Code::JoinWithoutWindow, "a join of streams without windows is not supported")
                    .because("a row would have to wait for its pair for ever")
                    .with_help(
                        "group both sides by the same window, as in SELECT …, tumble(interval '10 seconds') AS window … GROUP BY …, and join them ON a.window = b.window AND …",
                    )
            }
        };
        Err(error.at(self.place_of_join()))
    }

    fn join_windows(
        &mut self,
        kind: JoinKind,
        left: Input<'_>,
        right: Input<'_>,
        nulls_equal: bool,
        condition: Option<&Expr>,
        path: &str,
    ) -> Result<Stream> {
        let plan = left.plan.join(right.plan).map_err(|e| {
            Error::internal("the sides of a join have columns of one name").because(e.strip_backtrace())
        })?;
        let (left, left_side) = self.join_side(left, path)?;
        let (right, right_side) = self.join_side(right, path)?;
        let inputs = [
            (&left, Distribution::Shuffle(left_side.shuffle_key()?)),
            (&right, Distribution::Shuffle(right_side.shuffle_key()?)),
        ];
        let width = left_side.width;
        let pairs = Stream {
            schema: told_apart(&WindowJoin::pairs(kind, &left_side, &right_side), &plan),
            width: width + right_side.width,
            ..left.clone()
        };
        let mut spec = WindowJoin::new(kind, left_side, right_side, nulls_equal)?;
        if let Some(condition) = condition {
            spec = spec.with_condition(&compile(condition, &plan, &pairs)?, self.policy())?;
        }
        let schema = spec.output_schema();
        let node = self.writer.operator(path, &inputs, None, spec)?;
        let of_left = left.window_columns.iter().copied();
        let of_right = right.window_columns.iter().map(|column| width + column);
        let bounds_of_left = left.window_bounds.iter().copied();
        let bounds_of_right = right.window_bounds.iter().map(|(column, part)| (width + column, *part));
        let window_bounds = match kind {
            JoinKind::Inner => bounds_of_left.chain(bounds_of_right).collect(),
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti => bounds_of_left.collect(),
            JoinKind::Right => bounds_of_right.collect(),
            JoinKind::Full => Vec::new(),
        };
        let window_columns = match kind {
            JoinKind::Inner => of_left.chain(of_right).collect(),
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti => of_left.collect(),
            JoinKind::Right => of_right.collect(),
            // Either side may be missing, and its window with it.
            JoinKind::Full => Vec::new(),
        };
        let width = schema.fields().len() - 1;
        let joined = Stream::new(node, schema, width, RowKind::Append, None);
        Ok(Stream { window: left.window, window_columns, window_bounds, ..joined })
    }

    /// A side with its keys as columns.
    fn join_side(&mut self, input: Input<'_>, path: &str) -> Result<(Stream, JoinSide)> {
        let Input { mut stream, plan, keys } = input;
        let width = stream.width;
        let window = stream.window_columns.first().copied();
        let place = |key: &Expr| match key {
            Expr::Column(column) => plan.maybe_index_of_column(column),
            _ => None,
        };
        let mut places: Vec<usize> = Vec::with_capacity(keys.len() + 1);
        let mut computed: Vec<&Expr> = Vec::new();
        for key in &keys {
            places.push(place(key).unwrap_or(width + computed.len()));
            computed.extend(place(key).is_none().then_some(key));
        }
        if !computed.is_empty() {
            let own: Vec<Expr> = plan.columns().into_iter().map(Expr::Column).collect();
            let names = plan.fields().iter().map(|field| field.name().clone());
            let behind = computed.iter().enumerate().map(|(index, key)| (*key, computed_name(index)));
            let columns: Vec<(&Expr, String)> = own.iter().zip(names).chain(behind).collect();
            stream = self.project(stream, plan, &columns, path)?;
        }
        if let Some(Window::Session { .. }) = stream.window {
            // The end alone does not tell sessions apart.
            places.extend(window);
        }
        let schema = stream.schema.clone();
        Ok((stream, JoinSide { schema, width, keys: places }))
    }
}

/// Pairs whose columns of one name have their table's name before it, for people who read a condition.
fn told_apart(pairs: &SchemaRef, plan: &DFSchema) -> SchemaRef {
    let fields = pairs.fields().iter().enumerate().map(|(index, field)| {
        let same = pairs.fields().iter().filter(|other| other.name() == field.name()).count();
        let table = (index < plan.fields().len()).then(|| plan.qualified_field(index).0).flatten();
        match table {
            Some(table) if same > 1 => {
                let name = format!("{}.{}", table.table(), field.name());
                Arc::new(field.as_ref().clone().with_name(name))
            }
            Some(_) | None => Arc::clone(field),
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn one_sided(side: &str) -> Error {
    Error::new(Code::JoinWithoutWindow, format!("the {side} side of the join has no window"))
        .because("the other side gives its rows when a window closes, and this one as they come")
        .with_help("group both sides by the same window, and compare the windows in ON")
}

impl Input<'_> {
    fn part_of_window(&self, expr: &Expr) -> Option<WindowPart> {
        self.stream.part_of_window(expr, self.plan)
    }

    /// A window's column as it is written in a query.
    fn window_name(&self) -> Option<String> {
        let (table, field) = self.plan.qualified_field(*self.stream.window_columns.first()?);
        Some(match table {
            Some(table) => format!("{}.{}", table.table(), field.name()),
            None => field.name().clone(),
        })
    }
}

impl Compared {
    /// Notes a pair of equal expressions, if both are windows of their sides, or the same part of them.
    fn note(&mut self, one: (&Expr, &Input<'_>), other: (&Expr, &Input<'_>)) -> bool {
        let parts = (one.1.part_of_window(one.0), other.1.part_of_window(other.0));
        match parts {
            (Some(WindowPart::Whole), Some(WindowPart::Whole)) => (self.start, self.end) = (true, true),
            (Some(WindowPart::Start), Some(WindowPart::Start)) => self.start = true,
            (Some(WindowPart::End), Some(WindowPart::End)) => self.end = true,
            (_, _) => return false,
        }
        true
    }

    /// Whether windows are the same where these parts are.
    fn is_whole(&self, window: Window) -> bool {
        match window {
            Window::Tumble { .. } | Window::Hop { .. } => self.start || self.end,
            Window::Session { .. } => self.start && self.end,
        }
    }
}
