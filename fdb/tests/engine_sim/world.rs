//! Hosts, their disks, and the network between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use encap::{MacAddr, Vni};
use fdb::gossip::engine::{Engine, Output, Setup};
use fdb::gossip::identity::{BootId, Epoch, NodeId};
use fdb::gossip::members::{MemberEvent, MemberState};
use fdb::gossip::seal::{Key as Secret, Keyring, Mode, Process};
use fdb::gossip::{members, seal};
use fdb::replica::{self, Key, MacRecord, Record};
use fdb::sim::{Dice, mac_record, node_info};

/// What the network does to datagrams, in per cent of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// These do not arrive.
    pub(super) loss: f64,
    /// These arrive twice.
    pub(super) duplicate: f64,
    /// These are overtaken.
    pub(super) late: f64,
}

/// Octets of the IPv4 and UDP headers of a datagram.
const AROUND_DATAGRAM: usize = 28;
/// Octets around a message of a TCP stream: what opens, seals, acknowledges and ends it, a dozen segments.
const AROUND_STREAM: usize = 600;

enum Packet {
    Datagram(Vec<u8>),
    Stream(Process, Vec<u8>),
}

struct Host {
    id: NodeId,
    name: String,
    /// The epoch that its disk has.
    disk: u64,
    engine: Option<Engine>,
    boot: u128,
    side: u8,
    /// It does not run until then, as when a VM is suspended.
    stopped: Option<Duration>,
    /// What it says of addresses.
    says: BTreeMap<Key, Record>,
    /// What it heard that others say.
    heard: BTreeMap<(NodeId, Key), Record>,
    wake: Duration,
}

/// All of it.
pub(super) struct World {
    zero: Instant,
    now: Duration,
    dice: Dice,
    weather: Weather,
    hosts: Vec<Host>,
    /// From, to: what does not pass, one way.
    cut: Vec<(usize, usize)>,
    wire: BinaryHeap<Reverse<(Duration, u64)>>,
    packets: BTreeMap<u64, (usize, usize, Packet)>,
    serial: u64,
    /// Times that a host that lived was called down.
    pub(super) deaths: usize,
    /// Octets that all hosts sent, UDP, TCP and IPv4 headers included.
    pub(super) octets: u64,
    talk: bool,
}

fn addr(n: usize) -> SocketAddr {
    SocketAddr::from((ip(n), 6786))
}

fn ip(n: usize) -> [u8; 4] {
    let [.., high, low] = (n + 1).to_be_bytes();
    [10, 0, high, low]
}

fn index(addr: SocketAddr) -> usize {
    match addr {
        SocketAddr::V4(addr) => (addr.ip().to_bits() & 0xffff) as usize - 1,
        SocketAddr::V6(_) => unreachable!("all hosts have IPv4"),
    }
}

impl World {
    /// Hosts that have started and know the first one.
    pub(super) fn new(seed: u64, count: usize, weather: Weather) -> Self {
        #[allow(clippy::disallowed_methods)] // some instant to begin with
        let zero = Instant::now();
        let talk = std::env::var_os("ENGINE_SEED").is_some();
        let mut world = Self {
            zero,
            now: Duration::ZERO,
            dice: Dice::new(seed),
            weather,
            hosts: Vec::new(),
            cut: Vec::new(),
            wire: BinaryHeap::new(),
            packets: BTreeMap::new(),
            serial: 0,
            deaths: 0,
            octets: 0,
            talk,
        };
        for n in 0..count {
            world.hosts.push(Host {
                id: NodeId::new(n as u128 + 1),
                name: format!("node-{n}"),
                disk: 0,
                engine: None,
                boot: 0,
                side: 0,
                stopped: None,
                says: BTreeMap::new(),
                heard: BTreeMap::new(),
                wake: Duration::ZERO,
            });
            world.start(n);
        }
        world
    }

    pub(super) const fn elapsed(&self) -> Duration {
        self.now
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.talk {
            println!("{:9.3} {}", self.now.as_secs_f64(), what());
        }
    }

    // ---- what happens ----

