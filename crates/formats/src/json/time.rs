//! Dates and times: RFC 3339 text, or numbers since 1970.

use chrono::{Datelike, NaiveDate};

use super::TimestampUnit;
use super::cursor::{Cursor, Reason};
use super::number::scaled_number;
use super::scan::{DigitForm, leading_number};

const SECONDS_A_DAY: i64 = 86_400;
/// 1970-01-01 in days since 0001-01-01, as chrono counts.
const EPOCH_DAYS: i32 = 719_163;
const DAYS_IN_400_YEARS: i32 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const MARCH_OF_YEAR_0_TO_EPOCH: i32 = 719_468;

/// Takes a timestamp in units of `10^-digits` seconds since 1970.
pub(super) fn timestamp(input: &mut Cursor<'_>, unit: TimestampUnit, digits: i8) -> Result<i64, Reason> {
    let at = input.next_at();
    let value = match input.peek() {
        Some(b'"') => match parse_timestamp(input.text()?) {
            Some((seconds, nanos)) => Some(in_units(seconds, nanos, digits)),
            None => return Err(input.expected_at(at, "a timestamp")),
        },
        Some(b'-' | b'0'..=b'9') => scaled_number(input, digits - unit.digits())?,
        _ => return Err(input.expected("a timestamp")),
    };
    value.and_then(|value| i64::try_from(value).ok()).ok_or_else(|| {
        let shown = input.quote(at);
        Reason::new(format!("the timestamp {shown} at byte {at} is outside of what its column can hold"))
    })
}

/// Units of `10^-digits` seconds, which are 0, 3, 6 or 9 digits.
fn in_units(seconds: i64, nanos: u32, digits: i8) -> i128 {
    let (units_a_second, nanos_a_unit) = match digits {
        0 => (1, 1_000_000_000),
        3 => (1_000, 1_000_000),
        6 => (1_000_000, 1_000),
        _ => (1_000_000_000, 1),
    };
    i128::from(seconds) * units_a_second + i128::from(nanos / nanos_a_unit)
}

/// Takes a date in days since 1970.
pub(super) fn date(input: &mut Cursor<'_>) -> Result<i32, Reason> {
    if let Some(days) = input.take_short_integer() {
        return i32::try_from(days).map_err(|_| Reason::new(format!("{days} days do not fit into DATE")));
    }
    let at = input.next_at();
    if input.peek() != Some(b'"') {
        return Err(input.expected_at(at, "a date"));
    }
    let mut rest = input.text()?;
    let days = take_date(&mut rest).filter(|_| rest.is_empty());
    days.ok_or_else(|| input.expected_at(at, "a date"))
}

/// Takes a time of day in nanoseconds since midnight.
pub(super) fn time_of_day(input: &mut Cursor<'_>) -> Result<i64, Reason> {
    let at = input.next_at();
    if input.peek() != Some(b'"') {
        return Err(input.expected_at(at, "a time of day"));
    }
    let mut rest = input.text()?;
    let time = take_time(&mut rest).filter(|&(seconds, _)| rest.is_empty() && seconds < SECONDS_A_DAY);
    time.map(|(seconds, nanos)| seconds * 1_000_000_000 + i64::from(nanos))
        .ok_or_else(|| input.expected_at(at, "a time of day"))
}

/// Seconds since 1970 and nanoseconds of an RFC 3339 text. A space may stand for `T`, the time
/// may be missing, and so may the zone, which is then UTC.
#[inline]
fn parse_timestamp(text: &[u8]) -> Option<(i64, u32)> {
    parse_usual_timestamp(text).or_else(|| parse_any_timestamp(text))
}

/// `2013-01-31T06:00:00`, then digits behind a point or none, then `Z` or nothing: what nearly all are.
/// Leaves the rest, also what is wrong, to [`parse_any_timestamp`].
#[inline]
fn parse_usual_timestamp(text: &[u8]) -> Option<(i64, u32)> {
    const DATE: DigitForm = DigitForm::new(b"0000-00-");
    const DAY: DigitForm = DigitForm::new(b"0-00-00T");
    const TIME: DigitForm = DigitForm::new(b"00:00:00");
    let (date, time, behind) = (text.first_chunk()?, text.get(11..)?.first_chunk()?, &text[19..]);
    let [century, _, year, _, _, month, ..] = DATE.pairs(date)?;
    let [_, _, _, _, _, day, ..] = DAY.pairs(text[3..].first_chunk()?)?;
    let [hour, _, _, minute, _, _, second, _] = TIME.pairs(time)?;
    if hour >= 24 || minute >= 60 || second > 60 {
        return None;
    }
    let days = days(100 * u32::from(century) + u32::from(year), month.into(), day.into())?;
    let seconds = 3600 * u32::from(hour) + 60 * u32::from(minute) + u32::from(second);
    let nanos = match behind.strip_suffix(b"Z").unwrap_or(behind) {
        [] => 0,
        [b'.', fraction @ ..] => {
            let (value, count @ 1..=9) = leading_number(fraction) else { return None };
            if count < fraction.len() {
                return None;
            }
            value as u32 * 10u32.pow(9 - count as u32)
        }
        _ => return None,
    };
    Some((i64::from(days) * SECONDS_A_DAY + i64::from(seconds), nanos))
}

