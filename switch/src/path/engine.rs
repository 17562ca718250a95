//! The engine: targets, the seal, what is due when, and what it may cost.

mod letters;
mod targets;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use encap::VtepAddr;
use encap::tunnel::IpVersion;
use fdb::gossip::identity::NodeId;
use fdb::gossip::seal::{Gate, Kind, Mode, Opened, Process, Refusal};
use rand_core::{CryptoRng, Rng};

use super::budget::{ACTIVE_RESERVE, Bucket, NODE_BURST, NODE_RATE, NODE_RESERVE, Stretch};
use super::message::{self, Answer, Ask, Body, Message, MessageError, Probe, Reply};
use super::peer::{Peer, Tempo, Want, least_mtu};
use super::relay::{ASKED, Offer, Via};
use super::{Arrival, Config, Dropped, Moment, Output, View, Way};

/// Targets at most.
pub const MAX_TARGETS: usize = 4_096;

/// Datagrams a second that are opened, and at once: those of all targets.
const OPENED_RATE: u32 = 20_000;

/// How often peers with and without traffic are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// What one peer sends in one go at most.
const SENDS_MAX: usize = 8;

/// The paths of one node, without I/O.
///
/// After every call take [`Engine::poll_output`] until it is empty, then ask [`Engine::poll_timeout`].
///
/// # Examples
///
/// ```
/// use std::time::Instant;
///
/// use encap::{Format, Mtu};
/// use fdb::gossip::identity::{BootId, NodeId};
/// use fdb::gossip::seal::{Mode, Process};
/// use fdb::sim::Dice;
/// use weft::path::{Config, Engine, Health, Moment, Output, Site, Target};
///
/// # #[allow(clippy::disallowed_methods)]
/// let now = Moment { at: Instant::now(), unix_ms: 0 };
/// let me = Process { node: NodeId::new(1), boot: BootId::new(11) };
/// let mut engine = Engine::new(me, Mode::Insecure, Config::default(), now.at);
/// let [vxlan, geneve] = ["10.0.0.2:4789", "10.0.0.2:6081"].map(|text| text.parse::<std::net::SocketAddr>());
/// let site = Site { vxlan: vxlan?.into(), geneve: geneve?.into(), link_mtu: Mtu::new(1500)? };
/// let (node, boot) = (NodeId::new(2), BootId::new(22));
/// let peer = Target { node, boot, site, spare: None, format: Format::Vxlan };
/// engine.set_targets(&[peer], now.at);
/// engine.handle_timeout(now, &mut Dice::new(1));
/// let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
/// assert!(outputs.iter().any(|output| matches!(output, Output::Path { path, .. } if path.health == Health::Up)));
/// assert!(outputs.iter().any(|output| matches!(output, Output::Send { to, .. } if *to == site.vxlan)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    me: Process,
    config: Config,
    gate: Gate,
    peers: BTreeMap<NodeId, Peer>,
    by_vtep: BTreeMap<VtepAddr, NodeId>,
    /// When to look at whom.
    agenda: BTreeSet<(Instant, NodeId)>,
    bucket: Bucket,
    opened: Bucket,
    stretch: Stretch,
    count_at: Instant,
    /// What letters count time from.
    begun: Instant,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// A node without targets. One process makes one engine: its seal counts from 0.
    #[must_use]
    pub fn new(me: Process, mode: Mode, config: Config, now: Instant) -> Self {
        Self {
            me,
            config: checked(config),
            gate: Gate::for_paths(me, mode),
            peers: BTreeMap::new(),
            by_vtep: BTreeMap::new(),
            agenda: BTreeSet::new(),
            bucket: Bucket::new(NODE_RATE, NODE_BURST, now),
            opened: Bucket::new(OPENED_RATE, OPENED_RATE, now),
            stretch: Stretch::of(0, 0),
            count_at: now,
            begun: now,
            outputs: VecDeque::new(),
        }
    }

    // ---- what arrives ----

    /// Takes a sealed message that arrived at a data port.
    ///
    /// # Errors
    ///
    /// [`Dropped`] says why it was dropped; nothing is sent then.
    ///
    /// # Cost
    ///
    /// One decryption if the sender is a target, none if not.
    pub fn handle_datagram(
        &mut self,
        arrival: Arrival<'_>,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Dropped> {
        // Whoever floods in the name of one is not to make all others mute.
        let sender = self.gate.sender(arrival.sealed)?;
        let claimed = self.peers.get_mut(&sender.node).ok_or(Refusal::Stranger)?;
        if !claimed.may_be_opened(now.at) || !self.opened.take(1, 0.0, now.at) {
            return Err(Dropped::Rate);
        }
        let Opened::Message(opened) = self.gate.open(arrival.sealed, arrival.from, now.at, rng)? else {
            return Err(Refusal::Stranger.into());
        };
        let message = Message::decode(&opened.payload)?;
        if message.to != message::receiver(self.me.boot) {
            return Err(MessageError::NotForUs.into());
        }
        let node = opened.sender.node;
        let peer = self.peers.get_mut(&node).ok_or(Refusal::Stranger)?;
        if let Body::Probe(Probe { size, .. }) = message.body
            && usize::from(size) != arrival.size
        {
            return Err(Dropped::Size { arrived: arrival.size, said: size });
        }
        let way = peer.target.answerable(Way { family: arrival.from.ip().into(), format: arrival.format });
        peer.heard(message.counts, message.numbered, way, now.at);
        let handled = match message.body {
            Body::Probe(probe) => self.handle_probe(node, &probe, (arrival.at, way), now),
            Body::Reply(reply) => peer.replied(&reply, arrival.at, now).then_some(()).ok_or(Dropped::Stray),
            Body::Ask(ask) => self.handle_ask(node, ask, way, now),
            Body::Answer(answer) => {
                self.handle_answer(node, &answer, now);
                Ok(())
            }
            Body::Letter(letter) => self.handle_letter(node, letter, &arrival, now.at),
        };
        self.run(node, now, rng);
        handled
    }

    fn handle_probe(
        &mut self,
        node: NodeId,
        probe: &Probe,
        (arrived, way): (Instant, Way),
        now: Moment,
    ) -> Result<(), Dropped> {
        let Some(peer) = self.peers.get_mut(&node) else { return Err(Refusal::Stranger.into()) };
        peer.probed(probe.pace);
        let (pace, delay) = (peer.own_pace(&self.stretch, now.at), now.at.saturating_duration_since(arrived));
        let Probe { id, size, .. } = *probe;
        let body = Body::Reply(Reply { id, size, pace, wall_ms: now.unix_ms, delay });
        let source = peer.answer_by(probe.source % self.config.source_ports);
        self.answer(node, body, way, source, now)
    }

    fn handle_ask(&mut self, node: NodeId, ask: Ask, way: Way, now: Moment) -> Result<(), Dropped> {
        let Ask { round, about } = ask;
        let asker = self.peers.get(&node).map(Peer::outer);
        let known = self.peers.get_mut(&about).filter(|_| self.config.relay);
        let answer = known.map(|peer| {
            // Frames will come this way: from now on it is probed as if they did.
            peer.traffic(now.at);
            // What is left behind the header of the way there must be left behind that of the way here.
            let room = usize::from(peer.mtu().get()).saturating_sub(peer.outer().header_len());
            let here = asker.map_or(0, IpVersion::header_len);
            let mtu = u16::try_from(room + here).unwrap_or(u16::MAX);
            let round_trip = peer.round_trip().unwrap_or_default();
            Answer { round, about, up: peer.is_up(), mtu, round_trip }
        });
        let unknown = Answer { round, about, up: false, mtu: 0, round_trip: Duration::ZERO };
        let answered = self.answer(node, Body::Answer(answer.unwrap_or(unknown)), way, 0, now);
        self.plan(about, now.at);
        answered
    }

    /// Sends an answer, if there is something left for it.
    fn answer(
        &mut self,
        node: NodeId,
        body: Body,
        way: Way,
        source: u16,
        now: Moment,
    ) -> Result<(), Dropped> {
        let Some(peer) = self.peers.get_mut(&node) else { return Err(Refusal::Stranger.into()) };
        let size = match body {
            Body::Ask(_) | Body::Answer(_) => message::ask_packet(way.family, way.format),
            Body::Letter(_) => message::letter_packet(way.family, way.format),
            Body::Probe(_) | Body::Reply(_) => message::small_packet(way.family, way.format).into(),
        };
        if !peer.may_answer(now.at) || !self.bucket.take(size, 0.0, now.at) {
            return Err(Dropped::Rate);
        }
        peer.charge(size, now.at);
        let mut post = Post { gate: &mut self.gate, outputs: &mut self.outputs };
        post.send(peer, body, Packet { way, source, size }, now.at);
        Ok(())
    }

    fn handle_answer(&mut self, from: NodeId, answer: &Answer, now: Moment) {
        let Some(relay) = self.peers.get(&from) else { return };
        let (leg, first) = (relay.mtu(), relay.round_trip().unwrap_or_default());
        // Less than any path takes is said only by who wants the frames to be lost.
        let up = answer.up && relay.is_up() && answer.mtu >= least_mtu(relay.outer());
        let Some(peer) = self.peers.get_mut(&answer.about) else { return };
        match encap::Mtu::new(answer.mtu.into()) {
            Ok(mtu) if up => {
                let via = Via { node: from, mtu: mtu.min(leg) };
                peer.relaying.offered(answer.round, Offer { via, round_trip: first + answer.round_trip });
            }
            _ => peer.relaying.refused(from, now.at),
        }
        self.settle(answer.about, now.at);
    }

    // ---- time ----

    /// When to call [`Engine::handle_timeout`] next; `None` = there are no targets.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.agenda.first().map(|(at, _)| *at);
        let count = (!self.peers.is_empty()).then_some(self.count_at);
        first.into_iter().chain(count).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Moment, rng: &mut impl Rng) {
        if self.count_at <= now.at {
            self.count_at = now.at + COUNT_EVERY;
            self.peers.values_mut().for_each(Peer::count_probes);
            self.count(now.at);
        }
        while let Some((at, node)) = self.agenda.first().copied()
            && at <= now.at
        {
            self.run(node, now, rng);
            // Whoever is due again at once waits for the next call.
            if let Some(peer) = self.peers.get_mut(&node)
                && peer.wake <= now.at
            {
                self.agenda.remove(&(peer.wake, node));
                peer.wake = now.at + Duration::from_millis(1);
                self.agenda.insert((peer.wake, node));
            }
        }
    }

    /// Looks at one peer: what is lost, what is to be sent, what changed.
    fn run(&mut self, node: NodeId, now: Moment, rng: &mut impl Rng) {
        let tempo = Tempo { config: &self.config, stretch: self.stretch };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let was_dead = peer.is_dead();
        peer.expire(&self.config, now.at);
        let died = peer.is_dead() && !was_dead;
        let mut post = Post { gate: &mut self.gate, outputs: &mut self.outputs };
        for _ in 0..SENDS_MAX {
            let Some((want, cost)) = peer.want(&tempo, now.at) else { break };
            let reserve = NODE_RESERVE + if peer.is_active(now.at) { 0.0 } else { ACTIVE_RESERVE };
            if !self.bucket.take(cost, reserve, now.at) {
                peer.hold(self.bucket.ready_at(cost, reserve, now.at), rng);
                break;
            }
            post.probe(peer, want, &tempo, now, rng);
        }
        if peer.relaying.is_due(now.at) && self.config.relay {
            self.ask(node, now, rng);
        }
        if died {
            self.leave(node, now.at);
        }
        self.settle(node, now.at);
    }

    /// Asks others for the way to a peer: who relays now, who is nearest, and some by chance.
    fn ask(&mut self, about: NodeId, now: Moment, rng: &mut impl Rng) {
        let Some(peer) = self.peers.get(&about) else { return };
        let (via, active) = (peer.relaying.via().map(|via| via.node), peer.is_active(now.at));
        let able = |(node, peer): &(&NodeId, &Peer)| **node != about && peer.is_up();
        let mut others: Vec<(Duration, NodeId)> = self
            .peers
            .iter()
            .filter(able)
            .map(|(node, peer)| (peer.round_trip().unwrap_or(Duration::MAX), *node))
            .collect();
        others.sort_unstable_by_key(|(time, node)| (Some(*node) != via, *time, *node));
        let first = others.len().min(if via.is_some() { 2 } else { 1 });
        for place in first..others.len().min(ASKED) {
            let left = u32::try_from(others.len() - place).unwrap_or(u32::MAX);
            others.swap(place, place + (rng.next_u32() % left) as usize);
        }
        let nodes: Vec<NodeId> = others.iter().take(ASKED).map(|(_, node)| *node).collect();
        let Some(peer) = self.peers.get_mut(&about) else { return };
        let round = peer.relaying.ask(nodes.clone(), active, now.at);
        let mut post = Post { gate: &mut self.gate, outputs: &mut self.outputs };
        for node in nodes {
            let Some(peer) = self.peers.get_mut(&node) else { continue };
            let way = peer.way();
            let size = message::ask_packet(way.family, way.format);
            if self.bucket.take(size, 0.0, now.at) {
                peer.charge(size, now.at);
                let packet = Packet { way, source: 0, size };
                post.send(peer, Body::Ask(Ask { round, about }), packet, now.at);
            }
        }
    }

    /// A peer is dead: it relays nothing any more.
    fn leave(&mut self, relay: NodeId, now: Instant) {
        let used = |peer: &Peer| peer.relaying.via().is_some_and(|via| via.node == relay);
        let left: Vec<NodeId> =
            self.peers.iter().filter(|(_, peer)| used(peer)).map(|(node, _)| *node).collect();
        for node in left {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.relaying.refused(relay, now);
            }
            self.settle(node, now);
        }
    }

    /// Tells what changed of a path, and notes when to look again.
    fn settle(&mut self, node: NodeId, now: Instant) {
        let tempo = Tempo { config: &self.config, stretch: self.stretch };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if let Some(path) = peer.settle(&tempo, now) {
            self.outputs.push_back(Output::Path { node, path });
        }
        self.plan(node, now);
    }

    fn plan(&mut self, node: NodeId, now: Instant) {
        let tempo = Tempo { config: &self.config, stretch: self.stretch };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        self.agenda.remove(&(peer.wake, node));
        if let Some(wake) = peer.poll_timeout(&tempo, now) {
            peer.wake = wake;
            self.agenda.insert((wake, node));
        }
    }

    fn count(&mut self, now: Instant) {
        let active = self.peers.values().filter(|peer| peer.is_costly(now)).count();
        self.stretch = Stretch::of(active, self.peers.len() - active);
    }

    // ---- what there is ----

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// All that is known of the path to a target.
    #[must_use]
    pub fn view(&self, node: NodeId) -> Option<View> {
        self.peers.get(&node).map(Peer::view)
    }
}

