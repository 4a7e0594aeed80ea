//! The names of columns between operators.
//!
//! A plan names a column that the user did not name by how it is computed, in
//! a planner's words: `count(Int64(1))`. Between operators columns are known by
//! their place, so there they may be named for people. At a sink they have the
//! plan's names again.

use std::collections::HashSet;

use datafusion::logical_expr::Expr;
use thalweg_dataflow::columns::{DIFF, ROW_WATERMARK, TIMESTAMP};
use thalweg_operators::Expression;
use thalweg_operators::expression::NOW_COLUMN;

/// The most characters of a name that is made from an expression.
const NAME_CHARS_MAX: usize = 80;
/// How common parts of expressions, and lists that are to be opened, are named by the planner.
const PLANNED: [&str; 2] = ["__common_expr_", "__unnest_placeholder("];
/// How arguments that are computed below an aggregate are named by us.
const COMPUTED: &str = "__computed_";

/// The name of a column that is computed below an aggregate.
pub(super) fn computed_name(index: usize) -> String {
    format!("{COMPUTED}{index}")
}

/// The names of one operator's columns so far.
pub(super) struct Names(HashSet<String>);

impl Names {
    /// No column may have one of these names, or one of the engine's own.
    pub(super) fn new<'a>(taken: impl IntoIterator<Item = &'a str>) -> Self {
        let own = [TIMESTAMP, ROW_WATERMARK, DIFF, NOW_COLUMN];
        Self(own.into_iter().chain(taken).map(str::to_owned).collect())
    }

    /// What a column reads as, if that is short and no other column's name; else the planner's name.
    pub(super) fn take(&mut self, readable: String, planned: &str) -> String {
        let short = readable.chars().nth(NAME_CHARS_MAX).is_none();
        let name = if short && !self.0.contains(&readable) { readable } else { planned.to_owned() };
        self.0.insert(name.clone());
        name
    }

    /// The name of a projection's column: the user's, unless only a planner can have given it.
    pub(super) fn of(&mut self, expr: &Expr, compiled: &Expression, planned: &str) -> String {
        let made = [COMPUTED, PLANNED[0], PLANNED[1]].iter().any(|start| planned.starts_with(start));
        if made || !matches!(expr, Expr::Alias(_)) {
            return self.take(compiled.to_string(), planned);
        }
        self.0.insert(planned.to_owned());
        planned.to_owned()
    }
}
