//! Event time, cut into panes, and the windows that read them.
//!
//! Windows are numbered, and so are panes. A pane lies between two neighbouring
//! starts or ends of windows, so a window is a whole number of panes: where the
//! slide divides the width there is one pane a slide, else there are two.
//!
//! ```text
//! hop(4, 6)      window 0  ├───────────┤
//!                window 1          ├───────────┤
//!                  panes  ├───┼───┼───┼───┼───┤      2, 2, 2, 2, …
//! ```
//!
//! A row may be late for some of the windows that read its pane, and on time
//! for the others. So rows go into *slots*: a pane, and the first window that
//! is to read them. Slots travel as times: the last instant of the pane, less
//! one nanosecond for each window that is not to read it.

use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, EventTime, Result, Watermark};

/// The most windows that a row may belong to.
const WINDOWS_PER_ROW_MAX: i64 = 100_000;

/// Windows aligned to 1970. All times are nanoseconds since then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Panes {
    /// A window at every multiple of the slide.
    Hop {
        /// From the start of one window to the start of the next; greater than zero.
        slide_nanos: i64,
        /// How long a window is; greater than zero.
        width_nanos: i64,
        /// What is left of the width when it is divided by the slide.
        rest_nanos: i64,
    },
    /// Rows that come out of windows: each belongs to the one that ends right behind its instant.
    Instants {
        /// How long a window is; greater than zero.
        width_nanos: i64,
    },
}

/// A number of a window, or of a pane.
type Number = i64;

/// Where rows are gathered: a pane, for windows from a certain one on.
///
/// In order, slots stand by the window that reads them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    /// The first window that reads it.
    pub(crate) from: Number,
    /// The pane.
    pub(crate) pane: Number,
}

impl Panes {
    pub(super) fn hop(slide_nanos: i64, width_nanos: i64) -> Result<Self> {
        let invalid = |what: &str, help: &str| Err(Error::new(Code::InvalidWindow, what).with_help(help));
        if slide_nanos <= 0 || width_nanos <= 0 {
            return invalid("a window is not longer than nothing", "give intervals greater than zero");
        }
        if width_nanos / slide_nanos >= WINDOWS_PER_ROW_MAX {
            let what = format!("a row would belong to more than {WINDOWS_PER_ROW_MAX} windows");
            return invalid(&what, "make the slide longer, or the width shorter");
        }
        let rest_nanos = width_nanos % slide_nanos;
        let overlap = width_nanos / slide_nanos;
        let narrowest = if rest_nanos == 0 { slide_nanos } else { rest_nanos.min(slide_nanos - rest_nanos) };
        if narrowest <= overlap && overlap > i64::from(rest_nanos == 0) {
            return invalid(
                "the width is too close to a multiple of the slide, or both are too short",
                "round slide and width to microseconds",
            );
        }
        Ok(Panes::Hop { slide_nanos, width_nanos, rest_nanos })
    }

    /// The pane of a row at this time. The last instant of time belongs to the pane of the one before.
    #[inline]
    pub(crate) fn pane_of(self, time: i64) -> Number {
        let time = time.min(i64::MAX - 1);
        match self {
            Panes::Hop { slide_nanos, rest_nanos: 0, .. } => time.div_euclid(slide_nanos),
            Panes::Hop { slide_nanos, rest_nanos, .. } => {
                let behind = time.rem_euclid(slide_nanos) >= rest_nanos;
                2 * time.div_euclid(slide_nanos) + i64::from(behind)
            }
            Panes::Instants { .. } => time,
        }
    }

    /// The first instant of the pane, as far as time reaches.
    #[inline]
    fn start_of_pane(self, pane: Number) -> i64 {
        match self {
            Panes::Hop { slide_nanos, rest_nanos: 0, .. } => pane.saturating_mul(slide_nanos),
            Panes::Hop { slide_nanos, rest_nanos, .. } => {
                let start = pane.div_euclid(2).saturating_mul(slide_nanos);
                start.saturating_add(pane.rem_euclid(2) * rest_nanos)
            }
            Panes::Instants { .. } => pane,
        }
    }

    /// The last instant of the pane, as far as time reaches.
    #[inline]
    fn last_of_pane(self, pane: Number) -> i64 {
        match self {
            Panes::Hop { .. } => self.start_of_pane(pane.saturating_add(1)) - 1,
            Panes::Instants { .. } => pane,
        }
    }

