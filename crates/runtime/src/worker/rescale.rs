//! Another number of subtasks, while the job runs.
//!
//! ```text
//!  grow: new subtasks, unborn channels ─► load what moves ─► at rest between two epochs
//!        └─ or cancel                                          │
//!                                          move: everyone is told what to do at the next barrier
//! ```
//!
//! Which key groups and splits move follows from the two plans; nothing here
//! waits, and nothing decides when.

use std::collections::BTreeMap;

use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::routing::RoutingTable;
use thalweg_dataflow::source::Assignment;
use thalweg_dataflow::{Distribution, Error, NodeId, Result, Watermark};
use thalweg_state::{Epoch, KeyGroup, KeyGroups, OperatorId, SplitId, Subtask as SubtaskIndex};

use super::connect::{Receiver, Senders};
use super::{OperatorReading, Worker};
use crate::channel::Probe;
use crate::moves::{Exit, Give, Move};
use crate::plan::{ChainId, ChannelId, Plan};
use crate::subtask::Command;

/// What has been built for a rescale and is not in use yet.
#[derive(Debug)]
pub struct Grown {
    old: Plan,
    parallelism: u32,
    /// How many pieces counted before.
    readings: usize,
    senders: Senders,
    /// The members that were added.
    pub joining: Vec<usize>,
    /// The members that will end.
    pub leaving: Vec<usize>,
    /// What will come to each member: the operators of its chain, and the key groups.
    pub loads: Vec<(usize, Vec<OperatorId>, KeyGroups)>,
    shifts: Vec<Shift>,
}

/// Key groups or splits that go from one member to another.
#[derive(Clone, Debug)]
struct Shift {
    from: usize,
    to: usize,
    groups: KeyGroups,
    splits: Vec<SplitId>,
}

impl Worker {
    /// The subtasks of each node that does not fix its own number.
    pub fn parallelism(&self) -> u32 {
        self.deployment.parallelism
    }

    /// The members that read splits which a rescale to `parallelism` would move: they must be held first.
    ///
    /// # Errors
    /// If the graph cannot run so.
    pub fn movable_sources(&self, parallelism: u32) -> Result<Vec<usize>> {
        let new = Plan::new(&self.deployment.graph, parallelism)?;
        let changes = |member: &super::Member| {
            new.parallelism(member.nodes[0]) != self.plan.parallelism(member.nodes[0])
        };
        let living = self.members.iter().enumerate().filter(|(_, m)| m.source && m.is_alive());
        Ok(living.filter(|(_, m)| changes(m)).map(|(index, _)| index).collect())
    }

    /// Builds and starts what a rescale to `parallelism` adds. Nobody sends to it before the
    /// [move](Self::rewire), and nothing has changed for anybody else.
    ///
    /// # Errors
    /// If a piece cannot be built; nothing has changed then.
    pub fn grow(&mut self, parallelism: u32) -> Result<Grown> {
        let old = self.plan.clone();
        let new = Plan::new(&self.deployment.graph, parallelism)?;
        let (before, readings) = (self.members.len(), self.wiring.readings().len());
        let built = self.build_for(new);
        let senders = match built {
            Ok(built) => built,
            Err(error) => {
                self.discard(before, readings);
                self.plan = old;
                return Err(error);
            }
        };
        self.start();
        let joining = (before..self.members.len()).collect();
        let leaving: Vec<usize> = (0..before).filter(|&member| self.leaves(member)).collect();
        let shifts = self.shifts(&old)?;
        let loads = shifts.iter().map(|shift| {
            let nodes = self.members[shift.to].nodes.iter();
            let ids = nodes.map(|&node| self.deployment.graph.node(node).id.clone()).collect();
            (shift.to, ids, shift.groups.clone())
        });
        Ok(Grown { old, parallelism, readings, senders, joining, leaving, loads: loads.collect(), shifts })
    }

    /// The members that take over splits, once these sources are dealt out anew.
    ///
    /// # Errors
    /// If a source cannot deal its splits out.
    pub fn split_takers(&self, splits: &BTreeMap<usize, Vec<Assignment>>) -> Result<Vec<usize>> {
        Ok(self.split_shifts(splits)?.into_iter().map(|shift| shift.to).collect())
    }

    /// Takes back what was grown.
    pub fn cancel(&mut self, grown: Grown) {
        let Grown { old, joining, readings, .. } = grown;
        self.discard(self.members.len() - joining.len(), readings);
        self.release();
        self.plan = old;
    }

    /// Nobody holds anything for a rescale any more.
    pub fn release(&self) {
        for (member, known) in self.members.iter().enumerate().filter(|(_, known)| known.is_alive()) {
            self.tell(member, if known.source { Command::Hold(None) } else { Command::Unload });
        }
    }

