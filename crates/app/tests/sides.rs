//! Side outputs: what leaves, where it comes out, with which time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use thalweg_app::driver::{frames, kept};
use thalweg_app::{
    Aggregation, Application, Driver, EventTime, SideOutput, Stream, Window, Windows, decode, encode,
};
use thalweg_dataflow::Result;

fn numbers(application: &Application, name: &str) -> Stream<i64> {
    let number =
        |frame: &[u8]| -> Result<i64, decode::DecodeError> { Ok(std::str::from_utf8(frame)?.parse()?) };
    application.source(name, frames(), decode::one(number))
}

fn drive(application: Application) -> Driver {
    Driver::new(application).expect("a sound application")
}

fn told(application: Application) -> String {
    let errors = Driver::new(application).err().expect("an unsound application");
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// Odd numbers leave.
fn even(number: i64) -> Result<i64, i64> {
    if number % 2 == 0 { Ok(number) } else { Err(number) }
}

/// Writes a stream as lines.
fn out(stream: Stream<i64>, name: &str) {
    stream.sink(name, kept(), |number, line| line.extend(format!("{number} ").bytes()));
}

/// How many records a window holds.
struct Count;

impl Aggregation<i64, i64> for Count {
    type Accumulator = u64;
    type Output = String;

    fn initial(&self) -> Result<u64> {
        Ok(0)
    }

    fn update(&self, _: i64, count: &mut u64) -> Result<()> {
        *count += 1;
        Ok(())
    }

    fn combine(&self, count: &mut u64, other: u64) -> Result<()> {
        *count += other;
        Ok(())
    }

    fn output(&self, _: i64, window: Window, count: u64) -> Result<String> {
        Ok(format!("{}: {count} ", window.start.0))
    }
}

fn counted(stream: Stream<i64>, name: &str) {
    let windows = Windows::tumble(Duration::from_nanos(10));
    stream.key_by(|_| 0).window(windows).aggregate(name, Count).sink(name, kept(), encode::display);
}

#[test]
fn records_part_and_both_kinds_keep_their_order_however_small_batches_are() {
    for rows in [1, 2, 100] {
        let application = Application::new("part");
        let odd = application.side_output("odd");
        let many = numbers(&application, "in").flat_map(|n| 0..n).map(even);
        out(many.divide(&odd), "even");
        out(odd.stream(), "odd");
        let mut driver = drive(application);
        driver.set_batch_rows_max(rows);
        driver.frame("in", "7").unwrap();
        driver.restart().unwrap();
        driver.frame("in", "3").unwrap();
        assert_eq!(driver.text("even"), "0 2 4 6 0 2 ");
        assert_eq!(driver.text("odd"), "1 3 5 1 ");
    }
}

#[test]
fn any_steps_give_to_one_side_output_and_any_streams_read_it() {
    let application = Application::new("many");
    let aside = application.side_output("aside");
    out(aside.stream(), "before");
    let merged = numbers(&application, "a").merge(numbers(&application, "b").map(|n| n * 10 + 1));
    let rest = merged.map(even).divide(&aside).map(|n| if n > 4 { Err(n) } else { Ok(n) }).divide(&aside);
    out(rest, "rest");
    out(aside.stream().map(|n| -n), "behind");
    let mut driver = drive(application);
    for (source, number) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "6")] {
        driver.frame(source, number).unwrap();
    }
    assert_eq!(driver.text("rest"), "2 ");
    assert_eq!(driver.text("before"), "1 11 6 ");
    assert_eq!(driver.text("behind"), "-1 -11 -6 ");
}

#[test]
fn what_leaves_has_the_time_of_its_record() {
    let application = Application::new("timed");
    let odd = application.side_output("odd");
    let timed = numbers(&application, "in").with_event_time(|&n| EventTime(n), Duration::ZERO);
    timed.map(even).divide(&odd).discard();
    counted(odd.stream(), "rate");
    let mut driver = drive(application);
    for number in ["1", "2", "3", "11", "30"] {
        driver.frame("in", number).unwrap();
    }
    assert_eq!(driver.text("rate"), "0: 2 10: 1 ");
}

