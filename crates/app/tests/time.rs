//! Event time, watermarks, bad frames, and what SQL is given and gives.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_app::driver::{frames, kept, records};
use thalweg_app::{Application, Driver, EventTime, Outlet, RowPolicy, SqlPlanner, Stream, decode, encode};
use thalweg_dataflow::{Error, Functions, Graph, ProcessingTime};

/// Answers the table that the text ends with, as it is.
struct Same;

impl SqlPlanner for Same {
    fn plan(
        &self,
        _: &mut Graph,
        _: &mut Functions,
        _: &str,
        text: &str,
        inputs: &[(String, Outlet)],
    ) -> Result<Outlet, Vec<Error>> {
        let found = inputs.iter().find(|(name, _)| text.ends_with(name.as_str()));
        Ok(found.expect("a table by its name").1.clone())
    }
}

/// A row as SQL sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    value: i64,
    _timestamp: i64,
    _watermark: i64,
}

const START: i64 = i64::MIN;

fn numbers(application: &Application) -> Stream<i64> {
    let number =
        |frame: &[u8]| -> Result<i64, decode::DecodeError> { Ok(std::str::from_utf8(frame)?.parse()?) };
    application.source("numbers", frames(), decode::one(number))
}

/// Ends a stream in `value, event time, watermark before it`.
fn times(stream: Stream<i64>) {
    stream
        .sql::<Row>("SELECT * FROM stream")
        .map(|row| (row.value, row._timestamp, row._watermark))
        .try_sink("out", kept(), encode::json);
}

fn drive(application: Application) -> Driver {
    Driver::of(application.build(&Same, Duration::MAX).expect("a sound application")).expect("it starts")
}

