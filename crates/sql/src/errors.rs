//! DataFusion's errors in our words: a code, a place, and what to do.
//!
//! Nothing of a planner's inside is shown: no trees, no names of rules or
//! crates.

use std::fmt;

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Diagnostic, SchemaError, Span as DiagnosticSpan};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as TextSpan};
use thalweg_dataflow::options::nearest;
use thalweg_dataflow::{Code, Error, Span};
use thalweg_operators::expression::sql_type;

use crate::context::Functions;
use crate::parser::Script;

/// What DataFusion says of a condition that is neither true nor false.
const NO_CONDITION: &str = "non-boolean predicate";
/// The most names that a help lists.
const NAMES_MAX: usize = 12;
/// The most characters that are taken over from a planner.
const REASON_CHARS_MAX: usize = 300;

/// Our own error on its way through DataFusion.
#[derive(Debug)]
struct Carried(Error);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Carried {}

/// Sends an error through DataFusion; [`Reader::read`] gives it back.
pub(crate) fn carry(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(Carried(error)))
}

/// The error that was sent through DataFusion, if this is one.
pub(crate) fn carried(error: &DataFusionError) -> Option<Error> {
    match root(error) {
        DataFusionError::External(cause) => {
            cause.downcast_ref::<Carried>().map(|Carried(error)| error.clone())
        }
        _ => None,
    }
}

/// Reads DataFusion's errors of one statement.
pub(crate) struct Reader<'a> {
    pub(crate) script: &'a Script<'a>,
    /// The statement, or a narrower place that is known.
    pub(crate) at: Span,
    pub(crate) functions: &'a Functions,
}

