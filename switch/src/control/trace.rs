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
use fdb::gossip::identity::NodeId;

use self::resolve::{Destination, NotAsked, Resolved};
use super::Control;
use super::devices::Devices;
use super::members::Gossip;
use super::ports::State as PortState;
use super::protocol::{ErrorReply, Reply, TraceAsk};
use super::requests::no_such;
use crate::path::{Load, Outgoing, Received, Sort};
use crate::topology::PeerView;
use crate::trace::dry::Dry;
use crate::trace::wire::{Told, ToldPort, Verdict, Word};
use crate::trace::{
    Fault, FrameFacts, Hop, Inbound, Leg, Marked, Outbound, Outcome, PeerFacts, Silence, Stage, StageName,
    State, Story, silent,
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
    /// When the search for the destination began, by the clock that measures.
    since: Instant,
    /// Without what other nodes tell.
    story: Story,
    /// Whether it is still looked for the destination.
    is_searching: bool,
    /// How many nodes may have the destination, and are not asked because there are too many.
    left_out: usize,
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
    /// Who passes the question on to it.
    via: Option<NodeId>,
    /// Octets of the outer IP packet that has the frame in it; 0 = the question has no more than it needs.
    size: u16,
    /// How often the letter was sent.
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
    /// One that a letter asks.
    fn new(gossip: &Gossip, letter: Outgoing) -> Self {
        let (node, size) = (letter.to, letter.size);
        Self { letter: Some(letter), ..Self::on_the_way(gossip, node, size) }
    }

    /// One that passes the letter on.
    fn on_the_way(gossip: &Gossip, node: NodeId, size: u16) -> Self {
        let info = gossip.members.get(&node).and_then(|member| member.info.as_ref());
        let version = info.map(|info| info.version.clone());
        let name = gossip.name_of(node);
        Self { node, name, version, letter: None, via: None, size, times: 0, answer: None }
    }

    /// What it tells of the frame.
    fn told(&self) -> Option<&Told> {
        match &self.answer.as_ref()?.word {
            Word::ToldFrame(_, told) => Some(told),
            _ => None,
        }
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
            waited_us: self.told().and_then(|told| told.times.as_ref()).map(|times| micros(times.waited)),
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
        match asked.told() {
            Some(told) => {
                let there = Inbound { node: &asked.name, from: node, network, told }.explain();
                self.crossed(asked).into_iter().chain(there).collect()
            }
            None if finished && asked.answer.is_none() => {
                let (version, seconds) = (asked.version.as_deref(), PATIENCE.as_secs());
                let Asked { name, size, .. } = asked;
                let times = self.times_of(asked);
                let silence =
                    Silence { node: name, version, size: *size, asked: times, seconds, live: *live };
                vec![silent(node, &silence)]
            }
            None => Vec::new(),
        }
    }

    /// How often a node was asked; one on the way as often as those behind it.
    fn times_of(&self, asked: &Asked) -> u8 {
        let behind = self.asked.iter().filter(|other| other.via == Some(asked.node));
        behind.map(|other| other.times).fold(asked.times, u8::max)
    }

    /// The underlay on the way of a frame that was sent, from the node before.
    fn crossed(&self, asked: &Asked) -> Option<Stage> {
        let all = asked.answer.as_ref().filter(|_| self.story.live)?.round_trip;
        let via = asked.via.and_then(|via| self.asked.iter().find(|other| other.node == via));
        let before = via.and_then(|via| via.answer.as_ref()).map_or(Duration::ZERO, |first| first.round_trip);
        let leg = Leg {
            from: via.map_or(&self.story.node, |via| &via.name),
            to: &asked.name,
            size: asked.size,
            there_and_back: all.saturating_sub(before),
            is_passed_on: via.is_some(),
        };
        Some(leg.crossed())
    }

    /// Whether the frame, or a copy of it, gets to a port or to somebody who cannot be asked.
    fn arrives_somewhere(&self) -> bool {
        let ends = |stage: &Stage| {
            stage.state == State::Ok && matches!(stage.stage, StageName::Deliver | StageName::Underlay)
        };
        let delivered = |asked: &Asked| asked.told().is_some_and(|told| told.verdict == Verdict::Delivered);
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
        let since = self.devices.clock();
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
        let mut trace = Trace {
            ask,
            begun: now,
            since,
            story,
            is_searching: false,
            left_out: 0,
            is_flooded: false,
            asked_at: now,
            asked: Vec::new(),
        };
        self.set_out(&mut trace, resolved, now);
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
                if let Some(told) = self.would_receive(letter, (vni, frame.octets()), None, now) {
                    self.answer(letter, question, &Word::ToldFrame(id, told));
                }
            }
            (Word::AskLive(id, vni), Sort::Question(question)) => {
                let Some(frame) = letter.load.as_ref().map(Load::frame) else { return };
                let waited = now.saturating_duration_since(question.arrived);
                if let Some(told) = self.would_receive(letter, (vni, frame), Some(waited), now) {
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

    /// A letter that was posted did not leave. Its node is asked again with the others.
    pub(super) fn letter_not_sent(&mut self, letter: &Outgoing) {
        let Some(word) = Word::decode(letter.content.octets()) else { return };
        let (Word::AskFrame(id, ..) | Word::AskLive(id, _) | Word::AskPort(id, ..)) = word else { return };
        let Some(trace) = self.traces.open.get_mut(&id) else { return };
        // One of the search before says nothing of the frame.
        if trace.is_searching == matches!(word, Word::AskPort(..))
            && let Some(asked) = trace.asked.iter_mut().find(|asked| asked.node == letter.to)
        {
            asked.times = asked.times.saturating_sub(1);
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
        let silent = asked.iter().filter(|asked| asked.answer.is_none());
        let (not_sent, silent): (Vec<&Asked>, Vec<_>) = silent.partition(|asked| asked.times == 0);
        let not_asked = NotAsked { of: asked.len() + trace.left_out, nodes: not_sent.len() + trace.left_out };
        let silent: Vec<String> = silent.into_iter().map(|asked| asked.name.clone()).collect();
        let told = asked.into_iter().filter_map(|asked| match asked.answer?.word {
            Word::ToldPort(_, told) => Some((asked.name, told)),
            _ => None,
        });
        let told: Vec<(String, ToldPort)> = told.collect();
        let resolved = self.found(&trace, told, silent, not_asked);
        self.set_out(&mut trace, resolved, now);
        self.traces.open.insert(id, trace);
    }

    /// Goes on with what the destination has turned out to be.
    fn set_out(&mut self, trace: &mut Trace, resolved: Resolved, now: Instant) {
        let took = trace.ask.live.then(|| self.devices.clock().saturating_duration_since(trace.since));
        let timed = |stage: Stage| took.map_or(stage.clone(), |took| stage.within(took));
        match resolved {
            Resolved::At(destination) => {
                trace.story.stages.push(timed(destination.stage.clone()));
                self.run(trace, &destination, now);
            }
            Resolved::Wrong(stage) => trace.story.stages.push(timed(*stage)),
            Resolved::Elsewhere(nodes, name) => self.search(trace, &nodes, name, now),
        }
    }

    /// Asks nodes for a port of this name.
    fn search(&mut self, trace: &mut Trace, nodes: &[NodeId], name: String, now: Instant) {
        let Some(gossip) = &self.gossip else { return };
        let Some(content) = Word::AskPort(trace.story.id, trace.story.vni, name).encode() else { return };
        let letter = |to: &NodeId| Outgoing { to: *to, flow: 0, size: 0, answers: None, content, load: None };
        let asked = nodes.iter().take(MAX_SEARCHED).map(|node| Asked::new(gossip, letter(node)));
        trace.asked = asked.collect();
        trace.left_out = nodes.len() - trace.asked.len();
        (trace.is_searching, trace.asked_at) = (true, now);
        post_all(&mut self.devices, &mut trace.asked);
    }

    /// Runs the frame through the stages of this node, and asks those that it goes to.
    fn run(&mut self, trace: &mut Trace, to: &Destination, now: Instant) {
        let node = trace.story.node.clone();
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
        let (ran, took) = dry.send(port, octets.clone(), &|| self.devices.clock());
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
            took: trace.ask.live.then_some(&took),
            source,
            target,
            peers: &facts,
        };
        trace.story.stages.extend(outbound.explain());
        trace.is_flooded = ran.delivered.len() + facts.len() > 1;
        let flow = flow::hash(&octets, &Layers::of(&octets));
        for (place, (peer, message)) in peers.iter().enumerate() {
            if place >= MAX_ASKED {
                let left = peers.len() - MAX_ASKED;
                let text = format!("{left} more peers get a copy; they are not asked");
                trace.story.stages.push(Stage::passed(&node, StageName::Underlay, text));
                break;
            }
            let view = topology.peer(*peer);
            let id = trace.story.id;
            let marked = Marked::new(view, message).filter(|_| trace.ask.live);
            let word = marked.as_ref().map_or(Word::AskFrame(id, vni, frame), |_| Word::AskLive(id, vni));
            self.ask_peer(trace, view, (&word, flow), marked);
        }
        trace.asked_at = now;
        post_all(&mut self.devices, &mut trace.asked);
    }

    /// Notes that a peer is to be asked, and who passes frames on to it.
    fn ask_peer(
        &self,
        trace: &mut Trace,
        view: &PeerView,
        (word, flow): (&Word, u32),
        marked: Option<Marked>,
    ) {
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
        let Some(content) = word.encode() else { return };
        let via = view.via.and(member.found.as_ref()).and_then(|found| found.via).map(|via| via.node);
        let size = marked.as_ref().map_or(0, |marked| marked.size);
        trace.asked.extend(via.map(|via| Asked::on_the_way(gossip, via, size)));
        let load = marked.map(|marked| marked.load);
        let letter = Outgoing { to: node, flow, size, answers: None, content, load };
        trace.asked.push(Asked { via, ..Asked::new(gossip, letter) });
    }
}

/// Sends every question that has no answer yet.
fn post_all<D: Devices>(devices: &mut D, asked: &mut [Asked]) {
    for asked in asked.iter_mut().filter(|asked| asked.answer.is_none()) {
        if let Some(letter) = &asked.letter {
            devices.post(letter.clone());
            asked.times = asked.times.saturating_add(1);
        }
    }
}
