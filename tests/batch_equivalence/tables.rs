//! Random tables: few and many keys, nulls, NaN, infinities, none at all.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, TimestampNanosecondArray,
};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// The table `t` in our dialect. No row is late: all lie within the hour that the watermark waits.
pub(crate) const DECLARATION: &str = "\
CREATE TABLE t (
    k BIGINT,
    s TEXT,
    v INT,
    w BIGINT NOT NULL,
    f DOUBLE,
    b BOOLEAN,
    d DECIMAL(12, 2),
    l TEXT[],
    time TIMESTAMP NOT NULL,
    WATERMARK FOR time AS time - INTERVAL '1 hour'
) WITH (connector = 'single_file', path = 't.jsonl', type = 'source', format = 'json');";

const BASE_NANOS: i64 = 1_700_000_000_000_000_000;

/// From no row to a few hundred.
pub(crate) fn random(random: &mut StdRng) -> RecordBatch {
    let rows = match random.random_range(0..10) {
        0 => 0,
        1 => 1,
        2..=5 => random.random_range(2..30),
        _ => random.random_range(30..400),
    };
    let keys = [1, 2, 7, 1_000][random.random_range(0..4)];
    let nulls = [0.0, 0.1, 0.6][random.random_range(0..3)];
    let column: Vec<(&str, ArrayRef, bool)> = vec![
        ("k", Arc::new(some::<Int64Array, _>(random, rows, nulls, |r| r.random_range(-keys..=keys))), true),
        ("s", Arc::new(some::<StringArray, _>(random, rows, nulls, text)), true),
        ("v", Arc::new(some::<Int32Array, _>(random, rows, nulls, |r| r.random_range(-50..50))), true),
        (
            "w",
            Arc::new(Int64Array::from_iter_values((0..rows).map(|_| random.random_range(0..1_000)))),
            false,
        ),
        ("f", Arc::new(some::<Float64Array, _>(random, rows, nulls, float)), true),
        ("b", Arc::new(some::<BooleanArray, _>(random, rows, nulls, |r| r.random_bool(0.5))), true),
        ("d", Arc::new(decimals(random, rows, nulls)), true),
        ("l", lists(random, rows, nulls), true),
        ("time", Arc::new(times(random, rows)), false),
    ];
    RecordBatch::try_from_iter_with_nullable(column).expect("columns of one length")
}

fn some<A: FromIterator<Option<T>>, T>(
    random: &mut StdRng,
    rows: usize,
    nulls: f64,
    mut value: impl FnMut(&mut StdRng) -> T,
) -> A {
    (0..rows).map(|_| (!random.random_bool(nulls)).then(|| value(random))).collect()
}

fn text(random: &mut StdRng) -> &'static str {
    ["", "a", "b", "B", "ab", "äö", "rather a long text, longer than twelve bytes", "NULL"]
        [random.random_range(0..8)]
}

fn float(random: &mut StdRng) -> f64 {
    match random.random_range(0..20) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => 0.0,
        _ => f64::from(random.random_range(-1_000..1_000)) / 8.0,
    }
}

fn decimals(random: &mut StdRng, rows: usize, nulls: f64) -> Decimal128Array {
    let decimals: Decimal128Array =
        some(random, rows, nulls, |r| i128::from(r.random_range(-100_000..100_000)));
    decimals.with_precision_and_scale(12, 2).expect("within precision")
}

fn lists(random: &mut StdRng, rows: usize, nulls: f64) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for _ in 0..rows {
        let items = random.random_range(0..4);
        for _ in 0..items {
            if random.random_bool(0.2) {
                lists.values().append_null()
            } else {
                lists.values().append_value(text(random))
            }
        }
        lists.append(!random.random_bool(nulls));
    }
    Arc::new(lists.finish())
}

/// Within half an hour, out of order.
fn times(random: &mut StdRng, rows: usize) -> TimestampNanosecondArray {
    (0..rows).map(|_| Some(BASE_NANOS + (random.next_u64() % 1_800_000) as i64 * 1_000_000)).collect()
}
