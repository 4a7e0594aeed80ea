//! The statements of the dialect, and how each begins.

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, ObjectNamePart, Query, TableObject};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use thalweg_dataflow::options::nearest;
use thalweg_dataflow::{Code, Error, Span};

use super::function::{self, CreateFunction};
use super::script::Script;
use super::{table, table_windows, unsupported};

/// A name with its place. Unquoted names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// One statement.
#[derive(Debug)]
pub(crate) enum Statement {
    CreateTable(Box<CreateTable>),
    CreateView(CreateView),
    CreateFunction(Box<CreateFunction>),
    Insert(Insert),
    Select(Select),
}

/// `CREATE TABLE`: with options a connector's, without them in memory, with a query a view.
#[derive(Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Option<Vec<ColumnDeclaration>>,
    pub(crate) watermark: Option<WatermarkDeclaration>,
    pub(crate) primary_key: Vec<Name>,
    pub(crate) options: Option<Vec<OptionDeclaration>>,
    pub(crate) span: Span,
}

/// A column as declared.
#[derive(Debug)]
pub(crate) struct ColumnDeclaration {
    pub(crate) name: Name,
    pub(crate) data_type: ast::DataType,
    pub(crate) type_span: Span,
    pub(crate) nullable: bool,
    pub(crate) kind: ColumnKind,
}

/// Where a column's values come from.
#[derive(Debug)]
pub(crate) enum ColumnKind {
    Physical,
    Generated { expression: Box<Expr>, span: Span },
    Metadata { key: String, span: Span },
}

/// `WATERMARK FOR column [AS expression]`.
#[derive(Debug)]
pub(crate) struct WatermarkDeclaration {
    pub(crate) column: Name,
    pub(crate) expression: Option<(Expr, Span)>,
    pub(crate) span: Span,
}

/// `name = 'value'`.
#[derive(Debug)]
pub(crate) struct OptionDeclaration {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) span: Span,
}

/// A named query.
#[derive(Debug)]
pub(crate) struct CreateView {
    pub(crate) name: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Name>,
    pub(crate) query: Box<Query>,
    pub(crate) span: Span,
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) table: Name,
    pub(crate) columns: Vec<Name>,
    pub(crate) query: Box<Query>,
    pub(crate) span: Span,
}

/// A query whose rows are shown.
#[derive(Debug)]
pub(crate) struct Select {
    pub(crate) query: Box<Query>,
    pub(crate) span: Span,
}

/// What may begin a statement.
const BEGINNINGS: [&str; 4] = ["create", "insert", "select", "with"];

