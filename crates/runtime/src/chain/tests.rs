use std::sync::Mutex;

use arrow::array::RecordBatch;

use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::{
    Context, EventTime, Message, NodeId, Operator, Rest, Result, Step, Watermark as Mark,
};
use thalweg_state::{KeySpace, OperatorId, Subtask};
use thalweg_world::SystemClock;

use super::*;
use crate::channel::{Bounds, Inbox, NewChannel, Taken, channels};
use crate::exchange::Origin;
use crate::guard::Site;
use crate::plan::ChannelId;
use thalweg_testkit::toys::{Numbers, Watermarks, pairs, rows};

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, words: String) {
        self.0.lock().expect("unbroken").push(words);
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().expect("unbroken")).join(", ")
    }
}

type Step1 = Box<dyn FnMut(Event<'_>, &mut Context<'_>) -> Step + Send>;

/// An operator that is one closure.
struct Closure(Step1);

enum Event<'a> {
    Batch(Batch),
    Watermark(i64),
    Split(&'a str),
    Timer,
    Resume,
    Flush,
}

impl Operator for Closure {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        Ok((self.0)(Event::Batch(batch), cx))
    }
    fn on_watermark(&mut self, watermark: Mark, cx: &mut Context<'_>) -> Result<Step> {
        Ok((self.0)(Event::Watermark(watermark.nanos()), cx))
    }
    fn on_split(&mut self, split: &SplitId, _: SplitEvent, cx: &mut Context<'_>) -> Result<Step> {
        Ok((self.0)(Event::Split(split.as_str()), cx))
    }
    fn on_timer(&mut self, _: ProcessingTime, cx: &mut Context<'_>) -> Result<Step> {
        Ok((self.0)(Event::Timer, cx))
    }
    fn resume(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        Ok((self.0)(Event::Resume, cx))
    }
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<Step> {
        Ok((self.0)(Event::Flush, cx))
    }
    fn output_watermark(&self, input: Mark) -> Mark {
        // Two less than what comes in: as an operator that keeps rows for that long.
        Mark(EventTime(input.nanos().saturating_sub(2)))
    }
}

fn closure(step: impl FnMut(Event<'_>, &mut Context<'_>) -> Step + Send + 'static) -> Box<dyn Operator> {
    Box::new(Closure(Box::new(step)))
}

/// Gives on what it gets.
fn pass() -> Box<dyn Operator> {
    closure(|event, cx| {
        if let Event::Batch(batch) = event {
            cx.emit(Port::MAIN, batch.records);
        }
        Step::Done
    })
}

/// A source or inbox, operators in a row, and one exchange.
fn chain(operators: Vec<Box<dyn Operator>>, from_source: bool) -> (Chain, Inbox) {
    let id = ChannelId { edge: 0, from: Subtask(0), to: Subtask(0) };
    let bounds = Bounds { rows_max: 1 << 20, bytes_max: 1 << 30 };
    let (inbox, mut senders) = channels(&[NewChannel { id, unborn: false }], bounds);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let piece = Piece::Source(Arc::new(Numbers::new(&[], 1)));
    let site = Site::new(&piece, &OperatorId::new("x"), Subtask(0));
    let origin = Origin { site: site.clone(), counters: Arc::default(), clock: Arc::clone(&clock) };
    let exchange = Exchange::forward(origin, (0, NodeId(9)), senders.remove(0));
    let source = from_source.then_some(NodePiece::Source);
    let pieces: Vec<_> = source.into_iter().chain(operators.into_iter().map(NodePiece::Operator)).collect();
    let count = pieces.len();
    let node = |(index, piece)| {
        let next = Target::Node { node: index + 1, port: Port::MAIN, input: 0 };
        let target = if index + 1 == count { Target::Exchange(0) } else { next };
        let inputs = if index == 0 { 2 } else { 1 };
        ChainNode::new(
            NodeId(0),
            site.clone(),
            piece,
            Arc::default(),
            Lanes::one(inputs),
            vec![(Port::MAIN, target)],
        )
    };
    let nodes = pieces.into_iter().enumerate().map(node).collect();
    let settings = Settings {
        subtask: Subtask(0),
        parallelism: 1,
        batch_rows_max: 8192,
        key_space: KeySpace::default(),
    };
    (Chain::new(nodes, vec![exchange], settings, clock), inbox)
}

