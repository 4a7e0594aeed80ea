use super::*;

/// Subtasks of all tests: 0 is a source, 1 reads it.
fn machine() -> EpochMachine {
    EpochMachine::new([true, false], Epoch::FIRST)
}

fn answered(subtask: usize, epoch: u64) -> Event {
    Event::Answered { subtask, epoch: Epoch(epoch), written: true }
}

fn finished(subtask: usize, why: Close) -> Event {
    Event::Finished { subtask, why }
}

fn settled(epoch: u64, complete: bool) -> Event {
    Event::Settled { epoch: Epoch(epoch), complete }
}

fn committed(epoch: u64) -> Event {
    Event::Committed { epoch: Epoch(epoch) }
}

fn words(actions: Vec<Action>) -> String {
    let word = |action| match action {
        Action::Send { to, barrier } => {
            format!("send {}{} to {to:?}", barrier.epoch, if barrier.stop { " stop" } else { "" })
        }
        Action::Settle { epoch, complete: true } => format!("settle {epoch}"),
        Action::Settle { epoch, complete: false } => format!("abort {epoch}"),
        Action::Dismiss(members) => format!("dismiss {members:?}"),
        Action::Commit(epoch) => format!("commit {epoch}"),
        Action::Announce { epoch, complete } => format!("announce {epoch} {complete}"),
        Action::Close(why) => format!("close {why:?}"),
        Action::GiveUp => "give up".to_owned(),
    };
    actions.into_iter().map(word).collect::<Vec<_>>().join(", ")
}

/// Feeds events and compares what follows from each.
fn play(machine: &mut EpochMachine, table: &[(Event, &str)]) {
    for (row, (event, expected)) in table.iter().enumerate() {
        assert_eq!(words(machine.step(*event)), *expected, "row {row}: {event:?}");
    }
}

#[test]
fn an_epoch_goes_from_tick_to_announcement() {
    play(
        &mut machine(),
        &[
            (Event::Tick, "send 1 to [0]"),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(1, true), "commit 1"),
            (committed(1), "announce 1 true"),
            (Event::Tick, "send 2 to [0]"),
        ],
    );
}

#[test]
fn one_epoch_at_a_time() {
    play(
        &mut machine(),
        &[
            (Event::Tick, "send 1 to [0]"),
            (Event::Tick, ""),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(1, true), "commit 1"),
            (committed(1), "announce 1 true, send 2 to [0]"),
        ],
    );
}

#[test]
fn an_aborted_epoch_is_announced_and_the_next_has_another_number() {
    play(
        &mut machine(),
        &[
            (Event::Tick, "send 1 to [0]"),
            (answered(1, 1), ""),
            (answered(0, 1), "settle 1"),
            (settled(1, false), "announce 1 false"),
            (Event::Tick, "send 2 to [0]"),
        ],
    );
}

#[test]
fn a_subtask_that_finishes_before_it_answers_is_asked() {
    play(
        &mut machine(),
        &[
            (Event::Tick, "send 1 to [0]"),
            (finished(0, Close::End), ""),
            (finished(1, Close::End), "send 1 to [1]"),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(1, true), "commit 1"),
            (committed(1), "announce 1 true, send 2 to [0, 1]"),
        ],
    );
}

#[test]
fn a_subtask_that_answers_before_it_finishes_is_not_asked_again() {
    play(
        &mut machine(),
        &[
            (Event::Tick, "send 1 to [0]"),
            (answered(1, 1), ""),
            (finished(1, Close::End), ""),
            (finished(0, Close::End), ""),
            (answered(0, 1), "settle 1"),
        ],
    );
}

#[test]
fn one_last_epoch_follows_the_end_and_then_all_close() {
    play(
        &mut machine(),
        &[
            (finished(0, Close::End), ""),
            (finished(1, Close::End), "send 1 to [0, 1]"),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(1, true), "commit 1"),
            (committed(1), "announce 1 true, close End"),
            (Event::Tick, ""),
        ],
    );
}