#[test]
fn what_leaves_before_its_time_is_told_has_that_of_the_watermark_and_moves_none() {
    let application = Application::new("early");
    let odd = application.side_output("odd");
    let timed = numbers(&application, "in").map(even).divide(&odd);
    let timed = timed.with_event_time(|&n| EventTime(n), Duration::ZERO);
    counted(timed, "even");
    counted(odd.stream(), "odd");
    let mut driver = drive(application);
    for number in ["99", "2", "4", "77", "6", "12", "55", "24"] {
        driver.frame("in", number).unwrap();
    }
    assert_eq!(driver.text("even"), "0: 3 10: 1 ", "99 and 77 have closed no window");
    assert_eq!(driver.text("odd"), "-4294967296000000000: 1 0: 1 10: 1 ");
}

#[test]
fn pipelines_through_a_shared_state_have_their_own_side_outputs_and_watermarks() {
    let application = Application::new("shared");
    let state = application.state::<i64, i64>("last");
    for name in ["left", "right"] {
        let aside = application.side_output(&format!("{name} aside"));
        let seen = numbers(&application, name).with_event_time(|&n| EventTime(n), Duration::ZERO);
        let seen = seen.key_by(|_| 0).with_state(&state, |_, n, last| {
            let before = std::mem::replace(last, n);
            [even(n).map(|_| before)]
        });
        out(seen.divide(&aside), name);
        counted(aside.stream(), &format!("{name} rate"));
    }
    let mut driver = drive(application);
    for (source, number) in [("left", "1"), ("right", "2"), ("left", "3"), ("left", "20"), ("right", "5")] {
        driver.frame(source, number).unwrap();
    }
    assert_eq!((driver.text("left"), driver.text("right")), ("3 ".into(), "1 ".into()));
    assert_eq!(driver.text("left rate"), "0: 2 ", "the other pipeline holds nothing back");
    assert_eq!(driver.text("right rate"), "");
    driver.watermark("right", EventTime(10)).unwrap();
    assert_eq!(driver.text("right rate"), "0: 1 ");
}

#[test]
fn a_stream_that_nobody_has_still_divides() {
    let application = Application::new("discard");
    let odd = application.side_output("odd");
    let counts = numbers(&application, "in").key_by(|_| 0).stateful("count", |_, n, count: &mut i64| {
        *count += 1;
        [even(n).map_err(|n| n * 100 + *count)]
    });
    counts.divide(&odd).map(|n| n + 1).discard();
    out(odd.stream(), "odd");
    let mut driver = drive(application);
    for number in ["1", "2", "3"] {
        driver.frame("in", number).unwrap();
    }
    assert_eq!(driver.text("odd"), "101 303 ");
}

#[test]
fn a_side_output_is_given_to_and_read() {
    let application = Application::new("unread");
    let odd: SideOutput<i64> = application.side_output("odd");
    out(numbers(&application, "in").map(even).divide(&odd), "even");
    assert!(told(application).contains("nobody reads side output 'odd'"));

    let application = Application::new("ungiven");
    out(numbers(&application, "in"), "all");
    out(application.side_output("odd").stream(), "odd");
    assert!(told(application).contains("no step gives anything to side output 'odd'"));

    let (application, other) = (Application::new("one"), Application::new("other"));
    out(numbers(&application, "in").map(even).divide(&other.side_output("odd")), "even");
    assert!(told(application).contains("a side output is of another application"));

    let application = Application::new("twice");
    let odds = [application.side_output("odd"), application.side_output("odd")];
    for (odd, name) in odds.iter().zip(["a", "b"]) {
        out(numbers(&application, name).map(even).divide(odd), name);
        out(odd.stream(), &format!("{name} odd"));
    }
    assert!(told(application).contains("two side outputs have the name 'odd'"));
}

#[test]
fn a_side_output_that_feeds_itself_is_refused() {
    let application = Application::new("loop");
    let odd = application.side_output("odd");
    out(numbers(&application, "in").map(even).divide(&odd), "even");
    out(odd.stream().map(even).divide(&odd), "odd");
    let told = told(application);
    assert!(told.contains("side output 'odd' feeds itself"), "{told}");
}
