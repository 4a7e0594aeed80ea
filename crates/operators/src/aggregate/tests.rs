use arrow::array::{Array, AsArray, BinaryArray, BooleanArray, Int64Array};
use arrow::datatypes::Int64Type;
use thalweg_dataflow::OperatorSpec;
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::text::read_rows;

use super::function::Strategy;
use super::planned::{CALLS, Instance, grouping, lines, random_schema};
use super::*;
use crate::testing::schema;

fn strategy_of(call: &AggregateCall) -> Strategy {
    match &call.0 {
        Kind::Function(call) => call.strategy,
        Kind::Program(call) => panic!("{call} is a program's"),
    }
}

#[test]
fn every_call_survives_its_way_through_bytes() {
    for call in CALLS {
        let before = grouping(&random_schema(), "k", call);
        let bytes = serde_json::to_vec(&before).unwrap();
        let after: Grouping = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(after.label(), before.label());
        let (before, after) = (&before.calls()[0], &after.calls()[0]);
        assert_eq!((before.field(), strategy_of(before)), (after.field(), strategy_of(after)), "{call}");
        assert_eq!(before.state_fields().unwrap(), after.state_fields().unwrap(), "{call}");
    }
}

#[test]
fn only_small_states_that_know_no_order_are_split() {
    let splits: Vec<&str> =
        CALLS.iter().copied().filter(|call| grouping(&random_schema(), "k", call).splits()).collect();
    let expected = [
        "count(*)",
        "count(v)",
        "sum(v)",
        "sum(f) FILTER (WHERE v > 3)",
        "avg(v)",
        "min(s)",
        "max(s)",
        "min(f)",
        "max(v) FILTER (WHERE b)",
        "stddev(f)",
        "stddev_pop(f)",
        "var_samp(v)",
        "var_pop(f)",
        "corr(f, v)",
        "bit_and(v)",
        "bit_or(v)",
        "max(DISTINCT v)",
        "bool_and(b)",
        "bool_or(b)",
    ];
    assert_eq!(splits, expected);
    assert!(!grouping(&random_schema(), "k", "count(*), median(v)").splits());
}

#[test]
fn rows_are_kept_for_functions_that_cannot_order_or_tell_them_apart() {
    let strategy = |call| strategy_of(&grouping(&random_schema(), "k", call).calls()[0]);
    assert_eq!(strategy("nth_value(v, 2 ORDER BY o)"), Strategy::Kept);
    assert_eq!(strategy("avg(f ORDER BY v)"), Strategy::Kept);
    assert_eq!(strategy("stddev(DISTINCT f)"), Strategy::Kept);
    assert_eq!(strategy("array_agg(v ORDER BY o DESC)"), Strategy::Native);
    assert_eq!(strategy("string_agg(DISTINCT s, ',' ORDER BY s)"), Strategy::Native);
}

/// The sum of integers, kept as eight bytes.
#[derive(Default)]
struct Total(Vec<i64>);

impl Total {
    fn add(&mut self, values: impl Iterator<Item = i64>, groups: &[usize], total_groups: usize) {
        self.0.resize(total_groups, 0);
        groups.iter().zip(values).for_each(|(&group, value)| self.0[group] += value);
    }
}

type Answer<T> = std::result::Result<T, DataFusionError>;

