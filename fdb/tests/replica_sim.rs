//! The replication layer in virtual time: the real code, one thread, seeded; loss, duplicates, reordering, partitions
//! and crashes. `REPLICA_SEEDS` says how many seeds are run; a seed that fails is in the message.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};
use fdb::gossip::identity::{Epoch, NodeId};
use fdb::replica::{
    Config, Faults, KEEP_OLD_EPOCH, Key, MAX_CHUNK, MAX_DATAGRAM, MacRecord, Output, Record, Replica,
};
use rand_core::{Rng as _, TryRng};

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl TryRng for Dice {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.iter_mut().for_each(|octet| *octet = self.below(256) as u8);
        Ok(())
    }
}

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n
    }
    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

/// Misbehaviour of the network, in per cent of the datagrams.
#[derive(Clone, Copy, Default)]
struct Weather {
    loss: u64,
    duplicate: u64,
    late: u64,
}

enum Event {
    Wake(usize),
    Arrive { from: usize, to: usize, bytes: Vec<u8> },
    Member { at: usize, node: usize, epoch: Option<u64> },
}

type Shown = BTreeMap<(NodeId, Key), Record>;

struct Node {
    replica: Option<Replica>,
    epoch: u64,
    side: u8,
    wake: Duration,
    shown: Shown,
}

struct Sim {
    dice: Dice,
    start: Instant,
    now: Duration,
    count: u64,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    nodes: Vec<Node>,
    weather: Weather,
    config: Config,
    /// The nodes that were told of the last change that was watched.
    told: usize,
    watched: Option<Key>,
    /// A node forgot which start it was: for a while two streams have one name.
    lost_epoch: bool,
}

