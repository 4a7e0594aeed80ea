//! Refuses statements whose trees would be too deep, before any tree is made.
//!
//! A tree is walked, compared and dropped by recursion, here and later for
//! each row. Its depth is bounded by what can be counted on the tokens:
//! brackets that are open at once, and operators in one chain (`a + a + a`).

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use thalweg_dataflow::{Code, Error};

use super::script::Script;

/// The most brackets that are open at once.
const NESTING_MAX: usize = 48;
/// The most operators in one chain: between commas, brackets and clauses.
const CHAIN_MAX: usize = 400;

/// Checks the whole script.
pub(super) fn check(script: &Script<'_>, tokens: &[TokenWithSpan]) -> Result<(), Error> {
    let mut nesting = Nesting::default();
    for token in tokens {
        nesting.take(&token.token);
        let (what, help) = if nesting.chains.len() > NESTING_MAX {
            (
                format!("more than {NESTING_MAX} brackets are open at once"),
                "take inner queries out into views",
            )
        } else if nesting.chain() > CHAIN_MAX {
            let what = format!("more than {CHAIN_MAX} operators stand in one chain");
            (what, "set brackets around parts of the chain, or write IN (…) for many alternatives")
        } else {
            continue;
        };
        let error = Error::new(Code::Syntax, what).with_help(help);
        return Err(match script.span(token.span) {
            Some(span) => error.at(span),
            None => error,
        });
    }
    Ok(())
}

/// The operators seen in each open bracket's present chain.
#[derive(Default)]
struct Nesting {
    chains: Vec<usize>,
    outermost: usize,
    /// Types in angle brackets and set operations, of the whole statement.
    lasting: usize,
}

impl Nesting {
    fn chain(&self) -> usize {
        self.lasting.max(self.chains.last().copied().unwrap_or(self.outermost))
    }

    fn chain_mut(&mut self) -> &mut usize {
        self.chains.last_mut().unwrap_or(&mut self.outermost)
    }

    fn take(&mut self, token: &Token) {
        match token {
            Token::Whitespace(_) | Token::EOF | Token::Period => {}
            Token::SemiColon => *self = Self::default(),
            Token::LParen | Token::LBracket | Token::LBrace => self.chains.push(0),
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.chains.pop();
                *self.chain_mut() += 1;
            }
            Token::Comma => *self.chain_mut() = 0,
            Token::Word(word) => match word.keyword {
                Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP => self.lasting += 1,
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => self.lasting += 1,
                Keyword::NoKeyword => {}
                _ if starts_clause(word.keyword) => *self.chain_mut() = 0,
                _ => *self.chain_mut() += usize::from(chains(word.keyword)),
            },
            Token::Number(..) | Token::SingleQuotedString(_) => {}
            _ => *self.chain_mut() += 1,
        }
    }
}

fn starts_clause(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::FROM | Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::SELECT)
}

fn chains(keyword: Keyword) -> bool {
    use Keyword::*;
    matches!(
        keyword,
        AND | OR
            | XOR
            | NOT
            | IS
            | IN
            | LIKE
            | ILIKE
            | RLIKE
            | REGEXP
            | BETWEEN
            | COLLATE
            | AT
            | CASE
            | JOIN
            | INTERVAL
            | PRIOR
            | EXISTS
    )
}
