//! Functions of whole batches: columns to Python, and what comes back as the columns that were declared.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{DataType, FieldRef, Fields, Schema, UInt32Type};
use thalweg_app::{Mapped, Rows};
use thalweg_dataflow::column_type::fitted;
use thalweg_dataflow::{Error, Result};

use crate::attached::attached;
use crate::call::Call;
use crate::capsule::{export, import_batch};
use crate::function::{Failure, Judged};

/// A column that a program declares, and its type as the program wrote it.
pub(crate) type Declared = (FieldRef, Arc<str>);

/// Rows that a function of batches makes: it gives these columns, and perhaps one that tells from
/// which row each comes.
pub(crate) fn map(
    rows: Rows,
    name: &str,
    call: Call,
    columns: Vec<Declared>,
    origin: Option<String>,
) -> Rows {
    let Call { function, letters } = call;
    let fields: Fields = columns.iter().map(|(field, _)| Arc::clone(field)).collect();
    let nothing = nothing(&fields);
    let call = move |batch: &RecordBatch| -> Result<Judged<Mapped>> {
        attached(|py| {
            let given = export(py, batch)
                .map_err(|raised| Error::internal("a batch cannot be given to Python").because(raised))?;
            let judged = match function.try_call(py, &given) {
                Ok(result) => {
                    let result = import_batch(&result)
                        .map_err(|raised| format!("gave no columns: {}", raised.value(py)))
                        .and_then(|result| mapped(&result, &columns, origin.as_deref()))
                        .and_then(|mapped| mapped.check(batch.num_rows()).map(|()| mapped));
                    match result {
                        Ok(mapped) => return Ok(Ok(mapped)),
                        Err(what) => function.judge(Failure::Wrong(what), &given)?,
                    }
                }
                Err(raised) => function.judge(raised, &given)?,
            };
            Ok(judged.unwrap_or_else(|| Ok(nothing.clone())))
        })
    };
    match letters {
        Some(letters) => rows.map_batches_divided(name, fields, &letters, call),
        None => {
            let unasked = || Error::internal("a batch has a dead letter, and nobody asked for it");
            rows.map_batches(name, fields, move |batch| call(batch)?.map_err(|_| unasked()))
        }
    }
}

/// What is left of a batch that is skipped.
fn nothing(fields: &Fields) -> Mapped {
    let rows = RecordBatch::new_empty(Arc::new(Schema::new(fields.clone())));
    Mapped { rows, origins: Some(UInt32Array::from(Vec::<u32>::new())) }
}

/// The declared columns among those that a function gave, or what is wrong with them.
fn mapped(
    given: &RecordBatch,
    columns: &[Declared],
    origin: Option<&str>,
) -> std::result::Result<Mapped, String> {
    let named = |name: &str| {
        given.column_by_name(name).ok_or_else(|| {
            let schema = given.schema_ref();
            let there: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            format!("gave no column '{name}', only '{}'", there.join("', '"))
        })
    };
    let column = |(field, declared): &Declared| {
        let column = fitted(named(field.name())?, field.data_type())
            .map_err(|why| format!("gave a column '{}' that is no {declared}: {why}", field.name()))?;
        match column.null_count() {
            1.. if !field.is_nullable() => {
                Err(format!("gave a column '{}' with nulls, and it is {declared}", field.name()))
            }
            _ => Ok(column),
        }
    };
    let arrays = columns.iter().map(column).collect::<std::result::Result<Vec<_>, _>>()?;
    let origins = origin.map(|name| origins(named(name)?, name)).transpose()?;
    let schema = Schema::new(columns.iter().map(|(field, _)| Arc::clone(field)).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(given.num_rows()));
    let rows = RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options);
    rows.map(|rows| Mapped { rows, origins }).map_err(|why| format!("gave no batch: {why}"))
}

fn origins(column: &ArrayRef, name: &str) -> std::result::Result<UInt32Array, String> {
    let numbers = fitted(column, &DataType::UInt32)
        .map_err(|why| format!("gave a column '{name}' that does not number rows: {why}"))?;
    Ok(numbers.as_primitive::<UInt32Type>().clone())
}
