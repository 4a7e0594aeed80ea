//! The watermark of several inputs: the lowest of those that count.
//!
//! An idle input does not count until it speaks again, and then moves nothing
//! backward. When all are idle, none of them holds back the highest: so it does
//! not matter which of them came to rest first. An ended input counts as [`Watermark::END`]; one that
//! retired is gone. END comes out only when every input that is not gone has ended.
//!
//! One that rests because it reads nothing is never a reason to go on without what has ended: that
//! waits, since the other will end too. Or else those downstream, told that nobody holds them back,
//! would close windows whose rows are still here.

use thalweg_dataflow::{Rest, Watermark};

#[derive(Clone, Copy, Debug)]
struct Input {
    watermark: Watermark,
    rest: Option<Rest>,
    retired: bool,
}

/// What may be said downstream after an input spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// Nothing new.
    Same,
    /// The merged watermark rose to this.
    Rose(Watermark),
    /// No input holds anything back any more, and the merged watermark, if it rose, is this.
    Idle(Rest, Option<Watermark>),
}

/// Merges the watermarks of one node's inputs.
#[derive(Clone, Debug)]
pub(crate) struct WatermarkMerge {
    inputs: Vec<Input>,
    merged: Watermark,
    idle_count: usize,
    stopping: bool,
}

impl WatermarkMerge {
    /// Inputs that have said nothing yet.
    pub(crate) fn new(inputs: usize) -> Self {
        let input = Input { watermark: Watermark::START, rest: None, retired: false };
        Self { inputs: vec![input; inputs], merged: Watermark::START, idle_count: 0, stopping: false }
    }

    /// Adds an input that does not count yet; gives its index. It counts once it is [held](Self::hold).
    pub(crate) fn add(&mut self) -> usize {
        self.inputs.push(Input { watermark: Watermark::START, rest: None, retired: true });
        self.inputs.len() - 1
    }

    /// No input counts yet: each does once it is [held](Self::hold).
    pub(crate) fn unborn(&mut self) {
        self.inputs.iter_mut().for_each(|input| input.retired = true);
    }

    /// Rows came: the input counts again.
    #[inline]
    pub(crate) fn on_rows(&mut self, input: usize) {
        if self.idle_count > 0 {
            self.wake(input);
        }
    }

    /// A watermark came: the input counts again, by it.
    pub(crate) fn on_watermark(&mut self, input: usize, watermark: Watermark) -> Merged {
        self.wake(input);
        let known = &mut self.inputs[input].watermark;
        *known = watermark.max(*known);
        self.merge()
    }

    /// The input holds nothing back for now.
    pub(crate) fn on_idle(&mut self, input: usize, rest: Rest) -> Merged {
        if self.inputs[input].rest.replace(rest).is_none() {
            self.idle_count += 1;
        }
        self.merge()
    }

    /// The input was read to its end.
    pub(crate) fn on_end(&mut self, input: usize) -> Merged {
        self.on_watermark(input, Watermark::END)
    }

    /// The input is gone and says nothing about time.
    pub(crate) fn on_retire(&mut self, input: usize) -> Merged {
        self.wake(input);
        self.inputs[input].retired = true;
        self.merge()
    }

    /// The job stops: inputs go away, which says nothing about time, so that it stands still from now on.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Forgets what the inputs have said.
    pub(crate) fn rebase(&mut self) {
        (0..self.inputs.len()).for_each(|input| self.wake(input));
        self.inputs.iter_mut().for_each(|input| input.watermark = Watermark::START);
        self.merged = Watermark::START;
    }

    /// An input that was born behind a barrier, or that may say less than before it: it holds what is
    /// merged so far until it has spoken.
    pub(crate) fn hold(&mut self, input: usize) {
        self.wake(input);
        self.inputs[input].watermark = self.merged;
        self.inputs[input].retired = false;
    }

    /// All inputs have reached at least this, as another knows who has heard them longer.
    pub(crate) fn begin_at(&mut self, watermark: Watermark) -> Merged {
        for input in &mut self.inputs {
            input.watermark = input.watermark.max(watermark);
        }
        self.merge()
    }

