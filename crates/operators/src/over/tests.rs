mod program;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{NullTreatment, Sort};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Window, WindowFrame, WindowFunctionDefinition};
use datafusion::physical_expr::create_physical_expr;
use thalweg_dataflow::{Code, Spec};
use thalweg_state::Restored;
use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size, where_key_groups_move};

use super::{OrderBy, Over, Ranking, WindowCall};
use crate::aggregate::planned::{Instance, by_datafusion, lines, random_rows, random_schema};
use crate::expression::Expression;
use crate::testing::{rows_and_barriers, schema};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn find(plan: &LogicalPlan) -> Option<&Window> {
    match plan {
        LogicalPlan::Window(window) => Some(window),
        other => other.inputs().into_iter().find_map(find),
    }
}

/// Makes a call of what is planned.
type MakeCall = dyn Fn(&WindowFunctionDefinition, Vec<Expression>, WindowFrame, String) -> WindowCall;

/// Plans calls over rows of `input`, which share a partition and an order.
fn try_over(input: &SchemaRef, calls: &str, key: Vec<usize>) -> thalweg_dataflow::Result<Over> {
    try_over_with(input, calls, key, &|function, arguments, frame, name| {
        WindowCall::new(function, arguments, frame, name)
    })
}

fn try_over_with(
    input: &SchemaRef,
    calls: &str,
    key: Vec<usize>,
    make: &MakeCall,
) -> thalweg_dataflow::Result<Over> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let table = MemTable::try_new(Arc::clone(input), vec![vec![]]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    let state = context.state();
    let plan = block_on(state.create_logical_plan(&format!("SELECT {calls} FROM t"))).unwrap();
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).unwrap();
    let window = find(&plan).unwrap();
    let schema = window.input.schema();
    let expression = |expr: &Expr| {
        let (properties, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let physical = create_physical_expr(expr, schema, &properties, &planning).unwrap();
        Expression::new(physical, Arc::clone(input)).unwrap()
    };
    let column = |expr: &Expr| expression(expr).as_column().unwrap();
    let functions: Vec<_> = window
        .window_expr
        .iter()
        .map(|expr| match expr.clone().unalias() {
            Expr::WindowFunction(function) => (function, expr.schema_name().to_string()),
            other => panic!("{other}"),
        })
        .collect();
    let call = |(function, name): &(Box<datafusion::logical_expr::expr::WindowFunction>, String)| {
        let params = &function.params;
        let arguments = params.args.iter().map(expression).collect();
        make(&function.fun, arguments, params.window_frame.clone(), name.replace("t.", ""))
            .with_distinct(params.distinct)
            .with_filter(params.filter.as_deref().map(expression))
            .with_ignore_nulls(params.null_treatment == Some(NullTreatment::IgnoreNulls))
    };
    let order = |sort: &Sort| OrderBy {
        column: column(&sort.expr),
        descending: !sort.asc,
        nulls_first: sort.nulls_first,
    };
    let params = &functions[0].0.params;
    let partition = params.partition_by.iter().map(column).collect();
    let order = params.order_by.iter().map(order).collect();
    Over::new(functions.iter().map(call).collect(), partition, order, key, Arc::clone(input))
}

pub(crate) fn over(input: &SchemaRef, calls: &str, key: Vec<usize>) -> Over {
    try_over(input, calls, key).unwrap()
}

fn prices() -> SchemaRef {
    schema("window:{start:time,end:time} k:text x:int? _timestamp:time")
}

const PRICES: &str = "columns window:{start:time,end:time} k:text x:int? _timestamp:time
{0,10} a 5 9.999999999
{0,10} b 1 9.999999999
{10,20} a 4 19.999999999
barrier
{0,10} a 7 9.999999999
{0,10} a null 9.999999999
{0,10} b 1 9.999999999
wm 9
barrier
{0,10} a 5 9.999999999
wm 10
{0,10} a 8 9.999999999
{10,20} a 3 19.999999999
barrier
end
";

#[test]
fn rows_are_numbered_within_partition_and_window() {
    let spec = over(&prices(), "row_number() OVER (PARTITION BY \"window\", k ORDER BY x DESC)", vec![1]);
    assert_eq!(spec.shuffle_key().unwrap(), [1]);
    assert_eq!(spec.label(), "row_number() over (partition by window, k order by x desc)");
    let answer = at_every_batch_size(&spec, PRICES).unwrap();
    let expected = "wm 9
{0,10} a null 1 9.999999999
{0,10} a 7 2 9.999999999
{0,10} a 5 3 9.999999999
{0,10} a 5 4 9.999999999
{0,10} b 1 1 9.999999999
{0,10} b 1 2 9.999999999
wm 10
{10,20} a 4 1 19.999999999
{10,20} a 3 2 19.999999999
end
";
    assert_eq!(answer, expected);
}

