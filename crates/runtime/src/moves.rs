//! What changes for one subtask at the barrier of a rescale.
//!
//! A rescale is a checkpoint whose barrier carries new routing tables. Each
//! subtask is told its [`Move`] before the barrier is sent, and acts on it when
//! it passes that barrier: it routes by the new tables, ends the channels that
//! are no more, gives away what lives elsewhere from now on, and waits for
//! what lives here.

use thalweg_dataflow::Watermark;
use thalweg_dataflow::operator::Age;
use thalweg_dataflow::source::Assignment;
use thalweg_state::{Epoch, KeyGroups, OperatorId, Snapshot, SplitId};
use tokio::sync::mpsc;

use crate::channel::Sender;
use crate::plan::ChannelId;
use crate::subtask::{Command, Inlet};

/// The most rows that are loaded at once, so that rows of other keys go on in between.
pub const LOAD_ROWS_MAX: usize = 16_384;

/// What one subtask does at one barrier.
#[derive(Debug)]
pub struct Move {
    pub(crate) epoch: Epoch,
    /// The outgoing edges whose receivers change.
    pub(crate) exits: Vec<Exit>,
    /// The channels that were added to its inbox, in their order.
    pub(crate) inlets: Vec<Inlet>,
    /// The channels whose senders take over splits, which may be behind what those senders have said.
    pub(crate) rebased: Vec<ChannelId>,
    /// What leaves.
    pub(crate) gives: Vec<Give>,
    /// Who gives something, and which key groups come with it.
    pub(crate) awaits: Vec<(usize, KeyGroups)>,
    /// Whether the subtask ends behind this barrier.
    pub(crate) retires: bool,
}

/// The new receivers of one edge.
#[derive(Debug)]
pub(crate) struct Exit {
    /// The edge's index in the graph.
    pub(crate) edge: u32,
    /// How many receivers there are from now on.
    pub(crate) receivers: usize,
    /// The channels to those that are new, in their order.
    pub(crate) senders: Vec<Sender>,
    /// Whether the sender takes over splits, which may be behind what it has said: the new receivers
    /// must not hear that.
    pub(crate) rebases: bool,
}

/// Key groups and splits that another subtask takes over.
#[derive(Debug)]
pub(crate) struct Give {
    pub(crate) to: mpsc::UnboundedSender<Command>,
    pub(crate) groups: KeyGroups,
    pub(crate) splits: Vec<SplitId>,
}

/// What an old owner hands over. Its snapshots hold more than `groups`; who gets them selects.
#[derive(Debug)]
pub struct Arrival {
    pub(crate) epoch: Epoch,
    /// The member that gives.
    pub(crate) from: usize,
    pub(crate) groups: KeyGroups,
    pub(crate) snapshots: Vec<(OperatorId, Snapshot)>,
    /// What the giver's inputs had reached at the barrier, by lane. Whoever takes over begins there: it
    /// closes no window that another has closed, and is behind none.
    pub(crate) reached: Vec<Watermark>,
    pub(crate) splits: Vec<Assignment>,
}

impl Arrival {
    /// What each operator gets, in pieces.
    pub(crate) fn loads(self) -> impl Iterator<Item = Load> {
        let Self { epoch, groups, snapshots, .. } = self;
        let age = Age::Unsettled(epoch);
        snapshots.into_iter().flat_map(move |(operator, given)| {
            let (given, groups) = (given.select(&groups), groups.clone());
            let load = move |given| Load { operator: operator.clone(), groups: groups.clone(), given, age };
            given.pieces(LOAD_ROWS_MAX).map(load)
        })
    }
}

/// Rows of an operator's tables on their way into it.
#[derive(Debug)]
pub struct Load {
    /// Whose.
    pub operator: OperatorId,
    /// The key groups that move.
    pub groups: KeyGroups,
    /// Their rows, as one epoch or many wrote them.
    pub given: Snapshot,
    /// Whether the rows are part of a complete epoch.
    pub age: Age,
}
