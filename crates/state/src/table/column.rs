//! How one column of a table lies in memory.
//!
//! Numbers, times and the like lie in plain chunks, strings and binaries one
//! allocation per row; whatever else there is lies in Arrow's row format.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, LargeBinaryArray, LargeBinaryBuilder,
    PrimitiveArray, downcast_primitive,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::chunks::Chunks;

/// The values of all rows in one column.
///
/// Arrays that come in are of the column's type; who calls has checked.
pub(super) trait Column: Send {
    /// Appends values, in their own memory if it is nobody else's and fits.
    fn push(&mut self, values: ArrayRef) -> Result<(), ArrowError>;
    fn gather(&self, rows: &[u32]) -> Result<ArrayRef, ArrowError>;
    fn scatter(&mut self, rows: &[u32], values: &ArrayRef) -> Result<(), ArrowError>;
    fn bytes(&self) -> usize;
}

/// A column for values of this type; none if there is no such column.
pub(super) fn new(data_type: &DataType) -> Option<Box<dyn Column>> {
    macro_rules! primitive {
        ($t:ty, $data_type:expr) => {
            return Some(Box::new(Primitive::<$t>::new($data_type.clone())))
        };
    }
    downcast_primitive! {
        data_type => (primitive, data_type),
        DataType::Boolean => Some(Box::new(Boolean::default())),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        | DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Some(Box::new(Bytes { data_type: data_type.clone(), values: Vec::new(), bytes: 0 }))
        }
        _ => Some(Box::new(Encoded::new(data_type)?)),
    }
}

/// Values of a fixed width.
struct Primitive<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Chunks<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Primitive<T> {
    fn new(data_type: DataType) -> Self {
        Self { data_type, values: Chunks::default(), validity: Validity::default() }
    }
}

impl<T: ArrowPrimitiveType> Column for Primitive<T> {
    fn push(&mut self, values: ArrayRef) -> Result<(), ArrowError> {
        self.validity.push(self.values.len(), values.as_ref());
        let array = values.as_primitive::<T>().clone();
        drop(values);
        let (_, values, _) = array.into_parts();
        match values.into_inner().into_vec() {
            Ok(own) => self.values.append(own),
            Err(shared) => self.values.extend(&ScalarBuffer::from(shared)),
        }
        Ok(())
    }

    fn gather(&self, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let values: Vec<T::Native> = rows.iter().map(|&row| self.values.get(row)).collect();
        let array = PrimitiveArray::<T>::try_new(values.into(), self.validity.gather(rows))?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }

    fn scatter(&mut self, rows: &[u32], values: &ArrayRef) -> Result<(), ArrowError> {
        self.validity.scatter(self.values.len(), rows, values.as_ref());
        let new = values.as_primitive::<T>().values();
        rows.iter().zip(new.iter()).for_each(|(&row, &value)| self.values.set(row, value));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.values.bytes() + self.validity.bytes()
    }
}

#[derive(Default)]
struct Boolean {
    values: Vec<bool>,
    validity: Validity,
}

impl Column for Boolean {
    fn push(&mut self, values: ArrayRef) -> Result<(), ArrowError> {
        self.validity.push(self.values.len(), values.as_ref());
        self.values.extend(values.as_boolean().values().iter());
        Ok(())
    }

    fn gather(&self, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let values: BooleanBuffer = rows.iter().map(|&row| self.values[row as usize]).collect();
        Ok(Arc::new(BooleanArray::new(values, self.validity.gather(rows))))
    }

    fn scatter(&mut self, rows: &[u32], values: &ArrayRef) -> Result<(), ArrowError> {
        self.validity.scatter(self.values.len(), rows, values.as_ref());
        let new = values.as_boolean().values();
        rows.iter().zip(new.iter()).for_each(|(&row, value)| self.values[row as usize] = value);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.values.capacity() + self.validity.bytes()
    }
}

/// Which rows are not null. Nothing is kept while there is no null.
#[derive(Default)]
struct Validity(Option<Vec<bool>>);

