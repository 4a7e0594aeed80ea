//! Columns of columns: objects and lists.
//!
//! Reading recurses as deep as the schema is nested, and no deeper.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{FieldRef, Fields};
use arrow::error::ArrowError;

use super::JsonOptions;
use super::column::{Column, column};
use super::cursor::{Cursor, Reason};
use super::layout::{FieldsByName, Layouts};
use crate::format::FormatError;

/// Objects, field by field. Keys that no field has are skipped.
pub(super) struct Structs {
    members: Members,
    layouts: Layouts,
    keys: Keys,
    nulls: NullBufferBuilder,
}

impl Structs {
    pub(super) fn try_new(fields: &Fields, path: &str, options: &JsonOptions) -> Result<Self, FormatError> {
        let child = |field: &FieldRef| {
            let inner =
                if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
            column(field, &inner, options)
        };
        let children = fields.iter().map(child).collect::<Result<_, _>>()?;
        let members = Members { fields: fields.clone(), children };
        let (layouts, keys) = (Layouts::default(), Keys::new(fields));
        Ok(Self { members, layouts, keys, nulls: NullBufferBuilder::new(0) })
    }

    /// All children, as the columns of a batch.
    pub(super) fn finish_columns(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.nulls.finish();
        self.members.finish()
    }

    /// Reads what is left of an object behind its first `nth` values, token by token.
    /// Gives how many fields were found that had no value before.
    fn read_by_key(&mut self, mut nth: usize, row: usize, input: &mut Cursor<'_>) -> Result<usize, Reason> {
        let mut found = 0;
        let mut more = if nth == 0 {
            if !input.take(b'{') {
                return Err(input.expected("an object"));
            }
            !input.take(b'}')
        } else {
            one_more(input)?
        };
        while more {
            let field = self.keys.take(nth, input)?;
            nth += 1;
            input.expect(b':')?;
            match field {
                Some(index) => found += usize::from(self.members.read(index, row, input)?),
                None => input.skip()?,
            }
            more = one_more(input)?;
        }
        Ok(found)
    }
}

/// Takes what stands between two values of an object, or behind the last one.
#[inline]
fn one_more(input: &mut Cursor<'_>) -> Result<bool, Reason> {
    let more = input.take(b',');
    if !more && !input.take(b'}') {
        return Err(input.expected("',' or '}'"));
    }
    Ok(more)
}

/// The fields of an object and their values so far.
struct Members {
    fields: Fields,
    children: Vec<Box<dyn Column>>,
}

impl Members {
    /// Reads the value of a field that the object had none for before.
    #[inline]
    fn read_first(&mut self, index: usize, input: &mut Cursor<'_>) -> Result<(), Reason> {
        let field = &self.fields[index];
        read_value(field, &mut *self.children[index], input).map_err(|reason| reason.within(field.name()))
    }

    /// Reads the value of a field, and says whether the object had none before.
    fn read(&mut self, index: usize, row: usize, input: &mut Cursor<'_>) -> Result<bool, Reason> {
        let child = &mut self.children[index];
        let first = child.len() == row;
        if !first {
            // A duplicate key: the last one wins.
            child.truncate(row);
        }
        self.read_first(index, input)?;
        Ok(first)
    }

