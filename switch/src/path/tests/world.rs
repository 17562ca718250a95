//! Engines and what is between them, in virtual time: everything from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use encap::tunnel::IpVersion;
use encap::{Format, Mtu, VtepAddr};
use fdb::gossip::identity::{BootId, NodeId};
use fdb::gossip::seal::{Key, Keyring, Mode, Process};
use fdb::sim::Dice;

use super::super::testing::start;
use super::super::*;

/// One direction between two nodes.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// What each source port takes; one for all if there is one.
    pub(super) mtus: Vec<u16>,
    /// In percent.
    pub(super) loss: f64,
    pub(super) latency: Duration,
    /// As much again at most, at random: what left later may arrive earlier.
    pub(super) jitter: Duration,
    pub(super) cut: bool,
    /// The MTU of IPv6, where it is another, and how much longer it takes.
    pub(super) mtu_v6: Option<u16>,
    pub(super) later_v6: Duration,
    /// Ways that do not pass.
    pub(super) filtered: Vec<Way>,
    /// Whether a router tells what it does not forward.
    pub(super) icmp: bool,
}

impl Wire {
    pub(super) fn good() -> Self {
        Self {
            mtus: vec![1500],
            loss: 0.0,
            latency: Duration::from_micros(200),
            jitter: Duration::ZERO,
            cut: false,
            mtu_v6: None,
            later_v6: Duration::ZERO,
            filtered: Vec::new(),
            icmp: false,
        }
    }

    /// Lets through what is neither of this format nor of this IP version.
    pub(super) fn filter(&mut self, format: Option<Format>, family: Option<IpVersion>) {
        let all = [IpVersion::V4, IpVersion::V6]
            .into_iter()
            .flat_map(|family| [Format::Vxlan, Format::Geneve].map(|format| Way { family, format }));
        self.filtered = all.filter(|way| Some(way.format) == format || Some(way.family) == family).collect();
    }

    fn mtu(&self, family: IpVersion, source: u16) -> usize {
        let v6 = self.mtu_v6.filter(|_| family == IpVersion::V6);
        v6.unwrap_or(self.mtus[usize::from(source) % self.mtus.len()]).into()
    }
}

pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) process: Process,
    pub(super) paths: BTreeMap<NodeId, Path>,
    /// How often what the data path knows changed.
    pub(super) changes: u64,
    /// Octets of outer IP packets that it sent.
    pub(super) octets: u64,
    pub(super) refused: BTreeMap<&'static str, u64>,
    pub(super) letters: Vec<Received>,
    config: Config,
}

/// What happens next: an arrival, or an ICMP error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival { from: usize, to: usize, way: Way, sealed: Vec<u8>, size: usize },
    TooBig { at: usize, about: VtepAddr, mtu: u16 },
}

pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Instant,
    pub(super) dice: Dice,
    pub(super) begin: Instant,
    /// Of a pair of nodes; all others are [`World::rest`].
    pub(super) wires: BTreeMap<(usize, usize), Wire>,
    pub(super) rest: Wire,
    /// Who sends frames to whom.
    pub(super) traffic: BTreeSet<(usize, usize)>,
    /// How far a node's wall clock is ahead.
    pub(super) ahead_ms: u64,
    pub(super) link: u16,
    pub(super) format: Format,
    traffic_at: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    order: u64,
    /// What nodes have addresses of, the one that is used first.
    families: Vec<IpVersion>,
}

pub(super) fn id(n: usize) -> NodeId {
    NodeId::new(n as u128 + 1)
}

pub(super) fn key(n: u8) -> Key {
    Key::new([n; 32])
}

impl World {
    /// Nodes that do not know each other yet.
    pub(super) fn of(seed: u64, count: usize, config: Config) -> Self {
        let begin = start();
        let mut world = Self {
            nodes: Vec::new(),
            now: begin,
            dice: Dice::new(seed),
            begin,
            wires: BTreeMap::new(),
            rest: Wire::good(),
            traffic: BTreeSet::new(),
            ahead_ms: 0,
            link: 1500,
            format: Format::Vxlan,
            traffic_at: begin,
            queue: BinaryHeap::new(),
            order: 0,
            families: vec![IpVersion::V4],
        };
        (0..count).for_each(|n| world.nodes.push(node(n, 1, config, Mode::Insecure, begin)));
        world
    }

    /// Nodes that all know each other.
    pub(super) fn new(seed: u64, count: usize) -> Self {
        let mut world = Self::of(seed, count, Config::default());
        world.meet();
        world
    }

