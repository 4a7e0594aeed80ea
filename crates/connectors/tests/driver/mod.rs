//! Drives sources and sinks as a runtime would, on one thread.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod moto;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_connectors::{Defaults, StdoutTarget, connectors, register};
use thalweg_dataflow::connector::{ConnectorTable, Declaration};
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::options::{OptionValue, Options};
use thalweg_dataflow::source::{Assignment, RowsMax};
use thalweg_dataflow::spec::PieceContext;
use thalweg_dataflow::{ProcessingTime, Registry, Result, SinkSpec, Source, SourceEvent, SourceSpec};
use thalweg_formats::{Format, JsonOptions};
use thalweg_state::{KeySpace, Subtask};

/// What the clock of every test says.
pub(crate) const NOW: i64 = 1_700_000_000_000_000_000;

pub(crate) fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(
        fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>(),
    ))
}

/// Declares a table.
pub(crate) fn declare(
    connector: &str,
    options: &[(&str, &str)],
    columns: Option<SchemaRef>,
) -> Result<Arc<dyn ConnectorTable>> {
    declare_with(connector, options, columns, &[], &StdoutTarget::process())
}

pub(crate) fn declare_with(
    connector: &str,
    options: &[(&str, &str)],
    columns: Option<SchemaRef>,
    primary_key: &[String],
    target: &StdoutTarget,
) -> Result<Arc<dyn ConnectorTable>> {
    declare_as("t", connector, options, columns, primary_key, target)
}

/// Declares a table of this name, without columns.
pub(crate) fn declare_named(
    table: &str,
    connector: &str,
    options: &[(&str, &str)],
) -> Result<Arc<dyn ConnectorTable>> {
    declare_as(table, connector, options, None, &[], &StdoutTarget::process())
}

fn declare_as(
    table: &str,
    connector: &str,
    options: &[(&str, &str)],
    columns: Option<SchemaRef>,
    primary_key: &[String],
    target: &StdoutTarget,
) -> Result<Arc<dyn ConnectorTable>> {
    let value = |value: &str| OptionValue { value: value.into(), span: None };
    let mut options = Options::new(options.iter().map(|(name, text)| (name.to_string(), value(text))));
    let all = connectors(Defaults::default(), target);
    let connector = all.iter().find(|c| c.name() == connector).expect("a connector of this name");
    connector.describe(Declaration { table, options: &mut options, columns, primary_key })
}

/// A context, and where the piece counts.
pub(crate) fn context(batch_rows_max: usize) -> PieceContext {
    PieceContext {
        job: thalweg_state::JobId::new("test"),
        incarnation: thalweg_state::Incarnation(1),
        counters: Arc::new(OperatorCounters::default()),
        settings: Settings {
            subtask: Subtask(0),
            parallelism: 1,
            batch_rows_max,
            key_space: KeySpace::default(),
        },
        rows_max: RowsMax::new(batch_rows_max),
        clock: Arc::new(|| ProcessingTime(NOW)),
        fresh: true,
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    register(&mut registry);
    registry
}

/// The same spec after a journey as bytes.
pub(crate) fn travelled_source(spec: &Arc<dyn SourceSpec>) -> Arc<dyn SourceSpec> {
    registry().source(spec.kind(), &spec.encode().unwrap()).unwrap()
}

/// The same spec after a journey as bytes.
pub(crate) fn travelled_sink(spec: &Arc<dyn SinkSpec>) -> Arc<dyn SinkSpec> {
    registry().sink(spec.kind(), &spec.encode().unwrap()).unwrap()
}

/// Each row as JSON.
pub(crate) fn rows(records: &RecordBatch) -> Vec<String> {
    let mut out = Vec::new();
    let mut encoder = Format::Json(JsonOptions::default()).encoder(&records.schema()).unwrap();
    encoder.encode(records, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(String::from).collect()
}

/// Opens a source with all splits that a single subtask would read, or with these.
pub(crate) async fn open(
    spec: &Arc<dyn SourceSpec>,
    cx: &PieceContext,
    splits: Option<Vec<Assignment>>,
) -> Result<Box<dyn Source>> {
    let mut source = spec.build(cx.clone())?;
    let splits = splits.unwrap_or_else(|| spec.splits(1).unwrap().remove(0));
    source.open(splits).await?;
    Ok(source)
}

/// Everything up to the end, as JSON rows.
pub(crate) async fn drain(source: &mut dyn Source) -> Result<Vec<String>> {
    let mut all = Vec::new();
    loop {
        match source.next().await? {
            SourceEvent::Rows { records, .. } => all.extend(rows(&records)),
            SourceEvent::SplitEnd { .. } | SourceEvent::Idle { .. } | SourceEvent::Watermark { .. } => {}
            SourceEvent::End => return Ok(all),
        }
    }
}

/// Reads everything at one batch size.
pub(crate) async fn read_all(spec: &Arc<dyn SourceSpec>, cx: &PieceContext) -> Result<Vec<String>> {
    drain(&mut *open(spec, cx, None).await?).await
}
