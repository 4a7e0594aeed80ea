//! People: who they are, and where they live.

use super::model::{FIRST_ID, extra};
use super::random::{Draw, below, letters, more};
use super::rows::{DATETIME, Field, NUMBER, Rows, TEXT};

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];

const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];

const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

/// The bytes of a person that the benchmark counts, on average.
const BYTES: usize = 200;

/// Those that are always the same number: id, e-mail address, credit card, state.
const FIXED_BYTES: usize = 8 + EMAIL_BYTES + CARD_BYTES + 2;

const EMAIL_BYTES: usize = 7 + 1 + 5 + 4;

const CARD_BYTES: usize = 19;

/// Her fields.
pub(super) static FIELDS: [Field; 8] = [
    Field {
        name: "id",
        data_type: NUMBER,
        make: |rows| rows.numbers(|event| (FIRST_ID + event.newest_person()) as i64),
    },
    Field {
        name: "name",
        data_type: TEXT,
        make: |rows| {
            let stream = rows.stream(Draw::PersonName);
            rows.texts(16, |event, out| {
                let (first, last) = name(stream.at(event.number()));
                out.extend_from_slice(first.as_bytes());
                out.push(b' ');
                out.extend_from_slice(last.as_bytes());
            })
        },
    },
    Field {
        name: "email_address",
        data_type: TEXT,
        make: |rows| {
            let stream = rows.stream(Draw::PersonEmail);
            rows.texts(EMAIL_BYTES, |event, out| {
                let bits = stream.at(event.number());
                letters(more(bits, 0), 7, out);
                out.push(b'@');
                letters(more(bits, 1), 5, out);
                out.extend_from_slice(b".com");
            })
        },
    },
    Field {
        name: "credit_card",
        data_type: TEXT,
        make: |rows| {
            let stream = rows.stream(Draw::PersonCard);
            rows.texts(CARD_BYTES, |event, out| card(stream.at(event.number()), out))
        },
    },
    Field { name: "city", data_type: TEXT, make: |rows| chosen(rows, Draw::PersonCity, &CITIES) },
    Field { name: "state", data_type: TEXT, make: |rows| chosen(rows, Draw::PersonState, &STATES) },
    DATETIME,
    Field {
        name: "extra",
        data_type: TEXT,
        make: |rows| {
            let (names, cities) = (rows.stream(Draw::PersonName), rows.stream(Draw::PersonCity));
            let stream = rows.stream(Draw::PersonExtra);
            rows.texts(BYTES, |event, out| {
                let (first, last) = name(names.at(event.number()));
                let city = one_of(cities.at(event.number()), &CITIES);
                let present = FIXED_BYTES + first.len() + 1 + last.len() + city.len();
                extra(stream.at(event.number()), present, BYTES, out);
            })
        },
    },
];

fn name(bits: u64) -> (&'static str, &'static str) {
    (one_of(bits, &FIRST_NAMES), one_of(more(bits, 0), &LAST_NAMES))
}

fn one_of(bits: u64, texts: &[&'static str]) -> &'static str {
    texts[below(bits, texts.len() as u64) as usize]
}

fn chosen(
    rows: &Rows<'_>,
    draw: Draw,
    texts: &[&'static str],
) -> thalweg_dataflow::Result<arrow::array::ArrayRef> {
    let stream = rows.stream(draw);
    rows.texts(8, |event, out| out.extend_from_slice(one_of(stream.at(event.number()), texts).as_bytes()))
}

/// `0123 4567 8901 2345`
fn card(bits: u64, out: &mut Vec<u8>) {
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        let number = ((bits >> (16 * group) & 0xffff) * 10_000) >> 16;
        let digit = |unit: u64| b'0' + (number / unit % 10) as u8;
        out.extend_from_slice(&[digit(1_000), digit(100), digit(10), digit(1)]);
    }
}
