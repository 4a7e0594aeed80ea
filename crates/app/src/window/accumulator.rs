//! A program's accumulators, one for each group, as the window operators drive them.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use thalweg_operators::aggregate::{DataFusionError, EmitTo, GroupsAccumulator};

use super::Aggregation;
use crate::columns::{Layout, Record};

type Answer<T> = Result<T, DataFusionError>;

/// The accumulators of many groups. Their state and their result are one and
/// the same column: the aggregation's output is a step behind the window.
pub(super) struct Groups<K, T, A: Aggregation<K, T>> {
    aggregation: Arc<A>,
    record: Layout<T>,
    state: Layout<A::Accumulator>,
    accumulators: Vec<A::Accumulator>,
    keys: PhantomData<fn(K)>,
}

impl<K, T, A: Aggregation<K, T>> Groups<K, T, A> {
    pub(super) fn new(aggregation: Arc<A>, record: Layout<T>, state: Layout<A::Accumulator>) -> Self {
        Self { aggregation, record, state, accumulators: Vec::new(), keys: PhantomData }
    }
}

impl<K: 'static, T: Record, A: Aggregation<K, T>> Groups<K, T, A> {
    fn grow(&mut self, groups: usize) {
        let Self { aggregation, accumulators, .. } = self;
        accumulators.resize_with(groups.max(accumulators.len()), || aggregation.initial());
    }

    fn column(&self, accumulators: &[A::Accumulator]) -> Answer<ArrayRef> {
        let mut writer = self.state.writer().map_err(external)?;
        accumulators.iter().try_for_each(|one| writer.push(one).map(drop)).map_err(external)?;
        writer.finish().map_err(external)
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
        self.grow(total_groups);
        let records = self.record.read(&values[0]).map_err(external)?;
        for (row, (record, &group)) in records.zip(groups).enumerate() {
            if filter.is_none_or(|filter| filter.value(row)) {
                self.aggregation.update(record, &mut self.accumulators[group]);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total_groups: usize) -> Answer<()> {
        self.grow(total_groups);
        let states = self.state.read(&states[0]).map_err(external)?;
        for (state, &group) in states.zip(groups) {
            self.aggregation.combine(&mut self.accumulators[group], state);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Answer<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.accumulators);
        self.column(&taken)
    }

    fn state(&mut self, emit_to: EmitTo) -> Answer<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Answer<Vec<ArrayRef>> {
        let records = self.record.read(&values[0]).map_err(external)?;
        let state = |(row, record)| {
            let mut accumulator = self.aggregation.initial();
            if filter.is_none_or(|filter| filter.value(row)) {
                self.aggregation.update(record, &mut accumulator);
            }
            accumulator
        };
        let states: Vec<A::Accumulator> = records.enumerate().map(state).collect();
        Ok(vec![self.column(&states)?])
    }

    fn size(&self) -> usize {
        self.accumulators.capacity() * size_of::<A::Accumulator>()
    }
}

fn external(error: thalweg_dataflow::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
