//! Computes columns from columns, row by row.
//!
//! Nothing passes by itself: the planner lists the columns that the engine
//! added (`_timestamp`, `_watermark`, `_diff`) like any others.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use thalweg_dataflow::spec::RowKind;
use thalweg_dataflow::{
    Batch, Code, Context, Error, Functions, Operator, OperatorSpec, Port, Result, Spec, Step, columns,
};

use crate::expression::{Expression, append_now};
use crate::row_policy::{Computed, RowPolicy, compute};
use crate::spec;

/// The columns that the engine adds to a user's.
const ENGINE_COLUMNS: [&str; 3] = [columns::TIMESTAMP, columns::ROW_WATERMARK, columns::DIFF];

/// A projection as plain data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Project {
    columns: Vec<Expression>,
    output: SchemaRef,
    policy: RowPolicy,
}

impl Project {
    /// The name in the registry.
    pub const KIND: &'static str = "project";

    /// One output column per expression, in order, under these names.
    ///
    /// All expressions read the same input schema, or some that schema and
    /// some [`with_now`](crate::expression::with_now) of it, where they ask
    /// for the time. One that is not repeatable is refused on changelog edges.
    pub fn new(columns: Vec<(Expression, String)>, policy: RowPolicy) -> Self {
        let fields: Vec<_> = columns.iter().map(|(expression, name)| expression.field(name)).collect();
        let columns = columns.into_iter().map(|(expression, _)| expression).collect();
        Self { columns, output: Arc::new(Schema::new(fields)), policy }
    }

    /// Selects whole columns of `input`, which costs nothing per row.
    ///
    /// # Panics
    /// If an index is not a column of `input`.
    pub fn select(input: &SchemaRef, columns: &[usize]) -> Self {
        let named = columns
            .iter()
            .map(|&index| (Expression::column(input, index), input.field(index).name().clone()))
            .collect();
        Self::new(named, RowPolicy::Fail)
    }

    /// The output columns' expressions.
    pub fn columns(&self) -> &[Expression] {
        &self.columns
    }
}

impl Spec for Project {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn encode(&self) -> Result<Vec<u8>> {
        spec::encode(self)
    }

    fn label(&self) -> String {
        let column = |(expression, field): (&Expression, &Arc<arrow::datatypes::Field>)| {
            let text = expression.to_string();
            if &text == field.name() { text } else { format!("{text} as {}", field.name()) }
        };
        let all = self.columns.iter().zip(self.output.fields());
        // The engine's own columns pass by themselves, as far as the reader is concerned.
        let own = |(expression, field): &(&Expression, &Arc<arrow::datatypes::Field>)| {
            ENGINE_COLUMNS.contains(&field.name().as_str()) && expression.as_column().is_some()
        };
        all.filter(|pair| !own(pair)).map(column).collect::<Vec<_>>().join(", ")
    }
}

impl OperatorSpec for Project {
    fn build(&self, functions: &Functions) -> Result<Box<dyn Operator>> {
        let columns = self.columns.iter().map(|column| column.bound(functions)).collect::<Result<_>>()?;
        Ok(Box::new(ProjectOperator {
            selection: self.columns.iter().map(Expression::as_column).collect(),
            needs_now: self.columns.iter().any(Expression::needs_now),
            spec: Self { columns, ..self.clone() },
        }))
    }

    fn output_schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.output)
    }

    fn accepts(&self, input: RowKind) -> bool {
        match input {
            RowKind::Append => true,
            RowKind::Changelog => self.columns.iter().all(Expression::is_repeatable),
        }
    }
}

struct ProjectOperator {
    spec: Project,
    /// The input columns, if the projection is nothing but a selection.
    selection: Option<Vec<usize>>,
    needs_now: bool,
}

impl Operator for ProjectOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        let input = if self.needs_now { append_now(&batch.records, cx.now())? } else { batch.records };
        let Computed { records, columns, refused } = match &self.selection {
            Some(selection) => {
                let columns = selection.iter().map(|&index| Arc::clone(input.column(index))).collect();
                Computed { records: input, columns, refused: 0 }
            }
            None => compute(&self.spec.columns, input, self.spec.policy)?,
        };
        let rows = records.num_rows();
        cx.counters.taken.add(rows);
        cx.counters.refused.add(refused);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let output = RecordBatch::try_new_with_options(self.spec.output_schema(), columns, &options)
            .map_err(|e| Error::new(Code::OperatorFailed, "the computed columns do not fit").because(e))?;
        cx.emit(Port::MAIN, output);
        Ok(Step::Done)
    }
}

