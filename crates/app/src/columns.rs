//! Rust values as columns, and back.
//!
//! What a value looks like is told by serde. Texts, bytes, numbers and flags
//! lie directly in a column of their own; what serde can describe ahead of any
//! value lies in columns by its fields; all else is opaque, one column of
//! bytes that hold JSON.
//!
//! ```text
//!  String, Vec<u8>, bool, integers, floats  ─► native   one column, without serde
//!  what a program describes itself          ─► given    one column, without serde
//!  structs, tuples, options, lists, maps    ─► traced   one column, nested by serde_arrow
//!  enums with data, recursion, any value    ─► opaque   one column of JSON
//! ```

mod native;
mod readable;
mod traced;

use std::any::type_name;

use arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use thalweg_dataflow::{Code, Error, Result, columns};
use thalweg_state::hash_keys;

use native::Native;
pub(crate) use readable::told;
pub use readable::{Readable, ReadableField, ReadableFields};

/// A value that can cross from one subtask to another, and into SQL.
///
/// Whatever serde can write and read is one.
pub trait Record: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Record for T {}

/// Values read from columns, in row order.
pub type Values<T> = Box<dyn Iterator<Item = T> + Send>;

/// Values on their way into a column.
pub trait Write<T>: Send {
    /// Appends a value; answers about how many bytes it takes.
    fn push(&mut self, value: &T) -> Result<usize>;

    /// The column of all values since the last call.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// How values lie in one column, where a program says so itself; see
/// [`Application::state_in`](crate::Application::state_in) and [`Stream::keyed_in`](crate::Stream::keyed_in).
pub trait Columnar<T>: Send + Sync {
    /// The type of the column.
    fn data_type(&self) -> DataType;

    /// Whether a value may be null.
    fn is_nullable(&self) -> bool;

    /// An empty column to write into.
    fn writer(&self) -> Result<Box<dyn Write<T>>>;

    /// The values of a column that was written so, or of one that is [readable](Self::readable).
    fn read(&self, column: &ArrayRef) -> Result<Values<T>>;

    /// Of which columns an earlier version of the program may have kept a state that this goes on with.
    fn readable(&self) -> Readable {
        Readable::Column(vec![self.data_type()])
    }
}

/// Records on their way into the columns of a table, which a program may choose itself; see
/// [`Stream::rows_with`](crate::Stream::rows_with).
pub trait WriteRows<T>: Send {
    /// Appends a record; answers about how many bytes it takes.
    fn push(&mut self, record: &T) -> Result<usize>;

    /// The columns of all records since the last call.
    fn finish(&mut self) -> Result<Vec<ArrayRef>>;
}

/// The rows without the engine's own columns.
pub(crate) fn without_own(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema_ref();
    let own = |name: &str| [columns::TIMESTAMP, columns::ROW_WATERMARK].contains(&name);
    let others: Vec<usize> =
        (0..schema.fields().len()).filter(|&index| !own(schema.field(index).name())).collect();
    batch.project(&others).map_err(|e| Error::internal("rows have lost a column").because(e))
}

/// How values of a type lie in one column.
pub(crate) struct Layout<T> {
    data_type: DataType,
    nullable: bool,
    form: Form<T>,
}

enum Form<T> {
    Native(Native<T>),
    Given(Arc<dyn Columnar<T>>),
    Traced(FieldRef),
    Opaque,
}

impl<T> Clone for Layout<T> {
    fn clone(&self) -> Self {
        let form = match &self.form {
            Form::Native(native) => Form::Native(native.clone()),
            Form::Given(given) => Form::Given(Arc::clone(given)),
            Form::Traced(field) => Form::Traced(Arc::clone(field)),
            Form::Opaque => Form::Opaque,
        };
        Self { data_type: self.data_type.clone(), nullable: self.nullable, form }
    }
}

impl<T: Record> Layout<T> {
    /// Finds out what values of this type look like.
    pub(crate) fn find() -> Self {
        if let Some(native) = native::find::<T>() {
            return Self { data_type: native.data_type.clone(), nullable: false, form: Form::Native(native) };
        }
        match traced::item::<T>() {
            Some(field) => Self {
                data_type: field.data_type().clone(),
                nullable: field.is_nullable(),
                form: Form::Traced(field),
            },
            None => Self { data_type: DataType::Binary, nullable: false, form: Form::Opaque },
        }
    }

    /// Values look as the program says.
    pub(crate) fn given(given: Arc<dyn Columnar<T>>) -> Self {
        Self { data_type: given.data_type(), nullable: given.is_nullable(), form: Form::Given(given) }
    }

    /// The column, under this name.
    pub(crate) fn field(&self, name: &str) -> FieldRef {
        Arc::new(Field::new(name, self.data_type.clone(), self.nullable))
    }

    /// Fails if values of this type cannot be keys.
    pub(crate) fn check_key(&self) -> Result<()> {
        let empty = new_empty_array(&self.data_type);
        hash_keys(&[empty], &mut Vec::new()).map_err(|why| {
            Error::new(Code::InvalidType, format!("'{}' cannot be a key", name_of::<T>())).because(why)
        })
    }

    /// An empty column to write into.
    pub(crate) fn writer(&self) -> Result<Box<dyn Write<T>>> {
        match &self.form {
            Form::Native(native) => Ok((native.writer)()),
            Form::Given(given) => given.writer(),
            Form::Traced(field) => Ok(Box::new(traced::ItemWriter::new(field)?)),
            Form::Opaque => Ok(Box::new(traced::OpaqueWriter::default())),
        }
    }