#[test]
fn a_row_behind_its_window_is_late() {
    let spec = over(&prices(), "count(*) OVER (PARTITION BY \"window\")", vec![]);
    assert_eq!(spec.shuffle_key().unwrap(), [3]);
    let mut driver = Driver::new(&spec, 3, OnBarrier::Restore).unwrap();
    driver.run(PRICES).unwrap();
    assert_eq!((driver.counters().late.get(), driver.counters().taken.get()), (1, 8));
}

#[test]
fn calls_with_one_order_are_computed_together() {
    let of = "OVER (PARTITION BY \"window\" ORDER BY x DESC NULLS LAST, k)";
    let calls = format!("rank() {of}, dense_rank() {of}, sum(x) {of}, lag(x, 1, 0) {of}");
    let answer = at_every_batch_size(&over(&prices(), &calls, vec![]), PRICES).unwrap();
    let expected = "wm 9
{0,10} a 7 1 1 7 0 9.999999999
{0,10} a 5 2 2 17 7 9.999999999
{0,10} a 5 2 2 17 5 9.999999999
{0,10} b 1 4 3 19 5 9.999999999
{0,10} b 1 4 3 19 1 9.999999999
{0,10} a null 6 4 19 1 9.999999999
wm 10
{10,20} a 4 1 1 4 0 19.999999999
{10,20} a 3 2 2 7 4 19.999999999
end
";
    assert_eq!(answer, expected);
}

/// Every kind of call, over the columns of [`random_rows`].
const CALLS: &[&str] = &[
    "row_number()",
    "rank()",
    "dense_rank()",
    "percent_rank()",
    "cume_dist()",
    "ntile(3)",
    "lag(v)",
    "lag(v, 2, 7)",
    "lag(v) IGNORE NULLS",
    "lead(s, 2)",
    "first_value(v)",
    "last_value(v)",
    "nth_value(v, 2)",
    "count(*)",
    "count(DISTINCT v)",
    "sum(v)",
    "sum(v) FILTER (WHERE b)",
    "avg(f)",
    "min(s)",
    "max(v)",
    "array_agg(v)",
];

const FRAMES: &[&str] = &[
    "",
    "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING",
    "RANGE BETWEEN 100000000000 PRECEDING AND 100000000000 FOLLOWING",
    "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
];

/// Random rows of one window.
fn one_window(seed: u64, rows: usize) -> RecordBatch {
    let random = random_rows(seed, rows);
    let mut columns: Vec<ArrayRef> = random.columns().to_vec();
    columns[7] = Arc::new(TimestampNanosecondArray::from_value(99, rows));
    RecordBatch::try_new(random_schema(), columns).unwrap()
}

#[test]
fn every_call_over_every_frame_is_that_of_datafusion() {
    for (seed, rows) in [(1, 1), (2, 100)] {
        let rows = one_window(seed, rows);
        for call in CALLS {
            for frame in FRAMES {
                let call = format!("{call} OVER (PARTITION BY k ORDER BY o {frame})");
                let Ok(spec) = try_over(&random_schema(), &call, vec![0]) else {
                    assert!(!frame.is_empty(), "{call} must be possible");
                    continue;
                };
                let mut instance = Instance::new(&spec, 7, Restored::nothing());
                instance.rows(&rows);
                instance.watermark(1000);
                let all = "k, j, v, f, s, b, o";
                let expected =
                    by_datafusion(&rows, &format!("SELECT {all}, {call}, _timestamp, _watermark FROM t"));
                assert_eq!(lines(&instance.output), expected, "{call}");
            }
        }
    }
}

#[test]
fn a_frame_may_be_longer_than_any_window() {
    let frame = "ROWS BETWEEN 18446744073709551615 PRECEDING AND 18446744073709551614 FOLLOWING";
    let call = format!("count(*) OVER (PARTITION BY \"window\" ORDER BY x {frame})");
    let answer = at_every_batch_size(&over(&prices(), &call, vec![]), PRICES).unwrap();
    assert_eq!(answer.matches(" 6 9.999999999\n").count(), 6);
}

#[test]
fn a_frame_that_a_function_cannot_do_is_refused() {
    let call = "ntile(0) OVER (PARTITION BY \"window\" ORDER BY x)";
    let error = try_over(&prices(), call, vec![]).unwrap_err();
    assert_eq!(error.code(), Code::InvalidQuery);
}

