//! The way of a frame: what happens to it here, and what other nodes say would happen there.
//!
//! Nobody waits for anybody: a request begins a story, letters go to the nodes on the way, and another request tells how
//! far it is. A node that does not answer is asked again with each tick, for two seconds.
//!
//! | module | what it does |
//! |---|---|
//! | `resolve` | which MAC address the destination has, and what the frame looks like |
//! | `facts` | what this node knows of addresses and peers |
//! | `asked` | what other nodes ask this one |

mod asked;
mod facts;
mod resolve;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use encap::flow;
use encap::inet::Layers;
use encap::tunnel::{IpVersion, UDP_HEADER_LEN};
use fdb::gossip::identity::NodeId;

use self::resolve::{Destination, Resolved};
use super::Control;
use super::devices::Devices;
use super::members::Gossip;
use super::ports::State as PortState;
use super::protocol::{ErrorReply, Reply, TraceAsk};
use super::requests::no_such;
use crate::path::{Content, Outgoing, Received, Sort};
use crate::topology::{PeerIndex, Topology};
use crate::trace::dry::Dry;
use crate::trace::frame::FrameSpec;
use crate::trace::wire::{ToldPort, Verdict, Word};
use crate::trace::{
    Fault, FrameFacts, Hop, Inbound, Outbound, Outcome, PeerFacts, Silence, Stage, StageName, State, Story,
    silent,
};

/// Stories that are open at a time.
const MAX_OPEN: usize = 32;
/// Nodes that are asked about one frame: a flooded one may be for all.
const MAX_ASKED: usize = 8;
/// Nodes that are asked whether they have a port of a name.
const MAX_SEARCHED: usize = 64;
/// How long nodes are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after it was asked a node is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(400);
/// How long a story can be asked for.
const KEPT: Duration = Duration::from_secs(10);

/// The stories that are open.
#[derive(Default)]
pub(super) struct Traces {
    open: BTreeMap<u32, Trace>,
    last: u32,
}

/// One story, and who is still to tell of it.
struct Trace {
    ask: TraceAsk,
    begun: Instant,
    /// Without what other nodes tell.
    story: Story,
    /// Whether it is still looked for the destination.
    is_searching: bool,
    /// Whether the frame goes to several places.
    is_flooded: bool,
    asked_at: Instant,
    asked: Vec<Asked>,
}

/// A node that is asked.
struct Asked {
    node: NodeId,
    name: String,
    version: Option<String>,
    /// What asks it; `None` = it hears the question that it passes on to the next.
    letter: Option<Outgoing>,
    /// Octets of the outer IP packet of the frame; 0 = the question has no more than it needs.
    size: u16,
    times: u8,
    answer: Option<Answer>,
}

struct Answer {
    word: Word,
    round_trip: Duration,
    inside: Duration,
}

impl Traces {
    /// A number for one more. The oldest that is finished goes, where there are too many.
    fn begin(&mut self, now: Instant) -> Result<u32, ErrorReply> {
        if self.open.len() >= MAX_OPEN {
            let oldest = self.open.iter().filter(|(_, trace)| trace.is_over(now)).map(|(id, _)| *id).next();
            let Some(oldest) = oldest else {
                return Err(ErrorReply::failed(format!(
                    "{MAX_OPEN} traces are under way already: try again in {} s",
                    PATIENCE.as_secs()
                )));
            };
            self.open.remove(&oldest);
        }
        self.last = self.last.wrapping_add(1);
        Ok(self.last)
    }
}

impl Asked {
    /// One that a letter of so many octets asks, 0 = no more than it needs.
    fn new(gossip: &Gossip, node: NodeId, content: Content, (flow, size): (u32, u16)) -> Self {
        let letter = Outgoing { to: node, flow, size, answers: None, content };
        Self { letter: Some(letter), ..Self::on_the_way(gossip, node, size) }
    }

    /// One that passes the letter on.
    fn on_the_way(gossip: &Gossip, node: NodeId, size: u16) -> Self {
        let info = gossip.members.get(&node).and_then(|member| member.info.as_ref());
        let version = info.map(|info| info.version.clone());
        Self { node, name: gossip.name_of(node), version, letter: None, size, times: 0, answer: None }
    }