    /// The values of a column that was written by this layout, or of one that is [readable](Self::readable).
    pub(crate) fn read(&self, column: &ArrayRef) -> Result<Values<T>> {
        let is_own = || *column.data_type() == self.data_type || told(column.data_type()) == self.told();
        match &self.form {
            Form::Given(given) => given.read(column),
            Form::Native(native) if is_own() => (native.read)(column),
            Form::Traced(field) if is_own() => traced::read_items(field, column),
            Form::Opaque if is_own() => traced::read_opaque(column),
            Form::Native(_) | Form::Traced(_) | Form::Opaque => traced::read_others(column),
        }
    }

    /// Of which columns of an earlier version of the program values can be read.
    pub(crate) fn readable(&self) -> Readable {
        match &self.form {
            Form::Given(given) => given.readable(),
            Form::Native(_) | Form::Traced(_) => Readable::by_serde(&self.told()),
            Form::Opaque => Readable::Anything,
        }
    }

    /// The type of the column, as words tell it.
    pub(crate) fn told(&self) -> DataType {
        told(&self.data_type)
    }
}

/// How values of a type lie in the columns of a table: their fields, or one column `value`.
pub(crate) enum Table<T> {
    /// One column for each field.
    Fields(Vec<FieldRef>),
    /// The type has no fields.
    Value(Layout<T>),
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        match self {
            Table::Fields(fields) => Table::Fields(fields.clone()),
            Table::Value(layout) => Table::Value(layout.clone()),
        }
    }
}

/// The column of a table that a type without fields has.
pub(crate) const VALUE: &str = "value";

/// Values on their way into the columns of a table.
pub(crate) enum TableWriter<T> {
    Fields(traced::FieldsWriter),
    Value(Box<dyn Write<T>>),
}

impl<T: Record> Table<T> {
    /// Finds out which columns values of this type have.
    pub(crate) fn find() -> Self {
        if native::find::<T>().is_some() {
            return Table::Value(Layout::find());
        }
        match traced::fields::<T>() {
            Some(fields) => Table::Fields(fields),
            None => Table::Value(Layout::find()),
        }
    }

    /// The columns.
    pub(crate) fn fields(&self) -> Vec<FieldRef> {
        match self {
            Table::Fields(fields) => fields.clone(),
            Table::Value(layout) => vec![layout.field(VALUE)],
        }
    }

    /// Empty columns to write into.
    pub(crate) fn writer(&self) -> Result<TableWriter<T>> {
        Ok(match self {
            Table::Fields(fields) => TableWriter::Fields(traced::FieldsWriter::new(fields)?),
            Table::Value(layout) => TableWriter::Value(layout.writer()?),
        })
    }

    /// Which columns of a table are read: those that the type names, or all that are not the engine's.
    pub(crate) fn columns_of(&self, schema: &Schema) -> Vec<usize> {
        let read = |name: &str| match self {
            Table::Fields(fields) => fields.iter().any(|field| field.name() == name),
            Table::Value(_) => ![columns::TIMESTAMP, columns::ROW_WATERMARK].contains(&name),
        };
        (0..schema.fields().len()).filter(|&index| read(schema.field(index).name())).collect()
    }

    /// Fails if values of this type cannot be read from such a table, as far as its columns' names tell.
    pub(crate) fn check(&self, schema: &Schema) -> Result<()> {
        let here = self.columns_of(schema);
        let what = match self {
            Table::Value(_) if here.len() == 1 => return Ok(()),
            Table::Value(_) => format!("there is not one column, but {}", here.len()),
            Table::Fields(fields) => {
                let missing = |field: &&FieldRef| {
                    !field.is_nullable() && schema.column_with_name(field.name()).is_none()
                };
                match fields.iter().find(missing) {
                    Some(field) => format!("there is no column '{}'", field.name()),
                    None => return Ok(()),
                }
            }
        };
        let there: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let help = format!("the columns are '{}'", there.join("', '"));
        let name = name_of::<T>();
        Err(Error::new(Code::TypeMismatch, format!("rows cannot be read as '{name}': {what}"))
            .with_help(help))
    }

    /// The values of a table's columns, which need not be of the same types, so long as serde can read them.
    pub(crate) fn read(&self, fields: &[FieldRef], columns: &[ArrayRef]) -> Result<Values<T>> {
        match (self, fields, columns) {
            (Table::Value(layout), [_], [column]) if column.data_type() == &layout.data_type => {
                layout.read(column)
            }
            (Table::Value(_), [field], [column]) => traced::read_items(field, column),
            (Table::Value(_), ..) => Err(Error::new(
                Code::TypeMismatch,
                format!("'{}' is one value, and there are {} columns", name_of::<T>(), columns.len()),
            )),
            (Table::Fields(_), ..) => traced::read_fields(fields, columns),
        }
    }
}

impl<T: Record> WriteRows<T> for TableWriter<T> {
    fn push(&mut self, value: &T) -> Result<usize> {
        match self {
            TableWriter::Fields(writer) => writer.push(value),
            TableWriter::Value(writer) => writer.push(value),
        }
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        match self {
            TableWriter::Fields(writer) => writer.finish(),
            TableWriter::Value(writer) => Ok(vec![writer.finish()?]),
        }
    }
}

/// A value of this type cannot be written or read.
fn unfit<T>(what: &str, why: impl std::fmt::Display) -> Error {
    let name = name_of::<T>();
    Error::new(Code::BadRecord, format!("a record of type '{name}' cannot be {what}")).because(why)
}

/// A type as people write it: without the modules that its parts stand in.
fn name_of<T>() -> String {
    let ends = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':');
    let parts = type_name::<T>().split_inclusive(ends);
    parts.map(|part| part.rsplit("::").next().unwrap_or(part)).collect()
}

#[cfg(test)]
mod tests;
