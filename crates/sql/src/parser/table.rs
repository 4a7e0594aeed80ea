//! `CREATE TABLE`: columns, watermark, primary key and options.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart, Value,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use thalweg_dataflow::{Code, Error, Span};

use super::script::Script;
use super::statement::{
    ColumnDeclaration, ColumnKind, CreateTable, CreateView, Name, OptionDeclaration, Statement,
    WatermarkDeclaration, expect, name, names, query, table_name, unexpected,
};

/// Reads on behind `CREATE [TEMPORARY]`.
pub(super) fn parse(script: &Script<'_>, parser: &mut Parser<'_>, start: usize) -> Result<Statement, Error> {
    parser.advance_token();
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let mut table = CreateTable {
        name: table_name(script, parser)?,
        if_not_exists,
        columns: None,
        watermark: None,
        primary_key: Vec::new(),
        options: None,
        span: script.since(start, parser),
    };
    if parser.consume_token(&Token::LParen) {
        elements(script, parser, &mut table)?;
    }
    if next_is(parser, "partitioned") {
        return Err(
            Error::new(Code::NotSupported, "PARTITIONED BY is not supported").at(script.next_span(parser))
        );
    }
    if parser.parse_keyword(Keyword::WITH) {
        table.options = Some(options(script, parser)?);
    }
    if next_is(parser, "as") {
        return as_query(script, parser, start, table);
    }
    table.span = script.since(start, parser);
    Ok(Statement::CreateTable(Box::new(table)))
}

/// `CREATE TABLE t AS SELECT …` names a query.
fn as_query(
    script: &Script<'_>,
    parser: &mut Parser<'_>,
    start: usize,
    table: CreateTable,
) -> Result<Statement, Error> {
    let at = script.next_span(parser);
    parser.advance_token();
    if table.columns.is_some() || table.options.is_some() {
        return Err(Error::new(Code::NotSupported, "CREATE TABLE … AS takes neither columns nor options")
            .at(at)
            .with_help("declare the table first, and fill it with INSERT INTO"));
    }
    let query = query(script, parser)?;
    let (name, if_not_exists) = (table.name, table.if_not_exists);
    let span = script.since(start, parser);
    Ok(Statement::CreateView(CreateView { name, if_not_exists, columns: Vec::new(), query, span }))
}

