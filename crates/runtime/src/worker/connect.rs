//! The channels that a plan has and another had not: their ends, and who gets them.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_dataflow::{Distribution, Edge, Graph, NodeId};
use thalweg_state::Subtask as SubtaskIndex;

use crate::channel::{Bounds, Inbox, NewChannel, Probe, Sender, channels};
use crate::plan::{ChannelId, Plan};
use crate::subtask::Inlet;

/// A subtask that reads channels: its head, and which parallel instance it is.
pub(super) type Receiver = (NodeId, SubtaskIndex);

/// Sending ends by channel.
pub(super) type Senders = BTreeMap<ChannelId, Sender>;
/// What was added to the inboxes of receivers, in order.
pub(super) type Added = BTreeMap<Receiver, Vec<Inlet>>;

/// New channels.
#[derive(Default)]
pub(super) struct Connected {
    /// The inbox of each new receiver, and what its channels bring.
    pub(super) inboxes: BTreeMap<Receiver, (Inbox, Vec<Inlet>)>,
    /// What was added to receivers that there were already, in order.
    pub(super) added: Added,
    /// The sending ends.
    pub(super) senders: Senders,
}

/// Every channel of a plan.
pub(super) fn all_channels(graph: &Graph, plan: &Plan) -> BTreeSet<ChannelId> {
    graph.edges().iter().enumerate().flat_map(|(index, edge)| plan.channels(index, edge)).collect()
}

/// Makes the channels that `new` has and `old` had not. `living` are the receivers that there are.
/// When the job runs already (`unborn`), channels are born behind a barrier.
pub(super) fn connect(
    graph: &Graph,
    (old, new): (&Plan, &Plan),
    living: &mut BTreeMap<Receiver, Probe>,
    bounds: Bounds,
    unborn: bool,
) -> Connected {
    let known = if unborn { all_channels(graph, old) } else { BTreeSet::new() };
    let mut connected = Connected::default();
    let mut fresh: BTreeMap<Receiver, (Vec<NewChannel>, Vec<Inlet>)> = BTreeMap::new();
    for (index, edge) in graph.edges().iter().enumerate() {
        for id in new.channels(index, edge).into_iter().filter(|id| !known.contains(id)) {
            let (receiver, channel) = ((edge.to.0, id.to), NewChannel { id, unborn });
            match living.get(&receiver) {
                Some(probe) => {
                    connected.senders.insert(id, probe.add(&channel));
                    connected.added.entry(receiver).or_default().push(inlet(edge));
                }
                None => {
                    let (channels, inlets) = fresh.entry(receiver).or_default();
                    channels.push(channel);
                    inlets.push(inlet(edge));
                }
            }
        }
    }
    for (receiver, (new, inlets)) in fresh {
        let (inbox, senders) = channels(&new, bounds);
        living.insert(receiver, inbox.probe());
        connected.inboxes.insert(receiver, (inbox, inlets));
        connected.senders.extend(new.iter().map(|n| n.id).zip(senders));
    }
    connected
}

fn inlet(edge: &Edge) -> Inlet {
    let key = match &edge.distribution {
        Distribution::Shuffle(key) => Some(key.clone()),
        Distribution::Forward | Distribution::Rebalance | Distribution::Broadcast => None,
    };
    Inlet { port: edge.to.1, key }
}
