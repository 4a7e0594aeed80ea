//! `CREATE FUNCTION`: a name and types, and a body that only its language can read.
//!
//! ```sql
//! CREATE [OR REPLACE] FUNCTION gross(price DOUBLE) RETURNS DOUBLE LANGUAGE python AS $$ … $$
//! ```

use datafusion::sql::sqlparser::ast::DataType;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use thalweg_dataflow::{Code, Error, Span};

use super::script::Script;
use super::statement::{Name, expect, expect_keyword, name, unexpected, whole_name};

/// A function as declared.
#[derive(Debug)]
pub(crate) struct CreateFunction {
    pub(crate) name: Name,
    /// Whether it may take the place of another of its name.
    pub(crate) or_replace: bool,
    pub(crate) arguments: Vec<(Name, DataType, Span)>,
    pub(crate) returns: (DataType, Span),
    /// Whether it may give null.
    pub(crate) nullable: bool,
    /// Whether it is called with nulls.
    pub(crate) takes_nulls: bool,
    pub(crate) language: Name,
    pub(crate) body: String,
    pub(crate) body_span: Span,
}

/// What may stand behind the arguments, in any order.
#[derive(Default)]
struct Clauses {
    returns: Option<(DataType, Span)>,
    not_null: bool,
    takes_nulls: bool,
    language: Option<Name>,
    body: Option<(String, Span)>,
}

/// Reads on behind `FUNCTION`.
pub(super) fn parse(
    script: &Script<'_>,
    parser: &mut Parser<'_>,
    or_replace: bool,
) -> Result<CreateFunction, Error> {
    let name = whole_name(script, parser)?;
    let arguments = arguments(script, parser)?;
    let mut clauses = Clauses::default();
    while !matches!(parser.peek_token_ref().token, Token::SemiColon | Token::EOF) {
        clauses.take(script, parser)?;
    }
    let missing = |what: &str, help: &str| {
        Error::new(Code::Syntax, format!("function '{}' has no {what}", name.text))
            .at(name.span)
            .with_help(help)
    };
    let Clauses { returns, not_null, takes_nulls, language, body } = clauses;
    let returns = returns.ok_or_else(|| missing("type", "say what it gives, as in RETURNS BIGINT"))?;
    let language = language.ok_or_else(|| missing("language", "say LANGUAGE python"))?;
    let (body, body_span) = body.ok_or_else(|| missing("body", "write it behind AS, as in AS $$ … $$"))?;
    Ok(CreateFunction {
        name,
        or_replace,
        arguments,
        returns,
        nullable: !not_null,
        takes_nulls,
        language,
        body,
        body_span,
    })
}

fn arguments(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<Vec<(Name, DataType, Span)>, Error> {
    expect(script, parser, &Token::LParen, "'(' and the arguments of the function")?;
    let mut arguments: Vec<(Name, DataType, Span)> = Vec::new();
    if parser.consume_token(&Token::RParen) {
        return Ok(arguments);
    }
    loop {
        let name = name(script, parser)?;
        if arguments.iter().any(|(other, ..)| other.text == name.text) {
            let what = format!("two arguments have the name '{}'", name.text);
            return Err(Error::new(Code::DuplicateName, what).at(name.span).with_help("rename one of them"));
        }
        if matches!(parser.peek_token_ref().token, Token::Comma | Token::RParen) {
            return Err(unexpected(script, parser, &format!("the type of argument '{}'", name.text)));
        }
        let (data_type, span) = data_type(script, parser)?;
        arguments.push((name, data_type, span));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(script, parser, &Token::RParen, "',' or ')'")?;
    Ok(arguments)
}

fn data_type(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<(DataType, Span), Error> {
    let start = script.next_index(parser);
    let data_type = parser.parse_data_type().map_err(|e| script.syntax_error(&e, parser))?;
    Ok((data_type, script.since(start, parser)))
}

impl Clauses {
    fn take(&mut self, script: &Script<'_>, parser: &mut Parser<'_>) -> Result<(), Error> {
        let at = script.next_span(parser);
        let twice = |given: bool, clause: &str| match given {
            false => Ok(()),
            true => Err(Error::new(Code::Syntax, format!("the function has two clauses {clause}")).at(at)),
        };
        if parser.parse_keywords(&[
            Keyword::RETURNS,
            Keyword::NULL,
            Keyword::ON,
            Keyword::NULL,
            Keyword::INPUT,
        ]) || parser.parse_keyword(Keyword::STRICT)
        {
            self.takes_nulls = false;
        } else if parser.parse_keywords(&[Keyword::CALLED, Keyword::ON, Keyword::NULL, Keyword::INPUT]) {
            self.takes_nulls = true;
        } else if parser.parse_keyword(Keyword::RETURNS) {
            twice(self.returns.is_some(), "RETURNS")?;
            self.returns = Some(data_type(script, parser)?);
            self.not_null = parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]);
        } else if parser.parse_keyword(Keyword::LANGUAGE) {
            twice(self.language.is_some(), "LANGUAGE")?;
            let language = name(script, parser)?;
            self.language = Some(Name { text: language.text.to_lowercase(), span: language.span });
        } else {
            expect_keyword(script, parser, Keyword::AS, "RETURNS, LANGUAGE, CALLED ON NULL INPUT or AS")?;
            twice(self.body.is_some(), "AS")?;
            self.body = Some(body(script, parser)?);
        }
        Ok(())
    }
}

/// A text between `$$`, or between quotes.
fn body(script: &Script<'_>, parser: &mut Parser<'_>) -> Result<(String, Span), Error> {
    let span = script.next_span(parser);
    let body = match &parser.peek_token_ref().token {
        Token::DollarQuotedString(text) => text.value.clone(),
        Token::SingleQuotedString(text) => text.clone(),
        _ => return Err(unexpected(script, parser, "the body, between $$ and $$")),
    };
    parser.advance_token();
    Ok((body, span))
}