/// How a message goes.
#[derive(Clone, Copy)]
struct Packet {
    way: Way,
    source: u16,
    size: usize,
}

/// What messages leave through.
struct Post<'a> {
    gate: &'a mut Gate,
    outputs: &'a mut VecDeque<Output>,
}

impl Post<'_> {
    fn probe(&mut self, peer: &mut Peer, want: Want, tempo: &Tempo<'_>, now: Moment, rng: &mut impl Rng) {
        for sent in peer.commit(want, tempo, now.at, rng) {
            let (way, source, size) = (sent.way, sent.source, sent.size);
            let pace = peer.own_pace(&tempo.stretch, now.at);
            let body = Body::Probe(Probe { id: sent.id, size, pace, wall_ms: now.unix_ms, source });
            self.send(peer, body, Packet { way, source, size: size.into() }, now.at);
        }
    }

    fn send(&mut self, peer: &mut Peer, body: Body, packet: Packet, now: Instant) {
        let Packet { way, source, size } = packet;
        let to = message::receiver(peer.target.boot);
        let mut message = Message { to, numbered: false, counts: message::Counts::default(), body };
        // What is lost by a dead source port is no share of anything.
        message.numbered = message.is_small() && way == peer.way() && !peer.is_dead_source(source);
        message.counts = peer.count(message.numbered, way, now);
        let mut sealed = Vec::new();
        // It is short, and counters last longer than any host.
        if self.gate.seal(Kind::Path, &message.encode(), &mut sealed).is_ok() {
            self.outputs.push_back(Output::Send {
                to: peer.target.vtep(way),
                format: way.format,
                source,
                sealed,
                size,
            });
        }
    }
}

/// What cannot work becomes what can.
fn checked(config: Config) -> Config {
    Config { source_ports: config.source_ports.clamp(1, 64), ..config }
}
