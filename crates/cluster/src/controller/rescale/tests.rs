use std::sync::Arc;

use thalweg_dataflow::operator::Age;
use thalweg_dataflow::sink::Close;
use thalweg_state::{KeyGroups, OperatorId, Snapshot, SplitId};

use super::*;
use crate::controller::epochs;

/// A job of a source, 0, and who reads it, 1; member 2 joins.
struct Both {
    epochs: EpochMachine,
    rescales: RescaleMachine,
}

enum What {
    Rescale(Event),
    Epochs(epochs::Event),
    /// All answer an epoch, and it is settled so.
    Settles(u64, bool),
    /// Both inputs are over.
    Ends,
}
use What::Settles;

impl Both {
    fn new(first: u64) -> Self {
        let epochs = EpochMachine::new([true, false], Epoch(first));
        Self { epochs, rescales: RescaleMachine::new(2) }
    }

    /// Takes an event, and the turn that control gives behind each: says what follows.
    fn take(&mut self, what: What) -> String {
        let mut said = Vec::new();
        match what {
            What::Rescale(event) => self.step(event, &mut said),
            What::Epochs(event) => drop(self.epochs.step(event)),
            What::Ends => (0..2).for_each(|subtask| {
                self.epochs.step(epochs::Event::Finished { subtask, why: Close::End });
            }),
            What::Settles(epoch, complete) => {
                let epoch = Epoch(epoch);
                for subtask in 0..self.epochs.members() {
                    self.epochs.step(epochs::Event::Answered { subtask, epoch, written: true });
                }
                let mut actions = self.epochs.step(epochs::Event::Settled { epoch, complete });
                actions.extend(self.epochs.step(epochs::Event::Committed { epoch }));
                let is_over = |action: &_| matches!(action, epochs::Action::Announce { .. });
                assert!(actions.iter().any(is_over), "{epoch} is not in progress");
                self.step(Event::Settled { epoch, complete }, &mut said);
            }
        }
        self.step(Event::Turn, &mut said);
        said.join(", ")
    }

    /// Does with epochs what is to be done, as control does.
    fn step(&mut self, event: Event, said: &mut Vec<String>) {
        for action in self.rescales.step(event, &self.epochs) {
            match &action {
                Action::Epoch => drop(self.epochs.step(epochs::Event::Tick)),
                Action::Pause => self.epochs.pause(),
                Action::Undo => self.epochs.unpause(),
                Action::Switch => {
                    let (tables, joining, leaving) = (Arc::from([]), vec![false], Vec::new());
                    self.epochs.change(epochs::Change { tables, joining, leaving });
                }
                Action::Answer { .. }
                | Action::HoldSources { .. }
                | Action::Grow { .. }
                | Action::HoldCheckpoints(_)
                | Action::Read { .. }
                | Action::Load { .. } => {}
            }
            said.push(word(action));
        }
    }

