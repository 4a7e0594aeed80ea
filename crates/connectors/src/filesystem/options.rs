//! `connector = 'filesystem'`.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::options::Options;
use thalweg_dataflow::sink::SinkGuarantee;
use thalweg_dataflow::source::SourceGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};

use super::encoding::{FileWriting, ParquetOptions};
use super::location::Location;
use super::rows::FileReading;
use super::sink::{FilesSinkSpec, SinkOptions};
use super::source::FilesSpec;
use super::store::Selection;
use super::watch::WatchSpec;
use crate::format_options::{
    Defaults, Reading, Role, finish, own_columns, refused, take_format, take_reading, take_role,
};
use crate::lines::{LineReading, metadata_keys};
use crate::row_writer::{Writing, changelog_support};

/// From one look at a watched place to the next, unless `source.poll_interval` says otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The connector.
pub(crate) struct Filesystem {
    pub(crate) defaults: Defaults,
}

/// How the bytes of files are to be understood.
#[derive(Clone, Debug)]
enum FileFormat {
    Lines(Reading),
    Parquet(ParquetOptions),
}

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let options = declaration.options;
        let location = Location::take(options)?;
        let role = take_role(options, &[("source", Role::Source), ("sink", Role::Sink)])?;
        let pattern = options.take_text("source.regex_pattern");
        let watch = options.take_bool("source.watch")?.unwrap_or(false);
        let poll_interval = options.take_duration("source.poll_interval")?.unwrap_or(POLL_INTERVAL);
        // Arroyo's other choices are not to be had yet; a script that says 'none' may.
        options.take_choice("source.compression", &[("none", ())])?;
        let format = self.take_format(options)?;
        let writing = SinkOptions::take(options)?;
        finish(options, self.name())?;
        let selection = Selection { location, pattern };
        selection.check()?;
        let table = FilesTable {
            name: declaration.table.to_owned(),
            role,
            selection,
            writing,
            upsert: !declaration.primary_key.is_empty() && format.writes_changelog(),
            poll_interval: watch.then_some(poll_interval),
            format,
            columns: declaration.columns,
        };
        if role == Some(Role::Source) {
            table.readable()?;
        }
        Ok(Arc::new(table))
    }
}

impl Filesystem {
    fn take_format(&self, options: &mut Options) -> Result<FileFormat> {
        match options.take_text("format") {
            Some(name) if name.eq_ignore_ascii_case("parquet") => {
                Ok(FileFormat::Parquet(ParquetOptions::take(options)?))
            }
            Some(name) => {
                options.set("format", &name);
                let format = take_format(options)?.ok_or_else(format_missing)?;
                Ok(FileFormat::Lines(take_reading(options, format, self.defaults)?))
            }
            None => Err(format_missing()),
        }
    }
}

impl FileFormat {
    fn writes_changelog(&self) -> bool {
        match self {
            FileFormat::Lines(reading) => reading.format.writes_changelog(),
            FileFormat::Parquet(_) => false,
        }
    }
}

fn format_missing() -> Error {
    Error::new(Code::InvalidOption, "option 'format' is missing").with_help(
        "add format = 'json', 'parquet', 'debezium_json', 'raw_string' or 'raw_bytes' to the WITH clause",
    )
}

#[derive(Debug)]
struct FilesTable {
    name: String,
    /// None: it can be either.
    role: Option<Role>,
    selection: Selection,
    /// None: what is there is all there is.
    poll_interval: Option<Duration>,
    format: FileFormat,
    columns: Option<SchemaRef>,
    writing: SinkOptions,
    upsert: bool,
}

impl FilesTable {
    /// The columns that can be read.
    fn readable(&self) -> Result<SchemaRef> {
        if self.role == Some(Role::Sink) {
            return Err(Error::new(Code::WrongRole, "a table of type 'sink' cannot be read"));
        }
        let own = match &self.format {
            FileFormat::Lines(reading) => own_columns(&reading.format),
            FileFormat::Parquet(_) => None,
        };
        let columns = self.columns.clone().or(own).ok_or_else(|| {
            Error::new(Code::InvalidColumn, "files to be read need columns")
                .with_help("declare the columns between the table's name and WITH")
        })?;
        if let FileFormat::Lines(reading) = &self.format {
            reading.format.check_readable(&columns).map_err(refused)?;
        }
        Ok(columns)
    }
}

impl FilesTable {
    /// Checks that files can be written here.
    fn writable(&self) -> Result<()> {
        if self.role == Some(Role::Source) {
            return Err(Error::new(Code::WrongRole, "a table of type 'source' cannot be written"));
        }
        if self.selection.location.begins.is_some() {
            let what = "option 'path' of files to be written must name a folder, without '*'";
            return Err(Error::new(Code::InvalidOption, what).with_help("add filename.prefix = '…' instead"));
        }
        Ok(())
    }
}

impl ConnectorTable for FilesTable {
    fn as_source(&self) -> Option<SourceDescription> {
        let metadata = match &self.format {
            FileFormat::Lines(_) => metadata_keys(),
            FileFormat::Parquet(_) => Vec::new(),
        };
        Some(SourceDescription {
            columns: self.readable().ok()?,
            metadata,
            event_time: None,
            rows: RowKind::Append,
            guarantee: SourceGuarantee::Replays,
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        self.writable().ok()?;
        let changelog = match &self.format {
            FileFormat::Lines(reading) => changelog_support(&reading.format),
            FileFormat::Parquet(_) => Err("format = 'debezium_json'".into()),
        };
        Some(SinkDescription {
            columns: self.columns.clone(),
            changelog,
            upsert: self.upsert,
            guarantee: SinkGuarantee::ExactlyOnce,
        })
    }

    fn source(
        &self,
        columns: &[SourceColumn],
        metadata: &[(String, &'static str)],
    ) -> Result<Arc<dyn SourceSpec>> {
        let schema = SourceColumn::project(columns, self.readable()?.as_ref())?;
        let reading = match &self.format {
            FileFormat::Lines(reading) => {
                FileReading::Lines(LineReading::try_new(reading.clone(), schema, metadata)?)
            }
            FileFormat::Parquet(_) => FileReading::Parquet(schema),
        };
        let selection = self.selection.clone();
        Ok(match self.poll_interval {
            Some(poll_interval) => Arc::new(WatchSpec { selection, reading, poll_interval }),
            None => Arc::new(FilesSpec { selection, reading }),
        })
    }

    fn sink(&self, schema: SchemaRef, rows: RowKind) -> Result<Arc<dyn SinkSpec>> {
        self.writable()?;
        self.writing.partitioning.check(&schema)?;
        let writing = match &self.format {
            FileFormat::Lines(reading) => {
                FileWriting::Lines(Writing::try_new(reading.format.clone(), &schema, rows)?)
            }
            FileFormat::Parquet(options) => FileWriting::parquet(*options, &schema, rows)?,
        };
        Ok(Arc::new(FilesSinkSpec {
            table: self.name.clone(),
            location: self.selection.location.clone(),
            writing,
            options: self.writing.clone(),
        }))
    }
}
