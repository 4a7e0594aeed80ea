//! `connector = 'tcp'`.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, MetadataKey, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::options::Options;
use thalweg_dataflow::sink::SinkGuarantee;
use thalweg_dataflow::source::SourceGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};
use thalweg_formats::Format;
use thalweg_formats::framing::{Framing, LengthBytes};

use super::check_address;
use super::link::Retry;
use super::listening::Receiving;
use super::sink::TcpSinkSpec;
use super::source::TcpSourceSpec;
use crate::format_options::{
    BadData, Defaults, Role, finish, own_columns, refused, take_bad_data, take_format_or_json, take_role,
};
use crate::row_writer::{Writing, changelog_support};

/// Peers at once, unless an option says otherwise.
pub(super) const CONNECTIONS_MAX: usize = 1024;

/// The longest line, unless an option says otherwise.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The longest record behind a length, unless an option says otherwise.
const FRAME_BYTES_MAX: usize = 1 << 24;

/// No record may be longer than this, whatever the options: a whole block must be addressable.
pub(super) const RECORD_BYTES_LIMIT: u64 = 1 << 30;

const PEER: &str = "peer";

/// The limit on a record where none is given.
pub(super) fn default_bytes_max(framing: Framing) -> usize {
    match framing {
        Framing::Newline => LINE_BYTES_MAX,
        Framing::Length(_) => FRAME_BYTES_MAX,
    }
}

/// The connector.
pub(crate) struct Tcp {
    pub(crate) defaults: Defaults,
}

impl Connector for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let options = declaration.options;
        let role = take_role(options, &[("source", Role::Source), ("sink", Role::Sink)])?;
        let address = options.take_text("address");
        let format = take_format_or_json(options)?;
        let framing = take_framing(options)?;
        let receiving = take_receiving(options, framing)?;
        let bad_data = take_bad_data(options, self.defaults)?;
        let retry = take_retry(options)?;
        finish(options, self.name())?;
        let address = address.ok_or_else(|| {
            Error::new(Code::InvalidOption, "option 'address' is missing")
                .with_help("add address = 'HOST:PORT' to the WITH clause")
        })?;
        check_address(&address)?;
        let upsert = !declaration.primary_key.is_empty() && format.writes_changelog();
        let columns = declaration.columns;
        let table = TcpTable { address, role, format, framing, receiving, bad_data, retry, columns, upsert };
        if role == Some(Role::Source) {
            table.readable()?;
        }
        Ok(Arc::new(table))
    }
}

#[derive(Clone, Copy)]
enum FramingName {
    Newline,
    Length,
    None,
}

/// Takes how records are told apart; none: they are not.
fn take_framing(options: &mut Options) -> Result<Option<Framing>> {
    let names =
        [("newline", FramingName::Newline), ("length", FramingName::Length), ("none", FramingName::None)];
    let name = options.take_choice("framing", &names)?.unwrap_or(FramingName::Newline);
    let widths = [
        ("1", LengthBytes::One),
        ("2", LengthBytes::Two),
        ("4", LengthBytes::Four),
        ("8", LengthBytes::Eight),
    ];
    let width = options.take_choice("framing.length_bytes", &widths)?;
    match (name, width) {
        (FramingName::Length, width) => Ok(Some(Framing::Length(width.unwrap_or(LengthBytes::Four)))),
        (FramingName::Newline | FramingName::None, Some(_)) => {
            let what = "option 'framing.length_bytes' has no meaning here";
            Err(Error::new(Code::InvalidOption, what).with_help("add framing = 'length'"))
        }
        (FramingName::Newline, None) => Ok(Some(Framing::Newline)),
        (FramingName::None, None) => Ok(None),
    }
}

