//! Rows of several inputs as one stream, in the order in which they come.
//!
//! The merging of watermarks and barriers is the runtime's; here rows only
//! pass. The planner has made all inputs of one schema.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Batch, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step};

use crate::spec;

/// A union as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Union {
    schema: SchemaRef,
    inputs: u16,
}

impl Union {
    /// The name in the registry.
    pub const KIND: &'static str = "union";

    /// All rows of `inputs` inputs, each of `schema`.
    pub fn new(schema: SchemaRef, inputs: u16) -> Self {
        Self { schema, inputs }
    }
}

impl Spec for Union {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn label(&self) -> String {
        format!("{} inputs", self.inputs)
    }
}

impl OperatorSpec for Union {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(UnionOperator { schema: SchemaRef::clone(&self.schema) }))
    }

    fn output_schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn accepts(&self, input: RowKind) -> bool {
        match input {
            RowKind::Append | RowKind::Changelog => true,
        }
    }
}

struct UnionOperator {
    schema: SchemaRef,
}

impl Operator for UnionOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        cx.counters.taken.add(batch.rows());
        // Inputs may name their columns differently, or say less of nulls.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let schema = SchemaRef::clone(&self.schema);
        let records = RecordBatch::try_new_with_options(schema, batch.records.columns().to_vec(), &options)
            .map_err(|e| Error::internal("the inputs of a union differ").because(e))?;
        cx.emit(Port::MAIN, records);
        Ok(Step::Done)
    }
}

#[cfg(test)]
mod tests {
    use thalweg_testkit::at_every_batch_size;

    use super::*;
    use crate::testing::schema;

    #[test]
    fn rows_pass_from_every_input_under_one_schema() {
        let spec = Union::new(schema("a:int? b:text"), 2);
        let stream = "columns a:int? b:text\n1 x\nnull y\nin 1\ncolumns c:int d:text\n3 z\nwm 4";
        assert_eq!(at_every_batch_size(&spec, stream).unwrap(), "1 x\nnull y\n3 z\nwm 4\n");
    }
}
