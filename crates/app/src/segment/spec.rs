//! A segment as plain data. Its closures cannot travel: each process finds them again by name.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::{FunctionId, Functions, Operator, OperatorSpec, Port, Result, Spec};
use thalweg_operators::spec;

use super::Enter;
use crate::state::Evolution;

/// Makes the operator of one subtask. Stands in [`Functions`] under the segment's name.
#[derive(Clone)]
pub(crate) struct OperatorFactory(Arc<dyn Fn() -> Result<Box<dyn Operator>> + Send + Sync>);

impl OperatorFactory {
    pub(crate) fn new(make: impl Fn() -> Result<Box<dyn Operator>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// The same, with this around the calls of each operator.
    pub(crate) fn within(self, enter: Enter) -> Self {
        Self::new(move || Ok(enter.around((self.0)()?)))
    }
}

impl fmt::Debug for OperatorFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorFactory")
    }
}

/// Steps of a program, as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SegmentSpec {
    pub(crate) function: FunctionId,
    pub(crate) label: String,
    /// The columns of each output port, and the input port that it belongs to.
    pub(crate) outputs: Vec<(SchemaRef, u16)>,
    pub(crate) stateful: bool,
    pub(crate) fingerprint: String,
    /// What else than its own state it goes on from.
    pub(crate) evolution: Option<Evolution>,
}

impl SegmentSpec {
    /// The name in the registry.
    pub(crate) const KIND: &'static str = "computation";
}

impl Spec for SegmentSpec {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn converts(&self, fingerprint: &str) -> Result<String, Option<String>> {
        self.evolution.as_ref().map_or(Err(None), |evolution| evolution.changes(fingerprint))
    }

    fn label(&self) -> String {
        self.label.clone()
    }
}

impl OperatorSpec for SegmentSpec {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        (functions.get::<OperatorFactory>(&self.function)?.0)()
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.outputs[0].0)
    }

    fn stateful(&self) -> bool {
        self.stateful
    }

    fn watermarks_per_port(&self) -> bool {
        self.outputs.iter().any(|(_, input)| *input > 0)
    }

    fn input_of(&self, output: Port) -> Port {
        self.outputs.get(usize::from(output.0)).map_or(output, |(_, input)| Port(*input))
    }
}