impl GroupsAccumulator for Total {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Answer<()> {
        let values = values[0].as_primitive::<Int64Type>();
        let taken = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let value = |(row, value): (usize, Option<i64>)| if taken(row) { value.unwrap() } else { 0 };
        self.add(values.iter().enumerate().map(value), groups, total_groups);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total_groups: usize) -> Answer<()> {
        let number = |bytes: Option<&[u8]>| i64::from_le_bytes(bytes.unwrap().try_into().unwrap());
        self.add(states[0].as_binary::<i32>().iter().map(number), groups, total_groups);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Answer<ArrayRef> {
        Ok(Arc::new(Int64Array::from(emit_to.take_needed(&mut self.0))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Answer<Vec<ArrayRef>> {
        let bytes = emit_to.take_needed(&mut self.0).into_iter().map(|total| Some(total.to_le_bytes()));
        Ok(vec![Arc::new(bytes.collect::<BinaryArray>())])
    }

    fn convert_to_state(&self, values: &[ArrayRef], _: Option<&BooleanArray>) -> Answer<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<Int64Type>();
        Ok(vec![Arc::new(values.iter().map(|v| v.map(i64::to_le_bytes)).collect::<BinaryArray>())])
    }

    fn size(&self) -> usize {
        self.0.capacity() * 8
    }
}

#[test]
fn a_programs_aggregate_sees_the_rows_of_its_filter_without_the_nulls_that_it_does_not_take() {
    use crate::functions::{Argument, FunctionSignature};
    let input = schema("k:text v:int? ok:bool? _timestamp:time");
    let id = FunctionId("total".into());
    let argument = Argument { name: "v".into(), data_type: DataType::Int64, takes_null: false };
    let signature = FunctionSignature {
        name: "total".into(),
        arguments: vec![argument],
        result: DataType::Int64,
        nullable: true,
    };
    let arguments = vec![Expression::column(&input, 1)];
    let call = ProgramCall::new(id.clone(), arguments, Field::new("total", DataType::Int64, true))
        .with_filter(Some(Expression::column(&input, 2)))
        .skipping_nulls(&signature);
    assert_eq!(call.to_string(), "total(v) FILTER (WHERE ok)");
    let keys = vec![(Expression::column(&input, 0), "k".to_owned())];
    let grouping = Grouping::new(keys, vec![AggregateCall::program(call)]);
    let panes = crate::window::Panes::Instants { width_nanos: 1 };
    let spec = crate::window::WindowAggregate::of_rows(
        panes,
        grouping,
        Arc::clone(&input),
        None,
        crate::RowPolicy::Fail,
    )
    .unwrap();
    let mut functions = Functions::default();
    functions.add(id, ProgramAggregate::new(|| Ok(Box::new(Total::default()))));
    let rows = read_rows(&input, "a 1 true 5\na null true 5\na 2 false 5\na 4 null 5\na 8 true 5\n").unwrap();
    let mut instance = Instance::with_functions(&spec, &functions);
    instance.rows(&rows);
    instance.watermark(i64::MAX);
    let cells: Vec<String> = lines(&instance.output)
        .into_iter()
        .map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(cells, ["a 9"]);
}

#[test]
fn a_program_brings_its_own_aggregate() {
    let input = schema("k:text v:int _timestamp:time");
    let id = FunctionId("app/total".into());
    let call = ProgramCall::new(
        id.clone(),
        vec![Expression::column(&input, 1)],
        Field::new("total", DataType::Int64, true),
    );
    let keys = vec![(Expression::column(&input, 0), "k".to_owned())];
    let grouping = Grouping::new(keys, vec![AggregateCall::program(call.split())]);
    assert!(grouping.splits());
    assert_eq!(grouping.label(), "by k: app/total(v)");
    let panes = crate::window::Panes::Instants { width_nanos: 1 };
    let partial =
        crate::window::WindowPartial::new(panes, grouping, Arc::clone(&input), crate::RowPolicy::Fail)
            .unwrap();
    let merged = partial.merged(None).unwrap();
    let bytes = serde_json::to_vec(&merged).unwrap();
    let merged: crate::window::WindowAggregate = serde_json::from_slice(&bytes).unwrap();
    assert!(partial.build(&Functions::default()).is_err(), "the program is another");
    let mut functions = Functions::default();
    functions.add(id, ProgramAggregate::new(|| Ok(Box::new(Total::default()))));
    let rows = read_rows(&input, "a 1 5\nb 2 5\na 3 5\na 10 7\n").unwrap();
    let mut before = Instance::with_functions(&partial, &functions);
    before.rows(&rows);
    before.flush();
    let mut behind = Instance::with_functions(&merged, &functions);
    before.output.drain(..).for_each(|states| behind.rows(&states));
    let snapshot = behind.barrier(1);
    assert_eq!(snapshot.tables[0].rows(), 3);
    behind.watermark(i64::MAX);
    let cells: Vec<String> = lines(&behind.output)
        .into_iter()
        .map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(cells, ["a 10", "a 4", "b 2"]);
}
