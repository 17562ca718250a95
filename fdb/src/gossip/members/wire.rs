//! The octets of membership: network byte order, a version first. Every decoder is total.
//!
//! ```text
//!  identity  node 16  boot 16  place
//!  place     family (4 | 6)  address 4 | 16  port 2  epoch n  generation n
//!  update    identity  incarnation n  state 1 (0 alive, 1 suspect, 2 down)
//!  swim      version  0  tag 4  place (sender)  incarnation n  message  [count 2  updates]
//!  probe     version  1  tag 4  nonce 8  state 1  incarnation n  place (sender)
//!  answer    version  2  nonce 8  place (sender)  incarnation n
//!  leave     version  3  place (sender)
//!  outranked version  4  tag 4  epoch n
//!  roster    version  count 4  updates
//! ```
//!
//! 1. The seal names the sender's node and boot id, so a packet has the rest of its identity only.
//! 2. `tag` is a hash of the identity that is spoken to: the receiver knows its own. An announcement has tag 0: it is for
//!    whoever is at the address.
//! 3. `n` is a number of as many octets as it needs, 7 bits in each, the lowest first; all but the last have the top bit.
//! 4. Without updates there is no count.

mod codec;

use std::net::{IpAddr, SocketAddr};

use foca::{Member, Message, State};

pub(super) use self::codec::Wire;
use super::id::MemberId;
use crate::gossip::identity::{BootId, Epoch, NodeId};
use crate::gossip::seal::{self, Process};
use crate::octets::{put_ip, put_varint};

/// The version of these layouts; another one is refused.
pub const VERSION: u8 = 1;

/// The octets that a membership payload has at most, its kind not counted.
pub const MAX_PAYLOAD: usize = seal::MAX_PAYLOAD;

/// The octets that `foca` writes and that are not sent at least: whom it is for, and the sender's node and boot id.
pub(super) const NOT_SENT: usize = MIN_IDENTITY + PROCESS - SWIM_HEAD;

/// The tag of a packet for whoever is at the address.
pub(super) const ANYBODY: u32 = 0;

/// Of an octet of a number: whether another one follows, and the bits that count.
const MORE: u8 = 0x80;
const LOW_BITS: u64 = 0x7f;

const SWIM: u8 = 0;
const PROBE: u8 = 1;
const ANSWER: u8 = 2;
const LEAVE: u8 = 3;
const OUTRANKED: u8 = 4;

/// Version, form and tag.
const SWIM_HEAD: usize = 6;

/// Node and boot id.
const PROCESS: usize = 32;

/// The shortest identity: at an IPv4 address.
const MIN_IDENTITY: usize = PROCESS + 9;

/// The shortest update.
const MIN_UPDATE: usize = MIN_IDENTITY + 2;

/// Why octets are no membership packet or roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Something is missing at the end.
    #[error(
        "membership packet ends too early: it was cut on the way, or its sender is broken; it is dropped"
    )]
    Truncated,
    /// Something is left over at the end.
    #[error("membership packet has {0} octets too many: its sender is broken; it is dropped")]
    Trailing(usize),
    /// Longer than a payload can be.
    #[error(
        "membership packet has {0} octets and {MAX_PAYLOAD} are allowed: its sender is broken; it is dropped"
    )]
    TooLong(usize),
    /// Of another version.
    #[error("membership packet is of version {0} and this node speaks 1: run the same release on both nodes")]
    Version(u8),
    /// A form, message, state or address family that does not exist.
    #[error(
        "membership packet has {what} {value}, which does not exist: its sender is broken; it is dropped"
    )]
    Unknown {
        /// What the octet means.
        what: &'static str,
        /// The octet.
        value: u8,
    },
    /// A number that is larger than what it counts can be.
    #[error("membership packet has a number out of range: its sender is broken; it is dropped")]
    Range,
    /// There is no room left to write to.
    #[error("membership packet is full: the update goes into the next one")]
    NoRoom,
}

/// A membership packet, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Swim { tag: u32, swim: Swim, body: &'a [u8] },
    Probe { tag: u32, probe: Probe },
    Answer { nonce: u64, from: MemberId, incarnation: u16 },
    Leave { from: MemberId },
    Outranked { tag: u32, epoch: Epoch },
}

/// What a packet of `foca` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Swim {
    pub(super) from: MemberId,
    pub(super) incarnation: u16,
    pub(super) message: Message<MemberId>,
    pub(super) updates: Vec<Member<MemberId>>,
}

/// The question whether somebody is there, and what the asker thinks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) nonce: u64,
    pub(super) state: State,
    pub(super) incarnation: u16,
    pub(super) from: MemberId,
}

