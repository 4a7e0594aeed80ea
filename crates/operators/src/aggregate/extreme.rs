//! `min` and `max` of floats, by total order.
//!
//! DataFusion's own accumulators for many groups let NaN replace whatever came
//! before it and be replaced by whatever comes after, so the result would
//! depend on the order of rows. This one orders as DataFusion does where there
//! are no groups: −NaN, −∞, …, −0, +0, …, +∞, NaN.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{not, nullif, prep_null_mask_filter};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// An accumulator for `function` over values of this type, if it is `min` or `max` and they are floats.
pub(super) fn of_floats(function: &str, data_type: &DataType) -> Option<Box<dyn GroupsAccumulator>> {
    let wins = match function {
        "min" => Ordering::Less,
        "max" => Ordering::Greater,
        _ => return None,
    };
    match data_type {
        DataType::Float16 => Some(Box::new(Extremes::<Float16Type>::new(wins))),
        DataType::Float32 => Some(Box::new(Extremes::<Float32Type>::new(wins))),
        DataType::Float64 => Some(Box::new(Extremes::<Float64Type>::new(wins))),
        _ => None,
    }
}

/// The extreme value of each group. It is its own state.
struct Extremes<T: ArrowPrimitiveType> {
    /// Of a group without a value: anything.
    values: Vec<T::Native>,
    /// Whether a group has a value.
    known: Vec<bool>,
    /// What a new value must be, compared with the old one, to replace it.
    wins: Ordering,
}

impl<T: ArrowPrimitiveType> Extremes<T> {
    fn new(wins: Ordering) -> Self {
        Self { values: Vec::new(), known: Vec::new(), wins }
    }

    fn take(&mut self, group: usize, value: T::Native) {
        let (known, extreme) = (&mut self.known[group], &mut self.values[group]);
        if !*known || value.compare(*extreme) == self.wins {
            *known = true;
            *extreme = value;
        }
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Extremes<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.values.resize(total_num_groups, T::default_value());
        self.known.resize(total_num_groups, false);
        let counting = counting(&values[0], filter)?;
        let values = counting.as_primitive::<T>();
        match values.nulls().filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) => {
                nulls.valid_indices().for_each(|row| self.take(group_indices[row], values.value(row)))
            }
            None => {
                values
                    .values()
                    .iter()
                    .zip(group_indices)
                    .for_each(|(&value, &group)| self.take(group, value));
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(states, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = emit_to.take_needed(&mut self.values);
        let known = emit_to.take_needed(&mut self.known);
        Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), Some(NullBuffer::from(known)))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(vec![counting(&values[0], filter)?])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.known.capacity()
    }
}

/// The values with null for each row that the filter does not let through.
fn counting(values: &ArrayRef, filter: Option<&BooleanArray>) -> Result<ArrayRef> {
    let Some(filter) = filter else { return Ok(Arc::clone(values)) };
    let through = if filter.null_count() > 0 { &prep_null_mask_filter(filter) } else { filter };
    Ok(nullif(values, &not(through)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Float64Array;

    const HARD: [f64; 8] = [0.0, f64::NAN, -1.0, f64::NEG_INFINITY, -f64::NAN, f64::INFINITY, -0.0, f64::MAX];

    fn least_of(order: &[usize], batch: usize) -> Vec<u64> {
        let mut least = of_floats("min", &DataType::Float64).unwrap();
        for rows in order.chunks(batch) {
            let values: ArrayRef =
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|&row| HARD[row])));
            let groups: Vec<usize> = rows.iter().map(|row| row % 2).collect();
            least.update_batch(&[values], &groups, None, 3).unwrap();
        }
        let first = least.evaluate(EmitTo::First(1)).unwrap();
        let rest = least.evaluate(EmitTo::All).unwrap();
        assert!(rest.is_null(1), "a group without a value");
        let bits = |array: &ArrayRef| array.as_primitive::<Float64Type>().value(0).to_bits();
        vec![bits(&first), bits(&rest)]
    }

    #[test]
    fn order_and_batches_change_nothing() {
        let expected = vec![(-f64::NAN).to_bits(), f64::NEG_INFINITY.to_bits()];
        for turn in 0..HARD.len() {
            let mut order: Vec<usize> = (0..HARD.len()).collect();
            order.rotate_left(turn);
            for batch in [1, 3, 8] {
                assert_eq!(least_of(&order, batch), expected);
                assert_eq!(least_of(&order.iter().rev().copied().collect::<Vec<_>>(), batch), expected);
            }
        }
    }

    #[test]
    fn a_state_is_the_value_where_the_filter_lets_it_through() {
        let most = of_floats("max", &DataType::Float64).unwrap();
        let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(2.0)]));
        let filter = BooleanArray::from(vec![Some(true), Some(true), None, Some(false)]);
        let states = most.convert_to_state(&[values], Some(&filter)).unwrap();
        assert_eq!(
            states[0].as_primitive::<Float64Type>(),
            &Float64Array::from(vec![Some(1.0), None, None, None])
        );
    }
}
