//! `SELECT` lists.

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, Projection};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, OperatorSpec, Result};
use thalweg_operators::Expression;
use thalweg_operators::project::Project;

use super::expression::compile;
use super::graph::{Stream, WindowPart};
use super::names::Names;
use super::write::Lowering;
use crate::catalog::check_name;
use crate::windows::{self, Window};

impl Lowering<'_> {
    pub(super) fn projection(&mut self, projection: &Projection, path: &str) -> Result<Stream> {
        let input = self.lower(&projection.input, path)?;
        self.projection_of(projection, input, path)
    }

    /// A projection of a stream that gives the rows of its input.
    pub(super) fn projection_of(
        &mut self,
        projection: &Projection,
        input: Stream,
        path: &str,
    ) -> Result<Stream> {
        let mut expressions = projection.expr.as_slice();
        let mut pending = None;
        if let Some((last, before)) = expressions.split_last()
            && let Some(window) = windows::assigned(last)?
        {
            (expressions, pending) = (before, Some(window));
        }
        self.check_window(&input, pending)?;
        let names = projection.schema.fields().iter().map(|field| field.name().clone());
        let columns: Vec<(&Expr, String)> = expressions.iter().zip(names).collect();
        let projected = self.project(input, projection.input.schema(), &columns, path)?;
        Ok(Stream { pending, ..projected })
    }

    /// A window over the results of windows is that window again, or it has no meaning.
    pub(super) fn check_window(&self, input: &Stream, pending: Option<Window>) -> Result<()> {
        let Some(window) = pending else { return Ok(()) };
        let error = match (input.rows, input.window) {
            (RowKind::Changelog, _) => {
                Error::new(Code::NotSupported, "a window over rows that change is not supported")
                    .with_help("group by the window first, and aggregate its results")
            }
            (RowKind::Append, Some(inner)) if inner != window => Error::new(
                Code::InvalidWindow,
                "the window differs from the one that the rows are grouped by already",
            )
            .because(format!("{window} reads results of {inner}"))
            .with_help("use the window column of the inner query, or the same window"),
            (RowKind::Append, Some(Window::Session { .. })) => {
                Error::new(Code::InvalidWindow, "sessions of sessions have no meaning")
                    .with_help("group by the window column of the inner query")
            }
            (RowKind::Append, Some(Window::Tumble { .. } | Window::Hop { .. }) | None) => return Ok(()),
        };
        Err(error.at(self.place_of(window.name())))
    }

    /// Computes these columns under these names; the engine's own come along.
    pub(super) fn project(
        &mut self,
        input: Stream,
        plan: &DFSchema,
        columns: &[(&Expr, String)],
        path: &str,
    ) -> Result<Stream> {
        let mut computed = Vec::with_capacity(columns.len() + input.own_columns().len());
        let mut names = Names::new([]);
        for (expr, name) in columns {
            check_name(name)?;
            let column = compile(expr, plan, &input)?;
            let name = names.of(expr, &column, name);
            computed.push((column, name));
        }
        self.check_repeatable(&input, computed.iter().map(|(expression, _)| expression))?;
        let width = columns.len();
        if is_identity(&computed, &input, width) {
            return Ok(input);
        }
        let sources: Vec<Option<usize>> =
            computed.iter().map(|(expression, _)| expression.as_column()).collect();
        for index in input.own_columns() {
            computed
                .push((Expression::column(&input.schema, index), input.schema.field(index).name().clone()));
        }
        let window_bounds = bounds_among(columns, &input, plan);
        let spec = Project::new(computed, self.policy());
        let schema = spec.output_schema();
        let node = self.writer.chained(path, &input, spec)?;
        let place = |old: &usize| sources.iter().position(|source| *source == Some(*old));
        let key = input.key.as_ref().and_then(|key| key.iter().map(place).collect());
        let is_window = |new: &usize| sources[*new].is_some_and(|old| input.window_columns.contains(&old));
        let window_columns = (0..width).filter(is_window).collect();
        Ok(Stream { node, schema, width, key, window_columns, window_bounds, ..input })
    }

    /// What an assert was computed from must give the same when it is retracted.
    pub(super) fn check_repeatable<'e>(
        &self,
        input: &Stream,
        expressions: impl IntoIterator<Item = &'e Expression>,
    ) -> Result<()> {
        let fault = match input.rows {
            RowKind::Append => None,
            RowKind::Changelog => expressions.into_iter().find(|expression| !expression.is_repeatable()),
        };
        match fault {
            None => Ok(()),
            Some(fault) => {
                let what = format!(
                    "'{fault}' differs from call to call, and cannot be computed over rows that change"
                );
                Err(Error::new(Code::NotSupported, what)
                    .with_help("compute it before the aggregate, or group by a window"))
            }
        }
    }
}

/// The columns that are a bound of the rows' window.
fn bounds_among(columns: &[(&Expr, String)], input: &Stream, plan: &DFSchema) -> Vec<(usize, WindowPart)> {
    let bound = |(new, (expr, _)): (usize, &(&Expr, String))| match input.part_of_window(expr, plan)? {
        WindowPart::Whole => None,
        part => Some((new, part)),
    };
    columns.iter().enumerate().filter_map(bound).collect()
}

fn is_identity(computed: &[(Expression, String)], input: &Stream, width: usize) -> bool {
    let same = |(index, (expression, name)): (usize, &(Expression, String))| {
        expression.as_column() == Some(index) && input.schema.field(index).name() == name
    };
    width == input.width && computed.iter().enumerate().all(same)
}