fn words(inbox: &mut Inbox) -> String {
    let word = |taken| match taken {
        Taken::Message(_, Message::Batch(batch)) => format!("{:?}", pairs(&batch.records)),
        Taken::Message(_, Message::Watermark(watermark)) => watermark.to_string(),
        Taken::Message(_, Message::Idle(_)) => "idle".to_owned(),
        Taken::Message(_, other) => format!("{other:?}"),
        Taken::PeerGone => "gone".to_owned(),
    };
    let all = std::iter::from_fn(|| inbox.try_take(1, None).expect("batches fit together"));
    all.map(word).collect::<Vec<_>>().join(", ")
}

fn packet(split: &str, value: i64) -> Packet {
    Packet::Rows(Batch { records: rows(&[(0, value)]), split: Some(SplitId::new(split)) })
}

fn mark(time: i64) -> Packet {
    Packet::Watermark(Mark(EventTime(time)))
}

#[tokio::test]
async fn an_operator_is_resumed_only_when_what_it_gave_has_gone_through() {
    let log = Log::default();
    let (giver, taker) = (log.clone(), log.clone());
    let mut left = 3;
    let gives = closure(move |event, cx| match event {
        Event::Batch(_) | Event::Resume => {
            left -= 1;
            giver.note(format!("gives {left}"));
            cx.emit(Port::MAIN, rows(&[(0, left)]));
            if left == 0 { Step::Done } else { Step::More }
        }
        Event::Watermark(_) | Event::Split(_) | Event::Timer | Event::Flush => Step::Done,
    });
    let takes = closure(move |event, cx| {
        if let Event::Batch(batch) = event {
            taker.note(format!("takes {}", pairs(&batch.records)[0].1));
            cx.emit(Port::MAIN, batch.records);
        }
        Step::Done
    });
    let (mut chain, _inbox) = chain(vec![gives, takes], true);
    chain.give(packet("a", 0)).await.expect("nothing fails");
    assert_eq!(log.take(), "gives 2, takes 2, gives 1, takes 1, gives 0, takes 0");
}

#[tokio::test]
async fn a_watermark_leaves_behind_what_it_made_happen_and_as_the_operator_says() {
    let window = closure(|event, cx| {
        if let Event::Watermark(time) = event {
            cx.emit(Port::MAIN, rows(&[(0, time)]));
        }
        Step::Done
    });
    let (mut chain, mut inbox) = chain(vec![window, pass()], false);
    for (input, time) in [(0, 5), (1, 9), (1, 11), (0, 11)] {
        chain.receive(Port::MAIN, input, mark(time)).await.expect("nothing fails");
    }
    chain.input_ended(0, true).await.expect("nothing fails");
    chain.input_ended(1, true).await.expect("nothing fails");
    assert_eq!(words(&mut inbox), format!("[(0, 5)], 1, [(0, 11)], 7, [(0, {})], end", i64::MAX));
}

#[tokio::test]
async fn rows_know_their_split_up_to_the_operator_that_makes_watermarks() {
    let log = Log::default();
    let tags = |log: &Log, place: &'static str| {
        let log = log.clone();
        closure(move |event, cx| {
            if let Event::Batch(batch) = event {
                log.note(format!("{place} {}", batch.split.as_ref().map_or("none", SplitId::as_str)));
                cx.emit(Port::MAIN, batch.records);
            }
            Step::Done
        })
    };
    let operators = vec![tags(&log, "before"), Box::new(Watermarks::default()), tags(&log, "behind")];
    let (mut chain, _inbox) = chain(operators, true);
    for split in ["a", "b"] {
        let time = SplitEvent::Watermark(EventTime(4));
        chain.give(Packet::Split(SplitId::new(split), time)).await.expect("nothing fails");
        chain.give(packet(split, 1)).await.expect("nothing fails");
    }
    assert_eq!(log.take(), "before a, behind none, before b, behind none");
}

