//! What is computed from a row: a DataFusion expression over a known schema.
//!
//! An expression travels as protobuf bytes between processes of one version.
//! It reads no clock: `now()` and its relatives are planned as references to
//! the column [`NOW_COLUMN`], which the operators that evaluate expressions
//! append to their input (see [`with_now`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::TreeNode;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use serde::{Deserialize, Serialize};
pub use thalweg_dataflow::column_type::sql_type;
use thalweg_dataflow::{Code, Error, Functions, ProcessingTime, Result};

use crate::functions;

mod encoding;
mod printer;

/// The processing time at which the batch was taken, `Timestamp(Nanosecond, None)`, not null.
///
/// Only ever the last column of an expression's own input schema; it is on no edge.
pub const NOW_COLUMN: &str = "_now";

/// `schema` with [`NOW_COLUMN`] behind its columns: the input schema of expressions that ask for the time.
pub fn with_now(schema: &Schema) -> SchemaRef {
    let now = Field::new(NOW_COLUMN, DataType::Timestamp(TimeUnit::Nanosecond, None), false);
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain([Arc::new(now)]).collect();
    Arc::new(Schema::new(fields))
}

/// `records` with [`NOW_COLUMN`] behind their columns.
pub(crate) fn append_now(records: &RecordBatch, now: ProcessingTime) -> Result<RecordBatch> {
    let mut columns = records.columns().to_vec();
    columns.push(Arc::new(TimestampNanosecondArray::from_value(now.0, records.num_rows())));
    RecordBatch::try_new(with_now(records.schema_ref()), columns)
        .map_err(|e| Error::internal("the time cannot be appended to a batch").because(e))
}

/// The first `columns` columns: `records` as they were before [`append_now`].
pub(crate) fn without_now(records: RecordBatch, columns: usize) -> Result<RecordBatch> {
    if records.num_columns() == columns {
        return Ok(records);
    }
    let columns: Vec<usize> = (0..columns).collect();
    records.project(&columns).map_err(|e| Error::internal("a batch cannot be cut").because(e))
}

/// An expression with the schema of the rows that it reads.
#[derive(Clone)]
pub struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    input: SchemaRef,
    field: FieldRef,
}

impl Expression {
    /// An expression over rows of `input`.
    ///
    /// `physical` must be simplified (`coalesce` exists only as the `CASE` that
    /// it stands for), planned against `input` with default session options,
    /// and with every `now()`, `current_timestamp`, `current_date`
    /// and `current_time` replaced by a reference to (a cast of)
    /// [`NOW_COLUMN`]; `input` is then [`with_now`] of the operator's input
    /// schema. Fails if the expression has no type over `input`.
    pub fn new(physical: Arc<dyn PhysicalExpr>, input: SchemaRef) -> Result<Self> {
        let field = physical.return_field(&input).map_err(|e| {
            let text = printer::print(&physical, &input);
            Error::new(Code::TypeMismatch, format!("expression '{text}' has no type"))
                .because(e.strip_backtrace())
        })?;
        Ok(Self { physical, input, field })
    }

    /// The column at `index` of `input`.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn column(input: &SchemaRef, index: usize) -> Self {
        let field = Arc::clone(&input.fields()[index]);
        Self { physical: Arc::new(Column::new(field.name(), index)), input: Arc::clone(input), field }
    }

    /// The index of the input column that the expression is, if it is nothing else.
    pub fn as_column(&self) -> Option<usize> {
        self.physical.downcast_ref::<Column>().map(Column::index)
    }

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        self.field.data_type()
    }

    /// Whether a value may be null.
    pub fn nullable(&self) -> bool {
        self.field.is_nullable()
    }

    /// An output column of this name that holds its values, with the metadata that it gives them.
    pub fn field(&self, name: &str) -> Field {
        self.field.as_ref().clone().with_name(name)
    }

    /// The schema of the rows that it reads.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// DataFusion's own form.
    pub fn physical(&self) -> &Arc<dyn PhysicalExpr> {
        &self.physical
    }

    /// Whether the rows must carry [`NOW_COLUMN`].
    pub fn needs_now(&self) -> bool {
        self.input.fields().last().is_some_and(|field| field.name() == NOW_COLUMN)
    }

    /// Whether the same row always gives the same value. An expression that
    /// is not repeatable cannot be computed for an assert and again for its retract.
    pub fn is_repeatable(&self) -> bool {
        // A program's functions are held to give the same again.
        let differs =
            |part: &Arc<dyn PhysicalExpr>| Ok(part.is_volatile_node() && !functions::is_call(&**part));
        !self.needs_now() && !self.physical.exists(differs).expect("the closure does not fail")
    }

    /// The same expression with the program's functions that it calls; before, it cannot be evaluated.
    ///
    /// # Errors
    /// If one of them is not among `functions`.
    pub fn bound(&self, functions: &Functions) -> Result<Self> {
        Ok(Self { physical: functions::bind(&self.physical, functions)?, ..self.clone() })
    }

    /// One value per row, of [`data_type`](Self::data_type).
    ///
    /// Fails as a whole if one row cannot be computed; [`crate::row_policy`] finds out which.
    pub fn evaluate(&self, records: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        let column = self.physical.evaluate(records)?.into_array_of_size(records.num_rows())?;
        // Functions sometimes name the inner fields of lists and structs otherwise than they said.
        if column.data_type() == self.data_type() { Ok(column) } else { Ok(cast(&column, self.data_type())?) }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printer::print(&self.physical, &self.input))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({self})")
    }
}

