//! For tests: groupings planned from SQL, operators driven by hand, and what
//! DataFusion makes of the same rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, LogicalPlan};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::create_physical_expr;
use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::operator::{Output, Settings};
use thalweg_dataflow::{
    Batch, Context, EventTime, Functions, Operator, OperatorSpec, Port, ProcessingTime, Step, Watermark,
};
use thalweg_state::{Epoch, KeySpace, Restored, Snapshot, Subtask};

use super::{AggregateCall, Grouping};
use crate::expression::Expression;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn session(input: &SchemaRef, batches: Vec<RecordBatch>) -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let table = MemTable::try_new(Arc::clone(input), vec![batches]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

/// Plans `SELECT keys, calls FROM t GROUP BY keys`; no keys: no `GROUP BY`.
pub(crate) fn grouping(input: &SchemaRef, keys: &str, calls: &str) -> Grouping {
    let context = session(input, vec![]);
    let plan = block_on(context.state().create_logical_plan(&query(keys, calls, "t"))).unwrap();
    let plan = context
        .state()
        .analyzer()
        .execute_and_check(plan, context.copied_config().options(), |_, _| {})
        .unwrap();
    let aggregate = find(&plan).expect("the query has an aggregate");
    let (schema, properties) = (aggregate.input.schema(), ExecutionProps::new());
    let planning = PhysicalPlanningContext::default();
    let key = |e: &datafusion::logical_expr::Expr| {
        let physical = create_physical_expr(e, schema, &properties, &planning).unwrap();
        (Expression::new(physical, Arc::clone(input)).unwrap(), e.schema_name().to_string().replace("t.", ""))
    };
    let call = |e: &datafusion::logical_expr::Expr| {
        let lowered = LoweredAggregateBuilder::new(e, schema, input, &properties, &planning).build().unwrap();
        AggregateCall::new(&lowered.aggregate, lowered.filter, input).unwrap()
    };
    Grouping::new(
        aggregate.group_expr.iter().map(key).collect(),
        aggregate.aggr_expr.iter().map(call).collect(),
    )
}

fn find(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate),
        other => other.inputs().into_iter().find_map(find),
    }
}

pub(crate) fn query(keys: &str, calls: &str, from: &str) -> String {
    let columns = [keys, calls].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {keys}") };
    format!("SELECT {columns} FROM {from}{by}")
}

/// What DataFusion makes of the rows as table `t`, one line per row, sorted.
pub(crate) fn by_datafusion(rows: &RecordBatch, sql: &str) -> Vec<String> {
    let context = session(&rows.schema(), vec![rows.clone()]);
    lines(&block_on(async { context.sql(sql).await.unwrap().collect().await.unwrap() }))
}

/// Whether two answers are the same; sketches of quantiles may be off by one.
#[track_caller]
pub(crate) fn assert_same(answer: &[String], expected: &[String], call: &str, how: &str) {
    let is_sketch = call.contains("approx_median") || call.contains("approx_percentile");
    let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1.0,
        _ => a == b,
    };
    let alike = |a: &String, b: &String| {
        a == b || is_sketch && a.split(" | ").zip(b.split(" | ")).all(|(a, b)| near(a, b))
    };
    let same = answer.len() == expected.len() && answer.iter().zip(expected).all(|(a, b)| alike(a, b));
    assert!(same, "{call}, {how}:\n{answer:#?}\nDataFusion:\n{expected:#?}");
}

/// One line per row, sorted; floats with six digits.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines: Vec<String> = batches.iter().flat_map(lines_of).collect();
    lines.sort_unstable();
    lines
}

fn lines_of(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let cell = |column: &ArrayRef, row: usize| match column.data_type() {
        DataType::Float64 if column.is_valid(row) => {
            format!("{:.6e}", column.as_primitive::<Float64Type>().value(row))
        }
        _ => ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string(),
    };
    let line = |row| batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" | ");
    (0..batch.num_rows()).map(line).collect()
}

/// One instance of an operator, driven by hand.
pub(crate) struct Instance {
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) counters: OperatorCounters,
    pub(crate) settings: Settings,
    pub(crate) output: Vec<RecordBatch>,
}

impl Instance {
    pub(crate) fn new(spec: &dyn OperatorSpec, batch_rows_max: usize, restored: Restored) -> Self {
        Self::build(spec, &Functions::default(), batch_rows_max, restored)
    }

    /// An instance of a program's spec, without a past.
    pub(crate) fn with_functions(spec: &dyn OperatorSpec, functions: &Functions) -> Self {
        Self::build(spec, functions, 8192, Restored::nothing())
    }

