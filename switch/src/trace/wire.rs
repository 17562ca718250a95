//! What nodes ask each other about a frame, as a letter says it.
//!
//! ```text
//! | kind | trace 4 |
//! ask  frame 1: vni 3, src 6, dst 6, version 1, from 4 or 16, to 4 or 16, protocol 1, port 2, size 2, tag 2
//!      port  2: vni 3, name
//!      live  5: vni 3; the frame itself is the load of the letter
//! tell frame 3: verdict 1, ports 2, reason, place, network
//!      port  4: state 1; down: network, reason; up: vni 3, mac 6, network, versions 1, v4 4, v6 16
//!      live  6: waited 4, times 1, as many (stage 1, time 4), then as frame; times in nanoseconds
//! ```
//!
//! A text is its length, one octet, and that much of it as there is room for; one that is cut ends with an ellipsis. Names have
//! room for all of theirs where that is possible: of what is told, those of ports and nodes do. Octets after the end are left to later
//! versions, and so are the numbers of stages; kinds that are not known are not answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use encap::{MacAddr, Vni};

use super::frame::{Addresses, FrameSpec, Protocol};
use super::story::{StageName, nanoseconds};
use crate::counters::DropReason;
use crate::path::{Content, MAX_CONTENT, Reader};

const ASK_FRAME: u8 = 1;
const ASK_PORT: u8 = 2;
const TOLD_FRAME: u8 = 3;
const TOLD_PORT: u8 = 4;
const ASK_LIVE: u8 = 5;
const TOLD_LIVE: u8 = 6;

/// The stages of a node that a frame gets to, by their numbers, from 1.
const STAGES: [StageName; 6] = [
    StageName::Open,
    StageName::CheckEthernet,
    StageName::Observe,
    StageName::Decide,
    StageName::Deliver,
    StageName::PassOn,
];

/// Octets of the name of a port that is asked for, at most.
pub const MAX_NAME: usize = 64;
/// And of other texts.
const MAX_REASON: usize = 24;
/// Octets of the network of a port that is down: what remains beside the reason.
const MAX_NETWORK: usize = 48;

/// What a text that is cut ends with.
const CUT: &str = "…";

/// No VLAN tag.
const UNTAGGED: u16 = u16::MAX;

/// What a node asks or tells, and the number of the trace that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// What would you do with this frame from me?
    AskFrame(u32, Vni, FrameSpec),
    /// What do you do with the frame that this letter carries?
    AskLive(u32, Vni),
    /// Where does your port of this name live, seen from this network?
    AskPort(u32, Vni, String),
    /// What would become of the frame.
    ToldFrame(u32, Told),
    /// Which port has the name.
    ToldPort(u32, ToldPort),
}

/// What would become of a frame at another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What is decided.
    pub verdict: Verdict,
    /// How many ports get it.
    pub ports: u16,
    /// The first of these, or the node that it goes to next; empty = it is dropped.
    pub place: String,
    /// What the network is called there; empty = there is none.
    pub network: String,
    /// How long that took; `None` = it was not a frame that was sent.
    pub times: Option<Times>,
}

/// How long a frame was at another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// From when its datagram was received until its turn: it waits for the threads between the socket and whoever knows.
    pub waited: Duration,
    /// The stages that it passed, and the one where it ended.
    pub stages: Vec<(StageName, Duration)>,
}

/// What another node decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ports get it.
    Delivered,
    /// It goes on to another node.
    PassedOn,
    /// It is dropped, for the reason with this name.
    Dropped(String),
}

/// The port of a name, at another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToldPort {
    /// There is none.
    Missing,
    /// It is not up.
    Down {
        /// Its network.
        network: String,
        /// Why.
        reason: String,
    },
    /// It is up.
    Up {
        /// The VNI of its network.
        vni: Vni,
        /// What that is called there.
        network: String,
        /// Its MAC address.
        mac: MacAddr,
        /// Its first IPv4 address.
        v4: Option<Ipv4Addr>,
        /// Its first IPv6 address.
        v6: Option<Ipv6Addr>,
    },
}

