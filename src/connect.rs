//! Connectors for programs, by the options that SQL has for them.
//!
//! A source gives frames, a sink takes them: tables of one binary column,
//! `value`, whose format is `raw_bytes` unless the options name another.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_dataflow::connector::{ConnectorTable, Declaration, SourceColumn};
use thalweg_dataflow::options::{OptionValue, Options};
use thalweg_dataflow::spec::{RowKind, SinkSpec, SourceSpec};
use thalweg_dataflow::{Code, Error, Result};

use crate::engine::{StdoutTarget, connectors};
use crate::settings::Settings;

/// The column of frames.
const VALUE: &str = "value";

/// A source of frames, by options among which is `connector`.
pub fn source(name: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn SourceSpec>> {
    let table = declare(name, options)?;
    if table.as_source().is_none() {
        return Err(wrong_role(options, "read"));
    }
    table.source(&[SourceColumn::whole(0)], &[])
}

/// A sink of frames, by options among which is `connector`.
pub fn sink(name: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn SinkSpec>> {
    let table = declare(name, options)?;
    if table.as_sink().is_none() {
        return Err(wrong_role(options, "written"));
    }
    table.sink(frames(), RowKind::Append)
}

fn declare(name: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn ConnectorTable>> {
    let given =
        options.iter().map(|(name, value)| (name.clone(), OptionValue { value: value.clone(), span: None }));
    let mut options = Options::new(given);
    let wanted = options.require_text("connector")?;
    let all = connectors(&Settings::default(), &StdoutTarget::process());
    let Some(connector) = all.iter().find(|connector| connector.name() == wanted) else {
        let names: Vec<&str> = all.iter().map(|connector| connector.name()).collect();
        return Err(Error::new(Code::UnknownConnector, format!("there is no connector '{wanted}'"))
            .with_help(format!("the connectors are '{}'", names.join("', '"))));
    };
    if options.take_text("format").is_none_or(|format| format == "raw_bytes") {
        options.set("format", "raw_bytes");
    } else {
        return Err(Error::new(
            Code::InvalidOption,
            "a program reads and writes frames: the format is 'raw_bytes'",
        )
        .with_help("leave 'format' out, and let a decoder or encoder of the program do the rest"));
    }
    connector.describe(Declaration {
        table: name,
        options: &mut options,
        columns: Some(frames()),
        primary_key: &[],
    })
}

fn frames() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Binary, false)]))
}

fn wrong_role(options: &BTreeMap<String, String>, role: &str) -> Error {
    let connector = options.get("connector").map_or("", String::as_str);
    Error::new(Code::WrongRole, format!("the connector '{connector}' cannot be {role}"))
}
