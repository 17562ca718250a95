//! Nodes on a network in virtual time, with what a host and a network do to them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use fdb::gossip::identity::{BootId, Epoch, NodeId};
use fdb::gossip::members::{Config, MemberEvent, MemberId, MemberState, MemberView, Members, Output};
use fdb::gossip::seal::{MAX_PAYLOAD, OVERHEAD, Process};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// UDP and IPv4 around each datagram.
const OUTSIDE: usize = 8 + 20;

/// How often a node compares rosters with another one over a stream, without what is added at random.
const ROSTER_EVERY: Duration = Duration::from_secs(30);

enum Act {
    Deliver {
        from: SocketAddr,
        who: Process,
        to: usize,
        bytes: Vec<u8>,
    },
    Wake(usize),
    Roster(usize),
    /// A roster by stream, with a given node.
    Call(usize, usize),
    Resume(usize),
}

/// What a process that does not run finds afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Stopped: time has passed, and datagrams wait in its socket.
    Process,
    /// Its host was suspended: its clock stood still too, and datagrams are lost.
    Host,
}

struct Frozen {
    how: Stop,
    since: Instant,
    socket: Vec<(SocketAddr, Process, Vec<u8>)>,
}

pub(crate) struct Sim {
    start: Instant,
    pub(crate) now: Instant,
    pub(crate) rng: SmallRng,
    pub(crate) nodes: Vec<Option<Members>>,
    pub(crate) epochs: Vec<u64>,
    /// Which node it says it is: another number than its own for a clone.
    pub(crate) ids: Vec<usize>,
    frozen: Vec<Option<Frozen>>,
    /// How much its clock is behind.
    behind: Vec<Duration>,
    /// What happens, by time and number.
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    acts: BTreeMap<u64, Act>,
    count: u64,
    wakes: Vec<Option<Instant>>,
    pub(crate) loss: f64,
    /// How many of a hundred datagrams arrive twice.
    pub(crate) doubled: u32,
    /// Datagrams take 0.2 ms to this, so that they overtake each other.
    pub(crate) delay: Duration,
    /// Whether datagrams from one node to another pass.
    pub(crate) open: Box<dyn Fn(usize, usize) -> bool>,
    pub(crate) events: Vec<(Instant, usize, MemberEvent)>,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

impl Sim {
    pub(crate) fn new(nodes: usize, seed: u64, loss: f64) -> Self {
        #[allow(clippy::disallowed_methods)] // the only way to get one; it passes by hand afterwards
        let start = Instant::now();
        Self {
            start,
            now: start,
            rng: SmallRng::seed_from_u64(seed),
            nodes: (0..nodes).map(|_| None).collect(),
            epochs: vec![0; nodes],
            ids: (0..nodes).collect(),
            frozen: (0..nodes).map(|_| None).collect(),
            behind: vec![Duration::ZERO; nodes],
            queue: BinaryHeap::new(),
            acts: BTreeMap::new(),
            count: 0,
            wakes: vec![None; nodes],
            loss,
            doubled: 0,
            delay: MS * 5,
            open: Box::new(|_, _| true),
            events: Vec::new(),
            packets: 0,
            octets: 0,
        }
    }

    /// All nodes, started within a second, that know node 0; and time to meet.
    pub(crate) fn cluster(nodes: usize, seed: u64, loss: f64) -> Self {
        let mut sim = Self::new(nodes, seed, loss);
        for n in 0..nodes {
            sim.start_node(n);
            sim.run(SECOND / u32::try_from(nodes).expect("small"));
        }
        sim.until(60 * SECOND, |sim| sim.complete(0..nodes)).expect("the cluster meets within a minute");
        sim.run(10 * SECOND);
        sim.events.clear();
        sim
    }

    // ---- what is done to nodes ----

    pub(crate) fn start_node(&mut self, n: usize) {
        self.epochs[n] += 1;
        let (node, boot) = (node_id(self.ids[n]), BootId::new(self.rng.random()));
        let own = MemberId::new(addr(n), node, Epoch::new(self.epochs[n]), boot);
        let mut members = Members::new(Config::default(), own, self.now - self.behind[n], self.rng.random());
        members.set_seeds(&[addr(0), addr(1)]);
        self.nodes[n] = Some(members);
        self.frozen[n] = None;
        self.wakes[n] = None;
        self.drain(n);
        let soon = self.now + MS * self.rng.random_range(1..20);
        self.at(soon, Act::Call(n, 0));
        let first = self.now + ROSTER_EVERY + MS * self.rng.random_range(0..30_000);
        self.at(first, Act::Roster(n));
    }