/// Takes what only a source needs. None where the framing cannot be read.
fn take_receiving(options: &mut Options, framing: Option<Framing>) -> Result<Option<Receiving>> {
    let bytes_max = options.take_integer("framing.max_bytes", 1)?;
    if let Some(bytes_max) = bytes_max.filter(|&bytes_max| bytes_max > RECORD_BYTES_LIMIT) {
        let what = format!("option 'framing.max_bytes' is {bytes_max}, which is too large");
        let help = format!("a record has at most {RECORD_BYTES_LIMIT} bytes");
        return Err(Error::new(Code::InvalidOption, what).with_help(help));
    }
    let connections_max = options.take_integer("max_connections", 1)?;
    let idle_timeout = options.take_duration("idle_timeout")?;
    let connections_max =
        connections_max.map_or(CONNECTIONS_MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    Ok(framing.map(|framing| {
        let record_bytes_max = bytes_max.map_or(default_bytes_max(framing), |bytes_max| bytes_max as usize);
        let held_bytes_max = Receiving::default_held_bytes_max(record_bytes_max);
        Receiving { framing, record_bytes_max, held_bytes_max, connections_max, idle_timeout }
    }))
}

fn take_retry(options: &mut Options) -> Result<Retry> {
    let default = Retry::default();
    let initial = options.take_duration("retry.initial")?.unwrap_or(default.initial);
    let max = options.take_duration("retry.max")?.unwrap_or(default.max.max(initial));
    if initial.is_zero() || initial > max {
        return Err(Error::new(Code::InvalidOption, "option 'retry.initial' is zero or above 'retry.max'")
            .with_help("begin with '50ms', say, and go up to '2s'"));
    }
    Ok(Retry { initial, max })
}

#[derive(Debug)]
struct TcpTable {
    address: String,
    /// None: it can be either.
    role: Option<Role>,
    format: Format,
    /// None: records are not told apart.
    framing: Option<Framing>,
    receiving: Option<Receiving>,
    bad_data: BadData,
    retry: Retry,
    columns: Option<SchemaRef>,
    upsert: bool,
}

impl TcpTable {
    /// The columns that can be read, and how.
    fn readable(&self) -> Result<(SchemaRef, &Receiving)> {
        if self.role == Some(Role::Sink) {
            return Err(Error::new(Code::WrongRole, "a table of type 'sink' cannot be read"));
        }
        let receiving = self.receiving.as_ref().ok_or_else(|| {
            Error::new(Code::InvalidOption, "what is written with framing = 'none' cannot be read")
                .with_help("use framing = 'newline' or 'length'")
        })?;
        let columns = self.columns.clone().or_else(|| own_columns(&self.format)).ok_or_else(|| {
            Error::new(Code::InvalidColumn, "a listener needs columns")
                .with_help("declare the columns between the table's name and WITH")
        })?;
        self.format.check_readable(&columns).map_err(refused)?;
        Ok((columns, receiving))
    }
}

impl ConnectorTable for TcpTable {
    fn as_source(&self) -> Option<SourceDescription> {
        Some(SourceDescription {
            columns: self.readable().ok()?.0,
            metadata: vec![MetadataKey { key: PEER, data_type: DataType::Utf8 }],
            event_time: None,
            rows: RowKind::Append,
            guarantee: SourceGuarantee::AtMostOnce,
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        (self.role != Some(Role::Source)).then(|| SinkDescription {
            columns: self.columns.clone(),
            changelog: changelog_support(&self.format),
            upsert: self.upsert,
            guarantee: SinkGuarantee::AtLeastOnce,
        })
    }

    fn source(
        &self,
        columns: &[SourceColumn],
        metadata: &[(String, &'static str)],
    ) -> Result<Arc<dyn SourceSpec>> {
        let (schema, receiving) = self.readable()?;
        let columns = SourceColumn::project(columns, &schema)?;
        let peer = |(name, key): &(String, &'static str)| match *key {
            PEER => Ok(name.clone()),
            other => Err(Error::internal(format!("no metadata '{other}'"))),
        };
        Ok(Arc::new(TcpSourceSpec {
            address: self.address.clone(),
            receiving: receiving.clone(),
            format: self.format.clone(),
            bad_data: self.bad_data,
            columns,
            peers: metadata.iter().map(peer).collect::<Result<_>>()?,
            bound: None,
        }))
    }

    fn sink(&self, schema: SchemaRef, rows: RowKind) -> Result<Arc<dyn SinkSpec>> {
        if self.role == Some(Role::Source) {
            return Err(Error::new(Code::WrongRole, "a table of type 'source' cannot be written"));
        }
        Ok(Arc::new(TcpSinkSpec {
            address: self.address.clone(),
            framing: self.framing,
            retry: self.retry,
            writing: Writing::try_new(self.format.clone(), &schema, rows)?,
        }))
    }
}
