//! Text into statements.
//!
//! Queries are read by sqlparser; all statements that declare something are
//! ours, because a clause that upstream drops in silence would be a wrong
//! answer here. One broken statement does not hide the errors of the next.

mod column_type;
mod function;
mod limits;
mod names;
mod script;
mod statement;
mod table;
mod table_windows;
mod unsupported;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use thalweg_dataflow::{Code, Error};

pub(crate) use column_type::arrow_type;
pub(crate) use function::CreateFunction;
pub use script::SCRIPT_BYTES_MAX;
pub(crate) use script::Script;
pub(crate) use statement::{
    ColumnDeclaration, ColumnKind, CreateTable, CreateView, Insert, Name, OptionDeclaration, Statement,
    WatermarkDeclaration, normalise,
};

/// How deep sqlparser may recurse: a level of parentheses takes a few.
const RECURSION_MAX: usize = 256;

/// The statements of a script, each with its place.
///
/// Fails with every statement that cannot be read, in the order of the text.
pub(crate) fn parse(script: &Script) -> Result<Vec<Statement>, Vec<Error>> {
    let dialect = GenericDialect {};
    let mut tokens = script.tokens(&dialect).map_err(|e| vec![e])?;
    limits::check(script, &tokens).map_err(|e| vec![e])?;
    names::quote(&mut tokens);
    table_windows::unmark(&mut tokens);
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
    let (mut statements, mut errors) = (Vec::new(), Vec::new());
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if parser.peek_token_ref().token == Token::EOF {
            break;
        }
        match statement::parse(script, &mut parser) {
            Ok(statement) => statements.push(statement),
            Err(error) => {
                errors.push(error);
                skip_statement(&mut parser);
            }
        }
    }
    match (errors.is_empty(), statements.is_empty()) {
        (false, _) => Err(errors),
        (true, true) => Err(vec![
            Error::new(Code::EmptyScript, "the script is empty")
                .with_help("write a query, as in SELECT … FROM …"),
        ]),
        (true, false) => Ok(statements),
    }
}

fn skip_statement(parser: &mut Parser<'_>) {
    while !matches!(parser.peek_token_ref().token, Token::SemiColon | Token::EOF) {
        parser.advance_token();
    }
}