fn top(ranking: Ranking, most: u64) -> Over {
    let function = match ranking {
        Ranking::RowNumber => "row_number()",
        Ranking::Rank => "rank()",
        Ranking::DenseRank => "dense_rank()",
    };
    let call = format!("{function} OVER (PARTITION BY \"window\", k ORDER BY x DESC NULLS LAST)");
    over(&prices(), &call, vec![1]).with_top(ranking, most).unwrap()
}

#[test]
fn the_first_rows_are_what_a_filter_would_leave() {
    let mut stream = String::from("columns window:{start:time,end:time} k:text x:int? _timestamp:time\n");
    for row in 0..400_u64 {
        let x = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let window = if row % 5 == 0 { "{10,20} a" } else { "{0,10} a" };
        let last = if row % 5 == 0 { "19.999999999" } else { "9.999999999" };
        stream += &format!("{window}{} {x} {last}\n", row % 3);
        if row % 90 == 89 {
            stream += "barrier\n";
        }
    }
    stream += "end\n";
    for ranking in [Ranking::RowNumber, Ranking::Rank, Ranking::DenseRank] {
        for most in [0, 1, 2, 7, 1000] {
            let spec = top(ranking, most);
            let whole = at_every_batch_size(&Over { top: None, ..spec.clone() }, &stream).unwrap();
            let ranked = |line: &&str| {
                line.split(' ')
                    .nth_back(1)
                    .and_then(|rank| rank.parse::<u64>().ok())
                    .is_none_or(|r| r <= most)
            };
            let expected: String = whole.lines().filter(ranked).map(|line| format!("{line}\n")).collect();
            assert_eq!(at_every_batch_size(&spec, &stream).unwrap(), expected, "{ranking:?} {most}");
        }
    }
}

#[test]
fn no_more_than_the_first_rows_are_kept() {
    let spec = top(Ranking::RowNumber, 2);
    assert!(spec.label().ends_with("<= 2"), "{}", spec.label());
    let row = |x: u64| format!("{{0,10}} a{} {x} 9.999999999\n", x % 3);
    let head = "columns window:{start:time,end:time} k:text x:int? _timestamp:time\n";
    let state_bytes = |rows: u64| {
        let mut driver = Driver::new(&spec, 8, OnBarrier::GoOn).unwrap();
        driver.run(&format!("{head}{}barrier\n", (0..rows).map(row).collect::<String>())).unwrap();
        let frozen: usize = driver.snapshots().iter().flat_map(|s| &s.tables).map(|table| table.rows()).sum();
        (driver.counters().state_bytes.get(), frozen)
    };
    let (few, many) = (state_bytes(15), state_bytes(5_000));
    assert!(many.0 <= 3 * few.0, "{few:?} {many:?}");
    assert!(many.1 <= few.1 + 16, "{few:?} {many:?}");
}

#[test]
fn only_rankings_can_leave_rows_out() {
    let spec = over(&prices(), "sum(x) OVER (PARTITION BY \"window\" ORDER BY k)", vec![]);
    assert!(spec.with_top(Ranking::RowNumber, 1).is_err());
}

#[test]
fn rows_move_with_their_key_groups_there_and_back() {
    let columns = "window:{start:time,end:time} k:int x:int? _timestamp:time";
    let stream = rows_and_barriers(columns, |dice, time| {
        let start = time / 10 * 10;
        format!("{{{start},{}}} {} {} {}9.999999999", start + 10, dice % 17, dice % 1000, start / 10)
    });
    let call = "row_number() OVER (PARTITION BY \"window\", k ORDER BY x DESC NULLS LAST)";
    for spec in [
        over(&schema(columns), call, vec![1]),
        over(&schema(columns), call, vec![1]).with_top(Ranking::RowNumber, 1).unwrap(),
        over(&schema(columns), "sum(x) OVER (PARTITION BY \"window\" ORDER BY x)", vec![0]),
    ] {
        let key = spec.shuffle_key().unwrap();
        where_key_groups_move(&spec, &[key], &stream).unwrap();
    }
}

#[test]
fn what_is_over_leaves_the_checkpoint() {
    let spec = top(Ranking::RowNumber, 2);
    let mut driver = Driver::new(&spec, 8, OnBarrier::GoOn).unwrap();
    for window in 0..50 {
        let row = format!("{{{window}0,{}0}} a {window} {window}9.999999999\n", window + 1);
        let columns = "columns window:{start:time,end:time} k:text x:int? _timestamp:time";
        driver.run(&format!("{columns}\n{row}barrier\nwm {window}9\nbarrier\n")).unwrap();
    }
    assert_eq!(driver.past().rows("rows"), 1, "that of the one window that is open");
}
