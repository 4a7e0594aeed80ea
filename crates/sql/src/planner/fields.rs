//! Which fields of a struct are read: a source need not make the others.
//!
//! What is read of a plan's output goes down node by node to its scans. A
//! column that passes through is read as its output is; `get_field(c, 'x')`
//! reads one field; `c IS NULL` reads none; anything else reads the whole. A
//! node that is not known here reads all that it has, so that nothing that is
//! read can be missed.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use thalweg_dataflow::{Error, Result};

use crate::row_windows::RowWindows;

/// How much of a column is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Read {
    /// Nothing.
    #[default]
    Nothing,
    /// These fields of a struct, by index, and where it is null.
    Fields(BTreeSet<usize>),
    /// All of it.
    Whole,
}

impl Read {
    /// Reads this as well.
    pub(super) fn add(&mut self, more: &Self) {
        match (&mut *self, more) {
            (Self::Whole, _) | (_, Self::Nothing) => {}
            (Self::Fields(fields), Self::Fields(more)) => fields.extend(more),
            (Self::Nothing | Self::Fields(_), _) => *self = more.clone(),
        }
    }

    /// The fields that are read of a column of this type; none: it is read as a whole.
    pub(super) fn fields_of(&self, data_type: &DataType) -> Option<Vec<usize>> {
        match (data_type, self) {
            (DataType::Struct(_), Self::Nothing) => Some(Vec::new()),
            (DataType::Struct(_), Self::Fields(fields)) => Some(fields.iter().copied().collect()),
            (_, Self::Nothing | Self::Fields(_) | Self::Whole) => None,
        }
    }
}

/// A plan's columns, all read as a whole.
pub(super) fn whole(plan: &LogicalPlan) -> Vec<Read> {
    vec![Read::Whole; plan.schema().fields().len()]
}

/// Tells `scanned` what is read of each scan's columns, where `output` is what is read of the plan's.
pub(super) fn note(
    plan: &LogicalPlan,
    output: &[Read],
    scanned: &mut impl FnMut(&TableScan, &[Read]) -> Result<()>,
) -> Result<()> {
    match plan {
        LogicalPlan::TableScan(scan) => scanned(scan, output),
        LogicalPlan::SubqueryAlias(alias) => note(&alias.input, output, scanned),
        LogicalPlan::Union(union) => union.inputs.iter().try_for_each(|input| note(input, output, scanned)),
        LogicalPlan::Projection(projection) => {
            let schema = projection.input.schema();
            let mut reads = vec![Read::Nothing; schema.fields().len()];
            for (expr, read) in projection.expr.iter().zip(output) {
                match passed(expr).and_then(|column| schema.maybe_index_of_column(column)) {
                    Some(index) => reads[index].add(read),
                    None => add(expr, schema, &mut reads)?,
                }
            }
            note(&projection.input, &reads, scanned)
        }
        LogicalPlan::Filter(filter) => {
            let mut reads = output.to_vec();
            add(&filter.predicate, filter.input.schema(), &mut reads)?;
            note(&filter.input, &reads, scanned)
        }
        LogicalPlan::Aggregate(aggregate) => {
            let schema = aggregate.input.schema();
            let mut reads = vec![Read::Nothing; schema.fields().len()];
            for expr in aggregate.group_expr.iter().chain(&aggregate.aggr_expr) {
                add(expr, schema, &mut reads)?;
            }
            note(&aggregate.input, &reads, scanned)
        }
        LogicalPlan::Join(join) if is_side_by_side(join.join_type) => {
            let mut reads = output.to_vec();
            let pairs = join.on.iter().flat_map(|(left, right)| [left, right]);
            for expr in pairs.chain(&join.filter) {
                add(expr, plan.schema(), &mut reads)?;
            }
            let (left, right) = reads.split_at(join.left.schema().fields().len());
            note(&join.left, left, scanned)?;
            note(&join.right, right, scanned)
        }
        LogicalPlan::Extension(extension) => match RowWindows::of(extension) {
            // The window stands behind the columns of the input.
            Some(windows) => {
                let width = windows.input.schema().fields().len();
                note(&windows.input, &output[..width], scanned)
            }
            None => every(plan, scanned),
        },
        _ => every(plan, scanned),
    }
}

/// Whether the output is the columns of the left side, then those of the right.
fn is_side_by_side(join: JoinType) -> bool {
    match join {
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => true,
        JoinType::LeftSemi
        | JoinType::RightSemi
        | JoinType::LeftAnti
        | JoinType::RightAnti
        | JoinType::LeftMark
        | JoinType::RightMark => false,
    }
}

/// A node reads all that its inputs have.
fn every(plan: &LogicalPlan, scanned: &mut impl FnMut(&TableScan, &[Read]) -> Result<()>) -> Result<()> {
    plan.inputs().into_iter().try_for_each(|input| note(input, &whole(input), scanned))
}

/// The column that an expression gives as it is.
fn passed(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => passed(&alias.expr),
        _ => None,
    }
}

/// Adds what an expression reads of these columns.
pub(super) fn add(expr: &Expr, schema: &DFSchema, reads: &mut [Read]) -> Result<()> {
    let mut read = |column: &Column, read: &Read| match schema.maybe_index_of_column(column) {
        Some(index) => reads[index].add(read),
        // It may be any of them.
        None => reads.iter_mut().for_each(|read| *read = Read::Whole),
    };
    expr.apply(|expr| {
        match expr {
            Expr::Column(column) => read(column, &Read::Whole),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                let Expr::Column(column) = inner.as_ref() else { return Ok(TreeNodeRecursion::Continue) };
                read(column, &Read::Fields(BTreeSet::new()));
                return Ok(TreeNodeRecursion::Jump);
            }
            _ => {
                let Some((column, field)) = field_of(expr, schema) else {
                    return Ok(TreeNodeRecursion::Continue);
                };
                read(column, &Read::Fields(BTreeSet::from([field])));
                return Ok(TreeNodeRecursion::Jump);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(drop)
    .map_err(|e| Error::internal("an expression cannot be walked").because(e))
}

/// The column and the field of `get_field(column, 'field', …)`.
fn field_of<'e>(expr: &'e Expr, schema: &DFSchema) -> Option<(&'e Column, usize)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let ("get_field", [Expr::Column(column), Expr::Literal(name, _), ..]) =
        (call.func.name(), call.args.as_slice())
    else {
        return None;
    };
    let index = schema.maybe_index_of_column(column)?;
    let DataType::Struct(fields) = schema.field(index).data_type() else { return None };
    let (field, _) = fields.find(name.try_as_str()??)?;
    Some((column, field))
}