    pub(crate) fn kill(&mut self, n: usize) {
        self.nodes[n] = None;
        self.frozen[n] = None;
        self.wakes[n] = None;
    }

    pub(crate) fn leave(&mut self, n: usize) {
        let now = self.now - self.behind[n];
        self.nodes[n].as_mut().expect("it runs").leave(now);
        self.drain(n);
    }

    /// Stops a node for a while.
    pub(crate) fn freeze(&mut self, n: usize, how: Stop, time: Duration) {
        self.frozen[n] = Some(Frozen { how, since: self.now, socket: Vec::new() });
        self.at(self.now + time, Act::Resume(n));
    }

    fn resume(&mut self, n: usize) {
        let Some(Frozen { how, since, socket }) = self.frozen[n].take() else { return };
        if how == Stop::Host {
            self.behind[n] += self.now - since;
        }
        for (from, who, bytes) in socket {
            self.deliver(from, who, n, &bytes);
        }
        self.wakes[n] = Some(self.now);
        self.at(self.now, Act::Wake(n));
    }

    pub(crate) fn runs(&self, n: usize) -> bool {
        self.nodes[n].is_some() && self.frozen[n].is_none()
    }

    // ---- time ----

    fn at(&mut self, when: Instant, act: Act) {
        self.count += 1;
        self.queue.push(Reverse((when, self.count)));
        self.acts.insert(self.count, act);
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((when, n))) =
            self.queue.peek().copied().filter(|Reverse((when, _))| *when <= end)
        {
            self.queue.pop();
            self.now = when;
            match self.acts.remove(&n).expect("each number has its act") {
                Act::Deliver { from, who, to, bytes } => self.deliver(from, who, to, &bytes),
                Act::Wake(n) if self.wakes[n] == Some(when) && self.frozen[n].is_none() => {
                    self.wakes[n] = None;
                    let now = when - self.behind[n];
                    if let Some(node) = &mut self.nodes[n] {
                        node.handle_timeout(now);
                        self.drain(n);
                    }
                }
                Act::Wake(_) => {}
                Act::Roster(n) => self.compare_with_somebody(n),
                Act::Call(n, other) => self.compare_rosters(n, other),
                Act::Resume(n) => self.resume(n),
            }
        }
        self.now = end;
    }

    /// Runs until something holds; says how long that took.
    pub(crate) fn until(&mut self, most: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        let from = self.now;
        while self.now <= from + most {
            if holds(self) {
                return Some(self.now - from);
            }
            self.run(20 * MS);
        }
        None
    }

    // ---- what nodes say to each other ----

    fn deliver(&mut self, from: SocketAddr, who: Process, to: usize, bytes: &[u8]) {
        match &mut self.frozen[to] {
            Some(frozen) if frozen.how == Stop::Process => frozen.socket.push((from, who, bytes.to_vec())),
            Some(_) => {}
            None => {
                let now = self.now - self.behind[to];
                if let Some(node) = &mut self.nodes[to] {
                    let _ = node.handle_packet(from, who, bytes, now);
                    self.drain(to);
                }
            }
        }
    }

    fn compare_with_somebody(&mut self, n: usize) {
        let next = self.now + ROSTER_EVERY + MS * self.rng.random_range(0..30_000);
        self.at(next, Act::Roster(n));
        let Some(node) = &self.nodes[n] else { return };
        let up: Vec<_> = node.members().filter(|m| m.state == MemberState::Up).collect();
        if !up.is_empty() {
            let other = index(up[self.rng.random_range(0..up.len())].id.addr());
            self.compare_rosters(n, other);
        }
    }

