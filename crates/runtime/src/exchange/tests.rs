use std::time::Duration;

use thalweg_dataflow::EventTime;
use thalweg_dataflow::graph::Piece;
use thalweg_state::{Epoch, KeySpace, OperatorId, Subtask, hash_keys};
use thalweg_world::SystemClock;

use super::*;
use crate::channel::{Bounds, Inbox, NewChannel, Taken, channels};
use crate::plan::ChannelId;
use thalweg_testkit::toys::{Numbers, pairs, rows};

const TO: NodeId = NodeId(1);

fn origin() -> Origin {
    let piece = Piece::Source(Arc::new(Numbers::new(&[], 1)));
    Origin {
        site: Site::new(&piece, &OperatorId::new("from"), Subtask(0)),
        counters: Arc::default(),
        clock: Arc::new(SystemClock::start()),
    }
}

fn receivers(count: u32) -> (Vec<Inbox>, Vec<Sender>) {
    let open = |to| {
        let id = ChannelId { edge: 0, from: Subtask(0), to: Subtask(to) };
        let new = NewChannel { id, unborn: false };
        let (inbox, mut senders) = channels(&[new], Bounds { rows_max: 1 << 20, bytes_max: 1 << 30 });
        (inbox, senders.remove(0))
    };
    (0..count).map(open).unzip()
}

fn table(version: u64, count: u32) -> RoutingTable {
    RoutingTable::even(TO, version, KeySpace::default(), count)
}

fn shuffle(senders: Vec<Sender>, batch_rows_max: usize) -> Exchange {
    let count = senders.len() as u32;
    Exchange::shuffle(origin(), 0, vec![0], table(0, count), senders, batch_rows_max)
}

fn taken(inbox: &mut Inbox) -> Vec<Message> {
    let message = |taken| match taken {
        Taken::Message(_, message) => message,
        Taken::PeerGone => Message::End,
    };
    std::iter::from_fn(|| inbox.try_take(1 << 20, None).expect("batches fit together")).map(message).collect()
}

fn words(inbox: &mut Inbox) -> String {
    let word = |message| match message {
        Message::Batch(batch) => format!("{} rows", batch.rows()),
        Message::Watermark(watermark) => watermark.to_string(),
        Message::Idle(_) => "idle".to_owned(),
        Message::Barrier(barrier) => format!("barrier {}", barrier.epoch),
        Message::Retire => "retire".to_owned(),
        Message::End => "end".to_owned(),
    };
    taken(inbox).into_iter().map(word).collect::<Vec<_>>().join(", ")
}

fn values(inbox: &mut Inbox) -> Vec<(i64, i64)> {
    let rows = |message| match message {
        Message::Batch(batch) => pairs(&batch.records),
        _ => Vec::new(),
    };
    taken(inbox).into_iter().flat_map(rows).collect()
}

fn owner(key: i64, count: u32) -> usize {
    let mut hashes = Vec::new();
    hash_keys(&[rows(&[(key, 0)]).column(0).clone()], &mut hashes).expect("integers are keys");
    table(0, count).owner(KeySpace::default().group_of(hashes[0])) as usize
}

#[tokio::test]
async fn rows_go_to_the_owner_of_their_key_in_order() {
    for (batch_rows_max, chunk) in [(8, 1), (8, 500), (8192, 3), (8192, 8192)] {
        let (mut inboxes, senders) = receivers(5);
        let mut exchange = shuffle(senders, batch_rows_max);
        let all: Vec<(i64, i64)> = (0..3000).map(|v| (v % 61, v)).collect();
        for chunk in all.chunks(chunk) {
            exchange.send(rows(chunk)).await.expect("there is room");
        }
        exchange.flush().await.expect("there is room");
        for (to, inbox) in inboxes.iter_mut().enumerate() {
            let expected: Vec<_> = all.iter().copied().filter(|row| owner(row.0, 5) == to).collect();
            assert_eq!(values(inbox), expected);
        }
    }
}

#[tokio::test]
async fn many_rows_do_not_overtake_few_that_wait() {
    let (mut inboxes, senders) = receivers(2);
    let mut exchange = shuffle(senders, 8192);
    let all: Vec<(i64, i64)> = (0..9000).map(|v| (v % 7, v)).collect();
    let (few, many) = all.split_at(9);
    exchange.send(rows(few)).await.expect("there is room");
    exchange.send(rows(many)).await.expect("there is room");
    exchange.flush().await.expect("there is room");
    for (to, inbox) in inboxes.iter_mut().enumerate() {
        let expected: Vec<_> = all.iter().copied().filter(|row| owner(row.0, 2) == to).collect();
        assert_eq!(values(inbox), expected);
    }
}

#[tokio::test]
async fn few_rows_wait_together_until_something_pushes_them() {
    let (mut inboxes, senders) = receivers(2);
    let mut exchange = shuffle(senders, 8192);
    let key = (0..).find(|&key| owner(key, 2) == 0).expect("somebody owns a key");
    exchange.send(rows(&[(key, 1)])).await.expect("there is room");
    exchange.send(rows(&[(key, 2)])).await.expect("there is room");
    assert_eq!(words(&mut inboxes[0]), "");
    exchange.watermark(Watermark(EventTime(7))).await.expect("the peer lives");
    assert_eq!(words(&mut inboxes[0]), "2 rows, 7");
    exchange.send(rows(&[(key, 3)])).await.expect("there is room");
    exchange.barrier(&Barrier::plain(Epoch(1)), None).await.expect("the peer lives");
    assert_eq!(words(&mut inboxes[0]), "1 rows, barrier 1");
    exchange.send(rows(&[(key, 4)])).await.expect("there is room");
    exchange.end(Message::End).await.expect("the peer lives");
    assert_eq!(words(&mut inboxes[0]), "1 rows, end");
    assert_eq!(words(&mut inboxes[1]), "7, barrier 1, end");
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let (mut inboxes, senders) = receivers(2);
    let mut exchange = shuffle(senders, 8192);
    let key = (0..).find(|&key| owner(key, 2) == 0).expect("somebody owns a key");
    for value in 0..63 {
        exchange.send(rows(&[(key, value)])).await.expect("there is room");
    }
    assert_eq!(words(&mut inboxes[0]), "");
    exchange.send(rows(&[(key, 63)])).await.expect("there is room");
    assert_eq!(words(&mut inboxes[0]), "64 rows");
}

