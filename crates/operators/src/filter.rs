//! Keeps the rows for which a condition is true; neither false nor null is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{FilterBuilder, FilterPredicate};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Batch, Code, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step,
};

use crate::expression::{Expression, append_now, sql_type, without_now};
use crate::row_policy::{Computed, RowPolicy, compute};
use crate::spec;

/// A filter as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Filter {
    input: SchemaRef,
    condition: Expression,
    policy: RowPolicy,
}

impl Filter {
    /// The name in the registry.
    pub const KIND: &'static str = "filter";

    /// Keeps the rows of `input` for which `condition` is true.
    ///
    /// `condition` is a boolean over `input`, or over
    /// [`with_now`](crate::expression::with_now) of `input` where it asks for
    /// the time. One that is not repeatable is refused on changelog edges.
    pub fn new(input: SchemaRef, condition: Expression, policy: RowPolicy) -> Result<Self> {
        if condition.data_type() != &DataType::Boolean {
            let what = format!("condition '{condition}' is {}, not BOOLEAN", sql_type(condition.data_type()));
            return Err(Error::new(Code::TypeMismatch, what).with_help(
                "a condition is true or false: compare with something, as in x > 0 or x IS NOT NULL",
            ));
        }
        Ok(Self { input, condition, policy })
    }
}

impl Spec for Filter {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn label(&self) -> String {
        self.condition.to_string()
    }
}

impl OperatorSpec for Filter {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let condition = self.condition.bound(functions)?;
        Ok(Box::new(FilterOperator { spec: Self { condition, ..self.clone() } }))
    }

    fn output_schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.input)
    }

    fn accepts(&self, input: RowKind) -> bool {
        match input {
            RowKind::Append => true,
            RowKind::Changelog => self.condition.is_repeatable(),
        }
    }
}

struct FilterOperator {
    spec: Filter,
}

impl Operator for FilterOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let condition = &self.spec.condition;
        let rows = if condition.needs_now() { append_now(&batch.records, cx.now())? } else { batch.records };
        let Computed { records, columns, refused } =
            compute(std::slice::from_ref(condition), rows, self.spec.policy)?;
        let keep = columns[0]
            .as_any()
            .downcast_ref::<BooleanArray>()
            .ok_or_else(|| Error::internal(format!("condition '{condition}' gave no booleans")))?;
        let kept = keep_true(&records, keep)?;
        cx.counters.taken.add(kept.num_rows());
        cx.counters.filtered.add(records.num_rows() - kept.num_rows());
        cx.counters.refused.add(refused);
        cx.emit(Port::MAIN, without_now(kept, self.spec.input.fields().len())?);
        Ok(Step::Done)
    }
}

/// The rows where `keep` is true; the batch itself where that is all of them.
fn keep_true(records: &RecordBatch, keep: &BooleanArray) -> Result<RecordBatch> {
    if keep.null_count() == 0 && !keep.has_false() {
        return Ok(records.clone());
    }
    let filter = FilterBuilder::new(keep).optimize().build();
    let columns = records.columns().iter().map(|column| kept(column, &filter)).collect::<Result<Vec<_>, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(filter.count()));
    columns
        .and_then(|columns| RecordBatch::try_new_with_options(records.schema(), columns, &options))
        .map_err(|e| Error::internal("a batch cannot be filtered").because(e))
}

/// What a filter leaves of a column. A source gives fields that nobody reads as nulls, often most
/// of a struct's: of nulls alone any part is as good as another, and costs nothing.
fn kept(column: &ArrayRef, filter: &FilterPredicate) -> Result<ArrayRef, ArrowError> {
    if column.null_count() == column.len() {
        return Ok(column.slice(0, filter.count()));
    }
    let Some(whole) = column.as_struct_opt().filter(|whole| whole.num_columns() > 0) else {
        return filter.filter(column);
    };
    let fields = whole.columns().iter().map(|field| kept(field, filter)).collect::<Result<Vec<_>, _>>()?;
    let valid = whole.nulls().map(|nulls| filter.filter(&BooleanArray::new(nulls.inner().clone(), None)));
    let nulls = valid.transpose()?.map(|valid| NullBuffer::new(valid.as_boolean().values().clone()));
    Ok(Arc::new(StructArray::try_new(whole.fields().clone(), fields, nulls)?))
}