    fn build(
        spec: &dyn OperatorSpec,
        functions: &Functions,
        batch_rows_max: usize,
        restored: Restored,
    ) -> Self {
        let settings =
            Settings { subtask: Subtask(0), parallelism: 1, batch_rows_max, key_space: KeySpace::default() };
        let (operator, counters) = (spec.build(functions).unwrap(), OperatorCounters::default());
        let mut instance = Self { operator, counters, settings, output: Vec::new() };
        instance.call(|operator, cx| {
            operator.open(restored, cx).unwrap();
            Step::Done
        });
        instance
    }

    pub(crate) fn call(&mut self, call: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Step) {
        let mut step = self.once(call);
        while step == Step::More {
            step = self.once(|operator, cx| operator.resume(cx).unwrap());
        }
    }

    /// A call without the resumes that it asks for.
    pub(crate) fn once(&mut self, call: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Step) -> Step {
        let (mut output, mut timers) = (Vec::new(), Vec::new());
        let mut cx =
            Context::new(&self.counters, &mut output, &mut timers, &self.settings, ProcessingTime(0));
        let step = call(&mut *self.operator, &mut cx);
        for output in output {
            match output {
                Output::Batch(_, records) => self.output.push(records),
                Output::Watermark(_) | Output::Idle => panic!("an aggregate says nothing of time by itself"),
            }
        }
        step
    }

    pub(crate) fn rows(&mut self, rows: &RecordBatch) {
        self.rows_on(Port::MAIN, rows);
    }

    pub(crate) fn rows_on(&mut self, input: Port, rows: &RecordBatch) {
        for start in (0..rows.num_rows()).step_by(self.settings.batch_rows_max) {
            let length = self.settings.batch_rows_max.min(rows.num_rows() - start);
            let batch = Batch::new(rows.slice(start, length));
            self.call(|operator, cx| operator.on_batch(input, batch, cx).unwrap());
        }
    }

    pub(crate) fn watermark(&mut self, nanos: i64) {
        self.call(|operator, cx| operator.on_watermark(Watermark(EventTime(nanos)), cx).unwrap());
    }

    pub(crate) fn flush(&mut self) {
        self.call(|operator, cx| operator.flush(cx).unwrap());
    }

    pub(crate) fn barrier(&mut self, epoch: u64) -> Snapshot {
        self.flush();
        let mut snapshot = None;
        self.call(|operator, cx| {
            snapshot = Some(operator.on_barrier(Epoch(epoch), cx).unwrap());
            Step::Done
        });
        let mut snapshot = snapshot.unwrap();
        while self.copy(&mut snapshot) {}
        snapshot
    }

    /// Copies a piece of what is frozen; false, if there was none.
    pub(crate) fn copy(&mut self, snapshot: &mut Snapshot) -> bool {
        let more = self.operator.copy_frozen(self.settings.batch_rows_max).unwrap();
        let any = more.is_some();
        snapshot.extend(more.unwrap_or_default());
        any
    }
}

/// Every kind of call, over the columns of [`random_rows`].
pub(crate) const CALLS: &[&str] = &[
    "count(*)",
    "count(v)",
    "count(DISTINCT v)",
    "count(DISTINCT s)",
    "count(DISTINCT v) FILTER (WHERE b)",
    "sum(v)",
    "sum(DISTINCT v)",
    "sum(f) FILTER (WHERE v > 3)",
    "avg(v)",
    "min(s)",
    "max(s)",
    "min(f)",
    "max(v) FILTER (WHERE b)",
    "median(v)",
    "median(DISTINCT v)",
    "array_agg(v)",
    "array_agg(v ORDER BY o DESC)",
    "array_agg(DISTINCT v ORDER BY v)",
    "string_agg(s, ',')",
    "string_agg(s, ',' ORDER BY o)",
    "string_agg(DISTINCT s, ',' ORDER BY s)",
    "first_value(v ORDER BY o)",
    "last_value(s ORDER BY o DESC)",
    "nth_value(v, 2 ORDER BY o)",
    "stddev(f)",
    "stddev_pop(f)",
    "var_samp(v)",
    "var_pop(f)",
    "corr(f, v)",
    "covar_samp(f, v)",
    "covar_pop(f, v)",
    "regr_slope(f, v)",
    "bit_and(v)",
    "bit_or(v)",
    "bit_xor(DISTINCT v)",
    "max(DISTINCT v)",
    "stddev(DISTINCT f)",
    "var_pop(DISTINCT f) FILTER (WHERE b)",
    "bool_and(b)",
    "bool_or(b)",
    "approx_distinct(v)",
    "approx_median(v)",
    "percentile_cont(0.3) WITHIN GROUP (ORDER BY f)",
    "approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY v)",
];

