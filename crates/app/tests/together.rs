//! A step that gets many records at once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use thalweg_app::driver::{frames, kept};
use thalweg_app::{Aggregation, Application, Driver, EventTime, Window, Windows, decode, encode};
use thalweg_dataflow::Result;

/// Numbers below each frame's, all of them twice through a step of many records.
fn doubled(records_max: usize, calls: &Arc<Mutex<Vec<Vec<u64>>>>) -> Driver {
    let application = Application::new("together");
    let calls = Arc::clone(calls);
    application
        .source("numbers", frames(), decode::utf8())
        .flat_map(|text: String| 0..text.parse::<u64>().unwrap())
        .try_map_together(records_max, move |numbers: Vec<u64>| {
            calls.lock().unwrap().push(numbers.clone());
            Ok(numbers.into_iter().map(|number| (number % 5 != 3).then_some(number)).collect())
        })
        .flat_map(|number| [number, number])
        .map(|number| format!("{number} "))
        .sink("out", kept(), encode::display);
    Driver::new(application).unwrap()
}

#[test]
fn results_come_in_order_and_no_record_is_asked_twice_however_small_batches_are() {
    for rows_max in [1, 2, 3, 10, 8192] {
        for records_max in [1, 4, 10, 1000] {
            let calls = Arc::default();
            let mut driver = doubled(records_max, &calls);
            driver.set_batch_rows_max(rows_max);
            driver.frame("numbers", "17").unwrap();
            driver.restart().unwrap();
            driver.frame("numbers", "2").unwrap();
            let expected = (0..17_u64).chain(0..2).filter(|number| number % 5 != 3);
            let expected: String = expected.map(|number| format!("{number} {number} ")).collect();
            assert_eq!(driver.text("out"), expected, "{rows_max} {records_max}");
            let calls = calls.lock().unwrap();
            assert_eq!(calls.concat(), (0..17).chain(0..2).collect::<Vec<_>>(), "{rows_max} {records_max}");
            assert!(calls.iter().all(|call| !call.is_empty() && call.len() <= records_max));
        }
    }
}

#[test]
fn a_lone_record_does_not_wait_and_those_of_a_batch_come_together() {
    let calls = Arc::default();
    let mut driver = doubled(1000, &calls);
    driver.frame("numbers", "1").unwrap();
    assert_eq!(driver.text("out"), "0 0 ");
    driver.frame("numbers", "9").unwrap();
    assert_eq!(*calls.lock().unwrap(), [vec![0], (0..9).collect()]);
}

struct Count;

impl Aggregation<u8, u64> for Count {
    type Accumulator = u64;
    type Output = String;

    fn initial(&self) -> Result<u64> {
        Ok(0)
    }

    fn update(&self, _: u64, count: &mut u64) -> Result<()> {
        *count += 1;
        Ok(())
    }

    fn combine(&self, count: &mut u64, other: u64) -> Result<()> {
        *count += other;
        Ok(())
    }

    fn output(&self, _: u8, window: Window, count: u64) -> Result<String> {
        Ok(format!("{} {count};", window.start.0))
    }
}

#[test]
fn times_go_along_with_their_records() {
    for rows_max in [1, 3, 8192] {
        let application = Application::new("times");
        application
            .source("times", frames(), decode::utf8())
            .flat_map(|text: String| text.split(' ').map(|time| time.parse().unwrap()).collect::<Vec<u64>>())
            .with_event_time(|&time| EventTime(time as i64), Duration::ZERO)
            .try_map_together(100, |times| Ok(times.into_iter().map(Some).collect()))
            .key_by(|_| 0_u8)
            .window(Windows::tumble(Duration::from_nanos(10)))
            .aggregate("count", Count)
            .sink("out", kept(), encode::display);
        let mut driver = Driver::new(application).unwrap();
        driver.set_batch_rows_max(rows_max);
        // The last is late: the window of 0 closed with 12.
        driver.frame("times", "1 2 12 9 25 3").unwrap();
        driver.end().unwrap();
        assert_eq!(driver.text("out"), "0 2;10 1;20 1;", "{rows_max}");
    }
}

#[test]
fn a_function_that_does_not_answer_for_each_record_is_found_out() {
    let application = Application::new("short");
    application
        .source("words", frames(), decode::utf8())
        .try_map_together(10, |_: Vec<String>| Ok(Vec::<Option<String>>::new()))
        .sink("out", kept(), encode::display);
    let error = Driver::new(application).unwrap().frame("words", "a").unwrap_err();
    assert!(error.to_string().contains("did not answer for each"), "{error}");
}
