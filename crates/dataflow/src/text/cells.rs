//! Cells and types, to and from arrays.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray, StructArray,
    TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Fields, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampNanosecondType, UInt64Type,
};
use arrow::util::display::array_value_to_string;

use crate::message::columns;

type Result<T> = std::result::Result<T, String>;

/// Seconds, with at most nine digits behind the point, as nanoseconds.
pub(super) fn seconds(text: &str) -> Result<i64> {
    let wrong = || format!("'{text}' is no time in seconds");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    let whole_seconds: i64 = whole.parse().map_err(|_| wrong())?;
    let nanos = if whole.starts_with('-') { -nanos } else { nanos };
    whole_seconds.checked_mul(1_000_000_000).and_then(|n| n.checked_add(nanos)).ok_or_else(wrong)
}

/// Nanoseconds as seconds.
pub(super) fn seconds_text(nanos: i64) -> String {
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (whole, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    match fraction {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{}", format!("{fraction:09}").trim_end_matches('0')),
    }
}

/// Reads a type.
pub(super) fn type_of(text: &str) -> Result<DataType> {
    if let Some(element) = inside(text, '[', ']') {
        return Ok(DataType::new_list(type_of(element)?, true));
    }
    if let Some(fields) = inside(text, '{', '}') {
        let field = |text: &str| {
            let (name, data_type) =
                text.split_once(':').ok_or_else(|| format!("field '{text}' has no type"))?;
            Ok(Field::new(name, type_of(data_type)?, true))
        };
        let fields = split_outside(fields, ',')?.into_iter().map(field).collect::<Result<Vec<_>>>()?;
        return Ok(DataType::Struct(fields.into()));
    }
    Ok(match text {
        "int" => DataType::Int64,
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "uint64" => DataType::UInt64,
        "float" => DataType::Float64,
        "bool" => DataType::Boolean,
        "text" => DataType::Utf8,
        "bytes" => DataType::Binary,
        "time" => DataType::Timestamp(TimeUnit::Nanosecond, None),
        "timez" => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        other => return Err(format!("no type '{other}'")),
    })
}

/// Reads a column from its cells; none and `null` are null.
pub(super) fn column_of(field: &Field, cells: &[Option<&str>]) -> Result<ArrayRef> {
    if field.name() == columns::DIFF {
        return diffs_of(cells);
    }
    let cells: Vec<Option<&str>> = cells.iter().map(|cell| cell.filter(|cell| *cell != "null")).collect();
    Ok(match field.data_type() {
        DataType::Int8 => primitive_of::<Int8Type>(&cells)?,
        DataType::Int16 => primitive_of::<Int16Type>(&cells)?,
        DataType::Int32 => primitive_of::<Int32Type>(&cells)?,
        DataType::Int64 => primitive_of::<Int64Type>(&cells)?,
        DataType::UInt64 => primitive_of::<UInt64Type>(&cells)?,
        DataType::Float64 => primitive_of::<Float64Type>(&cells)?,
        DataType::Boolean => Arc::new(
            values_of(&cells, &DataType::Boolean, |c| c.parse().ok())?.into_iter().collect::<BooleanArray>(),
        ),
        DataType::Utf8 => Arc::new(cells.iter().map(|cell| cell.map(unquoted)).collect::<StringArray>()),
        DataType::Binary => Arc::new(cells.iter().map(|cell| cell.map(unquoted)).collect::<BinaryArray>()),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            let times = cells.iter().map(|cell| cell.map(seconds).transpose()).collect::<Result<Vec<_>>>()?;
            Arc::new(TimestampNanosecondArray::from(times).with_timezone_opt(zone.clone()))
        }
        DataType::List(element) => lists_of(element, &cells)?,
        DataType::Struct(fields) => structs_of(fields, &cells)?,
        other => return Err(format!("cells of {other} cannot be read")),
    })
}

fn values_of<V>(
    cells: &[Option<&str>],
    of: &DataType,
    parse: impl Fn(&str) -> Option<V>,
) -> Result<Vec<Option<V>>> {
    let value = |cell: &str| parse(cell).ok_or_else(|| format!("'{cell}' is no value of {of}"));
    cells.iter().map(|cell| cell.map(value).transpose()).collect()
}

