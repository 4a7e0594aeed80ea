use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::Deserialize;

use super::*;

/// Writes values and reads them back. Gives the type of their column.
fn round<T: Record + Debug + PartialEq>(values: &[T]) -> DataType {
    let layout = Layout::<T>::find();
    let mut writer = layout.writer().unwrap();
    for pass in 0..2 {
        for value in values {
            writer.push(value).unwrap();
        }
        let column = writer.finish().unwrap();
        assert_eq!(column.data_type(), layout.field("x").data_type());
        let back: Vec<T> = layout.read(&column).unwrap().collect();
        assert_eq!(back, values, "in pass {pass}");
    }
    layout.check_key().unwrap();
    layout.data_type
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested {
    name: String,
    size: Option<u32>,
    tags: Vec<String>,
    inner: Option<Box<Leaf>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Leaf {
    flag: bool,
    at: (i8, f32),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Box { width: u8, height: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    branches: Vec<Tree>,
}

#[test]
fn values_come_back_as_they_were() {
    assert_eq!(round(&["".to_owned(), "é\n".to_owned()]), DataType::Utf8);
    assert_eq!(round(&[vec![], vec![0_u8, 255]]), DataType::Binary);
    assert_eq!(round(&[true, false]), DataType::Boolean);
    assert_eq!(round(&['a', '\u{10ffff}']), DataType::UInt32);
    assert_eq!(round(&[i64::MIN, 0, i64::MAX]), DataType::Int64);
    assert_eq!(round(&[u64::MAX]), DataType::UInt64);
    assert_eq!(round(&[f64::INFINITY, -0.0]), DataType::Float64);
    assert_eq!(round(&[None, Some("x".to_owned())]), DataType::Utf8);
    assert_eq!(round(&[None, Some(7_i16)]), DataType::Int16);
    assert!(matches!(round(&[(1_u8, "a".to_owned())]), DataType::Struct(_)));
    assert!(matches!(round(&[vec![1.5_f64], vec![]]), DataType::List(_)));
    assert!(matches!(round(&[HashMap::from([("a".to_owned(), 1_u8)])]), DataType::Map(..)));
    let leaf = Leaf { flag: true, at: (-1, 0.5) };
    let full =
        Nested { name: "n".into(), size: Some(1), tags: vec!["t".into()], inner: Some(Box::new(leaf)) };
    let bare = Nested { name: String::new(), size: None, tags: vec![], inner: None };
    assert!(matches!(round(&[full, bare]), DataType::Struct(_)));
    assert_eq!(round(&[Colour::Red, Colour::Green, Colour::Red]), DataType::Utf8);
}

#[test]
fn what_serde_cannot_describe_is_opaque() {
    let shapes = [Shape::Point, Shape::Circle(0.5), Shape::Box { width: 1, height: 2 }];
    assert_eq!(round(&shapes), DataType::Binary);
    assert_eq!(round(&[Tree { branches: vec![Tree { branches: vec![] }] }]), DataType::Binary);
    assert_eq!(round(&[serde_json::json!({"a": [1, null]})]), DataType::Binary);
    assert_eq!(round(&[BTreeMap::from([("s".to_owned(), Shape::Point)])]), DataType::Binary);
}

#[test]
fn fields_are_columns_and_a_value_without_fields_is_one() {
    let names = |fields: Vec<FieldRef>| fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    assert_eq!(names(Table::<Nested>::find().fields()), ["name", "size", "tags", "inner"]);
    assert_eq!(names(Table::<(u8, bool)>::find().fields()), ["0", "1"]);
    for one in [Table::<String>::find().fields(), Table::<u64>::find().fields()] {
        assert_eq!(names(one), ["value"]);
    }
    assert_eq!(names(Table::<Shape>::find().fields()), ["value"]);
    assert_eq!(names(Table::<Option<f64>>::find().fields()), ["value"]);
}

#[test]
fn a_null_where_the_type_has_none_is_an_error() {
    let column: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![Some(1), None]));
    assert!(Layout::<i64>::find().read(&column).is_err());
    let number: ArrayRef = Arc::new(arrow::array::UInt32Array::from(vec![0xd800]));
    assert!(Layout::<char>::find().read(&number).is_err(), "a surrogate is no letter");
    let table = Table::<Leaf>::find();
    let flags: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![None]));
    assert!(table.read(&[Arc::new(Field::new("flag", DataType::Boolean, true))], &[flags]).is_err());
}

#[test]
fn a_type_is_named_as_people_write_it() {
    assert_eq!(name_of::<Nested>(), "Nested");
    assert_eq!(name_of::<(Vec<String>, [Option<i64>; 2])>(), "(Vec<String>, [Option<i64>; 2])");
    assert_eq!(name_of::<&str>(), "&str");
}
