//! Functions that only the planner understands: windows, and a row's event time.
//!
//! They are volatile, so that no rule folds, merges or moves them, and each is
//! gone before a graph is written.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// What a marker stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Marker {
    /// `tumble(width)`.
    Tumble,
    /// `hop(slide, width)`.
    Hop,
    /// `session(gap)`.
    Session,
    /// `row_time()`: the event time of the row.
    RowTime,
}

impl Marker {
    const ALL: [Marker; 4] = [Marker::Tumble, Marker::Hop, Marker::Session, Marker::RowTime];

    /// The name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Marker::Tumble => "tumble",
            Marker::Hop => "hop",
            Marker::Session => "session",
            Marker::RowTime => "row_time",
        }
    }

    /// Whether it is a window, to be grouped by.
    pub(crate) fn is_window(self) -> bool {
        match self {
            Marker::Tumble | Marker::Hop | Marker::Session => true,
            Marker::RowTime => false,
        }
    }

    /// The marker that an expression is, and its arguments.
    pub(crate) fn of(expr: &Expr) -> Option<(Marker, &[Expr])> {
        let Expr::ScalarFunction(function) = expr else { return None };
        let inner: &dyn ScalarUDFImpl = function.func.inner().as_ref();
        inner.downcast_ref::<MarkerFunction>().map(|marker| (marker.marker, function.args.as_slice()))
    }
}

/// The markers as functions.
pub(crate) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    Marker::ALL.into_iter().map(|marker| Arc::new(ScalarUDF::from(MarkerFunction::new(marker))))
}

/// The event time of a row.
pub(crate) fn row_time() -> Expr {
    ScalarUDF::from(MarkerFunction::new(Marker::RowTime)).call(Vec::new())
}

/// The type of event times.
pub(crate) fn event_time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

/// The type of windows: from start, up to but not with end.
pub(crate) fn window_type() -> DataType {
    DataType::Struct(Fields::from(vec![
        Field::new("start", event_time_type(), false),
        Field::new("end", event_time_type(), false),
    ]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MarkerFunction {
    marker: Marker,
    signature: Signature,
}

impl MarkerFunction {
    fn new(marker: Marker) -> Self {
        let any = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
        Self { marker, signature: Signature::new(any, Volatility::Volatile) }
    }
}

/// An argument for people: `10s`.
fn short(argument: &Expr) -> String {
    match argument {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.months == 0 => {
            let days = Duration::from_secs(u64::from(v.days.unsigned_abs()) * 86_400);
            format!("{:?}", days + Duration::from_nanos(v.nanoseconds.unsigned_abs()))
        }
        other => other.schema_name().to_string(),
    }
}

impl ScalarUDFImpl for MarkerFunction {
    fn name(&self) -> &str {
        self.marker.name()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args.iter().map(short).collect();
        Ok(format!("{}({})", self.marker.name(), args.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.marker.is_window() { window_type() } else { event_time_type() })
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("'{}' is only a mark for the planner", self.marker.name())
    }
}