    /// The first and the last window that read the pane; the first is behind the last where none does.
    #[inline]
    pub(crate) fn readers(self, pane: Number) -> (Number, Number) {
        match self {
            Panes::Hop { slide_nanos, width_nanos, rest_nanos: 0 } if slide_nanos == width_nanos => {
                (pane, pane)
            }
            Panes::Hop { slide_nanos, width_nanos, rest_nanos: 0 } => {
                (pane.saturating_sub(width_nanos / slide_nanos - 1), pane)
            }
            Panes::Hop { slide_nanos, width_nanos, .. } => {
                let last = pane.div_euclid(2);
                (last.saturating_sub(width_nanos / slide_nanos - pane.rem_euclid(2)), last)
            }
            Panes::Instants { .. } => (pane, pane),
        }
    }

    /// The first and the last pane that the window reads.
    pub(crate) fn panes_of(self, window: Number) -> (Number, Number) {
        match self {
            Panes::Hop { slide_nanos, width_nanos, rest_nanos: 0 } => {
                (window, window.saturating_add(width_nanos / slide_nanos - 1))
            }
            Panes::Hop { slide_nanos, width_nanos, .. } => {
                let last = window.saturating_add(width_nanos / slide_nanos);
                (window.saturating_mul(2), last.saturating_mul(2))
            }
            Panes::Instants { .. } => (window, window),
        }
    }

    /// The first instant of the window, as far as time reaches.
    #[inline]
    pub(crate) fn start_of(self, window: Number) -> i64 {
        match self {
            Panes::Hop { slide_nanos, .. } => window.saturating_mul(slide_nanos),
            Panes::Instants { width_nanos } => self.end_of(window).saturating_sub(width_nanos),
        }
    }

    /// The first instant behind the window, as far as time reaches.
    #[inline]
    pub(crate) fn end_of(self, window: Number) -> i64 {
        match self {
            Panes::Hop { slide_nanos, width_nanos, .. } if slide_nanos == width_nanos => {
                window.saturating_add(1).saturating_mul(slide_nanos)
            }
            Panes::Hop { width_nanos, .. } => self.start_of(window).saturating_add(width_nanos),
            Panes::Instants { .. } => window.saturating_add(1),
        }
    }

    /// The last instant of the window: the event time of what is made of it.
    #[inline]
    pub(crate) fn last_of(self, window: Number) -> i64 {
        self.end_of(window) - 1
    }

    /// Whether the window gets no more rows.
    #[inline]
    pub(crate) fn is_closed(self, window: Number, watermark: Watermark) -> bool {
        watermark.closes(EventTime(self.end_of(window)))
    }

    /// The first window that is not closed; at the end of time, one that no row is in.
    pub(crate) fn first_open(self, watermark: Watermark) -> Number {
        let nanos = watermark.nanos();
        match self {
            Panes::Hop { slide_nanos, width_nanos, .. } => {
                nanos.saturating_sub(width_nanos).div_euclid(slide_nanos).saturating_add(1)
            }
            Panes::Instants { .. } => nanos,
        }
    }

    /// The slot of a row that is late for no window.
    #[inline]
    pub(crate) fn slot_of(self, time: i64) -> Slot {
        let pane = self.pane_of(time);
        Slot { from: self.readers(pane).0, pane }
    }

    /// The slot of a row whose split had this watermark just before it; none where all windows were closed.
    #[inline]
    pub(crate) fn open_slot_of(self, time: i64, watermark: Watermark) -> Option<Slot> {
        self.raised(self.slot_of(time), watermark)
    }

    /// The slot for the windows that are not closed; none where all are.
    #[inline]
    pub(crate) fn raised(self, slot: Slot, watermark: Watermark) -> Option<Slot> {
        if !self.is_closed(slot.from, watermark) {
            return Some(slot);
        }
        let (_, last) = self.readers(slot.pane);
        let from = || self.first_open(watermark).clamp(slot.from, last);
        (!self.is_closed(last, watermark)).then(|| Slot { from: from(), ..slot })
    }

    /// Whether rows at this time belong to no window, because they lie between two.
    #[inline]
    pub(crate) fn is_between(self, time: i64) -> bool {
        let (first, last) = self.readers(self.pane_of(time));
        first > last
    }

