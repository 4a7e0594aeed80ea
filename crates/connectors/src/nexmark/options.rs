//! `connector = 'nexmark'`.

use std::sync::{Arc, LazyLock};

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, MetadataKey, SinkDescription, SourceColumn, SourceDescription,
};
use thalweg_dataflow::options::{OptionValue, Options, parse_duration};
use thalweg_dataflow::source::SourceGuarantee;
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Result, SinkSpec, SourceSpec};

use super::clock::Clock;
use super::rounds::Kind;
use super::rows::TIME;
use super::source::{Column, NexmarkSpec, Pace};
use crate::format_options::{Role, finish, take_role};

/// The event time of a row.
const TIMESTAMP: &str = "timestamp";

/// When event 0 happens unless `start` says otherwise: midnight of 15 July 2015, as in the benchmark.
const START_NANOS: i64 = 1_436_918_400_000_000_000;

/// All columns that there are.
static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let column = |kind: Kind| Field::new(kind.name(), data_type(kind), true);
    Arc::new(Schema::new(Kind::ALL.map(column).to_vec()))
});

/// The struct of a kind. Every field may be null: where the event is of another kind it is.
fn data_type(kind: Kind) -> DataType {
    let fields = kind.fields().iter().map(|field| Field::new(field.name, field.data_type.clone(), true));
    DataType::Struct(fields.collect())
}

/// The connector.
pub(crate) struct Nexmark;

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn describe(&self, declaration: Declaration<'_>) -> Result<Arc<dyn ConnectorTable>> {
        let options = declaration.options;
        take_role(options, &[("source", Role::Source)])?;
        let clock = take_clock(options)?;
        let pace = options.take_choice("pace", &[("real", Pace::Real), ("max", Pace::Max)])?;
        let count = take_count(options, &clock)?;
        let seed = options.take_integer("seed", 0)?.unwrap_or(0);
        finish(options, self.name())?;
        let columns = match declaration.columns {
            Some(declared) => check_columns(declared)?,
            None => COLUMNS.clone(),
        };
        Ok(Arc::new(NexmarkTable { columns, clock, pace: pace.unwrap_or(Pace::Real), count, seed }))
    }
}

/// Takes `event_rate` and `start`.
fn take_clock(options: &mut Options) -> Result<Clock> {
    let rate = options.take_rate("event_rate")?.ok_or_else(|| {
        Error::new(Code::InvalidOption, "option 'event_rate' is missing").with_help(
            "add event_rate = '…', the number of events per second of event time, to the WITH clause",
        )
    })?;
    let start = match options.take("start") {
        Some(given) => string_to_timestamp_nanos(given.value.trim())
            .map_err(|_| refused("start", &given, "is no time from the year 1677 to 2262"))?,
        None => START_NANOS,
    };
    Clock::new(start, rate).ok_or_else(|| {
        Error::new(Code::InvalidOption, format!("option 'event_rate' is {rate}, which is out of range"))
            .with_help("write a number from 0.000001 to 1000000000")
    })
}

/// Takes `message_count`, or `runtime`: as many events as happen in that time.
fn take_count(options: &mut Options, clock: &Clock) -> Result<Option<u64>> {
    let count = options.take_integer("message_count", 0)?;
    let Some(runtime) = options.take("runtime") else { return Ok(count) };
    if count.is_some() {
        let what = "options 'message_count' and 'runtime' both say how many events there are";
        return Err(Error::new(Code::InvalidOption, what).with_help("leave one of them out"));
    }
    let text = runtime.value.trim();
    let time = parse_duration(text).or_else(|| parse_duration(&format!("{text}s")));
    let time = time.ok_or_else(|| refused("runtime", &runtime, "is no duration"))?;
    Ok(Some(clock.events_in(time)))
}

fn refused(name: &str, given: &OptionValue, why: &str) -> Error {
    let error = Error::new(Code::InvalidOption, format!("option '{name}' is '{}', which {why}", given.value))
        .with_help("write a time as '2015-07-15T00:00:00Z', a duration as '10s'");
    match given.span {
        Some(span) => error.at(span),
        None => error,
    }
}

/// Declared columns are some of those that there are.
fn check_columns(declared: SchemaRef) -> Result<SchemaRef> {
    for field in declared.fields() {
        let known = COLUMNS.field_with_name(field.name()).is_ok_and(|k| k.data_type() == field.data_type());
        if !known {
            let what = format!("connector 'nexmark' has no column '{}' of this type", field.name());
            let help = "declare no columns: 'person', 'auction' and 'bid' come by themselves";
            return Err(Error::new(Code::InvalidColumn, what).with_help(help));
        }
        if !field.is_nullable() {
            let what = format!("column '{}' of connector 'nexmark' is null in some rows", field.name());
            return Err(Error::new(Code::InvalidColumn, what).with_help("leave NOT NULL out"));
        }
    }
    Ok(declared)
}

#[derive(Debug)]
struct NexmarkTable {
    columns: SchemaRef,
    clock: Clock,
    pace: Pace,
    count: Option<u64>,
    seed: u64,
}

impl NexmarkTable {
    fn column(&self, wanted: &SourceColumn) -> Result<(Field, Column)> {
        let field = self.columns.field(wanted.index).clone();
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == field.name());
        let kind = kind.ok_or_else(|| Error::internal(format!("no events are '{}'", field.name())))?;
        let fields = match &wanted.fields {
            Some(fields) => fields.clone(),
            None => (0..kind.fields().len()).collect(),
        };
        Ok((field, Column::Events { kind, fields }))
    }
}

impl ConnectorTable for NexmarkTable {
    fn as_source(&self) -> Option<SourceDescription> {
        Some(SourceDescription {
            columns: self.columns.clone(),
            metadata: vec![MetadataKey { key: TIMESTAMP, data_type: TIME }],
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
        let physical = columns.iter().map(|column| self.column(column));
        let metadata =
            metadata.iter().map(|(name, _)| Ok((Field::new(name, TIME, false), Column::Timestamp)));
        let all = physical.chain(metadata).collect::<Result<Vec<_>>>()?;
        let (fields, columns): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let (clock, pace, count, seed) = (self.clock, self.pace, self.count, self.seed);
        Ok(Arc::new(NexmarkSpec { schema: Schema::new(fields), columns, clock, pace, count, seed }))
    }

    fn sink(&self, _: SchemaRef, _: RowKind) -> Result<Arc<dyn SinkSpec>> {
        Err(Error::new(Code::WrongRole, "connector 'nexmark' can only be read"))
    }
}
