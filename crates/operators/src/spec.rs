//! Specs as bytes: JSON, between processes of one version.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thalweg_dataflow::{Error, OperatorSpec, Result};

/// The spec as bytes for [`decode`].
pub fn encode<S: Serialize>(spec: &S) -> Result<Vec<u8>> {
    serde_json::to_vec(spec).map_err(|e| Error::internal("a spec cannot be encoded").because(e))
}

/// Reads what [`encode`] wrote: an entry of the registry.
pub fn decode<S>(bytes: &[u8]) -> Result<Arc<dyn OperatorSpec>>
where
    S: OperatorSpec + DeserializeOwned + 'static,
{
    let spec: S =
        serde_json::from_slice(bytes).map_err(|e| Error::internal("a spec cannot be decoded").because(e))?;
    Ok(Arc::new(spec))
}
