//! `connector = 'impulse'`.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, MetadataKey, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::options::{Options, parse_duration};
use thalweg_dataflow::source::SourceGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};

use super::source::{Column, ImpulseSpec, Pace};
use crate::format_options::{Role, finish, take_role};

/// The event time of a row.
pub(super) const TIMESTAMP: &str = "timestamp";

/// The type of [`TIMESTAMP`].
pub(super) const TIMESTAMP_TYPE: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// All columns that there are.
static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name| Field::new(name, DataType::UInt64, false);
    Arc::new(Schema::new(vec![field("counter"), field("subtask_index")]))
});

/// The connector.
pub(crate) struct Impulse;

impl Connector for Impulse {
    fn name(&self) -> &'static str {
        "impulse"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let options = declaration.options;
        take_role(options, &[("source", Role::Source)])?;
        let rate = options.take_rate("event_rate")?;
        let interval = take_interval(options)?;
        let count = options.take_integer("message_count", 0)?;
        finish(options, self.name())?;
        let rate = rate.ok_or_else(|| {
            Error::new(Code::InvalidOption, "option 'event_rate' is missing")
                .with_help("add event_rate = '…', the number of rows per second, to the WITH clause")
        })?;
        let columns = match declaration.columns {
            Some(declared) => check_columns(declared)?,
            None => COLUMNS.clone(),
        };
        Ok(Arc::new(ImpulseTable { columns, pace: Pace { rate, interval, count } }))
    }
}

/// Takes `event_time_interval`: a duration, or a number of nanoseconds.
fn take_interval(options: &mut Options) -> Result<Option<Duration>> {
    let Some(given) = options.take("event_time_interval") else { return Ok(None) };
    let text = given.value.trim();
    let interval = text.parse().ok().map(Duration::from_nanos).or_else(|| parse_duration(text));
    interval.map(Some).ok_or_else(|| {
        let what = format!("option 'event_time_interval' is '{text}', which is no duration");
        let error = Error::new(Code::InvalidOption, what)
            .with_help("write '10ms', '1s', or a whole number of nanoseconds");
        match given.span {
            Some(span) => error.at(span),
            None => error,
        }
    })
}

/// Declared columns are some of those that there are.
fn check_columns(declared: SchemaRef) -> Result<SchemaRef> {
    for field in declared.fields() {
        let known = COLUMNS.field_with_name(field.name()).is_ok_and(|k| k.data_type() == field.data_type());
        if !known {
            let what = format!("connector 'impulse' has no column '{}' of this type", field.name());
            let help = "declare none, or 'counter BIGINT UNSIGNED' and 'subtask_index BIGINT UNSIGNED'";
            return Err(Error::new(Code::InvalidColumn, what).with_help(help));
        }
    }
    Ok(declared)
}

#[derive(Debug)]
struct ImpulseTable {
    columns: SchemaRef,
    pace: Pace,
}

impl ConnectorTable for ImpulseTable {
    fn as_source(&self) -> Option<SourceDescription> {
        Some(SourceDescription {
            columns: self.columns.clone(),
            metadata: vec![MetadataKey { key: TIMESTAMP, data_type: TIMESTAMP_TYPE }],
            event_time: Some(TIMESTAMP),
            rows: RowKind::Append,
            guarantee: SourceGuarantee::Replays,
        })
    }

    fn as_sink(&self) -> Option<SinkDescription> {
        None
    }

    fn source(
        &self,
        columns: &[SourceColumn],
        metadata: &[(String, &'static str)],
    ) -> Result<Arc<dyn SourceSpec>> {
        let physical = columns.iter().map(|column| {
            let field = self.columns.field(column.index);
            let column = if field.name() == "counter" { Column::Counter } else { Column::SubtaskIndex };
            (field.clone(), column)
        });
        let metadata =
            metadata.iter().map(|(name, _)| (Field::new(name, TIMESTAMP_TYPE, false), Column::Timestamp));
        let (fields, columns): (Vec<_>, Vec<_>) = physical.chain(metadata).unzip();
        Ok(Arc::new(ImpulseSpec { schema: Schema::new(fields), columns, pace: self.pace.clone() }))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Err(Error::new(Code::WrongRole, "connector 'impulse' can only be read"))
    }
}
