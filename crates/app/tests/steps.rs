//! Every step, by hand.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize, Serializer};
use thalweg_app::driver::{frames, kept, records};
use thalweg_app::{Application, Driver, EventTime, Stream, decode, encode};

fn words(application: &Application) -> Stream<String> {
    application.source("text", frames(), decode::utf8())
}

fn drive(application: Application) -> Driver {
    Driver::new(application).expect("a sound application")
}

#[test]
fn records_are_mapped_filtered_and_seen_in_their_order() {
    let application = Application::new("steps");
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    words(&application)
        .filter(|word| !word.is_empty())
        .map(|word| word.len())
        .filter_map(|length| (length > 1).then_some(length * 10))
        .inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .flat_map(|number| vec![number, number + 1])
        .sink("out", kept(), encode::display);
    let mut driver = drive(application);
    for word in ["", "a", "three", "to"] {
        driver.frame("text", word).unwrap();
    }
    assert_eq!(driver.frames("out"), ["50", "51", "20", "21"].map(str::as_bytes));
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

/// A record that must never become columns.
#[derive(Clone, Deserialize)]
struct Opaque(#[serde(skip)] Option<Arc<AtomicUsize>>, u8);

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("this record became columns")
    }
}

#[test]
fn a_record_stays_a_rust_value_from_step_to_step() {
    let calls = Arc::new(AtomicUsize::new(0));
    let application = Application::new("composed");
    let handed = Arc::clone(&calls);
    words(&application)
        .map(move |word| Opaque(Some(Arc::clone(&handed)), word.len() as u8))
        .filter(|record| record.1 > 0)
        .flat_map(|record| [record.clone(), record])
        .map(|Opaque(calls, length)| {
            // The very handle that the first step gave: no copy by columns has one.
            calls.expect("not written down in between").fetch_add(1, Ordering::Relaxed);
            length.to_string()
        })
        .sink("out", kept(), encode::display);
    let mut driver = drive(application);
    driver.frame("text", "ab").unwrap();
    assert_eq!(driver.text("out"), "22");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn an_exchange_is_where_a_record_becomes_columns() {
    let application = Application::new("exchanged");
    words(&application)
        .map(|word| Opaque(None, word.len() as u8))
        .key_by(|record| record.1)
        .stateful("s", |_, record, _: &mut u8| [record.1])
        .sink("out", kept(), encode::display);
    let mut driver = drive(application);
    assert!(catch_unwind(AssertUnwindSafe(|| driver.frame("text", "ab"))).is_err());
}

#[test]
fn the_output_of_one_record_leaves_in_pieces_and_no_step_is_asked_twice() {
    let calls = Arc::new(AtomicUsize::new(0));
    let application = Application::new("pieces");
    let counter = Arc::clone(&calls);
    words(&application)
        .flat_map(move |word| {
            counter.fetch_add(1, Ordering::Relaxed);
            (0..1000).map(move |n| format!("{word}{n}"))
        })
        .flat_map(|word| (0..7).map(move |n| format!("{word}.{n} ")))
        .sink("out", kept(), encode::display);
    let expected: String = ["a", "b"]
        .map(|w| (0..1000).flat_map(|n| (0..7).map(move |m| format!("{w}{n}.{m} "))).collect::<String>())
        .concat();
    let mut driver = drive(application);
    // The driver holds operators to their bound; so small a batch cuts both steps, and at different places.
    driver.set_batch_rows_max(3);
    driver.frame("text", "a").unwrap();
    driver.frame("text", "b").unwrap();
    assert_eq!(driver.text("out"), expected);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn an_iterator_is_asked_only_as_far_as_there_is_room() {
    let asked = Arc::new(AtomicUsize::new(0));
    let application = Application::new("lazy");
    let counter = Arc::clone(&asked);
    words(&application)
        .flat_map(move |_| {
            let counter = Arc::clone(&counter);
            (0..100_usize).inspect(move |n| {
                // Ten fit into a batch, and a batch leaves before the next is begun.
                assert_eq!(counter.fetch_add(1, Ordering::Relaxed), *n);
            })
        })
        .key_by(|n| *n)
        .stateful("s", {
            let asked = Arc::clone(&asked);
            move |_, n, _: &mut u8| {
                let ahead = asked.load(Ordering::Relaxed) - n;
                assert!(ahead <= 10, "{ahead} records wait in front of the exchange");
                [n]
            }
        })
        .sink("out", kept(), |_, _| {});
    let mut driver = drive(application);
    driver.set_batch_rows_max(10);
    driver.frame("text", "").unwrap();
    assert_eq!(driver.frames("out").len(), 100);
}

#[test]
fn a_state_computation_gives_none_one_or_many_in_pieces() {
    let application = Application::new("state-pieces");
    words(&application)
        .key_by(|word| word.clone())
        .stateful_with(
            "s",
            |key| key.len(),
            |key, _, count| {
                *count += 1;
                (0..*count).map(move |_| ()).map({
                    let key = key.clone();
                    move |()| key.clone()
                })
            },
        )
        .sink("out", kept(), encode::display);
    let mut driver = drive(application);
    driver.set_batch_rows_max(2);
    for word in ["abc", "", "", "abc"] {
        driver.frame("text", word).unwrap();
    }
    assert_eq!(driver.text("out"), "abc".repeat(4 + 5));
    assert_eq!(driver.frames("out").len(), 4 + 1 + 2 + 5);
}

#[test]
fn a_clone_is_a_branch_and_the_steps_before_it_run_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let application = Application::new("branch");
    let counter = Arc::clone(&calls);
    let lengths = words(&application).map(move |word| {
        counter.fetch_add(1, Ordering::Relaxed);
        word.len() as u64
    });
    let doubled = lengths.clone().map(|n| n * 2);
    lengths.clone().filter(|n| n % 2 == 1).sink("odd", kept(), encode::display);
    lengths.sink("all", kept(), encode::display);
    doubled.sink("doubled", kept(), encode::display);
    let mut driver = drive(application);
    for word in ["a", "bb", "ccc"] {
        driver.frame("text", word).unwrap();
    }
    assert_eq!([driver.text("odd"), driver.text("all"), driver.text("doubled")], ["13", "123", "246"]);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[test]
fn merged_streams_go_on_as_one() {
    let application = Application::new("merge");
    let left = words(&application).map(|word| word.to_uppercase());
    let right = application.source("more", frames(), decode::utf8());
    left.merge(right)
        .map(|word| word + ".")
        .key_by(|word| word.to_lowercase())
        .stateful("counts", |_, word, count: &mut u32| {
            *count += 1;
            [format!("{word}{count} ")]
        })
        .sink("out", kept(), encode::display);
    let mut driver = drive(application);
    driver.frame("text", "a").unwrap();
    driver.frame("more", "a").unwrap();
    driver.frame("text", "b").unwrap();
    assert_eq!(driver.text("out"), "A.1 a.2 B.1 ");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    symbol: String,
    price: f64,
    note: Option<String>,
}

#[test]
fn columns_are_read_as_records_and_written_as_rows() {
    let application = Application::new("rows");
    application.table::<Order>("orders", records::<Order>()).filter(|order| order.price > 1.0).sink_rows(
        "out",
        |schema| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(names, ["symbol", "price", "note", "_timestamp"]);
            Ok(kept())
        },
    );
    let mut driver = drive(application);
    let order = |price| Order { symbol: "A".into(), price, note: (price > 2.0).then(|| "dear".to_owned()) };
    for (price, time) in [(0.5, 1), (1.5, 2), (2.5, 3)] {
        driver.feed("orders", &order(price), EventTime(time)).unwrap();
    }
    assert_eq!(driver.output::<Order>("out").unwrap(), [order(1.5), order(2.5)]);
    assert_eq!(driver.output::<Time>("out").unwrap(), [Time { _timestamp: 2 }, Time { _timestamp: 3 }]);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Time {
    _timestamp: i64,
}
