//! How an error looks to a person: code, what, where with line and caret, why, help.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use thalweg_dataflow::Error;

/// The text that spans of errors point into.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Its name: a path, or `-`.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// Renders one error, with the lines of the script it points at.
pub fn render(error: &Error, script: Option<Script<'_>>, color: bool) -> String {
    let mut group =
        Group::with_title(Level::ERROR.primary_title(error.what().to_owned()).id(error.code().as_str()));
    if let (Some(span), Some(script)) = (error.span(), script) {
        let range = char_range(script.text, span.start, span.end);
        group = group.element(
            Snippet::source(script.text).path(script.name).annotation(AnnotationKind::Primary.span(range)),
        );
    }
    if let Some(site) = error.site() {
        group = group.element(Level::NOTE.with_name("where").message(site.to_owned()));
    }
    if let Some(why) = error.why() {
        group = group.element(Level::NOTE.with_name("why").message(why.to_owned()));
    }
    if let Some(help) = error.help() {
        group = group.element(Level::HELP.message(help.to_owned()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..floor_char_boundary(text, offset)];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A span that lies within the text, on character boundaries, and is not empty where that can be.
fn char_range(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let start = floor_char_boundary(text, start);
    let end = floor_char_boundary(text, end.max(start));
    if end > start {
        return start..end;
    }
    start..text[start..].chars().next().map_or(start, |c| start + c.len_utf8())
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_dataflow::{Code, Span};

    #[test]
    fn an_error_shows_code_place_caret_why_and_help() {
        let text = "SELECT tempp\nFROM weather;\n";
        let error = Error::new(Code::UnknownColumn, "no column is named 'tempp'")
            .at(Span { start: 7, end: 12 })
            .because("'weather' has temp, time")
            .with_help("did you mean 'temp'?");
        let shown = render(&error, Some(Script { name: "w.sql", text }), false);
        assert_eq!(
            shown,
            "\
error[unknown-column]: no column is named 'tempp'
 --> w.sql:1:8
  |
1 | SELECT tempp
  |        ^^^^^
  |
  = why: 'weather' has temp, time
  = help: did you mean 'temp'?"
        );
    }

    #[test]
    fn spans_never_leave_the_text_or_cut_a_character() {
        assert_eq!(char_range("aä", 2, 2), 1..3);
        assert_eq!(char_range("aä", 99, 120), 3..3);
        assert_eq!(line_column("a\näx", 4), (2, 2));
    }
}
