//! All groups: their keys, their states, and what was last asserted of them.
//!
//! ```text
//! groups     key group │ keys… │ states… │ results that are not a state… │ _timestamp      (upsert)
//! distinct   key group │ keys… │ _call │ the arguments of each call…                      (upsert)
//! ```

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::{concat, take_arrays};
use arrow::datatypes::{SchemaRef, TimestampNanosecondType};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use thalweg_dataflow::{Code, Error, Functions, Result};
use thalweg_state::{Epoch, KeyGroup, KeyGroups, KeySpace, Table, TableError};

use super::changes::{mark_changed, rows};
use super::distinct::Seen;
use super::index::KeyIndex;
use super::touched::{Touched, Toucher};
use crate::aggregate::{AggregateCall, CallColumns, Columns, Grouping, failed, schema_of};
use crate::durable::key_groups_of;
use crate::window::timestamp_field;

pub(super) const GROUPS: &str = "groups";

/// One call: its kernel, and where its columns are in the table.
pub(super) struct Kernel {
    pub(super) call: AggregateCall,
    accumulator: Box<dyn GroupsAccumulator>,
    states: Range<usize>,
    /// The column of results; the state itself where that is the result.
    value: usize,
    /// The values already seen, if only distinct ones count.
    pub(super) seen: Option<Seen>,
    /// State and result over no row, if that may be asked for: where there are no keys.
    of_nothing: Option<(Columns, ArrayRef)>,
}

impl Kernel {
    fn is_its_state(&self) -> bool {
        self.states.contains(&self.value)
    }
}

/// What a kernel made of a batch, by slot.
struct Computed {
    states: Columns,
    old_value: ArrayRef,
    new_value: ArrayRef,
}

/// The groups of one subtask.
pub(super) struct Groups {
    pub(super) keys: KeyIndex,
    pub(super) key_columns: usize,
    pub(super) table: Table,
    pub(super) kernels: Vec<Kernel>,
    pub(super) key_space: KeySpace,
    /// The key groups that live here.
    pub(super) owned: KeyGroups,
    /// Key groups that left, while groups of theirs may still lie here.
    pub(super) gone: KeyGroups,
    pub(super) toucher: Toucher,
    pub(super) ids: Vec<usize>,
    output: SchemaRef,
}

impl Groups {
    pub(super) fn new(grouping: &Grouping, output: &SchemaRef, functions: &Functions) -> Result<Self> {
        let key_columns = grouping.keys().len();
        let mut columns = vec![grouping.key_fields()];
        let mut kernels = Vec::new();
        let mut next = key_columns;
        for call in grouping.calls() {
            let seen = call.is_distinct().then(|| Seen::new(call)).transpose()?;
            let call = call.without_distinct()?;
            let fields = call.state_fields()?;
            let states = next..next + fields.len();
            next = states.end;
            columns.push(fields);
            let value = if call.is_its_state() { states.start } else { next };
            if value == next {
                columns.push(vec![call.field()]);
                next += 1;
            }
            let of_nothing = (key_columns == 0).then(|| call.of_nothing(functions)).transpose()?;
            let accumulator = call.accumulator(functions)?;
            kernels.push(Kernel { accumulator, call, states, value, seen, of_nothing });
        }
        columns.push(vec![timestamp_field()]);
        Ok(Self {
            keys: KeyIndex::new(schema_of([grouping.key_fields()]))?,
            key_columns,
            table: Table::new(
                GROUPS,
                key_columns,
                super::snapshot::numbered(schema_of(columns), key_columns),
            )
            .map_err(store)?,
            kernels,
            key_space: KeySpace::default(),
            owned: KeyGroups::default(),
            gone: KeyGroups::default(),
            toucher: Toucher::default(),
            ids: Vec::new(),
            output: Arc::clone(output),
        })
    }

