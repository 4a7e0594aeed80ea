//! Conditions on ranks: the first rows of each partition.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Operator, Projection, Window};
use thalweg_dataflow::{Error, Result};

use super::graph::Stream;
use super::write::Lowering;

/// Calls over the rows of windows, and a condition on their results.
pub(super) struct Ranked<'a> {
    window: &'a Window,
    /// What stands between them, to name the columns.
    projection: Option<&'a Projection>,
    /// In the words of the calls.
    condition: Expr,
}

/// What a filter chooses from, if it is calls over the rows of windows.
pub(super) fn below(filter: &Filter) -> Result<Option<Ranked<'_>>> {
    match filter.input.as_ref() {
        LogicalPlan::Window(window) => {
            Ok(Some(Ranked { window, projection: None, condition: filter.predicate.clone() }))
        }
        LogicalPlan::Projection(projection) => {
            let LogicalPlan::Window(window) = projection.input.as_ref() else { return Ok(None) };
            let replaced = filter.predicate.clone().transform_up(|e| Ok(as_projected(e, projection)));
            let condition =
                replaced.map_err(|e| Error::internal("a condition cannot be read").because(e))?.data;
            Ok(Some(Ranked { window, projection: Some(projection), condition }))
        }
        _ => Ok(None),
    }
}

/// What a projection's column stands for.
fn as_projected(expr: Expr, projection: &Projection) -> Transformed<Expr> {
    let index = match &expr {
        Expr::Column(column) => projection.schema.maybe_index_of_column(column),
        _ => None,
    };
    match index {
        Some(index) => Transformed::yes(projection.expr[index].clone().unalias()),
        None => Transformed::no(expr),
    }
}

impl Lowering<'_> {
    /// The results from which a filter chooses.
    pub(super) fn ranked(&mut self, ranked: &Ranked<'_>, path: &str) -> Result<Stream> {
        let results = self.over(ranked.window, Some(&ranked.condition), path)?;
        match ranked.projection {
            Some(projection) => self.projection_of(projection, results, path),
            None => Ok(results),
        }
    }
}

/// The most that a condition lets a column be, if it says so.
pub(super) fn most_of(condition: &Expr, column: &Column) -> Option<u64> {
    split_conjunction(condition).into_iter().filter_map(|part| bound_of(part, column)).min()
}

/// The same of one comparison.
fn bound_of(condition: &Expr, column: &Column) -> Option<u64> {
    let Expr::BinaryExpr(binary) = condition else { return None };
    let (side, operator, value) = match (binary.left.as_ref(), binary.right.as_ref()) {
        (side, Expr::Literal(value, _)) => (side, binary.op, value),
        (Expr::Literal(value, _), side) => (side, binary.op.swap()?, value),
        (_, _) => return None,
    };
    let is_column = match side {
        Expr::Cast(cast) => cast.expr.as_ref() == &Expr::Column(column.clone()),
        side => side == &Expr::Column(column.clone()),
    };
    let is_whole = value.data_type().is_integer() || matches!(value.data_type(), DataType::Decimal128(_, 0));
    let ScalarValue::Int64(Some(value)) = value.cast_to(&DataType::Int64).ok().filter(|_| is_whole)? else {
        return None;
    };
    let most = match operator {
        Operator::LtEq | Operator::Eq => value,
        Operator::Lt => value.checked_sub(1)?,
        _ => return None,
    };
    is_column.then(|| u64::try_from(most).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;

    #[test]
    fn a_rank_is_bounded_by_what_says_so_and_by_nothing_else() {
        let rank = || col("rn");
        let bounds = [
            (rank().lt_eq(lit(3_u64)), Some(3)),
            (rank().lt(lit(3_i64)), Some(2)),
            (rank().eq(lit(1_u64)), Some(1)),
            (lit(4_u64).gt(rank()), Some(3)),
            (rank().gt_eq(lit(2_u64)).and(rank().lt_eq(lit(5_u64))), Some(5)),
            (rank().lt_eq(lit(9_u64)).and(rank().lt_eq(lit(5_u64))), Some(5)),
            (cast(rank(), DataType::Int64).lt_eq(lit(2_i64)), Some(2)),
            (rank().lt(lit(0_u64)), Some(0)),
            (rank().lt_eq(lit(-1_i64)), Some(0)),
            (cast(rank(), DataType::Float64).lt(lit(3.5)), None),
            (rank().gt(lit(3_u64)), None),
            (rank().not_eq(lit(3_u64)), None),
            (rank().lt_eq(lit(3_u64)).or(col("x").gt(lit(1))), None),
            (col("x").lt_eq(lit(3_u64)), None),
            (rank().lt_eq(col("x")), None),
        ];
        for (condition, most) in bounds {
            assert_eq!(most_of(&condition, &Column::new_unqualified("rn")), most, "{condition}");
        }
    }
}