impl Told {
    /// The reason of a drop, if this version knows it.
    #[must_use]
    pub fn dropped(&self) -> Option<DropReason> {
        let Verdict::Dropped(name) = &self.verdict else { return None };
        DropReason::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl Word {
    /// As a letter says it; texts that are too long are cut.
    #[must_use]
    pub fn encode(&self) -> Option<Content> {
        let mut out = Vec::new();
        let mut begin = |kind: u8, trace: &u32| {
            out.push(kind);
            out.extend(trace.to_be_bytes());
        };
        match self {
            Self::AskFrame(trace, vni, frame) => {
                begin(ASK_FRAME, trace);
                out.extend(vni.octets());
                put_frame(&mut out, frame);
            }
            Self::AskPort(trace, vni, name) => {
                begin(ASK_PORT, trace);
                out.extend(vni.octets());
                put_text(&mut out, name, MAX_NAME);
            }
            Self::AskLive(trace, vni) => {
                begin(ASK_LIVE, trace);
                out.extend(vni.octets());
            }
            Self::ToldFrame(trace, told) => {
                begin(if told.times.is_some() { TOLD_LIVE } else { TOLD_FRAME }, trace);
                told.times.iter().for_each(|times| put_times(&mut out, times));
                put_told(&mut out, told);
            }
            Self::ToldPort(trace, told) => {
                begin(TOLD_PORT, trace);
                put_port(&mut out, told);
            }
        }
        Content::new(&out)
    }

    /// Reads what a letter says; `None` for all that is none of these.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let mut rest = Reader(octets);
        let ([kind], trace) = (rest.array()?, rest.u32()?);
        Some(match kind {
            ASK_FRAME => Self::AskFrame(trace, Vni::from_octets(rest.array()?), frame(&mut rest)?),
            ASK_PORT => Self::AskPort(trace, Vni::from_octets(rest.array()?), text(&mut rest)?),
            ASK_LIVE => Self::AskLive(trace, Vni::from_octets(rest.array()?)),
            TOLD_FRAME => Self::ToldFrame(trace, told(&mut rest, None)?),
            TOLD_LIVE => {
                let times = times(&mut rest)?;
                Self::ToldFrame(trace, told(&mut rest, Some(times))?)
            }
            TOLD_PORT => Self::ToldPort(trace, port(&mut rest)?),
            _ => return None,
        })
    }
}

fn put_frame(out: &mut Vec<u8>, frame: &FrameSpec) {
    let FrameSpec { src, dst, addresses, protocol, size, vlan } = frame;
    out.extend(src.octets().into_iter().chain(dst.octets()));
    match addresses {
        Addresses::V4(from, to) => {
            out.push(4);
            out.extend(from.octets().into_iter().chain(to.octets()));
        }
        Addresses::V6(from, to) => {
            out.push(6);
            out.extend(from.octets().into_iter().chain(to.octets()));
        }
    }
    let (protocol, port) = match protocol {
        Protocol::Icmp => (0, 0),
        Protocol::Tcp(port) => (1, *port),
        Protocol::Udp(port) => (2, *port),
        Protocol::Question => (3, 0),
    };
    out.push(protocol);
    [port, *size, vlan.unwrap_or(UNTAGGED)].iter().for_each(|number| out.extend(number.to_be_bytes()));
}

fn frame(rest: &mut Reader<'_>) -> Option<FrameSpec> {
    let [src, dst] = [rest.array()?, rest.array()?].map(MacAddr::new);
    let [version] = rest.array()?;
    let addresses = match version {
        4 => Addresses::V4(rest.array::<4>()?.into(), rest.array::<4>()?.into()),
        6 => Addresses::V6(rest.array::<16>()?.into(), rest.array::<16>()?.into()),
        _ => return None,
    };
    let ([protocol], port, size, vlan) = (rest.array()?, rest.u16()?, rest.u16()?, rest.u16()?);
    let protocol = match protocol {
        0 => Protocol::Icmp,
        1 => Protocol::Tcp(port),
        2 => Protocol::Udp(port),
        3 => Protocol::Question,
        _ => return None,
    };
    let vlan = (vlan != UNTAGGED).then_some(vlan);
    Some(FrameSpec { src, dst, addresses, protocol, size, vlan })
}

fn put_told(out: &mut Vec<u8>, told: &Told) {
    let (verdict, reason, place) = match &told.verdict {
        Verdict::Delivered => (0, "", told.place.as_str()),
        Verdict::PassedOn => (1, "", told.place.as_str()),
        Verdict::Dropped(reason) => (2, reason.as_str(), ""),
    };
    out.push(verdict);
    out.extend(told.ports.to_be_bytes());
    put_text(out, reason, MAX_REASON);
    put_text(out, place, MAX_NAME);
    // The stages of a frame that was sent leave it ten octets at least.
    put_text(out, &told.network, MAX_NAME.min(MAX_CONTENT.saturating_sub(out.len() + 1)));
}

fn told(rest: &mut Reader<'_>, times: Option<Times>) -> Option<Told> {
    let ([verdict], ports, reason) = (rest.array()?, rest.u16()?, text(rest)?);
    let verdict = match verdict {
        0 => Verdict::Delivered,
        1 => Verdict::PassedOn,
        2 => Verdict::Dropped(reason),
        _ => return None,
    };
    Some(Told { verdict, ports, place: text(rest)?, network: text(rest)?, times })
}

fn put_times(out: &mut Vec<u8>, times: &Times) {
    let short = |time: Duration| u32::try_from(nanoseconds(time)).unwrap_or(u32::MAX).to_be_bytes();
    let number = |stage: StageName| STAGES.iter().zip(1_u8..).find(|(known, _)| **known == stage);
    let numbered = times.stages.iter().filter_map(|(stage, time)| Some((number(*stage)?.1, time)));
    let numbered: Vec<_> = numbered.take(STAGES.len()).collect();
    out.extend(short(times.waited));
    out.push(numbered.len() as u8);
    for (number, time) in numbered {
        out.push(number);
        out.extend(short(*time));
    }
}

fn times(rest: &mut Reader<'_>) -> Option<Times> {
    let time = |rest: &mut Reader<'_>| Some(Duration::from_nanos(rest.u32()?.into()));
    let (waited, [count]) = (time(rest)?, rest.array()?);
    let mut stages = Vec::new();
    for _ in 0..count {
        let ([number], time) = (rest.array()?, time(rest)?);
        let stage = usize::from(number).checked_sub(1).and_then(|place| STAGES.get(place));
        stages.extend(stage.map(|stage| (*stage, time)));
    }
    Some(Times { waited, stages })
}

fn put_port(out: &mut Vec<u8>, port: &ToldPort) {
    match port {
        ToldPort::Missing => out.push(0),
        ToldPort::Down { network, reason } => {
            out.push(1);
            put_text(out, network, MAX_NETWORK);
            put_text(out, reason, MAX_NAME);
        }
        ToldPort::Up { vni, network, mac, v4, v6 } => {
            out.push(2);
            out.extend(vni.octets());
            out.extend(mac.octets());
            put_text(out, network, MAX_NAME);
            out.push(u8::from(v4.is_some()) | u8::from(v6.is_some()) << 1);
            out.extend(v4.iter().flat_map(Ipv4Addr::octets));
            out.extend(v6.iter().flat_map(Ipv6Addr::octets));
        }
    }
}

fn port(rest: &mut Reader<'_>) -> Option<ToldPort> {
    let [state] = rest.array()?;
    Some(match state {
        0 => ToldPort::Missing,
        1 => ToldPort::Down { network: text(rest)?, reason: text(rest)? },
        2 => {
            let (vni, mac) = (Vni::from_octets(rest.array()?), MacAddr::new(rest.array()?));
            let (network, [versions]) = (text(rest)?, rest.array()?);
            let v4 = if versions & 1 == 0 { None } else { Some(rest.array::<4>()?.into()) };
            let v6 = if versions & 2 == 0 { None } else { Some(rest.array::<16>()?.into()) };
            ToldPort::Up { vni, network, mac, v4, v6 }
        }
        _ => return None,
    })
}

fn put_text(out: &mut Vec<u8>, text: &str, most: usize) {
    let (text, end) = if text.len() <= most {
        (text, "")
    } else {
        (&text[..text.floor_char_boundary(most.saturating_sub(CUT.len()))], CUT)
    };
    out.push(u8::try_from(text.len() + end.len()).unwrap_or(0));
    out.extend(text.bytes().chain(end.bytes()));
}

fn text(rest: &mut Reader<'_>) -> Option<String> {
    let [len] = rest.array()?;
    let octets = rest.take(len.into())?;
    std::str::from_utf8(octets).ok().map(str::to_owned)
}

/// The first address of each IP version.
#[must_use]
pub fn first_of_each(ips: &[IpAddr]) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let v4 = ips.iter().find_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None });
    let v6 = ips.iter().find_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
    (v4, v6)
}

#[cfg(test)]
mod tests;
