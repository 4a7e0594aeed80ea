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

const CONNECTOR: &str = "connector";
const FORMAT: &str = "format";

/// A source of frames, by options among which is `connector`.
pub fn source(name: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn SourceSpec>> {
    let mut own = of_frames(options)?;
    let table = declare(name, &mut own, options, "source", frames()).map_err(|error| {
        match error.code() == Code::UnknownOption && !own.knows(FORMAT) {
            true => gives_rows(options),
            false => error,
        }
    })?;
    read_from(&*table, &[SourceColumn::whole(0)], options)
}

/// A source of rows with these columns, by options among which are `connector` and `format`.
pub fn source_rows(
    name: &str,
    options: &BTreeMap<String, String>,
    columns: SchemaRef,
) -> Result<Arc<dyn SourceSpec>> {
    let whole: Vec<SourceColumn> = (0..columns.fields().len()).map(SourceColumn::whole).collect();
    let table = declare(name, &mut read(options), options, "source", columns)?;
    read_from(&*table, &whole, options)
}

/// A sink of frames, by options among which is `connector`.
pub fn sink(name: &str, options: &BTreeMap<String, String>) -> Result<Arc<dyn SinkSpec>> {
    let table = declare(name, &mut of_frames(options)?, options, "sink", frames())?;
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
    let table = declare(name, &mut read(options), options, "sink", Arc::new(Schema::new(physical)))?;
    if table.as_sink().is_none() {
        return Err(wrong_role(options, "written"));
    }
    table.sink(columns, RowKind::Append)
}

fn read_from(
    table: &dyn ConnectorTable,
    columns: &[SourceColumn],
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn SourceSpec>> {
    // A table that cannot be read says best itself why.
    let spec = table.source(columns, &[])?;
    if table.as_source().is_none() {
        return Err(wrong_role(options, "read"));
    }
    Ok(spec)
}

/// The options, less `connector`.
fn read(options: &BTreeMap<String, String>) -> Options {
    let own = options.iter().filter(|(name, _)| *name != CONNECTOR);
    let given = own.map(|(name, value)| (name.clone(), OptionValue { value: value.clone(), span: None }));
    Options::new(given)
}

/// The options of a table of frames.
fn of_frames(options: &BTreeMap<String, String>) -> Result<Options> {
    if options.get(FORMAT).is_none_or(|format| format == "raw_bytes") {
        let mut own = read(options);
        own.set(FORMAT, "raw_bytes");
        return Ok(own);
    }
    Err(Error::new(Code::InvalidOption, "a program reads and writes frames: the format is 'raw_bytes'")
        .with_help(
            "leave 'format' out, and let a decoder or encoder of the program do the rest, or write rows",
        ))
}

fn read_connector(options: &BTreeMap<String, String>) -> Result<&String> {
    options.get(CONNECTOR).ok_or_else(|| {
        Error::new(Code::InvalidOption, "option 'connector' is missing")
            .with_help("say which it is, as in connector = 'single_file'")
    })
}

/// A table whose role is known: a program writes no `type`, or the right one.
fn declare(
    name: &str,
    own: &mut Options,
    options: &BTreeMap<String, String>,
    role: &str,
    columns: SchemaRef,
) -> Result<Arc<dyn ConnectorTable>> {
    let wanted = read_connector(options)?;
    if let Some(other) =
        options.get("type").filter(|given| ["source", "sink"].contains(&given.as_str()) && *given != role)
    {
        return Err(Error::new(
            Code::InvalidOption,
            format!("option 'type' is '{other}', and this is a {role}"),
        )
        .with_help("leave 'type' out: the program says it already"));
    }
    let all = connectors(&Settings::default(), &StdoutTarget::process());
    let Some(connector) = all.iter().find(|connector| connector.name() == wanted) else {
        let names: Vec<&str> = all.iter().map(|connector| connector.name()).collect();
        return Err(Error::new(Code::UnknownConnector, format!("there is no connector '{wanted}'"))
            .with_help(format!("the connectors are '{}'", names.join("', '"))));
    };
    connector.describe(Declaration { table: name, options: own, columns: Some(columns), primary_key: &[] })
}

fn frames() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(VALUE, DataType::Binary, false)]))
}

/// A connector without a format makes its rows itself.
fn gives_rows(options: &BTreeMap<String, String>) -> Error {
    let connector = options.get(CONNECTOR).map_or("", String::as_str);
    Error::new(Code::WrongRole, format!("the connector '{connector}' gives rows, and bytes are asked for"))
        .with_help(
            "read it as rows, with no decoder: with 'table' of the application in Python, in SQL as a table",
        )
}

fn wrong_role(options: &BTreeMap<String, String>, role: &str) -> Error {
    let connector = options.get(CONNECTOR).map_or("", String::as_str);
    Error::new(Code::WrongRole, format!("the connector '{connector}' cannot be {role}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_is_wrong_with_a_source_is_told_as_it_is() {
        let impulse = [("connector", "impulse"), ("event_rate", "1")];
        let file = [("connector", "single_file"), ("path", "x")];
        let folder = [("connector", "filesystem"), ("path", "x"), ("watch", "true")];
        for (pairs, code, what, help) in [
            (&impulse[..], Code::WrongRole, "'impulse' gives rows, and bytes are asked for", "as rows"),
            (&impulse[..1], Code::WrongRole, "'impulse' gives rows, and bytes are asked for", "as rows"),
            (&[file[0], file[1], ("type", "sink")], Code::InvalidOption, "option 'type' is 'sink'", "leave"),
            (
                &[file[0], file[1], ("pth", "x")],
                Code::UnknownOption,
                "no option 'pth'",
                "did you mean 'path'",
            ),
            (&folder, Code::UnknownOption, "no option 'watch'", "did you mean 'source.watch'?"),
            (&[("connector", "stdout")], Code::WrongRole, "can only be written", ""),
            (&[], Code::InvalidOption, "option 'connector' is missing", "single_file"),
        ] {
            let error = source("in", &options(pairs)).map(|_| ()).expect_err("it is wrong");
            assert_eq!(error.code(), code, "{pairs:?}: {error}");
            assert!(error.what().contains(what), "{pairs:?}: {error}");
            assert!(error.help().unwrap_or_default().contains(help), "{pairs:?}: {error:?}");
        }
        let written = sink("out", &options(&[file[0], file[1], ("type", "source")])).map(|_| ());
        assert_eq!(written.expect_err("it is wrong").code(), Code::InvalidOption);
        assert!(source("in", &options(&[file[0], file[1], ("type", "source")])).is_ok());
    }
}