fn parse_any_timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let mut rest = text;
    let days = take_date(&mut rest)?;
    let mut seconds = i64::from(days) * SECONDS_A_DAY;
    if rest.is_empty() {
        return Some((seconds, 0));
    }
    let separated = take_byte(&mut rest, b'T') || take_byte(&mut rest, b't') || take_byte(&mut rest, b' ');
    let (time, nanos) = separated.then(|| take_time(&mut rest)).flatten()?;
    seconds += time - take_zone(&mut rest)?;
    rest.is_empty().then_some((seconds, nanos))
}

/// `2013-01-31` in days since 1970.
fn take_date(rest: &mut &[u8]) -> Option<i32> {
    let year = take_digits(rest, 4)?;
    let month = take_byte(rest, b'-').then(|| take_digits(rest, 2)).flatten()?;
    let day = take_byte(rest, b'-').then(|| take_digits(rest, 2)).flatten()?;
    days(year, month, day)
}

/// Days since 1970, if the calendar has that day. The year is one of four digits.
///
/// Years begin in March, so that a leap day is the last; after H. Hinnant, "chrono-compatible low-level date algorithms".
#[inline]
fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let month_days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day == 0 || day > month_days {
        return None;
    }
    // One cycle of 400 years more, lest the year before the first be negative.
    let year = year + 400 - u32::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
    Some(days as i32 - MARCH_OF_YEAR_0_TO_EPOCH - DAYS_IN_400_YEARS)
}

/// `06:00`, `06:00:00` or `06:00:00.123` in seconds and nanoseconds. Second 60, a leap second, is the next minute's first.
fn take_time(rest: &mut &[u8]) -> Option<(i64, u32)> {
    let hour = take_digits(rest, 2)?;
    let minute = take_byte(rest, b':').then(|| take_digits(rest, 2)).flatten()?;
    let (mut second, mut nanos) = (0, 0);
    if take_byte(rest, b':') {
        second = take_digits(rest, 2)?;
        if take_byte(rest, b'.') || take_byte(rest, b',') {
            nanos = take_fraction(rest)?;
        }
    }
    let sound = hour < 24 && minute < 60 && second <= 60;
    sound.then(|| (i64::from(hour * 3600 + minute * 60 + second), nanos))
}

/// Digits behind the point, in nanoseconds. Finer ones are cut off.
fn take_fraction(rest: &mut &[u8]) -> Option<u32> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let nanos = rest[..count]
        .iter()
        .chain(std::iter::repeat(&b'0'))
        .take(9)
        .fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    *rest = &rest[count..];
    (count > 0).then_some(nanos)
}

/// `Z`, `+02:00`, `+0200`, `+02` or nothing, in seconds east of UTC.
fn take_zone(rest: &mut &[u8]) -> Option<i64> {
    if rest.is_empty() || take_byte(rest, b'Z') || take_byte(rest, b'z') {
        return Some(0);
    }
    let west = take_byte(rest, b'-');
    if !west && !take_byte(rest, b'+') {
        return None;
    }
    let hours = take_digits(rest, 2)?;
    take_byte(rest, b':');
    let minutes = if rest.is_empty() { 0 } else { take_digits(rest, 2)? };
    let east = i64::from(hours * 3600 + minutes * 60);
    (hours < 24 && minutes < 60).then_some(if west { -east } else { east })
}

fn take_byte(rest: &mut &[u8], byte: u8) -> bool {
    let found = rest.first() == Some(&byte);
    *rest = &rest[usize::from(found)..];
    found
}

fn take_digits(rest: &mut &[u8], count: usize) -> Option<u32> {
    let (digits, behind) = rest.split_at_checked(count)?;
    let value =
        digits.iter().try_fold(0, |value, digit| Some(value * 10 + char::from(*digit).to_digit(10)?))?;
    *rest = behind;
    Some(value)
}