    fn play(&mut self, rows: impl IntoIterator<Item = (What, &'static str)>) {
        for (row, (what, expected)) in rows.into_iter().enumerate() {
            assert_eq!(self.take(what), expected, "row {row}");
        }
    }
}

fn word(action: Action) -> String {
    match action {
        Action::Answer { rescale, result: Ok(()) } => format!("done {rescale}"),
        Action::Answer { rescale, result: Err(error) } => format!("no {rescale}: {}", error.what()),
        Action::HoldSources { sources, .. } => format!("stay {sources:?}"),
        Action::Grow { parallelism, splits } => {
            format!("grow {parallelism} {:?}", splits.into_keys().collect::<Vec<_>>())
        }
        Action::HoldCheckpoints(true) => "keep".to_owned(),
        Action::HoldCheckpoints(false) => "free".to_owned(),
        Action::Epoch => "epoch".to_owned(),
        Action::Read { known: None, .. } => "read".to_owned(),
        Action::Read { known: Some(known), .. } => format!("read behind {known}"),
        Action::Load { loads, .. } => {
            format!("load {:?}", loads.iter().map(|(member, _)| *member).collect::<Vec<_>>())
        }
        Action::Pause => "pause".to_owned(),
        Action::Switch => "switch".to_owned(),
        Action::Undo => "undo".to_owned(),
    }
}

fn failure() -> Error {
    Error::internal("lost")
}

fn asked(rescale: u64, parallelism: u32, sources: &[usize]) -> What {
    What::Rescale(Event::Asked { rescale, parallelism, sources: Ok(sources.to_vec()) })
}

fn holds(rescale: u64, member: usize) -> What {
    What::Rescale(Event::Holds { rescale, member, over: false, splits: vec![split()] })
}

fn is_over(rescale: u64, member: usize, splits: Vec<Assignment>) -> What {
    What::Rescale(Event::Holds { rescale, member, over: true, splits })
}

fn split() -> Assignment {
    Assignment { split: SplitId::new("split"), position: None }
}

fn grown(takers: &[usize]) -> What {
    What::Rescale(Event::Grown(Ok(takers.to_vec())))
}

fn read(rescale: u64, upto: Option<u64>, members: &[usize]) -> What {
    let load = |&member: &usize| {
        let (operator, groups) = (OperatorId::new("operator"), KeyGroups::range(0, 1));
        (member, Load { operator, groups, given: Snapshot::default(), age: Age::Durable })
    };
    let loads = Ok(members.iter().map(load).collect());
    What::Rescale(Event::Read { rescale, upto: upto.map(Epoch), loads })
}

fn loaded(rescale: u64, member: usize) -> What {
    What::Rescale(Event::Loaded { rescale, member })
}

fn switched(epoch: u64, waiting: &[usize]) -> What {
    What::Rescale(Event::Switched { epoch: Epoch(epoch), waiting: waiting.to_vec() })
}

fn moved(epoch: u64, member: usize) -> What {
    What::Rescale(Event::Moved { epoch: Epoch(epoch), member })
}

fn fails() -> What {
    What::Rescale(Event::Failed(failure()))
}

fn tick() -> What {
    What::Epochs(epochs::Event::Tick)
}

fn stops() -> What {
    What::Epochs(epochs::Event::StopAsked)
}

/// All that happens to a rescale that nothing disturbs. Between the first two rows of `SWITCH` nothing can happen.
fn way(rescale: u64) -> Vec<(What, &'static str)> {
    vec![
        (asked(rescale, 3, &[0]), "stay [0]"),
        (holds(rescale, 0), "grow 3 [0]"),
        (grown(&[2]), "keep, epoch"),
        (Settles(1, true), "read"),
        (read(rescale, Some(1), &[1, 2]), "load [1, 2]"),
        (loaded(rescale, 1), ""),
        (loaded(rescale, 2), "epoch"),
        (Settles(2, true), "read behind 1"),
        (read(rescale, Some(2), &[2]), "load [2]"),
        (loaded(rescale, 2), "pause, switch"),
        (switched(3, &[2]), ""),
        (moved(3, 2), ""),
        (Settles(3, true), if rescale == 1 { "free, done 1" } else { "free, done 2" }),
    ]
}

/// The row of the way that sends the barrier; the next one follows at once.
const SWITCH: usize = 9;
/// Where something may happen in between: behind so many rows of the way.
const STAGES: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12];

