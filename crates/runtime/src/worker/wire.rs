//! From a plan to subtasks that are ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::routing::RoutingTable;
use thalweg_dataflow::source::{Assignment, RowsMax};
use thalweg_dataflow::spec::{PieceContext, SourceSpec};
use thalweg_dataflow::{Distribution, Edge, Error, Graph, NodeId, Port, ProcessingTime, Result, Source};
use thalweg_state::{KeyGroups, OperatorId, Subtask as SubtaskIndex};
use thalweg_world::{SeededRandom, World};
use tokio::sync::mpsc;

use super::connect::{Receiver, Senders, connect};
use super::{Deployment, Member, OperatorReading, Role, Worker};
use crate::chain::{Chain, ChainNode, Lanes, NodePiece, Target};
use crate::channel::{Bounds, Inbox, Probe};
use crate::exchange::{Exchange, Origin};
use crate::guard::Site;
use crate::plan::{self, ChannelId, Plan};
use crate::settings::RuntimeSettings;
use crate::subtask::{Budget, Command, Feed, Inlet, Reader, Report, SourceReader, Subtask};

/// One subtask that is ready to run.
pub(super) struct Ready {
    pub(super) subtask: Subtask,
    pub(super) feed: Feed,
    /// Its data executor.
    pub(super) executor: usize,
    pub(super) member: usize,
    /// Whether a rescale makes it.
    pub(super) newborn: bool,
}

/// What all subtasks of a job are built with, and what there is to see of them.
pub(super) struct Wiring {
    deployment: Deployment,
    settings: Arc<RuntimeSettings>,
    world: World,
    report: mpsc::UnboundedSender<Report>,
    readings: Vec<OperatorReading>,
    /// Everyone who reads channels.
    living: BTreeMap<Receiver, Probe>,
}

/// What one subtask is built of.
struct Parts<'a> {
    plan: &'a Plan,
    chain: &'a plan::Chain,
    subtask: SubtaskIndex,
    member: usize,
    inbox: Option<(Inbox, Vec<Inlet>)>,
    splits: Vec<Assignment>,
    /// Whether a rescale makes it.
    newborn: bool,
}

impl Worker {
    /// Builds the subtasks that `new` has and the present plan has not. Gives the channels of those that
    /// there were already to the new ones.
    pub(super) fn build_for(&mut self, new: Plan) -> Result<Senders> {
        let newborn = !self.members.is_empty();
        let graph = Arc::clone(&self.deployment.graph);
        let settings = &self.deployment.settings;
        let bounds = Bounds { rows_max: settings.queue_rows_max, bytes_max: settings.queue_bytes_max };
        let plans = (&self.plan, &new);
        let mut connected = connect(&graph, plans, &mut self.wiring.living, bounds, newborn);
        for (receiver, inlets) in std::mem::take(&mut connected.added) {
            self.added.entry(receiver).or_default().extend(inlets);
        }
        for (id, chain) in new.chains() {
            let there = self.plan.chains().find(|(known, _)| *known == id).map_or(0, |(_, c)| c.parallelism);
            let mut splits = match newborn {
                true => Vec::new(),
                false => self.wiring.splits(chain)?,
            }
            .into_iter();
            for subtask in (there..chain.parallelism).map(SubtaskIndex) {
                let inbox = connected.inboxes.remove(&(chain.nodes[0], subtask));
                let (member, splits) = (self.members.len(), splits.next().unwrap_or_default());
                let parts = Parts { plan: &new, chain, subtask, member, inbox, splits, newborn };
                let executor = id.0 as usize + subtask.0 as usize;
                let name = (graph.node(chain.nodes[0]).id.clone(), subtask);
                let (subtask, feed, commands) = self.wiring.subtask(parts, &mut connected.senders)?;
                let source = matches!(feed, Feed::Source(_));
                let nodes = chain.nodes.clone();
                self.watchdog.learn(places(&name, &nodes));
                self.members.push(Member { name, source, nodes, commands, task: None, gone: false });
                self.ready.push(Ready { subtask, feed, executor, member, newborn });
            }
        }
        self.plan = new;
        Ok(connected.senders)
    }
}

fn places(
    (head, index): &(OperatorId, SubtaskIndex),
    nodes: &[NodeId],
) -> BTreeMap<(NodeId, SubtaskIndex), String> {
    nodes.iter().map(|&node| ((node, *index), format!("'{head}' {index}"))).collect()
}