    fn hop(&self) -> Hop {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let answer = self.answer.as_ref();
        Hop {
            node: self.name.clone(),
            size: self.size,
            asked: self.times,
            answered: answer.is_some(),
            round_trip_us: answer.map(|answer| micros(answer.round_trip)),
            inside_us: answer.map(|answer| micros(answer.inside)),
        }
    }
}

impl Trace {
    /// Whether all have answered, or are not waited for any more.
    fn has_heard(&self, now: Instant) -> bool {
        let late = now.saturating_duration_since(self.asked_at) >= PATIENCE;
        late || self.asked.iter().all(|asked| asked.answer.is_some())
    }

    fn is_over(&self, now: Instant) -> bool {
        !self.is_searching && self.has_heard(now)
    }

    /// The story as far as it is known.
    fn story(&self, now: Instant) -> Story {
        let mut story = Story { finished: self.is_over(now), ..self.story.clone() };
        if !self.is_searching {
            let told = self.asked.iter().flat_map(|asked| self.told(asked, story.finished));
            story.stages.extend(told);
        }
        if self.is_flooded && self.arrives_somewhere() {
            let elsewhere = |stage: &&mut Stage| stage.node != self.story.node || stage.peer.is_some();
            let lost = story.stages.iter_mut().filter(elsewhere).filter(|stage| stage.state == State::Failed);
            lost.for_each(|stage| stage.state = State::Degraded);
        }
        story.nodes = self.asked.iter().map(Asked::hop).collect();
        story.conclude();
        story
    }

    fn told(&self, asked: &Asked, finished: bool) -> Vec<Stage> {
        let Story { node, network, live, .. } = &self.story;
        match asked.answer.as_ref().map(|answer| &answer.word) {
            Some(Word::ToldFrame(_, told)) => {
                Inbound { node: &asked.name, from: node, network, told }.explain()
            }
            Some(_) => Vec::new(),
            None if finished => {
                let (version, seconds) = (asked.version.as_deref(), PATIENCE.as_secs());
                let Asked { name, size, .. } = asked;
                let times = self.asked.iter().map(|asked| asked.times).max().unwrap_or(0);
                let silence =
                    Silence { node: name, version, size: *size, asked: times, seconds, live: *live };
                vec![silent(node, &silence)]
            }
            None => Vec::new(),
        }
    }

    /// Whether the frame, or a copy of it, gets to a port or to somebody who cannot be asked.
    fn arrives_somewhere(&self) -> bool {
        let ends = |stage: &Stage| {
            stage.state == State::Ok && matches!(stage.stage, StageName::Deliver | StageName::Underlay)
        };
        let delivered = |asked: &Asked| {
            matches!(
                asked.answer.as_ref().map(|answer| &answer.word),
                Some(Word::ToldFrame(_, told)) if told.verdict == Verdict::Delivered
            )
        };
        self.story.stages.iter().any(ends) || self.asked.iter().any(delivered)
    }
}

impl<D: Devices> Control<D> {
    /// Begins a story.
    pub(super) fn trace(&mut self, ask: TraceAsk, now: Instant) -> Result<Reply, ErrorReply> {
        let Some(port) = self.ports.get(&ask.from) else {
            let names = self.ports.keys().map(String::as_str);
            return Err(no_such("port", &ask.from, names, "weft port list"));
        };
        let network = self.network(&port.config.network)?;
        let (network, vni) = (network.name.clone(), network.vni);
        let resolved = self.resolve(&ask, vni)?;
        let id = self.traces.begin(now)?;
        let story = Story {
            id,
            node: self.config.node.name.clone(),
            from: ask.from.clone(),
            to: ask.to.clone(),
            network,
            vni,
            frame: None,
            live: ask.live,
            finished: false,
            outcome: Outcome::Arrives,
            fault: None,
            stages: Vec::new(),
            nodes: Vec::new(),
        };
        let (asked_at, asked) = (now, Vec::new());
        let mut trace =
            Trace { ask, begun: now, story, is_searching: false, is_flooded: false, asked_at, asked };
        match resolved {
            Resolved::At(destination) => self.run(&mut trace, &destination, now),
            Resolved::Wrong(stage) => trace.story.stages.push(*stage),
            Resolved::Elsewhere(nodes, name) => self.search(&mut trace, &nodes, name, now),
        }
        let story = trace.story(now);
        self.traces.open.insert(id, trace);
        Ok(Reply::Trace(Box::new(story)))
    }

