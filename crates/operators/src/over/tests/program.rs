//! A program's own aggregate over frames: what DataFusion's own gives.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use thalweg_dataflow::function::FunctionId;
use thalweg_dataflow::{Functions, Spec};

use super::{FRAMES, MakeCall, one_window, try_over_with};
use crate::aggregate::planned::{Instance, by_datafusion, lines, random_schema};
use crate::aggregate::{DataFusionError, EmitTo, GroupsAccumulator, ProgramAggregate, RunningAccumulator};
use crate::functions::{Argument, FunctionSignature};
use crate::over::{Over, WindowCall};

/// The sums of integers that are never null, of one group; none of no rows. It must not be asked for a state.
#[derive(Default)]
struct Sum(Vec<Option<i64>>);

impl Sum {
    fn add(&mut self, values: &[ArrayRef]) {
        assert!(values[0].null_count() == 0);
        self.0.resize(1, None);
        let values = values[0].as_primitive::<Int64Type>();
        values.values().iter().for_each(|value| self.0[0] = Some(self.0[0].unwrap_or(0) + value));
    }

    fn column(&self) -> ArrayRef {
        Arc::new(Int64Array::from(self.0.clone()))
    }
}

type Answer<T> = Result<T, DataFusionError>;

impl GroupsAccumulator for Sum {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Answer<()> {
        assert!(groups.iter().all(|&group| group == 0) && total_groups == 1 && filter.is_none());
        self.add(values);
        Ok(())
    }

    fn evaluate(&mut self, _: EmitTo) -> Answer<ArrayRef> {
        Ok(self.column())
    }

    fn merge_batch(&mut self, _: &[ArrayRef], _: &[usize], _: usize) -> Answer<()> {
        unreachable!()
    }

    fn state(&mut self, _: EmitTo) -> Answer<Vec<ArrayRef>> {
        unreachable!()
    }

    fn convert_to_state(&self, _: &[ArrayRef], _: Option<&BooleanArray>) -> Answer<Vec<ArrayRef>> {
        unreachable!()
    }

    fn size(&self) -> usize {
        0
    }
}

impl RunningAccumulator for Sum {
    fn update(&mut self, values: &[ArrayRef]) -> thalweg_dataflow::Result<()> {
        assert!(!values[0].is_empty());
        self.add(values);
        Ok(())
    }

    fn result(&mut self) -> thalweg_dataflow::Result<ArrayRef> {
        self.0.resize(1, None);
        Ok(self.column())
    }
}

fn kept() -> ProgramAggregate {
    ProgramAggregate::new(|| Ok(Box::new(Sum::default())))
}

fn programs(call: &str) -> Over {
    let argument = Argument { name: "v".into(), data_type: DataType::Int64, takes_null: false };
    let signature = FunctionSignature {
        name: "total".into(),
        arguments: vec![argument],
        result: DataType::Int64,
        nullable: true,
    };
    let make: Box<MakeCall> = Box::new(move |_, arguments, frame, name| {
        WindowCall::program(FunctionId("app/total".into()), signature.clone(), arguments, frame, name)
    });
    try_over_with(&random_schema(), call, vec![0], &*make).unwrap()
}

/// Whether the result of each row is that of DataFusion's `sum`.
fn sums(aggregate: ProgramAggregate, over: &str) {
    let rows = one_window(3, 60);
    let mut functions = Functions::default();
    functions.add(FunctionId("app/total".into()), aggregate);
    for filter in ["", "FILTER (WHERE b)"] {
        let call = format!("sum(v) {filter} OVER ({over})");
        let mut instance = Instance::with_functions(&programs(&call), &functions);
        instance.rows(&rows);
        instance.watermark(1000);
        let all = "k, j, v, f, s, b, o";
        let expected = by_datafusion(&rows, &format!("SELECT {all}, {call}, _timestamp, _watermark FROM t"));
        assert_eq!(lines(&instance.output), expected, "{call}");
    }
}

/// Frames that have no rows for some, or lose rows in lumps.
const HARD: &[&str] = &[
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING",
    "ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "RANGE BETWEEN 100000 PRECEDING AND 1 PRECEDING",
    "GROUPS BETWEEN 4 PRECEDING AND 3 PRECEDING",
    "ROWS BETWEEN 5 FOLLOWING AND UNBOUNDED FOLLOWING",
];

#[test]
fn over_every_frame_it_is_that_of_datafusion() {
    for aggregate in [kept(), kept().with_running(|| Ok(Box::new(Sum::default())))] {
        for frame in FRAMES.iter().chain(HARD) {
            sums(aggregate.clone(), &format!("PARTITION BY k ORDER BY o {frame}"));
        }
        sums(aggregate.clone(), "PARTITION BY k");
        sums(aggregate.clone(), "PARTITION BY k ORDER BY j");
    }
}

#[test]
fn a_frame_that_grows_is_not_aggregated_anew() {
    let never = ProgramAggregate::new(|| panic!("a frame that grows is aggregated anew"));
    sums(never.with_running(|| Ok(Box::new(Sum::default()))), "PARTITION BY k ORDER BY o");
}

#[test]
fn it_survives_its_way_through_bytes_and_is_another_with_another_frame() {
    let spec = programs("sum(v) OVER (PARTITION BY k ORDER BY o)");
    assert_eq!(spec.label(), "app/total(v) over (partition by k order by o)");
    let again: Over = serde_json::from_slice(&spec.encode().unwrap()).unwrap();
    assert_eq!(again.fingerprint(), spec.fingerprint());
    let other = programs("sum(v) OVER (PARTITION BY k ORDER BY o ROWS 3 PRECEDING)");
    assert_ne!(other.fingerprint(), spec.fingerprint());
}

#[test]
fn a_process_without_the_function_is_told() {
    use thalweg_dataflow::OperatorSpec;
    let built = programs("sum(v) OVER (PARTITION BY k)").build(&Functions::default());
    assert!(built.is_err_and(|error| error.to_string().contains("app/total")));
}