fn id(n: usize) -> NodeId {
    NodeId::new(n as u128 + 1)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Sim {
    fn new(nodes: usize, seed: u64, config: Config, weather: Weather) -> Self {
        #[allow(clippy::disallowed_methods)] // the zero of the virtual clock
        let start = Instant::now();
        let mut sim = Self {
            dice: Dice(seed),
            start,
            now: Duration::ZERO,
            count: 0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            nodes: Vec::new(),
            weather,
            config,
            told: 0,
            watched: None,
            lost_epoch: false,
        };
        let all: Vec<_> = (0..nodes).map(|n| (id(n), Epoch::new(1))).collect();
        for n in 0..nodes {
            let offset = Duration::from_micros(sim.dice.below(1_000_000));
            let mut replica = Replica::new(all[n], config, start + offset);
            replica.set_members(&all, start);
            let node =
                Node { replica: Some(replica), epoch: 1, side: 0, wake: Duration::MAX, shown: Shown::new() };
            sim.nodes.push(node);
            sim.settle(n);
        }
        sim
    }

    fn at(&mut self, after: Duration, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some(event);
        self.count += 1;
        self.queue.push(Reverse((self.now + after, self.count, slot)));
    }

    fn run(&mut self, until: Duration) {
        while let Some(&Reverse((at, _, slot))) = self.queue.peek() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            self.free.push(slot);
            if let Some(event) = self.events[slot].take() {
                self.handle(event);
            }
        }
        self.now = until;
    }

    fn handle(&mut self, event: Event) {
        let now = self.start + self.now;
        match event {
            Event::Wake(n) => {
                if self.nodes[n].wake > self.now {
                    return;
                }
                self.nodes[n].wake = Duration::MAX;
                if let Some(replica) = &mut self.nodes[n].replica {
                    replica.handle_timeout(now, &mut self.dice);
                }
                self.settle(n);
            }
            Event::Arrive { from, to, bytes } => {
                if self.nodes[from].side != self.nodes[to].side {
                    return;
                }
                if let Some(replica) = &mut self.nodes[to].replica {
                    replica
                        .handle_message(id(from), &bytes, now, &mut self.dice)
                        .expect("what we send we read");
                }
                self.settle(to);
            }
            Event::Member { at, node, epoch } => {
                if let Some(replica) = &mut self.nodes[at].replica {
                    match epoch {
                        Some(epoch) => replica.member_up(id(node), Epoch::new(epoch), now),
                        None => replica.member_down(id(node), now),
                    }
                }
                self.settle(at);
            }
        }
    }

    /// Does what a node asks for, and wakes it when it wants.
    fn settle(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].replica.as_mut().and_then(Replica::poll_output) {
            match output {
                Output::Send { to, bytes } => {
                    assert!(bytes.len() <= MAX_DATAGRAM, "{} octets", bytes.len());
                    self.send(n, to, &bytes);
                }
                Output::Stream { to, bytes } => {
                    assert!(bytes.len() <= MAX_CHUNK);
                    let to = to.get() as usize - 1;
                    self.at(ms(1), Event::Arrive { from: n, to, bytes });
                }
                Output::Changed { origin, key, new, .. } => {
                    if self.watched.as_ref() == Some(&key) && new.is_some() {
                        self.told += 1;
                    }
                    match new {
                        Some(new) => self.nodes[n].shown.insert((origin, key), new),
                        None => self.nodes[n].shown.remove(&(origin, key)),
                    };
                }
                Output::EpochRaised(epoch) => self.nodes[n].epoch = epoch.get(),
            }
        }
        let Some(replica) = &self.nodes[n].replica else { return };
        let wake = replica.poll_timeout().saturating_duration_since(self.start).max(self.now + ms(1) / 10);
        if wake < self.nodes[n].wake {
            self.nodes[n].wake = wake;
            self.at(wake - self.now, Event::Wake(n));
        }
    }

    fn send(&mut self, from: usize, to: NodeId, bytes: &[u8]) {
        let to = to.get() as usize - 1;
        let copies = 1 + u64::from(self.dice.percent(self.weather.duplicate));
        for _ in 0..copies {
            if !self.dice.percent(self.weather.loss) {
                let late = if self.dice.percent(self.weather.late) { 200_000 } else { 500 };
                let delay = Duration::from_micros(50 + self.dice.below(late));
                self.at(delay, Event::Arrive { from, to, bytes: bytes.to_vec() });
            }
        }
    }

    /// Tells everybody else that a node is up, or down, each after a while of its own.
    fn announce(&mut self, node: usize, epoch: Option<u64>) {
        for at in (0..self.nodes.len()).filter(|at| *at != node) {
            let after = ms(self.dice.below(400));
            self.at(after, Event::Member { at, node, epoch });
        }
    }

    fn crash(&mut self, n: usize) {
        self.nodes[n].replica = None;
        self.announce(n, None);
    }

    fn restart(&mut self, n: usize, lost_epoch: bool) {
        self.lost_epoch |= lost_epoch;
        let epoch = if lost_epoch { 1 } else { self.nodes[n].epoch + 1 };
        let now = self.start + self.now;
        let mut replica = Replica::new((id(n), Epoch::new(epoch)), self.config, now);
        for m in (0..self.nodes.len()).filter(|m| *m != n) {
            replica.member_up(id(m), Epoch::new(self.nodes[m].epoch), now);
        }
        let node = &mut self.nodes[n];
        *node =
            Node { replica: Some(replica), epoch, side: node.side, wake: Duration::MAX, shown: Shown::new() };
        self.settle(n);
        // Later than the news of the crash.
        for at in (0..self.nodes.len()).filter(|at| *at != n) {
            self.at(ms(450), Event::Member { at, node: n, epoch: Some(epoch) });
        }
    }

    fn act(&mut self) {
        let n = self.dice.below(self.nodes.len() as u64) as usize;
        let now = self.start + self.now;
        let (vni, mac) = (self.dice.below(3) as u8, self.dice.below(6) as u8);
        let dice = self.dice.below(100);
        let lost = self.dice.percent(30);
        let Some(replica) = &mut self.nodes[n].replica else {
            return self.restart(n, lost);
        };
        match dice {
            0..45 => replica.put(&record(vni, mac, dice as u32), now).expect("room"),
            45..65 => replica.remove(&record(vni, mac, 0).key(), now),
            65..75 => replica.put(&Record::VniJoin(Vni::from_octets([0, 0, vni])), now).expect("room"),
            75..82 => replica.remove(&Key::VniJoin(Vni::from_octets([0, 0, vni])), now),
            82..84 => (0..250).for_each(|n| replica.put(&record(n, 9, dice as u32), now).expect("room")),
            84..88 => return self.crash(n),
            88..96 => self.nodes[n].side ^= 1,
            _ => self.nodes.iter_mut().for_each(|node| node.side = 0),
        }
        self.settle(n);
    }

    /// Whether all is the same everywhere, and what differs.
    fn check(&self) -> Result<(), String> {
        let replicas: Vec<&Replica> = self.nodes.iter().filter_map(|node| node.replica.as_ref()).collect();
        for (n, replica) in replicas.iter().enumerate() {
            if replica.root() != replicas[0].root() {
                return Err(format!("root of node {n} differs"));
            }
            let mut shown = Shown::new();
            for (m, origin) in replicas.iter().enumerate().filter(|(m, _)| *m != n) {
                for record in origin.records(id(m)) {
                    shown.insert((id(m), record.key()), record);
                }
            }
            let count = |shown: &Shown| shown.len();
            if shown != self.nodes[n].shown {
                let (is, should) = (count(&self.nodes[n].shown), count(&shown));
                return Err(format!("node {n} shows {is} records, not the {should} that the others say"));
            }
        }
        Ok(())
    }
}

