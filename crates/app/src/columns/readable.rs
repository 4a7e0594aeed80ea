//! Of which columns values can be read that an earlier version of a program wrote.
//!
//! A class or struct may have other fields than in the version of the program that kept a state. Fields are
//! found again by their names, wherever they lie.
//!
//! ```text
//!  kept   STRUCT<balance BIGINT, name TEXT>
//!                  │               └─ passed over
//!                  ▼
//!  now    STRUCT<balance BIGINT, open BOOLEAN>
//!                                  ▲
//!                                  its default; a field that has none cannot be added
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};
use thalweg_operators::expression::sql_type;

/// Of which columns values can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readable {
    /// A column of one of these types, the first of which is what is written now.
    Column(Vec<DataType>),
    /// Lists of what can be read.
    List(Box<Readable>),
    /// Maps from what can be read to what can be read.
    Map(Box<Readable>, Box<Readable>),
    /// Fields by name.
    Fields(ReadableFields),
    /// None: these are no columns. What they are, for people.
    Nothing(String),
    /// Nobody knows before it is read.
    Anything,
}

/// The fields of a struct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadableFields {
    /// The fields, in any order.
    pub fields: Vec<ReadableField>,
    /// A column beside the fields that holds values whole. Where it is alone, there are no fields to be compared.
    pub whole: Option<String>,
}

/// One field of a struct.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadableField {
    /// Its name, by which it is found.
    pub name: String,
    /// Of which columns it can be read.
    pub readable: Readable,
    /// Whether it may not be there: it has a default then.
    pub optional: bool,
}

/// The types of whole numbers: serde reads each of them as any other, as long as the numbers fit.
const INTEGERS: [DataType; 8] = [
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
];

impl Readable {
    /// Of which columns serde reads what it writes into columns of this type. Which fields have defaults, it
    /// tells only where one is missing: so any may be.
    pub(crate) fn by_serde(data_type: &DataType) -> Self {
        let own = |others: &[DataType]| {
            let others = others.iter().filter(|other| *other != data_type).cloned();
            Readable::Column([data_type.clone()].into_iter().chain(others).collect())
        };
        match data_type {
            DataType::Struct(fields) => {
                let field = |field: &FieldRef| ReadableField {
                    name: field.name().clone(),
                    readable: Self::by_serde(field.data_type()),
                    optional: true,
                };
                Readable::Fields(ReadableFields { fields: fields.iter().map(field).collect(), whole: None })
            }
            DataType::List(item) => Readable::List(Box::new(Self::by_serde(item.data_type()))),
            DataType::Map(entries, _) => match entry(entries) {
                Some((key, value)) => {
                    Readable::Map(Box::new(Self::by_serde(key)), Box::new(Self::by_serde(value)))
                }
                None => own(&[]),
            },
            integer if INTEGERS.contains(integer) => own(&INTEGERS),
            DataType::Float64 => own(&[DataType::Float32]),
            _ => own(&[]),
        }
    }

    /// What changes where values are read of columns of the type that is kept, for people.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub(crate) fn changes(&self, kept: &DataType) -> Result<Vec<String>, String> {
        let mut changes = Vec::new();
        self.compare(kept, "", &mut changes)?;
        Ok(changes)
    }

    fn compare(&self, kept: &DataType, path: &str, changes: &mut Vec<String>) -> Result<(), String> {
        match (self, kept) {
            (Readable::Anything, _) => Ok(()),
            (Readable::Column(types), _) if types.first() == Some(kept) => Ok(()),
            (Readable::Column(types), _) if types.contains(kept) => {
                changes.push(format!("{} was {} and is {}", named(path), sql_type(kept), self.words()));
                Ok(())
            }
            (Readable::List(own), DataType::List(item)) => own.compare(item.data_type(), path, changes),
            (Readable::Map(key, value), DataType::Map(entries, _)) => {
                let (kept_key, kept_value) = entry(entries).ok_or_else(|| self.differs(kept, path))?;
                key.compare(kept_key, path, changes)?;
                value.compare(kept_value, path, changes)
            }
            (Readable::Fields(own), DataType::Struct(kept)) => own.compare(kept, path, changes),
            (
                Readable::Column(_)
                | Readable::List(_)
                | Readable::Map(..)
                | Readable::Fields(_)
                | Readable::Nothing(_),
                _,
            ) => Err(self.differs(kept, path)),
        }
    }

    fn differs(&self, kept: &DataType, path: &str) -> String {
        format!("{} was kept as {} and is {} now", named(path), sql_type(kept), self.words())
    }

    /// What is written now, for people.
    fn words(&self) -> String {
        match self {
            Readable::Column(types) => types.first().map_or_else(String::new, sql_type),
            Readable::List(item) => format!("{}[]", item.words()),
            Readable::Map(key, value) => format!("MAP({}, {})", key.words(), value.words()),
            Readable::Fields(ReadableFields { fields, .. }) => {
                let fields = fields.iter().map(|field| format!("{} {}", field.name, field.readable.words()));
                format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "))
            }
            Readable::Nothing(words) => words.clone(),
            Readable::Anything => "anything".to_owned(),
        }
    }
}

impl ReadableFields {
    fn compare(&self, kept: &[FieldRef], path: &str, changes: &mut Vec<String>) -> Result<(), String> {
        let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let is_whole = |name: &str| self.whole.as_deref() == Some(name);
        if !kept.is_empty() && kept.iter().all(|field| is_whole(field.name())) {
            return Ok(());
        }
        for field in &self.fields {
            let path = within(&field.name);
            match kept.iter().find(|kept| *kept.name() == field.name && !is_whole(kept.name())) {
                Some(kept) => field.readable.compare(kept.data_type(), &path, changes)?,
                None if field.optional => changes.push(format!("field '{path}' is new")),
                None => return Err(format!("field '{path}' is new and has no default")),
            }
        }
        let is_own = |name: &str| is_whole(name) || self.fields.iter().any(|own| own.name == name);
        let gone = kept.iter().filter(|kept| !is_own(kept.name()));
        changes.extend(gone.map(|kept| format!("field '{}' is dropped", within(kept.name()))));
        Ok(())
    }
}

fn named(path: &str) -> String {
    if path.is_empty() { "the state".to_owned() } else { format!("field '{path}'") }
}

/// A type without what only its writer wants to know, so that it can be told in words and read back.
pub(crate) fn told(data_type: &DataType) -> DataType {
    let field = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::new(field.name(), told(field.data_type()), field.is_nullable()))
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

/// The types of keys and values of a map.
fn entry(entries: &FieldRef) -> Option<(&DataType, &DataType)> {
    match entries.data_type() {
        DataType::Struct(fields) => match &fields[..] {
            [key, value] => Some((key.data_type(), value.data_type())),
            _ => None,
        },
        _ => None,
    }
}
