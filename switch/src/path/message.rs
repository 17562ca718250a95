//! What nodes say to each other about the path between them: the octets inside of the seal.
//!
//! ```text
//!  0      1    9        13        17      21
//! | kind, 0x80 = numbered | to | number | highest | heard | body
//! probe  1: id 4, size 2, pace 2, wall 6, source 2, reserved 2  ask    3: round 4, about 16, reserved 7
//! reply  2: id 4, size 2, pace 2, wall 6, delay 4               answer 4: round 4, about 16, up 1, mtu 2, round trip 4
//! letter 5: from 16, for 16, flow 4, stamp 4, delay 4, flags (1 = answer, 2 = to be passed on, 4 = has a load) 1,
//!           octets 1, content 120; load: length of the frame 2, octets of it 2, these
//! ```
//!
//! A reply is as long as the smallest probe, an answer as an ask, and a letter without a load as any other: what a node
//! sends back is no more than was sent to it. A letter that answers never has a load. Only a node that passes a question
//! on sends more, twice as much: the question itself, and its own answer. How much that is, is bounded by `budget`: letters
//! a second of a member, and octets a second of a node.
//! Octets after the end are left to later versions.

use std::time::Duration;

use encap::tunnel::{IpVersion, UDP_HEADER_LEN};
use encap::{Format, control};
use fdb::gossip::identity::{BootId, NodeId};
use fdb::gossip::seal;

use super::letter::{Content, HEADERS, Load, MAX_CONTENT, MAX_LOAD};
use crate::events::MAX_SEALED;

/// A probe up to this size is small: it says nothing about the MTU.
pub(super) const SMALL_MAX: u16 = 256;

/// Octets of a probe and of a reply.
const PROBE_LEN: usize = COMMON_LEN + 18;
/// Octets of an ask and of an answer.
const ASK_LEN: usize = COMMON_LEN + 27;
/// Octets of a letter without a load.
const LETTER_LEN: usize = COMMON_LEN + 46 + MAX_CONTENT;
/// What stands before the octets of a load.
const LOAD_HEAD: usize = 4;
const COMMON_LEN: usize = 21;

const NUMBERED: u8 = 0x80;
const PROBE: u8 = 1;
const REPLY: u8 = 2;
const ASK: u8 = 3;
const ANSWER: u8 = 4;
const LETTER: u8 = 5;

/// Flags of a letter.
const IS_ANSWER: u8 = 1;
const TO_BE_PASSED_ON: u8 = 2;
const HAS_LOAD: u8 = 4;

/// The octets of the outer IP packet around a message of so many octets, without padding.
const fn packet_len(outer: IpVersion, format: Format, message: usize) -> usize {
    outer.header_len() + UDP_HEADER_LEN + control::head_len(format) + seal::OVERHEAD + message
}

/// The octets of the outer IP packet of a small probe, or of a reply.
#[allow(clippy::cast_possible_truncation)] // 168 at most
pub(super) const fn small_packet(outer: IpVersion, format: Format) -> u16 {
    packet_len(outer, format, PROBE_LEN) as u16
}

/// The octets of the outer IP packet of an ask, or of an answer.
pub(super) const fn ask_packet(outer: IpVersion, format: Format) -> usize {
    packet_len(outer, format, ASK_LEN)
}

/// The octets of the outer IP packet of a letter without a load, and without padding.
pub(super) const fn letter_packet(outer: IpVersion, format: Format) -> usize {
    packet_len(outer, format, LETTER_LEN)
}

/// The octets of the outer IP packet of a letter that carries so many octets of a frame.
pub(super) const fn loaded_packet(outer: IpVersion, format: Format, carried: usize) -> usize {
    packet_len(outer, format, LETTER_LEN + LOAD_HEAD + carried)
}

/// The octets that the outer IP packet of a letter has at least, if it carries a frame of so many octets: those of the
/// letter, and of the headers of the frame. It is larger than the packet of a frame that has little more than headers.
///
/// # Examples
///
/// ```
/// use encap::{Format, tunnel::IpVersion};
/// use weft::path::least_packet;
///
/// let least = |frame| least_packet(IpVersion::V4, Format::Vxlan, frame);
/// assert!((300..400).contains(&least(60)) && least(60) < least(78));
/// assert_eq!(least(78), least(1514));
/// ```
#[must_use]
pub fn least_packet(outer: IpVersion, format: Format, frame: usize) -> usize {
    loaded_packet(outer, format, frame.min(HEADERS))
}

const _: () = assert!(seal::OVERHEAD + LETTER_LEN <= MAX_SEALED, "workers hand letters on");
const _: () =
    assert!(LETTER_LEN + LOAD_HEAD + MAX_LOAD <= seal::MAX_PATH_PAYLOAD, "a loaded letter is sealed");
const _: () = assert!(small_packet(IpVersion::V6, Format::Geneve) <= SMALL_MAX, "small probes are small");

/// For which process a message is: a datagram does not name its receiver, and somebody on the way may bring it to another.
#[allow(clippy::cast_possible_truncation)] // a part of a random number is random
pub(super) const fn receiver(boot: BootId) -> u64 {
    boot.get() as u64
}

