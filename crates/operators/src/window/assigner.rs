//! Which windows there are, and which window a row belongs to.

use serde::{Deserialize, Serialize};
use thalweg_dataflow::{Code, Error, EventTime, Result, Watermark};

/// How event time is cut into windows. All times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assigner {
    /// Windows of one width that touch and never overlap, aligned to 1970. A window is one pane.
    Tumble {
        /// Greater than zero.
        width_nanos: i64,
    },
}

/// A pane, by its number; pane 0 begins in 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pane(pub(crate) i64);

impl Assigner {
    /// Tumbling windows of this width.
    pub fn tumble(width_nanos: i64) -> Result<Self> {
        if width_nanos <= 0 {
            return Err(Error::new(Code::InvalidWindow, "a window is not longer than nothing")
                .with_help("give 'tumble' an interval greater than zero"));
        }
        Ok(Assigner::Tumble { width_nanos })
    }

    /// The pane of a row at this time. The last instant of time belongs to the pane of the one before.
    #[inline]
    pub(crate) fn pane_of(self, time: i64) -> Pane {
        match self {
            Assigner::Tumble { width_nanos } => Pane(time.min(i64::MAX - 1).div_euclid(width_nanos)),
        }
    }

    /// The first instant of the pane, as far as time reaches.
    #[inline]
    pub(crate) fn start_of(self, pane: Pane) -> i64 {
        match self {
            Assigner::Tumble { width_nanos } => pane.0.saturating_mul(width_nanos),
        }
    }

    /// The first instant behind the pane, as far as time reaches.
    #[inline]
    pub(crate) fn end_of(self, pane: Pane) -> i64 {
        match self {
            Assigner::Tumble { width_nanos } => (pane.0 + 1).saturating_mul(width_nanos),
        }
    }

    /// The last instant of the pane: the event time of what is made of it.
    #[inline]
    pub(crate) fn last_of(self, pane: Pane) -> i64 {
        self.end_of(pane) - 1
    }

    /// Whether no row for the pane can come any more, and all windows that read it are closed.
    #[inline]
    pub(crate) fn is_closed(self, pane: Pane, watermark: Watermark) -> bool {
        watermark.closes(EventTime(self.end_of(pane)))
    }

    /// For people: `tumble(10s)`.
    pub(crate) fn label(self) -> String {
        match self {
            Assigner::Tumble { width_nanos } => format!("tumble({})", duration(width_nanos)),
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

    #[test]
    fn panes_are_half_open_and_aligned_to_1970() {
        let assigner = Assigner::tumble(10).unwrap();
        for (time, start) in [(0, 0), (9, 0), (10, 10), (-1, -10), (-10, -10), (-11, -20)] {
            let pane = assigner.pane_of(time);
            assert_eq!((assigner.start_of(pane), assigner.end_of(pane)), (start, start + 10), "{time}");
            assert_eq!(assigner.pane_of(assigner.last_of(pane)), pane);
        }
    }

    #[test]
    fn the_ends_of_time_have_panes_like_any_other() {
        for width in [1, 7, 10, i64::MAX] {
            let assigner = Assigner::tumble(width).unwrap();
            for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
                let pane = assigner.pane_of(time);
                assert!(assigner.start_of(pane) <= time && time <= assigner.end_of(pane));
                assert_eq!(assigner.pane_of(assigner.last_of(pane)), pane, "{width}, {time}");
                assert!(assigner.is_closed(pane, Watermark::END));
            }
        }
        assert!(Assigner::tumble(0).is_err() && Assigner::tumble(-1).is_err());
    }

    #[test]
    fn a_pane_closes_at_its_end() {
        let assigner = Assigner::tumble(10).unwrap();
        assert!(!assigner.is_closed(Pane(0), Watermark(EventTime(9))));
        assert!(assigner.is_closed(Pane(0), Watermark(EventTime(10))));
    }

    #[test]
    fn labels_use_the_largest_whole_unit() {
        assert_eq!(Assigner::tumble(90_000_000_000).unwrap().label(), "tumble(90s)");
        assert_eq!(Assigner::tumble(3_600_000_000_000).unwrap().label(), "tumble(1h)");
    }
}