    /// How a story goes on.
    pub(super) fn trace_show(&mut self, id: u32, now: Instant) -> Result<Reply, ErrorReply> {
        self.go_on(id, now);
        let trace = self.traces.open.get(&id).ok_or_else(|| {
            let kept = KEPT.as_secs();
            ErrorReply::failed(format!("there is no trace {id}: each is kept for {kept} s; ask anew"))
        })?;
        Ok(Reply::Trace(Box::new(trace.story(now))))
    }

    /// Asks again who did not answer, and forgets what is old.
    pub(super) fn go_on_tracing(&mut self, now: Instant) {
        self.traces.open.retain(|_, trace| now.saturating_duration_since(trace.begun) < KEPT);
        for id in self.traces.open.keys().copied().collect::<Vec<_>>() {
            self.go_on(id, now);
            let Some(trace) = self.traces.open.get_mut(&id).filter(|trace| !trace.has_heard(now)) else {
                continue;
            };
            if now.saturating_duration_since(trace.asked_at) >= ASK_AGAIN {
                post_all(&mut self.devices, &mut trace.asked);
            }
        }
    }

    /// A letter of another node arrived.
    pub(super) fn letter(&mut self, letter: &Received, now: Instant) {
        let Some(word) = Word::decode(letter.content.octets()) else { return };
        match (word, letter.sort) {
            (Word::AskFrame(id, vni, frame), Sort::Question(question)) => {
                if let Some(told) = self.would_receive(letter, vni, &frame, now) {
                    self.answer(letter, question, &Word::ToldFrame(id, told));
                }
            }
            (Word::AskPort(id, _, name), Sort::Question(question)) => {
                self.answer(letter, question, &Word::ToldPort(id, self.told_port(&name)));
            }
            (word, Sort::Answer { round_trip, inside }) => {
                let (Word::ToldFrame(id, _) | Word::ToldPort(id, _)) = word else { return };
                let Some(trace) = self.traces.open.get_mut(&id) else { return };
                // An answer to what was asked before comes too late.
                if trace.is_searching == matches!(word, Word::ToldPort(..))
                    && let Some(asked) = trace.asked.iter_mut().find(|asked| asked.node == letter.from)
                {
                    asked.answer.get_or_insert(Answer { word, round_trip, inside });
                }
                self.go_on(id, now);
            }
            _ => {}
        }
    }

    /// Ends the search for the destination when all have answered, and tells the rest.
    fn go_on(&mut self, id: u32, now: Instant) {
        let is_found = |trace: &&mut Trace| trace.is_searching && trace.has_heard(now);
        if self.traces.open.get_mut(&id).filter(is_found).is_none() {
            return;
        }
        let Some(mut trace) = self.traces.open.remove(&id) else { return };
        trace.is_searching = false;
        let asked = std::mem::take(&mut trace.asked);
        let silent = asked.iter().filter(|asked| asked.answer.is_none()).map(|asked| asked.name.clone());
        let silent: Vec<String> = silent.collect();
        let told = asked.into_iter().filter_map(|asked| match asked.answer?.word {
            Word::ToldPort(_, told) => Some((asked.name, told)),
            _ => None,
        });
        let told: Vec<(String, ToldPort)> = told.collect();
        match self.found(&trace, told, silent) {
            Resolved::At(destination) => self.run(&mut trace, &destination, now),
            Resolved::Wrong(stage) => trace.story.stages.push(*stage),
            Resolved::Elsewhere(..) => {}
        }
        self.traces.open.insert(id, trace);
    }

    /// Asks nodes for a port of this name.
    fn search(&mut self, trace: &mut Trace, nodes: &[NodeId], name: String, now: Instant) {
        let Some(gossip) = &self.gossip else { return };
        let Some(content) = Word::AskPort(trace.story.id, trace.story.vni, name).encode() else { return };
        let asked = nodes.iter().take(MAX_SEARCHED).map(|node| Asked::new(gossip, *node, content, (0, 0)));
        trace.asked = asked.collect();
        (trace.is_searching, trace.asked_at) = (true, now);
        post_all(&mut self.devices, &mut trace.asked);
    }

