//! Sources and sinks that only a driver has: for programs in tests and examples.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_dataflow::sink::{Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::source::{Assignment, SourceGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Error, Result, Sink, SinkSpec, Source, SourceSpec, Spec};

use crate::columns::{Record, Table, VALUE};

/// A source whose frames a driver gives.
pub fn frames() -> Arc<dyn SourceSpec> {
    Arc::new(ByHand { schema: Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Binary, false)])) })
}

/// A source whose records a driver gives, with the columns of `T`.
pub fn records<T: Record>() -> Arc<dyn SourceSpec> {
    Arc::new(ByHand { schema: Arc::new(Schema::new(Table::<T>::find().fields())) })
}

/// A source whose rows a driver gives, with these columns.
pub fn table(schema: SchemaRef) -> Arc<dyn SourceSpec> {
    Arc::new(ByHand { schema })
}

/// A sink whose output a driver keeps.
pub fn kept() -> Arc<dyn SinkSpec> {
    Arc::new(ByHand { schema: Arc::new(Schema::empty()) })
}

#[derive(Debug)]
struct ByHand {
    schema: SchemaRef,
}

impl ByHand {
    fn refuse<T>(&self) -> Result<T> {
        Err(super::wrong("what is given and kept by hand runs under a driver only".to_owned()))
    }
}

impl Spec for ByHand {
    fn kind(&self) -> &'static str {
        "by-hand"
    }

    fn encode(&self) -> Result<Vec<u8>> {
        self.refuse()
    }

    fn label(&self) -> String {
        "by hand".to_owned()
    }
}

impl SourceSpec for ByHand {
    fn build(&self, _: PieceContext) -> Result<Box<dyn Source>> {
        self.refuse()
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self, _: u32) -> Result<Vec<Vec<Assignment>>, Error> {
        self.refuse()
    }

    fn parallelism_max(&self) -> Option<u32> {
        Some(1)
    }

    fn guarantee(&self) -> SourceGuarantee {
        SourceGuarantee::AtMostOnce
    }

    fn live(&self) -> bool {
        false
    }
}

impl SinkSpec for ByHand {
    fn build(&self, _: PieceContext) -> Result<Box<dyn Sink>> {
        self.refuse()
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, input: RowKind) -> bool {
        match input {
            RowKind::Append | RowKind::Changelog => true,
        }
    }

    fn parallelism_max(&self) -> Option<u32> {
        None
    }

    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }
}