#[test]
fn a_last_epoch_that_aborts_is_tried_again_a_few_times() {
    let mut machine = machine();
    play(&mut machine, &[(finished(0, Close::End), ""), (finished(1, Close::End), "send 1 to [0, 1]")]);
    for epoch in 1..=u64::from(LAST_EPOCHS_MAX) {
        machine.step(answered(0, epoch));
        assert_eq!(words(machine.step(answered(1, epoch))), format!("settle {epoch}"));
        let next = match u64::from(LAST_EPOCHS_MAX) {
            max if epoch == max => "give up".to_owned(),
            _ => format!("send {} to [0, 1]", epoch + 1),
        };
        assert_eq!(words(machine.step(settled(epoch, false))), format!("announce {epoch} false, {next}"));
    }
}

#[test]
fn a_stop_is_a_last_epoch_and_closes_when_all_have_finished() {
    let begin =
        [(Event::StopAsked, "send 1 stop to [0]"), (answered(0, 1), ""), (finished(0, Close::Stop), "")];
    let answers = [(answered(1, 1), "settle 1"), (settled(1, true), "commit 1")];
    let mut late = machine();
    play(&mut late, &begin);
    play(&mut late, &answers);
    play(
        &mut late,
        &[(committed(1), "announce 1 true"), (Event::Tick, ""), (finished(1, Close::Stop), "close Stop")],
    );
    let mut early = machine();
    play(&mut early, &begin);
    play(&mut early, &answers);
    play(&mut early, &[(finished(1, Close::Stop), ""), (committed(1), "announce 1 true, close Stop")]);
}

#[test]
fn a_stop_waits_for_the_epoch_in_progress() {
    play(
        &mut machine(),
        &[
            (Event::Tick, "send 1 to [0]"),
            (Event::StopAsked, ""),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(1, true), "commit 1"),
            (committed(1), "announce 1 true, send 2 stop to [0]"),
        ],
    );
}

#[test]
fn an_aborted_stop_is_followed_by_a_last_epoch_of_the_finished() {
    play(
        &mut machine(),
        &[
            (Event::StopAsked, "send 1 stop to [0]"),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(1, false), "announce 1 false"),
            (finished(0, Close::Stop), ""),
            (finished(1, Close::Stop), "send 2 to [0, 1]"),
            (answered(0, 2), ""),
            (answered(1, 2), "settle 2"),
            (settled(2, true), "commit 2"),
            (committed(2), "announce 2 true, close Stop"),
        ],
    );
}

#[test]
fn a_stop_that_comes_behind_the_end_changes_nothing() {
    play(
        &mut machine(),
        &[
            (finished(0, Close::End), ""),
            (finished(1, Close::End), "send 1 to [0, 1]"),
            (Event::StopAsked, ""),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(1, true), "commit 1"),
            (committed(1), "announce 1 true, close End"),
        ],
    );
}

#[test]
fn a_stop_and_the_end_at_once_are_told_apart_by_what_subtasks_say() {
    play(
        &mut machine(),
        &[
            (Event::StopAsked, "send 1 stop to [0]"),
            (finished(0, Close::End), ""),
            (finished(1, Close::End), "send 1 stop to [1]"),
            (answered(1, 1), ""),
            (answered(0, 1), "settle 1"),
            (settled(1, true), "commit 1"),
            (committed(1), "announce 1 true, close End"),
        ],
    );
}

#[test]
fn what_belongs_to_another_epoch_is_dropped() {
    play(
        &mut machine(),
        &[
            (answered(0, 1), ""),
            (settled(1, true), ""),
            (Event::Tick, "send 1 to [0]"),
            (answered(0, 7), ""),
            (answered(1, 0), ""),
            (committed(1), ""),
            (answered(0, 1), ""),
            (answered(1, 1), "settle 1"),
            (settled(9, true), ""),
            (committed(1), ""),
            (settled(1, true), "commit 1"),
            (settled(1, false), ""),
        ],
    );
}
