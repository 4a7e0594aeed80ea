//! Clauses that a planner would drop in silence, or refuse in its own words.
//!
//! Each is refused here, where its place is known, with what works instead.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr,
    SetOperator, SetQuantifier, Spanned, TableFactor, Visit, Visitor, WindowType,
};
use thalweg_dataflow::{Code, Error, Span};

use super::script::Script;

/// Checks a query with all queries in it.
pub(super) fn check_query(script: &Script<'_>, query: &Query, span: Span) -> Result<(), Error> {
    let mut check = Check { script, span };
    match query.visit(&mut check) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Checks the clauses around the query of an insert.
pub(super) fn check_insert(insert: &ast::Insert, at: Span) -> Result<(), Error> {
    let dropped = [
        (insert.or.is_some() || insert.ignore || insert.replace_into, "INSERT OR …"),
        (insert.overwrite, "INSERT OVERWRITE"),
        (insert.on.is_some(), "ON CONFLICT"),
        (insert.returning.is_some() || insert.output.is_some(), "RETURNING"),
        (insert.partitioned.is_some() || !insert.after_columns.is_empty(), "PARTITION"),
        (!insert.assignments.is_empty(), "INSERT … SET"),
        (insert.table_alias.is_some() || insert.insert_alias.is_some(), "an alias of the table"),
        (insert.settings.is_some() || insert.format_clause.is_some(), "SETTINGS and FORMAT"),
        (insert.multi_table_insert_type.is_some(), "INSERT ALL"),
    ];
    match dropped.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, clause)) => {
            Err(not_supported(clause, "an insert is INSERT INTO table [(columns)] SELECT …").at(at))
        }
    }
}

fn not_supported(clause: &str, instead: &str) -> Error {
    Error::new(Code::NotSupported, format!("{clause} is not supported")).with_help(instead)
}

struct Check<'a> {
    script: &'a Script<'a>,
    span: Span,
}

type Verdict = ControlFlow<Box<Error>>;

impl Check<'_> {
    /// Refuses a clause that stands at `place`, or at the first `word` of the statement.
    fn refuse(&self, clause: &str, instead: &str, place: &dyn Spanned, word: &str) -> Verdict {
        let at = self.script.span(place.span()).or_else(|| self.script.words(self.span, word).next());
        ControlFlow::Break(Box::new(not_supported(clause, instead).at(at.unwrap_or(self.span))))
    }
}

const NO_ORDER: &str = "a stream has no end to order it by; order the rows where they are read";
const NO_LATERAL: &str = "join the results of both queries on their window";
const UNNEST: &str = "write unnest(list) in the SELECT list";

const EXTENDED: &str = "a named window with more clauses";
const WHOLE: &str = "write all clauses of the window, or its name alone: OVER name";

/// Whether a call says `OVER (name …)`: the planner would forget the name.
fn extends_named_window(function: &ast::Function) -> bool {
    match &function.over {
        Some(WindowType::WindowSpec(window)) => window.window_name.is_some(),
        Some(WindowType::NamedWindow(_)) | None => false,
    }
}