    /// The stream between two nodes: both take the other's roster if the hashes differ.
    fn compare_rosters(&mut self, n: usize, other: usize) {
        if n == other
            || !self.runs(n)
            || !self.runs(other)
            || !(self.open)(n, other)
            || !(self.open)(other, n)
        {
            return;
        }
        let (Some(a), Some(b)) = (&self.nodes[n], &self.nodes[other]) else { return };
        if a.roster_hash() == b.roster_hash() {
            return;
        }
        let rosters = [(n, b.own(), b.roster()), (other, a.own(), a.roster())];
        for (to, sender, roster) in rosters {
            let now = self.now - self.behind[to];
            if let Some(node) = &mut self.nodes[to] {
                node.apply_roster(sender.process(), &roster, now).expect("a roster of ours is read by all");
                self.drain(to);
            }
        }
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].as_mut().and_then(Members::poll_output) {
            match output {
                Output::Send { to, bytes } => self.send(n, index(to), &bytes),
                Output::Event(event) => self.note(n, event),
            }
        }
        let due = self.nodes[n].as_ref().and_then(Members::poll_timeout);
        let due = due.map(|due| due + self.behind[n]);
        if let Some(due) = due.filter(|due| self.wakes[n].is_none_or(|wake| *due < wake)) {
            let due = due.max(self.now);
            self.wakes[n] = Some(due);
            self.at(due, Act::Wake(n));
        }
    }

    /// As the engine does: a raised epoch is persisted, and the first member that is met is asked for its roster.
    fn note(&mut self, n: usize, event: MemberEvent) {
        self.events.push((self.now, n, event));
        if let MemberEvent::Outranked(epoch) = event {
            self.epochs[n] = epoch.get();
        }
        if let (MemberEvent::Up(id), Some(node)) = (event, &self.nodes[n])
            && node.members().count() == 1
        {
            let soon = self.now + MS * self.rng.random_range(1..20);
            self.at(soon, Act::Call(n, index(id.addr())));
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: &[u8]) {
        self.packets += 1;
        self.octets += (bytes.len() + OVERHEAD + OUTSIDE) as u64;
        assert!(bytes.len() <= MAX_PAYLOAD, "{} octets", bytes.len());
        if to >= self.nodes.len() || !(self.open)(from, to) {
            return;
        }
        let who = self.nodes[from].as_ref().expect("it speaks").own().process();
        let copies = 1 + usize::from(self.doubled > 0 && self.rng.random_range(0..100) < self.doubled);
        for _ in 0..copies {
            if !self.rng.random_bool(self.loss) {
                let micros = u64::try_from(self.delay.as_micros()).expect("small");
                let delay = Duration::from_micros(self.rng.random_range(200..micros));
                let act = Act::Deliver { from: addr(from), who, to, bytes: bytes.to_vec() };
                self.at(self.now + delay, act);
            }
        }
    }

    // ---- what there is ----

    pub(crate) fn view(&self, n: usize, of: usize) -> Option<MemberView> {
        self.nodes[n].as_ref().and_then(|node| node.member(node_id(of)))
    }

    /// Whether each of these nodes sees all others of them alive.
    pub(crate) fn complete(&self, nodes: Range<usize>) -> bool {
        nodes.clone().all(|n| nodes.clone().all(|m| n == m || self.sees_alive(n, m)))
    }

    pub(crate) fn sees_alive(&self, n: usize, m: usize) -> bool {
        self.view(n, m).is_some_and(|view| matches!(view.state, MemberState::Up | MemberState::Suspect))
    }

    /// Whether nobody that runs sees this node alive.
    pub(crate) fn hidden(&self, m: usize) -> bool {
        (0..self.nodes.len()).all(|n| n == m || !self.runs(n) || !self.sees_alive(n, m))
    }

    /// Who was called down where and when.
    pub(crate) fn deaths(&self) -> Vec<String> {
        let deaths = self.events.iter().filter(|(.., event)| matches!(event, MemberEvent::Down(_)));
        deaths.map(|(at, n, event)| format!("{:?} at node {n}: {event:?}", *at - self.start)).collect()
    }

    pub(crate) fn assert_no_deaths(&self) {
        let deaths = self.deaths();
        assert!(deaths.is_empty(), "{} false deaths, {:?}", deaths.len(), &deaths[..deaths.len().min(5)]);
    }
}

pub(crate) fn node_id(n: usize) -> NodeId {
    NodeId::new(n as u128 + 1)
}

pub(crate) fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], u16::try_from(1_000 + n).expect("small")))
}

fn index(addr: SocketAddr) -> usize {
    usize::from(addr.port()) - 1_000
}
