//! The checksum of everything durable: xxh3 of 128 bits, written as 32 hexadecimal digits.
//!
//! It finds accidents. Who can write to the store can also forge it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// The checksum of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(u128);

/// The text is no checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checksum is 32 hexadecimal digits")]
pub struct ChecksumError;

impl Checksum {
    /// The checksum of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    /// Reads exactly what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let checksum = u128::from_str_radix(text, 16).map(Self).map_err(|_| ChecksumError)?;
        if checksum.to_string() == text { Ok(checksum) } else { Err(ChecksumError) }
    }
}

impl TryFrom<String> for Checksum {
    type Error = ChecksumError;

    fn try_from(text: String) -> Result<Self, ChecksumError> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}
