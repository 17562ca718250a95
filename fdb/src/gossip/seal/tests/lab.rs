//! A few gates and what is between them.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use super::super::*;

pub(in crate::gossip::seal) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6786);

/// Random enough, and the same each time.
pub(in crate::gossip::seal) struct Dice(u64);

impl Dice {
    pub(in crate::gossip::seal) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(in crate::gossip::seal) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }
}

impl rand_core::TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        octets.iter_mut().for_each(|octet| *octet = self.next() as u8);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Dice {}

pub(in crate::gossip::seal) struct Lab {
    pub(in crate::gossip::seal) gates: Vec<Gate>,
    pub(in crate::gossip::seal) now: Instant,
    pub(in crate::gossip::seal) dice: Dice,
}

impl Lab {
    pub(in crate::gossip::seal) fn new(modes: &[Mode]) -> Self {
        let gates = (0..).zip(modes).map(|(n, mode)| Gate::new(process(n), mode.clone())).collect();
        #[allow(clippy::disallowed_methods)] // the only way to get one; it passes by hand afterwards
        let now = Instant::now();
        Self { gates, now, dice: Dice::new(1) }
    }

    /// Two nodes of one cluster.
    pub(in crate::gossip::seal) fn pair() -> Self {
        Self::new(&[mode(&[1]), mode(&[1])])
    }

    pub(in crate::gossip::seal) fn open(&mut self, at: usize, octets: &[u8]) -> Result<Opened, Refusal> {
        self.gates[at].open(octets, ADDRESS, self.now, &mut self.dice)
    }

    pub(in crate::gossip::seal) fn pass(
        &mut self,
        from: usize,
        to: usize,
        payload: &[u8],
    ) -> Result<Opened, Refusal> {
        let datagram = sealed_by(&mut self.gates[from], payload);
        self.open(to, &datagram)
    }

    pub(in crate::gossip::seal) fn delivered(&mut self, from: usize, to: usize, payload: &[u8]) -> Vec<u8> {
        let Ok(Opened::Message(message)) = self.pass(from, to, payload) else { panic!("not delivered") };
        message.payload
    }

    /// The stranger `from` becomes known at `to`.
    pub(in crate::gossip::seal) fn meet(&mut self, from: usize, to: usize) -> NewBoot {
        let opened = self.pass(from, to, b"first");
        let asked = self.open(from, &challenge(opened));
        let Ok(Opened::Proved { news, .. }) = self.open(to, &answer(asked)) else { panic!("not believed") };
        news
    }

    pub(in crate::gossip::seal) fn challenge_by(&mut self, at: usize, who: Process) -> Vec<u8> {
        self.gates[at].challenge(who, self.now, &mut self.dice).unwrap()
    }

    /// The node starts anew; returns the process that it was.
    pub(in crate::gossip::seal) fn restart(&mut self, at: usize) -> Process {
        let (old, mode) = (self.gates[at].me, self.gates[at].mode.clone());
        self.gates[at] = Gate::new(Process { boot: BootId::new(old.boot.get() + 1_000), ..old }, mode);
        old
    }
}

pub(in crate::gossip::seal) fn process(n: u128) -> Process {
    Process { node: NodeId::new(n + 1), boot: BootId::new(n + 100_001) }
}

pub(in crate::gossip::seal) fn key(n: u8) -> Key {
    Key::new([n; 32])
}

pub(in crate::gossip::seal) fn mode(keys: &[u8]) -> Mode {
    let mut ring = Keyring::new(key(keys[0]));
    keys[1..].iter().for_each(|n| ring.install(key(*n)).unwrap());
    Mode::Sealed(ring)
}

pub(in crate::gossip::seal) fn sealed_by(gate: &mut Gate, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    gate.seal(Kind::Membership, payload, &mut datagram).unwrap();
    datagram
}

pub(in crate::gossip::seal) fn challenge(opened: Result<Opened, Refusal>) -> Vec<u8> {
    match opened {
        Ok(Opened::Challenge { to: ADDRESS, bytes }) => bytes,
        other => panic!("no challenge: {other:?}"),
    }
}

pub(in crate::gossip::seal) fn answer(opened: Result<Opened, Refusal>) -> Vec<u8> {
    match opened {
        Ok(Opened::Answer { to: ADDRESS, bytes }) => bytes,
        other => panic!("no answer: {other:?}"),
    }
}

pub(in crate::gossip::seal) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
