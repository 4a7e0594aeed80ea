//! Windows with a program's own aggregation.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_app::driver::{frames, kept};
use thalweg_app::{
    Aggregation, Application, Driver, EventTime, Incomplete, Stream, Window, Windows, decode, encode,
};
use thalweg_dataflow::{Code, Error, Result};

/// The aggregation fails at this number.
const UNLUCKY: i64 = 13;

/// Least and greatest of a key's numbers, which are also their times.
struct Range;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bounds {
    least: f64,
    greatest: f64,
    seen: Vec<i64>,
}

impl Aggregation<String, (String, i64)> for Range {
    type Accumulator = Bounds;
    type Output = String;

    fn initial(&self) -> Result<Bounds> {
        Ok(Bounds { least: f64::INFINITY, greatest: f64::NEG_INFINITY, seen: Vec::new() })
    }

    fn update(&self, (_, number): (String, i64), bounds: &mut Bounds) -> Result<()> {
        if number == UNLUCKY {
            return Err(Error::new(Code::FunctionFailed, "this number is unlucky"));
        }
        bounds.least = bounds.least.min(number as f64);
        bounds.greatest = bounds.greatest.max(number as f64);
        bounds.seen.push(number);
        Ok(())
    }

    fn combine(&self, bounds: &mut Bounds, other: Bounds) -> Result<()> {
        bounds.least = bounds.least.min(other.least);
        bounds.greatest = bounds.greatest.max(other.greatest);
        bounds.seen.extend(other.seen);
        Ok(())
    }

    fn output(&self, key: String, window: Window, bounds: Bounds) -> Result<String> {
        let Window { start, end } = window;
        let mut seen = bounds.seen;
        seen.sort_unstable();
        Ok(format!("{key} {}..{}: {}..{} {seen:?}\n", start.0, end.0, bounds.least, bounds.greatest))
    }
}

/// `a5`: key a, number and event time 5.
fn numbers(application: &Application, name: &str) -> Stream<(String, i64)> {
    let number = |frame: &[u8]| -> Result<(String, i64), decode::DecodeError> {
        let text = std::str::from_utf8(frame)?;
        Ok((text[..1].to_owned(), text[1..].parse()?))
    };
    application
        .source(name, frames(), decode::one(number))
        .with_event_time(|record| EventTime(record.1), Duration::ZERO)
}

fn ranges(windows: Windows, frames: &[&str]) -> String {
    let mut answers = [false, true].map(|restarts| {
        let application = Application::new("windows");
        numbers(&application, "numbers")
            .key_by(|record| record.0.clone())
            .window(windows)
            .aggregate("ranges", Range)
            .sink("out", kept(), encode::display);
        let mut driver = Driver::new(application).expect("a sound application");
        for frame in frames {
            driver.frame("numbers", frame).unwrap();
            if restarts {
                driver.restart().unwrap();
            }
        }
        driver.end().unwrap();
        driver.text("out")
    });
    assert_eq!(answers[0], answers[1], "a restart changes the answer");
    std::mem::take(&mut answers[0])
}

#[test]
fn windows_that_touch() {
    let answer = ranges(Windows::tumble(Duration::from_nanos(10)), &["a1", "b2", "a9", "a12", "b3", "a25"]);
    // 3 comes when its window is closed: it is late.
    assert_eq!(
        answer,
        "a 0..10: 1..9 [1, 9]\nb 0..10: 2..2 [2]\na 10..20: 12..12 [12]\na 20..30: 25..25 [25]\n"
    );
}

#[test]
fn windows_that_overlap() {
    let hop = Windows::hop(Duration::from_nanos(5), Duration::from_nanos(10));
    let answer = ranges(hop, &["a1", "a6", "a12"]);
    let windows = ["-5..5: 1..1 [1]", "0..10: 1..6 [1, 6]", "5..15: 6..12 [6, 12]", "10..20: 12..12 [12]"];
    assert_eq!(answer, windows.map(|window| format!("a {window}\n")).concat());
}

#[test]
fn sessions() {
    let answer = ranges(Windows::session(Duration::from_nanos(5)), &["a1", "a4", "a8", "a20"]);
    assert_eq!(answer, "a 1..13: 1..8 [1, 4, 8]\na 20..25: 20..20 [20]\n");
}

#[test]
fn windows_of_so_many() {
    let records = ["a1", "b2", "a3", "a4"];
    assert_eq!(ranges(Windows::count(2, Incomplete::Drop), &records), "a 3..3: 1..3 [1, 3]\n");
    let all = ranges(Windows::count(2, Incomplete::Emit), &records);
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a 3..3: 1..3 [1, 3]", "a 4..4: 4..4 [4]", "b 2..2: 2..2 [2]"]);
}

