//! How the objects of a job are called.

use crate::checksum::Checksum;
use crate::{Epoch, Incarnation, OperatorId};

/// A name that is longer, once it is escaped, is cut and ends with its checksum.
const ESCAPED_BYTES_MAX: usize = 150;
/// What is left of one that is cut.
const CUT_BYTES: usize = 100;

pub(super) fn incarnation(incarnation: Incarnation) -> String {
    format!("incarnations/{:010}", incarnation.0)
}

pub(super) fn epoch(epoch: Epoch) -> String {
    format!("epochs/{:010}", epoch.0)
}

pub(super) fn complete(epoch: Epoch) -> String {
    format!("complete/{:010}", epoch.0)
}

pub(super) fn savepoint(label: &str) -> String {
    format!("savepoints/{}", escape(label))
}

/// An object of a table. `writer` tells the writers of one epoch of one incarnation apart.
pub(super) fn table_object(
    operator: &OperatorId,
    table: &str,
    (epoch, incarnation): (Epoch, Incarnation),
    writer: &str,
    index: usize,
) -> String {
    let (operator, table) = (escape(operator.as_str()), escape(table));
    format!("state/{operator}/{table}/{:010}-{:010}-{writer}.{index}.parquet", epoch.0, incarnation.0)
}

/// Who wrote an object of a table, if the name is that of one.
pub(super) fn origin(name: &str) -> Option<(Epoch, Incarnation)> {
    let file = name.strip_prefix("state/")?.rsplit('/').next()?;
    let mut parts = file.split('-');
    let epoch = number(parts.next()?)?;
    let incarnation = number(parts.next()?)?;
    parts.next().map(|_| (Epoch(epoch), Incarnation(incarnation)))
}

/// A number as names have it.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A text as one part of a name. Different texts have different names.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => escaped.push(byte as char),
            b'.' if at > 0 => escaped.push('.'),
            _ => escaped.push_str(&format!("={byte:02x}")),
        }
    }
    if escaped.is_empty() {
        return "=".to_owned();
    }
    if escaped.len() > ESCAPED_BYTES_MAX {
        escaped.truncate(CUT_BYTES);
        // Nothing else ends with this: an escape has no 'x'.
        return format!("{escaped}=x{}", Checksum::of(text.as_bytes()));
    }
    escaped
}

/// The text that was escaped; none if that is not known.
pub(super) fn unescape(name: &str) -> Option<String> {
    if name == "=" {
        return Some(String::new());
    }
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        rest = more;
        if first != b'=' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(more.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &more[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_found_again() {
        for text in ["", "orders", "view/orders#agg", ".hidden", "a b=c", "Größe", "a.b"] {
            let escaped = escape(text);
            assert!(escaped.bytes().all(|b| b.is_ascii_alphanumeric() || b"=._-".contains(&b)), "{escaped}");
            assert!(!escaped.starts_with('.'), "{escaped}");
            assert_eq!(unescape(&escaped).as_deref(), Some(text), "{escaped}");
        }
    }

    #[test]
    fn long_texts_stay_apart() {
        let (one, two) = (escape(&format!("{}1", "x".repeat(500))), escape(&format!("{}2", "x".repeat(500))));
        assert!(one != two && one.len() <= ESCAPED_BYTES_MAX);
        assert_eq!(unescape(&one), None);
    }

    #[test]
    fn the_name_of_an_object_tells_its_epoch_and_incarnation() {
        let name = table_object(&OperatorId::new("a/b-1"), "t", (Epoch(7), Incarnation(3)), "2-0", 1);
        assert_eq!(name, "state/a=2fb-1/t/0000000007-0000000003-2-0.1.parquet");
        assert_eq!(origin(&name), Some((Epoch(7), Incarnation(3))));
        for strange in ["state/a/t/notes.txt", "state/a/t/1-2", "epochs/1-2-3", "state/a/t/+1-2-3"] {
            assert_eq!(origin(strange), None, "{strange}");
        }
    }
}
