//! Membership of whole clusters: the real code, one thread, virtual time, seeded.
//!
//! `MEMBERS_SEED=n` replays one seed, `MEMBERS_SEEDS=n` runs so many (20 = all of them; best with `--release`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use fdb::gossip::identity::{BootId, Epoch, NodeId};
use fdb::gossip::members::{Config, MemberEvent, MemberId, MemberState, Members, Output};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Seal, kind, UDP and IPv4 around each payload.
const OVERHEAD: usize = 64 + 1 + 8 + 20;

/// How often a node compares rosters with another one over TCP.
const ROSTER_EVERY: Duration = Duration::from_secs(30);

enum Act {
    Deliver { from: usize, to: usize, bytes: Vec<u8> },
    Wake(usize),
    Roster(usize),
}

struct Sim {
    start: Instant,
    now: Instant,
    rng: SmallRng,
    nodes: Vec<Option<Members>>,
    epochs: Vec<u64>,
    /// What happens, by time and number.
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    acts: BTreeMap<u64, Act>,
    count: u64,
    wakes: Vec<Option<Instant>>,
    loss: f64,
    /// Whether datagrams from one node to another pass.
    open: fn(usize, usize) -> bool,
    events: Vec<(Instant, usize, MemberEvent)>,
    packets: u64,
    octets: u64,
}

impl Sim {
    fn new(nodes: usize, seed: u64, loss: f64) -> Self {
        #[allow(clippy::disallowed_methods)] // the only way to get one; it passes by hand afterwards
        let start = Instant::now();
        Self {
            start,
            now: start,
            rng: SmallRng::seed_from_u64(seed),
            nodes: (0..nodes).map(|_| None).collect(),
            epochs: vec![0; nodes],
            queue: BinaryHeap::new(),
            acts: BTreeMap::new(),
            count: 0,
            wakes: vec![None; nodes],
            loss,
            open: |_, _| true,
            events: Vec::new(),
            packets: 0,
            octets: 0,
        }
    }

    /// All nodes, started within a second, that know node 0; and time to meet.
    fn cluster(nodes: usize, seed: u64, loss: f64) -> Self {
        let mut sim = Self::new(nodes, seed, loss);
        for n in 0..nodes {
            sim.start_node(n);
            sim.run(SECOND / u32::try_from(nodes).expect("small"));
        }
        for _ in 0..60 {
            if sim.complete(0..nodes) {
                break;
            }
            sim.run(SECOND);
        }
        assert!(sim.complete(0..nodes), "seed {seed}: the cluster is not complete after a minute");
        sim.run(10 * SECOND);
        sim.events.clear();
        sim
    }

    fn start_node(&mut self, n: usize) {
        self.epochs[n] += 1;
        let (node, boot) = (NodeId::new(n as u128 + 1), BootId::new(self.rng.random()));
        let own = MemberId::new(addr(n), node, Epoch::new(self.epochs[n]), boot);
        let mut members = Members::new(Config::default(), own, self.now, self.rng.random());
        members.set_seeds(&[addr(0), addr(1)]);
        members.announce(addr(0), self.now);
        self.nodes[n] = Some(members);
        self.wakes[n] = None;
        self.drain(n);
        let first = self.now + SECOND + MS * self.rng.random_range(0..1000);
        self.at(first, Act::Roster(n));
    }

    fn kill(&mut self, n: usize) {
        self.nodes[n] = None;
        self.wakes[n] = None;
    }

