//! Values that are columns as they are: no serde, one builder each.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    PrimitiveArray, PrimitiveBuilder, StringBuilder,
};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use thalweg_dataflow::Result;

use super::{Values, Write, unfit};
use crate::float::Float;

/// How to write and read values of one type.
pub(super) struct Native<T> {
    pub(super) data_type: DataType,
    pub(super) writer: fn() -> Box<dyn Write<T>>,
    pub(super) read: fn(&ArrayRef) -> Result<Values<T>>,
}

impl<T> Clone for Native<T> {
    fn clone(&self) -> Self {
        Self { data_type: self.data_type.clone(), writer: self.writer, read: self.read }
    }
}

/// The native form of a type, if it has one.
pub(super) fn find<T: 'static>() -> Option<Native<T>> {
    let forms: [Box<dyn Any>; 15] = [
        Box::new(String::native()),
        Box::new(Vec::<u8>::native()),
        Box::new(bool::native()),
        Box::new(char::native()),
        Box::new(Float::native()),
        Box::new(i8::native()),
        Box::new(i16::native()),
        Box::new(i32::native()),
        Box::new(i64::native()),
        Box::new(u8::native()),
        Box::new(u16::native()),
        Box::new(u32::native()),
        Box::new(u64::native()),
        Box::new(f32::native()),
        Box::new(f64::native()),
    ];
    forms.into_iter().find_map(|form| form.downcast::<Native<T>>().ok()).map(|form| *form)
}

/// A value that is a column as it is.
trait Columnar: Sized + Send + 'static {
    fn native() -> Native<Self>;
}

macro_rules! numbers {
    ($($rust:ty => $arrow:ty, $to:expr, $from:expr;)+) => {$(
        impl Columnar for $rust {
            fn native() -> Native<Self> {
                Native {
                    data_type: <$arrow>::DATA_TYPE,
                    writer: || Box::new(PrimitiveBuilder::<$arrow>::new()),
                    read: |column| {
                        let numbers: PrimitiveArray<$arrow> =
                            no_nulls::<Self>(column)?.as_primitive_opt().cloned().ok_or_else(|| other::<Self>(column))?;
                        Ok(Box::new((0..numbers.len()).map(move |row| ($from)(numbers.value(row)))))
                    },
                }
            }
        }

        impl Write<$rust> for PrimitiveBuilder<$arrow> {
            fn push(&mut self, value: &$rust) -> Result<usize> {
                self.append_value(($to)(*value));
                Ok(size_of::<$rust>())
            }

            fn finish(&mut self) -> Result<ArrayRef> {
                Ok(Arc::new(PrimitiveBuilder::finish(self)))
            }
        }
    )+};
}

numbers! {
    i8 => Int8Type, |v| v, |v| v;
    i16 => Int16Type, |v| v, |v| v;
    i32 => Int32Type, |v| v, |v| v;
    i64 => Int64Type, |v| v, |v| v;
    u8 => UInt8Type, |v| v, |v| v;
    u16 => UInt16Type, |v| v, |v| v;
    u32 => UInt32Type, |v| v, |v| v;
    u64 => UInt64Type, |v| v, |v| v;
    f32 => Float32Type, |v| v, |v| v;
    f64 => Float64Type, |v| v, |v| v;
    Float => Float64Type, |v: Float| v.get(), Float::new;
}

/// A letter is the number that Unicode gives it.
impl Columnar for char {
    fn native() -> Native<Self> {
        Native {
            data_type: DataType::UInt32,
            writer: || Box::new(Letters(PrimitiveBuilder::new())),
            read: |column| {
                let numbers = (u32::native().read)(column)?;
                let letters: Option<Vec<char>> = numbers.map(char::from_u32).collect();
                let letters =
                    letters.ok_or_else(|| unfit::<Self>("read", "a number in its column is no letter"))?;
                Ok(Box::new(letters.into_iter()))
            },
        }
    }
}

struct Letters(PrimitiveBuilder<UInt32Type>);

impl Write<char> for Letters {
    fn push(&mut self, value: &char) -> Result<usize> {
        self.0.append_value(u32::from(*value));
        Ok(size_of::<char>())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(self.0.finish()))
    }
}

impl Columnar for String {
    fn native() -> Native<Self> {
        Native {
            data_type: DataType::Utf8,
            writer: || Box::new(StringBuilder::new()),
            read: |column| {
                let texts = no_nulls::<Self>(column)?.as_string_opt::<i32>().cloned();
                let texts = texts.ok_or_else(|| other::<Self>(column))?;
                Ok(Box::new((0..texts.len()).map(move |row| texts.value(row).to_owned())))
            },
        }
    }
}

impl Write<String> for StringBuilder {
    fn push(&mut self, value: &String) -> Result<usize> {
        self.append_value(value);
        Ok(value.len())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(StringBuilder::finish(self)))
    }
}

impl Columnar for Vec<u8> {
    fn native() -> Native<Self> {
        Native {
            data_type: DataType::Binary,
            writer: || Box::new(BinaryBuilder::new()),
            read: |column| {
                let bytes = no_nulls::<Self>(column)?.as_binary_opt::<i32>().cloned();
                let bytes = bytes.ok_or_else(|| other::<Self>(column))?;
                Ok(Box::new((0..bytes.len()).map(move |row| bytes.value(row).to_owned())))
            },
        }
    }
}

impl Write<Vec<u8>> for BinaryBuilder {
    fn push(&mut self, value: &Vec<u8>) -> Result<usize> {
        self.append_value(value);
        Ok(value.len())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BinaryBuilder::finish(self)))
    }
}

impl Columnar for bool {
    fn native() -> Native<Self> {
        Native {
            data_type: DataType::Boolean,
            writer: || Box::new(BooleanBuilder::new()),
            read: |column| {
                let flags: BooleanArray = no_nulls::<Self>(column)?
                    .as_boolean_opt()
                    .cloned()
                    .ok_or_else(|| other::<Self>(column))?;
                Ok(Box::new((0..flags.len()).map(move |row| flags.value(row))))
            },
        }
    }
}

impl Write<bool> for BooleanBuilder {
    fn push(&mut self, value: &bool) -> Result<usize> {
        self.append_value(*value);
        Ok(size_of::<bool>())
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanBuilder::finish(self)))
    }
}

fn no_nulls<T>(column: &ArrayRef) -> Result<&ArrayRef> {
    match column.null_count() {
        0 => Ok(column),
        _ => Err(unfit::<T>("read", "there is a null in its column")),
    }
}

fn other<T>(column: &ArrayRef) -> thalweg_dataflow::Error {
    unfit::<T>("read", format!("its column holds '{}'", column.data_type()))
}
