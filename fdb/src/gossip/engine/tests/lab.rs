//! The network in memory.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::super::*;
use crate::gossip::identity::BootId;
use crate::gossip::seal::{Key as Secret, Keyring};
use crate::sim::node_info;

const DELAY: Duration = Duration::from_millis(1);

/// Not fit for keys, but fit for a test.
pub(super) struct Dice(SmallRng);

impl rand_core::TryRng for Dice {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        self.0.try_fill_bytes(dst)
    }
}

impl rand_core::TryCryptoRng for Dice {}

enum Packet {
    Datagram(Vec<u8>),
    Stream(Process, Vec<u8>),
}

pub(super) struct Node {
    pub(super) engine: Engine,
    setup: (u128, u64, u128, String, u8),
    running: bool,
    pub(super) conflict: Option<Conflict>,
    /// What the others say, as far as it is about addresses.
    pub(super) heard: BTreeMap<(NodeId, Key), Record>,
    pub(super) received: usize,
    pub(super) dropped: usize,
}

pub(super) struct Lab {
    now: Instant,
    rng: Dice,
    pub(super) nodes: Vec<Node>,
    wire: VecDeque<(Instant, SocketAddr, SocketAddr, Packet)>,
}

pub(super) fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n as u8 + 1], 6786))
}

impl Lab {
    pub(super) fn new(count: usize) -> Self {
        let rng = Dice(SmallRng::seed_from_u64(7));
        #[allow(clippy::disallowed_methods)] // some instant to begin with
        let mut lab = Self { now: Instant::now(), rng, nodes: Vec::new(), wire: VecDeque::new() };
        for n in 0..count {
            let setup = (n as u128 + 1, 1, n as u128 + 1_000, format!("node-{n}"), 1);
            let node = lab.make(n, setup);
            lab.nodes.push(node);
        }
        lab
    }

    fn make(&mut self, n: usize, setup: (u128, u64, u128, String, u8)) -> Node {
        let (id, epoch, boot, name, key) = setup.clone();
        let parts = Setup {
            me: Process { node: NodeId::new(id), boot: BootId::new(boot) },
            epoch: Epoch::new(epoch),
            name: name.clone(),
            addr: addr(n),
            mode: Mode::Sealed(Keyring::new(Secret::new([key; 32]))),
            members: members::Config::default(),
            replica: replica::Config::default(),
        };
        let mut engine = Engine::new(parts, self.now, &mut self.rng);
        let info = node_info([10, 0, 0, n as u8 + 1].into(), &name, BootId::new(boot));
        engine.put(&Record::NodeInfo(info), self.now).unwrap();
        Node { engine, setup, running: true, conflict: None, heard: BTreeMap::new(), received: 0, dropped: 0 }
    }

    fn remake(&mut self, n: usize, setup: (u128, u64, u128, String, u8)) {
        self.nodes[n] = self.make(n, setup);
    }

    pub(super) fn restart(&mut self, n: usize, epoch: u64) {
        let (id, _, boot, name, key) = self.nodes[n].setup.clone();
        self.remake(n, (id, epoch, boot + 100, name, key));
    }

    /// Node `to` starts with the state directory and the configuration of `from`.
    pub(super) fn copy_identity(&mut self, from: usize, to: usize) {
        let (id, epoch, boot, name, key) = self.nodes[from].setup.clone();
        self.remake(to, (id, epoch + 1, boot + 500, name, key));
    }

    pub(super) fn rename(&mut self, n: usize, like: usize) {
        let (id, epoch, boot, _, key) = self.nodes[n].setup.clone();
        let name = self.nodes[like].setup.3.clone();
        self.remake(n, (id, epoch, boot, name, key));
    }

    pub(super) fn rekey(&mut self, n: usize, key: u8) {
        let (id, epoch, boot, name, _) = self.nodes[n].setup.clone();
        self.remake(n, (id, epoch, boot, name, key));
    }

    pub(super) fn join(&mut self, n: usize, seed: usize) {
        self.nodes[n].engine.set_seeds(&[addr(seed)]);
        self.nodes[n].engine.call(&[addr(seed)]);
    }

    pub(super) fn say(&mut self, n: usize, record: &Record) {
        self.nodes[n].engine.put(record, self.now).unwrap();
    }

    pub(super) fn leave(&mut self, n: usize) {
        self.nodes[n].engine.leave(self.now);
        self.drain(n);
        self.stop(n);
    }

    pub(super) fn stop(&mut self, n: usize) {
        self.nodes[n].running = false;
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            while self.wire.front().is_some_and(|packet| packet.0 <= self.now) {
                let (_, from, to, packet) = self.wire.pop_front().unwrap();
                self.deliver(from, to, packet);
            }
            for n in 0..self.nodes.len() {
                if self.nodes[n].running && self.nodes[n].engine.poll_timeout() <= self.now {
                    self.nodes[n].engine.handle_timeout(self.now, &mut self.rng);
                }
                self.drain(n);
            }
            self.now += DELAY;
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, packet: Packet) {
        let Some(n) = (0..self.nodes.len()).find(|n| addr(*n) == to && self.nodes[*n].running) else {
            return;
        };
        let node = &mut self.nodes[n];
        let taken = match packet {
            Packet::Datagram(bytes) => {
                node.received += 1;
                node.engine.handle_datagram(&bytes, from, self.now, &mut self.rng)
            }
            Packet::Stream(who, message) => {
                node.engine.stream_opened(who, &mut self.rng);
                node.engine.handle_stream(who, &message, self.now, &mut self.rng)
            }
        };
        node.dropped += usize::from(taken.is_err());
        self.drain(n);
    }

    fn drain(&mut self, n: usize) {
        while self.nodes[n].running {
            let node = &mut self.nodes[n];
            let Some(output) = node.engine.poll_output(&mut self.rng) else { return };
            let at = self.now + DELAY;
            match output {
                Output::Datagram { to, bytes } => {
                    assert!(bytes.len() <= seal::MAX_DATAGRAM);
                    self.wire.push_back((at, addr(n), to, Packet::Datagram(bytes)));
                }
                Output::Stream { node: to, addr: dial, message } => {
                    let me = node.engine.me;
                    let key = node.setup.4;
                    // A stream stands already to whoever asked, and to nobody with another key.
                    let by_id = (0..self.nodes.len())
                        .find(|other| to == Some(self.nodes[*other].engine.me.node) && *other != n)
                        .map_or(dial, addr);
                    let dial = if dial == addr(n) { by_id } else { dial };
                    let other = (0..self.nodes.len()).find(|other| addr(*other) == dial);
                    if other.is_some_and(|other| self.nodes[other].setup.4 == key) {
                        self.wire.push_back((at, addr(n), dial, Packet::Stream(me, message)));
                    }
                }
                Output::Changed { origin, key, new } => {
                    if matches!(key, Key::Mac(..)) {
                        match new {
                            Some(record) => drop(node.heard.insert((origin, key), record)),
                            None => drop(node.heard.remove(&(origin, key))),
                        }
                    }
                }
                Output::Conflict(conflict) => {
                    node.conflict = Some(conflict);
                    node.running = false;
                }
                Output::Member(_) | Output::EpochRaised(_) => {}
            }
        }
    }
}
