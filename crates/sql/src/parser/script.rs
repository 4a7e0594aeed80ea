//! The text of a script and the places of its tokens, as byte offsets.

use std::sync::OnceLock;

use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as TextSpan, Token, TokenWithSpan, Tokenizer};
use thalweg_dataflow::{Code, Error, Span};

/// The most bytes of a script.
pub const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// A script's text, and once it is tokenised the places of its tokens.
pub(crate) struct Script<'a> {
    text: &'a str,
    places: OnceLock<Vec<Place>>,
}

/// Where a token stands: as lines and columns, and as bytes.
struct Place {
    start: Location,
    span: Span,
    blank: bool,
}

impl<'a> Script<'a> {
    /// Takes a text within the limit.
    pub(crate) fn new(text: &'a str) -> Result<Self, Error> {
        if text.len() <= SCRIPT_BYTES_MAX {
            return Ok(Self { text, places: OnceLock::new() });
        }
        let what = format!("the script has {} bytes, the limit is {SCRIPT_BYTES_MAX}", text.len());
        Err(Error::new(Code::ScriptTooLarge, what).with_help(
            "rows belong into a source, not into the script; split what is left into several scripts",
        ))
    }

    /// The text itself.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// The tokens, in order, blanks among them. Their places are known from then on.
    pub(crate) fn tokens(&self, dialect: &dyn Dialect) -> Result<Vec<TokenWithSpan>, Error> {
        let tokens = Tokenizer::new(dialect, self.text).tokenize_with_location().map_err(|e| {
            let whole = Span { start: 0, end: self.text.len() };
            let (what, place) = split_location(&e.to_string());
            let at = place.map_or(whole, |location| self.at_location(location));
            Error::new(Code::Syntax, first_lower(&what)).at(at).with_help(
                "text stands in single quotes, names in double quotes, and each quote and comment is closed",
            )
        })?;
        self.places.get_or_init(|| self.locate(&tokens));
        Ok(tokens)
    }

    /// From the token that the parser would take next to the one that it took last before `parser` got here.
    pub(crate) fn since(&self, start: usize, parser: &Parser<'_>) -> Span {
        let places = self.places();
        let Some(first) = places.get(start) else { return self.end() };
        let last = places.get(parser.get_current_index()).unwrap_or(first);
        Span { start: first.span.start, end: last.span.end.max(first.span.end) }
    }

    /// The index of the token that the parser takes next.
    pub(crate) fn next_index(&self, parser: &Parser<'_>) -> usize {
        let places = self.places();
        let from = parser.index().min(places.len());
        places[from..].iter().position(|place| !place.blank).map_or(places.len(), |blanks| from + blanks)
    }

    /// The place of the token that the parser takes next.
    pub(crate) fn next_span(&self, parser: &Parser<'_>) -> Span {
        self.places().get(self.next_index(parser)).map_or(self.end(), |place| place.span)
    }

    /// The bytes of what sqlparser gives as lines and columns; none if it does not know.
    pub(crate) fn span(&self, span: TextSpan) -> Option<Span> {
        if span.start.line == 0 {
            return None;
        }
        let (start, end) = (self.offset(span.start), self.offset(span.end));
        Some(Span { start, end: end.max(start) })
    }

    /// What the parser could not read, and where.
    pub(crate) fn syntax_error(&self, error: &ParserError, parser: &Parser<'_>) -> Error {
        let message = match error {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
            ParserError::RecursionLimitExceeded => {
                return Error::new(Code::Syntax, "the statement is nested too deeply")
                    .at(self.next_span(parser))
                    .with_help("take parts out into views");
            }
        };
        let (what, location) = split_location(message);
        let at = location.map_or_else(|| self.next_span(parser), |location| self.at_location(location));
        Error::new(Code::Syntax, first_lower(&what)).at(at)
    }

    /// The places of all words in `within` that are `word`, whatever the case.
    pub(crate) fn words(&self, within: Span, word: &str) -> impl Iterator<Item = Span> {
        let spans = self.places().iter().map(|place| place.span);
        spans.filter(move |span| {
            within.start <= span.start
                && span.end <= within.end
                && self.text[span.start..span.end].trim_matches('"').eq_ignore_ascii_case(word)
        })
    }

    /// The text of the token before the one at `index`, blanks aside.
    pub(crate) fn word_before(&self, index: usize) -> Option<&'a str> {
        let before = self.places().get(..index)?;
        let Span { start, end } = before.iter().rev().find(|place| !place.blank)?.span;
        self.text.get(start..end)
    }

    fn places(&self) -> &[Place] {
        self.places.get().map_or(&[], Vec::as_slice)
    }

    fn end(&self) -> Span {
        Span { start: self.text.len(), end: self.text.len() }
    }

    fn at_location(&self, location: Location) -> Span {
        let start = self.offset(location);
        let end = match self.places().binary_search_by_key(&location, |place| place.start) {
            Ok(index) => self.places()[index].span.end,
            Err(_) => self.text[start..].chars().next().map_or(start, |c| start + c.len_utf8()),
        };
        Span { start, end }
    }

    fn offset(&self, location: Location) -> usize {
        if let Ok(index) = self.places().binary_search_by_key(&location, |place| place.start) {
            return self.places()[index].span.start;
        }
        walk(self.text, (Location::new(1, 1), 0), location).1
    }

    /// One walk over the text for all tokens.
    fn locate(&self, tokens: &[TokenWithSpan]) -> Vec<Place> {
        let mut at = (Location::new(1, 1), 0);
        let mut places = Vec::with_capacity(tokens.len());
        for token in tokens {
            at = walk(self.text, at, token.span.start);
            let start = at;
            at = walk(self.text, at, token.span.end);
            let blank = matches!(token.token, Token::Whitespace(_));
            places.push(Place { start: start.0, span: Span { start: start.1, end: at.1 }, blank });
        }
        places
    }
}

/// Goes on from a place to a later location, or to the end of the text.
fn walk(text: &str, from: (Location, usize), to: Location) -> (Location, usize) {
    let (mut at, mut offset) = from;
    for c in text[offset..].chars() {
        if at >= to {
            break;
        }
        at = if c == '\n' { Location::new(at.line + 1, 1) } else { Location::new(at.line, at.column + 1) };
        offset += c.len_utf8();
    }
    (at, offset)
}

/// Takes the location off a message of sqlparser: `Expected: x, found: y at Line: 3, Column: 7`.
fn split_location(message: &str) -> (String, Option<Location>) {
    let message = message.trim_start_matches("sql parser error: ");
    let Some((what, place)) = message.rsplit_once(" at Line: ") else { return (message.to_owned(), None) };
    let mut numbers = place.split(", Column: ").map(|n| n.trim().parse::<u64>().ok());
    let location = match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(line), Some(column)) if line > 0 => Some(Location::new(line, column)),
        _ => None,
    };
    let what = what.replace("Expected: ", "expected ");
    let what = match what.split_once(", found: ") {
        Some((expected, "EOF")) => format!("{expected}, found the end of the script"),
        Some((expected, found)) => format!("{expected}, found '{found}'"),
        None => what,
    };
    (what, location)
}

fn first_lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_lowercase().collect::<String>()).unwrap_or_default();
    first + chars.as_str()
}
