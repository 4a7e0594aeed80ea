//! `end`, `top`, `limit` and the like as names.
//!
//! sqlparser takes such a word behind a comma for the end of a list. `end` ends
//! something only where a `CASE` is open, and the others begin no item of any
//! list; where they can only be names they are quoted here, so that
//! `SELECT start, end, top` means three columns.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Quotes each `end` that closes no `CASE`, and the other words behind a comma.
pub(super) fn quote(tokens: &mut [TokenWithSpan]) {
    let mut open_cases = 0_usize;
    let mut operand_ended = false;
    let mut behind_comma = false;
    for token in tokens {
        let ended_before = operand_ended;
        let item_begins = behind_comma;
        behind_comma = matches!(token.token, Token::Comma) || (behind_comma && is_space(&token.token));
        match &mut token.token {
            Token::Whitespace(_) => continue,
            Token::SemiColon => (open_cases, operand_ended) = (0, false),
            Token::Word(word) if word.quote_style.is_some() => operand_ended = true,
            Token::Word(word) if word.keyword == Keyword::CASE => {
                (open_cases, operand_ended) = (open_cases + 1, false)
            }
            // Behind THEN, an operator and the like a value must follow: no CASE ends there.
            Token::Word(word) if word.keyword == Keyword::END => {
                operand_ended = true;
                if open_cases > 0 && ended_before {
                    open_cases -= 1;
                } else {
                    make_name(word);
                }
            }
            Token::Word(word) if item_begins && begins_no_item(word.keyword) => {
                operand_ended = true;
                make_name(word);
            }
            Token::Word(word) => operand_ended = !awaits_operand(word.keyword),
            Token::RParen | Token::RBracket | Token::RBrace | Token::Number(..) => operand_ended = true,
            other => operand_ended = is_text(other),
        }
    }
}

fn make_name(word: &mut Word) {
    word.value = word.value.to_lowercase();
    word.quote_style = Some('"');
    word.keyword = Keyword::NoKeyword;
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

/// Words that sqlparser keeps from being names, though nothing in a list begins with them.
fn begins_no_item(keyword: Keyword) -> bool {
    use Keyword::{
        ANALYZE, CLUSTER, DISTRIBUTE, EXCLUDE, EXPLAIN, LIMIT, MINUS, OFFSET, RETURNING, SORT, TOP, VALUES,
        VIEW,
    };
    [ANALYZE, CLUSTER, DISTRIBUTE, EXCLUDE, EXPLAIN, LIMIT, MINUS, OFFSET, RETURNING, SORT, TOP, VALUES, VIEW]
        .contains(&keyword)
}

fn awaits_operand(keyword: Keyword) -> bool {
    use Keyword::{AND, AS, BETWEEN, BY, CASE, ELSE, IN, LIKE, NOT, OR, SELECT, THEN, WHEN, WHERE};
    [AND, AS, BETWEEN, BY, CASE, ELSE, IN, LIKE, NOT, OR, SELECT, THEN, WHEN, WHERE].contains(&keyword)
}

fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::DollarQuotedString(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn quoted(sql: &str) -> String {
        let mut tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
        quote(&mut tokens);
        tokens.iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn an_end_that_closes_no_case_is_a_name() {
        for (sql, expected) in [
            ("SELECT start, end FROM t", "SELECT start, \"end\" FROM t"),
            ("CASE WHEN a THEN b END", "CASE WHEN a THEN b END"),
            (
                "CASE WHEN end > 1 THEN end ELSE end END",
                "CASE WHEN \"end\" > 1 THEN \"end\" ELSE \"end\" END",
            ),
            (
                "CASE a WHEN 1 THEN CASE WHEN b THEN 'x' END END, END",
                "CASE a WHEN 1 THEN CASE WHEN b THEN 'x' END END, \"end\"",
            ),
            ("window.end", "window.\"end\""),
            ("SELECT a, top, limit FROM t LIMIT 3", "SELECT a, \"top\", \"limit\" FROM t LIMIT 3"),
            ("CASE WHEN f(x) THEN l[1] END AS end", "CASE WHEN f(x) THEN l[1] END AS \"end\""),
        ] {
            assert_eq!(quoted(sql), expected);
        }
    }
}