    /// Whether there is time between windows.
    #[inline]
    pub(crate) fn has_gaps(self) -> bool {
        match self {
            Panes::Hop { slide_nanos, width_nanos, .. } => slide_nanos > width_nanos,
            Panes::Instants { .. } => false,
        }
    }

    /// Whether a row belongs to one window at most.
    #[inline]
    pub(crate) fn overlap(self) -> bool {
        match self {
            Panes::Hop { slide_nanos, width_nanos, .. } => slide_nanos < width_nanos,
            Panes::Instants { .. } => false,
        }
    }

    /// Whether all windows may read the slot that read its pane.
    pub(crate) fn is_whole(self, slot: Slot) -> bool {
        slot.from == self.readers(slot.pane).0
    }

    /// The time as which the slot travels.
    #[inline]
    pub(crate) fn time_of(self, slot: Slot) -> i64 {
        let missed = slot.from.saturating_sub(self.readers(slot.pane).0);
        self.last_of_pane(slot.pane).saturating_sub(missed)
    }

    /// No slot up to this time has a window that the watermark does not close; none where it closes none.
    pub(crate) fn over_through(self, watermark: Watermark) -> Option<i64> {
        match watermark {
            Watermark::START => None,
            Watermark::END => Some(i64::MAX),
            watermark => {
                let (first, _) = self.panes_of(self.first_open(watermark));
                self.start_of_pane(first).checked_sub(1)
            }
        }
    }

    /// The slot that travels as this time.
    #[inline]
    pub(crate) fn slot_at(self, time: i64) -> Slot {
        let pane = self.pane_of(time);
        let (first, last) = self.readers(pane);
        let missed = self.last_of_pane(pane).saturating_sub(time).max(0);
        Slot { from: first.saturating_add(missed).min(last.max(first)), pane }
    }

    /// What the numbers of panes mean.
    pub(crate) fn canonical(self) -> String {
        match self {
            Panes::Hop { slide_nanos, width_nanos, .. } => format!("{slide_nanos} ns, {width_nanos} ns"),
            Panes::Instants { width_nanos } => format!("instants of {width_nanos} ns"),
        }
    }

    /// For people: `tumble(10s)`.
    pub(crate) fn label(self) -> String {
        match self {
            Panes::Hop { slide_nanos, width_nanos, .. } if slide_nanos == width_nanos => {
                format!("tumble({})", duration(width_nanos))
            }
            Panes::Hop { slide_nanos, width_nanos, .. } => {
                format!("hop({}, {})", duration(slide_nanos), duration(width_nanos))
            }
            Panes::Instants { .. } => "same window".into(),
        }
    }
}