/// The columns of [`random_rows`].
pub(crate) fn random_schema() -> SchemaRef {
    crate::testing::schema(
        "k:text? j:int? v:int? f:float? s:text? b:bool? o:int _timestamp:time _watermark:time",
    )
}

/// Rows of [`random_schema`] with nulls and repetitions, a second apart, none
/// of them late; `o` is different in every row.
pub(crate) fn random_rows(seed: u64, rows: usize) -> RecordBatch {
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
    let mut state = seed;
    let mut below = move |bound: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    };
    let mut column = |bound: u64| (0..rows).map(|_| below(bound)).collect::<Vec<u64>>();
    let nullable =
        |values: Vec<u64>| values.into_iter().map(|v| v.checked_sub(1)).collect::<Vec<Option<u64>>>();
    let text = |values: Vec<u64>, prefix: &'static str| -> StringArray {
        nullable(values).into_iter().map(|v| v.map(|v| format!("{prefix}{v}"))).collect()
    };
    let integers =
        |values: Vec<u64>| nullable(values).into_iter().map(|v| v.map(|v| v as i64)).collect::<Int64Array>();
    let floats: Float64Array = nullable(column(20)).into_iter().map(|v| v.map(|v| v as f64 / 2.0)).collect();
    let booleans: BooleanArray = nullable(column(3)).into_iter().map(|v| v.map(|v| v == 1)).collect();
    let order: Vec<i64> =
        column(1_000_000).into_iter().zip(0..).map(|(v, row)| (v * 1_000_000 + row) as i64).collect();
    let times: Vec<i64> = (0..rows as i64).map(|row| row * 1_000_000_000).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(text(column(4), "key ")),
        Arc::new(integers(column(3))),
        Arc::new(integers(column(10))),
        Arc::new(floats),
        Arc::new(text(column(6), "s")),
        Arc::new(booleans),
        Arc::new(Int64Array::from(order)),
        Arc::new(TimestampNanosecondArray::from(times)),
        Arc::new(TimestampNanosecondArray::from_value(-1, rows)),
    ];
    RecordBatch::try_new(random_schema(), columns).unwrap()
}

/// Calls whose result once depended on the order of rows, over [`hard_floats`].
pub(crate) const EXTREMES: &str = "min(f), max(f), min(CAST(f * 2 AS REAL)), max(CAST(f * 2 AS REAL)), max(f) FILTER (WHERE b), min(f) FILTER (WHERE v > 3)";

/// [`random_rows`] whose floats are hard to order.
pub(crate) fn hard_floats(seed: u64, rows: usize) -> RecordBatch {
    use arrow::array::Float64Array;
    use arrow::datatypes::Int64Type;
    let random = random_rows(seed, rows);
    let hard = [
        None,
        Some(f64::NAN),
        Some(-f64::NAN),
        Some(f64::INFINITY),
        Some(f64::NEG_INFINITY),
        Some(0.0),
        Some(-0.0),
        Some(1.5),
    ];
    let schema = random.schema();
    let order = random.column_by_name("o").unwrap().as_primitive::<Int64Type>();
    let pick = |o: &i64| hard[(o / 1_000_000 % hard.len() as i64) as usize];
    let mut columns = random.columns().to_vec();
    columns[schema.index_of("f").unwrap()] =
        Arc::new(order.values().iter().map(pick).collect::<Float64Array>());
    RecordBatch::try_new(schema, columns).unwrap()
}

/// What DataFusion makes of the rows of each key by themselves, without grouping.
pub(crate) fn key_by_key(rows: &RecordBatch, keys: &str, calls: &str) -> Vec<String> {
    if keys.is_empty() {
        return by_datafusion(rows, &query("", calls, "t"));
    }
    let of_key = |key: String| {
        let literal = if key == "null" { key.clone() } else { format!("'{key}'") };
        by_datafusion(
            rows,
            &format!("SELECT '{key}', {calls} FROM t WHERE {keys} IS NOT DISTINCT FROM {literal}"),
        )
    };
    let mut lines: Vec<String> =
        by_datafusion(rows, &format!("SELECT DISTINCT {keys} FROM t")).into_iter().flat_map(of_key).collect();
    lines.sort_unstable();
    lines
}
