//! Which events there are, and which of them a split makes.
//!
//! Events come in rounds of fifty: a person, three auctions, 46 bids. Splits
//! take the rounds in turn, so that all of them see the same proportions and
//! their event times advance side by side, whatever the parallelism.

use serde::{Deserialize, Serialize};

use super::rows::Field;
use super::{auction, bid, person};

/// Events of a round.
pub(super) const ROUND: u64 = 50;

/// Auctions of a round.
const AUCTIONS: u64 = 3;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Person,
    Auction,
    Bid,
}

impl Kind {
    /// All of them, in the order of the table's columns.
    pub(super) const ALL: [Self; 3] = [Self::Person, Self::Auction, Self::Bid];

    /// The name of its column.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Auction => "auction",
            Self::Bid => "bid",
        }
    }

    /// The fields of its struct.
    pub(super) fn fields(self) -> &'static [Field] {
        match self {
            Self::Person => &person::FIELDS,
            Self::Auction => &auction::FIELDS,
            Self::Bid => &bid::FIELDS,
        }
    }

    /// Its first place in a round, and the one behind its last.
    fn places(self) -> (u64, u64) {
        match self {
            Self::Person => (0, 1),
            Self::Auction => (1, 1 + AUCTIONS),
            Self::Bid => (1 + AUCTIONS, ROUND),
        }
    }
}

/// One event: its round, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    round: u64,
    place: u64,
}

impl Event {
    /// Its number among all events, from 0.
    pub(super) fn number(self) -> u64 {
        self.round * ROUND + self.place
    }

    /// The newest person there is when it happens, from 0; a person's own number.
    pub(super) fn newest_person(self) -> u64 {
        self.round
    }

    /// The newest auction there is when it happens, from 0; an auction's own number. Not for persons.
    pub(super) fn newest_auction(self) -> u64 {
        self.round * AUCTIONS + (self.place - 1).min(AUCTIONS - 1)
    }
}

/// What one of several splits makes: every `of`-th round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) index: u64,
    pub(super) of: u64,
}

impl Share {
    /// The number among all events of its event `own`.
    pub(super) fn number(self, own: u64) -> u64 {
        (own / ROUND * self.of + self.index) * ROUND + own % ROUND
    }

    /// How many of its events have a number less than `limit`.
    pub(super) fn before(self, limit: u64) -> u64 {
        let turn = self.of * ROUND;
        let begun = (limit % turn).saturating_sub(self.index * ROUND).min(ROUND);
        limit / turn * ROUND + begun
    }

    /// Its events from `own` on, cut where a round ends.
    pub(super) fn runs(self, own: u64, rows: usize) -> Vec<Run> {
        let mut runs = Vec::with_capacity(rows / ROUND as usize + 2);
        let mut row = 0;
        while row < rows {
            let number = self.number(own + row as u64);
            let (round, place) = (number / ROUND, number % ROUND);
            let places = (ROUND - place).min((rows - row) as u64);
            runs.push(Run { round, first: place, end: place + places, row });
            row += places as usize;
        }
        runs
    }
}

/// Events of one round that lie together in a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    round: u64,
    /// The first place, and the one behind the last.
    first: u64,
    end: u64,
    /// The row of the first.
    row: usize,
}

impl Run {
    /// How many events it has.
    pub(super) fn len(self) -> usize {
        (self.end - self.first) as usize
    }

    /// Its events, each with its row.
    pub(super) fn all(self) -> impl Iterator<Item = (usize, Event)> {
        self.places(self.first, self.end)
    }

    /// Its events of one kind, each with its row.
    pub(super) fn of(self, kind: Kind) -> impl Iterator<Item = (usize, Event)> {
        let (first, end) = kind.places();
        self.places(first.max(self.first), end.min(self.end))
    }

    fn places(self, first: u64, end: u64) -> impl Iterator<Item = (usize, Event)> {
        let row = move |place| self.row + (place - self.first) as usize;
        (first..end).map(move |place| (row(place), Event { round: self.round, place }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_every_event_once_and_in_order() {
        for of in [1, 2, 3, 7] {
            let mut all = Vec::new();
            for index in 0..of {
                let share = Share { index, of };
                let own: Vec<u64> = (0..200).map(|own| share.number(own)).collect();
                assert!(own.is_sorted());
                for (count, &number) in own.iter().enumerate() {
                    assert_eq!(share.before(number), count as u64);
                    assert_eq!(share.before(number + 1), count as u64 + 1);
                }
                let runs = share.runs(13, 100).into_iter().flat_map(Run::all);
                let runs: Vec<(usize, u64)> = runs.map(|(row, event)| (row, event.number())).collect();
                let expected: Vec<(usize, u64)> = own[13..113].iter().copied().enumerate().collect();
                assert_eq!(runs, expected);
                all.extend(own);
            }
            all.sort_unstable();
            let together: Vec<u64> = (0..200 * of).collect();
            assert_eq!(all, together);
        }
    }

    #[test]
    fn people_and_auctions_are_numbered_without_gaps() {
        let share = Share { index: 0, of: 1 };
        let numbers = |kind, number: fn(Event) -> u64| -> Vec<u64> {
            share
                .runs(0, 150)
                .into_iter()
                .flat_map(|run| run.of(kind))
                .map(|(_, event)| number(event))
                .collect()
        };
        assert_eq!(numbers(Kind::Person, Event::newest_person), [0, 1, 2]);
        assert_eq!(numbers(Kind::Auction, Event::newest_auction), (0..9).collect::<Vec<_>>());
        let bids = numbers(Kind::Bid, Event::newest_auction);
        assert_eq!((bids.len(), bids[0], bids[45], bids[46]), (138, 2, 2, 5));
    }
}
