use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use thalweg_dataflow::{Barrier, Batch, EventTime, Message, Rest, Watermark};
use thalweg_state::{Epoch, Subtask};

use super::*;

fn rows(count: usize) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let column = Arc::new(Int64Array::from_iter_values(0..count as i64));
    Batch::new(RecordBatch::try_new(schema, vec![column]).expect("the column fits"))
}

fn mark(time: i64) -> Message {
    Message::Watermark(Watermark(EventTime(time)))
}

fn make(count: u32, rows_max: usize) -> (Inbox, Vec<Sender>) {
    let id = |from| ChannelId { edge: 0, from: Subtask(from), to: Subtask(0) };
    let new: Vec<_> = (0..count).map(|from| NewChannel { id: id(from), unborn: false }).collect();
    channels(&new, Bounds { rows_max, bytes_max: 1 << 20 })
}

/// All that can be taken now, as words.
fn drain(inbox: &mut Inbox) -> Vec<String> {
    let word = |taken| match taken {
        Taken::PeerGone => "gone".to_owned(),
        Taken::Message(channel, message) => match message {
            Message::Batch(batch) => format!("{channel}: {} rows", batch.rows()),
            Message::Watermark(watermark) => format!("{channel}: {watermark}"),
            Message::Idle(_) => format!("{channel}: idle"),
            Message::Barrier(barrier) => format!("{channel}: barrier {}", barrier.epoch),
            Message::Retire => format!("{channel}: retire"),
            Message::End => format!("{channel}: end"),
        },
    };
    std::iter::from_fn(|| inbox.try_take(100, None).expect("batches fit together")).map(word).collect()
}

#[test]
fn a_full_channel_refuses_rows_and_nothing_else() {
    let (mut inbox, senders) = make(1, 10);
    assert!(senders[0].try_send(rows(8)).expect("alive").is_none());
    assert_eq!(senders[0].try_send(rows(3)).expect("alive").map(|b| b.rows()), Some(3));
    for message in [mark(1), Message::Barrier(Barrier::plain(Epoch(1))), Message::End] {
        senders[0].tell(message).expect("alive");
    }
    assert_eq!(drain(&mut inbox), ["0: 8 rows", "0: 1", "0: barrier 1", "0: end"]);
}

#[test]
fn one_batch_may_wait_alone_however_large() {
    let (mut inbox, senders) = make(1, 10);
    assert!(senders[0].try_send(rows(50)).expect("alive").is_none());
    assert!(senders[0].try_send(rows(1)).expect("alive").is_some());
    assert_eq!(drain(&mut inbox), ["0: 50 rows"]);
    assert!(senders[0].try_send(rows(1)).expect("alive").is_none());
}

#[test]
fn bytes_are_those_of_the_slice() {
    let (inbox, senders) = make(1, 1 << 20);
    let large = rows(100_000);
    let slice = Batch::new(large.records.slice(7, 10));
    assert!(senders[0].try_send(slice).expect("alive").is_none());
    assert_eq!(inbox.probe().channels()[0].bytes, 80);
}

#[test]
fn only_the_newest_waiting_watermark_is_kept() {
    let (mut inbox, senders) = make(1, 1000);
    let tell = |message| senders[0].tell(message).expect("alive");
    let send = |count| assert!(senders[0].try_send(rows(count)).expect("alive").is_none());
    [mark(1), mark(2), Message::Idle(Rest::Silent), Message::Idle(Rest::Silent)].into_iter().for_each(tell);
    assert_eq!(drain(&mut inbox), ["0: 2", "0: idle"]);
    [mark(3), Message::Idle(Rest::Silent), mark(4)].into_iter().for_each(tell);
    send(1);
    tell(mark(5));
    assert_eq!(drain(&mut inbox), ["0: 4", "0: 1 rows", "0: 5"]);
}

#[test]
fn small_batches_are_taken_together_and_big_ones_untouched() {
    let (mut inbox, senders) = make(1, 10_000);
    for count in [3, 4, 60, 1, 2, 99, 50, 50, 50] {
        assert!(senders[0].try_send(rows(count)).expect("alive").is_none());
    }
    senders[0].tell(mark(1)).expect("alive");
    assert!(senders[0].try_send(rows(1)).expect("alive").is_none());
    let expected =
        ["0: 7 rows", "0: 60 rows", "0: 3 rows", "0: 99 rows", "0: 100 rows", "0: 50 rows", "0: 1"];
    assert_eq!(drain(&mut inbox), [&expected[..], &["0: 1 rows"]].concat());
}