/// Columns and constraints up to and with the closing bracket.
fn elements(script: &Script<'_>, parser: &mut Parser<'_>, table: &mut CreateTable) -> Result<(), Error> {
    let mut columns = Vec::new();
    loop {
        if next_is(parser, "watermark") && follows(parser, "for") {
            let watermark = watermark(script, parser)?;
            if table.watermark.is_some() {
                return Err(Error::new(Code::InvalidWatermark, "the table has two watermarks")
                    .at(watermark.span)
                    .with_help("keep one: a row has one event time"));
            }
            table.watermark = Some(watermark);
        } else if next_is(parser, "primary") && follows(parser, "key") {
            let at = script.next_span(parser);
            parser.advance_token();
            parser.advance_token();
            expect(script, parser, &Token::LParen, "'(' and the columns of the primary key")?;
            set_primary_key(table, names(script, parser)?, at)?;
            let _ = parser.parse_keywords(&[Keyword::NOT, Keyword::ENFORCED]);
        } else {
            let (column, key) = column(script, parser)?;
            if let Some(at) = key {
                set_primary_key(table, vec![column.name.clone()], at)?;
            }
            columns.push(column);
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(script, parser, &Token::RParen, "',' or ')'")?;
    table.columns = Some(columns);
    Ok(())
}

fn set_primary_key(table: &mut CreateTable, key: Vec<Name>, at: Span) -> Result<(), Error> {
    if table.primary_key.is_empty() {
        table.primary_key = key;
        return Ok(());
    }
    Err(Error::new(Code::InvalidColumn, "the table has two primary keys")
        .at(at)
        .with_help("for a key of several columns write PRIMARY KEY (a, b) behind the columns"))
}

fn watermark(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<WatermarkDeclaration, Error> {
    let start = script.next_index(parser);
    parser.advance_token();
    parser.advance_token();
    let column = name(script, parser)?;
    let mut expression = None;
    if parser.parse_keyword(Keyword::AS) {
        expression = Some(spanned_expression(script, parser)?);
    }
    Ok(WatermarkDeclaration { column, expression, span: script.since(start, parser) })
}

fn spanned_expression(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<(Expr, Span), Error> {
    let start = script.next_index(parser);
    let expression = parser.parse_expr().map_err(|e| script.syntax_error(&e, parser))?;
    Ok((expression, script.since(start, parser)))
}

/// A column, and where it calls itself the primary key.
fn column(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<(ColumnDeclaration, Option<Span>), Error> {
    let name = name(script, parser)?;
    let start = script.next_index(parser);
    if matches!(parser.peek_token_ref().token, Token::Comma | Token::RParen) {
        return Err(unexpected(script, parser, &format!("the type of column '{}'", name.text)));
    }
    let data_type = parser.parse_data_type().map_err(|e| script.syntax_error(&e, parser))?;
    let type_span = script.since(start, parser);
    let mut column =
        ColumnDeclaration { name, data_type, type_span, nullable: true, kind: ColumnKind::Physical };
    let mut key = None;
    while !matches!(parser.peek_token_ref().token, Token::Comma | Token::RParen) {
        let at = script.next_span(parser);
        if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
            column.nullable = false;
        } else if parser.parse_keywords(&[Keyword::PRIMARY, Keyword::KEY]) {
            let _ = parser.parse_keywords(&[Keyword::NOT, Keyword::ENFORCED]);
            key = Some(at);
        } else if parser.parse_keywords(&[Keyword::GENERATED, Keyword::ALWAYS, Keyword::AS]) {
            column.kind = generated(script, parser)?;
        } else if next_is(parser, "metadata") && follows(parser, "from") {
            column.kind = metadata(script, parser)?;
        } else if !parser.parse_keyword(Keyword::NULL) {
            return Err(unknown_clause(script, parser));
        }
    }
    Ok((column, key))
}

fn unknown_clause(script: &Script<'_>, parser: &Parser<'_>) -> Error {
    let at = script.next_span(parser);
    let word = script.text()[at.start..at.end].to_uppercase();
    let upstream = ["DEFAULT", "CHECK", "UNIQUE", "REFERENCES", "COMMENT", "CONSTRAINT", "COLLATE"];
    let error = if upstream.contains(&word.as_str()) {
        Error::new(Code::NotSupported, format!("{word} is not supported on a column")).at(at)
    } else {
        unexpected(script, parser, "',' or ')' or a clause of the column")
    };
    error.with_help("a column takes NOT NULL, PRIMARY KEY, GENERATED ALWAYS AS (…) and METADATA FROM '…'")
}

fn generated(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<ColumnKind, Error> {
    expect(script, parser, &Token::LParen, "'(' and the expression of the column")?;
    let (expression, span) = spanned_expression(script, parser)?;
    expect(script, parser, &Token::RParen, "')'")?;
    let _ = parser.parse_one_of_keywords(&[Keyword::STORED, Keyword::VIRTUAL]);
    Ok(match metadata_call(&expression) {
        Some(key) => ColumnKind::Metadata { key, span },
        None => ColumnKind::Generated { expression: Box::new(expression), span },
    })
}

/// `metadata('key')`, the older way to ask for metadata.
fn metadata_call(expression: &Expr) -> Option<String> {
    let Expr::Function(function) = expression else { return None };
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] = list.args.as_slice() else {
        return None;
    };
    match &value.value {
        Value::SingleQuotedString(key) if name.value.eq_ignore_ascii_case("metadata") => Some(key.clone()),
        _ => None,
    }
}

fn metadata(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<ColumnKind, Error> {
    let start = script.next_index(parser);
    parser.advance_token();
    parser.advance_token();
    let Token::SingleQuotedString(key) = parser.peek_token_ref().token.clone() else {
        return Err(unexpected(script, parser, "the metadata's key in single quotes"));
    };
    parser.advance_token();
    Ok(ColumnKind::Metadata { key, span: script.since(start, parser) })
}

/// `(name = 'value', dotted.name = 'value')`.
fn options(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Vec<OptionDeclaration>, Error> {
    expect(script, parser, &Token::LParen, "'(' and the options")?;
    let mut options: Vec<OptionDeclaration> = Vec::new();
    while parser.peek_token_ref().token != Token::RParen {
        let option = option(script, parser)?;
        if options.iter().any(|other| other.name == option.name) {
            let what = format!("option '{}' is given twice", option.name);
            return Err(Error::new(Code::InvalidOption, what).at(option.span).with_help("keep one of them"));
        }
        options.push(option);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(script, parser, &Token::RParen, "',' or ')'")?;
    Ok(options)
}

fn option(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<OptionDeclaration, Error> {
    let start = script.next_index(parser);
    let name = option_name(script, parser)?;
    expect(script, parser, &Token::Eq, &format!("'=' and the value of option '{name}'"))?;
    let value = match parser.peek_token_ref().token.clone() {
        Token::SingleQuotedString(text) => text,
        Token::Number(number, _) => number,
        Token::Word(word) if matches!(word.keyword, Keyword::TRUE | Keyword::FALSE) => {
            word.value.to_lowercase()
        }
        _ => {
            return Err(unexpected(
                script,
                parser,
                &format!("the value of option '{name}' in single quotes"),
            ));
        }
    };
    parser.advance_token();
    Ok(OptionDeclaration { name, value, span: script.since(start, parser) })
}

fn option_name(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<String, Error> {
    if let Token::SingleQuotedString(name) = parser.peek_token_ref().token.clone() {
        parser.advance_token();
        return Ok(name.to_lowercase());
    }
    let mut parts = vec![name(script, parser)?.text];
    while parser.consume_token(&Token::Period) {
        parts.push(name(script, parser)?.text);
    }
    Ok(parts.join(".").to_lowercase())
}

fn next_is(parser: &Parser<'_>, word: &str) -> bool {
    matches!(&parser.peek_token_ref().token, Token::Word(w) if is(w, word))
}

fn follows(parser: &Parser<'_>, word: &str) -> bool {
    matches!(&parser.peek_nth_token_ref(1).token, Token::Word(w) if is(w, word))
}

fn is(found: &datafusion::sql::sqlparser::tokenizer::Word, word: &str) -> bool {
    found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
}