fn primitive_of<T: ArrowPrimitiveType>(cells: &[Option<&str>]) -> Result<ArrayRef>
where
    T::Native: std::str::FromStr,
{
    let values = values_of(cells, &T::DATA_TYPE, |cell| cell.parse().ok())?;
    Ok(Arc::new(PrimitiveArray::<T>::from_iter(values)))
}

fn diffs_of(cells: &[Option<&str>]) -> Result<ArrayRef> {
    let diff = |cell: &Option<&str>| match cell {
        Some("+") => Ok(Some(1)),
        Some("-") => Ok(Some(-1)),
        other => Err(format!("'{}' is neither + nor -", other.unwrap_or_default())),
    };
    Ok(Arc::new(cells.iter().map(diff).collect::<Result<PrimitiveArray<Int8Type>>>()?))
}

fn lists_of(element: &Arc<Field>, cells: &[Option<&str>]) -> Result<ArrayRef> {
    let mut elements = Vec::new();
    let mut lengths = Vec::new();
    for cell in cells {
        let before = elements.len();
        if let Some(cell) = cell {
            let items = inside(cell, '[', ']').ok_or_else(|| format!("'{cell}' is no list"))?;
            elements.extend(
                split_outside(items, ',')?
                    .into_iter()
                    .filter(|i| !items.is_empty() || !i.is_empty())
                    .map(Some),
            );
        }
        lengths.push(elements.len() - before);
    }
    let values = column_of(element, &elements)?;
    let nulls: NullBuffer = cells.iter().map(Option::is_some).collect();
    let list =
        ListArray::try_new(Arc::clone(element), OffsetBuffer::from_lengths(lengths), values, Some(nulls));
    Ok(Arc::new(list.map_err(|e| e.to_string())?))
}

fn structs_of(fields: &Fields, cells: &[Option<&str>]) -> Result<ArrayRef> {
    let mut columns = vec![Vec::new(); fields.len()];
    for cell in cells {
        let items = match cell {
            Some(cell) => {
                split_outside(inside(cell, '{', '}').ok_or_else(|| format!("'{cell}' is no struct"))?, ',')?
            }
            None => vec!["null"; fields.len()],
        };
        if items.len() != fields.len() {
            return Err(format!("'{}' has not {} fields", cell.unwrap_or_default(), fields.len()));
        }
        columns.iter_mut().zip(items).for_each(|(column, item)| column.push(Some(item)));
    }
    let arrays =
        fields.iter().zip(&columns).map(|(field, cells)| column_of(field, cells)).collect::<Result<_>>()?;
    let nulls: NullBuffer = cells.iter().map(Option::is_some).collect();
    let structs = StructArray::try_new(fields.clone(), arrays, Some(nulls));
    Ok(Arc::new(structs.map_err(|e| e.to_string())?))
}

/// Writes the cell of `column` in `row`.
pub(super) fn cell_text(name: &str, column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".into();
    }
    match column.data_type() {
        DataType::Int8 if name == columns::DIFF => {
            if column.as_primitive::<Int8Type>().value(row) > 0 {
                "+".into()
            } else {
                "-".into()
            }
        }
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => quoted(column.as_string::<i32>().value(row)),
        DataType::Binary => quoted(&String::from_utf8_lossy(column.as_binary::<i32>().value(row))),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            seconds_text(column.as_primitive::<TimestampNanosecondType>().value(row))
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            let items: Vec<_> = (0..list.len()).map(|item| cell_text("", &list, item)).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Struct(_) => {
            let fields = column.as_struct().columns().iter();
            let items: Vec<_> = fields.map(|field| cell_text("", field, row)).collect();
            format!("{{{}}}", items.join(","))
        }
        _ => array_value_to_string(column, row).unwrap_or_else(|e| e.to_string()),
    }
}

fn quoted(text: &str) -> String {
    let plain =
        !text.is_empty() && text != "null" && !text.contains([' ', ',', '[', ']', '{', '}', '"', '#']);
    if plain { text.into() } else { format!("\"{text}\"") }
}

fn unquoted(cell: &str) -> &str {
    cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell)
}

fn inside(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

/// The parts between separators that stand outside of quotes and brackets.
pub(super) fn split_outside(text: &str, separator: char) -> Result<Vec<&str>> {
    let (mut parts, mut start, mut depth, mut in_quotes) = (Vec::new(), 0, 0_i32, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            c if c == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if in_quotes || depth != 0 {
        return Err("quotes or brackets are not closed".into());
    }
    parts.push(&text[start..]);
    Ok(parts)
}