/// The rescale 1 after so many rows of the way, and what is left of it.
fn after(rows: usize) -> (Both, Vec<(What, &'static str)>) {
    let (mut both, mut way) = (Both::new(1), way(1));
    let rest = way.split_off(rows);
    both.play(way);
    (both, rest)
}

#[test]
fn what_moves_is_loaded_in_two_rounds_and_then_the_barrier_is_sent() {
    let (mut both, _) = after(way(1).len());
    both.play([(asked(2, 3, &[]), "done 2"), (asked(3, 4, &[]), "stay [], grow 4 []")]);
}

#[test]
fn a_failure_takes_everything_back_until_the_barrier_is_sent() {
    for rows in STAGES {
        let (mut both, rest) = after(rows);
        if rows > SWITCH {
            both.play([(fails(), "")]);
            both.play(rest);
        } else {
            both.play([(fails(), "undo, free, no 1: lost"), (fails(), ""), (asked(2, 3, &[0]), "stay [0]")]);
        }
    }
}

#[test]
fn the_end_of_the_job_takes_everything_back_until_the_barrier_is_sent() {
    // An epoch in progress comes before the last.
    const EPOCHS: [usize; 2] = [3, 7];
    for rows in STAGES {
        let given_up = "undo, free, no 1: the job is on its way to its end";
        let (mut stopped, rest) = after(rows);
        let (mut ended, _) = after(rows);
        if rows > SWITCH {
            stopped.play([(stops(), "")]);
            stopped.play(rest);
            ended.play([(What::Ends, ""), (moved(3, 2), ""), (Settles(3, true), "free, done 1")]);
        } else {
            stopped.play([(stops(), given_up)]);
            match EPOCHS.iter().position(|&during| during == rows) {
                Some(epoch) => ended.play([(What::Ends, ""), (Settles(epoch as u64 + 1, true), given_up)]),
                None => ended.play([(What::Ends, given_up)]),
            }
            let too_late = || (asked(2, 3, &[0]), "no 2: the job is on its way to its end");
            [stopped, ended].iter_mut().for_each(|both| both.play([too_late()]));
        }
    }
}

#[test]
fn another_rescale_meanwhile_is_refused_and_disturbs_nothing() {
    for rows in STAGES {
        let (mut both, rest) = after(rows);
        both.play([(asked(2, 4, &[0]), "no 2: another rescale is under way")]);
        both.play(rest);
    }
}

#[test]
fn what_belongs_to_another_rescale_is_dropped() {
    for rows in STAGES {
        let (mut both, mut way) = (Both::new(1), way(2));
        let rest = way.split_off(rows);
        both.play(way);
        both.play([
            (holds(1, 0), ""),
            (is_over(1, 0, vec![split()]), ""),
            (read(1, Some(1), &[]), ""),
            (loaded(1, 2), ""),
            (moved(1, 2), ""),
        ]);
        both.play(rest);
    }
}

#[test]
fn what_comes_twice_or_too_early_is_dropped() {
    for rows in STAGES {
        let (mut both, rest) = after(rows);
        let holding = rows == 1;
        let filling = [5, 6, 9].contains(&rows);
        both.play((!holding).then(|| (holds(1, 0), "")));
        both.play((!filling).then(|| (loaded(1, 2), "")));
        both.play((![4, 8].contains(&rows)).then(|| (read(1, None, &[]), "")));
        both.play((rows != 2).then(|| (grown(&[]), "")));
        both.play((rows < SWITCH).then(|| (moved(3, 2), "")));
        both.play([(What::Rescale(Event::Turn), "")]);
        both.play(rest);
    }
}

#[test]
fn what_cannot_be_prepared_is_taken_back() {
    let (mut building, _) = after(2);
    building.play([(What::Rescale(Event::Grown(Err(failure()))), "undo, free, no 1: lost")]);
    for rows in [4, 8] {
        let (mut reading, _) = after(rows);
        let event = Event::Read { rescale: 1, upto: None, loads: Err(failure()) };
        reading.play([(What::Rescale(event), "undo, free, no 1: lost")]);
    }
}

#[test]
fn what_changes_nothing_or_cannot_be_is_answered_at_once() {
    let unfit = Event::Asked { rescale: 2, parallelism: 3, sources: Err(failure()) };
    Both::new(1).play([(asked(1, 2, &[0]), "done 1"), (What::Rescale(unfit), "no 2: lost")]);
}

#[test]
fn sources_hold_in_any_order() {
    for (first, second) in [(0, 1), (1, 0)] {
        Both::new(1).play([
            (asked(1, 3, &[0, 1]), "stay [0, 1]"),
            (holds(1, first), ""),
            (holds(1, second), "grow 3 [0, 1]"),
        ]);
    }
}

#[test]
fn a_source_that_is_over_matters_if_it_has_read_or_is_to_read() {
    let over = "undo, free, no 1: an input of the job is over";
    let (mut has_read, _) = after(1);
    has_read.play([(is_over(1, 0, vec![split()]), over)]);
    let (mut nothing, _) = after(1);
    nothing.play([(is_over(1, 0, Vec::new()), "grow 3 [0]"), (grown(&[2]), "keep, epoch")]);
    let (mut taker, _) = after(1);
    taker.play([(is_over(1, 0, Vec::new()), "grow 3 [0]"), (grown(&[2, 0]), over)]);
}

#[test]
fn an_epoch_that_began_before_the_sources_hold_is_not_waited_for() {
    let mut before = Both::new(1);
    before.play([
        (tick(), ""),
        (asked(1, 3, &[0]), "stay [0]"),
        (Settles(1, true), ""),
        (holds(1, 0), "grow 3 [0]"),
        (grown(&[]), "keep, epoch"),
        (Settles(2, true), "read"),
    ]);
    let mut behind = Both::new(1);
    behind.play([
        (tick(), ""),
        (asked(1, 3, &[0]), "stay [0]"),
        (holds(1, 0), "grow 3 [0]"),
        (grown(&[]), "keep, epoch"),
        (Settles(1, true), ""),
        (Settles(2, true), "read"),
    ]);
}

#[test]
fn an_aborted_epoch_is_not_waited_for_again() {
    let (mut both, _) = after(3);
    both.play([
        (Settles(1, false), "read"),
        (read(1, None, &[]), "load [], epoch"),
        (Settles(2, false), "read"),
        (read(1, None, &[]), "load [], pause, switch"),
    ]);
}

#[test]
fn what_an_earlier_life_kept_is_read_once() {
    Both::new(8).play([
        (asked(1, 3, &[]), "stay [], grow 3 []"),
        (grown(&[]), "keep, epoch"),
        (Settles(8, false), "read"),
        (read(1, Some(7), &[]), "load [], epoch"),
        (Settles(9, false), "read behind 7"),
        (read(1, Some(7), &[]), "load [], pause, switch"),
    ]);
}

#[test]
fn what_epochs_hold_by_the_time_they_rest_is_loaded_before_the_barrier() {
    let again = || [(read(1, Some(3), &[]), "load [], pause, switch")];
    let (mut before, _) = after(9);
    before.play([(tick(), ""), (Settles(3, true), ""), (loaded(1, 2), "pause, read behind 2")]);
    before.play(again());
    let (mut behind, _) = after(9);
    behind.play([(tick(), ""), (loaded(1, 2), "pause"), (Settles(3, true), "read behind 2")]);
    behind.play(again());
}

#[test]
fn an_epoch_that_is_aborted_by_the_time_they_rest_is_not_loaded() {
    let (mut before, _) = after(9);
    before.play([(tick(), ""), (Settles(3, false), ""), (loaded(1, 2), "pause, switch")]);
    let (mut behind, _) = after(9);
    behind.play([(tick(), ""), (loaded(1, 2), "pause"), (Settles(3, false), "switch")]);
}

#[test]
fn no_epoch_begins_while_the_last_changes_are_loaded() {
    let (mut both, _) = after(9);
    both.play([
        (tick(), ""),
        (loaded(1, 2), "pause"),
        (tick(), ""),
        (Settles(3, true), "read behind 2"),
        (tick(), ""),
    ]);
    assert!(both.epochs.is_resting() && both.epochs.next() == Epoch(4));
    both.play([(fails(), "undo, free, no 1: lost"), (tick(), ""), (Settles(4, true), "")]);
}

#[test]
fn members_load_in_any_order() {
    for (first, second) in [(1, 2), (2, 1)] {
        let (mut both, _) = after(5);
        both.play([(loaded(1, first), ""), (loaded(1, second), "epoch")]);
    }
}

#[test]
fn what_moves_arrives_in_any_order_and_before_or_after_its_epoch_is_settled() {
    for (first, second) in [(1, 2), (2, 1)] {
        let (mut both, _) = after(10);
        both.play([(switched(3, &[1, 2]), ""), (moved(3, first), ""), (moved(2, second), "")]);
        both.play([(Settles(3, false), ""), (moved(3, second), "free, done 1")]);
    }
    let (mut nothing, _) = after(10);
    nothing.play([(switched(3, &[]), ""), (Settles(3, true), "free, done 1")]);
}

#[test]
fn until_the_epoch_of_the_move_is_settled_those_who_leave_are_there_and_nobody_takes_their_names() {
    let (mut both, rest) = after(12);
    both.play([(asked(2, 4, &[0]), "no 2: another rescale is under way")]);
    both.play(rest);
    both.play([(asked(3, 4, &[0]), "stay [0]")]);
}
