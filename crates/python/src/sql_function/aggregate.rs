//! A value for each group of rows: the methods of a class, as the engine's aggregates drive them.
//!
//! An accumulator is any object, and bytes where it is kept or crosses to another subtask.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray};
use pyo3::prelude::*;
use thalweg::engine::{
    DataFusionError, EmitTo, FunctionSignature, GroupsAccumulator, ProgramAggregate, RunningAccumulator,
};
use thalweg_dataflow::{Code, Error, Result};

use super::scalar::{arguments, push, tuple};
use crate::aggregate::keep;
use crate::attached::within;
use crate::function::Function;
use crate::object::{Object, read, write};
use crate::rows::values;

type Answer<T> = std::result::Result<T, DataFusionError>;

/// An aggregate of an object with the methods `initial`, `update`, `combine` and `output`.
pub(super) fn aggregate(
    signature: &FunctionSignature,
    aggregation: &Bound<'_, PyAny>,
) -> Result<ProgramAggregate> {
    let method = |name: &str| {
        let method = aggregation.getattr(name).map_err(|raised| {
            let what = format!("the aggregate '{}' cannot be read", signature.name);
            Error::new(Code::InvalidFunction, what).because(raised)
        })?;
        Ok(Function::new(&method, &format!("'{name}' of function"), &signature.name).of_arguments())
    };
    let methods = Arc::new(Methods {
        initial: method("initial")?,
        update: method("update")?,
        combine: method("combine")?,
        output: method("output")?,
        signature: signature.clone(),
    });
    let running = Arc::clone(&methods);
    let none = |methods: &Arc<Methods>| Groups { methods: Arc::clone(methods), accumulators: Vec::new() };
    let aggregate = ProgramAggregate::new(move || Ok(Box::new(none(&methods))));
    Ok(aggregate.with_running(move || Ok(Box::new(none(&running)))))
}

struct Methods {
    initial: Function,
    update: Function,
    combine: Function,
    output: Function,
    signature: FunctionSignature,
}

/// The accumulators of many groups; none until a group's first row.
struct Groups {
    methods: Arc<Methods>,
    accumulators: Vec<Option<Object>>,
}

impl Groups {
    fn grow(&mut self, groups: usize) {
        if self.accumulators.len() < groups {
            self.accumulators.resize_with(groups, || None);
        }
    }

    fn update(
        &mut self,
        py: Python<'_>,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let Self { methods, accumulators } = self;
        let columns = arguments(py, &methods.update, columns)?;
        for (row, &group) in groups.iter().enumerate() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            let accumulator = methods.started(py, &mut accumulators[group])?;
            let before = accumulator.0.bind(py).clone();
            let values = columns.iter().map(|column| &column[row]);
            let shown = tuple(py, values.clone())?;
            let given: Vec<_> = values.chain([&before]).collect();
            let after = methods.update.call_many(tuple(py, given.into_iter())?, shown.as_any())?;
            keep(accumulator, Ok(after)).or_else(|failure| methods.update.end(failure, shown.as_any()))?;
        }
        Ok(())
    }

    fn merge(&mut self, py: Python<'_>, states: &ArrayRef, groups: &[usize]) -> Result<()> {
        let Self { methods, accumulators } = self;
        for (state, &group) in states.as_binary::<i32>().iter().zip(groups) {
            let Some(state) = state else { continue };
            let other = methods.read(py, state)?;
            match &mut accumulators[group] {
                fresh @ None => *fresh = Some(Object(other.unbind())),
                Some(accumulator) => {
                    let both = [accumulator.0.bind(py).clone(), other];
                    let both = tuple(py, both.iter())?;
                    let after = methods.combine.call_many(both.clone(), both.as_any())?;
                    keep(accumulator, Ok(after))
                        .or_else(|failure| methods.combine.end(failure, both.as_any()))?;
                }
            }
        }
        Ok(())
    }
}

impl Methods {
    /// The accumulator of a group, which may be at its first row.
    fn started<'a>(&self, py: Python<'_>, accumulator: &'a mut Option<Object>) -> Result<&'a mut Object> {
        match accumulator {
            Some(accumulator) => Ok(accumulator),
            none => Ok(none.insert(Object(self.initial.make(py)?.unbind()))),
        }
    }

    fn read<'py>(&self, py: Python<'py>, state: &[u8]) -> Result<Bound<'py, PyAny>> {
        read(py, state).map_err(|raised| self.combine.failed(py, &raised, py.None().bind(py)))
    }

    fn states(&self, py: Python<'_>, mut accumulators: Vec<Option<Object>>) -> Result<ArrayRef> {
        let (mut column, mut bytes) = (BinaryBuilder::new(), Vec::new());
        for accumulator in &mut accumulators {
            let accumulator = self.started(py, accumulator)?.0.bind(py);
            bytes.clear();
            write(accumulator, &mut bytes).map_err(|raised| self.update.failed(py, &raised, accumulator))?;
            column.append_value(&bytes);
        }
        Ok(Arc::new(column.finish()))
    }

    fn results(&self, py: Python<'_>, accumulators: &mut [Option<Object>]) -> Result<ArrayRef> {
        let mut results = values(&self.signature.result)?;
        for accumulator in accumulators {
            let accumulator = self.started(py, accumulator)?.0.bind(py);
            let result = self.output.call(py, accumulator)?;
            push(&mut *results, &self.output, &self.signature, &result, accumulator)?;
        }
        Ok(results.finish())
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Answer<()> {
        self.grow(total_groups);
        within(|py| self.update(py, values, groups, filter)).map_err(external)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total_groups: usize) -> Answer<()> {
        self.grow(total_groups);
        within(|py| self.merge(py, &states[0], groups)).map_err(external)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Answer<ArrayRef> {
        let mut taken = emit_to.take_needed(&mut self.accumulators);
        within(|py| self.methods.results(py, &mut taken)).map_err(external)
    }

    fn state(&mut self, emit_to: EmitTo) -> Answer<Vec<ArrayRef>> {
        let taken = emit_to.take_needed(&mut self.accumulators);
        Ok(vec![within(|py| self.methods.states(py, taken)).map_err(external)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Answer<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let mut each = Groups { methods: Arc::clone(&self.methods), accumulators: Vec::new() };
        let groups: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &groups, filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.accumulators.capacity() * size_of::<Option<Object>>()
    }
}

/// One group, which is the only one.
impl RunningAccumulator for Groups {
    fn update(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.grow(1);
        let rows = values.first().map_or(0, |column| column.len());
        within(|py| Groups::update(self, py, values, &vec![0; rows], None))
    }

    fn result(&mut self) -> Result<ArrayRef> {
        self.grow(1);
        within(|py| self.methods.results(py, &mut self.accumulators))
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