fn bringing(table: RoutingTable) -> Barrier {
    Barrier { tables: Arc::from([table]), ..Barrier::plain(Epoch(1)) }
}

fn exit(receivers: usize, senders: Vec<Sender>) -> Option<Exit> {
    Some(Exit { edge: 0, receivers, senders, rebases: false })
}

#[tokio::test]
async fn new_receivers_get_what_comes_behind_the_barrier_and_first_what_time_it_is() {
    let (mut inboxes, mut senders) = receivers(3);
    let new = senders.split_off(1);
    let mut exchange = shuffle(senders, 8192);
    let keys: Vec<i64> = (0..100).collect();
    let batch = rows(&keys.iter().map(|&k| (k, 0)).collect::<Vec<_>>());
    exchange.send(batch.clone()).await.expect("there is room");
    exchange.watermark(Watermark(EventTime(7))).await.expect("the peer lives");
    exchange.barrier(&bringing(table(1, 3)), exit(3, new)).await.expect("the peers live");
    exchange.send(batch).await.expect("there is room");
    exchange.flush().await.expect("there is room");
    let share = |to| keys.iter().filter(|&&key| owner(key, 3) == to).count();
    assert_eq!(words(&mut inboxes[0]), format!("100 rows, 7, barrier 1, {} rows", share(0)));
    assert_eq!(words(&mut inboxes[1]), format!("7, {} rows", share(1)), "no barrier: it was born behind it");
    assert_eq!(words(&mut inboxes[2]), format!("7, {} rows", share(2)));
}

#[tokio::test]
async fn a_channel_that_is_no_more_ends_with_retire_behind_the_barrier() {
    let (mut inboxes, senders) = receivers(3);
    let mut exchange = shuffle(senders, 8192);
    exchange.barrier(&bringing(table(1, 1)), exit(1, Vec::new())).await.expect("the peers live");
    exchange.send(rows(&[(1, 1), (2, 2), (3, 3)])).await.expect("there is room");
    exchange.flush().await.expect("there is room");
    assert_eq!(words(&mut inboxes[0]), "barrier 1, 3 rows");
    assert_eq!(words(&mut inboxes[1]), "barrier 1, retire");
    assert_eq!(words(&mut inboxes[2]), "barrier 1, retire");
}

#[tokio::test]
async fn a_new_channel_of_an_exchange_that_has_ended_ends_too() {
    let (mut inboxes, mut senders) = receivers(2);
    let new = senders.split_off(1);
    let mut exchange = shuffle(senders, 8192);
    exchange.end(Message::End).await.expect("the peer lives");
    exchange.barrier(&bringing(table(1, 2)), exit(2, new)).await.expect("the peers live");
    assert_eq!(words(&mut inboxes[0]), "end");
    assert_eq!(words(&mut inboxes[1]), "end");
}

#[tokio::test]
async fn a_table_for_channels_that_do_not_exist_is_refused() {
    let (_inboxes, senders) = receivers(2);
    let mut exchange = shuffle(senders, 8192);
    assert!(exchange.barrier(&bringing(table(1, 3)), exit(2, Vec::new())).await.is_err());
}

#[tokio::test]
async fn coming_back_from_idleness_is_told_to_all() {
    let (mut inboxes, senders) = receivers(2);
    let mut exchange = shuffle(senders, 8);
    exchange.watermark(Watermark(EventTime(3))).await.expect("the peer lives");
    exchange.idle(Rest::Silent).await.expect("the peer lives");
    for inbox in &mut inboxes {
        assert_eq!(words(inbox), "3, idle");
    }
    let key = (0..).find(|&key| owner(key, 2) == 0).expect("somebody owns a key");
    exchange.send(rows(&[(key, 1)])).await.expect("there is room");
    exchange.flush().await.expect("there is room");
    assert_eq!(words(&mut inboxes[0]), "3, 1 rows");
    assert_eq!(words(&mut inboxes[1]), "3", "no row, but it must not go on without this sender");
}

#[tokio::test]
async fn waiting_for_room_is_counted() {
    let id = ChannelId { edge: 0, from: Subtask(0), to: Subtask(0) };
    let new = [NewChannel { id, unborn: false }];
    let (mut inbox, mut senders) = channels(&new, Bounds { rows_max: 1, bytes_max: 1 });
    let mut exchange = Exchange::forward(origin(), (0, TO), senders.remove(0));
    let counters = Arc::clone(&exchange.origin.counters);
    exchange.send(rows(&[(1, 1)])).await.expect("there is room");
    assert_eq!(counters.backpressured_nanos.get(), 0);
    let take_later = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        inbox.try_take(1, None).expect("batches fit together")
    };
    let (sent, _) = tokio::join!(exchange.send(rows(&[(2, 2)])), take_later);
    sent.expect("the peer lives");
    assert!(counters.backpressured_nanos.get() >= 15_000_000);
}
