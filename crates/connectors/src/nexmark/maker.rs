//! Batches of events, with the columns and fields that somebody reads.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use thalweg_dataflow::{Error, Result};

use super::auction::EVENTS_IN_FLIGHT;
use super::model::Model;
use super::rounds::{Kind, Run, Share};
use super::rows::Rows;
use super::source::{Column, NexmarkSpec};

/// Makes the batches of one source.
pub(super) struct Maker {
    schema: SchemaRef,
    columns: Vec<Column>,
    model: Model,
    nulls: Nulls,
}

impl Maker {
    pub(super) fn new(spec: &NexmarkSpec) -> Self {
        Self {
            schema: Arc::new(spec.schema.clone()),
            columns: spec.columns.clone(),
            model: Model::new(spec.seed, spec.clock),
            nulls: Nulls::default(),
        }
    }

    /// How many cells of a row are made.
    pub(super) fn cells_per_row(&self) -> usize {
        let cells = |column: &Column| match column {
            Column::Events { fields, .. } => fields.len(),
            Column::Timestamp => 1,
        };
        self.columns.iter().map(cells).sum()
    }

    /// The `rows` events of a share from its event `own` on; none where time ends before.
    pub(super) fn batch(&mut self, share: Share, own: u64, rows: usize) -> Result<Option<RecordBatch>> {
        // The latest time of all is that of an auction that stays open for twice the horizon.
        let last = share.number(own + rows as u64) + 2 * EVENTS_IN_FLIGHT + 2;
        if self.model.clock.at(last).is_none() {
            return Ok(None);
        }
        let runs = share.runs(own, rows);
        let mut columns = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            columns.push(match column {
                Column::Timestamp => timestamps(&self.model, &runs),
                Column::Events { kind, fields } => {
                    let DataType::Struct(schema) = self.schema.field(index).data_type() else {
                        return Err(Error::internal("events are no struct"));
                    };
                    let events = Rows::new(&self.model, *kind, &runs, rows);
                    structs(&events, *kind, schema, fields, &mut self.nulls)?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map(Some)
            .map_err(|e| Error::internal("columns of 'nexmark' do not fit").because(e))
    }
}

/// When each event happens.
fn timestamps(model: &Model, runs: &[Run]) -> ArrayRef {
    let time = model.clock.reader();
    let times = runs.iter().flat_map(|run| run.all()).map(|(_, event)| time(event.number()));
    Arc::new(arrow::array::TimestampNanosecondArray::from_iter_values(times))
}

/// The events of one kind, with some of their fields made.
fn structs(
    events: &Rows<'_>,
    kind: Kind,
    schema: &Fields,
    made: &[usize],
    nulls: &mut Nulls,
) -> Result<ArrayRef> {
    let field = |(index, field): (usize, &super::rows::Field)| match made.contains(&index) {
        true => (field.make)(events),
        false => Ok(nulls.of(&field.data_type, events.count())),
    };
    let fields = kind.fields().iter().enumerate().map(field).collect::<Result<Vec<_>>>()?;
    let structs = StructArray::try_new(schema.clone(), fields, Some(events.nulls().clone()))
        .map_err(|e| Error::internal("fields of 'nexmark' do not fit").because(e))?;
    Ok(Arc::new(structs))
}

/// Columns of nulls, one a type, which all batches share.
#[derive(Default)]
struct Nulls(Vec<ArrayRef>);

impl Nulls {
    fn of(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        let known = self.0.iter().position(|array| array.data_type() == data_type);
        let known = known.unwrap_or_else(|| {
            self.0.push(new_null_array(data_type, rows));
            self.0.len() - 1
        });
        if self.0[known].len() < rows {
            self.0[known] = new_null_array(data_type, rows);
        }
        self.0[known].slice(0, rows)
    }
}
