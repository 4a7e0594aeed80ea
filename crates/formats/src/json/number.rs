//! Numbers: exact where the column is exact, checked against its range.

use super::cursor::{Cursor, Reason};

/// Takes a whole number that fits into `T`. `name` is its SQL type.
#[inline]
pub(super) fn integer<T: TryFrom<i64> + TryFrom<i128>>(
    input: &mut Cursor<'_>,
    name: &str,
) -> Result<T, Reason> {
    if let Some(value) = input.take_short_integer() {
        return T::try_from(value).map_err(|_| Reason::new(format!("{value} does not fit into {name}")));
    }
    long_integer(input, name)
}

#[cold]
fn long_integer<T: TryFrom<i128>>(input: &mut Cursor<'_>, name: &str) -> Result<T, Reason> {
    let at = input.next_at();
    match scaled(input.number_or_text()?, 0) {
        Some(Scaled { value, exact: true }) => T::try_from(value).map_err(|_| too_large(input, at, name)),
        Some(Scaled { exact: false, .. }) => Err(input.expected_at(at, "a whole number")),
        None => Err(too_large(input, at, name)),
    }
}

fn too_large(input: &Cursor<'_>, at: usize, name: &str) -> Reason {
    Reason::new(format!("{} at byte {at} does not fit into {name}", input.quote(at)))
}

/// What a JSON number cannot say, as protobuf's JSON writes it.
const SPECIAL_FLOATS: [&str; 3] = ["\"NaN\"", "\"Infinity\"", "\"-Infinity\""];

/// Takes a number as binary floating point; `parse` gives an infinity where it is too large.
#[inline]
pub(super) fn float<T: std::str::FromStr + Into<f64> + Copy>(
    input: &mut Cursor<'_>,
    name: &str,
) -> Result<T, Reason> {
    let at = input.next_at();
    let quoted = input.peek() == Some(b'"');
    let special = SPECIAL_FLOATS.iter().find(|special| quoted && input.take_literal(special.as_bytes()));
    let numeral = match special {
        Some(quoted) => quoted.trim_matches('"'),
        None => input.number_or_text()?,
    };
    match numeral.parse::<T>() {
        Ok(value) if special.is_some() || value.into().is_finite() => Ok(value),
        _ => Err(too_large(input, at, name)),
    }
}

/// Takes a number as a decimal: an integer in units of `10^-scale` of at most `precision` digits.
pub(super) fn decimal(input: &mut Cursor<'_>, precision: u8, scale: i8) -> Result<i128, Reason> {
    let at = input.next_at();
    let value = scaled(input.number_or_text()?, scale).map(|scaled| scaled.value);
    value
        .filter(|value| value.unsigned_abs() < 10u128.pow(u32::from(precision)))
        .ok_or_else(|| too_large(input, at, &format!("DECIMAL({precision}, {scale})")))
}

/// Takes a number that is not text, in units of `10^-scale`. None if it does not fit.
pub(super) fn scaled_number(input: &mut Cursor<'_>, scale: i8) -> Result<Option<i128>, Reason> {
    if let Ok(power @ 0..=18) = u32::try_from(scale)
        && let Some(whole) = input.take_short_integer()
    {
        return Ok(Some(i128::from(whole) * 10i128.pow(power)));
    }
    Ok(scaled(input.number()?, scale).map(|scaled| scaled.value))
}

/// A number in units of a power of ten.
#[derive(Debug, PartialEq, Eq)]
struct Scaled {
    value: i128,
    /// Whether nothing was rounded off.
    exact: bool,
}

/// Reads a JSON number in units of `10^-scale`, rounded half away from zero. None if it does not fit.
fn scaled(numeral: &str, scale: i8) -> Option<Scaled> {
    let (mantissa, exponent) = match numeral.split_once(['e', 'E']) {
        // An exponent too long to read is so large that only its sign matters.
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(far(exponent))),
        None => (numeral, 0i64),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa),
    };
    let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let mut value = 0i128;
    let mut beyond = 0i64;
    let mut exact = true;
    for digit in digits.bytes().filter(u8::is_ascii_digit).map(|byte| i128::from(byte - b'0')) {
        let next = value.checked_mul(10).and_then(|value| value.checked_add(digit));
        match next {
            Some(next) if beyond == 0 => value = next,
            _ => {
                beyond += 1;
                exact &= digit == 0;
            }
        }
    }
    if value == 0 {
        return Some(Scaled { value: 0, exact: true });
    }
    let shift = exponent.saturating_add(beyond + i64::from(scale) - fraction as i64);
    let (value, whole) = shifted(value, shift)?;
    Some(Scaled { value: if negative { -value } else { value }, exact: exact && whole })
}

fn far(exponent: &str) -> i64 {
    if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 }
}

/// `value * 10^shift`, and whether that is exact.
fn shifted(value: i128, shift: i64) -> Option<(i128, bool)> {
    let power = u32::try_from(shift.unsigned_abs()).ok().and_then(|power| 10i128.checked_pow(power));
    match (shift >= 0, power) {
        (true, Some(power)) => value.checked_mul(power).map(|value| (value, true)),
        (true, None) => None,
        (false, None) => Some((0, false)),
        (false, Some(power)) => {
            let (quotient, rest) = (value / power, value % power);
            Some((quotient + i128::from(rest >= power - rest), rest == 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_units_of_powers_of_ten() {
        let exact = |value| Some(Scaled { value, exact: true });
        let rounded = |value| Some(Scaled { value, exact: false });
        let cases = [
            ("0", 0, exact(0)),
            ("-0.0e5", 3, exact(0)),
            ("12", 2, exact(1200)),
            ("1.5", 0, rounded(2)),
            ("-1.5", 0, rounded(-2)),
            ("1.49", 0, rounded(1)),
            ("1e3", 0, exact(1000)),
            ("1200e-2", 0, exact(12)),
            ("5e-1", 0, rounded(1)),
            ("4e-1", 0, rounded(0)),
            ("12.345", 2, rounded(1235)),
            ("1e400", 0, None),
            ("0e999999999999999999999", 0, exact(0)),
            ("1e-999999999999999999999", 0, rounded(0)),
            ("1e999999999999999999999", 0, None),
            ("123456", -3, rounded(123)),
            ("99999999999999999999999999999999999999", 0, exact(99999999999999999999999999999999999999)),
            ("1.00000000000000000000000000000000000000000000000000", 2, exact(100)),
            ("0.3333333333333333333333333333333333333333333333333333", 2, rounded(33)),
            ("99999999999999999999999999999999999999999", 0, None),
        ];
        for (numeral, scale, expected) in cases {
            assert_eq!(scaled(numeral, scale), expected, "{numeral} at scale {scale}");
        }
    }
}