/// What each side has sent and heard of numbered messages: it tells what is lost there and what is lost back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// How many the sender has sent to the receiver, this one included if it is numbered.
    pub(super) number: u32,
    /// The highest number of the receiver that arrived at the sender; 0 = none.
    pub(super) highest: u32,
    /// How many of the receiver arrived there.
    pub(super) heard: u32,
}

/// How far the sender stretches the intervals of its own probes, because it has many peers: it could not answer more
/// either. In sixteenths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace(pub(super) u16);

impl Pace {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a cast of floats saturates
    pub(super) fn new(stretch: f64) -> Self {
        Self((stretch * 16.0).ceil() as u16)
    }

    pub(super) fn stretch(self) -> f64 {
        (f64::from(self.0) / 16.0).max(1.0)
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// [`receiver`] of the process that it is for.
    pub(super) to: u64,
    /// Whether it has a number of its own: it is small, and goes the way in use.
    pub(super) numbered: bool,
    pub(super) counts: Counts,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Probe(Probe),
    Reply(Reply),
    Ask(Ask),
    Answer(Answer),
    Letter(Letter),
}

/// Asks for a reply, if it arrives as large as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) id: u32,
    /// Octets of the outer IP packet.
    pub(super) size: u16,
    /// How rarely it is to be probed.
    pub(super) pace: Pace,
    /// The sender's wall clock, milliseconds since 1970; 48 bits.
    pub(super) wall_ms: u64,
    /// The index of the source port.
    pub(super) source: u16,
}

/// A probe arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The probe's.
    pub(super) id: u32,
    /// The probe's.
    pub(super) size: u16,
    /// How rarely it is to be probed.
    pub(super) pace: Pace,
    /// The sender's wall clock.
    pub(super) wall_ms: u64,
    /// From the arrival of the probe to this reply.
    pub(super) delay: Duration,
}

/// Asks how the receiver reaches a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) round: u32,
    pub(super) about: NodeId,
}

/// How the sender reaches a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The ask's.
    pub(super) round: u32,
    /// The ask's.
    pub(super) about: NodeId,
    /// Whether its direct path works both ways.
    pub(super) up: bool,
    /// The IP MTU of that path.
    pub(super) mtu: u16,
    /// Its round trip.
    pub(super) round_trip: Duration,
}

/// Something that one node writes to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Who wrote it.
    pub(super) from: NodeId,
    /// For whom it is.
    pub(super) to: NodeId,
    /// The hash of the flow whose source port it takes.
    pub(super) flow: u32,
    /// When the question left, in microseconds by the clock of who asks.
    pub(super) stamp: u32,
    /// How long the question lay at who answers.
    pub(super) delay: Duration,
    /// Whether it answers one.
    pub(super) is_answer: bool,
    /// Whether the receiver is to pass it on.
    pub(super) to_be_passed_on: bool,
    /// What it says.
    pub(super) content: Content,
    /// The frame that it carries.
    pub(super) load: Option<Load>,
}

/// Why octets are no message. Nothing was changed by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It ends early.
    #[error("a path message of {octets} octets is cut short: dropped; the sender is at fault")]
    Truncated {
        /// Its length.
        octets: usize,
    },
    /// It is of a kind that this version does not know.
    #[error("a path message of unknown kind {kind}: ignored; a newer node sent it")]
    Kind {
        /// The octet that says it.
        kind: u8,
    },
    /// It is for another process.
    #[error("a path message for another process: dropped; it was late, or somebody brought it here")]
    NotForUs,
}

impl Message {
    /// Whether the outer IP packet is small.
    pub(super) const fn is_small(&self) -> bool {
        match self.body {
            Body::Probe(Probe { size, .. }) => size <= SMALL_MAX,
            Body::Reply(_) | Body::Ask(_) | Body::Answer(_) => true,
            // Of whatever size: an older node does not know it, and would not count it.
            Body::Letter(_) => false,
        }
    }