    /// Gives a null to all fields that the object does not have.
    fn complete(&mut self, row: usize) -> Result<(), Reason> {
        for (field, child) in self.fields.iter().zip(&mut self.children) {
            if child.len() > row {
                continue;
            }
            if !field.is_nullable() {
                return Err(Reason::new("missing, but NOT NULL").within(field.name()));
            }
            child.null();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.children.iter_mut().map(|child| child.finish()).collect()
    }
}

/// Reads a value or `null`.
#[inline]
fn read_value(field: &FieldRef, column: &mut dyn Column, input: &mut Cursor<'_>) -> Result<(), Reason> {
    if input.peek() != Some(b'n') || !input.take_literal(b"null") {
        return column.read(input);
    }
    if !field.is_nullable() {
        return Err(Reason::new("null, but NOT NULL"));
    }
    column.null();
    Ok(())
}

impl Column for Structs {
    fn read(&mut self, input: &mut Cursor<'_>) -> Result<(), Reason> {
        let row = self.len();
        let start = input.next_at();
        let (members, mut found) = (&mut self.members, 0);
        let followed = self.layouts.follow(input, |field, input| match field {
            Some(index) => {
                found += 1;
                members.read_first(index, input)
            }
            None => input.skip(),
        })?;
        if !followed.ended {
            found += self.read_by_key(followed.values, row, input)?;
        }
        if found < self.members.children.len() {
            self.members.complete(row)?;
        }
        if !followed.ended {
            self.layouts.miss(input.since(start), &self.keys.fields);
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.members.children.iter_mut().for_each(|child| child.null());
        self.nulls.append_null();
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn truncate(&mut self, len: usize) {
        self.members.children.iter_mut().for_each(|child| child.truncate(len));
        self.nulls.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let (len, nulls) = (self.len(), self.nulls.finish());
        let columns = self.members.finish()?;
        Ok(Arc::new(StructArray::try_new_with_length(self.members.fields.clone(), columns, nulls, len)?))
    }
}

/// Which field a key means. It bets that keys come in the same order as in the object before.
struct Keys {
    fields: FieldsByName,
    /// The keys of earlier objects, by their place.
    expected: Vec<(Box<[u8]>, Option<usize>)>,
}

impl Keys {
    /// How many keys, and how long ones, are remembered by place.
    const EXPECTED_MAX: usize = 256;
    const EXPECTED_BYTES_MAX: usize = 128;

    fn new(fields: &Fields) -> Self {
        let by_name = |(index, field): (usize, &FieldRef)| (field.name().as_bytes().into(), index);
        Self { fields: fields.iter().enumerate().map(by_name).collect(), expected: Vec::new() }
    }

    /// Takes the `nth` key of an object.
    #[inline]
    fn take(&mut self, nth: usize, input: &mut Cursor<'_>) -> Result<Option<usize>, Reason> {
        input.peek();
        match self.expected.get(nth) {
            Some((key, field)) if input.take_key(key) => Ok(*field),
            _ => self.look_up(nth, input),
        }
    }

    fn look_up(&mut self, nth: usize, input: &mut Cursor<'_>) -> Result<Option<usize>, Reason> {
        let key = input.key()?;
        let field = self.fields.get(key).copied();
        let plain = key.iter().all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        if plain && key.len() <= Self::EXPECTED_BYTES_MAX {
            let entry = (key.into(), field);
            if let Some(expected) = self.expected.get_mut(nth) {
                *expected = entry;
            } else if nth == self.expected.len() && nth < Self::EXPECTED_MAX {
                self.expected.push(entry);
            }
        }
        Ok(field)
    }
}

/// Lists of one kind of value.
pub(super) struct Lists {
    item: FieldRef,
    child: Box<dyn Column>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Lists {
    pub(super) fn try_new(item: &FieldRef, path: &str, options: &JsonOptions) -> Result<Self, FormatError> {
        let child = column(item, &format!("{path}[]"), options)?;
        Ok(Self { item: item.clone(), child, offsets: vec![0], nulls: NullBufferBuilder::new(0) })
    }
}

impl Column for Lists {
    fn read(&mut self, input: &mut Cursor<'_>) -> Result<(), Reason> {
        if !input.take(b'[') {
            return Err(input.expected("a list"));
        }
        let mut more = !input.take(b']');
        while more {
            read_value(&self.item, &mut *self.child, input).map_err(|reason| reason.within("[]"))?;
            more = input.take(b',');
            if !more && !input.take(b']') {
                return Err(input.expected("',' or ']'"));
            }
        }
        let end = i32::try_from(self.child.len());
        self.offsets.push(end.map_err(|_| Reason::new("more than 2^31 list items in one batch"))?);
        self.nulls.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.offsets.push(self.offsets[self.offsets.len() - 1]);
        self.nulls.append_null();
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.child.truncate(self.offsets[self.offsets.len() - 1] as usize);
        self.nulls.truncate(len);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let values = self.child.finish()?;
        Ok(Arc::new(ListArray::try_new(self.item.clone(), offsets, values, self.nulls.finish())?))
    }
}
