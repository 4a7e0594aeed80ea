//! Looks at many bytes at once, in words or in loops that compile to vectors.
//!
//! Nothing here knows JSON but for the bytes that end a text or a number.

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// Bytes that [`survey`] looks at in one turn.
const SURVEY_BYTES: usize = 32;

/// What a line is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Only ASCII, which is valid UTF-8.
    pub(super) ascii: bool,
    /// No backslash and no control character: a text ends at the next quote.
    pub(super) plain: bool,
}

/// Looks at every byte of `line`, once where it is plain ASCII.
#[inline]
pub(super) fn survey(line: &[u8]) -> Survey {
    // As a signed byte what is not ASCII is below the space too.
    if !any(line, |byte| (byte as i8) < 0x20 || byte == b'\\') {
        return Survey { ascii: true, plain: true };
    }
    survey_each(line)
}

#[inline(never)]
fn survey_each(line: &[u8]) -> Survey {
    let plain = !any(line, |byte| byte < 0x20 || byte == b'\\');
    Survey { ascii: line.is_ascii(), plain }
}

/// Whether a byte of `line` is as `is` says; all are looked at.
#[inline]
fn any(line: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let (chunks, rest) = line.as_chunks::<SURVEY_BYTES>();
    let mut padded = [b' '; SURVEY_BYTES];
    let last = line.last_chunk().unwrap_or_else(|| {
        padded[..rest.len()].copy_from_slice(rest);
        &padded
    });
    let mut found = [0u8; SURVEY_BYTES];
    // The last bytes may be looked at twice, which changes nothing.
    for chunk in chunks.iter().chain([last]) {
        for index in 0..SURVEY_BYTES {
            found[index] |= if is(chunk[index]) { 0xff } else { 0 };
        }
    }
    found != [0; SURVEY_BYTES]
}

/// Bytes that are compared often.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// The first 16 bytes, the first one lowest, and which of them there are.
    head: u128,
    mask: u128,
    bytes: Box<[u8]>,
}

impl Literal {
    const HEAD_BYTES: usize = size_of::<u128>();