#[cfg(test)]
mod tests {
    use thalweg_dataflow::text::read_rows;
    use thalweg_testkit::at_every_batch_size;

    use super::*;
    use crate::expression::with_now;
    use crate::testing::{expression, schema};

    #[test]
    fn columns_are_computed_and_named() {
        let input = schema("a:int b:text? _timestamp:time _diff");
        let columns = ["a * 2", "upper(b)", "_timestamp", "_diff"].map(|sql| expression(&input, sql));
        let names = ["double", "b", "_timestamp", "_diff"].map(String::from);
        let spec = Project::new(columns.into_iter().zip(names).collect(), RowPolicy::Fail);
        assert!(spec.accepts(RowKind::Changelog));
        assert!(!spec.output_schema().field(0).is_nullable() && spec.output_schema().field(1).is_nullable());
        assert_eq!(spec.label(), "a * 2 as double, upper(b) as b");
        let stream = "columns a:int b:text? _timestamp:time _diff\n1 x 5 +\n2 null 6 +\n1 x 5 -\nwm 7\nend";
        let answer = at_every_batch_size(&spec, stream).unwrap();
        assert_eq!(answer, "2 X 5 +\n4 null 6 +\n2 X 5 -\nwm 7\nend\n");
    }

    #[test]
    fn rows_that_cannot_be_computed_are_refused() {
        let input = schema("a:int b:int");
        let columns =
            vec![(expression(&input, "a / b"), "q".into()), (Expression::column(&input, 0), "a".into())];
        let spec = Project::new(columns, RowPolicy::Drop);
        let stream = "columns a:int b:int\n6 3\n1 0\n2 0\n9 3\n";
        assert_eq!(at_every_batch_size(&spec, stream).unwrap(), "2 6\n3 9\n");
    }

    #[test]
    fn the_time_is_that_of_the_call() {
        let input = schema("a:int");
        let columns = vec![
            (Expression::column(&input, 0), "a".into()),
            (expression(&with_now(&input), "_now"), "seen".into()),
        ];
        let spec = Project::new(columns, RowPolicy::Fail);
        assert!(!spec.accepts(RowKind::Changelog));
        assert_eq!(at_every_batch_size(&spec, "columns a:int\n1\nnow 9.5\n2\n").unwrap(), "1 0\n2 9.5\n");
    }

    #[test]
    fn a_selection_copies_no_values() {
        let input = schema("a:int b:text c:float");
        let records = read_rows(&input, "1 x 0.5\n").unwrap();
        let spec = Project::select(&input, &[2, 0]);
        let mut operator = spec.build(&Functions::default()).unwrap();
        let (counters, settings) = (
            Default::default(),
            thalweg_dataflow::operator::Settings {
                subtask: thalweg_state::Subtask(0),
                parallelism: 1,
                batch_rows_max: 8192,
                key_space: Default::default(),
            },
        );
        let (mut output, mut timers) = (Vec::new(), Vec::new());
        let now = thalweg_dataflow::ProcessingTime(0);
        let mut cx = Context::new(&counters, &mut output, &mut timers, &settings, now);
        operator.on_batch(Port::MAIN, Batch::new(records.clone()), &mut cx).unwrap();
        let [thalweg_dataflow::operator::Output::Batch(_, selected)] = &output[..] else {
            panic!("{output:?}")
        };
        assert!(Arc::ptr_eq(selected.column(0), records.column(2)));
        assert!(Arc::ptr_eq(selected.column(1), records.column(0)));
    }

    #[test]
    fn no_columns_are_rows_all_the_same() {
        let spec = Project::new(vec![], RowPolicy::Fail);
        assert_eq!(at_every_batch_size(&spec, "columns a:int\n1\n2\n").unwrap(), "\n\n");
    }
}