impl Wiring {
    pub(super) fn new(deployment: &Deployment, world: &World, report: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            deployment: deployment.clone(),
            settings: Arc::new(deployment.settings.clone()),
            world: world.clone(),
            report,
            readings: Vec::new(),
            living: BTreeMap::new(),
        }
    }

    pub(super) fn readings(&self) -> &[OperatorReading] {
        &self.readings
    }

    /// Forgets all but the first pieces that count.
    pub(super) fn keep_readings(&mut self, first: usize) {
        self.readings.truncate(first);
    }

    pub(super) fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.living.values()
    }

    /// A subtask that reads channels is no more.
    pub(super) fn bury(&mut self, receiver: &Receiver) {
        self.living.remove(receiver);
    }

    fn graph(&self) -> &Graph {
        &self.deployment.graph
    }

    /// The splits of each subtask, if the chain begins with a source.
    fn splits(&self, chain: &plan::Chain) -> Result<Vec<Vec<Assignment>>> {
        let head = self.graph().node(chain.nodes[0]);
        let Piece::Source(spec) = &head.piece else {
            return Ok(Vec::new());
        };
        match self.deployment.past.as_ref().and_then(|past| past.splits(&head.id)) {
            Some(known) => spec.distribute(known, chain.parallelism),
            None => spec.splits(chain.parallelism),
        }
    }

    fn subtask(
        &mut self,
        parts: Parts<'_>,
        senders: &mut Senders,
    ) -> Result<(Subtask, Feed, mpsc::UnboundedSender<Command>)> {
        let Parts { plan, chain, subtask, member, inbox, splits, newborn } = parts;
        let settings = Settings {
            subtask,
            parallelism: chain.parallelism,
            batch_rows_max: self.settings.batch_rows_max,
            key_space: self.settings.key_space,
        };
        let (mut nodes, mut exchanges, mut source) = (Vec::new(), Vec::new(), None);
        for &id in &chain.nodes {
            let node = self.graph().node(id);
            let site = Site::new(&node.piece, &node.id, subtask);
            let counters = Arc::new(OperatorCounters::default());
            let origin = || Origin {
                site: site.clone(),
                counters: Arc::clone(&counters),
                clock: Arc::clone(&self.world.clock),
            };
            let outputs = self.outputs((plan, chain), (id, subtask), origin, senders, &mut exchanges)?;
            let inlets = inbox.as_ref().filter(|_| nodes.is_empty()).map(|(_, inlets)| inlets.as_slice());
            let lanes = self.lanes(id, inlets, newborn);
            let piece = self.build(id, &settings, &counters, newborn, &mut source)?;
            self.readings.push(self.reading(id, subtask, &counters));
            nodes.push(ChainNode::new(id, site, piece, counters, lanes, outputs));
        }
        let feed = self.feed(chain, source, inbox, &nodes[0].site, splits, newborn)?;
        let (commands, obey) = mpsc::unbounded_channel();
        let groups = self.groups(&feed, chain, subtask);
        let seed = self.settings.shuffle_seed;
        let subtask = Subtask {
            index: member,
            chain: Chain::new(nodes, exchanges, settings, Arc::clone(&self.world.clock)),
            commands: obey,
            reports: self.report.clone(),
            settings: Arc::clone(&self.settings),
            world: self.world.clone(),
            random: seed.map(|seed| SeededRandom::new(seed.wrapping_add(member as u64))),
            past: self.deployment.past.clone().filter(|_| !newborn),
            groups,
            answered: None,
            stopping: false,
            closing: None,
            moving: None,
            copying: None,
            budget: Budget::default(),
        };
        Ok((subtask, feed, commands))
    }

    /// The key groups whose state a subtask finds when it opens. State of splits goes with them, so
    /// whoever may read a split finds all of it.
    fn groups(&self, feed: &Feed, chain: &plan::Chain, subtask: SubtaskIndex) -> KeyGroups {
        let space = self.settings.key_space;
        match feed {
            Feed::Source(_) => KeyGroups::range(0, space.len()),
            Feed::Channels(_) => space.share(subtask.0, chain.parallelism),
        }
    }

    /// The lanes of a node whose inputs are these channels, by port, or else the edges of its chain.
    fn lanes(&self, id: NodeId, inlets: Option<&[Inlet]>, newborn: bool) -> Lanes {
        let ports: Vec<Port> = match inlets {
            Some(inlets) => inlets.iter().map(|inlet| inlet.port).collect(),
            None => self.graph().inputs(id).map(|edge| edge.to.1).collect(),
        };
        let lanes = match &self.graph().node(id).piece {
            Piece::Operator(spec) if spec.watermarks_per_port() => {
                let outputs = self.graph().outputs(id).map(|edge| edge.from.1);
                let outputs: Vec<(Port, Port)> =
                    outputs.map(|output| (output, spec.input_of(output))).collect();
                Lanes::per_port(&ports, &outputs)
            }
            Piece::Operator(_) | Piece::Source(_) | Piece::Sink(_) => Lanes::one(ports.len()),
        };
        if newborn && inlets.is_some() { lanes.unborn() } else { lanes }
    }

    fn reading(
        &self,
        id: NodeId,
        subtask: SubtaskIndex,
        counters: &Arc<OperatorCounters>,
    ) -> OperatorReading {
        let node = self.graph().node(id);
        let (operator, role) = (node.id.clone(), Role::of(&node.piece));
        OperatorReading { node: id, operator, role, subtask, counters: Arc::clone(counters) }
    }

    fn build(
        &self,
        id: NodeId,
        settings: &Settings,
        counters: &Arc<OperatorCounters>,
        newborn: bool,
        source: &mut Option<(Box<dyn Source>, RowsMax)>,
    ) -> Result<NodePiece> {
        let clock = Arc::clone(&self.world.clock);
        let cx = PieceContext {
            job: self.deployment.job.clone(),
            incarnation: self.deployment.incarnation,
            counters: Arc::clone(counters),
            settings: settings.clone(),
            rows_max: RowsMax::new(settings.batch_rows_max),
            clock: Arc::new(move || ProcessingTime(clock.wall_nanos())),
            fresh: self.deployment.past.is_none() && !newborn,
        };
        let node = self.graph().node(id);
        let site = Site::new(&node.piece, &node.id, settings.subtask);
        site.call(|| {
            Ok(match &node.piece {
                Piece::Operator(spec) => NodePiece::Operator(spec.build(&self.deployment.functions)?),
                Piece::Sink(spec) => NodePiece::Sink(spec.build(cx)?),
                Piece::Source(spec) => {
                    let rows_max = cx.rows_max.clone();
                    *source = Some((SourceSpec::build(&**spec, cx)?, rows_max));
                    NodePiece::Source
                }
            })
        })
    }

    /// Where each output of a node goes. Edges that leave the chain become exchanges.
    fn outputs(
        &self,
        (plan, chain): (&Plan, &plan::Chain),
        (id, subtask): (NodeId, SubtaskIndex),
        origin: impl Fn() -> Origin,
        senders: &mut Senders,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Vec<(Port, Target)>> {
        let graph = self.graph();
        let mut outputs = Vec::new();
        for (index, edge) in graph.edges().iter().enumerate().filter(|(_, e)| e.from.0 == id) {
            let target = if plan.is_inside(edge) {
                inside_target(graph, chain, index, edge)?
            } else {
                exchanges.push(self.exchange(plan, (index as u32, edge), subtask, origin(), senders)?);
                Target::Exchange(exchanges.len() - 1)
            };
            outputs.push((edge.from.1, target));
        }
        Ok(outputs)
    }

    fn exchange(
        &self,
        plan: &Plan,
        (index, edge): (u32, &Edge),
        from: SubtaskIndex,
        origin: Origin,
        senders: &mut Senders,
    ) -> Result<Exchange> {
        let to = edge.to.0;
        let receivers = plan.parallelism(to);
        let mut sender = |to: u32| {
            let id = ChannelId { edge: index, from, to: SubtaskIndex(to) };
            let no_receiver = || Error::internal(format!("the channel {id:?} has no receiver"));
            senders.remove(&id).ok_or_else(no_receiver)
        };
        if edge.distribution == Distribution::Forward {
            return Ok(Exchange::forward(origin, (index, to), sender(from.0)?));
        }
        let senders = (0..receivers).map(sender).collect::<Result<Vec<_>>>()?;
        Ok(match &edge.distribution {
            Distribution::Forward | Distribution::Rebalance => {
                Exchange::rebalance(origin, (index, to), senders, from.0 as usize)
            }
            Distribution::Broadcast => Exchange::broadcast(origin, (index, to), senders),
            Distribution::Shuffle(key) => {
                let table = RoutingTable::even(to, 0, self.settings.key_space, receivers);
                Exchange::shuffle(origin, index, key.clone(), table, senders, self.settings.batch_rows_max)
            }
        })
    }

    /// How long a split of the chain's source may be silent before it is idle.
    fn idle_timeout(&self, chain: &plan::Chain) -> Duration {
        match &self.graph().node(chain.nodes[0]).piece {
            Piece::Source(spec) if spec.in_turn() => Duration::MAX,
            Piece::Source(_) | Piece::Operator(_) | Piece::Sink(_) => self.settings.idle_timeout,
        }
    }

    fn feed(
        &self,
        chain: &plan::Chain,
        source: Option<(Box<dyn Source>, RowsMax)>,
        inbox: Option<(Inbox, Vec<Inlet>)>,
        site: &Site,
        splits: Vec<Assignment>,
        newborn: bool,
    ) -> Result<Feed> {
        match (source, inbox) {
            (Some(source), None) => {
                let timeout = self.idle_timeout(chain);
                Ok(Feed::Source(SourceReader::new(
                    source,
                    site.clone(),
                    splits,
                    &self.settings,
                    timeout,
                    newborn,
                )))
            }
            (None, Some((inbox, inlets))) => {
                Ok(Feed::Channels(Reader::new(inbox, inlets, newborn, &self.settings)))
            }
            (Some(_), Some(_)) | (None, None) => {
                Err(Error::internal("a chain begins with a source or reads channels, and not both"))
            }
        }
    }
}

fn inside_target(graph: &Graph, chain: &plan::Chain, index: usize, edge: &Edge) -> Result<Target> {
    let node = chain.nodes.iter().position(|&n| n == edge.to.0);
    let inputs = graph.edges().iter().enumerate().filter(|(_, e)| e.to.0 == edge.to.0);
    let input = inputs.into_iter().position(|(i, _)| i == index);
    match (node, input) {
        (Some(node), Some(input)) => Ok(Target::Node { node, port: edge.to.1, input }),
        (None, _) | (_, None) => Err(Error::internal("an edge within a chain leads out of it")),
    }
}
