//! From a plan to subtasks that are ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_dataflow::counters::OperatorCounters;
use thalweg_dataflow::graph::Piece;
use thalweg_dataflow::operator::Settings;
use thalweg_dataflow::routing::RoutingTable;
use thalweg_dataflow::sink::Committer;
use thalweg_dataflow::spec::{PieceContext, SourceSpec};
use thalweg_dataflow::{
    Distribution, Edge, Error, Functions, Graph, NodeId, Port, ProcessingTime, Result, Source,
};
use thalweg_state::{OperatorId, Subtask as SubtaskIndex};
use thalweg_world::{SeededRandom, World};
use tokio::sync::mpsc;

use super::{Job, OperatorReading, Role};
use crate::chain::{Chain, ChainNode, Lanes, NodePiece, Target};
use crate::channel::{Bounds, Inbox, NewChannel, Probe, Sender, channels};
use crate::exchange::{Exchange, Origin};
use crate::guard::Site;
use crate::plan::{self, ChannelId, Plan};
use crate::settings::RuntimeSettings;
use crate::subtask::{Budget, Command, Feed, Reader, Report, SourceReader, Subtask};

/// Who publishes the rows of each sink, and how errors name it.
pub(super) type Committers = BTreeMap<NodeId, (Site, Arc<dyn Committer>)>;

/// A job that is ready to run.
pub(super) struct Wired {
    pub(super) subtasks: Vec<ReadySubtask>,
    pub(super) readings: Vec<OperatorReading>,
    pub(super) probes: Vec<Probe>,
    pub(super) committers: Committers,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
}

/// One subtask that is ready to run.
pub(super) struct ReadySubtask {
    pub(super) subtask: Subtask,
    pub(super) feed: Feed,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    /// Its data executor.
    pub(super) executor: usize,
    /// The head's name, and which parallel instance this is.
    pub(super) name: (OperatorId, SubtaskIndex),
    pub(super) nodes: Vec<NodeId>,
}

impl ReadySubtask {
    /// Whether a source feeds it.
    pub(super) fn is_source(&self) -> bool {
        matches!(self.feed, Feed::Source(_))
    }
}

/// Builds every piece of a job.
pub(super) fn wire(job: &Job, world: &World) -> Result<Wired> {
    let plan = Plan::new(&job.graph, job.parallelism)?;
    let (mut inboxes, senders) = open_channels(&job.graph, &plan, &job.settings);
    let (report, reports) = mpsc::unbounded_channel();
    let probes = inboxes.values().map(|(inbox, _)| inbox.probe()).collect();
    let settings = Arc::new(job.settings.clone());
    let mut wiring = Wiring {
        graph: &job.graph,
        functions: &job.functions,
        plan: &plan,
        settings,
        world,
        senders,
        readings: Vec::new(),
        report,
    };
    let mut subtasks = Vec::new();
    for (chain, planned) in plan.chains() {
        let mut splits = wiring.splits(planned)?.into_iter();
        for subtask in (0..planned.parallelism).map(SubtaskIndex) {
            let inbox = inboxes.remove(&(planned.nodes[0], subtask));
            let executor = chain.0 as usize + subtask.0 as usize;
            let index = subtasks.len();
            let ready = wiring.subtask(
                planned,
                subtask,
                inbox,
                splits.next().unwrap_or_default(),
                (index, executor),
            )?;
            subtasks.push(ready);
        }
    }
    let committers = job.graph.nodes().filter_map(|(id, node)| match &node.piece {
        Piece::Sink(spec) => Some((id, (Site::committer(&node.id), spec.committer()))),
        Piece::Source(_) | Piece::Operator(_) => None,
    });
    Ok(Wired { subtasks, readings: wiring.readings, probes, committers: committers.collect(), reports })
}

type Inboxes = BTreeMap<(NodeId, SubtaskIndex), (Inbox, Vec<Port>)>;
type Senders = BTreeMap<ChannelId, Sender>;

