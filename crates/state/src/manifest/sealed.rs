//! What the store holds that is no table: one line that says what it is, then JSON.
//!
//! ```text
//! thalweg 1 settlement 0f3c…     the format, the kind, the checksum of the line before it and of the body
//! {"complete":{"format":1,…}}
//! ```
//!
//! The checksum covers the format and the kind too, so that every damaged byte
//! is told apart from an object that is whole but of another version or kind.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::FORMAT;
use crate::checksum::Checksum;
use crate::store::StoreError;

/// No object of this form is larger.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;
/// The first line is never longer.
const LINE_BYTES_MAX: usize = 128;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Claim,
    Settlement,
    Savepoint,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Settlement => "settlement",
            Self::Savepoint => "savepoint",
        }
    }
}

/// The bytes of an object.
pub(crate) fn seal(kind: Kind, object: &str, value: &impl Serialize) -> Result<Bytes, StoreError> {
    let body = serde_json::to_vec(value).expect("keys are strings and nothing else can fail");
    if body.len() > BODY_BYTES_MAX {
        let reason = format!("'{object}' would be larger than {BODY_BYTES_MAX} bytes");
        return Err(StoreError::Full { reason });
    }
    let line = format!("thalweg {FORMAT} {}", kind.as_str());
    let checksum = checksum_of(&line, &body);
    Ok([format!("{line} {checksum}\n").as_bytes(), &body].concat().into())
}

/// Reads what [`seal`] wrote; the bytes may be anything.
pub(crate) fn open<T: DeserializeOwned>(kind: Kind, object: &str, bytes: &[u8]) -> Result<T, StoreError> {
    if bytes.is_empty() {
        return Err(StoreError::damaged(object, "it is empty"));
    }
    if bytes.len() > BODY_BYTES_MAX + LINE_BYTES_MAX {
        return Err(StoreError::damaged(object, format!("it is larger than {BODY_BYTES_MAX} bytes")));
    }
    let unreadable = || StoreError::damaged(object, "its first line is not ours");
    let end = bytes.iter().take(LINE_BYTES_MAX).position(|&b| b == b'\n').ok_or_else(unreadable)?;
    let (line, body) = (&bytes[..end], &bytes[end + 1..]);
    let line = std::str::from_utf8(line).map_err(|_| unreadable())?;
    let (line, checksum) = line.rsplit_once(' ').ok_or_else(unreadable)?;
    if checksum != checksum_of(line, body).to_string() {
        return Err(StoreError::damaged(object, "its checksum does not match its bytes"));
    }
    let [name, format, found] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(unreadable()) };
    if name != "thalweg" {
        return Err(unreadable());
    }
    if format != FORMAT.to_string() {
        let reason = format!("it is of format {format}, and this version reads format {FORMAT}");
        return Err(StoreError::foreign(object, reason));
    }
    if found != kind.as_str() {
        return Err(StoreError::foreign(object, format!("it is a {found}, not a {}", kind.as_str())));
    }
    serde_json::from_slice(body).map_err(|e| StoreError::damaged(object, e.to_string()))
}

fn checksum_of(line: &str, body: &[u8]) -> Checksum {
    // A manifest is small beside what it names: the copy does not matter.
    Checksum::of(&[line.as_bytes(), b"\n", body].concat())
}

/// Bytes as hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Result<Bytes, &'static str> {
    let digit = |c: u8| (c as char).to_digit(16).ok_or("not a hexadecimal digit");
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err("an odd number of hexadecimal digits");
    }
    pairs.iter().map(|&[high, low]| Ok((digit(high)? * 16 + digit(low)?) as u8)).collect()
}

pub(super) mod hex_option {
    use bytes::Bytes;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Bytes>, out: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|b| super::to_hex(b)).serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Bytes>, D::Error> {
        let text: Option<String> = Option::deserialize(input)?;
        text.map(|text| super::from_hex(&text).map_err(D::Error::custom)).transpose()
    }
}

pub(super) mod hex_list {
    use bytes::Bytes;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[Bytes], out: S) -> Result<S::Ok, S::Error> {
        list.iter().map(|b| super::to_hex(b)).collect::<Vec<_>>().serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Bytes>, D::Error> {
        let list: Vec<String> = Vec::deserialize(input)?;
        list.iter().map(|text| super::from_hex(text).map_err(D::Error::custom)).collect()
    }
}