    pub(super) fn new(bytes: &[u8]) -> Self {
        let padded = |fill: fn(u8) -> u8| {
            let mut head = [0; Self::HEAD_BYTES];
            head.iter_mut().zip(bytes).for_each(|(head, &byte)| *head = fill(byte));
            u128::from_le_bytes(head)
        };
        Self { head: padded(|byte| byte), mask: padded(|_| 0xff), bytes: bytes.into() }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether `input` begins with these bytes.
    #[inline]
    pub(super) fn begins(&self, input: &[u8]) -> bool {
        let Some(head) = input.first_chunk() else {
            return input.len() >= self.bytes.len()
                && self.bytes.iter().zip(input).all(|(one, other)| one == other);
        };
        let alike = (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0;
        alike && (self.bytes.len() <= Self::HEAD_BYTES || input.starts_with(&self.bytes))
    }
}

/// The first quote from `at`, or the end.
#[inline]
pub(super) fn quote(line: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(line, at) {
        let found = below(word ^ (ONES * u64::from(b'"')), 1);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while line.get(at).is_some_and(|&byte| byte != b'"') {
        at += 1;
    }
    at
}

/// The first byte from `at` that is a quote, a backslash or a control character, or the end.
#[inline]
pub(super) fn special_byte(line: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(line, at) {
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let special = below(word, 0x20) | quote | backslash;
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while line.get(at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
}

/// The first byte from `at` that is no digit, or the end.
#[inline]
pub(super) fn digits_end(line: &[u8], mut at: usize) -> usize {
    while let Some(word) = word(line, at) {
        let count = leading_digits(word);
        at += count;
        if count < 8 {
            return at;
        }
    }
    while line.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// The digits at the start of `line` as a number, and how many there are.
/// The number means nothing if there are more than 18.
#[inline]
pub(super) fn leading_number(line: &[u8]) -> (u64, usize) {
    if let Some(word) = word(line, 0) {
        let count = leading_digits(word);
        if count < 8 {
            // The lowest bytes become leading zeros. Two shifts, since one by 64 is none.
            return (joined_digits((word ^ ZEROS) << (56 - 8 * count) << 8), count);
        }
    }
    long_number(line)
}

#[inline(never)]
fn long_number(line: &[u8]) -> (u64, usize) {
    let (mut value, mut at) = (0u64, 0);
    while let Some(word) = word(line, at).filter(|&word| leading_digits(word) == 8) {
        value = value.wrapping_mul(100_000_000).wrapping_add(joined_digits(word ^ ZEROS));
        at += 8;
    }
    while let Some(digit) = line.get(at).map(|byte| byte.wrapping_sub(b'0'))
        && digit <= 9
    {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// The form of eight bytes of which some are digits.
pub(super) struct DigitForm {
    xor: u64,
    add: u64,
}

impl DigitForm {
    /// In `form` a `0` stands for any digit, everything else for itself; it is ASCII.
    pub(super) const fn new(form: &[u8; 8]) -> Self {
        let mut add = [0x7f; 8];
        let mut index = 0;
        while index < 8 {
            if form[index] == b'0' {
                add[index] = 0x76;
            }
            index += 1;
        }
        Self { xor: u64::from_le_bytes(*form), add: u64::from_le_bytes(add) }
    }

    /// For each place the number that the digits there and behind it make, if the text has this form.
    /// Beside places with two digits the numbers mean nothing.
    #[inline]
    pub(super) fn pairs(&self, text: &[u8; 8]) -> Option<[u8; 8]> {
        // Digits become 0 to 9 and other bytes 0; whatever is more sets the highest bit, and nothing is carried on.
        let digits = u64::from_le_bytes(*text) ^ self.xor;
        let other = (((digits & !HIGHS) + self.add) | digits) & HIGHS;
        (other == 0).then(|| (digits.wrapping_mul(10).wrapping_add(digits >> 8)).to_le_bytes())
    }
}

/// The eight bytes at `at`, the first one lowest.
#[inline]
fn word(line: &[u8], at: usize) -> Option<u64> {
    line.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The highest bit of every byte of `word` that is below `n`, up to the first one; behind it, anything.
///
/// A byte is below `n` if subtracting `n` borrows into its highest bit, and that bit was not set before.
#[inline]
fn below(word: u64, n: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(n)) & !word & HIGHS
}

/// How many of the bytes are digits before the first that is none.
#[inline]
fn leading_digits(word: u64) -> usize {
    // Digits become 0 to 9. Adding 0x76 sets the highest bit of what is above 9, and nothing is carried on.
    let digits = word ^ ZEROS;
    let other = (((digits & !HIGHS) + ONES * 0x76) | digits) & HIGHS;
    other.trailing_zeros() as usize / 8
}

/// The number that eight bytes of 0 to 9 make, the first one lowest.
///
/// Neighbours are joined three times, after D. Lemire, "Quickly parsing eight digits" (2018).
#[inline]
fn joined_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let every_fourth = 0x0000_00ff_0000_00ff;
    let high = (pairs & every_fourth).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & every_fourth).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scans_for_special_bytes_equal_the_plain_ones() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for place in 0..40 {
                for fill in [0x20, b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff, 0xa2, 0xdc] {
                    let mut line = vec![fill; 40];
                    line[place] = special;
                    for at in 0..=place {
                        assert_eq!(special_byte(&line, at), place, "{special} after {fill} from {at}");
                        let quoted = if special == b'"' { place } else { 40 };
                        assert_eq!(quote(&line, at), quoted, "{special} after {fill} from {at}");
                    }
                    assert_eq!(special_byte(&line, place + 1), 40);
                    assert_eq!(quote(&line, place + 1), 40);
                }
            }
        }
    }

    #[test]
    fn every_byte_of_a_line_is_surveyed() {
        for length in 1..100 {
            let mut line = vec![b'a'; length];
            assert_eq!(survey(&line), Survey { ascii: true, plain: true });
            for place in 0..length {
                for (byte, ascii, plain) in [
                    (b'\\', true, false),
                    (0, true, false),
                    (0x1f, true, false),
                    (0x20, true, true),
                    (0x7f, true, true),
                    (0x80, false, true),
                    (0xdc, false, true),
                    (0xff, false, true),
                ] {
                    line[place] = byte;
                    assert_eq!(survey(&line), Survey { ascii, plain }, "{byte} at {place} of {length}");
                }
                line[place] = b'a';
            }
        }
    }

    #[test]
    fn every_byte_of_a_literal_is_compared() {
        for length in 0..40 {
            let mut line: Vec<u8> = (0..length + 3).map(|byte| byte as u8).collect();
            let literal = line[..length].to_vec();
            let long = |line: &[u8]| [line, &[0; 20]].concat();
            let found = Literal::new(&literal);
            assert!(found.begins(&line) && found.begins(&literal) && found.begins(&long(&line)));
            assert!(length == 0 || !found.begins(&literal[..length - 1]));
            for place in 0..length {
                line[place] ^= 0x80;
                assert!(!found.begins(&line) && !found.begins(&long(&line)), "{place} of {length}");
                line[place] ^= 0x80;
            }
        }
    }

    #[test]
    fn digits_become_a_number() {
        let digits = "120345678900012345";
        for from in 0..digits.len() {
            for to in from..=digits.len() {
                for behind in
                    ["", ",", "}", "/", ":", ".5,aaaaaaaaaa", "\u{b9}aaaaaaaaaa", "eeeeeeeeee", "      "]
                {
                    let text = format!("{}{behind}", &digits[from..to]);
                    let value = digits[from..to].parse().unwrap_or(0);
                    assert_eq!(leading_number(text.as_bytes()), (value, to - from), "{text}");
                    assert_eq!(digits_end(text.as_bytes(), 0), to - from, "{text}");
                }
            }
        }
        let long = "9".repeat(50);
        assert_eq!(leading_number(long.as_bytes()).1, 50);
    }
}