/// Makes the inbox of every subtask that reads channels, and keeps their senders by name.
fn open_channels(graph: &Graph, plan: &Plan, settings: &RuntimeSettings) -> (Inboxes, Senders) {
    let mut wanted: BTreeMap<(NodeId, SubtaskIndex), (Vec<NewChannel>, Vec<Port>)> = BTreeMap::new();
    for (index, edge) in graph.edges().iter().enumerate() {
        for id in plan.channels(index, edge) {
            let (new, ports) = wanted.entry((edge.to.0, id.to)).or_default();
            new.push(NewChannel { id, born_behind: None });
            ports.push(edge.to.1);
        }
    }
    let bounds = Bounds { rows_max: settings.queue_rows_max, bytes_max: settings.queue_bytes_max };
    let (mut inboxes, mut all_senders) = (Inboxes::new(), Senders::new());
    for (receiver, (new, ports)) in wanted {
        let (inbox, senders) = channels(&new, bounds);
        inboxes.insert(receiver, (inbox, ports));
        all_senders.extend(new.iter().map(|n| n.id).zip(senders));
    }
    (inboxes, all_senders)
}

struct Wiring<'a> {
    graph: &'a Graph,
    functions: &'a Functions,
    plan: &'a Plan,
    settings: Arc<RuntimeSettings>,
    world: &'a World,
    senders: Senders,
    readings: Vec<OperatorReading>,
    report: mpsc::UnboundedSender<Report>,
}

type Splits = Vec<thalweg_dataflow::source::Assignment>;

