//! The options of a `WITH (…)` clause on their way into a typed struct.
//!
//! Each `take_…` names an option that is known; what is left when all have
//! been taken is unknown, and `finish` says so with the nearest known name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Code, Error, Result, Span};

/// One option as it stands in the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionValue {
    /// The text between the quotes.
    pub value: String,
    /// Where the option stands, name and value.
    pub span: Option<Span>,
}

/// Options not yet taken, and the names of those that somebody asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    given: BTreeMap<String, OptionValue>,
    known: Vec<&'static str>,
}

impl Options {
    /// Options by name. Names are as written, in lower case.
    pub fn new(given: impl IntoIterator<Item = (String, OptionValue)>) -> Self {
        Self { given: given.into_iter().collect(), known: Vec::new() }
    }

    /// Says what an option is to be, whatever stands in the script.
    pub fn set(&mut self, name: &str, value: &str) {
        self.given.insert(name.to_owned(), OptionValue { value: value.to_owned(), span: None });
    }

    /// Takes an option as it stands.
    pub fn take(&mut self, name: &'static str) -> Option<OptionValue> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.given.remove(name)
    }

    /// Takes a text.
    pub fn take_text(&mut self, name: &'static str) -> Option<String> {
        self.take(name).map(|o| o.value)
    }

    /// Takes a text that must be there.
    pub fn require_text(&mut self, name: &'static str) -> Result<String> {
        self.take_text(name).ok_or_else(|| {
            Error::new(Code::InvalidOption, format!("option '{name}' is missing"))
                .with_help(format!("add {name} = '…' to the WITH clause"))
        })
    }

    /// Takes a whole number of at least `min`.
    pub fn take_integer(&mut self, name: &'static str, min: u64) -> Result<Option<u64>> {
        self.take_parsed(name, &format!("a whole number of at least {min}"), |text| {
            text.parse().ok().filter(|&n| n >= min)
        })
    }

    /// Takes a number greater than zero.
    pub fn take_rate(&mut self, name: &'static str) -> Result<Option<f64>> {
        self.take_parsed(name, "a number greater than zero", |text| {
            text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)
        })
    }

    /// Takes `true` or `false`.
    pub fn take_bool(&mut self, name: &'static str) -> Result<Option<bool>> {
        self.take_parsed(name, "'true' or 'false'", |text| text.to_ascii_lowercase().parse().ok())
    }

    /// Takes a duration such as `50ms`, `10s` or `1 minute`.
    pub fn take_duration(&mut self, name: &'static str) -> Result<Option<Duration>> {
        self.take_parsed(name, "a duration such as '50ms', '10s' or '1m'", parse_duration)
    }

    /// Takes a number of bytes, of at least `min`, such as `8MiB` or `128000000`.
    pub fn take_size(&mut self, name: &'static str, min: u64) -> Result<Option<u64>> {
        self.take_parsed(name, &format!("a size of at least {min} bytes, such as '8MiB'"), |text| {
            parse_size(text).filter(|&bytes| bytes >= min)
        })
    }

    /// Takes one of several words.
    pub fn take_choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("'{word}'")).collect();
        let mut meant = None;
        let taken = self.take_parsed(name, &format!("one of {}", words.join(", ")), |text| {
            meant = nearest(text, choices.iter().map(|(word, _)| *word));
            choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|&(_, value)| value)
        });
        taken.map_err(|error| match meant {
            Some(word) => error.with_help(format!("did you mean '{word}'?")),
            None => error.with_help(format!("write {name} = {}", words.join(" or "))),
        })
    }

    fn take_parsed<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(option) = self.take(name) else { return Ok(None) };
        let invalid = || {
            let what = format!("option '{name}' is '{}', which is not {expected}", option.value);
            let error = Error::new(Code::InvalidOption, what);
            match option.span {
                Some(span) => error.at(span),
                None => error,
            }
        };
        parse(option.value.trim()).map(Some).ok_or_else(invalid)
    }

    /// Whether options are left.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether somebody asked for an option of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains(&name)
    }

    /// Refuses whatever is left.
    pub fn finish(&mut self, owner: &str) -> Result<()> {
        let Some((name, option)) = std::mem::take(&mut self.given).into_iter().next() else { return Ok(()) };
        let mut known = self.known.clone();
        known.sort_unstable();
        let mut help = format!("it knows {}", known.join(", "));
        let meant = without_prefix(&name, &known).or_else(|| nearest(&name, known.iter().copied()));
        if let Some(meant) = meant {
            help = format!("did you mean '{meant}'? {help}");
        }
        let error =
            Error::new(Code::UnknownOption, format!("{owner} has no option '{name}'")).with_help(help);
        Err(match option.span {
            Some(span) => error.at(span),
            None => error,
        })
    }
}

/// The one known name of which only what stands behind a dot was written.
fn without_prefix<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let mut whole =
        known.iter().filter(|known| known.strip_suffix(name).is_some_and(|prefix| prefix.ends_with('.')));
    whole.next().copied().filter(|_| whole.next().is_none())
}

/// Reads a duration: a number and a unit, `ns`, `us`, `ms`, `s`, `m`, `h`, `d` or the unit's English name.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().ok()?;
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => 1e-9,
        "us" | "µs" | "microsecond" | "microseconds" => 1e-6,
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

/// Reads a size: a whole number and a unit, `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB` or none, which is bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The known name nearest to a misspelt one, if any is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(name.chars().count()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        Options::new(pairs.iter().map(|&(k, v)| (k.into(), OptionValue { value: v.into(), span: None })))
    }

    #[test]
    fn what_nobody_takes_is_unknown_and_the_nearest_is_named() {
        let mut given = options(&[("formt", "json"), ("path", "/x")]);
        given.take("path");
        given.take("format");
        let error = given.finish("connector 'single_file'").unwrap_err();
        assert_eq!(error.code(), Code::UnknownOption);
        assert_eq!(error.help(), Some("did you mean 'format'? it knows format, path"));
    }

    #[test]
    fn a_name_without_its_prefix_is_known_again() {
        for (written, help) in [
            ("watch", "did you mean 'source.watch'? it knows "),
            ("max_length", "did you mean 'framing.newline.max_length'? it knows "),
            ("tch", "it knows "),
            // Two names end like this.
            ("interval", "it knows "),
        ] {
            let mut given = options(&[(written, "1")]);
            let names =
                ["source.watch", "framing.newline.max_length", "source.poll.interval", "sink.flush.interval"];
            names.into_iter().for_each(|name| assert!(given.take(name).is_none()));
            let error = given.finish("connector 'filesystem'").unwrap_err();
            assert!(error.help().unwrap().starts_with(help), "{error:?}");
            assert!(given.knows("source.watch") && !given.knows(written));
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [("50ms", 50), ("10s", 10_000), ("1.5 minutes", 90_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "1 month", "-1s", "1e3s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("8MiB", 8 << 20), ("1 GB", 1_000_000_000), ("12b", 12)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "1 parsec", "-1", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_far_off_is_suggested() {
        assert_eq!(nearest("kafak", ["kafka", "stdout"]), Some("kafka"));
        assert_eq!(nearest("zzz", ["kafka", "stdout"]), None);
    }
}