    /// One of the things that happen.
    pub(super) fn something_happens(&mut self) {
        let n = self.any();
        match self.dice.below(12) {
            0..4 => self.say(n),
            4 => self.crash(n),
            5 | 6 => self.start(n),
            7 => {
                let other = self.any();
                self.tell(|| format!("{n} -> {other} is cut"));
                self.cut.push((n, other));
            }
            8 => self.split(n),
            9 => self.heal(),
            10 => {
                let long = [1, 10, 30][self.below(3)];
                self.tell(|| format!("{n} stands still for {long} s"));
                self.hosts[n].stopped = Some(self.now + Duration::from_secs(long));
            }
            _ => self.change_for_long(n),
        }
    }

    /// Rarer things.
    fn change_for_long(&mut self, n: usize) {
        match self.below(3) {
            0 => {
                // The disk is an older copy.
                self.crash(n);
                let back = self.dice.below(3);
                self.hosts[n].disk = self.hosts[n].disk.saturating_sub(back + 1);
                self.tell(|| format!("{n} has its disk of {} epochs ago", back + 1));
                self.start(n);
            }
            1 => self.leave(n),
            _ => {
                // The state directory is gone.
                self.crash(n);
                self.hosts[n].disk = 0;
                self.hosts[n].id = NodeId::new(u128::from(self.dice.below(u64::MAX)));
                self.tell(|| format!("{n} has lost its disk"));
                self.start(n);
            }
        }
    }