impl Reader<'_> {
    /// The error as a user reads it.
    pub(crate) fn read(&self, error: &DataFusionError) -> Error {
        let place = error.diagnostic().and_then(|diagnostic| self.place(diagnostic.span));
        let read = self.read_root(root(error), error.diagnostic());
        match place {
            Some(place) => read.at(place),
            None => read.at(self.at),
        }
    }

    /// Whether the error is that a condition is neither true nor false.
    pub(crate) fn is_condition(&self, error: &DataFusionError) -> bool {
        matches!(root(error), DataFusionError::Plan(message) if message.contains(NO_CONDITION))
    }

    fn place(&self, span: Option<DiagnosticSpan>) -> Option<Span> {
        let span = span?;
        let start = Location::new(span.start.line, span.start.column);
        self.script.span(TextSpan::new(start, Location::new(span.end.line, span.end.column)))
    }

    fn read_root(&self, root: &DataFusionError, diagnostic: Option<&Diagnostic>) -> Error {
        if let Some((name, what)) = wrong_call(&root.strip_backtrace()) {
            let help = match what.contains(" in place of ") {
                true => "call it with as many arguments as it takes",
                false => "cast an argument, as in CAST(x AS BIGINT)",
            };
            return Error::new(Code::TypeMismatch, what).at(self.word(&name)).with_help(help);
        }
        if let Some(error) = self.types_of_internals(&root.strip_backtrace()) {
            return error;
        }
        match root {
            DataFusionError::External(cause) => match cause.downcast_ref::<Carried>() {
                Some(Carried(error)) => error.clone(),
                None => Error::new(Code::InvalidQuery, "the query cannot be planned").because(cause),
            },
            DataFusionError::SchemaError(error, _) => self.schema_error(error),
            DataFusionError::NotImplemented(message) if message.contains("Dot access not supported") => {
                Error::new(Code::NotSupported, "a dot behind an expression is not supported").with_help(
                    "name the expression in a query within, as in SELECT w.start FROM (SELECT … AS w …)",
                )
            }
            DataFusionError::NotImplemented(message) => {
                Error::new(Code::NotSupported, "the query uses something that is not supported")
                    .because(clean(message))
            }
            DataFusionError::Plan(message) => self.plan_error(message, diagnostic),
            DataFusionError::ArrowError(cause, _) => {
                Error::new(Code::TypeMismatch, "a value cannot be computed")
                    .because(clean(&cause.to_string()))
            }
            other => {
                let message = clean(&other.strip_backtrace());
                match types_disagree(&message) {
                    true => Error::new(Code::TypeMismatch, "the types do not fit together").because(message),
                    false => Error::new(Code::InvalidQuery, "the query cannot be planned").because(message),
                }
            }
        }
    }

    /// What DataFusion calls an internal error, where a type is in the wrong place.
    fn types_of_internals(&self, message: &str) -> Option<Error> {
        let in_sql = |name: &str| name.parse::<DataType>().map_or_else(|_| name.to_owned(), |t| sql_type(&t));
        if let Some((_, name)) = message.split_once("Cannot run range queries on datatype: ") {
            let name = name.lines().next().unwrap_or_default().trim_end_matches('.');
            let what = format!("OVER cannot order rows by {}", in_sql(name));
            return Some(
                Error::new(Code::TypeMismatch, what)
                    .at(self.word("over"))
                    .with_help("order by a number, as in ORDER BY date_part('epoch', x)"),
            );
        }
        let function = quoted_behind(message, "Function '")?;
        let (_, behind) = message.split_once(", but received ")?.1.split_once("(DataType: ")?;
        let name = behind.split(").").next()?;
        let error = Error::new(Code::TypeMismatch, format!("{function}() does not take {}", in_sql(name)));
        Some(
            error
                .at(self.word(&function))
                .with_help("cast the argument, or compute it of a part of the value"),
        )
    }

    fn schema_error(&self, error: &SchemaError) -> Error {
        match error {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let known: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
                unknown_column(&field.name, &known).at(self.word(&field.name))
            }
            SchemaError::AmbiguousReference { field } => {
                let what = format!("column '{}' is in reach more than once", field.name);
                Error::new(Code::InvalidQuery, what)
                    .at(self.word(&field.name))
                    .with_help("write the table before it")
            }
            SchemaError::DuplicateQualifiedField { name, .. }
            | SchemaError::DuplicateUnqualifiedField { name } => {
                Error::new(Code::DuplicateName, format!("two columns of the query have the name '{name}'"))
                    .at(self.word(name))
                    .with_help("name one of them with AS")
            }
        }
    }

    fn plan_error(&self, message: &str, diagnostic: Option<&Diagnostic>) -> Error {
        if let Some(name) = quoted_behind(message, "Invalid function '") {
            return unknown_function(&name, self.functions).at(self.word(&name));
        }
        if message.contains(NO_CONDITION) {
            return no_condition(message);
        }
        if message.contains("calls cannot be nested") {
            return Error::new(Code::InvalidAggregate, "an aggregate cannot stand inside another")
                .with_help("compute the inner one in a query in FROM, and the outer one of its results");
        }
        if message.contains("GROUP BY") && message.contains("aggregate") {
            let what =
                diagnostic.map_or_else(|| clean(message), |d| d.message.replace('"', "").replace("'", ""));
            return Error::new(Code::InvalidAggregate, in_group_by(&what))
                .with_help("add it to GROUP BY, or take first_value() of it");
        }
        if message.contains("duplicate") || message.contains("unique expression names") {
            return Error::new(Code::DuplicateName, "two columns of the query have the same name")
                .with_help("name one of them with AS");
        }
        if let Some(name) = quoted_behind(message, "Function '").or(quoted_behind(message, "function '"))
            && message.contains("arguments but received")
        {
            return Error::new(Code::TypeMismatch, clean(message)).at(self.word(&name));
        }
        let vague = |d: &&Diagnostic| d.message.contains("incompatible types");
        let reason = clean(diagnostic.filter(|d| !vague(d)).map_or(message, |d| d.message.as_str()));
        if types_disagree(message) {
            let error = Error::new(Code::TypeMismatch, "the types do not fit together").because(reason);
            return error.with_help("cast one side, as in CAST(x AS BIGINT)");
        }
        Error::new(Code::InvalidQuery, "the query means nothing that can be computed").because(reason)
    }

    /// The first place of a word in the statement.
    fn word(&self, word: &str) -> Span {
        self.script.words(self.at, word).next().unwrap_or(self.at)
    }
}

/// No column has this name; what is near, or what there is.
pub(crate) fn unknown_column(name: &str, known: &[&str]) -> Error {
    let error = Error::new(Code::UnknownColumn, format!("there is no column '{name}'"));
    suggest(error, name, known, "the columns are")
}

