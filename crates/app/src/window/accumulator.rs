//! A program's accumulators, one for each group, as the window operators drive them.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use thalweg_dataflow::Result;
use thalweg_operators::aggregate::{DataFusionError, EmitTo, GroupsAccumulator};

use super::Aggregation;
use crate::columns::{Layout, Record};
use crate::segment::Enter;

type Answer<T> = Result<T, DataFusionError>;

/// The accumulators of many groups. Their state and their result are one and
/// the same column: the aggregation's output is a step behind the window.
pub(super) struct Groups<K, T, A: Aggregation<K, T>> {
    calls: Calls<K, T, A>,
    accumulators: Vec<A::Accumulator>,
    enter: Enter,
}

impl<K, T, A: Aggregation<K, T>> Groups<K, T, A> {
    pub(super) fn new(
        aggregation: Arc<A>,
        record: Layout<T>,
        state: Layout<A::Accumulator>,
        enter: Enter,
    ) -> Self {
        let calls = Calls { aggregation, record, state, keys: PhantomData };
        Self { calls, accumulators: Vec::new(), enter }
    }
}

impl<K: 'static, T: Record, A: Aggregation<K, T>> GroupsAccumulator for Groups<K, T, A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Answer<()> {
        let Self { calls, accumulators, enter } = self;
        let update = || -> Result<()> {
            calls.grow(accumulators, total_groups)?;
            let records = calls.record.read(&values[0])?;
            for (row, (record, &group)) in records.zip(groups).enumerate() {
                if filter.is_none_or(|filter| filter.value(row)) {
                    calls.aggregation.update(record, &mut accumulators[group])?;
                }
            }
            Ok(())
        };
        enter.within(update).map_err(external)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total_groups: usize) -> Answer<()> {
        let Self { calls, accumulators, enter } = self;
        let merge = || -> Result<()> {
            calls.grow(accumulators, total_groups)?;
            let states = calls.state.read(&states[0])?;
            for (state, &group) in states.zip(groups) {
                calls.aggregation.combine(&mut accumulators[group], state)?;
            }
            Ok(())
        };
        enter.within(merge).map_err(external)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Answer<ArrayRef> {
        let Self { calls, accumulators, enter } = self;
        enter.within(|| calls.column(&emit_to.take_needed(accumulators))).map_err(external)
    }

    fn state(&mut self, emit_to: EmitTo) -> Answer<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Answer<Vec<ArrayRef>> {
        let Self { calls, enter, .. } = self;
        let state = |(row, record)| {
            let mut accumulator = calls.aggregation.initial()?;
            if filter.is_none_or(|filter| filter.value(row)) {
                calls.aggregation.update(record, &mut accumulator)?;
            }
            Ok(accumulator)
        };
        let convert = || -> Result<ArrayRef> {
            let records = calls.record.read(&values[0])?;
            calls.column(&records.enumerate().map(state).collect::<Result<Vec<_>>>()?)
        };
        Ok(vec![enter.within(convert).map_err(external)?])
    }

    fn size(&self) -> usize {
        self.accumulators.capacity() * size_of::<A::Accumulator>()
    }
}

/// The aggregation, and how its records and accumulators are written.
struct Calls<K, T, A: Aggregation<K, T>> {
    aggregation: Arc<A>,
    record: Layout<T>,
    state: Layout<A::Accumulator>,
    keys: PhantomData<fn(K)>,
}

impl<K, T: Record, A: Aggregation<K, T>> Calls<K, T, A> {
    fn grow(&self, accumulators: &mut Vec<A::Accumulator>, groups: usize) -> Result<()> {
        while accumulators.len() < groups {
            accumulators.push(self.aggregation.initial()?);
        }
        Ok(())
    }

    fn column(&self, accumulators: &[A::Accumulator]) -> Result<ArrayRef> {
        let mut writer = self.state.writer()?;
        accumulators.iter().try_for_each(|one| writer.push(one).map(drop))?;
        writer.finish()
    }
}

fn external(error: thalweg_dataflow::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
