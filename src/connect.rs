//! Connectors for programs, by the options that SQL has for them.
//!
//! A source gives frames, a sink takes them: tables of one binary column,
//! `value`, in the format `raw_bytes`. Sources and sinks of rows have columns and a format like any table of SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use thalweg_dataflow::connector::{ConnectorTable, Declaration, SourceColumn};
use thalweg_dataflow::options::{OptionValue, Options};
use thalweg_dataflow::spec::{RowKind, SinkSpec, SourceSpec};
use thalweg_dataflow::{Code, Error, Result, columns as engine_columns};

pub use thalweg_sql::column;

use crate::engine::{StdoutTarget, connectors};
use crate::settings::Settings;

/// The column of frames.
const VALUE: &str = "value";

/// A source of frames, by options among which is `connector`.
pub fn source(name: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn SourceSpec>> {
    let table = declare(name, &mut of_frames(options)?, frames())?;
    if table.as_source().is_none() {
        return Err(wrong_role(options, "read"));
    }
    table.source(&[SourceColumn::whole(0)], &[])
}

/// A source of rows with these columns, by options among which are `connector` and `format`.
pub fn source_rows(
    name: &str,
    options: &BTreeMap<String, String>,
    columns: SchemaRef,
) -> Result<Arc<dyn SourceSpec>> {
    let whole: Vec<SourceColumn> = (0..columns.fields().len()).map(SourceColumn::whole).collect();
    let table = declare(name, &mut read(options), columns)?;
    if table.as_source().is_none() {
        return Err(wrong_role(options, "read"));
    }
    table.source(&whole, &[])
}

/// A sink of frames, by options among which is `connector`.
pub fn sink(name: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn SinkSpec>> {
    let table = declare(name, &mut of_frames(options)?, frames())?;
    if table.as_sink().is_none() {
        return Err(wrong_role(options, "written"));
    }
    table.sink(frames(), RowKind::Append)
}

/// A sink of rows with these columns, by options among which are `connector` and `format`. Columns of the
/// engine come along and are not written.
pub fn sink_rows(
    name: &str,
    options: &BTreeMap<String, String>,
    columns: SchemaRef,
) -> Result<Arc<dyn SinkSpec>> {
    let own = |field: &FieldRef| {
        [engine_columns::TIMESTAMP, engine_columns::ROW_WATERMARK].contains(&field.name().as_str())
    };
    let physical: Vec<FieldRef> = columns.fields().iter().filter(|field| !own(field)).cloned().collect();
    let table = declare(name, &mut read(options), Arc::new(Schema::new(physical)))?;
    if table.as_sink().is_none() {
        return Err(wrong_role(options, "written"));
    }
    table.sink(columns, RowKind::Append)
}

fn read(options: &BTreeMap<String, String>) -> Options {
    let given =
        options.iter().map(|(name, value)| (name.clone(), OptionValue { value: value.clone(), span: None }));
    Options::new(given)
}

/// The options of a table of frames.
fn of_frames(options: &BTreeMap<String, String>) -> Result<Options> {
    let mut options = read(options);
    if options.take_text("format").is_none_or(|format| format == "raw_bytes") {
        options.set("format", "raw_bytes");
        return Ok(options);
    }
    Err(Error::new(Code::InvalidOption, "a program reads and writes frames: the format is 'raw_bytes'")
        .with_help(
            "leave 'format' out, and let a decoder or encoder of the program do the rest, or write rows",
        ))
}

fn declare(name: &str, options: &mut Options, columns: SchemaRef) -> Result<Arc<dyn ConnectorTable>> {
    let wanted = options.require_text("connector")?;
    let all = connectors(&Settings::default(), &StdoutTarget::process());
    let Some(connector) = all.iter().find(|connector| connector.name() == wanted) else {
        let names: Vec<&str> = all.iter().map(|connector| connector.name()).collect();
        return Err(Error::new(Code::UnknownConnector, format!("there is no connector '{wanted}'"))
            .with_help(format!("the connectors are '{}'", names.join("', '"))));
    };
    connector.describe(Declaration { table: name, options, columns: Some(columns), primary_key: &[] })
}

fn frames() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Binary, false)]))
}

fn wrong_role(options: &BTreeMap<String, String>, role: &str) -> Error {
    let connector = options.get("connector").map_or("", String::as_str);
    Error::new(Code::WrongRole, format!("the connector '{connector}' cannot be {role}"))
}