impl Wiring<'_> {
    /// The splits of each subtask, if the chain begins with a source.
    fn splits(&self, chain: &plan::Chain) -> Result<Vec<Splits>> {
        match &self.graph.node(chain.nodes[0]).piece {
            Piece::Source(spec) => spec.splits(chain.parallelism),
            Piece::Operator(_) | Piece::Sink(_) => Ok(Vec::new()),
        }
    }

    fn subtask(
        &mut self,
        chain: &plan::Chain,
        subtask: SubtaskIndex,
        inbox: Option<(Inbox, Vec<Port>)>,
        splits: Splits,
        (index, executor): (usize, usize),
    ) -> Result<ReadySubtask> {
        let settings = Settings {
            subtask,
            parallelism: chain.parallelism,
            batch_rows_max: self.settings.batch_rows_max,
            key_space: self.settings.key_space,
        };
        let (mut nodes, mut exchanges, mut source) = (Vec::new(), Vec::new(), None);
        for &id in &chain.nodes {
            let site = Site::new(&self.graph.node(id).piece, &self.graph.node(id).id, subtask);
            let counters = Arc::new(OperatorCounters::default());
            let outputs = self.outputs(chain, (id, subtask), &site, &counters, &mut exchanges)?;
            let channels = inbox.as_ref().filter(|_| nodes.is_empty()).map(|(_, ports)| ports.as_slice());
            let lanes = self.lanes(id, channels);
            let piece = self.build(id, &settings, &counters, &mut source)?;
            self.readings.push(self.reading(id, subtask, &counters));
            nodes.push(ChainNode::new(id, site, piece, counters, lanes, outputs));
        }
        let feed = self.feed(source, inbox, &nodes[0].site, splits)?;
        let (commands, obey) = mpsc::unbounded_channel();
        let chain_nodes = chain.nodes.clone();
        let name = (nodes[0].site.id.clone(), subtask);
        let chain = Chain::new(nodes, exchanges, settings, Arc::clone(&self.world.clock));
        let seed = self.settings.shuffle_seed;
        let subtask = Subtask {
            index,
            chain,
            commands: obey,
            reports: self.report.clone(),
            settings: Arc::clone(&self.settings),
            world: self.world.clone(),
            random: seed.map(|seed| SeededRandom::new(seed.wrapping_add(index as u64))),
            answered: None,
            stopping: false,
            budget: Budget::default(),
        };
        Ok(ReadySubtask { subtask, feed, commands, executor, name, nodes: chain_nodes })
    }

    /// The lanes of a node whose inputs are these channels, by port, or else the edges of its chain.
    fn lanes(&self, id: NodeId, channels: Option<&[Port]>) -> Lanes {
        let edges: Vec<Port> = self.graph.inputs(id).map(|edge| edge.to.1).collect();
        let ports = channels.unwrap_or(&edges);
        match &self.graph.node(id).piece {
            Piece::Operator(spec) if spec.watermarks_per_port() => Lanes::per_port(ports),
            Piece::Operator(_) | Piece::Source(_) | Piece::Sink(_) => Lanes::one(ports.len()),
        }
    }

    fn reading(
        &self,
        id: NodeId,
        subtask: SubtaskIndex,
        counters: &Arc<OperatorCounters>,
    ) -> OperatorReading {
        let node = self.graph.node(id);
        let (operator, role) = (node.id.clone(), Role::of(&node.piece));
        OperatorReading { node: id, operator, role, subtask, counters: Arc::clone(counters) }
    }

    fn build(
        &self,
        id: NodeId,
        settings: &Settings,
        counters: &Arc<OperatorCounters>,
        source: &mut Option<Box<dyn Source>>,
    ) -> Result<NodePiece> {
        let clock = Arc::clone(&self.world.clock);
        let cx = PieceContext {
            job: thalweg_state::JobId::new("job"),
            incarnation: thalweg_state::Incarnation(1),
            counters: Arc::clone(counters),
            settings: settings.clone(),
            clock: Arc::new(move || ProcessingTime(clock.wall_nanos())),
            fresh: true,
        };
        let node = self.graph.node(id);
        let site = Site::new(&node.piece, &node.id, settings.subtask);
        site.call(|| {
            Ok(match &node.piece {
                Piece::Operator(spec) => NodePiece::Operator(spec.build(self.functions)?),
                Piece::Sink(spec) => NodePiece::Sink(spec.build(cx)?),
                Piece::Source(spec) => {
                    *source = Some(SourceSpec::build(&**spec, cx)?);
                    NodePiece::Source
                }
            })
        })
    }

    /// Where each output of a node goes. Edges that leave the chain become exchanges.
    fn outputs(
        &mut self,
        chain: &plan::Chain,
        (id, subtask): (NodeId, SubtaskIndex),
        site: &Site,
        counters: &Arc<OperatorCounters>,
        exchanges: &mut Vec<Exchange>,
    ) -> Result<Vec<(Port, Target)>> {
        let (graph, plan) = (self.graph, self.plan);
        let mut outputs = Vec::new();
        for (index, edge) in graph.edges().iter().enumerate().filter(|(_, e)| e.from.0 == id) {
            let target = if plan.is_inside(edge) {
                inside_target(graph, chain, index, edge)?
            } else {
                let origin = Origin {
                    site: site.clone(),
                    counters: Arc::clone(counters),
                    clock: Arc::clone(&self.world.clock),
                };
                exchanges.push(self.exchange(index, edge, subtask, origin)?);
                Target::Exchange(exchanges.len() - 1)
            };
            outputs.push((edge.from.1, target));
        }
        Ok(outputs)
    }

    fn exchange(
        &mut self,
        index: usize,
        edge: &Edge,
        from: SubtaskIndex,
        origin: Origin,
    ) -> Result<Exchange> {
        let to = edge.to.0;
        let receivers = self.plan.parallelism(to);
        let mut sender = |to: u32| {
            let id = ChannelId { edge: index as u32, from, to: SubtaskIndex(to) };
            self.senders
                .remove(&id)
                .ok_or_else(|| Error::internal(format!("the channel {id:?} has no receiver")))
        };
        if edge.distribution == Distribution::Forward {
            return Ok(Exchange::single(origin, to, sender(from.0)?));
        }
        let senders = (0..receivers).map(sender).collect::<Result<Vec<_>>>()?;
        Ok(match &edge.distribution {
            Distribution::Forward | Distribution::Rebalance => {
                Exchange::rebalance(origin, to, senders, from.0 as usize)
            }
            Distribution::Broadcast => Exchange::broadcast(origin, to, senders),
            Distribution::Shuffle(key) => {
                let table = RoutingTable::even(to, 0, self.settings.key_space, receivers);
                Exchange::shuffle(origin, key.clone(), table, senders, self.settings.batch_rows_max)
            }
        })
    }

    fn feed(
        &self,
        source: Option<Box<dyn Source>>,
        inbox: Option<(Inbox, Vec<Port>)>,
        site: &Site,
        splits: Splits,
    ) -> Result<Feed> {
        match (source, inbox) {
            (Some(source), None) => {
                let timeout = self.settings.idle_timeout;
                Ok(Feed::Source(SourceReader::new(source, site.clone(), splits, timeout)))
            }
            (None, Some((inbox, ports))) => Ok(Feed::Channels(Reader::new(inbox, ports))),
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
