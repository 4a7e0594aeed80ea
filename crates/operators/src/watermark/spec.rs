//! What is asked of the watermark operator.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{Code, Error, Functions, Operator, OperatorSpec, Result, Spec, columns};

use super::WatermarkOperator;
use crate::expression::{Expression, sql_type};
use crate::fingerprint::Fingerprint;
use crate::row_policy::RowPolicy;
use crate::spec;
use crate::window::duration;

/// Where a row's event time comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum EventTimeFrom {
    /// A column of `Timestamp(Nanosecond, _)`.
    Column(usize),
    /// An expression over the input row that gives `Timestamp(Nanosecond, _)`.
    Expression(Expression),
    /// The time at which the row is seen.
    ProcessingTime,
}

/// What a row says of the rows behind it in its split. Whatever it is, a
/// watermark that the source gives counts too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Generator {
    /// No row will be older than this: an expression over the input row that
    /// gives `Timestamp(Nanosecond, _)`. Null says nothing.
    Expression(Expression),
    /// No row will be older than this row's event time less the delay.
    Delay(Duration),
    /// Nothing: only the source itself gives a watermark.
    Given,
    /// No more than the rest of this share of rows will be older: learnt from
    /// the lateness observed in the split. Greater than 0, less than 1.
    Completeness(f64),
}

/// A watermark operator as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watermark {
    pub(super) event_time: EventTimeFrom,
    pub(super) generator: Generator,
    pub(super) output: SchemaRef,
    pub(super) row_watermark: bool,
    pub(super) max_future_skew: Option<Duration>,
    pub(super) policy: RowPolicy,
}

impl Watermark {
    /// The name in the registry.
    pub const KIND: &'static str = "watermark";

    /// Appends `_timestamp` to the columns of `input`, and makes watermarks.
    ///
    /// `input` must not have a column `_timestamp` or `_watermark` yet. A row
    /// whose event time is null or cannot be computed is refused by `policy`.
    /// Nothing bounds the future, unless asked for below.
    pub fn new(
        input: &Schema,
        event_time: EventTimeFrom,
        generator: Generator,
        policy: RowPolicy,
    ) -> Result<Self> {
        for name in [columns::TIMESTAMP, columns::ROW_WATERMARK] {
            if input.column_with_name(name).is_some() {
                return Err(Error::new(
                    Code::InvalidColumn,
                    format!("the name '{name}' is the engine's own"),
                ));
            }
        }
        if let EventTimeFrom::Column(index) = event_time {
            let column = input.fields().get(index).map(|field| field.data_type());
            expect_nanoseconds("the event time", column)?;
        }
        for expression in computed(&event_time, &generator) {
            expect_nanoseconds(&format!("expression '{expression}'"), Some(expression.data_type()))?;
        }
        if let Generator::Completeness(share) = generator
            && !(share > 0.0 && share < 1.0)
        {
            let what = format!("a completeness of {share} is not between 0 and 1");
            return Err(Error::new(Code::InvalidWatermark, what));
        }
        Ok(Self {
            event_time,
            generator,
            output: append(input.fields().iter(), columns::TIMESTAMP),
            row_watermark: false,
            max_future_skew: None,
            policy,
        })
    }

    /// Appends `_watermark` too: the split's watermark just before each row.
    #[must_use]
    pub fn with_row_watermark(mut self) -> Self {
        if !self.row_watermark {
            self.output = append(self.output.fields().iter(), columns::ROW_WATERMARK);
            self.row_watermark = true;
        }
        self
    }

    /// For live sources: a row that is further ahead of the wall clock moves no watermark, and is counted.
    #[must_use]
    pub fn with_max_future_skew(mut self, skew: Duration) -> Self {
        self.max_future_skew = Some(skew);
        self
    }

    /// What is computed for each row: the event time first, then the generator.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        computed(&self.event_time, &self.generator)
    }
}

fn computed<'a>(
    event_time: &'a EventTimeFrom,
    generator: &'a Generator,
) -> impl Iterator<Item = &'a Expression> {
    let event_time = match event_time {
        EventTimeFrom::Expression(expression) => Some(expression),
        EventTimeFrom::Column(_) | EventTimeFrom::ProcessingTime => None,
    };
    let generator = match generator {
        Generator::Expression(expression) => Some(expression),
        Generator::Delay(_) | Generator::Given | Generator::Completeness(_) => None,
    };
    event_time.into_iter().chain(generator)
}

fn append<'a>(fields: impl Iterator<Item = &'a FieldRef>, name: &str) -> SchemaRef {
    let time = Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, None), false);
    Arc::new(Schema::new(fields.cloned().chain([Arc::new(time)]).collect::<Vec<_>>()))
}

fn expect_nanoseconds(who: &str, found: Option<&DataType>) -> Result<()> {
    match found {
        Some(DataType::Timestamp(TimeUnit::Nanosecond, _)) => Ok(()),
        Some(other) => {
            let what = format!("{who} is {}, not a timestamp in nanoseconds", sql_type(other));
            Err(Error::new(Code::InvalidWatermark, what))
        }
        None => Err(Error::internal(format!("{who} names a column that is not there"))),
    }
}

impl Spec for Watermark {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn fingerprint(&self) -> String {
        let event_time = match &self.event_time {
            EventTimeFrom::Column(index) => self.output.field(*index).name().clone(),
            EventTimeFrom::Expression(expression) => expression.to_string(),
            EventTimeFrom::ProcessingTime => "processing time".into(),
        };
        let generator = match &self.generator {
            Generator::Expression(expression) => expression.to_string(),
            Generator::Delay(delay) => format!("delay {} ns", delay.as_nanos()),
            Generator::Given => "given".into(),
            Generator::Completeness(share) => format!("completeness {share}"),
        };
        Fingerprint::new(Self::KIND).part("event time", event_time).part("watermark", generator).finish()
    }

    fn label(&self) -> String {
        let event_time = match &self.event_time {
            EventTimeFrom::Column(index) => self.output.field(*index).name().clone(),
            EventTimeFrom::Expression(expression) => expression.to_string(),
            EventTimeFrom::ProcessingTime => "processing time".into(),
        };
        match &self.generator {
            Generator::Expression(expression) => format!("{event_time} as {expression}"),
            Generator::Delay(delay) if delay.is_zero() => event_time,
            Generator::Delay(delay) => match i64::try_from(delay.as_nanos()) {
                Ok(nanos) => format!("{event_time} - {}", duration(nanos)),
                Err(_) => format!("{event_time} - {delay:?}"),
            },
            Generator::Given => format!("{event_time}, given by the source"),
            Generator::Completeness(share) => format!("{event_time}, {share} complete"),
        }
    }
}

impl OperatorSpec for Watermark {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(WatermarkOperator::new(self.clone(), functions)?))
    }

    fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    fn accepts(&self, input: RowKind) -> bool {
        match input {
            RowKind::Append | RowKind::Changelog => true,
        }
    }

    fn stateful(&self) -> bool {
        true
    }
}