fn told(application: Application) -> String {
    let errors = application.build(&Same, Duration::MAX).expect_err("an unsound application");
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn out(driver: &Driver) -> Vec<(i64, i64, i64)> {
    driver.frames("out").iter().map(|frame| serde_json::from_slice(frame).unwrap()).collect()
}

#[test]
fn a_record_has_the_time_at_which_its_frame_was_read() {
    let application = Application::new("processing");
    times(numbers(&application).map(|n| n + 1));
    let mut driver = drive(application);
    for now in [5, 7] {
        driver.at(ProcessingTime(now)).unwrap();
        driver.frame("numbers", "1").unwrap();
    }
    assert_eq!(out(&driver), [(2, 5, START), (2, 7, 5)]);
}

#[test]
fn records_tell_their_own_time_and_each_split_has_its_watermark() {
    let application = Application::new("event");
    let timed = numbers(&application).with_event_time(|&n| EventTime(n), Duration::from_nanos(2));
    times(timed.filter(|n| n % 10 != 0));
    let mut driver = drive(application);
    for (split, number) in [("a", "5"), ("b", "103"), ("a", "20"), ("a", "6"), ("b", "4")] {
        driver.frame_of("numbers", split, number).unwrap();
    }
    // The record 20 was filtered, but it has moved the watermark.
    assert_eq!(out(&driver), [(5, 5, START), (103, 103, 3), (6, 6, 18), (4, 4, 101)]);
}

#[test]
fn times_go_along_through_exchanges_branches_and_restarts() {
    let application = Application::new("along");
    let timed = numbers(&application).with_event_time(|&n| EventTime(n), Duration::ZERO);
    let kept_apart = timed.clone();
    times(timed.key_by(|n| n % 2).stateful("s", |_, n, _: &mut u8| [n, n]));
    kept_apart.sink("all", kept(), encode::display);
    let mut driver = drive(application);
    driver.frame("numbers", "4").unwrap();
    driver.restart().unwrap();
    driver.frame("numbers", "3").unwrap();
    assert_eq!(out(&driver), [(4, 4, START), (4, 4, START), (3, 3, 4), (3, 3, 4)]);
    assert_eq!(driver.text("all"), "43");
}

#[test]
fn a_watermark_may_come_from_the_source() {
    let application = Application::new("given");
    times(numbers(&application).with_event_time(|&n| EventTime(n), Duration::from_secs(1)));
    let mut driver = drive(application);
    driver.frame("numbers", "1").unwrap();
    driver.watermark("numbers", EventTime(50)).unwrap();
    driver.frame("numbers", "2").unwrap();
    assert_eq!(out(&driver)[1], (2, 2, 50));
}

#[test]
fn the_event_time_is_told_once_and_near_the_source() {
    let application = Application::new("late");
    let timed = |stream: Stream<i64>| stream.with_event_time(|&n| EventTime(n), Duration::ZERO);
    timed(timed(numbers(&application))).sink("out", kept(), encode::display);
    assert!(told(application).contains("'with_event_time' is called again"));
    let application = Application::new("far");
    let state = numbers(&application).key_by(|&n| n).stateful("s", |_, n, _: &mut u8| [n]);
    timed(state).sink("out", kept(), encode::display);
    assert!(told(application).contains("before 'with_event_time' is called"));
}

#[test]
fn a_frame_that_cannot_be_decoded_fails_the_job_with_its_number() {
    let application = Application::new("bad");
    numbers(&application).sink("out", kept(), encode::display);
    let mut driver = drive(application);
    driver.frame("numbers", "1").unwrap();
    let error = driver.frame("numbers", "one").unwrap_err().to_string();
    assert!(error.starts_with("record 2 of source 'numbers' cannot be decoded [bad-record]"), "{error}");
    assert!(error.contains("invalid digit"), "{error}");
}

#[test]
fn bad_frames_are_dropped_if_the_application_says_so() {
    let application = Application::new("drop");
    application.set_bad_records(RowPolicy::Drop);
    let broken = |frame: &[u8]| match frame {
        b"" => Err("an empty frame"),
        frame => Ok(frame.to_vec()),
    };
    application.source("bytes", frames(), decode::many(broken)).sink("out", kept(), encode::display);
    let mut driver = drive(application);
    for frame in ["ab", "", "c"] {
        driver.frame("bytes", frame).unwrap();
    }
    assert_eq!(driver.text("out"), "979899");
    let counters = driver.counters("out/computation").unwrap();
    assert_eq!((counters.taken.get(), counters.refused.get()), (2, 1));
}

#[test]
fn an_encoder_may_refuse() {
    let application = Application::new("refuse");
    numbers(&application).try_sink("out", kept(), |&n, frame| match u8::try_from(n) {
        Ok(byte) => {
            frame.push(byte);
            Ok(())
        }
        Err(why) => Err(why),
    });
    let mut driver = drive(application);
    driver.frame("numbers", "65").unwrap();
    let error = driver.frame("numbers", "300").unwrap_err().to_string();
    assert!(error.contains("a record cannot be encoded for sink 'out' [bad-record]"), "{error}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bid {
    auction: u64,
    price: Option<f64>,
}

#[test]
fn sql_reads_fields_as_columns_and_gives_records_by_name() {
    #[derive(Serialize, Deserialize)]
    struct Price {
        price: Option<f64>,
    }
    let application = Application::new("sql");
    let bids = application.table::<Bid>("bids", records::<Bid>());
    let more = application.table::<Bid>("more", records::<Bid>());
    application
        .sql::<Price>("SELECT * FROM b", &[("a", more.rows()), ("b", bids.rows())])
        .map(|price| price.price.unwrap_or(-1.0))
        .sink("out", kept(), encode::display);
    let mut driver = drive(application);
    driver.feed("bids", &Bid { auction: 1, price: Some(2.5) }, EventTime(1)).unwrap();
    driver.feed("bids", &Bid { auction: 2, price: None }, EventTime(1)).unwrap();
    driver.feed("more", &Bid { auction: 3, price: Some(9.0) }, EventTime(1)).unwrap();
    assert_eq!(driver.text("out"), "2.5-1");
}

#[test]
fn rows_that_do_not_fit_their_type_are_refused() {
    let application = Application::new("unfit");
    let bids = application.table::<Bid>("bids", records::<Bid>());
    bids.sql::<Row>("SELECT * FROM stream").sink("out", kept(), |_, _| {});
    let told = told(application);
    assert!(told.contains("there is no column 'value' [type-mismatch]"), "{told}");
    assert!(told.contains("the columns are 'auction', 'price', '_timestamp', '_watermark'"), "{told}");
}

#[test]
fn sources_must_give_what_is_read() {
    let application = Application::new("sources");
    application.source("bids", records::<Bid>(), decode::utf8()).sink("out", kept(), encode::display);
    application.table::<Bid>("frames", frames()).discard();
    let told = told(application);
    assert!(told.contains("the source 'bids' gives no frames"), "{told}");
    assert!(told.contains("there is no column 'auction'"), "{told}");
}

#[test]
fn merged_streams_are_one_table() {
    let application = Application::new("union");
    let other = application.source("other", frames(), decode::one(|_| Ok::<_, decode::DecodeError>(7_i64)));
    times(numbers(&application).merge(other));
    let mut driver = drive(application);
    driver.frame("numbers", "1").unwrap();
    driver.frame("other", "").unwrap();
    assert_eq!(out(&driver).iter().map(|row| row.0).collect::<Vec<_>>(), [1, 7]);
}
