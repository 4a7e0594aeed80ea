//! Nothing moves though rows wait: who waits for whom?
//!
//! The answer is a pure function of the channels' states. A sender without
//! room waits for its receiver; a receiver that has blocked some of its
//! channels waits for the senders of the others, whose barrier has not come.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_dataflow::{Graph, NodeId};
use thalweg_state::Subtask;

use crate::channel::{ChannelReading, Probe};

/// The name of the chain in which each node of each subtask runs.
pub(crate) type Places = BTreeMap<(NodeId, Subtask), String>;

/// Looks at a job's channels from time to time.
pub(crate) struct Watchdog {
    graph: Arc<Graph>,
    places: Places,
    taken: u64,
}

impl Watchdog {
    pub(crate) fn new(graph: Arc<Graph>) -> Self {
        Self { graph, places: Places::new(), taken: 0 }
    }

    /// Learns where nodes run.
    pub(crate) fn learn(&mut self, places: Places) {
        self.places.extend(places);
    }

    /// If nothing has moved since the last look though rows wait, says who waits for whom.
    pub(crate) fn look(&mut self, probes: &[Probe]) -> Option<String> {
        let taken = probes.iter().map(Probe::taken).sum();
        let moved = std::mem::replace(&mut self.taken, taken) != taken;
        let channels: Vec<_> = probes.iter().flat_map(Probe::channels).collect();
        let rows: usize = channels.iter().map(|c| c.rows).sum();
        if moved || rows == 0 {
            return None;
        }
        let waits = waits(&channels, |c| self.ends(c));
        Some(format!("no progress with {rows} rows waiting: {}", waits.join("; ")))
    }

    /// The places at both ends of a channel.
    fn ends(&self, channel: &ChannelReading) -> (&str, &str) {
        let edge = &self.graph.edges()[channel.id.edge as usize];
        let place = |node, subtask| self.places.get(&(node, subtask)).map_or("?", String::as_str);
        (place(edge.from.0, channel.id.from), place(edge.to.0, channel.id.to))
    }
}

/// One sentence for each wait.
fn waits<'a>(
    channels: &[ChannelReading],
    ends: impl Fn(&ChannelReading) -> (&'a str, &'a str),
) -> Vec<String> {
    let mut waits = Vec::new();
    for channel in channels {
        let (from, to) = ends(channel);
        let aligning = channels.iter().any(|c| c.blocked && ends(c).1 == to);
        if channel.sender_waits {
            waits.push(format!("{from} waits for room at {to}"));
        }
        if aligning && !channel.blocked && !channel.ended {
            waits.push(format!("{to} waits for the barrier of {from}"));
        }
        if channel.rows > 0 && !channel.blocked && !channel.sender_waits {
            waits.push(format!("{to} has rows of {from} and does not take them"));
        }
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ChannelId;

    fn reading(edge: u32, rows: usize, sender_waits: bool, blocked: bool) -> ChannelReading {
        let id = ChannelId { edge, from: Subtask(0), to: Subtask(0) };
        ChannelReading { id, rows, bytes: rows, sender_waits, blocked, ended: false }
    }

    #[test]
    fn a_missing_barrier_and_a_full_queue_are_named() {
        let channels = [reading(0, 9, true, true), reading(1, 0, false, false), reading(2, 5, false, false)];
        let ends =
            |c: &ChannelReading| [("left", "join"), ("right", "join"), ("join", "sink")][c.id.edge as usize];
        assert_eq!(
            waits(&channels, ends),
            [
                "left waits for room at join",
                "join waits for the barrier of right",
                "sink has rows of join and does not take them"
            ]
        );
    }
}