impl Validity {
    /// Learns of values that follow `rows` others.
    fn push(&mut self, rows: usize, values: &dyn Array) {
        if values.null_count() == 0 && self.0.is_none() {
            return;
        }
        let valid = self.0.get_or_insert_with(|| vec![true; rows]);
        valid.extend((0..values.len()).map(|i| values.is_valid(i)));
    }

    fn scatter(&mut self, len: usize, rows: &[u32], values: &dyn Array) {
        if values.null_count() == 0 && self.0.is_none() {
            return;
        }
        let valid = self.0.get_or_insert_with(|| vec![true; len]);
        rows.iter().enumerate().for_each(|(i, &row)| valid[row as usize] = values.is_valid(i));
    }

    fn gather(&self, rows: &[u32]) -> Option<NullBuffer> {
        let valid = self.0.as_ref()?;
        let nulls: NullBuffer = rows.iter().map(|&row| valid[row as usize]).collect::<Vec<_>>().into();
        (nulls.null_count() > 0).then_some(nulls)
    }

    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, Vec::capacity)
    }
}

/// Strings and binaries in any layout.
struct Bytes {
    data_type: DataType,
    values: Vec<Option<Box<[u8]>>>,
    bytes: usize,
}

impl Bytes {
    fn set(&mut self, row: usize, value: Option<&[u8]>) {
        self.bytes += value.map_or(0, <[u8]>::len);
        self.bytes -= self.values[row].as_ref().map_or(0, |old| old.len());
        self.values[row] = value.map(Box::from);
    }
}

/// Strings and binaries of any layout as plain binaries, of any total length.
fn as_binary(values: &ArrayRef) -> Result<LargeBinaryArray, ArrowError> {
    Ok(cast(values, &DataType::LargeBinary)?.as_binary::<i64>().clone())
}

impl Column for Bytes {
    fn push(&mut self, values: ArrayRef) -> Result<(), ArrowError> {
        for value in &as_binary(&values)? {
            self.bytes += value.map_or(0, <[u8]>::len);
            self.values.push(value.map(Box::from));
        }
        Ok(())
    }

    fn gather(&self, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let values = || rows.iter().map(|&row| self.values[row as usize].as_deref());
        let bytes = values().flatten().map(<[u8]>::len).sum();
        let mut binary = LargeBinaryBuilder::with_capacity(rows.len(), bytes);
        values().for_each(|value| binary.append_option(value));
        cast(&(Arc::new(binary.finish()) as ArrayRef), &self.data_type)
    }

    fn scatter(&mut self, rows: &[u32], values: &ArrayRef) -> Result<(), ArrowError> {
        let binary = as_binary(values)?;
        rows.iter().zip(&binary).for_each(|(&row, value)| self.set(row as usize, value));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<[u8]>>>() + self.bytes
    }
}

/// Lists, structs and the like, each row in Arrow's row format.
struct Encoded {
    converter: RowConverter,
    rows: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Encoded {
    fn new(data_type: &DataType) -> Option<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())]).ok()?;
        Some(Self { converter, rows: Vec::new(), bytes: 0 })
    }
}

impl Column for Encoded {
    fn push(&mut self, values: ArrayRef) -> Result<(), ArrowError> {
        for row in &self.converter.convert_columns(&[values])? {
            self.bytes += row.data().len();
            self.rows.push(Box::from(row.data()));
        }
        Ok(())
    }

    fn gather(&self, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let parser = self.converter.parser();
        let rows = rows.iter().map(|&row| parser.parse(&self.rows[row as usize]));
        Ok(self.converter.convert_rows(rows)?.swap_remove(0))
    }

    fn scatter(&mut self, rows: &[u32], values: &ArrayRef) -> Result<(), ArrowError> {
        let new = self.converter.convert_columns(std::slice::from_ref(values))?;
        for (&row, value) in rows.iter().zip(&new) {
            let old = std::mem::replace(&mut self.rows[row as usize], Box::from(value.data()));
            self.bytes = self.bytes + value.data().len() - old.len();
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Box<[u8]>>() + self.bytes
    }
}
