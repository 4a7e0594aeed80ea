//! Connectors that only describe themselves: enough to plan with.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, MetadataKey, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::sink::{Committer, NothingToCommit, SinkGuarantee};
use thalweg_dataflow::source::{Assignment, SourceGuarantee};
use thalweg_dataflow::spec::{PieceContext, RowKind};
use thalweg_dataflow::{Error, Result, Sink, SinkSpec, Source, SourceSpec, Spec};
use thalweg_sql::{Planner, PlannerSettings};

/// `file`: one split, read again after a crash, written exactly once. `wide`:
/// many splits, live, read at most once. `stdout`: written only. `counter`:
/// has columns of its own.
pub(crate) fn planner() -> Planner {
    Planner::new(["file", "wide", "stdout", "counter"].map(connector).into(), PlannerSettings::default())
}

/// One of the connectors.
pub(crate) fn connector(name: &'static str) -> Arc<dyn Connector> {
    let splits = ["file", "stdout"].contains(&name).then_some(1);
    Arc::new(Fake { name, splits })
}

struct Fake {
    name: &'static str,
    splits: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Source,
    Sink,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Json,
    Debezium,
}

#[derive(Clone, Debug)]
struct Table {
    connector: &'static str,
    splits: Option<u32>,
    role: Option<Role>,
    format: Format,
    columns: Option<SchemaRef>,
}

impl Connector for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let mut options = std::mem::take(declaration.options);
        let role = options.take_choice("type", &[("source", Role::Source), ("sink", Role::Sink)])?;
        let formats = [("json", Format::Json), ("debezium_json", Format::Debezium)];
        let format = options.take_choice("format", &formats)?.unwrap_or(Format::Json);
        if self.name == "file" {
            options.require_text("path")?;
        }
        options.finish(&format!("connector '{}'", self.name))?;
        let own = Schema::new(vec![
            Field::new("counter", DataType::UInt64, false),
            Field::new("subtask", DataType::UInt64, false),
        ]);
        let columns = match declaration.columns {
            None if self.name == "counter" => Some(Arc::new(own)),
            columns => columns,
        };
        Ok(Arc::new(Table { connector: self.name, splits: self.splits, role, format, columns }))
    }
}

impl ConnectorTable for Table {
    fn as_source(&self) -> Option<SourceDescription> {
        let readable = self.role != Some(Role::Sink) && self.connector != "stdout";
        let columns = self.columns.clone().filter(|_| readable)?;
        Some(SourceDescription {
            columns,
            metadata: vec![
                MetadataKey { key: "line", data_type: DataType::Int64 },
                MetadataKey { key: "time", data_type: DataType::Timestamp(TimeUnit::Nanosecond, None) },
            ],
            event_time: (self.connector == "wide").then_some("time"),
            rows: RowKind::Append,
            guarantee: guarantee(self.connector),
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        (self.role != Some(Role::Source) && self.connector != "counter").then(|| SinkDescription {
            columns: self.columns.clone(),
            changelog: match self.format {
                Format::Json => Err("format = 'debezium_json'".into()),
                Format::Debezium => Ok(()),
            },
            upsert: self.format == Format::Debezium,
            guarantee: SinkGuarantee::ExactlyOnce,
        })
    }

    fn source(
        &self,
        columns: &[SourceColumn],
        metadata: &[(String, &'static str)],
    ) -> Result<Arc<dyn SourceSpec>> {
        let physical = self.columns.as_ref().expect("a source has columns");
        let mut fields: Vec<Field> =
            columns.iter().map(|column| physical.field(column.index).clone()).collect();
        for (name, key) in metadata {
            let data_type = match *key {
                "line" => DataType::Int64,
                _ => DataType::Timestamp(TimeUnit::Nanosecond, None),
            };
            fields.push(Field::new(name, data_type, false));
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Arc::new(FakeSource { connector: self.connector, splits: self.splits, schema }))
    }

    fn sink(&self, schema: SchemaRef, rows: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Ok(Arc::new(FakeSink { connector: self.connector, splits: self.splits, schema, rows }))
    }
}

fn guarantee(connector: &str) -> SourceGuarantee {
    if connector == "wide" { SourceGuarantee::AtMostOnce } else { SourceGuarantee::Replays }
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
}

#[derive(Debug)]
struct FakeSource {
    connector: &'static str,
    splits: Option<u32>,
    schema: SchemaRef,
}

impl Spec for FakeSource {
    fn kind(&self) -> &'static str {
        self.connector
    }

    fn encode(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn label(&self) -> String {
        names(&self.schema)
    }
}

impl SourceSpec for FakeSource {
    fn build(&self, _: PieceContext) -> Result<Box<dyn Source>> {
        Err(Error::internal("a fake does not run"))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<Assignment>>> {
        Ok((0..parallelism).map(|_| Vec::new()).collect())
    }

    fn parallelism_max(&self) -> Option<u32> {
        self.splits
    }

    fn guarantee(&self) -> SourceGuarantee {
        guarantee(self.connector)
    }

    fn live(&self) -> bool {
        self.connector == "wide"
    }
}

#[derive(Debug)]
struct FakeSink {
    connector: &'static str,
    splits: Option<u32>,
    schema: SchemaRef,
    rows: RowKind,
}

impl Spec for FakeSink {
    fn kind(&self) -> &'static str {
        self.connector
    }

    fn encode(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn label(&self) -> String {
        names(&self.schema)
    }
}

impl SinkSpec for FakeSink {
    fn build(&self, _: PieceContext) -> Result<Box<dyn Sink>> {
        Err(Error::internal("a fake does not run"))
    }

    fn committer(&self) -> Arc<dyn Committer> {
        Arc::new(NothingToCommit)
    }

    fn accepts(&self, input: RowKind) -> bool {
        input == self.rows
    }

    fn parallelism_max(&self) -> Option<u32> {
        self.splits
    }

    fn guarantee(&self) -> SinkGuarantee {
        if self.connector == "stdout" { SinkGuarantee::AtLeastOnce } else { SinkGuarantee::ExactlyOnce }
    }
}
