//! A walk over one line of JSON, token by token.
//!
//! The line is valid UTF-8; whoever makes a cursor has seen to that. Nothing
//! recurses: what is skipped may be nested as deep as [`NESTING_MAX`].

use std::fmt;

use super::scan::{Literal, digits_end, leading_number, quote, special_byte};

/// How deep a value that nobody reads may be nested.
pub(super) const NESTING_MAX: usize = 512;

/// Bytes of the input that a reason quotes at most.
const QUOTE_BYTES_MAX: usize = 40;

/// Why a record is bad, and in which column.
#[derive(Debug)]
pub(super) struct Reason(Box<(Option<String>, String)>);

impl Reason {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(Box::new((None, what.into())))
    }

    /// Puts the name of the column or field that the value belongs to before those already known.
    pub(super) fn within(mut self, name: &str) -> Self {
        self.0.0 = Some(match self.0.0.take() {
            None => name.to_owned(),
            Some(inner) => format!("{name}.{inner}"),
        });
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.0 {
            Some(column) => write!(f, "column '{column}': {}", self.0.1),
            None => f.write_str(&self.0.1),
        }
    }
}

/// A place within a line.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    /// No text of the line has an escape or a control character.
    plain: bool,
    /// Where texts with escapes are put together.
    scratch: &'a mut Vec<u8>,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first byte. `plain` says that the line is known to have no backslash and
    /// no control character; it is never wrong to say false.
    pub(super) fn new(line: &'a [u8], plain: bool, scratch: &'a mut Vec<u8>) -> Self {
        Self { line, at: 0, plain, scratch }
    }

    /// The byte behind what was taken.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The input from byte `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.line[start..self.at]
    }

    /// Takes exactly these bytes if they are next, white space and all.
    #[inline]
    pub(super) fn take_exactly(&mut self, literal: &Literal) -> bool {
        let found = self.begins(literal);
        if found {
            self.at += literal.len();
        }
        found
    }

    /// Whether exactly these bytes are next.
    #[inline]
    pub(super) fn begins(&self, literal: &Literal) -> bool {
        literal.begins(&self.line[self.at..])
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.line.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte`, which must be next.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Reason> {
        if self.take(byte) { Ok(()) } else { Err(self.expected(&format!("'{}'", char::from(byte)))) }
    }

    /// Takes the key `name` with its quotes if it is next and written without escapes.
    /// `name` has no character that JSON escapes.
    #[inline]
    pub(super) fn take_key(&mut self, name: &[u8]) -> bool {
        let rest = &self.line[self.at..];
        let found = rest.first() == Some(&b'"')
            && rest[1..].starts_with(name)
            && rest.get(name.len() + 1) == Some(&b'"');
        if found {
            self.at += name.len() + 2;
        }
        found
    }

    /// Takes `null`, `true` or `false` if it is next.
    #[inline]
    pub(super) fn take_literal(&mut self, literal: &[u8]) -> bool {
        self.peek();
        let found = self.line[self.at..].starts_with(literal);
        if found {
            self.at += literal.len();
        }
        found
    }

    /// What was expected here, and what stands here instead.
    pub(super) fn expected(&mut self, what: &str) -> Reason {
        self.peek();
        self.expected_at(self.at, what)
    }

    /// What was expected at byte `at`, and what stands there instead.
    pub(super) fn expected_at(&self, at: usize, what: &str) -> Reason {
        let Some(first) = self.line.get(at) else {
            return Reason::new(format!("expected {what}, found the end of the line"));
        };
        let kind = match first {
            b'"' => "text ",
            b'{' => "an object ",
            b'[' => "a list ",
            b'-' | b'0'..=b'9' => "a number ",
            _ => "",
        };
        Reason::new(format!("expected {what}, found {kind}{} at byte {at}", self.quote(at)))
    }

    /// The input from byte `at`, cut where it is long, to be shown to people.
    pub(super) fn quote(&self, at: usize) -> String {
        let rest = &self.line[at.min(self.line.len())..];
        let shown = &rest[..rest.len().min(QUOTE_BYTES_MAX)];
        let more = if shown.len() < rest.len() { "…" } else { "" };
        format!("{}{more}", String::from_utf8_lossy(shown).escape_debug())
    }

    /// Where the next byte that is not white space stands.
    #[inline]
    pub(super) fn next_at(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// Takes a number and gives its digits.
    pub(super) fn number(&mut self) -> Result<&'a str, Reason> {
        let start = self.next_at();
        self.skip_number()?;
        Ok(ascii(&self.line[start..self.at]))
    }

    #[inline]
    fn skip_number(&mut self) -> Result<(), Reason> {
        let start = self.next_at();
        self.at = number_end(self.line, start).ok_or_else(|| self.expected_at(start, "a number"))?;
        Ok(())
    }

    /// Takes a number, or a text that is one, and gives its digits.
    pub(super) fn number_or_text(&mut self) -> Result<&'a str, Reason> {
        let at = self.next_at();
        if self.line.get(at) != Some(&b'"') {
            return self.number();
        }
        match number_end(self.line, at + 1) {
            Some(end) if self.line.get(end) == Some(&b'"') => {
                self.at = end + 1;
                Ok(ascii(&self.line[at + 1..end]))
            }
            _ => Err(self.expected_at(at, "a number")),
        }
    }

    /// Takes a whole number of at most 18 digits, if that is what stands here; else takes nothing.
    // Where it is not inlined, handing over what it found takes longer than finding it.
    #[inline(always)]
    pub(super) fn take_short_integer(&mut self) -> Option<i64> {
        self.peek();
        let rest = &self.line[self.at..];
        let negative = rest.first() == Some(&b'-');
        let digits = &rest[usize::from(negative)..];
        let (value, count) = leading_number(digits);
        if count > 18 {
            return None;
        }
        let padded = count > 1 && digits[0] == b'0';
        if count == 0 || padded || matches!(digits.get(count), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += usize::from(negative) + count;
        let value = value as i64;
        Some(if negative { -value } else { value })
    }

    /// Takes a text and gives it without quotes and escapes.
    #[inline]
    pub(super) fn text(&mut self) -> Result<&[u8], Reason> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("text"));
        }
        let start = self.at + 1;
        let end = if self.plain { quote(self.line, start) } else { special_byte(self.line, start) };
        if self.line.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(&self.line[start..end]);
        }
        self.text_with_escapes(start, end)
    }

    /// Takes a key and gives it without quotes and escapes.
    pub(super) fn key(&mut self) -> Result<&[u8], Reason> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        self.text()
    }

    #[cold]
    fn text_with_escapes(&mut self, mut start: usize, mut end: usize) -> Result<&[u8], Reason> {
        self.scratch.clear();
        loop {
            self.scratch.extend_from_slice(&self.line[start..end]);
            self.at = end;
            match self.line.get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok(self.scratch);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => {
                    return Err(Reason::new(format!("a control character within a text at byte {end}")));
                }
                None => return Err(Reason::new("a text does not end")),
            }
            start = self.at;
            end = special_byte(self.line, start);
        }
    }

    /// Takes the escape that begins here.
    fn escape(&mut self) -> Result<(), Reason> {
        let byte = match self.line.get(self.at + 1) {
            Some(b'u') => return self.unicode_escape(),
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => return Err(self.bad_escape()),
        };
        self.scratch.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), Reason> {
        let high = self.hex_unit(self.at).ok_or_else(|| self.bad_escape())?;
        let pair = matches!(high, 0xD800..0xDC00).then(|| self.hex_unit(self.at + 6)).flatten();
        let units = [high, pair.unwrap_or(0)];
        let units = &units[..1 + usize::from(pair.is_some())];
        let character = match char::decode_utf16(units.iter().copied()).next() {
            Some(Ok(character)) => character,
            Some(Err(_)) | None => return Err(self.bad_escape()),
        };
        self.scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += 6 * units.len();
        Ok(())
    }

    /// The value of `\uXXXX` at `at`.
    fn hex_unit(&self, at: usize) -> Option<u16> {
        let digits = self.line.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)? as u16))
    }

    fn bad_escape(&self) -> Reason {
        Reason::new(format!("an escape that JSON does not know, {} at byte {}", self.quote(self.at), self.at))
    }

    /// Takes a value of any kind and checks its grammar.
    #[inline]
    pub(super) fn skip(&mut self) -> Result<(), Reason> {
        match self.line.get(self.at) {
            Some(b'"') if self.plain => {
                let end = quote(self.line, self.at + 1);
                if end < self.line.len() {
                    self.at = end + 1;
                    return Ok(());
                }
            }
            Some(b'1'..=b'9') => return self.skip_number(),
            Some(_) | None => {}
        }
        self.skip_any()
    }

    fn skip_any(&mut self) -> Result<(), Reason> {
        match self.peek() {
            Some(b'{' | b'[') => self.skip_nested(),
            Some(_) | None => self.skip_scalar(),
        }
    }

    fn skip_nested(&mut self) -> Result<(), Reason> {
        let mut open = [0u8; NESTING_MAX];
        let mut depth = 0;
        loop {
            // A value begins here.
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    if self.take(bracket + 2) {
                        // Empty: `}` and `]` are two behind `{` and `[` in ASCII.
                    } else if depth == NESTING_MAX {
                        return Err(Reason::new(format!("nested deeper than {NESTING_MAX}")));
                    } else {
                        open[depth] = bracket;
                        depth += 1;
                        if bracket == b'{' {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                _ => self.skip_scalar()?,
            }
            // A value ended here.
            while depth > 0 && self.take(open[depth - 1] + 2) {
                depth -= 1;
            }
            if depth == 0 {
                return Ok(());
            }
            if !self.take(b',') {
                let close = char::from(open[depth - 1] + 2);
                return Err(self.expected(&format!("',' or '{close}'")));
            }
            if open[depth - 1] == b'{' {
                self.skip_key()?;
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), Reason> {
        self.key()?;
        self.expect(b':')
    }

    fn skip_scalar(&mut self) -> Result<(), Reason> {
        match self.peek() {
            Some(b'"') => self.text().map(drop),
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            _ if self.take_literal(b"null") || self.take_literal(b"true") || self.take_literal(b"false") => {
                Ok(())
            }
            _ => Err(self.expected("a value")),
        }
    }
}

fn ascii(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).expect("a number is ASCII")
}

/// The end of the JSON number that begins at `at`.
#[inline]
fn number_end(line: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| Some(digits_end(line, from)).filter(|&end| end > from);
    let whole = at + usize::from(line.get(at) == Some(&b'-'));
    let mut end = match line.get(whole)? {
        b'0' => whole + 1,
        _ => digits(whole)?,
    };
    if line.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = line.get(end) {
        let sign = usize::from(matches!(line.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What skipping a value gives, which must not depend on what is known of the line.
    fn skipped(line: &str) -> Result<usize, String> {
        let of = |plain| {
            let mut scratch = Vec::new();
            let mut cursor = Cursor::new(line.as_bytes(), plain, &mut scratch);
            cursor.skip().map(|()| cursor.at).map_err(|reason| reason.to_string())
        };
        let found = of(false);
        if line.bytes().all(|byte| byte >= 0x20 && byte != b'\\') {
            assert_eq!(of(true), found, "{line}");
        }
        found
    }

    #[test]
    fn what_json_is_and_what_it_is_not() {
        let good = [
            "null",
            "true",
            "-0.5e-3",
            "0",
            "\"\"",
            "\"a\\n\\u00e9\\ud83d\\ude00\"",
            "[]",
            "{}",
            " [ 1 , [ ] , { \"a\" : { } } ] ",
            "{\"a\":1,\"b\":[true,false,null,\"x\"]}",
        ];
        for line in good {
            assert_eq!(skipped(line), Ok(line.trim_end().len()), "{line}");
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
        let bad = [
            "",
            "nul",
            "01x",
            "-",
            "1.",
            "1e",
            ".5",
            "+1",
            "NaN",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\ud83d\"",
            "\"\t\"",
            "[1 2]",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1 \"b\":2}",
            "[}",
            "{]",
            "[1",
            "'a'",
        ];
        for line in bad {
            let whole = skipped(line).is_ok_and(|end| end == line.len());
            assert!(!whole, "{line}");
            assert!(serde_json::from_str::<serde_json::Value>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_takes_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(skipped(&nested(NESTING_MAX)).is_ok());
        assert_eq!(skipped(&nested(100_000)), Err("nested deeper than 512".into()));
        assert_eq!(skipped(&"{\"a\":".repeat(100_000)), Err("nested deeper than 512".into()));
    }
}