/// Appends `"2023-09-18T14:23:10"`, with 3, 6 or 9 digits more where there is a fraction, and `Z` if it is `zoned`.
pub(super) fn write_timestamp(seconds: i64, nanos: u32, zoned: bool, out: &mut Vec<u8>) {
    let date = i32::try_from(seconds.div_euclid(SECONDS_A_DAY))
        .ok()
        .and_then(|days| days.checked_add(EPOCH_DAYS))
        .and_then(NaiveDate::from_num_days_from_ce_opt);
    let Some(date) = date else {
        out.extend_from_slice(b"null");
        return;
    };
    let second = seconds.rem_euclid(SECONDS_A_DAY) as u32;
    out.push(b'"');
    match u32::try_from(date.year()) {
        Ok(year) if year <= 9999 => write_digits(year, 4, out),
        _ => out.extend_from_slice(format!("{:+05}", date.year()).as_bytes()),
    }
    let parts = [(b'-', date.month()), (b'-', date.day()), (b'T', second / 3600)];
    let parts = parts.into_iter().chain([(b':', second / 60 % 60), (b':', second % 60)]);
    for (mark, value) in parts {
        out.push(mark);
        write_digits(value, 2, out);
    }
    if nanos > 0 {
        out.push(b'.');
        match nanos {
            _ if nanos.is_multiple_of(1_000_000) => write_digits(nanos / 1_000_000, 3, out),
            _ if nanos.is_multiple_of(1_000) => write_digits(nanos / 1_000, 6, out),
            _ => write_digits(nanos, 9, out),
        }
    }
    out.extend_from_slice(if zoned { b"Z\"" } else { b"\"" });
}

/// Appends the last `count` digits of `value`.
fn write_digits(mut value: u32, count: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + count, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit += (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_as_text() {
        let good = [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01", 0, 0),
            ("1970-01-01 00:00:01", 1, 0),
            ("1970-01-01t00:01z", 60, 0),
            ("2013-01-01T06:00:00Z", 1_357_020_000, 0),
            ("2013-01-01T08:00:00+02:00", 1_357_020_000, 0),
            ("2013-01-01T01:00:00-0500", 1_357_020_000, 0),
            ("2013-01-01T01:00:00.5-05", 1_357_020_000, 500_000_000),
            ("2013-01-01T06:00:00.1234567899", 1_357_020_000, 123_456_789),
            ("1969-12-31T23:59:59.9", -1, 900_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800, 0),
            ("2024-02-29T00:00:00", 1_709_164_800, 0),
        ];
        for (text, seconds, nanos) in good {
            assert_eq!(parse_timestamp(text.as_bytes()), Some((seconds, nanos)), "{text}");
        }
        let bad = [
            "",
            "x",
            "2013",
            "2013-1-1",
            "2013-02-29",
            "2013-13-01",
            "2013-01-01T",
            "2013-01-01T06",
            "2013-01-01T24:00:00",
            "2013-01-01T06:60:00",
            "2013-01-01T06:00:61",
            "2013-01-01T06:00:00.",
            "2013-01-01T06:00:00+",
            "2013-01-01T06:00:00Zx",
            "2013-01-01T06:00:00+25:00",
            "2013-01-01T06:00:00 UTC",
            "+2013-01-01",
            "12013-01-01",
            "２０１３-01-01",
        ];
        for text in bad {
            assert_eq!(parse_timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for year in 0..=9999 {
            for month in 0..=13 {
                for day in 0..=32 {
                    let date = NaiveDate::from_ymd_opt(year as i32, month, day);
                    let expected = date.map(|date| date.num_days_from_ce() - EPOCH_DAYS);
                    assert_eq!(days(year, month, day), expected, "{year}-{month}-{day}");
                }
            }
        }
    }

    #[test]
    fn the_usual_timestamp_is_read_as_any_other() {
        let text = b"2016-12-31T23:59:60.123456789Z";
        for length in 0..=text.len() {
            let mut text = text[..length].to_vec();
            for place in 0..length {
                let byte = text[place];
                for other in 0..=255 {
                    text[place] = other;
                    let shown = String::from_utf8_lossy(&text);
                    let any = parse_any_timestamp(&text);
                    assert!(parse_usual_timestamp(&text).is_none_or(|usual| any == Some(usual)), "{shown}");
                    assert_eq!(parse_timestamp(&text), any, "{shown}");
                }
                text[place] = byte;
            }
        }
        assert_eq!(parse_usual_timestamp(text), Some((1_483_228_800, 123_456_789)));
    }

    #[test]
    fn timestamps_to_text() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00"),
            (1_695_046_990, 0, "2023-09-18T14:23:10"),
            (1_695_046_990, 500_000_000, "2023-09-18T14:23:10.500"),
            (1_695_046_990, 1_000, "2023-09-18T14:23:10.000001"),
            (1_695_046_990, 7, "2023-09-18T14:23:10.000000007"),
            (-1, 999_000_000, "1969-12-31T23:59:59.999"),
            (253_402_300_800, 0, "+10000-01-01T00:00:00"),
        ];
        for (seconds, nanos, expected) in cases {
            let mut out = Vec::new();
            write_timestamp(seconds, nanos, false, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}\""));
            let read = parse_timestamp(expected.as_bytes());
            assert!(expected.starts_with('+') || read == Some((seconds, nanos)), "{expected}");
        }
        let mut out = Vec::new();
        write_timestamp(i64::MAX, 0, false, &mut out);
        assert_eq!(out, b"null");
    }
}