fn record(vni: u8, mac: u8, mob_seq: u32) -> Record {
    let (vni, mac) = (Vni::from_octets([0, 1, vni]), MacAddr::new([2, 0, 0, 0, 0, mac]));
    Record::Mac(MacRecord {
        vni,
        mac,
        ips: vec![[10, 0, 0, 1].into()],
        dst: None,
        mob_seq,
        is_static: false,
        router: false,
    })
}

/// One life of a cluster; then quiet for three comparisons.
fn life(seed: u64, config: Config) -> Result<(), String> {
    let mut dice = Dice(seed ^ 0x5eed);
    let weather = Weather { loss: dice.below(30), duplicate: dice.below(20), late: dice.below(20) };
    let mut sim = Sim::new(3 + dice.below(6) as usize, seed, config, weather);
    for _ in 0..60 + dice.below(60) {
        let until = sim.now + ms(dice.below(200));
        sim.run(until);
        sim.act();
    }
    sim.weather = Weather::default();
    for n in 0..sim.nodes.len() {
        sim.nodes[n].side = 0;
        if sim.nodes[n].replica.is_none() {
            sim.restart(n, false);
        }
    }
    // Membership is quiet, and what was late has arrived.
    sim.run(sim.now + ms(500));
    sim.run(sim.now + 3 * config.compare_every);
    let roots: Vec<u128> = sim.nodes.iter().filter_map(|n| n.replica.as_ref().map(Replica::root)).collect();
    if roots.iter().any(|root| *root != roots[0]) {
        return Err(format!("seed {seed}: roots differ after three comparisons"));
    }
    // A node that says nothing since its restart is believed after this time.
    sim.run(sim.now + KEEP_OLD_EPOCH + 2 * config.compare_every);
    let differed = |node: &Node| node.replica.as_ref().is_some_and(|r| r.counters().diverged > 0);
    if !sim.lost_epoch && sim.nodes.iter().any(differed) {
        return Err(format!("seed {seed}: streams differed that were known to their ends"));
    }
    sim.check().map_err(|what| format!("seed {seed}: {what}"))
}

fn seeds() -> u64 {
    std::env::var("REPLICA_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

#[test]
fn no_update_is_lost_for_ever() {
    let failed: Vec<String> = (0..seeds()).filter_map(|seed| life(seed, Config::default()).err()).collect();
    assert!(failed.is_empty(), "{} of {} seeds: {:?}", failed.len(), seeds(), &failed[..failed.len().min(5)]);
}

#[test]
fn planted_faults_are_found() {
    let faults = [
        Faults { forgotten_tombstone: true, ..Faults::default() },
        Faults { arrival_order: true, ..Faults::default() },
        Faults { lost_interest: true, ..Faults::default() },
        Faults { replay_accepted: true, ..Faults::default() },
    ];
    for fault in faults {
        let config = Config { faults: fault, ..Config::default() };
        let found = (0..500).find(|seed| life(*seed, config).is_err());
        println!("{fault:?}: found by seed {found:?}");
        assert!(found.is_some(), "{fault:?} is not found in 500 seeds");
    }
}

/// Milliseconds until all know of one update: median, 99 of 100.
fn convergence(nodes: usize, updates: u64, seed: u64) -> (u64, u64) {
    let mut sim = Sim::new(nodes, seed, Config::default(), Weather { loss: 1, ..Weather::default() });
    sim.run(ms(1500));
    let mut times = Vec::new();
    for update in 0..updates {
        let n = sim.dice.below(nodes as u64) as usize;
        let [a, b, ..] = (update as u32).to_le_bytes();
        let record = record(a, b, 0);
        (sim.watched, sim.told) = (Some(record.key()), 0);
        let (began, now) = (sim.now, sim.start + sim.now);
        sim.nodes[n].replica.as_mut().expect("up").put(&record, now).expect("room");
        sim.settle(n);
        while sim.told < nodes - 1 {
            sim.run(sim.now + ms(1));
            assert!(sim.now - began < Duration::from_secs(20), "never, seed {seed}");
        }
        times.push((sim.now - began).as_millis() as u64);
        sim.run(sim.now + ms(300 + update % 700));
    }
    times.sort_unstable();
    let sent: u64 = sim.nodes.iter().map(|n| n.replica.as_ref().map_or(0, |r| r.counters().sent)).sum();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let each = sent / nodes as u64 / sim.now.as_secs();
    println!("{nodes} nodes, {updates} updates: median {median} ms, p99 {p99} ms, {each} octets/s a node");
    (median, p99)
}

#[test]
fn an_update_is_known_everywhere_soon_at_100_nodes() {
    let (median, p99) = convergence(100, 300, 1);
    assert!(median <= 200 && p99 <= 500, "median {median} ms, p99 {p99} ms");
}

#[test]
fn an_update_is_known_everywhere_soon_at_1000_nodes() {
    let (median, p99) = convergence(1000, 30, 1);
    assert!(median <= 350 && p99 <= 1000, "median {median} ms, p99 {p99} ms");
}
