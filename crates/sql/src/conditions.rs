//! `WHERE` and `HAVING` as they are written, to say where a fault is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Spanned, Visit, Visitor};
use thalweg_dataflow::{Code, Error, Result, Span};

use crate::context::Functions;
use crate::parser::{Script, normalise};

/// Refuses aggregates in `WHERE`: they are known only when the rows are grouped.
pub(crate) fn check(query: &ast::Query, functions: &Functions, script: &Script<'_>, at: Span) -> Result<()> {
    let mut search = Search { functions, aggregate: None, conditions: Vec::new() };
    let _ = query.visit(&mut search);
    let Some(name) = search.aggregate else { return Ok(()) };
    let what = format!("{}() is an aggregate, and cannot stand in WHERE", normalise(&name));
    Err(Error::new(Code::InvalidAggregate, what)
        .because("WHERE chooses rows before they are aggregated")
        .at(script.span(name.span).unwrap_or(at))
        .with_help("use HAVING: it chooses groups by their results"))
}

/// The place of the query's condition, if it has one only.
pub(crate) fn only(query: &ast::Query, functions: &Functions, script: &Script<'_>) -> Option<Span> {
    let mut search = Search { functions, aggregate: None, conditions: Vec::new() };
    let _ = query.visit(&mut search);
    match search.conditions.as_slice() {
        [condition] => script.span(*condition),
        _ => None,
    }
}

struct Search<'a> {
    functions: &'a Functions,
    /// The first aggregate in a `WHERE`.
    aggregate: Option<ast::Ident>,
    conditions: Vec<datafusion::sql::sqlparser::tokenizer::Span>,
}

impl Visitor for Search<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        self.conditions.extend(select.selection.iter().chain(&select.having).map(Spanned::span));
        if let Some(condition) = &select.selection
            && self.aggregate.is_none()
        {
            let mut found = None;
            let _ = ast::visit_expressions(condition, |expr| match self.aggregate_name(expr) {
                Some(name) => {
                    found = Some(name.clone());
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            });
            self.aggregate = found;
        }
        ControlFlow::Continue(())
    }
}

impl Search<'_> {
    fn aggregate_name<'e>(&self, expr: &'e ast::Expr) -> Option<&'e ast::Ident> {
        let ast::Expr::Function(function) = expr else { return None };
        let [ast::ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
        let is_aggregate = function.over.is_none() && self.functions.is_aggregate(&normalise(name));
        is_aggregate.then_some(name)
    }
}