    /// What the inputs together have reached.
    pub(crate) fn merged(&self) -> Watermark {
        self.merged
    }

    /// If some input is idle and no other counts: why.
    pub(crate) fn rest(&self) -> Option<Rest> {
        let has_ended = |i: &&Input| i.rest.is_none() && !i.retired && i.watermark == Watermark::END;
        let rests = |i: &Input| i.rest.is_some() || i.retired || has_ended(&i);
        if self.idle_count == 0 || !self.inputs.iter().all(rests) {
            return None;
        }
        if self.inputs.iter().any(|i| i.rest == Some(Rest::Silent)) {
            return Some(Rest::Silent);
        }
        (!self.inputs.iter().any(|i| has_ended(&i))).then_some(Rest::Empty)
    }

    fn wake(&mut self, input: usize) {
        if self.inputs[input].rest.take().is_some() {
            self.idle_count -= 1;
        }
    }

    fn merge(&mut self) -> Merged {
        if self.stopping {
            return Merged::Same;
        }
        if let Some(rest) = self.rest() {
            let silent = self.inputs.iter().filter(|i| i.rest == Some(Rest::Silent));
            let highest = silent.map(|i| i.watermark).max();
            return Merged::Idle(rest, highest.filter(|&w| self.rise(w)));
        }
        let counting = self.inputs.iter().filter(|i| i.rest.is_none() && !i.retired);
        match counting.map(|i| i.watermark).min() {
            Some(Watermark::END) if self.idle_count > 0 => Merged::Same,
            Some(lowest) if self.rise(lowest) => Merged::Rose(lowest),
            Some(_) | None => Merged::Same,
        }
    }