    fn at(&mut self, when: Instant, act: Act) {
        self.count += 1;
        self.queue.push(Reverse((when, self.count)));
        self.acts.insert(self.count, act);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((when, n))) =
            self.queue.peek().copied().filter(|Reverse((when, _))| *when <= end)
        {
            self.queue.pop();
            self.now = when;
            match self.acts.remove(&n).expect("each number has its act") {
                Act::Deliver { from, to, bytes } => {
                    if let Some(node) = &mut self.nodes[to] {
                        let _ = node.handle_packet(addr(from), &bytes, when);
                        self.drain(to);
                    }
                }
                Act::Wake(n) if self.wakes[n] == Some(when) => {
                    self.wakes[n] = None;
                    if let Some(node) = &mut self.nodes[n] {
                        node.handle_timeout(when);
                        self.drain(n);
                    }
                }
                Act::Wake(_) => {}
                Act::Roster(n) => self.compare_rosters(n),
            }
        }
        self.now = end;
    }

    /// The stream between two nodes: both take the other's roster if the hashes differ.
    fn compare_rosters(&mut self, n: usize) {
        let Some(node) = &self.nodes[n] else { return };
        let up: Vec<_> = node.members().filter(|m| m.state == MemberState::Up).collect();
        self.at(self.now + if up.is_empty() { SECOND } else { ROSTER_EVERY }, Act::Roster(n));
        if up.is_empty() {
            return;
        }
        let other = index(up[self.rng.random_range(0..up.len())].id.addr());
        let (Some(a), Some(b)) = (&self.nodes[n], &self.nodes[other]) else { return };
        if !(self.open)(n, other) || !(self.open)(other, n) || a.roster_hash() == b.roster_hash() {
            return;
        }
        let rosters = [(other, a.roster()), (n, b.roster())];
        for (to, roster) in rosters {
            if let Some(node) = &mut self.nodes[to] {
                node.apply_roster(&roster, self.now).expect("a roster of ours is read by all");
                self.drain(to);
            }
        }
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].as_mut().and_then(Members::poll_output) {
            match output {
                Output::Send { to, bytes } => self.send(n, index(to), bytes),
                Output::Event(event) => self.events.push((self.now, n, event)),
            }
        }
        let due = self.nodes[n].as_ref().and_then(Members::poll_timeout);
        if let Some(due) = due.filter(|due| self.wakes[n].is_none_or(|wake| *due < wake)) {
            let due = due.max(self.now);
            self.wakes[n] = Some(due);
            self.at(due, Act::Wake(n));
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.packets += 1;
        self.octets += (bytes.len() + OVERHEAD) as u64;
        assert!(bytes.len() <= 1_136, "{} octets", bytes.len());
        if to < self.nodes.len() && (self.open)(from, to) && !self.rng.random_bool(self.loss) {
            // 0.2 to 5 ms, so that datagrams overtake each other.
            let delay = Duration::from_micros(self.rng.random_range(200..5_000));
            self.at(self.now + delay, Act::Deliver { from, to, bytes });
        }
    }

    /// Whether each of these nodes sees all others of them alive.
    fn complete(&self, nodes: Range<usize>) -> bool {
        nodes.clone().all(|n| nodes.clone().all(|m| n == m || self.sees_alive(n, m)))
    }

    fn sees_alive(&self, n: usize, m: usize) -> bool {
        let state = self.nodes[n].as_ref().and_then(|node| node.member(NodeId::new(m as u128 + 1)));
        state.is_some_and(|view| matches!(view.state, MemberState::Up | MemberState::Suspect))
    }

    fn deaths(&self) -> Vec<String> {
        let deaths = self.events.iter().filter(|(.., event)| matches!(event, MemberEvent::Down(_)));
        deaths.map(|(at, n, event)| format!("{:?} at node {n}: {event:?}", *at - self.start)).collect()
    }

    /// Runs until something holds; says how long that took.
    fn until(&mut self, most: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        let from = self.now;
        while self.now <= from + most {
            if holds(self) {
                return Some(self.now - from);
            }
            self.run(50 * MS);
        }
        None
    }
}

fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], u16::try_from(1_000 + n).expect("small")))
}

fn index(addr: SocketAddr) -> usize {
    usize::from(addr.port()) - 1_000
}

/// The seeds to run: so many unless the environment says otherwise.
fn seeds(usual: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    match number("MEMBERS_SEED") {
        Some(one) => vec![one],
        None => (0..number("MEMBERS_SEEDS").unwrap_or(usual)).collect(),
    }
}

fn no_false_deaths(nodes: usize, loss: f64, usual: u64) {
    let seeds = seeds(usual);
    let mut rate = 0;
    for &seed in &seeds {
        let mut sim = Sim::cluster(nodes, seed, loss);
        let before = sim.octets;
        sim.run(600 * SECOND);
        rate += (sim.octets - before) / 600 / nodes as u64;
        let deaths = sim.deaths();
        let named = &deaths[..deaths.len().min(5)];
        assert!(
            deaths.is_empty(),
            "replay with MEMBERS_SEED={seed}: {} false deaths, {named:?}",
            deaths.len()
        );
    }
    let rate = rate / seeds.len() as u64;
    println!("{nodes} nodes, {loss} lost: {} seeds of 600 s, no false death, {rate} B/s a node", seeds.len());
}

#[test]
fn nobody_of_8_dies_falsely_at_5_percent_loss() {
    no_false_deaths(8, 0.05, 20);
}

#[test]
fn nobody_of_8_dies_falsely_at_20_percent_loss() {
    no_false_deaths(8, 0.2, 20);
}

#[test]
fn nobody_of_100_dies_falsely_at_5_percent_loss() {
    no_false_deaths(100, 0.05, 1);
}

#[test]
fn nobody_of_100_dies_falsely_at_20_percent_loss() {
    no_false_deaths(100, 0.2, 1);
}

#[test]
fn a_quiet_cluster_costs_little() {
    for (nodes, loss) in [(8, 0.0), (100, 0.0), (100, 0.01)] {
        let mut sim = Sim::cluster(nodes, 0, loss);
        sim.run(60 * SECOND);
        let before = (sim.octets, sim.packets);
        sim.run(60 * SECOND);
        let per = 60 * nodes as u64;
        let (octets, packets) = ((sim.octets - before.0) / per, (sim.packets - before.1) as f64 / per as f64);
        println!(
            "{nodes} nodes, {loss} lost: {octets} B/s and {packets:.1} datagrams/s a node, seal and UDP/IP included"
        );
        assert!(octets <= 1_000, "{octets} B/s a node");
    }
}

