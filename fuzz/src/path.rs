//! The paths to members: what two of them say, in any order, to one node that a third is honest to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use encap::tunnel::UDP_HEADER_LEN;
use encap::{Format, Mtu, VtepAddr, control};
use fdb::gossip::seal::{Gate, Kind, MAX_PAYLOAD, Opened};
use fdb::sim::Dice;
use weft::path::{Arrival, Config, Dropped, Engine, Health, Moment, Output, Site, Target};

use super::cast::{OTHERS, OWN, WITNESS, address, mode, process, start};
use super::script::{self, Step};

/// Kinds of steps; all others are messages, each with the number that it has.
///
/// A message with the number of what its sender was sent last of what such a message answers.
pub const ANSWER: u8 = 1;
/// Octets that nobody sealed.
pub const RAW: u8 = 2;
/// A probe of another size than it says.
pub const LIE: u8 = 3;
/// The MTU that an ICMP error tells of the way to the sender, or to the honest node, as the third octet is odd or even.
pub const TOO_BIG: u8 = 4;
/// The size of a packet that the node's own kernel refused, and as before.
pub const REFUSED: u8 = 5;
/// Frames go to the sender.
pub const TRAFFIC: u8 = 6;
/// Who is a member, a bit each; more bits: they take Geneve. Behind it the MTU of the link.
pub const TARGETS: u8 = 7;
/// The way to the sender is examined.
pub const EXAMINE: u8 = 8;
/// Probing, relaying, source ports, the least MTU.
pub const CONFIG: u8 = 9;
/// Flag: it comes to the Geneve port.
pub const GENEVE: u8 = 64;

/// Where the kind of a message is, its number, and the size that a probe says.
const PROBE: u8 = 1;
const ASK: u8 = 3;
const NUMBER: std::ops::Range<usize> = 21..25;
const SIZE: std::ops::Range<usize> = 25..27;
/// What an answer repeats of the ask.
const ASKED: std::ops::Range<usize> = 21..41;

const LINK: u16 = 1500;
/// As for gossip.
const MAX_WAKES: usize = 50_000;
/// So long after the last lie the honest node is reached as well as ever.
const CALM: Duration = Duration::from_secs(30);

/// Octets: a [`script`] of what the two others say, and of what happens on this host.
pub fn path(octets: &[u8]) {
    let mut play = Play::new();
    for step in script::steps(octets) {
        play.pass(step.wait);
        play.take(&step);
        play.say();
    }
    play.calm_down();
}

struct Play {
    engine: Engine,
    witness: Engine,
    /// What the others seal and open with.
    gates: [Gate; 2],
    /// The number of the last probe and of the last ask that each of them was sent.
    asked: [[[u8; 4]; 2]; 2],
    /// What each of them was told in this step.
    told: [Vec<Vec<u8>>; 2],
    targets: Vec<Target>,
    now: Instant,
    dice: Dice,
}

/// A node as the others know it.
#[must_use]
pub fn target(n: u8, format: Format, link: Mtu) -> Target {
    let [vxlan, geneve] = [4789, 6081].map(|port| VtepAddr::new(address(n).ip(), port));
    let site = Site { vxlan, geneve, link_mtu: link };
    Target { node: process(n).node, boot: process(n).boot, site, spare: None, format }
}

/// The MTU of the links between them.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn link() -> Mtu {
    Mtu::new(LINK.into()).expect("an MTU")
}

impl Play {
    fn new() -> Self {
        let now = start();
        let engine = |n| Engine::new(process(n), mode(false), Config::default(), now);
        let gates = OTHERS.map(|n| {
            let mut gate = Gate::for_paths(process(n), mode(false));
            gate.trust(process(OWN)).expect("there is room");
            gate
        });
        let (engine, mut witness) = (engine(OWN), engine(WITNESS));
        witness.set_targets(&[target(OWN, Format::Vxlan, link())], now);
        let (asked, told, targets) = ([[[0; 4]; 2]; 2], [Vec::new(), Vec::new()], Vec::new());
        let mut play = Self { engine, witness, gates, asked, told, targets, now, dice: Dice::new(1) };
        play.meet(0b111, Format::Vxlan, link());
        play
    }