    pub(super) fn over_ipv6(mut self) -> Self {
        self.families = vec![IpVersion::V6];
        self.meet();
        self
    }

    /// IPv4 is used if it works.
    pub(super) fn over_both(mut self) -> Self {
        self.families = vec![IpVersion::V4, IpVersion::V6];
        self.meet();
        self
    }

    /// Everybody is told of everybody.
    pub(super) fn meet(&mut self) {
        (0..self.nodes.len()).for_each(|n| self.tell(n));
    }

    /// A node is told of all others.
    pub(super) fn tell(&mut self, n: usize) {
        let targets: Vec<Target> = (0..self.nodes.len()).map(|n| self.target(n)).collect();
        assert_eq!(self.nodes[n].engine.set_targets(&targets, self.now), 0);
        self.collect(n);
    }

    pub(super) fn target(&self, n: usize) -> Target {
        let Process { node, boot } = self.nodes[n].process;
        let site = |family: &IpVersion| {
            let [vxlan, geneve] = [4789, 6081].map(|port| VtepAddr::new(ip(n, *family), port));
            Site { vxlan, geneve, link_mtu: Mtu::new(self.link.into()).unwrap() }
        };
        let mut sites = self.families.iter().map(site);
        Target { node, boot, site: sites.next().unwrap(), spare: sites.next(), format: self.format }
    }

    fn node_at(&self, at: IpAddr) -> usize {
        (0..self.nodes.len()).find(|n| ip(*n, at.into()) == at).expect("a node")
    }

    /// A new run of a node; nobody is told.
    pub(super) fn restart(&mut self, n: usize) {
        let Node { process, config, .. } = &self.nodes[n];
        let boot = process.boot.get() as u64 % 1_000 + 1;
        let mode = Mode::Insecure;
        self.nodes[n] = node(n, boot, *config, mode, self.now);
    }

    pub(super) fn wire(&mut self, from: usize, to: usize) -> &mut Wire {
        let rest = self.rest.clone();
        self.wires.entry((from, to)).or_insert(rest)
    }

    /// Changes both directions between two nodes.
    pub(super) fn between(&mut self, a: usize, b: usize, change: impl Fn(&mut Wire)) {
        change(self.wire(a, b));
        change(self.wire(b, a));
    }

    pub(super) fn talk(&mut self, a: usize, b: usize) {
        self.traffic.extend([(a, b), (b, a)]);
        self.traffic_at = self.now;
    }

    pub(super) fn path(&self, from: usize, to: usize) -> &Path {
        &self.nodes[from].paths[&id(to)]
    }

    pub(super) fn mtu(&self, from: usize, to: usize) -> u16 {
        self.path(from, to).mtu.get()
    }

    pub(super) fn view(&self, from: usize, to: usize) -> View {
        self.nodes[from].engine.view(id(to)).expect("a target")
    }