    /// Takes rows; gives retracts and asserts.
    pub(super) fn update(
        &mut self,
        keys: &[ArrayRef],
        columns: &[ArrayRef],
        calls: &[CallColumns],
        times: &[i64],
    ) -> Result<Vec<RecordBatch>> {
        let before = self.table.len();
        self.keys.intern(keys, times.len(), &mut self.ids)?;
        let touched = self.toucher.touch(&self.ids, before, self.keys.len());
        let first_rows = UInt32Array::from(touched.first_rows.clone());
        let keys = take_arrays(keys, &first_rows, None).map_err(|e| failed(e.into()))?;
        let keys = self.as_asserted(keys, &touched.old)?;
        let new_groups =
            self.key_groups(&slice(&keys, touched.old.len(), touched.len()), self.keys.len() - before)?;
        let mut computed = Vec::with_capacity(calls.len());
        for (index, call) in calls.iter().enumerate() {
            computed.push(self.compute(index, columns, call, &touched, &new_groups)?);
        }
        let newest = touched.greatest(times);
        let changes = self.change(&touched, keys, computed, &new_groups, newest)?;
        self.toucher.recycle(touched);
        Ok(changes)
    }

    /// Keys can be equal and not the same: zero has two signs. What is known of a group is retracted
    /// with the key it was asserted with.
    fn as_asserted(&self, keys: Columns, old: &[u32]) -> Result<Columns> {
        let as_asserted = |(column, values): (usize, ArrayRef)| {
            if !values.data_type().is_floating() && !values.data_type().is_nested() {
                return Ok(values);
            }
            let known = self.table.gather(old, column).map_err(store)?;
            let new = values.slice(old.len(), values.len() - old.len());
            concat(&[&known, &new]).map_err(|e| failed(e.into()))
        };
        keys.into_iter().enumerate().map(as_asserted).collect()
    }

    /// The new state and result of every touched group.
    fn compute(
        &mut self,
        index: usize,
        columns: &[ArrayRef],
        call: &CallColumns,
        touched: &Touched,
        new_groups: &[KeyGroup],
    ) -> Result<Computed> {
        let Self { kernels, table, ids, .. } = self;
        let kernel = &mut kernels[index];
        let (arguments, filter) = call.of(columns);
        let before = table.len();
        let first_of_pair = match &mut kernel.seen {
            None => None,
            Some(seen) => {
                let group =
                    |id: usize| if id < before { table.group(id as u32) } else { new_groups[id - before] };
                Some(seen.first_of(ids, &arguments[..kernel.call.arguments().len()], filter, group)?)
            }
        };
        let filter = first_of_pair.as_ref().or(filter);
        let old = touched.old.len();
        let slots: Vec<usize> = (0..touched.len()).collect();
        let gather = |column| table.gather(&touched.old, column).map_err(store);
        let old_states = kernel.states.clone().map(gather).collect::<Result<Columns>>()?;
        let is_its_state = kernel.is_its_state();
        let accumulator = &mut kernel.accumulator;
        if old > 0 {
            accumulator.merge_batch(&old_states, &slots[..old], old).map_err(failed)?;
        }
        accumulator.update_batch(arguments, &touched.slots, filter, touched.len()).map_err(failed)?;
        let states = accumulator.state(EmitTo::All).map_err(failed)?;
        if is_its_state {
            let [old_value, new_value] = [&old_states[0], &states[0]].map(Arc::clone);
            return Ok(Computed { states, old_value, new_value });
        }
        accumulator.merge_batch(&states, &slots, touched.len()).map_err(failed)?;
        let new_value = accumulator.evaluate(EmitTo::All).map_err(failed)?;
        Ok(Computed { states, old_value: gather(kernel.value)?, new_value })
    }

