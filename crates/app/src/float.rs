//! Floats that can be keys.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A float as a key: all NaN are one value, the greatest; −0.0 is 0.0.
///
/// `f64` itself is no key, for a NaN does not equal itself.
///
/// ```
/// use thalweg_app::Float;
///
/// assert_eq!(Float::new(-0.0), Float::new(0.0));
/// assert_eq!(Float::new(f64::NAN), Float::new(-f64::NAN));
/// assert!(Float::new(f64::NAN) > Float::new(f64::INFINITY));
/// ```
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Float(f64);

impl Float {
    /// The one of its kind that equals `value`.
    pub fn new(value: f64) -> Self {
        Self(match value {
            value if value.is_nan() => f64::NAN,
            0.0 => 0.0,
            value => value,
        })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl From<f64> for Float {
    fn from(value: f64) -> Self {
        Self::new(value)
    }
}

impl From<Float> for f64 {
    fn from(value: Float) -> Self {
        value.0
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Float {}

impl Hash for Float {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.to_bits().hash(hasher);
    }
}

impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
