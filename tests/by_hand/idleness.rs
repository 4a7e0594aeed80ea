//! A split that is silent for the idle timeout.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use thalweg::settings::Settings;
use thalweg_dataflow::SourceEvent;
use thalweg_state::SplitId;

use super::connector::Hand;
use super::{alone, in_a_world, quiet, start, until};

const SCRIPT: &str = "
    CREATE TABLE t (ts TIMESTAMP NOT NULL, WATERMARK FOR ts) WITH (connector = 'hand');
    CREATE TABLE counts (start BIGINT, n BIGINT) WITH (connector = 'hand');
    INSERT INTO counts SELECT CAST(w.start AS BIGINT) / 1000000000, n
    FROM (SELECT tumble(INTERVAL '10 seconds') AS w, count(*) AS n FROM t GROUP BY w)";

fn rows(split: &str, seconds: &[i64]) -> SourceEvent {
    let times = TimestampNanosecondArray::from_iter_values(seconds.iter().map(|s| s * 1_000_000_000));
    let time = Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, None), false);
    let records = RecordBatch::try_new(Arc::new(Schema::new(vec![time])), vec![Arc::new(times)]);
    SourceEvent::Rows { split: SplitId::new(split), records: records.expect("one column") }
}

#[test]
fn a_silent_split_lets_windows_close_and_comes_back_without_moving_time_backward() {
    let _alone = alone();
    let counted: Arc<Mutex<Vec<(i64, i64)>>> = Arc::default();
    let into = Arc::clone(&counted);
    let (hand, moves) = Hand::new(&["talks", "silent"], move |batch| {
        let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().values().to_vec();
        into.lock().expect("unbroken").extend(column(0).into_iter().zip(column(1)));
    });
    let counted = || counted.lock().expect("unbroken").clone();
    in_a_world(async |world| {
        let settings = Settings { idle_timeout: Duration::from_secs(1), ..Settings::default() };
        let job = start(SCRIPT, hand, &settings, &world).await;
        let watermark = || job.counters().iter().map(|r| r.counters.watermark.get()).max();
        let give = async |event| moves.source.send(event).await.expect("the job reads");
        give(rows("talks", &[1, 2, 25])).await;
        // A source that has nothing for now says nothing of silence: the timeout alone decides.
        give(SourceEvent::Idle { split: SplitId::new("silent") }).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(counted(), [], "the silent split still holds time back");

        let mut said = 0;
        while counted().is_empty() {
            assert!(said < 1000, "the silent split holds time back for ever");
            give(rows("talks", &[25])).await;
            said += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(counted(), [(0, 2)]);

        let before = watermark();
        assert_eq!(before, Some(25_000_000_000));
        give(rows("silent", &[5, 27])).await;
        quiet(&job).await;
        assert!(watermark() >= before, "time went backward: {:?}, was {before:?}", watermark());
        let late = || job.counters().iter().map(|r| r.counters.late.get()).sum::<u64>();
        until("the row behind the closed window is late", || late() == 1).await;

        give(SourceEvent::End).await;
        assert_eq!(job.wait().await.expect("the job ends").late, 1);
        assert_eq!(counted(), [(0, 2), (20, 2 + said)]);
    });
}