#[test]
fn merged_streams_meet_in_their_windows() {
    let application = Application::new("merged");
    let [left, right] = ["left", "right"].map(|name| numbers(&application, name));
    left.merge(right)
        .key_by(|record| record.0.clone())
        .window(Windows::tumble(Duration::from_nanos(10)))
        .aggregate("ranges", Range)
        .sink("out", kept(), encode::display);
    let mut driver = Driver::new(application).expect("a sound application");
    driver.frame("left", "a1").unwrap();
    driver.frame("left", "a15").unwrap();
    assert_eq!(driver.text("out"), "", "the other side may still come");
    driver.frame("right", "a2").unwrap();
    driver.frame("right", "a10").unwrap();
    assert_eq!(driver.text("out"), "a 0..10: 1..2 [1, 2]\n");
}

#[test]
fn the_watermark_of_a_pipeline_through_a_shared_state_is_its_own() {
    let application = Application::new("ports");
    let state = application.state::<String, u8>("shared");
    for name in ["left", "right"] {
        numbers(&application, name)
            .key_by(|record| record.0.clone())
            .with_state(&state, |_, record, _| [record])
            .key_by(|record| record.0.clone())
            .window(Windows::tumble(Duration::from_nanos(10)))
            .aggregate(name, Range)
            .sink(name, kept(), encode::display);
    }
    let mut driver = Driver::new(application).expect("a sound application");
    driver.frame("left", "a1").unwrap();
    driver.frame("left", "a11").unwrap();
    assert_eq!(driver.text("left"), "a 0..10: 1..1 [1]\n", "the other pipeline holds nothing back");
    driver.frame("right", "a2").unwrap();
    driver.watermark("right", EventTime(10)).unwrap();
    assert_eq!(driver.text("right"), "a 0..10: 2..2 [2]\n");
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let application = Application::new("none");
    numbers(&application, "numbers")
        .key_by(|record| record.0.clone())
        .window(Windows::tumble(Duration::ZERO))
        .aggregate("ranges", Range)
        .sink("out", kept(), encode::display);
    let errors = Driver::new(application).err().expect("an unsound application");
    assert!(errors[0].to_string().contains("[invalid-window] in window 'ranges'"), "{}", errors[0]);
}

#[test]
fn an_aggregation_that_fails_fails_the_job_in_its_own_words() {
    for windows in [Windows::tumble(Duration::from_nanos(10)), Windows::session(Duration::from_nanos(5))] {
        let application = Application::new("unlucky");
        numbers(&application, "numbers")
            .key_by(|record| record.0.clone())
            .window(windows)
            .aggregate("ranges", Range)
            .sink("out", kept(), encode::display);
        let mut driver = Driver::new(application).expect("a sound application");
        let done = driver.frame("numbers", "a13").and_then(|()| driver.end());
        let error = done.expect_err("the number is unlucky");
        assert_eq!((error.code(), error.what()), (Code::FunctionFailed, "this number is unlucky"));
    }
}

#[test]
fn functions_are_called_only_within_what_the_application_put_around_them() {
    use std::cell::Cell;
    thread_local!(static WITHIN: Cell<bool> = const { Cell::new(false) });

    struct Checked;

    impl Aggregation<u8, u64> for Checked {
        type Accumulator = u64;
        type Output = u64;

        fn initial(&self) -> Result<u64> {
            assert!(WITHIN.get());
            Ok(0)
        }

        fn update(&self, record: u64, total: &mut u64) -> Result<()> {
            assert!(WITHIN.get());
            *total += record;
            Ok(())
        }

        fn combine(&self, total: &mut u64, other: u64) -> Result<()> {
            assert!(WITHIN.get());
            *total += other;
            Ok(())
        }

        fn output(&self, _: u8, _: Window, total: u64) -> Result<u64> {
            assert!(WITHIN.get());
            Ok(total)
        }
    }

    let application = Application::new("within");
    application.enter_with(|work| {
        WITHIN.set(true);
        work();
        WITHIN.set(false);
    });
    application
        .source("numbers", frames(), decode::one(|frame: &[u8]| frame.len().try_into()))
        .map(|number: u64| {
            assert!(WITHIN.get());
            number
        })
        .key_by(|_| 0_u8)
        .window(Windows::count(2, Incomplete::Emit))
        .aggregate("totals", Checked)
        .sink("out", kept(), encode::display);
    let mut driver = Driver::new(application).expect("a sound application");
    for frame in ["a", "ab", "abc"] {
        driver.frame("numbers", frame).unwrap();
        driver.restart().unwrap();
    }
    driver.end().unwrap();
    assert_eq!(driver.text("out"), "33");
}