#[test]
fn a_dead_node_is_hidden_everywhere_within_7_s() {
    let mut took = Vec::new();
    let seeds = seeds(10);
    for &seed in &seeds {
        for loss in [0.0, 0.05] {
            let mut sim = Sim::cluster(100, seed, loss);
            sim.kill(50);
            let hidden = |sim: &Sim| (0..100).all(|n| n == 50 || !sim.sees_alive(n, 50));
            let time = sim.until(30 * SECOND, hidden).expect("the dead are found");
            assert!(time <= 7 * SECOND, "replay with MEMBERS_SEED={seed}: {time:?} at {loss} lost");
            took.push(time);
        }
    }
    took.sort();
    println!(
        "dead node hidden at all 99: {} runs, median {:?}, most {:?}",
        took.len(),
        took[took.len() / 2],
        took.last()
    );
}

#[test]
fn a_partition_of_half_against_half_heals_within_5_s() {
    let mut took = Vec::new();
    for seed in seeds(20) {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.open = |a, b| (a < 4) == (b < 4);
        sim.run(30 * SECOND);
        assert!(sim.complete(0..4) && sim.complete(4..8), "seed {seed}: a half lost somebody");
        assert!(!sim.sees_alive(0, 4) && !sim.sees_alive(4, 0), "seed {seed}: the other half is not hidden");
        sim.open = |_, _| true;
        let time = sim.until(30 * SECOND, |sim| sim.complete(0..8)).expect("it heals");
        assert!(time <= 5 * SECOND, "replay with MEMBERS_SEED={seed}: {time:?}");
        took.push(time);
    }
    took.sort();
    println!("heal of 4 + 4: {} runs, median {:?}, most {:?}", took.len(), took[took.len() / 2], took.last());
}

#[test]
fn a_hundred_nodes_join_through_one_seed() {
    for seed in seeds(3) {
        let mut sim = Sim::new(100, seed, 0.01);
        (0..100).for_each(|n| sim.start_node(n));
        let time = sim.until(60 * SECOND, |sim| sim.complete(0..100)).expect("they join");
        println!("join storm of 100: all know all after {time:?}");
        assert!(time <= 30 * SECOND, "replay with MEMBERS_SEED={seed}: {time:?}");
        assert_eq!(sim.deaths(), [""; 0], "replay with MEMBERS_SEED={seed}");
    }
}

#[test]
fn loss_in_one_direction_between_two_nodes_kills_nobody() {
    for seed in seeds(5) {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.open = |a, b| (a, b) != (2, 3);
        sim.run(60 * SECOND);
        assert_eq!(sim.deaths(), [""; 0], "replay with MEMBERS_SEED={seed}");
    }
}

#[test]
fn a_node_that_restarts_rejoins_and_nobody_calls_it_dead() {
    for seed in seeds(10) {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.kill(5);
        sim.run(SECOND);
        sim.start_node(5);
        let back = |sim: &Sim| {
            let view = |n: usize| sim.nodes[n].as_ref().and_then(|node| node.member(NodeId::new(6)));
            sim.complete(0..8)
                && (0..8).all(|n| n == 5 || view(n).is_some_and(|v| v.id.epoch() == Epoch::new(2)))
        };
        let time = sim.until(10 * SECOND, back).expect("it rejoins");
        assert!(time <= 5 * SECOND, "replay with MEMBERS_SEED={seed}: {time:?}");
        assert_eq!(sim.deaths(), [""; 0], "replay with MEMBERS_SEED={seed}");
    }
}

#[test]
fn a_node_that_lost_its_state_joins_when_its_predecessor_is_dead() {
    for seed in seeds(5) {
        let mut sim = Sim::cluster(8, seed, 0.01);
        sim.epochs[5] = 0;
        sim.kill(5);
        sim.run(10 * SECOND);
        sim.start_node(5);
        sim.until(10 * SECOND, |sim| sim.complete(0..8)).unwrap_or_else(|| panic!("MEMBERS_SEED={seed}"));
    }
}

#[test]
fn a_node_that_leaves_is_gone_at_once_and_is_no_death() {
    for seed in seeds(10) {
        let mut sim = Sim::cluster(100, seed, 0.01);
        let now = sim.now;
        sim.nodes[7].as_mut().expect("it runs").leave(now);
        sim.drain(7);
        let gone = |sim: &Sim| (0..100).all(|n| n == 7 || !sim.sees_alive(n, 7));
        let time = sim.until(10 * SECOND, gone).expect("all hear of it");
        assert!(time <= 2 * SECOND, "replay with MEMBERS_SEED={seed}: {time:?}");
        sim.run(5 * SECOND);
        assert_eq!(sim.deaths(), [""; 0], "replay with MEMBERS_SEED={seed}");
    }
}

#[test]
fn a_node_that_did_not_run_for_a_while_calls_nobody_dead() {
    for seed in seeds(10) {
        let mut sim = Sim::cluster(8, seed, 0.01);
        let frozen = sim.nodes[3].take();
        sim.run(2 * SECOND);
        sim.nodes[3] = frozen;
        let now = sim.now;
        sim.wakes[3] = Some(now);
        sim.at(now, Act::Wake(3));
        sim.run(20 * SECOND);
        assert_eq!(sim.deaths(), [""; 0], "replay with MEMBERS_SEED={seed}");
    }
}