impl Visitor for Check<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &Query) -> Verdict {
        if let Some(order) = &query.order_by {
            return self.refuse("ORDER BY", NO_ORDER, order, "order");
        }
        if let Some(limit) = &query.limit_clause {
            return self.refuse(
                "LIMIT",
                "a stream has no first rows; filter them with WHERE",
                limit,
                "limit",
            );
        }
        if let Some(fetch) = &query.fetch {
            return self.refuse(
                "FETCH",
                "a stream has no first rows; filter them with WHERE",
                fetch,
                "fetch",
            );
        }
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            return self.refuse("WITH RECURSIVE", "write the steps as separate views", with, "recursive");
        }
        let dropped = [
            (!query.locks.is_empty(), "FOR UPDATE", "for"),
            (query.for_clause.is_some(), "FOR", "for"),
            (query.settings.is_some(), "SETTINGS", "settings"),
            (query.format_clause.is_some(), "FORMAT", "format"),
            (!query.pipe_operators.is_empty(), "|>", "|>"),
        ];
        if let Some((_, clause, word)) = dropped.iter().find(|(given, ..)| *given) {
            return self.refuse(clause, "take the clause away", &*query.body, word);
        }
        self.set_expression(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Verdict {
        if let Some(Distinct::On(keys)) = &select.distinct {
            let instead = "group by the columns and take first_value() of the others";
            return match keys.first() {
                Some(key) => self.refuse("DISTINCT ON", instead, key, "distinct"),
                None => self.refuse("DISTINCT ON", instead, select, "distinct"),
            };
        }
        let modifiers = match &select.group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => !modifiers.is_empty(),
        };
        let dropped = [
            (modifiers, "GROUP BY … WITH", "with"),
            (select.into.is_some(), "SELECT … INTO", "into"),
            (select.top.is_some(), "TOP", "top"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW", "lateral"),
            (!select.connect_by.is_empty(), "CONNECT BY", "connect"),
            (select.prewhere.is_some(), "PREWHERE", "prewhere"),
            (!select.cluster_by.is_empty(), "CLUSTER BY", "cluster"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY", "distribute"),
            (!select.sort_by.is_empty(), "SORT BY", "sort"),
            (select.value_table_mode.is_some(), "SELECT AS", "as"),
        ];
        if let Some((_, clause, word)) = dropped.iter().find(|(given, ..)| *given) {
            return self.refuse(clause, "take the clause away", select, word);
        }
        let extended = select.named_window.iter().find(|NamedWindowDefinition(_, window)| match window {
            NamedWindowExpr::NamedWindow(_) => false,
            NamedWindowExpr::WindowSpec(window) => window.window_name.is_some(),
        });
        match extended {
            Some(window) => self.refuse(EXTENDED, WHOLE, window, "window"),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Verdict {
        match factor {
            TableFactor::Table { args: Some(_), .. } => {
                let instead = "windows are written GROUP BY tumble(interval '10 seconds')";
                self.refuse("a table function", instead, factor, "from")
            }
            TableFactor::Table { version: Some(_), .. } => {
                self.refuse("FOR SYSTEM_TIME AS OF", "read the table as it comes", factor, "for")
            }
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                self.refuse("TABLESAMPLE", "filter with WHERE random() < 0.1", factor, "tablesample")
            }
            TableFactor::Derived { lateral: true, .. } => {
                self.refuse("LATERAL", NO_LATERAL, factor, "lateral")
            }
            TableFactor::Table { .. } | TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => {
                ControlFlow::Continue(())
            }
            TableFactor::UNNEST { .. } => self.refuse("UNNEST in FROM", UNNEST, factor, "unnest"),
            other => {
                self.refuse("this form of FROM", "name a table, a view or a query in brackets", other, "from")
            }
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Verdict {
        match expr {
            Expr::Function(function) if extends_named_window(function) => {
                self.refuse(EXTENDED, WHOLE, function, "over")
            }
            Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::Subquery(_) => self.refuse(
                "a query within an expression",
                "compute it in a query of its own; only FROM takes a query in brackets",
                expr,
                "select",
            ),
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => self.refuse(
                "grouping by ROLLUP, CUBE or GROUPING SETS",
                "write one query per grouping",
                expr,
                "group",
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Check<'_> {
    fn set_expression(&self, body: &SetExpr) -> Verdict {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) => ControlFlow::Continue(()),
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left, right } => {
                match set_quantifier {
                    SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => {}
                    SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                        return self.refuse(
                            "UNION BY NAME",
                            "name the columns in one order",
                            &**right,
                            "name",
                        );
                    }
                }
                self.set_expression(left)?;
                self.set_expression(right)
            }
            SetExpr::SetOperation { op, right, .. } => {
                let instead = "UNION and UNION ALL are; filter with WHERE what should not come";
                self.refuse(&op.to_string(), instead, &**right, &op.to_string())
            }
            SetExpr::Values(_) => {
                self.refuse("VALUES", "a stream comes from a table: SELECT … FROM …", body, "values")
            }
            SetExpr::Insert(_)
            | SetExpr::Update(_)
            | SetExpr::Delete(_)
            | SetExpr::Merge(_)
            | SetExpr::Table(_) => self.refuse("this form of query", "write SELECT … FROM …", body, "table"),
        }
    }
}