/// Reads one statement, up to its semicolon or the end.
pub(super) fn parse(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Statement, Error> {
    let start = script.next_index(parser);
    let word = match &parser.peek_token_ref().token {
        Token::Word(word) => word.keyword,
        Token::LParen => Keyword::SELECT,
        _ => Keyword::NoKeyword,
    };
    let statement = match word {
        Keyword::CREATE => create(script, parser, start)?,
        Keyword::INSERT => Statement::Insert(insert(script, parser, start)?),
        Keyword::SELECT | Keyword::WITH | Keyword::FROM | Keyword::VALUES => {
            let query = query(script, parser)?;
            Statement::Select(Select { query, span: script.since(start, parser) })
        }
        other => return Err(not_a_statement(script, parser, other)),
    };
    match parser.peek_token_ref().token {
        Token::SemiColon | Token::EOF => Ok(statement),
        _ => {
            Err(match_clause(script, parser, unexpected(script, parser, "the end of the statement, or ';'")))
        }
    }
}

/// A name that was taken for an alias may be a clause with a letter wrong: `SELECT id FORM t`.
fn match_clause(script: &Script<'_>, parser: &Parser<'_>, error: Error) -> Error {
    const CLAUSES: [&str; 5] = ["from", "where", "group", "having", "union"];
    match script.word_before(script.next_index(parser)) {
        Some(word) if !CLAUSES.contains(&word.to_lowercase().as_str()) => match nearest(word, CLAUSES) {
            Some(near) => error.with_help(format!("did you mean '{}', not '{word}'?", near.to_uppercase())),
            None => error,
        },
        Some(_) | None => error,
    }
}

fn create(script: &Script<'_>, parser: &mut Parser<'_>, start: usize) -> Result<Statement, Error> {
    let second = parser.peek_nth_token_ref(1).token.clone();
    let Token::Word(second) = second else {
        parser.advance_token();
        return Err(unexpected(script, parser, "TABLE, VIEW or FUNCTION after CREATE"));
    };
    match second.keyword {
        Keyword::TABLE => {
            parser.advance_token();
            table::parse(script, parser, start)
        }
        Keyword::TEMPORARY | Keyword::TEMP if matches!(&parser.peek_nth_token_ref(2).token, Token::Word(w) if w.keyword == Keyword::TABLE) =>
        {
            parser.advance_token();
            parser.advance_token();
            table::parse(script, parser, start)
        }
        Keyword::VIEW => view(script, parser, start).map(Statement::CreateView),
        Keyword::FUNCTION => {
            parser.advance_token();
            create_function(script, parser, false)
        }
        Keyword::OR => {
            parser.advance_token();
            create_or_replace(script, parser)
        }
        _ => {
            parser.advance_token();
            let what = format!("CREATE {} is not supported", second.value.to_uppercase());
            Err(Error::new(Code::NotSupported, what)
                .at(script.next_span(parser))
                .with_help("CREATE TABLE, CREATE VIEW, CREATE TABLE … AS and CREATE FUNCTION are"))
        }
    }
}

/// Reads on behind `CREATE`: only a function can be replaced.
fn create_or_replace(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Statement, Error> {
    if !parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]) {
        return Err(unexpected(script, parser, "OR REPLACE FUNCTION"));
    }
    let at = script.next_span(parser);
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.keyword == Keyword::FUNCTION => create_function(script, parser, true),
        Token::Word(word) => {
            let what = format!("CREATE OR REPLACE {} is not supported", word.value.to_uppercase());
            Err(Error::new(Code::NotSupported, what)
                .at(at)
                .with_help("only functions are replaced: CREATE OR REPLACE FUNCTION"))
        }
        _ => Err(unexpected(script, parser, "FUNCTION")),
    }
}

/// Reads on from `FUNCTION`.
fn create_function(
    script: &Script<'_>,
    parser: &mut Parser<'_>,
    or_replace: bool,
) -> Result<Statement, Error> {
    parser.advance_token();
    let create = function::parse(script, parser, or_replace)?;
    Ok(Statement::CreateFunction(Box::new(create)))
}

fn view(script: &Script<'_>, parser: &mut Parser<'_>, start: usize) -> Result<CreateView, Error> {
    parser.advance_token();
    parser.advance_token();
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = table_name(script, parser)?;
    let mut columns = Vec::new();
    if parser.consume_token(&Token::LParen) {
        columns = names(script, parser)?;
    }
    expect_keyword(script, parser, Keyword::AS, "AS and the query of the view")?;
    let query = query(script, parser)?;
    Ok(CreateView { name, if_not_exists, columns, query, span: script.since(start, parser) })
}

fn insert(script: &Script<'_>, parser: &mut Parser<'_>, start: usize) -> Result<Insert, Error> {
    let statement = parser.parse_statement().map_err(|e| script.syntax_error(&e, parser))?;
    let span = script.since(start, parser);
    let ast::Statement::Insert(insert) = statement else {
        return Err(Error::new(Code::Syntax, "an INSERT is written INSERT INTO table SELECT …").at(span));
    };
    unsupported::check_insert(&insert, span)?;
    let TableObject::TableName(object) = &insert.table else {
        return Err(Error::new(Code::NotSupported, "only a table can be inserted into").at(span));
    };
    let table = lower(name_of(script, object, span)?);
    let columns = insert.columns.iter().map(|c| name_of(script, c, span)).collect::<Result<_, _>>()?;
    let Some(mut query) = insert.source else {
        return Err(Error::new(Code::Syntax, "the insert has no query")
            .at(span)
            .with_help("write INSERT INTO table SELECT … FROM …"));
    };
    table_windows::replace(script, &mut query, span)?;
    unsupported::check_query(script, &query, span)?;
    Ok(Insert { table, columns, query, span })
}