#[test]
fn channels_take_turns() {
    let (mut inbox, senders) = make(3, 1000);
    for sender in &senders {
        assert!(sender.try_send(rows(60)).expect("alive").is_none());
        assert!(sender.try_send(rows(60)).expect("alive").is_none());
    }
    let turns = ["0: 60 rows", "1: 60 rows", "2: 60 rows"];
    assert_eq!(drain(&mut inbox), [turns, turns].concat());
}

#[test]
fn a_blocked_channel_waits_and_loses_nothing() {
    let (mut inbox, senders) = make(2, 1000);
    inbox.block(0);
    senders[0].tell(mark(1)).expect("alive");
    senders[1].tell(mark(2)).expect("alive");
    assert_eq!(drain(&mut inbox), ["1: 2"]);
    inbox.unblock();
    assert_eq!(drain(&mut inbox), ["0: 1"]);
}

#[test]
fn a_channel_born_behind_a_barrier_is_read_once_it_is_passed() {
    let id = |from| ChannelId { edge: 0, from: Subtask(from), to: Subtask(0) };
    let old = NewChannel { id: id(0), unborn: false };
    let young = NewChannel { id: id(1), unborn: true };
    let (mut inbox, senders) = channels(&[old, young], Bounds { rows_max: 9, bytes_max: 999 });
    senders[1].tell(mark(1)).expect("alive");
    assert!(inbox.is_unborn(1) && !inbox.is_unborn(0));
    assert_eq!(drain(&mut inbox), [""; 0]);
    assert_eq!(inbox.bear(), [1]);
    assert_eq!(drain(&mut inbox), ["1: 1"]);
    let late = inbox.probe().add(&NewChannel { id: id(2), unborn: true });
    late.tell(mark(2)).expect("alive");
    assert_eq!(drain(&mut inbox), [""; 0]);
    assert_eq!(inbox.find(&[id(2), id(0)]), [0, 2]);
    assert_eq!(inbox.bear(), [2]);
    assert_eq!(drain(&mut inbox), ["2: 2"]);
}

#[test]
fn a_peer_that_goes_without_a_word_is_noticed_behind_what_it_sent() {
    let (mut inbox, mut senders) = make(2, 1000);
    senders[0].tell(mark(1)).expect("alive");
    senders[1].tell(Message::End).expect("alive");
    drop(senders.remove(0));
    senders.clear();
    assert_eq!(drain(&mut inbox), ["0: 1", "1: end", "gone"], "an ended channel may go");
    let (inbox, senders) = make(1, 10);
    drop(inbox);
    assert_eq!(senders[0].tell(mark(1)), Err(PeerGone));
    assert_eq!(senders[0].try_send(rows(1)).map(|_| ()), Err(PeerGone));
}

#[tokio::test]
async fn a_sender_waits_for_room_and_learns_that_the_receiver_went() {
    let (mut inbox, mut senders) = make(1, 10);
    let sender = senders.remove(0);
    let waits = tokio::spawn(async move {
        sender.send(rows(10)).await?;
        sender.send(rows(10)).await?;
        sender.send(rows(10)).await
    });
    let mut taken = 0;
    while taken < 20 {
        match inbox.take(100, None).await.expect("batches fit together") {
            Taken::Message(_, Message::Batch(batch)) => taken += batch.rows(),
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
    drop(inbox);
    let result = tokio::time::timeout(Duration::from_secs(5), waits).await.expect("it is woken");
    // The third batch found room before the receiver went.
    assert_eq!(result.expect("no panic"), Ok(()));

    let (inbox, mut senders) = make(1, 10);
    let sender = senders.remove(0);
    assert!(sender.try_send(rows(10)).expect("alive").is_none());
    let waits = tokio::spawn(async move { sender.send(rows(10)).await });
    tokio::task::yield_now().await;
    drop(inbox);
    let result = tokio::time::timeout(Duration::from_secs(5), waits).await.expect("it is woken");
    assert_eq!(result.expect("no panic"), Err(PeerGone));
}
