//! Specs as bytes: JSON of the spec itself.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thalweg_dataflow::{Error, Result};

pub(crate) fn encode(spec: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(spec).map_err(|e| Error::internal("a spec cannot be written").because(e))
}

pub(crate) fn decode<S: DeserializeOwned>(bytes: &[u8]) -> Result<S> {
    serde_json::from_slice(bytes).map_err(|e| Error::internal("a spec cannot be read").because(e))
}