    fn rise(&mut self, to: Watermark) -> bool {
        let rises = to > self.merged;
        self.merged = self.merged.max(to);
        rises
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_dataflow::EventTime;

    fn w(time: i64) -> Watermark {
        Watermark(EventTime(time))
    }

    #[test]
    fn the_lowest_input_decides() {
        let mut merge = WatermarkMerge::new(2);
        assert_eq!(merge.on_watermark(0, w(5)), Merged::Same);
        assert_eq!(merge.on_watermark(1, w(3)), Merged::Rose(w(3)));
        assert_eq!(merge.on_watermark(1, w(9)), Merged::Rose(w(5)));
        assert_eq!(merge.on_watermark(1, w(7)), Merged::Same);
    }

    #[test]
    fn an_idle_input_holds_nothing_back_and_comes_back_without_moving_backward() {
        let mut merge = WatermarkMerge::new(2);
        merge.on_watermark(0, w(10));
        assert_eq!(merge.on_idle(1, Rest::Silent), Merged::Rose(w(10)));
        merge.on_rows(1);
        assert_eq!(merge.on_watermark(1, w(4)), Merged::Same, "coming back moves nothing backward");
        assert_eq!(merge.on_watermark(0, w(20)), Merged::Same, "and it counts again");
        assert_eq!(merge.on_watermark(1, w(12)), Merged::Rose(w(12)));
    }

    #[test]
    fn rows_end_idleness() {
        let mut merge = WatermarkMerge::new(2);
        merge.on_watermark(0, w(1));
        merge.on_watermark(1, w(1));
        merge.on_idle(1, Rest::Silent);
        merge.on_rows(1);
        assert_eq!(merge.on_watermark(0, w(8)), Merged::Same);
    }

    #[test]
    fn all_idle_is_the_highest_whoever_rests_first() {
        for [first, second] in [[0, 1], [1, 0]] {
            let mut merge = WatermarkMerge::new(3);
            merge.on_end(2);
            merge.on_watermark(0, w(10));
            assert_eq!(merge.on_watermark(1, w(4)), Merged::Rose(w(4)));
            merge.on_idle(first, Rest::Silent);
            assert!(merge.rest().is_none());
            let rose = (first == 0).then_some(w(10));
            assert_eq!(merge.on_idle(second, Rest::Silent), Merged::Idle(Rest::Silent, rose));
            assert!(merge.rest().is_some());
        }
    }

    #[test]
    fn time_ends_only_when_all_inputs_have_ended() {
        let mut merge = WatermarkMerge::new(3);
        assert_eq!(merge.on_end(0), Merged::Same);
        assert_eq!(merge.on_end(1), Merged::Same);
        merge.on_watermark(2, w(7));
        assert_eq!(
            merge.on_idle(2, Rest::Silent),
            Merged::Idle(Rest::Silent, None),
            "an idle input has not ended"
        );
        assert_eq!(merge.on_end(2), Merged::Rose(Watermark::END));
    }

    #[test]
    fn what_has_ended_waits_for_inputs_that_read_nothing() {
        let mut merge = WatermarkMerge::new(3);
        assert_eq!(merge.on_idle(0, Rest::Empty), Merged::Same);
        merge.on_watermark(1, w(7));
        assert_eq!(merge.on_watermark(2, w(5)), Merged::Rose(w(5)), "it holds nobody back");
        assert_eq!(merge.on_idle(1, Rest::Empty), Merged::Same);
        assert_eq!(merge.on_end(2), Merged::Same);
        assert_eq!(merge.rest(), None);
        assert_eq!(merge.on_idle(1, Rest::Silent), Merged::Idle(Rest::Silent, Some(w(7))));
        assert_eq!(merge.on_end(0), Merged::Idle(Rest::Silent, None));
        assert_eq!(merge.on_end(1), Merged::Rose(Watermark::END));
    }

    #[test]
    fn inputs_that_read_nothing_say_so_together() {
        let mut merge = WatermarkMerge::new(2);
        merge.on_watermark(0, w(7));
        assert_eq!(merge.on_idle(1, Rest::Empty), Merged::Rose(w(7)));
        assert_eq!(merge.on_idle(0, Rest::Empty), Merged::Idle(Rest::Empty, None));
    }

    #[test]
    fn a_retired_input_is_gone() {
        let mut merge = WatermarkMerge::new(2);
        merge.on_watermark(0, w(5));
        assert_eq!(merge.on_retire(1), Merged::Rose(w(5)));
        assert_eq!(merge.on_end(0), Merged::Rose(Watermark::END));
    }

    #[test]
    fn a_job_that_stops_does_not_end_time() {
        let mut merge = WatermarkMerge::new(2);
        merge.on_end(0);
        merge.stop();
        assert_eq!(merge.on_retire(1), Merged::Same);
    }

    #[test]
    fn who_takes_over_begins_where_another_was() {
        let mut merge = WatermarkMerge::new(2);
        merge.on_watermark(0, w(9));
        assert_eq!(merge.begin_at(w(5)), Merged::Rose(w(5)), "input 1 has said nothing here yet");
        assert_eq!(merge.on_watermark(1, w(3)), Merged::Same);
        assert_eq!(merge.on_watermark(1, w(7)), Merged::Rose(w(7)));
    }

    #[test]
    fn an_input_that_goes_when_the_job_stops_does_not_let_the_others_go_on() {
        let mut merge = WatermarkMerge::new(3);
        for (input, time) in [(0, 5), (1, 9), (2, 9)] {
            merge.on_watermark(input, w(time));
        }
        merge.stop();
        assert_eq!(merge.on_retire(0), Merged::Same, "rows of input 0 come in the next life, from 5 on");
        assert_eq!(merge.on_idle(1, Rest::Silent), Merged::Same);
        assert_eq!(merge.merged(), w(5));
    }

    #[test]
    fn a_new_input_holds_the_merged_watermark_until_it_has_spoken() {
        let mut merge = WatermarkMerge::new(2);
        merge.on_idle(1, Rest::Silent);
        merge.on_watermark(0, w(5));
        merge.hold(1);
        merge.on_rows(1);
        assert_eq!(merge.on_watermark(0, w(9)), Merged::Same);
        assert_eq!(merge.on_watermark(1, w(6)), Merged::Rose(w(6)));
    }
}