    fn any(&mut self) -> usize {
        self.below(self.hosts.len())
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.dice.below(most as u64)).unwrap_or(0)
    }

    /// Everything works again, and every host runs.
    pub(super) fn calm_down(&mut self) {
        self.weather = Weather::default();
        self.heal();
        for n in 0..self.hosts.len() {
            self.hosts[n].stopped = None;
            self.start(n);
        }
    }

    /// Every host says something else.
    pub(super) fn say_something(&mut self) {
        (0..self.hosts.len()).for_each(|n| self.say(n));
        self.run(Duration::from_secs(4));
    }

    fn say(&mut self, n: usize) {
        let [.., last] = self.below(5).to_be_bytes();
        let mac = MacAddr::new([2, 0, 0, 0, n as u8, last]);
        let vni = Vni::from_octets([0, 0, 1]);
        let (key, mob_seq) = (Key::Mac(vni, mac), u32::try_from(self.below(3)).unwrap_or(0));
        let now = self.zero + self.now;
        let gone = self.below(3) == 0;
        let host = &mut self.hosts[n];
        let Some(engine) = &mut host.engine else { return };
        if gone {
            host.says.remove(&key);
            engine.remove(&key, now);
        } else {
            let record = Record::Mac(MacRecord { mob_seq, ..mac_record(vni, mac) });
            engine.put(&record, now).expect("few records");
            host.says.insert(key, record);
        }
        self.drain(n);
    }

    /// Host `n` says so many addresses.
    pub(super) fn say_many(&mut self, n: usize, count: u8) {
        let vni = Vni::from_octets([0, 0, 1]);
        let now = self.zero + self.now;
        for last in 0..count {
            let [.., high, low] = n.to_be_bytes();
            let mac = MacAddr::new([2, 0, 1, high, low, last]);
            let record = Record::Mac(mac_record(vni, mac));
            let host = &mut self.hosts[n];
            let Some(engine) = &mut host.engine else { return };
            engine.put(&record, now).expect("few records");
            host.says.insert(Key::Mac(vni, mac), record);
        }
        self.drain(n);
    }

    /// The hosts before `at` do not reach the others.
    pub(super) fn split(&mut self, at: usize) {
        self.tell(|| format!("split before {at}"));
        self.hosts.iter_mut().enumerate().for_each(|(n, host)| host.side = u8::from(n >= at));
    }

    pub(super) fn heal(&mut self) {
        self.tell(|| "heal".to_owned());
        self.cut.clear();
        self.hosts.iter_mut().for_each(|host| host.side = 0);
    }

    pub(super) fn crash(&mut self, n: usize) {
        self.tell(|| format!("{n} crashes"));
        let host = &mut self.hosts[n];
        host.engine = None;
        host.says.clear();
        host.heard.clear();
    }

    fn leave(&mut self, n: usize) {
        let now = self.zero + self.now;
        if let Some(engine) = &mut self.hosts[n].engine {
            engine.leave(now);
            self.drain(n);
        }
        self.crash(n);
    }

    /// Starts a host that does not run.
    fn start(&mut self, n: usize) {
        if self.hosts[n].engine.is_some() {
            return;
        }
        let now = self.zero + self.now;
        self.serial += 1;
        let boot = u128::from(self.serial) << 64 | u128::from(self.dice.below(u64::MAX));
        let host = &mut self.hosts[n];
        host.disk += 1;
        host.boot = boot;
        let setup = Setup {
            me: Process { node: host.id, boot: BootId::new(boot) },
            epoch: Epoch::new(host.disk),
            name: host.name.clone(),
            addr: addr(n),
            mode: Mode::Sealed(Keyring::new(Secret::new([7; 32]))),
            members: members::Config::default(),
            replica: replica::Config::default(),
        };
        let mut engine = Engine::new(setup, now, &mut self.dice);
        let info = node_info(ip(n).into(), &host.name, BootId::new(boot));
        engine.put(&Record::NodeInfo(info), now).expect("the first record");
        // All are told the same two, themselves included.
        let seeds = [addr(0), addr(1)];
        engine.set_seeds(&seeds);
        engine.call(&seeds);
        host.engine = Some(engine);
        host.stopped = None;
        let (id, epoch) = (host.id, host.disk);
        self.tell(|| format!("{n} starts as {:x}, epoch {epoch}", id.get() >> 64 << 64 | id.get() & 0xffff));
        self.drain(n);
    }

    // ---- time ----

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let packet = self.wire.peek().map(|Reverse((at, _))| *at);
            let hosts = self.hosts.iter().filter(|host| host.engine.is_some());
            let timer = hosts.map(|host| host.wake.max(host.stopped.unwrap_or_default())).min();
            let next = [packet, timer].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if packet.is_some_and(|at| at <= self.now) {
                let Some(Reverse((_, serial))) = self.wire.pop() else { break };
                if let Some((from, to, packet)) = self.packets.remove(&serial) {
                    self.deliver(from, to, packet);
                }
                continue;
            }
            for n in 0..self.hosts.len() {
                self.wake(n);
            }
        }
        self.now = end;
    }

    fn wake(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        if host.stopped.is_some_and(|until| until > self.now) {
            return;
        }
        host.stopped = None;
        if let Some(engine) = host.engine.as_mut().filter(|_| host.wake <= self.now) {
            engine.handle_timeout(self.zero + self.now, &mut self.dice);
            self.drain(n);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, packet: Packet) {
        let apart = self.hosts[from].side != self.hosts[to].side || self.cut.contains(&(from, to));
        // A host that stands still finds in its socket what fits into it; the rest is lost.
        if self.hosts[to].stopped.is_some_and(|until| until > self.now) || apart {
            return;
        }
        let now = self.zero + self.now;
        let Some(engine) = &mut self.hosts[to].engine else { return };
        // What is refused was late, or for somebody who was there before.
        let _ = match packet {
            Packet::Datagram(bytes) => engine.handle_datagram(&bytes, addr(from), now, &mut self.dice),
            Packet::Stream(who, message) => {
                engine.stream_opened(who, &mut self.dice);
                engine.handle_stream(who, &message, now, &mut self.dice)
            }
        };
        self.drain(to);
    }

    fn drain(&mut self, n: usize) {
        loop {
            let host = &mut self.hosts[n];
            let Some(engine) = &mut host.engine else { return };
            let Some(output) = engine.poll_output(&mut self.dice) else {
                // Timers have a grain; without it a lot of work is due a moment apart.
                let due = engine.poll_timeout().saturating_duration_since(self.zero);
                host.wake = due.max(self.now + Duration::from_micros(100));
                return;
            };
            let me = Process { node: host.id, boot: BootId::new(host.boot) };
            match output {
                Output::Datagram { to, bytes } => self.send(n, to, &bytes),
                Output::Stream { node, addr: dial, message } => {
                    self.octets += (message.len() + AROUND_STREAM) as u64;
                    let by_node = (0..self.hosts.len()).find(|other| Some(self.hosts[*other].id) == node);
                    let to = by_node.unwrap_or_else(|| index(dial));
                    self.put_on_wire(n, to, Duration::from_millis(2), Packet::Stream(me, message));
                }
                Output::Changed { origin, key, new } => {
                    match new.filter(|_| matches!(key, Key::Mac(..))) {
                        Some(record) => drop(host.heard.insert((origin, key), record)),
                        None => drop(host.heard.remove(&(origin, key))),
                    };
                }
                Output::EpochRaised(epoch) => {
                    host.disk = epoch.get();
                    self.tell(|| format!("{n} goes on in epoch {}", epoch.get()));
                }
                Output::Member(event) => self.note(n, event),
                Output::Conflict(conflict) => {
                    self.tell(|| format!("{n} stops: {conflict}"));
                    self.crash(n);
                }
            }
        }
    }

    fn note(&mut self, n: usize, event: MemberEvent) {
        if let MemberEvent::Down(id) = event
            && self.hosts[index(id.addr())].engine.is_some()
            && self.hosts[index(id.addr())].boot == id.boot().get()
        {
            self.deaths += 1;
        }
        self.tell(|| format!("{n} notes {event:?}"));
    }

    fn send(&mut self, from: usize, to: SocketAddr, bytes: &[u8]) {
        assert!(bytes.len() <= seal::MAX_DATAGRAM);
        self.octets += (bytes.len() + AROUND_DATAGRAM) as u64;
        let Weather { loss, duplicate, late } = self.weather;
        let mut percent = |chance: f64| (self.dice.below(10_000) as f64) < chance * 100.0;
        if percent(loss) {
            return;
        }
        let copies = 1 + usize::from(percent(duplicate));
        for _ in 0..copies {
            let slow = (self.dice.below(10_000) as f64) < late * 100.0;
            let micros = if slow { self.dice.below(200_000) } else { 200 + self.dice.below(800) };
            self.put_on_wire(
                from,
                index(to),
                Duration::from_micros(micros),
                Packet::Datagram(bytes.to_vec()),
            );
        }
    }

    fn put_on_wire(&mut self, from: usize, to: usize, time: Duration, packet: Packet) {
        self.serial += 1;
        self.wire.push(Reverse((self.now + time, self.serial)));
        self.packets.insert(self.serial, (from, to, packet));
    }

    // ---- what must hold ----

    /// What is wrong, if hosts that run and reach each other do not know all of each other.
    pub(super) fn problems(&self) -> Option<String> {
        self.problems_among(&|_, _| true)
    }

    /// The same, for hosts of one side.
    pub(super) fn problems_of_sides(&self) -> Option<String> {
        self.problems_among(&|a, b| a.side == b.side)
    }

    fn problems_among(&self, together: &dyn Fn(&Host, &Host) -> bool) -> Option<String> {
        let running = || self.hosts.iter().enumerate().filter(|(_, host)| host.engine.is_some());
        for (n, host) in running() {
            let engine = host.engine.as_ref()?;
            let up =
                |view: &members::MemberView| matches!(view.state, MemberState::Up | MemberState::Suspect);
            let mut seen: Vec<NodeId> =
                engine.members().members().filter(up).map(|view| view.id.node()).collect();
            let others = || running().filter(|(other, peer)| *other != n && together(host, peer));
            let mut expected: Vec<NodeId> = others().map(|(_, peer)| peer.id).collect();
            seen.sort_unstable();
            expected.sort_unstable();
            if seen != expected {
                return Some(format!("{n} sees {seen:x?}, not {expected:x?}"));
            }
            let mut says = BTreeMap::new();
            for (_, peer) in others() {
                says.extend(peer.says.iter().map(|(key, record)| ((peer.id, key.clone()), record.clone())));
            }
            if host.heard != says {
                return Some(format!("{n} heard {:?}, not {says:?}", host.heard));
            }
            let root = engine.replica().root();
            if let Some((other, _)) =
                others().find(|(_, peer)| peer.engine.as_ref().is_some_and(|e| e.replica().root() != root))
            {
                return Some(format!("the roots of {n} and {other} differ"));
            }
        }
        None
    }
}