/// No table has this name; what is near, or what there is.
pub(crate) fn unknown_table(name: &str, known: &[&str]) -> Error {
    let error = Error::new(Code::UnknownTable, format!("there is no table or view '{name}'"));
    suggest(error, name, known, "the script declares")
}

/// Adds what was meant, or what there is.
pub(crate) fn suggest(error: Error, name: &str, known: &[&str], list: &str) -> Error {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return error.with_help(format!("did you mean '{near}'?"));
    }
    if known.is_empty() {
        return error;
    }
    let more = if known.len() > NAMES_MAX { ", …" } else { "" };
    error.with_help(format!("{list} {}{more}", known[..known.len().min(NAMES_MAX)].join(", ")))
}

fn unknown_function(name: &str, functions: &Functions) -> Error {
    let error = Error::new(Code::UnknownFunction, format!("there is no function '{name}'"));
    match nearest(name, functions.names()) {
        Some(near) => error.with_help(format!("did you mean '{near}'?")),
        None => error.with_help("docs/sql.md says which functions there are"),
    }
}

/// What a foreign function says of the types that it is called with, and its name. The planner says more around it.
fn wrong_call(message: &str) -> Option<(String, String)> {
    let (before, behind) = message.split_once("() takes (")?;
    let name = before.rsplit([' ', '"', '\'']).next()?;
    let line = behind.lines().next().unwrap_or_default();
    let line = line.split(" No function matches").next().unwrap_or(line).trim_end_matches(['.', ' ', '"']);
    Some((name.to_owned(), format!("{name}() takes ({line}")))
}

/// `cannot create filter with non-boolean predicate 't.id' returning Int64`, in our words.
fn no_condition(message: &str) -> Error {
    let found = message.rsplit_once(" returning ").map(|(_, found)| found.trim_end_matches('.'));
    let found = found.and_then(|found| found.parse::<DataType>().ok()).map(|found| sql_type(&found));
    let what = match found {
        Some(found) => format!("the condition is {found}, not BOOLEAN"),
        None => "the condition is not BOOLEAN".to_owned(),
    };
    Error::new(Code::TypeMismatch, what)
        .with_help("a condition is true or false: compare with something, as in x > 0 or x IS NOT NULL")
}

/// `column must appear in GROUP BY clause because …`, in our words.
fn in_group_by(message: &str) -> String {
    match message.split_once(" must appear in") {
        Some((column, _)) => format!("'{column}' is neither aggregated nor in GROUP BY"),
        None => lower_first(message),
    }
}

/// Behind contexts, diagnostics and collections.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

fn types_disagree(message: &str) -> bool {
    ["oerce", "coercion", "signature", "ompatible", "cast", "Cannot infer", "expects", "type"]
        .iter()
        .any(|word| message.contains(word))
}

fn quoted_behind(message: &str, start: &str) -> Option<String> {
    let (_, rest) = message.split_once(start)?;
    rest.split_once('\'').map(|(name, _)| name.to_owned())
}

/// A planner's reason without its inside: the first sentence, no trees, no crate's name.
fn clean(message: &str) -> String {
    let mut text = message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    for prefix in
        ["Error during planning: ", "Schema error: ", "Execution error: ", "type_coercion\ncaused by\n"]
    {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    let line = text.lines().next().unwrap_or_default();
    let line =
        line.split(" { ").next().unwrap_or(line).split(". This issue was likely").next().unwrap_or(line);
    let short: String = line.chars().take(REASON_CHARS_MAX).collect();
    let short = short.split(". No function matches").next().unwrap_or(&short);
    lower_first(in_sql_types(&short.replace("DataFusion", "the planner")).trim_end_matches(['.', ' ']))
}

/// A text with Arrow's names of types as SQL has them.
fn in_sql_types(text: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        let (other, behind) = behind.split_at(behind.find(is_name).unwrap_or(behind.len()));
        let data_type = word.parse::<DataType>().ok().filter(|_| !other.starts_with('('));
        words.push(data_type.map_or_else(|| word.to_owned(), |data_type| sql_type(&data_type)));
        words.push(other.to_owned());
        rest = behind;
    }
    words.concat()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().collect::<String>() + chars.as_str()
        }
        _ => text.to_owned(),
    }
}
