//! Flink's form of windows: `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '10' SECOND))`.
//!
//! It is read as what it means, a query whose rows carry their window, with
//! the bounds of the window as columns:
//!
//! ```text
//! (SELECT *, tumble(time, INTERVAL '10' SECOND).start AS window_start, ….end AS window_end FROM t)
//! ```
//!
//! The column stands before the width, so that the planner can see that it is the event time.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Spanned, TableFactor, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};
use thalweg_dataflow::{Code, Error, Span};

use super::script::Script;

/// The windows that have this form, with how each is written.
const FORMS: [(&str, usize, &str); 2] = [
    ("tumble", 1, "TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '10' SECOND))"),
    (
        "hop",
        2,
        "TABLE(HOP(TABLE t, DESCRIPTOR(time), INTERVAL '2' SECOND, INTERVAL '10' SECOND)), the slide first",
    ),
];

/// Takes the word `TABLE` away before the first argument of such a window, where sqlparser knows no such word.
pub(super) fn unmark(tokens: &mut [TokenWithSpan]) {
    let mut call = [false, false];
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::Word(word) if word.keyword == Keyword::TABLE && call[1] => {
                token.token = Token::Whitespace(Whitespace::Space);
                call = [false, false];
            }
            Token::Word(word) => call = [form_of(&word.value).is_some(), false],
            Token::LParen => call = [false, call[0]],
            _ => call = [false, false],
        }
    }
}

/// Replaces such windows, wherever they stand in a query, by what they mean.
pub(super) fn replace(script: &Script<'_>, query: &mut Query, span: Span) -> Result<(), Error> {
    match query.visit(&mut Replace { script, span }) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn form_of(name: &str) -> Option<(&'static str, usize, &'static str)> {
    FORMS.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

struct Replace<'a> {
    script: &'a Script<'a>,
    span: Span,
}

impl VisitorMut for Replace<'_> {
    type Break = Box<Error>;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Box<Error>> {
        let TableFactor::TableFunction { expr: Expr::Function(function), alias } = factor else {
            return ControlFlow::Continue(());
        };
        let Some(form) = form_of(&function.name.to_string()) else { return ControlFlow::Continue(()) };
        match meaning_of(function, form) {
            Some(subquery) => {
                let alias = alias.take();
                *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
                ControlFlow::Continue(())
            }
            None => {
                let at = self.script.span(function.span()).unwrap_or(self.span);
                let what = format!("{}() of a table is not written like this", form.0);
                ControlFlow::Break(Box::new(
                    Error::new(Code::InvalidWindow, what).at(at).with_help(format!("write {}", form.2)),
                ))
            }
        }
    }
}

/// The query that a window of a table stands for; none if it is not written as it should be.
fn meaning_of(function: &ast::Function, (name, lengths, _): (&str, usize, &str)) -> Option<Box<Query>> {
    let arguments = arguments_of(function)?;
    let [table, Expr::Function(descriptor), lengths_given @ ..] = arguments.as_slice() else { return None };
    let [column] = arguments_of(descriptor)?[..] else { return None };
    let is_name = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    let is_descriptor = descriptor.name.to_string().eq_ignore_ascii_case("descriptor");
    if !is_descriptor || !is_name(table) || !is_name(column) || lengths_given.len() != lengths {
        return None;
    }
    let given: Vec<String> =
        std::iter::once(column).chain(lengths_given.iter().copied()).map(Expr::to_string).collect();
    let window = format!("{name}({})", given.join(", "));
    query(&format!(
        "SELECT *, get_field({window}, 'start') AS window_start, get_field({window}, 'end') AS window_end FROM {table}"
    ))
}

fn arguments_of(function: &ast::Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    list.args.iter().map(expression_of).collect()
}

fn expression_of(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        FunctionArg::Unnamed(_) | FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. } => None,
    }
}

/// A query of our own, whose words have no place in the script.
fn query(text: &str) -> Option<Box<Query>> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize().ok()?;
    Parser::new(&dialect).with_tokens(tokens).parse_query().ok()
}
