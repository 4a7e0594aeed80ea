//! A sink that takes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use thalweg::settings::Settings;
use thalweg_dataflow::SourceEvent;
use thalweg_state::SplitId;

use super::connector::Hand;
use super::{alone, counting, in_a_world, quiet, start, until};

const BATCH: i64 = 8192;

/// Rows with keys of their own, all of one second.
fn rows(keys: std::ops::Range<i64>) -> SourceEvent {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", time, false),
    ];
    let count = (keys.end - keys.start) as usize;
    let records = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from_iter_values(keys)),
            Arc::new(Int64Array::from_value(7, count)),
            Arc::new(TimestampNanosecondArray::from_value(1_000_000_000, count)),
        ],
    );
    SourceEvent::Rows { split: SplitId::new("a"), records: records.expect("the columns fit") }
}

const TABLES: &str = "
    CREATE TABLE t (k BIGINT, v BIGINT, ts TIMESTAMP NOT NULL, WATERMARK FOR ts) WITH (connector = 'hand');
    CREATE TABLE sums (k BIGINT, n BIGINT, s BIGINT) WITH (connector = 'hand');";

/// A sink that counts and keeps nothing.
fn counted() -> (Arc<AtomicUsize>, impl Fn(RecordBatch) + Send + Sync + 'static) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    (taken, move |batch: RecordBatch| {
        count.fetch_add(batch.num_rows(), Relaxed);
    })
}

#[test]
fn a_large_window_fired_into_a_blocked_sink_stays_under_twice_its_state() {
    const GROUPS: i64 = 2_000_000;
    let _alone = alone();
    let (taken, taker) = counted();
    let (hand, moves) = Hand::new(&["a"], taker);
    let script = format!(
        "{TABLES} INSERT INTO sums
         SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k, tumble(INTERVAL '1 hour')"
    );
    in_a_world(async |world| {
        moves.gate.send_replace(false);
        let job = start(&script, hand, &Settings::default(), &world).await;
        quiet(&job).await;
        let empty = counting::now();
        for first in (0..GROUPS).step_by(BATCH as usize) {
            let event = rows(first..GROUPS.min(first + BATCH));
            moves.source.send(event).await.expect("the job reads");
        }
        until("all rows are read", || job.progress().rows_read == GROUPS as u64).await;
        quiet(&job).await;
        assert_eq!(taken.load(Relaxed), 0, "no window has closed yet");
        let state = counting::now() - empty;
        counting::forget_peak();

        moves.source.send(SourceEvent::End).await.expect("the job reads");
        until("the sink is blocked", || taken.load(Relaxed) > 0).await;
        quiet(&job).await;
        let blocked = counting::peak() - empty;
        assert!(taken.load(Relaxed) <= BATCH as usize, "the gate is shut");
        moves.gate.send_replace(true);
        job.wait().await.expect("the job ends");
        let peak = counting::peak() - empty;
        let mega = |bytes: usize| bytes >> 20;
        println!("state {} MiB, blocked {} MiB, peak {} MiB", mega(state), mega(blocked), mega(peak));
        assert_eq!(taken.load(Relaxed), GROUPS as usize);
        assert!(
            state > GROUPS as usize * 24,
            "{state} bytes cannot be the state of a key, a count and a sum"
        );
        assert!(peak < 2 * state, "{peak} bytes at the peak, {state} of state");
    });
}

#[test]
fn a_blocked_sink_stops_the_source_within_the_bounds_of_queues() {
    let _alone = alone();
    let (taken, taker) = counted();
    let (hand, moves) = Hand::new(&["a"], taker);
    let script = format!("{TABLES} INSERT INTO sums SELECT k, count(*), sum(v) FROM t GROUP BY k");
    in_a_world(async |world| {
        moves.gate.send_replace(false);
        let settings = Settings { queue_rows_max: 4 * BATCH as usize, ..Settings::default() };
        let job = start(&script, hand, &settings, &world).await;
        let (mut given, mut stands_still) = (0, false);
        while !stands_still {
            assert!(given < 1000, "the source goes on reading though nothing leaves");
            let event = rows(given * BATCH..(given + 1) * BATCH);
            let sent = tokio::time::timeout(Duration::from_secs(2), moves.source.send(event)).await;
            stands_still = sent.is_err();
            given += i64::from(!stands_still);
        }
        // One batch in hand for each subtask, one at the source's door, and full queues.
        let (channels, subtasks) = (job.channels().len() as i64, job.counters().len() as i64);
        assert!(channels > 0 && given <= 4 * channels + subtasks + 1, "{given} batches, {channels} channels");
        assert!(job.channels().iter().all(|c| c.rows <= 4 * BATCH as usize));
        assert!(taken.load(Relaxed) <= BATCH as usize);
        moves.gate.send_replace(true);
        moves.source.send(SourceEvent::End).await.expect("the job reads");
        job.wait().await.expect("the job ends");
        assert_eq!(taken.load(Relaxed), (given * BATCH) as usize);
    });
}