    /// The octets to seal.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Counts { number, highest, heard } = self.counts;
        let mut out = Vec::with_capacity(LETTER_LEN);
        let kind = match &self.body {
            Body::Probe(_) => PROBE,
            Body::Reply(_) => REPLY,
            Body::Ask(_) => ASK,
            Body::Answer(_) => ANSWER,
            Body::Letter(_) => LETTER,
        };
        out.push(if self.numbered { kind | NUMBERED } else { kind });
        out.extend(self.to.to_be_bytes());
        [number, highest, heard].iter().for_each(|count| out.extend(count.to_be_bytes()));
        let len = match &self.body {
            Body::Probe(Probe { id, size, pace, wall_ms, source }) => {
                out.extend(id.to_be_bytes());
                [size, &pace.0].iter().for_each(|number| out.extend(number.to_be_bytes()));
                out.extend(&wall_ms.to_be_bytes()[2..]);
                out.extend(source.to_be_bytes());
                PROBE_LEN
            }
            Body::Reply(Reply { id, size, pace, wall_ms, delay }) => {
                out.extend(id.to_be_bytes());
                [size, &pace.0].iter().for_each(|number| out.extend(number.to_be_bytes()));
                out.extend(&wall_ms.to_be_bytes()[2..]);
                out.extend(micros(*delay).to_be_bytes());
                PROBE_LEN
            }
            Body::Ask(Ask { round, about }) => {
                out.extend(round.to_be_bytes());
                out.extend(about.get().to_be_bytes());
                ASK_LEN
            }
            Body::Answer(Answer { round, about, up, mtu, round_trip }) => {
                out.extend(round.to_be_bytes());
                out.extend(about.get().to_be_bytes());
                out.push(u8::from(*up));
                out.extend(mtu.to_be_bytes());
                out.extend(micros(*round_trip).to_be_bytes());
                ASK_LEN
            }
            Body::Letter(letter) => letter.encode(&mut out),
        };
        out.resize(len, 0);
        out
    }

    /// Reads what was sealed.
    pub(super) fn decode(octets: &[u8]) -> Result<Self, MessageError> {
        let short = MessageError::Truncated { octets: octets.len() };
        let mut rest = Reader(octets);
        let [first] = rest.array().ok_or(short)?;
        let (kind, numbered) = (first & !NUMBERED, first & NUMBERED != 0);
        if !(PROBE..=LETTER).contains(&kind) {
            return Err(MessageError::Kind { kind });
        }
        Self::read(kind, numbered, &mut rest).ok_or(short)
    }

    fn read(kind: u8, numbered: bool, rest: &mut Reader<'_>) -> Option<Self> {
        let to = u64::from_be_bytes(rest.array()?);
        let counts = Counts { number: rest.u32()?, highest: rest.u32()?, heard: rest.u32()? };
        let body = match kind {
            PROBE | REPLY => {
                let (id, size, pace) = (rest.u32()?, rest.u16()?, Pace(rest.u16()?));
                let [a, b, c, d, e, f] = rest.array()?;
                let wall_ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
                if kind == PROBE {
                    let source = rest.u16()?;
                    rest.array::<2>()?;
                    Body::Probe(Probe { id, size, pace, wall_ms, source })
                } else {
                    let delay = Duration::from_micros(rest.u32()?.into());
                    Body::Reply(Reply { id, size, pace, wall_ms, delay })
                }
            }
            LETTER => Body::Letter(Letter::read(rest)?),
            kind => {
                let (round, about) = (rest.u32()?, NodeId::new(u128::from_be_bytes(rest.array()?)));
                let ([up], mtu, micros) = (rest.array()?, rest.u16()?, rest.u32()?);
                let round_trip = Duration::from_micros(micros.into());
                match kind {
                    ASK => Body::Ask(Ask { round, about }),
                    _ => Body::Answer(Answer { round, about, up: up == 1, mtu, round_trip }),
                }
            }
        };
        Some(Self { to, numbered, counts, body })
    }
}

impl Letter {
    /// Appends it; returns how long the whole message is to be.
    fn encode(&self, out: &mut Vec<u8>) -> usize {
        let Self { from, to, flow, stamp, delay, is_answer, to_be_passed_on, content, load } = self;
        [from, to].iter().for_each(|node| out.extend(node.get().to_be_bytes()));
        [*flow, *stamp, micros(*delay)].iter().for_each(|number| out.extend(number.to_be_bytes()));
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let loaded = flag(load.is_some(), HAS_LOAD);
        out.push(flag(*is_answer, IS_ANSWER) | flag(*to_be_passed_on, TO_BE_PASSED_ON) | loaded);
        out.push(content.octets().len() as u8);
        out.extend(content.octets());
        out.resize(LETTER_LEN, 0);
        if let Some(load) = load {
            let carried = u16::try_from(load.octets().len()).unwrap_or(0);
            [load.frame_len(), carried].iter().for_each(|number| out.extend(number.to_be_bytes()));
            out.extend(load.octets());
        }
        out.len()
    }

    fn read(rest: &mut Reader<'_>) -> Option<Self> {
        let [from, to] =
            [rest.array()?, rest.array()?].map(|octets| NodeId::new(u128::from_be_bytes(octets)));
        let (flow, stamp, delay) = (rest.u32()?, rest.u32()?, Duration::from_micros(rest.u32()?.into()));
        let [flags, len] = rest.array()?;
        let content = Content::new(rest.array::<MAX_CONTENT>()?.get(..usize::from(len))?)?;
        let (is_answer, to_be_passed_on) = (flags & IS_ANSWER != 0, flags & TO_BE_PASSED_ON != 0);
        let load = if flags & HAS_LOAD == 0 {
            None
        } else {
            let (len, carried) = (rest.u16()?, rest.u16()?);
            Some(Load::of_parts(len, rest.take(carried.into())?)?)
        };
        Some(Self { from, to, flow, stamp, delay, is_answer, to_be_passed_on, content, load })
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// What is left to read.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// So many of the next octets; `None` = there are fewer.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// The next octets; `None` = there are fewer.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests;