#[tokio::test]
async fn rows_held_back_never_mix_splits_and_leave_before_what_is_said_of_their_split() {
    let log = Log::default();
    let mut held: Vec<RecordBatch> = Vec::new();
    let holds = closure(move |event, cx| {
        match event {
            Event::Batch(batch) => held.push(batch.records),
            Event::Flush => held.drain(..).for_each(|records| cx.emit(Port::MAIN, records)),
            Event::Watermark(_) | Event::Split(_) | Event::Timer | Event::Resume => {}
        }
        Step::Done
    });
    let looks = log.clone();
    let looks = closure(move |event, _| {
        match event {
            Event::Batch(batch) => {
                let value = pairs(&batch.records)[0].1;
                looks.note(format!("{}{value}", batch.split.as_ref().map_or("none", SplitId::as_str)));
            }
            Event::Split(split) => looks.note(format!("end of {split}")),
            Event::Watermark(_) | Event::Timer | Event::Resume | Event::Flush => {}
        }
        Step::Done
    });
    let (mut chain, _inbox) = chain(vec![holds, looks], true);
    for (split, value) in [("a", 1), ("a", 2), ("b", 3)] {
        chain.give(packet(split, value)).await.expect("nothing fails");
    }
    assert_eq!(log.take(), "a1, a2");
    chain.give(Packet::Split(SplitId::new("b"), SplitEvent::End)).await.expect("nothing fails");
    assert_eq!(log.take(), "b3, end of b");
}

#[tokio::test]
async fn timers_fire_once_when_due_and_those_set_meanwhile_wait() {
    let log = Log::default();
    let noted = log.clone();
    let ticks = closure(move |event, cx| {
        match event {
            Event::Batch(_) => {
                cx.set_timer(ProcessingTime(0));
                cx.set_timer(ProcessingTime(0));
                cx.set_timer(ProcessingTime(i64::MAX));
            }
            Event::Timer => {
                noted.note("timer".to_owned());
                cx.set_timer(ProcessingTime(1));
            }
            Event::Watermark(_) | Event::Split(_) | Event::Resume | Event::Flush => {}
        }
        Step::Done
    });
    let (mut chain, _inbox) = chain(vec![ticks], true);
    chain.give(packet("a", 1)).await.expect("nothing fails");
    chain.fire_timers().await.expect("nothing fails");
    assert_eq!(log.take(), "timer");
    assert_eq!(chain.next_timer(), Some(ProcessingTime(1)));
}

#[tokio::test]
async fn idleness_goes_through_and_ends_with_whoever_speaks_first() {
    let mut late = false;
    let holds = closure(move |event, cx| {
        match event {
            Event::Batch(_) => late = true,
            Event::Flush if late => {
                late = false;
                cx.emit(Port::MAIN, rows(&[(0, 1)]));
            }
            Event::Watermark(_) | Event::Split(_) | Event::Timer | Event::Resume | Event::Flush => {}
        }
        Step::Done
    });
    let (mut chain, mut inbox) = chain(vec![holds], false);
    chain.receive(Port::MAIN, 0, mark(5)).await.expect("nothing fails");
    chain.receive(Port::MAIN, 1, mark(5)).await.expect("nothing fails");
    chain.receive(Port::MAIN, 0, packet("a", 1)).await.expect("nothing fails");
    chain.receive(Port::MAIN, 0, Packet::Idle(Rest::Silent)).await.expect("nothing fails");
    assert_eq!(words(&mut inbox), "3");
    chain.receive(Port::MAIN, 1, Packet::Idle(Rest::Silent)).await.expect("nothing fails");
    assert_eq!(words(&mut inbox), "idle");
    chain.flush().await.expect("nothing fails");
    assert_eq!(words(&mut inbox), "3, [(0, 1)], idle", "rows held back end idleness, and it comes again");
    chain.receive(Port::MAIN, 0, packet("a", 1)).await.expect("nothing fails");
    assert_eq!(
        words(&mut inbox),
        "3",
        "an input that counts again is told at once, though no row follows yet"
    );
}