#[cfg(test)]
mod tests {
    use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size};

    use super::*;
    use crate::expression::with_now;
    use crate::testing::{expression, schema};

    const ROWS: &str = "columns a:int? b:int\n1 1\n2 0\nnull 1\n4 1\n5 5\n";

    fn filter(condition: &str, policy: RowPolicy) -> Filter {
        let input = schema("a:int? b:int");
        Filter::new(Arc::clone(&input), expression(&input, condition), policy).unwrap()
    }

    #[test]
    fn only_what_is_true_passes() {
        let answer = at_every_batch_size(&filter("a > 1", RowPolicy::Fail), ROWS).unwrap();
        assert_eq!(answer, "2 0\n4 1\n5 5\n");
    }

    #[test]
    fn rows_that_cannot_be_judged_are_refused() {
        let spec = filter("10 / b > 5", RowPolicy::Drop);
        assert_eq!(at_every_batch_size(&spec, ROWS).unwrap(), "1 1\nnull 1\n4 1\n");
        let mut driver = Driver::new(&spec, 3, OnBarrier::GoOn).unwrap();
        driver.run(ROWS).unwrap();
        let counters = driver.counters();
        assert_eq!((counters.taken.get(), counters.filtered.get(), counters.refused.get()), (3, 1, 1));
        let error = at_every_batch_size(&filter("10 / b > 5", RowPolicy::Fail), ROWS).unwrap_err();
        assert_eq!(error.code(), Code::RowFailed);
    }

    #[test]
    fn the_time_is_that_of_the_call_and_on_no_edge() {
        let input = schema("t:time");
        let condition = expression(&with_now(&input), "t > _now - INTERVAL '10 seconds'");
        let spec = Filter::new(Arc::clone(&input), condition, RowPolicy::Fail).unwrap();
        assert!(!spec.accepts(RowKind::Changelog) && spec.accepts(RowKind::Append));
        let stream = "columns t:time\n1\n89\n95\nnow 100\n1\n89\n95\n";
        assert_eq!(at_every_batch_size(&spec, stream).unwrap(), "1\n89\n95\n95\n");
    }

    #[test]
    fn a_condition_is_a_boolean() {
        let input = schema("a:int");
        let error =
            Filter::new(Arc::clone(&input), expression(&input, "a + 1"), RowPolicy::Fail).unwrap_err();
        assert_eq!(error.code(), Code::TypeMismatch);
    }

    #[test]
    fn structs_are_filtered_as_arrow_filters_them() {
        use arrow::array::{Int64Array, StringArray, new_null_array};
        use arrow::datatypes::{Field, Fields, Schema};

        let inner = Fields::from(vec![
            Field::new("made", DataType::Int64, true),
            Field::new("unmade", DataType::Utf8, true),
            Field::new("text", DataType::Utf8, true),
        ]);
        let nulls = NullBuffer::from(vec![true, false, true, true, false, true]);
        let fields: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3), None, None, Some(6)])),
            new_null_array(&DataType::Utf8, 6),
            Arc::new(StringArray::from(vec![Some("a"), Some("hidden"), None, Some("d"), None, Some("f")])),
        ];
        let some = StructArray::try_new(inner.clone(), fields.clone(), Some(nulls)).unwrap();
        let all = StructArray::try_new(inner.clone(), fields, None).unwrap();
        let column = |name, nullable| Field::new(name, DataType::Struct(inner.clone()), nullable);
        let schema = Schema::new(vec![
            column("some", true),
            column("all", false),
            column("none", true),
            Field::new("plain", DataType::Int64, false),
        ]);
        let none = new_null_array(some.data_type(), 6);
        let plain = Arc::new(Int64Array::from_iter_values(0..6));
        let columns: Vec<ArrayRef> = vec![Arc::new(some), Arc::new(all), none, plain];
        let records = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        // Whole, in the middle of another, and none.
        for records in [records.clone(), records.slice(1, 4), records.slice(2, 0)] {
            for bits in 0..1_u32 << records.num_rows() {
                let keep: BooleanArray =
                    (0..records.num_rows()).map(|row| Some(bits >> row & 1 == 1)).collect();
                let expected = arrow::compute::filter_record_batch(&records, &keep).unwrap();
                assert_eq!(keep_true(&records, &keep).unwrap(), expected, "{keep:?}");
            }
        }
        let keep = BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None, None]);
        assert_eq!(keep_true(&records, &keep).unwrap().num_rows(), 2);
    }
}