    /// Forgets the members from `first` on, which nobody knows yet, and what they would have counted.
    fn discard(&mut self, first: usize, readings: usize) {
        self.wiring.keep_readings(readings);
        self.wiring.probes().for_each(Probe::bury_unborn);
        self.ready.clear();
        for member in first..self.members.len() {
            if let Some(task) = &self.members[member].task {
                task.abort();
            }
            let receiver = self.members[member].receiver();
            self.wiring.bury(&receiver);
        }
        self.members.truncate(first);
    }

    /// Tells everyone what to do at the barrier of `epoch`, and gives the tables that it carries and the
    /// members that something moves to. `splits` are those of each held source. To be called before the barrier is sent.
    ///
    /// # Errors
    /// If a source cannot deal its splits out.
    pub fn rewire(
        &mut self,
        mut grown: Grown,
        epoch: Epoch,
        splits: &BTreeMap<usize, Vec<Assignment>>,
    ) -> Result<(Vec<RoutingTable>, Vec<usize>)> {
        grown.shifts.extend(self.split_shifts(splits)?);
        for member in 0..self.members.len() {
            if self.members[member].is_alive() {
                let moving = self.move_of(member, epoch, &mut grown)?;
                self.tell(member, Command::Move(moving));
            }
        }
        self.deployment.parallelism = grown.parallelism;
        let receiving = grown.shifts.iter().map(|shift| shift.to).collect();
        Ok((self.tables(&grown.old, epoch), receiving))
    }

    /// A member that ended behind the barrier of a rescale is no more.
    pub fn bury(&mut self, member: usize) {
        let receiver = self.members[member].receiver();
        self.wiring.bury(&receiver);
        self.members[member].gone = true;
        // What it counted stays; how far it is and what it holds mean nothing any more.
        let own = |reading: &&OperatorReading| {
            self.members[member].nodes.contains(&reading.node) && reading.subtask == receiver.1
        };
        for reading in self.wiring.readings().iter().filter(own) {
            reading.counters.watermark.set(Watermark::END.nanos());
            reading.counters.state_bytes.set(0);
            reading.counters.open_windows.set(0);
        }
    }

    /// Whether the plan has no place for a member any more.
    fn leaves(&self, member: usize) -> bool {
        let member = &self.members[member];
        member.is_alive() && member.name.1.0 >= self.plan.parallelism(member.nodes[0])
    }

    fn member(&self, head: NodeId, subtask: u32) -> Result<usize> {
        let is_it = |m: &super::Member| m.is_alive() && m.receiver() == (head, SubtaskIndex(subtask));
        let found = self.members.iter().position(is_it);
        found.ok_or_else(|| Error::internal(format!("subtask {subtask} of a chain does not run")))
    }

    /// The chains whose number of subtasks changes, with their heads.
    fn changes(&self, old: &Plan) -> Vec<(ChainId, NodeId, u32, u32)> {
        let plans = self.plan.chains().zip(old.chains());
        let change =
            |((id, new), (_, old)): ((ChainId, &crate::plan::Chain), (ChainId, &crate::plan::Chain))| {
                (id, new.nodes[0], old.parallelism, new.parallelism)
            };
        plans.map(change).filter(|(_, _, old, new)| old != new).collect()
    }

    fn is_shuffled(&self, node: NodeId) -> bool {
        let mut inputs = self.deployment.graph.inputs(node);
        inputs.any(|edge| matches!(edge.distribution, Distribution::Shuffle(_)))
    }

    /// The key groups that get another owner.
    fn shifts(&self, old: &Plan) -> Result<Vec<Shift>> {
        let space = self.deployment.settings.key_space;
        let mut shifts = Vec::new();
        for (_, head, before, after) in self.changes(old) {
            if !self.is_shuffled(head) {
                continue;
            }
            let mut moving: BTreeMap<(u32, u32), Vec<KeyGroup>> = BTreeMap::new();
            for group in (0..space.len()).map(KeyGroup) {
                let owners = (space.owner(group, before), space.owner(group, after));
                if owners.0 != owners.1 {
                    moving.entry(owners).or_default().push(group);
                }
            }
            for ((from, to), groups) in moving {
                let (from, to) = (self.member(head, from)?, self.member(head, to)?);
                shifts.push(Shift { from, to, groups: groups.into_iter().collect(), splits: Vec::new() });
            }
        }
        Ok(shifts)
    }