impl<'a> Packet<'a> {
    /// Reads what `sender` sealed.
    pub(super) fn decode(sender: Process, octets: &'a [u8]) -> Result<Self, WireError> {
        if octets.len() > MAX_PAYLOAD {
            return Err(WireError::TooLong(octets.len()));
        }
        let mut input = Reader(octets);
        input.version()?;
        let packet = match input.octet()? {
            SWIM => {
                let tag = input.u32()?;
                return Ok(Self::Swim { tag, body: input.0, swim: input.swim(sender)? });
            }
            PROBE => {
                let tag = input.u32()?;
                let (nonce, state, incarnation) = (input.u64()?, input.state()?, input.number()?);
                Self::Probe { tag, probe: Probe { nonce, state, incarnation, from: input.place(sender)? } }
            }
            ANSWER => {
                let (nonce, from) = (input.u64()?, input.place(sender)?);
                Self::Answer { nonce, from, incarnation: input.number()? }
            }
            LEAVE => Self::Leave { from: input.place(sender)? },
            OUTRANKED => Self::Outranked { tag: input.u32()?, epoch: input.epoch()? },
            value => return Err(WireError::Unknown { what: "form", value }),
        };
        input.end()?;
        Ok(packet)
    }
}

/// A packet of `foca` on its way out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) incarnation: u16,
    pub(super) message: Message<MemberId>,
    pub(super) bytes: Vec<u8>,
}

/// A packet as `foca` wrote it, both identities whole, as it goes onto the wire.
pub(super) fn swim(to: &MemberId, written: &[u8]) -> Result<Sent, WireError> {
    let mut input = Reader(written);
    input.identity()?;
    let body = input.0.get(PROCESS..).ok_or(WireError::Truncated)?;
    let (_, incarnation, message) = input.header()?;
    let body = if input.0 == [0, 0] { &body[..body.len() - 2] } else { body };
    let tag = if message == Message::Announce { ANYBODY } else { tag(to) };
    let mut bytes = Vec::with_capacity(SWIM_HEAD + body.len());
    bytes.extend([VERSION, SWIM]);
    bytes.extend(tag.to_be_bytes());
    bytes.extend(body);
    Ok(Sent { incarnation, message, bytes })
}

/// The reverse: the packet for `foca`, with the own identity as its target.
pub(super) fn swim_for(own: &MemberId, sender: Process, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + body.len());
    put_identity(&mut out, own);
    put_process(&mut out, sender);
    out.extend(body);
    out
}

pub(super) fn probe(tag: u32, probe: &Probe) -> Vec<u8> {
    let mut out = vec![VERSION, PROBE];
    out.extend(tag.to_be_bytes());
    out.extend(probe.nonce.to_be_bytes());
    out.push(state_octet(probe.state));
    put_varint(&mut out, probe.incarnation.into());
    put_place(&mut out, &probe.from);
    out
}

pub(super) fn answer(nonce: u64, from: &MemberId, incarnation: u16) -> Vec<u8> {
    let mut out = vec![VERSION, ANSWER];
    out.extend(nonce.to_be_bytes());
    put_place(&mut out, from);
    put_varint(&mut out, incarnation.into());
    out
}

pub(super) fn leave(from: &MemberId) -> Vec<u8> {
    let mut out = vec![VERSION, LEAVE];
    put_place(&mut out, from);
    out
}

pub(super) fn outranked(to: &MemberId, epoch: Epoch) -> Vec<u8> {
    let mut out = vec![VERSION, OUTRANKED];
    out.extend(tag(to).to_be_bytes());
    put_varint(&mut out, epoch.get());
    out
}

/// All of them, for a reliable stream.
pub(super) fn roster(members: &[Member<MemberId>]) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(u32::try_from(members.len()).unwrap_or(u32::MAX).to_be_bytes());
    members.iter().for_each(|member| put_update(&mut out, member));
    out
}

pub(super) fn read_roster(octets: &[u8]) -> Result<Vec<Member<MemberId>>, WireError> {
    let mut input = Reader(octets);
    input.version()?;
    let count = input.u32()? as usize;
    let members = input.updates(count)?;
    input.end()?;
    Ok(members)
}