/// A length of time in the largest unit that it is a multiple of.
pub(crate) fn duration(nanos: i64) -> String {
    let units = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let whole = units.into_iter().find(|(unit, _)| nanos % unit == 0);
    whole.map_or_else(|| format!("{nanos}ns"), |(unit, name)| format!("{}{name}", nanos / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOPS: [(i64, i64); 8] =
        [(10, 10), (10, 40), (10, 35), (70, 100), (100, 30), (1, 1), (1000, 99_000), (40, 41)];

    fn contains(panes: Panes, window: i64, time: i64) -> bool {
        panes.start_of(window) <= time && time < panes.end_of(window)
    }

    #[test]
    fn a_row_is_in_the_windows_that_read_its_pane_and_in_no_other() {
        for (slide, width) in HOPS {
            let Ok(panes) = Panes::hop(slide, width) else {
                assert_eq!((slide, width), (40, 41), "a pane of one instant under two windows");
                continue;
            };
            for time in (-500..500).step_by(7) {
                let pane = panes.pane_of(time);
                let (first, last) = panes.readers(pane);
                for window in -120..120 {
                    let reads = (first..=last).contains(&window);
                    assert_eq!(contains(panes, window, time), reads, "hop({slide}, {width}) {time} {window}");
                    let (from, to) = panes.panes_of(window);
                    assert_eq!((from..=to).contains(&pane), reads, "hop({slide}, {width}) {time} {window}");
                }
                assert_eq!(panes.is_between(time), first > last);
            }
        }
    }

    #[test]
    fn a_slot_survives_its_way_as_a_time() {
        for (slide, width) in HOPS {
            let Ok(panes) = Panes::hop(slide, width) else { continue };
            for time in (-500..500).step_by(7).filter(|&time| !panes.is_between(time)) {
                let whole = panes.slot_of(time);
                let (first, last) = panes.readers(whole.pane);
                for from in first..=last {
                    let slot = Slot { from, ..whole };
                    assert_eq!(panes.slot_at(panes.time_of(slot)), slot, "hop({slide}, {width}) {time}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_late_for_the_windows_that_are_closed() {
        for (slide, width) in HOPS {
            let Ok(panes) = Panes::hop(slide, width) else { continue };
            for time in (-200..200).step_by(3) {
                let (first, last) = panes.readers(panes.pane_of(time));
                for watermark in (-200..400).step_by(7) {
                    let watermark = Watermark(EventTime(watermark));
                    let open = (first..=last).find(|&window| !panes.is_closed(window, watermark));
                    let slot = panes.open_slot_of(time, watermark).filter(|_| first <= last);
                    assert_eq!(slot.map(|slot| slot.from), open, "hop({slide}, {width}) {time} {watermark}");
                }
            }
        }
    }

    #[test]
    fn what_is_over_has_no_open_window_and_the_next_slot_has_one() {
        for (slide, width) in HOPS {
            let Ok(panes) = Panes::hop(slide, width) else { continue };
            for watermark in (-200..400).step_by(7) {
                let watermark = Watermark(EventTime(watermark));
                let through = panes.over_through(watermark).unwrap();
                for time in (-500..500).step_by(3).filter(|&time| !panes.is_between(time)) {
                    let whole = panes.slot_of(time);
                    for from in whole.from..=panes.readers(whole.pane).1 {
                        let slot = Slot { from, ..whole };
                        let over = panes.time_of(slot) <= through;
                        let open = panes.raised(slot, watermark).is_some();
                        assert_eq!(over, !open, "hop({slide}, {width}) {time} {watermark}");
                    }
                }
            }
        }
        let instants = Panes::Instants { width_nanos: 10 };
        assert_eq!(instants.over_through(Watermark(EventTime(10))), Some(9));
        assert_eq!(instants.over_through(Watermark::START), None);
        assert_eq!(instants.over_through(Watermark::END), Some(i64::MAX));
    }

    #[test]
    fn the_ends_of_time_have_panes_like_any_other() {
        for (slide, width) in [(1, 1), (7, 7), (10, 10), (i64::MAX, i64::MAX), (10, 50), (1000, 1500)] {
            let panes = Panes::hop(slide, width).unwrap();
            for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
                let slot = panes.slot_of(time);
                assert!(panes.start_of(slot.from) <= time, "hop({slide}, {width}) {time}");
                assert!(panes.is_closed(slot.from, Watermark::END));
                assert_eq!(panes.open_slot_of(time, Watermark::START), Some(slot));
                assert_eq!(panes.open_slot_of(time, Watermark::END), None);
                if slide == width {
                    assert_eq!(panes.slot_at(panes.time_of(slot)), slot, "{width}, {time}");
                }
            }
        }
    }

    #[test]
    fn rows_of_windows_belong_to_the_window_that_ends_behind_them() {
        let panes = Panes::Instants { width_nanos: 10 };
        let window = panes.slot_of(9).from;
        assert_eq!((panes.start_of(window), panes.end_of(window), panes.last_of(window)), (0, 10, 9));
        assert!(!panes.is_closed(window, Watermark(EventTime(9))));
        assert!(panes.is_closed(window, Watermark(EventTime(10))));
    }

    #[test]
    fn windows_without_end_are_refused() {
        for (slide, width) in [(0, 1), (1, 0), (-1, 5), (5, -1), (1, 100_001), (1, 2), (7, 8)] {
            assert!(Panes::hop(slide, width).is_err(), "hop({slide}, {width})");
        }
    }

    #[test]
    fn labels_use_the_largest_whole_unit() {
        assert_eq!(Panes::hop(90_000_000_000, 90_000_000_000).unwrap().label(), "tumble(90s)");
        assert_eq!(Panes::hop(1_500_000_000, 3_600_000_000_000).unwrap().label(), "hop(1500ms, 1h)");
    }
}
