//! `end` as a name.
//!
//! sqlparser takes a lone `end` behind a comma for the end of a list. It ends
//! something only where a `CASE` is open; everywhere else it is quoted here,
//! so that `SELECT start, end` means the two columns.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Quotes each `end` that closes no `CASE`.
pub(super) fn quote(tokens: &mut [TokenWithSpan]) {
    let (mut open_cases, mut behind_period) = (0_usize, false);
    for token in tokens {
        match &mut token.token {
            Token::Whitespace(_) => continue,
            Token::SemiColon => open_cases = 0,
            Token::Word(word) if behind_period || word.quote_style.is_some() => {}
            Token::Word(word) if word.keyword == Keyword::CASE => open_cases += 1,
            Token::Word(word) if word.keyword == Keyword::END && open_cases > 0 => open_cases -= 1,
            Token::Word(word) if word.keyword == Keyword::END => {
                word.value = word.value.to_lowercase();
                word.quote_style = Some('"');
                word.keyword = Keyword::NoKeyword;
            }
            _ => {}
        }
        behind_period = token.token == Token::Period;
    }
}