    /// The splits that get another reader.
    fn split_shifts(&self, held: &BTreeMap<usize, Vec<Assignment>>) -> Result<Vec<Shift>> {
        let space = self.deployment.settings.key_space;
        let everything = KeyGroups::range(0, space.len());
        let mut heads: BTreeMap<NodeId, BTreeMap<SplitId, (usize, Assignment)>> = BTreeMap::new();
        for (&member, splits) in held {
            let of_head = heads.entry(self.members[member].nodes[0]).or_default();
            of_head.extend(splits.iter().map(|a| (a.split.clone(), (member, a.clone()))));
        }
        let mut shifts = BTreeMap::new();
        for (head, splits) in heads {
            let Piece::Source(spec) = &self.deployment.graph.node(head).piece else { continue };
            let known = splits.values().map(|(_, assignment)| assignment.clone()).collect();
            let dealt = spec.distribute(known, self.plan.parallelism(head))?;
            for (subtask, assignments) in (0..).zip(dealt) {
                let to = self.member(head, subtask)?;
                for Assignment { split, .. } in assignments {
                    match splits.get(&split) {
                        Some((from, _)) if *from != to => {
                            shifts.entry((*from, to)).or_insert_with(Vec::new).push(split);
                        }
                        Some(_) | None => {}
                    }
                }
            }
        }
        let shift = |((from, to), splits)| Shift { from, to, groups: everything.clone(), splits };
        Ok(shifts.into_iter().map(shift).collect())
    }

    fn move_of(&mut self, member: usize, epoch: Epoch, grown: &mut Grown) -> Result<Move> {
        let inlets = self.added.remove(&self.members[member].receiver()).unwrap_or_default();
        let own = &self.members[member];
        let gives = grown.shifts.iter().filter(|shift| shift.from == member).map(|shift| Give {
            to: self.members[shift.to].commands.clone(),
            groups: shift.groups.clone(),
            splits: shift.splits.clone(),
        });
        let awaits = grown.shifts.iter().filter(|shift| shift.to == member);
        Ok(Move {
            epoch,
            gives: gives.collect(),
            awaits: awaits.map(|shift| (shift.from, shift.groups.clone())).collect(),
            rebased: self.rebased(own.receiver(), &grown.shifts),
            inlets,
            exits: match grown.joining.contains(&member) {
                true => Vec::new(),
                false => self.exits(member, &grown.old, &grown.shifts, &mut grown.senders),
            },
            retires: grown.leaving.contains(&member),
        })
    }

    /// The channels to `receiver` of members that take over splits.
    fn rebased(&self, (head, to): Receiver, shifts: &[Shift]) -> Vec<ChannelId> {
        let takers =
            shifts.iter().filter(|shift| !shift.splits.is_empty()).map(|shift| &self.members[shift.to]);
        let edges = self.deployment.graph.edges().iter().enumerate().filter(|(_, edge)| edge.to.0 == head);
        let channels = edges.flat_map(|(index, edge)| {
            let from_here = takers.clone().filter(|taker| taker.nodes.contains(&edge.from.0));
            from_here.map(move |taker| ChannelId { edge: index as u32, from: taker.name.1, to })
        });
        channels.collect()
    }

    /// The outgoing edges of a member whose receivers change.
    fn exits(&self, member: usize, old: &Plan, shifts: &[Shift], senders: &mut Senders) -> Vec<Exit> {
        let own = &self.members[member];
        let rebases = shifts.iter().any(|shift| shift.to == member && !shift.splits.is_empty());
        let mut exits = Vec::new();
        for (index, edge) in self.deployment.graph.edges().iter().enumerate() {
            let (before, after) = (old.parallelism(edge.to.0), self.plan.parallelism(edge.to.0));
            let leads_out = own.nodes.contains(&edge.from.0)
                && !self.plan.is_inside(edge)
                && edge.distribution != Distribution::Forward;
            if !leads_out || before == after {
                continue;
            }
            let id = |to| ChannelId { edge: index as u32, from: own.name.1, to: SubtaskIndex(to) };
            let new = (before..after).filter_map(|to| senders.remove(&id(to))).collect();
            exits.push(Exit { edge: index as u32, receivers: after as usize, senders: new, rebases });
        }
        exits
    }

    /// The routing tables of the nodes whose number of subtasks changes.
    fn tables(&self, old: &Plan, epoch: Epoch) -> Vec<RoutingTable> {
        let space = self.deployment.settings.key_space;
        let changes = self.changes(old).into_iter().filter(|(_, head, ..)| self.is_shuffled(*head));
        changes.map(|(_, head, _, after)| RoutingTable::even(head, epoch.0, space, after)).collect()
    }
}

impl super::Member {
    fn receiver(&self) -> Receiver {
        (self.nodes[0], self.name.1)
    }

    /// Whether it has not ended behind the barrier of a rescale.
    pub fn is_alive(&self) -> bool {
        !self.gone
    }
}
