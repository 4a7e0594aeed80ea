//! The rows of an input block, decoded as a source would decode them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::{Code, Error, Result};
use thalweg_formats::framing::{Framed, LineFramer, LinePosition};
use thalweg_formats::{Format, JsonOptions};

use super::connector::{Feed, Stretch};
use super::parse::{Input, InputLine};
use crate::settings::BadData;

/// The longest row in a test file.
const ROW_BYTES_MAX: usize = 1 << 20;

/// Makes a feed of an input block.
pub(super) fn feed(input: &Input, bad_data: BadData) -> Feed {
    let input = input.clone();
    Arc::new(move |schema| Ok(vec![decode(&input, bad_data, schema)?]))
}

fn decode(input: &Input, bad_data: BadData, schema: &SchemaRef) -> Result<Vec<Stretch>> {
    let mut stretches = Vec::new();
    for lines in input.lines.chunk_by(same_stretch) {
        match &lines[0] {
            InputLine::Watermark(time) => stretches.push(Stretch::Watermark(*time)),
            InputLine::Row(_) => decode_rows(input, lines, bad_data, schema, &mut stretches)?,
        }
    }
    Ok(stretches)
}

fn same_stretch(a: &InputLine, b: &InputLine) -> bool {
    matches!((a, b), (InputLine::Row(_), InputLine::Row(_)))
}

fn decode_rows(
    input: &Input,
    lines: &[InputLine],
    bad_data: BadData,
    schema: &SchemaRef,
    stretches: &mut Vec<Stretch>,
) -> Result<()> {
    let mut framer = LineFramer::new(ROW_BYTES_MAX, LinePosition::START);
    for line in lines {
        if let InputLine::Row(row) = line {
            framer.push(row.as_bytes());
            framer.push(b"\n");
        }
    }
    framer.finish();
    let table = &input.table;
    let misfit = |why: &dyn std::fmt::Display| {
        Error::new(Code::InvalidTestFile, format!("the rows of '{table}' cannot be read")).because(why)
    };
    let mut decoder = Format::Json(JsonOptions::default()).decoder(schema).map_err(|why| misfit(&why))?;
    while let Some(framed) = framer.next(usize::MAX) {
        let block = match framed {
            Framed::Block(block) => block,
            Framed::TooLong(_) => return Err(misfit(&format!("a row is longer than {ROW_BYTES_MAX} bytes"))),
        };
        let decoded = decoder.decode(&block).map_err(|why| misfit(&why))?;
        if let (Some(bad), BadData::Fail) = (decoded.bad.first(), bad_data) {
            let what = format!("a record of '{table}' is bad");
            return Err(Error::new(Code::BadRecord, what).because(&bad.reason));
        }
        stretches.push(Stretch::Rows(decoded.records));
        stretches.extend(decoded.bad.iter().map(|_| Stretch::Dropped));
    }
    Ok(())
}