    /// These are the members from now on.
    fn meet(&mut self, who: u8, format: Format, link: Mtu) {
        let nodes = (0_u8..).zip([OTHERS[0], OTHERS[1], WITNESS]).filter(|(bit, _)| who & 1 << bit != 0);
        self.targets = nodes.map(|(_, n)| target(n, format, link)).collect();
        assert_eq!(self.engine.set_targets(&self.targets, self.now), 0);
        self.say();
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now, unix_ms: 1_000_000 }
    }

    fn take(&mut self, step: &Step<'_>) {
        let node = process(OTHERS[step.sender]).node;
        let number = |at: usize| step.message.get(at).copied().unwrap_or_default();
        let wide = |at: usize| u16::from_be_bytes([number(at), number(at + 1)]);
        let about = if number(2) % 2 == 1 { OTHERS[step.sender] } else { WITNESS };
        match step.kind & !GENEVE {
            RAW => {
                let taken = self.arrive(step, step.message, 200);
                assert!(taken.is_err(), "nobody sealed it");
            }
            TOO_BIG => {
                self.engine.handle_too_big(VtepAddr::new(address(about).ip(), 4789), wide(0), self.now);
            }
            REFUSED => {
                let to = VtepAddr::new(address(about).ip(), 6081);
                self.engine.handle_refused(to, wide(0).into(), self.now);
            }
            TRAFFIC => self.engine.note_traffic(node, self.now),
            TARGETS => {
                let format = if number(0) > 0b111 { Format::Geneve } else { Format::Vxlan };
                let link = Mtu::new(u32::from(wide(1)).clamp(576, 9216)).expect("an MTU");
                self.meet(number(0), format, link);
            }
            EXAMINE => self.engine.examine(node, self.now),
            CONFIG => {
                let min = Mtu::new(wide(3).into()).unwrap_or(Mtu::IPV6_MIN);
                let (probing, relay) = (number(0) % 2 == 0, number(1) % 2 == 0);
                let source_ports = number(2).into();
                let config = Config { probing, relay, source_ports, min, ..Config::default() };
                self.engine.set_config(config, self.now);
            }
            kind => self.hear(step, kind),
        }
    }

    /// One of the others says something.
    fn hear(&mut self, step: &Step<'_>, kind: u8) {
        let mut message = step.message[..step.message.len().min(MAX_PAYLOAD)].to_vec();
        let is = |kind| step.message.first().is_some_and(|first| first & 0x7f == kind);
        if kind == ANSWER
            && let Some(number) = message.get_mut(NUMBER)
        {
            number.copy_from_slice(&self.asked[step.sender][usize::from(is(ASK + 1))]);
        }
        let said = message
            .get(SIZE)
            .filter(|_| is(PROBE))
            .map_or(150, |size| u16::from_be_bytes([size[0], size[1]]));
        let size = usize::from(said) + usize::from(kind == LIE);
        let mut sealed = Vec::new();
        self.gates[step.sender].seal(Kind::Path, &message, &mut sealed).expect("a short message");
        self.told = [Vec::new(), Vec::new()];
        let taken = self.arrive(step, &sealed, size);
        let is_member = self.targets.iter().any(|target| target.node == process(OTHERS[step.sender]).node);
        assert!(is_member || taken.is_err(), "a stranger is not heard");
        assert!(kind != LIE || !is(PROBE) || taken.is_err(), "it was changed on the way");
        self.say();
        let repeated = if is(PROBE) { NUMBER.start..SIZE.end } else { ASKED };
        if taken.is_ok() && (is(PROBE) || is(ASK)) {
            let answers = |told: &&Vec<u8>| told[0] & 0x7f == (message[0] & 0x7f) + 1;
            let answer = self.told[step.sender].iter().find(answers).expect("an answer");
            assert_eq!(answer[repeated.clone()], message[repeated]);
            assert!(answer.len() <= message.len(), "an answer is no longer than what it answers");
        }
    }

    /// Octets come from one of the others.
    fn arrive(&mut self, step: &Step<'_>, sealed: &[u8], size: usize) -> Result<(), Dropped> {
        let format = if step.kind & GENEVE == 0 { Format::Vxlan } else { Format::Geneve };
        let from = address(OTHERS[step.sender]);
        let arrival = Arrival { from, format, sealed, size, at: self.now };
        self.engine.handle_datagram(arrival, self.moment(), &mut self.dice)
    }

    // ---- what the node says ----

    /// What is sent can be read; the honest node answers.
    fn say(&mut self) {
        let (mut answers, mut paths) = (VecDeque::new(), BTreeMap::new());
        loop {
            while let Some(output) = self.engine.poll_output() {
                match output {
                    Output::Send { to, format, sealed, size, .. } => {
                        let room = size - 20 - UDP_HEADER_LEN - control::head_len(format);
                        assert!(sealed.len() <= room, "it is in a packet of its size");
                        self.deliver(to, format, &sealed, size);
                    }
                    Output::Path { node, path } => drop(paths.insert(node, path)),
                    // What it says is read where it is understood.
                    Output::Letter(_) => {}
                }
            }
            while let Some(output) = self.witness.poll_output() {
                if let Output::Send { format, sealed, size, .. } = output {
                    answers.push_back((format, sealed, size));
                }
            }
            let Some((format, sealed, size)) = answers.pop_front() else { break };
            let from = address(WITNESS);
            let arrival = Arrival { from, format, sealed: &sealed, size, at: self.now };
            // It may be no member any more.
            let _ = self.engine.handle_datagram(arrival, self.moment(), &mut self.dice);
        }
        for target in &self.targets {
            let Some(path) = paths.get(&target.node) else { continue };
            assert!(path.mtu <= target.site.link_mtu, "{path:?}");
            let is_member = |node| self.targets.iter().any(|target| target.node == node);
            assert!(path.via.is_none_or(|via| via.node != target.node && is_member(via.node)), "{path:?}");
        }
    }

    fn deliver(&mut self, to: VtepAddr, format: Format, sealed: &[u8], size: usize) {
        let (from, now) = (SocketAddr::new(address(OWN).ip(), 40_000), self.now);
        if let Some(n) = OTHERS.iter().position(|n| address(*n).ip() == to.ip()) {
            let opened = self.gates[n].open(sealed, from, now, &mut self.dice).expect("sealed as it must be");
            let Opened::Message(message) = opened else { panic!("{opened:?}") };
            let [first, ..] = message.payload[..] else { panic!("an empty message") };
            if let kind @ (PROBE | ASK) = first & 0x7f {
                self.asked[n][usize::from(kind == ASK)].copy_from_slice(&message.payload[NUMBER]);
            }
            self.told[n].push(message.payload.to_vec());
        } else if size <= LINK.into() {
            let arrival = Arrival { from, format, sealed, size, at: now };
            let taken = self.witness.handle_datagram(arrival, self.moment(), &mut self.dice);
            assert!(matches!(taken, Ok(()) | Err(Dropped::Stray | Dropped::Rate)), "{taken:?}");
        }
    }

    // ---- time ----

    /// Lets time pass, and does what is due.
    fn pass(&mut self, wait: Duration) {
        let until = self.now + wait;
        for _ in 0..MAX_WAKES {
            let due = [&self.engine, &self.witness].into_iter().filter_map(Engine::poll_timeout).min();
            let Some(due) = due.filter(|due| *due <= until) else {
                self.now = until;
                return;
            };
            self.now = due.max(self.now);
            let now = self.moment();
            self.engine.handle_timeout(now, &mut self.dice);
            self.witness.handle_timeout(now, &mut self.dice);
            self.say();
        }
        panic!("it never sleeps");
    }

    /// Whatever came before, the way to the honest node is as good as it is.
    fn calm_down(&mut self) {
        self.engine.set_config(Config::default(), self.now);
        self.meet(0b100, Format::Vxlan, link());
        let node = process(WITNESS).node;
        for _ in 0..CALM.as_secs() {
            self.engine.note_traffic(node, self.now);
            self.pass(Duration::from_secs(1));
        }
        let view = self.engine.view(node).expect("a member");
        assert_eq!((view.path.mtu.get(), &view.path.health), (LINK, &Health::Up), "{view:?}");
    }
}