    pub(super) fn causes(&self, from: usize, to: usize) -> Vec<&'static str> {
        self.path(from, to).health.causes().iter().map(|since| since.cause.name()).collect()
    }

    // ---- time ----

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    pub(super) fn run_secs(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// How long it takes until something is so, at most `limit`.
    #[track_caller]
    pub(super) fn until(&mut self, limit: Duration, is_so: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.now;
        while !is_so(self) {
            assert!(self.step(begin + limit), "it is not so after {limit:?}");
        }
        self.now - begin
    }

    /// Does what is next, unless that is after the end.
    fn step(&mut self, end: Instant) -> bool {
        let event = self.queue.peek().map(|Reverse((at, ..))| *at);
        let timer =
            (0..self.nodes.len()).filter_map(|n| Some((self.nodes[n].engine.poll_timeout()?, n))).min();
        let traffic = (!self.traffic.is_empty()).then_some(self.traffic_at);
        let Some(at) = [event, timer.map(|(at, _)| at), traffic].into_iter().flatten().min() else {
            return false;
        };
        if at > end {
            return false;
        }
        self.now = self.now.max(at);
        if traffic == Some(at) {
            self.note_traffic();
        } else if event == Some(at) {
            self.handle_event();
        } else if let Some((_, n)) = timer {
            let moment = self.moment(n);
            self.nodes[n].engine.handle_timeout(moment, &mut self.dice);
            self.collect(n);
        }
        true
    }

    pub(super) fn moment(&self, n: usize) -> Moment {
        let elapsed = u64::try_from((self.now - self.begin).as_millis()).unwrap();
        Moment { at: self.now, unix_ms: 1_000_000 + elapsed + n as u64 * self.ahead_ms }
    }

    fn note_traffic(&mut self) {
        self.traffic_at = self.now + Duration::from_secs(1);
        for (from, to) in self.traffic.clone() {
            let now = self.now;
            self.nodes[from].engine.note_traffic(id(to), now);
        }
    }

    fn handle_event(&mut self) {
        let Some(Reverse((_, _, event))) = self.queue.pop() else { return };
        match event {
            Event::Arrival { from, to, way, sealed, size } => {
                self.arrive(from, to, way, &sealed, size);
            }
            Event::TooBig { at, about, mtu } => {
                let now = self.now;
                self.nodes[at].engine.handle_too_big(about, mtu, now);
                self.collect(at);
            }
        }
    }

    /// A datagram arrives at a node.
    pub(super) fn arrive(&mut self, from: usize, to: usize, way: Way, sealed: &[u8], size: usize) {
        let (from, format) = (SocketAddr::new(ip(from, way.family), 40_000), way.format);
        let (moment, at) = (self.moment(to), self.now);
        let arrival = Arrival { from, format, sealed, size, at };
        let node = &mut self.nodes[to];
        if let Err(why) = node.engine.handle_datagram(arrival, moment, &mut self.dice) {
            *node.refused.entry(why.name()).or_default() += 1;
        }
        self.collect(to);
    }

    /// Takes what an engine wants.
    pub(super) fn collect(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].engine.poll_output() {
            match output {
                Output::Path { node, path } => {
                    let entry = &mut self.nodes[n];
                    entry.changes += u64::from(entry.paths.insert(node, path).is_some());
                }
                Output::Send { to, format, source, sealed, size } => {
                    self.nodes[n].octets += size as u64;
                    assert!(size <= usize::from(self.link), "{size} octets do not leave");
                    self.transmit(n, to, format, source, (sealed, size));
                }
                Output::Letter(letter) => self.nodes[n].letters.push(*letter),
            }
        }
    }

    fn transmit(
        &mut self,
        from: usize,
        to: VtepAddr,
        format: Format,
        source: u16,
        datagram: (Vec<u8>, usize),
    ) {
        let at = self.node_at(to.ip());
        assert_eq!(to.port(), if format == Format::Vxlan { 4789 } else { 6081 });
        let wire = self.wires.get(&(from, at)).unwrap_or(&self.rest).clone();
        let (sealed, size) = datagram;
        let way = Way { family: to.ip().into(), format };
        if wire.cut || wire.filtered.contains(&way) || self.dice.percent(wire.loss) {
            return;
        }
        if size > wire.mtu(way.family, source) {
            if wire.icmp {
                let mtu = u16::try_from(wire.mtu(way.family, source)).unwrap();
                self.push(self.now + wire.latency, Event::TooBig { at: from, about: to, mtu });
            }
            return;
        }
        let jitter = self.dice.below(u64::try_from(wire.jitter.as_micros()).unwrap() + 1);
        let later = if way.family == IpVersion::V6 { wire.later_v6 } else { Duration::ZERO };
        let arrives = self.now + wire.latency + later + Duration::from_micros(jitter);
        self.push(arrives, Event::Arrival { from, to: at, way, sealed, size });
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, event)));
    }
}

fn ip(n: usize, family: IpVersion) -> IpAddr {
    let v4 = Ipv4Addr::from_bits(0x0a00_0001 + n as u32);
    if family == IpVersion::V6 { v4.to_ipv6_compatible().into() } else { v4.into() }
}

fn node(n: usize, boot: u64, config: Config, mode: Mode, now: Instant) -> Node {
    let process = Process { node: id(n), boot: BootId::new((n as u128 + 1) * 1_000 + u128::from(boot)) };
    Node {
        engine: Engine::new(process, mode, config, now),
        process,
        paths: BTreeMap::new(),
        changes: 0,
        octets: 0,
        refused: BTreeMap::new(),
        letters: Vec::new(),
        config,
    }
}

/// The keys of a cluster, the first of which seals.
pub(super) fn keys(keys: &[u8]) -> Mode {
    let mut ring = Keyring::new(key(keys[0]));
    keys[1..].iter().for_each(|n| ring.install(key(*n)).unwrap());
    Mode::Sealed(ring)
}