/// The form in which an expression travels.
#[derive(Serialize, Deserialize)]
struct Encoded {
    parts: Vec<Vec<u8>>,
    input: SchemaRef,
}

impl Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = encoding::encode(&self.physical, &self.input).map_err(serde::ser::Error::custom)?;
        Encoded { parts, input: Arc::clone(&self.input) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Encoded { parts, input } = Encoded::deserialize(deserializer)?;
        let physical = encoding::decode(&parts, &input).map_err(serde::de::Error::custom)?;
        Self::new(physical, input).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::config::ConfigOptions;
    use datafusion::physical_expr::ScalarFunctionExpr;
    use thalweg_dataflow::text::{read_rows, write_rows};

    use super::*;
    use crate::testing::{expression, schema};

    fn travelled(expression: &Expression) -> Expression {
        serde_json::from_slice(&serde_json::to_vec(expression).unwrap()).unwrap()
    }

    #[test]
    fn every_function_is_found_again_by_its_name() {
        let functions = functions::context().scalar_functions();
        assert!(functions.len() > 250, "only {} names", functions.len());
        let options = Arc::new(ConfigOptions::default());
        for (name, function) in functions {
            let field = Arc::new(Field::new("f", DataType::Int64, true));
            let call =
                ScalarFunctionExpr::new(name, Arc::clone(function), vec![], field, Arc::clone(&options));
            let back = travelled(&Expression::new(Arc::new(call), schema("a:int")).unwrap());
            let call = back.physical().downcast_ref::<ScalarFunctionExpr>().unwrap();
            assert_eq!(call.fun().name(), function.name());
        }
    }

    #[test]
    fn an_expression_that_travelled_gives_the_same() {
        let columns = schema("a:int? b:float? s:text? t:time l:[int]? o:{x:int,y:text}?");
        let rows =
            "1 1.5 apple 10 [1,2] {7,x}\nnull null null 3600.5 null null\n-3 NaN \"\" -1 [] {null,y}\n";
        let rows = read_rows(&columns, rows).unwrap();
        for sql in [
            "a",
            "a + 1 > 2 AND b IS NOT NULL OR s LIKE 'a%'",
            "CASE WHEN a > 0 THEN 'p' WHEN a < 0 THEN 'n' ELSE s END",
            "CASE a WHEN 1 THEN 2 END",
            "a IN (1, 2, 3)",
            "a BETWEEN -5 AND 0",
            "-a",
            "CAST(a AS DOUBLE) / 3",
            "TRY_CAST(s AS BIGINT)",
            "coalesce(s, 'none') || '!'",
            "regexp_like(s, 'p+')",
            "date_trunc('hour', t)",
            "t - INTERVAL '1 second'",
            "extract(hour from t)",
            "array_length(l)",
            "l[1]",
            "o['x']",
            "struct(a, s)",
            "make_array(a, 2)",
            "md5(s)",
            "nullif(a, 1)",
        ] {
            let planned = expression(&columns, sql);
            let back = travelled(&planned);
            assert_eq!(back.to_string(), planned.to_string());
            assert_eq!(back.data_type(), planned.data_type(), "{sql}");
            let shown = |e: &Expression| {
                let schema = Arc::new(Schema::new(vec![e.field("v").with_nullable(true)]));
                write_rows(&RecordBatch::try_new(schema, vec![e.evaluate(&rows).unwrap()]).unwrap())
            };
            assert_eq!(shown(&back), shown(&planned), "{sql}");
        }
    }

    #[test]
    fn what_depends_on_more_than_the_row_is_known() {
        let columns = schema("a:int");
        assert!(expression(&columns, "a + 1").is_repeatable());
        assert!(!expression(&columns, "a + random()").is_repeatable());
        let now = expression(&with_now(&columns), "_now");
        assert!(now.needs_now() && !now.is_repeatable());
    }

    #[test]
    fn bytes_that_are_no_expression_are_refused() {
        let encoded =
            serde_json::to_vec(&Encoded { parts: vec![vec![1, 2, 3]], input: schema("a:int") }).unwrap();
        assert!(serde_json::from_slice::<Expression>(&encoded).is_err());
    }
}