    /// Runs the frame through the stages of this node, and asks those that it goes to.
    fn run(&mut self, trace: &mut Trace, to: &Destination, now: Instant) {
        let node = trace.story.node.clone();
        trace.story.stages.push(to.stage.clone());
        let Some(port) = self.ports.get(&trace.ask.from) else { return };
        let PortState::Up { id: port, open, .. } = &port.state else {
            let why = port.reason().unwrap_or_default();
            let what = format!("port {} is not up: {why}", trace.ask.from);
            let fault = Fault::new("port_down", &node, what, "`weft port list` says what it waits for");
            return trace.story.stages.push(Stage::wrong(&node, StageName::Admit, State::Failed, fault));
        };
        let (port, mac) = (*port, open.mac);
        let frame = self.spec(&trace.ask, (port, mac), trace.story.vni, to);
        trace.story.frame = Some(FrameFacts::from(&frame));
        let (topology, octets) = (self.trial_topology(), frame.octets());
        let source_ports = self.config.underlay.source_ports;
        let dry = Dry { topology: &topology, shared: self.table.shared(), source_ports, now };
        let ran = dry.send(port, octets.clone());
        let vni = trace.story.vni;
        let [source, target] = [frame.src, frame.dst].map(|mac| self.entry_facts(vni, mac, port, now));
        let views = if ran.sent.is_empty() { BTreeMap::new() } else { self.devices.path_views() };
        let peers = ran.peers(&topology);
        let facts: Vec<PeerFacts> = peers
            .iter()
            .map(|(peer, message)| self.way_facts(topology.peer(*peer), message.route, &views))
            .collect();
        let (source, target) = (source.as_ref(), target.as_ref());
        let outbound = Outbound {
            node: &node,
            topology: &topology,
            port,
            frame: &frame,
            ran: &ran,
            source,
            target,
            peers: &facts,
        };
        trace.story.stages.extend(outbound.explain());
        trace.is_flooded = ran.delivered.len() + facts.len() > 1;
        let flow = flow::hash(&octets, &Layers::of(&octets));
        for (place, (peer, message)) in peers.iter().enumerate() {
            let to = message.route.to;
            let outer = IpVersion::from(to.ip()).header_len() + UDP_HEADER_LEN + message.size;
            let size = if trace.ask.live { u16::try_from(outer).unwrap_or(u16::MAX) } else { 0 };
            if place >= MAX_ASKED {
                let left = peers.len() - MAX_ASKED;
                let text = format!("{left} more peers get a copy; they are not asked");
                trace.story.stages.push(Stage::passed(&node, StageName::Underlay, text));
                break;
            }
            self.ask_peer(trace, &topology, *peer, (&frame, flow, size));
        }
        trace.asked_at = now;
        post_all(&mut self.devices, &mut trace.asked);
    }

    /// Notes that a peer is to be asked, and who passes frames on to it.
    fn ask_peer(
        &self,
        trace: &mut Trace,
        topology: &Topology,
        peer: PeerIndex,
        (frame, flow, size): (&FrameSpec, u32, u16),
    ) {
        let view = topology.peer(peer);
        let member = self.gossip.as_ref().filter(|_| view.member);
        let member = member.and_then(|gossip| Some((gossip, gossip.by_ip(view.vtep.ip())?)));
        let Some((gossip, (node, member))) = member else {
            let text = format!(
                "{} is a static peer, which cannot be asked: what it does with the frame is not known",
                view.name
            );
            let stage = Stage::passed(&trace.story.node, StageName::Underlay, text);
            return trace.story.stages.push(stage);
        };
        let Some(content) = Word::AskFrame(trace.story.id, trace.story.vni, *frame).encode() else { return };
        let via = view.via.and(member.found.as_ref()).and_then(|found| found.via);
        trace.asked.extend(via.map(|via| Asked::on_the_way(gossip, via.node, size)));
        trace.asked.push(Asked::new(gossip, node, content, (flow, size)));
    }
}

/// Sends every question that has no answer yet.
fn post_all<D: Devices>(devices: &mut D, asked: &mut [Asked]) {
    for asked in asked.iter_mut().filter(|asked| asked.answer.is_none()) {
        if let Some(letter) = asked.letter {
            devices.post(letter);
            asked.times = asked.times.saturating_add(1);
        }
    }
}