    /// Writes down the new states, and says what is different.
    fn change(
        &mut self,
        touched: &Touched,
        keys: Columns,
        computed: Vec<Computed>,
        new_groups: &[KeyGroup],
        newest: Vec<i64>,
    ) -> Result<Vec<RecordBatch>> {
        let (old, all) = (touched.old.len(), touched.len());
        let mut changed = vec![false; old];
        for call in &computed {
            mark_changed(&call.old_value, &call.new_value.slice(0, old), &mut changed)?;
        }
        let time_column = self.time_column();
        let old_times = self.table.gather(&touched.old, time_column).map_err(store)?;
        let old_times = old_times.as_primitive::<TimestampNanosecondType>().values().to_vec();
        let mut new_times = newest;
        for (slot, (&was, &changed)) in old_times.iter().zip(&changed).enumerate() {
            new_times[slot] = if changed { was.max(new_times[slot]) } else { was };
        }
        self.write(touched, &keys, &computed, new_groups, &new_times)?;
        let old_row: Columns = slice(&keys, 0, old)
            .into_iter()
            .chain(computed.iter().map(|c| Arc::clone(&c.old_value)))
            .collect();
        let new_row: Columns = keys.into_iter().chain(computed.into_iter().map(|c| c.new_value)).collect();
        let retracted: BooleanArray = changed.iter().map(|&c| Some(c)).collect();
        let asserted: BooleanArray =
            changed.into_iter().chain(std::iter::repeat_n(true, all - old)).map(Some).collect();
        let retracts = rows(&self.output, &old_row, old_times, &retracted, -1)?;
        let asserts = rows(&self.output, &new_row, new_times, &asserted, 1)?;
        Ok(retracts.into_iter().chain(asserts).collect())
    }

    fn write(
        &mut self,
        touched: &Touched,
        keys: &[ArrayRef],
        computed: &[Computed],
        new_groups: &[KeyGroup],
        times: &[i64],
    ) -> Result<()> {
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times.to_vec()));
        let mut columns = keys.to_vec();
        for (kernel, computed) in self.kernels.iter().zip(computed) {
            columns.extend(computed.states.iter().cloned());
            if !kernel.is_its_state() {
                columns.push(Arc::clone(&computed.new_value));
            }
        }
        columns.push(times);
        let (old, all) = (touched.old.len(), touched.len());
        for (column, values) in columns.iter().enumerate().skip(self.key_columns) {
            self.table.scatter(&touched.old, column, &values.slice(0, old)).map_err(store)?;
        }
        self.table.push(new_groups, &slice(&columns, old, all)).map_err(store)
    }

    fn time_column(&self) -> usize {
        self.table.schema().fields().len() - 1
    }

    /// Where keys live.
    pub(super) fn key_groups(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<KeyGroup>> {
        key_groups_of(self.key_space, keys, rows)
    }

    /// The result of a grouping without keys if there was no row, once.
    pub(super) fn result_over_nothing(&mut self) -> Result<Option<RecordBatch>> {
        if self.key_columns > 0 || !self.table.is_empty() || self.kernels.is_empty() {
            return Ok(None);
        }
        let new_groups = self.key_groups(&[], 1)?;
        if !new_groups.iter().all(|&group| self.owned.contains(group)) {
            return Ok(None);
        }
        self.keys.intern(&[], 1, &mut self.ids)?;
        let touched = self.toucher.touch(&self.ids, 0, 1);
        let computed = self.kernels.iter().filter_map(computed_over_nothing).collect();
        let changes = self.change(&touched, Vec::new(), computed, &new_groups, vec![0])?;
        Ok(changes.into_iter().next())
    }

    pub(super) fn on_settled(&mut self, epoch: Epoch, complete: bool) {
        let seen = self.kernels.iter_mut().filter_map(|kernel| kernel.seen.as_mut());
        let tables = seen.map(|seen| &mut seen.table).chain([&mut self.table]);
        tables.for_each(|table| table.on_settled(epoch, complete));
    }

    /// The bytes held in memory.
    pub(super) fn bytes(&self) -> usize {
        let seen = self.kernels.iter().filter_map(|kernel| kernel.seen.as_ref());
        self.keys.bytes() + self.table.bytes() + self.toucher.bytes() + seen.map(Seen::bytes).sum::<usize>()
    }
}

fn computed_over_nothing(kernel: &Kernel) -> Option<Computed> {
    let (states, new_value) = kernel.of_nothing.clone()?;
    Some(Computed { states, old_value: new_value.slice(0, 0), new_value })
}

fn slice(columns: &[ArrayRef], from: usize, to: usize) -> Columns {
    columns.iter().map(|column| column.slice(from, to - from)).collect()
}

/// A table refused what it was given.
pub(super) fn store(error: TableError) -> Error {
    let code = match error {
        TableError::Unsupported { .. } => Code::InvalidAggregate,
        TableError::Full { .. } => Code::LimitReached,
        TableError::Mismatch { .. } | TableError::Arrow { .. } => Code::Internal,
    };
    Error::new(code, error.to_string())
}