/// The identity as its 32-bit FNV-1a hash, never [`ANYBODY`]. It tells a node's own starts and generations apart; the
/// seal keeps strangers out.
pub(super) fn tag(id: &MemberId) -> u32 {
    let mut octets = Vec::with_capacity(64);
    put_identity(&mut octets, id);
    let hash = octets
        .iter()
        .fold(0x811c_9dc5, |hash: u32, &octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

// ---- writing ----

pub(super) fn put_identity(out: &mut Vec<u8>, id: &MemberId) {
    put_process(out, id.process());
    put_place(out, id);
}

fn put_process(out: &mut Vec<u8>, process: Process) {
    out.extend(process.node.get().to_be_bytes());
    out.extend(process.boot.get().to_be_bytes());
}

fn put_place(out: &mut Vec<u8>, id: &MemberId) {
    put_ip(out, id.addr.ip());
    out.extend(id.addr.port().to_be_bytes());
    put_varint(out, id.epoch.get());
    put_varint(out, id.generation.into());
}

fn put_update(out: &mut Vec<u8>, member: &Member<MemberId>) {
    put_identity(out, member.id());
    put_varint(out, member.incarnation().into());
    out.push(state_octet(member.state()));
}

const fn state_octet(state: State) -> u8 {
    match state {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    }
}

fn put_message(out: &mut Vec<u8>, message: &Message<MemberId>) {
    let (kind, number, about) = match message {
        Message::Ping(number) => (0, Some(number), None),
        Message::Ack(number) => (1, Some(number), None),
        Message::PingReq { target, probe_number } => (2, Some(probe_number), Some(target)),
        Message::IndirectPing { origin, probe_number } => (3, Some(probe_number), Some(origin)),
        Message::IndirectAck { target, probe_number } => (4, Some(probe_number), Some(target)),
        Message::ForwardedAck { origin, probe_number } => (5, Some(probe_number), Some(origin)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    };
    out.push(kind);
    out.extend(number);
    if let Some(about) = about {
        put_identity(out, about);
    }
}

// ---- reading ----

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (octets, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(*octets)
    }

    fn octet(&mut self) -> Result<u8, WireError> {
        self.take().map(|[octet]| octet)
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.take().map(u64::from_be_bytes)
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Result<T, WireError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let octet = self.octet()?;
            let bits = u64::from(octet) & LOW_BITS;
            if bits << shift >> shift != bits {
                return Err(WireError::Range);
            }
            number |= bits << shift;
            if octet & MORE == 0 {
                return T::try_from(number).map_err(|_| WireError::Range);
            }
        }
        Err(WireError::Range)
    }

    fn epoch(&mut self) -> Result<Epoch, WireError> {
        let epoch = Epoch::new(self.number()?);
        if epoch > Epoch::MAX { Err(WireError::Range) } else { Ok(epoch) }
    }

    fn version(&mut self) -> Result<(), WireError> {
        let version = self.octet()?;
        if version == VERSION { Ok(()) } else { Err(WireError::Version(version)) }
    }

    fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.0.len())) }
    }

    fn identity(&mut self) -> Result<MemberId, WireError> {
        let node = NodeId::new(u128::from_be_bytes(self.take()?));
        let boot = BootId::new(u128::from_be_bytes(self.take()?));
        self.place(Process { node, boot })
    }

    /// The rest of the identity of a process.
    fn place(&mut self, Process { node, boot }: Process) -> Result<MemberId, WireError> {
        let ip = match self.octet()? {
            4 => IpAddr::from(self.take::<4>()?),
            6 => IpAddr::from(self.take::<16>()?),
            value => return Err(WireError::Unknown { what: "address family", value }),
        };
        let addr = SocketAddr::new(ip, self.u16()?);
        let epoch = self.epoch()?;
        Ok(MemberId { addr, node, epoch, boot, generation: self.number()? })
    }

    fn state(&mut self) -> Result<State, WireError> {
        match self.octet()? {
            0 => Ok(State::Alive),
            1 => Ok(State::Suspect),
            2 => Ok(State::Down),
            value => Err(WireError::Unknown { what: "state", value }),
        }
    }

    fn update(&mut self) -> Result<Member<MemberId>, WireError> {
        let (id, incarnation) = (self.identity()?, self.number()?);
        Ok(Member::new(id, incarnation, self.state()?))
    }

    fn updates(&mut self, count: usize) -> Result<Vec<Member<MemberId>>, WireError> {
        if count > self.0.len() / MIN_UPDATE {
            return Err(WireError::Truncated);
        }
        (0..count).map(|_| self.update()).collect()
    }

    fn message(&mut self) -> Result<Message<MemberId>, WireError> {
        Ok(match self.octet()? {
            0 => Message::Ping(self.octet()?),
            1 => Message::Ack(self.octet()?),
            2 => Message::PingReq { probe_number: self.octet()?, target: self.identity()? },
            3 => Message::IndirectPing { probe_number: self.octet()?, origin: self.identity()? },
            4 => Message::IndirectAck { probe_number: self.octet()?, target: self.identity()? },
            5 => Message::ForwardedAck { probe_number: self.octet()?, origin: self.identity()? },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            10 => Message::TurnUndead,
            value => return Err(WireError::Unknown { what: "message", value }),
        })
    }

    fn header(&mut self) -> Result<(MemberId, u16, Message<MemberId>), WireError> {
        Ok((self.identity()?, self.number()?, self.message()?))
    }

    /// All of a packet of `foca` after its tag.
    fn swim(&mut self, sender: Process) -> Result<Swim, WireError> {
        let (from, incarnation, message) = (self.place(sender)?, self.number()?, self.message()?);
        let plain = matches!(message, Message::Announce | Message::TurnUndead);
        let count = if plain || self.0.is_empty() { 0 } else { self.u16()?.into() };
        let updates = self.updates(count)?;
        self.end()?;
        Ok(Swim { from, incarnation, message, updates })
    }
}