/// A query, checked for all that would be dropped in silence or fail in a planner's words.
pub(super) fn query(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Box<Query>, Error> {
    let start = script.next_index(parser);
    let mut query = parser.parse_query().map_err(|e| script.syntax_error(&e, parser))?;
    let span = script.since(start, parser);
    table_windows::replace(script, &mut query, span)?;
    unsupported::check_query(script, &query, span)?;
    Ok(query)
}

fn not_a_statement(script: &Script<'_>, parser: &Parser<'_>, keyword: Keyword) -> Error {
    let at = script.next_span(parser);
    let word = script.text()[at.start..at.end].to_owned();
    match keyword {
        Keyword::SET => Error::new(Code::NotSupported, "SET is not supported")
            .with_help("give settings to the command, as in --set idle-timeout=1m"),
        Keyword::EXPLAIN | Keyword::DESCRIBE | Keyword::DESC | Keyword::ANALYZE => {
            Error::new(Code::NotSupported, format!("{} is not supported in a script", word.to_uppercase()))
                .with_help("thalweg explain FILE shows the graph of a script")
        }
        Keyword::NoKeyword => {
            let error = Error::new(Code::Syntax, format!("a statement cannot begin with '{word}'"));
            match nearest(&word, BEGINNINGS) {
                Some(near) => error.with_help(format!("did you mean '{}'?", near.to_uppercase())),
                None => error.with_help(
                    "statements are CREATE TABLE, CREATE VIEW, CREATE FUNCTION, INSERT INTO and SELECT",
                ),
            }
        }
        _ => Error::new(Code::NotSupported, format!("{} is not supported", word.to_uppercase()))
            .with_help("statements are CREATE TABLE, CREATE VIEW, CREATE FUNCTION, INSERT INTO and SELECT"),
    }
    .at(at)
}

/// Says what should stand where the parser is.
pub(super) fn unexpected(script: &Script<'_>, parser: &Parser<'_>, expected: &str) -> Error {
    let at = script.next_span(parser);
    let found = match &script.text()[at.start..at.end] {
        "" => "the end of the script".to_owned(),
        text => format!("'{text}'"),
    };
    Error::new(Code::Syntax, format!("expected {expected}, found {found}")).at(at)
}

pub(super) fn expect_keyword(
    script: &Script<'_>,
    parser: &mut Parser<'_>,
    keyword: Keyword,
    expected: &str,
) -> Result<(), Error> {
    if parser.parse_keyword(keyword) { Ok(()) } else { Err(unexpected(script, parser, expected)) }
}

pub(super) fn expect(
    script: &Script<'_>,
    parser: &mut Parser<'_>,
    token: &Token,
    expected: &str,
) -> Result<(), Error> {
    if parser.consume_token(token) { Ok(()) } else { Err(unexpected(script, parser, expected)) }
}

/// Names up to and with the closing bracket; the opening one is taken.
pub(super) fn names(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Vec<Name>, Error> {
    let mut names = vec![name(script, parser)?];
    while parser.consume_token(&Token::Comma) {
        names.push(name(script, parser)?);
    }
    expect(script, parser, &Token::RParen, "',' or ')'")?;
    Ok(names)
}

/// One name that is not dotted.
pub(super) fn name(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Name, Error> {
    let span = script.next_span(parser);
    if !matches!(parser.peek_token_ref().token, Token::Word(_)) {
        return Err(unexpected(script, parser, "a name"));
    }
    let ident = parser.parse_identifier().map_err(|e| script.syntax_error(&e, parser))?;
    Ok(Name { text: normalise(&ident), span })
}

/// The name of a table: one name, in lower case, for tables have no case.
pub(super) fn table_name(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Name, Error> {
    whole_name(script, parser).map(lower)
}

/// A name that stands for itself, without a catalog or schema before it.
pub(super) fn whole_name(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Name, Error> {
    let name = name(script, parser)?;
    match parser.peek_token_ref().token {
        Token::Period => Err(dotted(name.span)),
        _ => Ok(name),
    }
}

fn lower(name: Name) -> Name {
    Name { text: name.text.to_lowercase(), span: name.span }
}

fn name_of(script: &Script<'_>, object: &ObjectName, within: Span) -> Result<Name, Error> {
    match object.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => {
            Ok(Name { text: normalise(ident), span: script.span(ident.span).unwrap_or(within) })
        }
        _ => Err(dotted(within)),
    }
}

fn dotted(at: Span) -> Error {
    Error::new(Code::NotSupported, "names with a catalog or schema are not supported")
        .at(at)
        .with_help("a script's tables have one name each")
}

/// As DataFusion does: unquoted names are in lower case.
pub(crate) fn normalise(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
